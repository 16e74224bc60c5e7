"""An agent's answer while it comes: iterate, then read ``.result``."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from types import TracebackType

from ai_infra._flow import Flow, OneAtATime, aanswer, advance
from ai_infra.errors import AgentError
from ai_infra.llm.agent.events import AgentEvent, Emit
from ai_infra.llm.agent.result import AgentResult
from ai_infra.llm.agent.turn import Runner

__all__ = ["AgentStream", "AsyncAgentStream"]


class StreamLeft(Exception):
    """Thrown into a turn whose reader stops reading, so that it can let others go on."""


class _Stream:
    def __init__(self, runner: Runner, flow: Flow[AgentResult]) -> None:
        self._runner = runner
        self._flow = flow
        self._result: AgentResult | None = None
        self._user = OneAtATime(AgentError)

    @property
    def result(self) -> AgentResult:
        """The whole result, once the stream has been read to its end.

        Raises:
            AgentError: it has not.
        """
        if self._result is None:
            raise AgentError("the stream has not been read to its end: its result is not known yet")
        return self._result


class AgentStream(_Stream, Iterator[AgentEvent]):
    """What :meth:`Agent.stream <ai_infra.Agent.stream>` returns. Text comes as strings, so printing is
    enough::

    for event in agent.stream("..."):
        if event.type == "text":
            print(event, end="", flush=True)
    """

    def __next__(self) -> AgentEvent:
        with self._user:
            return self._next()

    def _next(self) -> AgentEvent:
        try:
            request = next(self._flow)
            while not isinstance(request, Emit):
                request = advance(self._flow, request)
        except StopIteration as stop:
            if stop.value is not None:
                self._result = stop.value
            raise StopIteration from None
        return request.event

    def close(self) -> None:
        """Stop here. Of a turn nothing is stored; of a resumed one, the calls that were made.

        Raises:
            AgentError: another thread is reading at this moment; it reads on.
        """
        with self._user, contextlib.suppress(StopIteration, StreamLeft):
            if self._runner.pieces is not None:
                self._runner.pieces.close()
            request = self._flow.throw(StreamLeft())
            while True:
                request = advance(self._flow, request)

    def __enter__(self) -> AgentStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncAgentStream(_Stream, AsyncIterator[AgentEvent]):
    """What :meth:`Agent.astream <ai_infra.Agent.astream>` returns: iterate with ``async for``."""

    async def __anext__(self) -> AgentEvent:
        with self._user:
            return await self._anext()

    async def _anext(self) -> AgentEvent:
        try:
            request = next(self._flow)
            while not isinstance(request, Emit):
                request = (await aanswer(self._flow, request))()
        except StopIteration as stop:
            if stop.value is not None:
                self._result = stop.value
            raise StopAsyncIteration from None
        return request.event

    async def aclose(self) -> None:
        """Stop here. Of a turn nothing is stored; of a resumed one, the calls that were made.

        Raises:
            AgentError: another task is reading at this moment; it reads on.
        """
        with self._user, contextlib.suppress(StopIteration, StreamLeft):
            if self._runner.pieces is not None:
                await self._runner.pieces.aclose()
            request = self._flow.throw(StreamLeft())
            while True:
                request = (await aanswer(self._flow, request))()

    async def __aenter__(self) -> AsyncAgentStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
