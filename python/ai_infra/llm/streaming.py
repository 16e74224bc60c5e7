"""A streamed answer: a string for every piece, as soon as the service sends it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any

from ai_infra import _flow
from ai_infra._service.calls import Deadline, Service
from ai_infra._service.failures import Failure, nonsense, whole
from ai_infra._service.sdk import Source
from ai_infra.errors import LLMError
from ai_infra.llm.reading import Assembly, Events, completion
from ai_infra.llm.response import ChatDelta, ChatResponse


class _Stream:
    """Both faces of a stream. Nothing is sent before the first piece is asked for.

    A failure is retried only as long as the caller has seen nothing of the answer. Later it is an error: a
    :class:`StreamInterruptedError` when the answer broke off.
    """

    def __init__(self, service: Service, body: Mapping[str, Any]) -> None:
        self._service = service
        self._body = body
        self._deadline: Deadline | None = None
        self._source: Source | None = None
        self._events = Events()
        self._whole = bytearray()  # of an answer that is no stream
        self._begun = False
        self._assembly = Assembly(service.endpoint, body)
        self._ready: deque[ChatDelta] = deque()
        self._failure: Failure | None = None
        self._response: ChatResponse | None = None
        self._over = False
        self._user = _flow.OneAtATime(LLMError)

    @property
    def response(self) -> ChatResponse:
        """The whole answer, with tool calls and usage; there once the stream has been read to its end.

        Raises:
            LLMError: it has not.
        """
        if self._response is None:
            raise LLMError("the stream has not been read to its end: its response is not known yet")
        return self._response

    def _next(self) -> _flow.Flow[ChatDelta | None]:
        """The next piece, or ``None`` at the end."""
        try:
            if self._deadline is None:
                self._deadline = Deadline(self._service.deadline)
                if not self._over:
                    yield from self._service.retried(self._begin, self._deadline)
            while not self._ready and not self._over:
                yield from self._read(self._deadline)
                if self._failure is not None:
                    self._over = True
            if self._ready:  # what came before a break is given before the break is told
                return self._ready.popleft()
            failure, self._failure = self._failure, None
            if failure is not None:
                raise self._late(failure).error
        except BaseException:
            self._over = True
            yield from self._shut()
            raise
        yield from self._shut()
        return None

    def _begin(self, deadline: Deadline) -> _flow.Flow[Failure | None]:
        """One attempt: open the stream and read until there is something to give, or the end."""
        yield from self._shut()
        self._events = Events()
        self._whole = bytearray()
        self._begun = False
        self._assembly = Assembly(self._service.endpoint, self._body)
        self._ready.clear()
        self._failure = None
        source = yield from self._service.open("/chat/completions", self._body, deadline)
        if isinstance(source, Failure):
            return source
        self._source = source
        while not self._ready and not self._over and self._failure is None:
            yield from self._read(deadline)
        failure, self._failure = self._failure, None
        return None if failure is None else self._late(failure)

    def _read(self, deadline: Deadline) -> _flow.Flow[None]:
        """Take in the next bytes; what goes wrong is left in ``_failure``."""
        source = self._source
        assert source is not None
        piece: bytes | Failure = yield _flow.Call(source.read, partial(source.aread, deadline.left()))
        passed = deadline.passed()
        if passed is not None:
            self._failure = Failure(passed)
        elif isinstance(piece, Failure):
            self._failure = piece
        elif "html" in source.content_type:
            self._failure = nonsense(self._service.endpoint, source.content_type, piece)
        elif (
            self._whole
            or "json" in source.content_type
            or (not self._begun and piece.lstrip()[:1] in (b"{", b"["))
        ):
            self._collect(piece, source.content_type)
        else:
            self._begun = self._begun or bool(piece.strip())
            self._take(piece)

    def _collect(self, piece: bytes, content_type: str) -> None:
        """Take in what is no stream: some services answer whole all the same."""
        self._whole += piece
        if piece:
            return
        answer: Any = whole(self._service.endpoint, bytes(self._whole), content_type)
        if not isinstance(answer, Failure):
            answer = completion(self._service.endpoint, self._body, answer)
        if isinstance(answer, Failure):
            self._failure = answer
            return
        self._response = answer
        self._over = True
        if answer:
            self._ready.append(ChatDelta(answer))

    def _take(self, piece: bytes) -> None:
        for data in self._events.feed(piece) if piece else self._events.end():
            text = self._assembly.take(data)
            if isinstance(text, Failure):
                self._failure = text
                return
            if text:
                self._ready.append(ChatDelta(text))
        if self._assembly.done or not piece:
            response = self._assembly.response()
            if isinstance(response, Failure):
                self._failure = response
            else:
                self._response = response
                self._over = True

    def _late(self, failure: Failure) -> Failure:
        """A connection lost in mid-answer is an interrupted stream."""
        if isinstance(failure.error, ConnectionError):
            return self._assembly.interrupted()
        return failure

    def _shut(self) -> _flow.Flow[None]:
        source, self._source = self._source, None
        if source is not None:
            yield _flow.Call(source.close, source.aclose)


class ChatStream(_Stream, Iterator[ChatDelta]):
    """What :meth:`LLM.stream` returns: iterate over it, then read ``.response``."""

    def __next__(self) -> ChatDelta:
        with self._user:
            piece = _flow.run(self._next())
        if piece is None:
            raise StopIteration
        return piece

    def close(self) -> None:
        """Stop here and give the connection back.

        Raises:
            LLMError: another thread is reading at this moment; it reads on.
        """
        with self._user:
            self._over = True
            _flow.run(self._shut())

    def __enter__(self) -> ChatStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncChatStream(_Stream, AsyncIterator[ChatDelta]):
    """What :meth:`LLM.astream` returns: iterate over it with ``async for``, then read ``.response``."""

    async def __anext__(self) -> ChatDelta:
        with self._user:
            piece = await _flow.arun(self._next())
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Stop here and give the connection back.

        Raises:
            LLMError: another task is reading at this moment; it reads on.
        """
        with self._user:
            self._over = True
            await _flow.arun(self._shut())

    async def __aenter__(self) -> AsyncChatStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
