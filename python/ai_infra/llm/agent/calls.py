"""Calling tools: together, in both worlds, and with every failure turned into words for the model."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import logging
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any

from ai_infra._flow import apart
from ai_infra.errors import ConfigurationError, InvalidInputError
from ai_infra.llm.agent import telemetry
from ai_infra.llm.agent.middleware import Middleware, ToolCall, ToolResult, overridden, require_plain
from ai_infra.llm.response import clean
from ai_infra.llm.tools.tool import Tool

log = logging.getLogger("ai_infra.agent")

MOST_AT_ONCE = 16
"""Calls of one step that hold a thread each: all in the sync world, those of plain functions in the async one."""


class Batch:
    """The tool calls of one step, as one request: run together, answered in order.

    The answer to a call is its result, or the exception of what stands around it. All are over by then.
    """

    def __init__(
        self,
        calls: Sequence[ToolCall],
        tools: Mapping[str, Tool],
        middleware: Sequence[Middleware],
        span: telemetry.Span,
    ) -> None:
        self._calls = calls
        self._tools = tools
        self._around = [one for one in middleware if overridden(one, "around_tool")]
        self._span = span

    def run(self) -> list[ToolResult | Exception]:
        """One call where we are, several on threads."""
        if len(self._calls) == 1:
            return [self._run(self._calls[0])]
        pool = ThreadPoolExecutor(min(len(self._calls), MOST_AT_ONCE), thread_name_prefix="ai-infra-tool")
        try:
            waiting = [pool.submit(contextvars.copy_context().run, self._run, call) for call in self._calls]
            # What stands around one may raise: the others do not go on behind the caller's back.
            wait(waiting)
            return [_outcome(one.exception() or one.result()) for one in waiting]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    async def arun(self) -> list[ToolResult | Exception]:
        """All at once: coroutines in this loop, plain functions on threads of their own."""
        if len(self._calls) == 1:
            return [await self._arun(self._calls[0])]
        threads = asyncio.Semaphore(MOST_AT_ONCE)

        async def one(call: ToolCall) -> ToolResult:
            if self._is_async(call):
                return await self._arun(call)
            async with threads:
                return await self._arun(call)

        done = await asyncio.gather(*(one(call) for call in self._calls), return_exceptions=True)
        return [_outcome(one) for one in done]

    def _is_async(self, call: ToolCall) -> bool:
        tool = self._tools.get(call.name)
        return tool is not None and tool.is_async

    def _run(self, call: ToolCall) -> ToolResult:
        run: Callable[[ToolCall], ToolResult] = self._call
        for one in reversed(self._around):
            require_plain(one, "around_tool")
            run = partial(_within, one, run)
        return run(call)

    async def _arun(self, call: ToolCall) -> ToolResult:
        run: Callable[[ToolCall], Awaitable[ToolResult]] = self._acall
        for one in reversed(self._around):
            run = partial(_awithin, one, run)
        return await run(call)

    def _call(self, call: ToolCall) -> ToolResult:
        with telemetry.tool(self._span, call) as span:
            found = self._found(call)
            if isinstance(found, ToolResult):
                return span.told(found)
            try:
                answer = found()
                if _is_coming(answer):
                    answer = in_background(_arrived(answer))
                return span.told(_written(answer))
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever a tool raises, the model is told
                return span.told(_failure(call, error))

    async def _acall(self, call: ToolCall) -> ToolResult:
        with telemetry.tool(self._span, call) as span:
            found = self._found(call)
            if isinstance(found, ToolResult):
                return span.told(found)
            try:
                answer = found() if self._is_async(call) else await apart(found)
                return span.told(_written(await _arrived(answer)))
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                return span.told(
                    _failure(call, error)
                )  # of something inside the tool: nobody cancelled the run
            except Exception as error:  # noqa: BLE001 - as above
                return span.told(_failure(call, error))

    def _found(self, call: ToolCall) -> Callable[[], Any] | ToolResult:
        """The call to make, or why it cannot be made."""
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join(sorted(self._tools)) or "none"
            return ToolResult(f"Error: there is no tool {call.name!r}. The tools are: {known}.", failed=True)
        try:
            args, kwargs = tool.bind(call.arguments)
        except InvalidInputError as error:
            return ToolResult(clean(f"Error: {error}"), failed=True)
        return partial(_called, tool.function, args, kwargs)


def _outcome(found: ToolResult | BaseException) -> ToolResult | Exception:
    if isinstance(found, ToolResult | Exception):
        return found
    raise found


def _called(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What the function gives; of a generator or another iterator, all that it yields."""
    try:
        answer = function(*args, **kwargs)
        return list(answer) if isinstance(answer, Iterator) else answer
    except SystemExit as error:
        # As argparse raises. Out of a thread it would end an event loop with all that it serves; in the main thread
        # it may come from a signal, and the process is to end.
        if threading.current_thread() is threading.main_thread():
            raise
        raise RuntimeError(f"the tool called sys.exit({error.code!r})") from None


def _is_coming(answer: Any) -> bool:
    return inspect.isawaitable(answer) or isinstance(answer, AsyncIterator)


async def _arrived(answer: Any) -> Any:
    """What an async function gives; of an async generator or iterator, all that it yields."""
    if inspect.isawaitable(answer):
        answer = await answer
    if isinstance(answer, AsyncIterator):
        return [one async for one in answer]
    return list(answer) if isinstance(answer, Iterator) else answer


def _within(one: Middleware, run: Callable[[ToolCall], ToolResult], call: ToolCall) -> ToolResult:
    return _checked(one, one.around_tool(call, run))


async def _awithin(
    one: Middleware, run: Callable[[ToolCall], Awaitable[ToolResult]], call: ToolCall
) -> ToolResult:
    return _checked(one, await one.aaround_tool(call, run))


def _checked(one: Middleware, result: Any) -> ToolResult:
    content = result.content if isinstance(result, ToolResult) else result
    if not isinstance(content, str):
        what = f"a ToolResult of {type(content).__name__}" if result is not content else type(result).__name__
        raise ConfigurationError(
            f"around_tool of {type(one).__name__} returned {what}; it returns a ToolResult of text, or a string."
        )
    return ToolResult(clean(str(content)), failed=isinstance(result, ToolResult) and result.failed)


def _failure(call: ToolCall, error: BaseException) -> ToolResult:
    if isinstance(error.__cause__, StopIteration) and str(error) == "coroutine raised StopIteration":
        error = error.__cause__  # what the tool raised: no coroutine lets it out as that
    # The error's own words may hold what a user said: they go to the model, and not into the log.
    log.warning("the tool %s failed: %s", call.name, type(error).__name__)
    try:
        words = f": {error}"
    except Exception:  # noqa: BLE001 - an error that cannot even be told is still the tool's
        words = ""
    return ToolResult(clean(f"Error: {type(error).__name__}{words}"), failed=True)


def _written(answer: Any) -> ToolResult:
    try:
        return ToolResult(text_of(answer))
    except Exception as error:  # noqa: BLE001 - the call was made: told as a failure, the model would repeat it
        what = type(answer).__name__
        log.warning("what a tool returned, a %s, could not be written: %s", what, type(error).__name__)
        return ToolResult(f"The call was made. What it returned, a {what}, could not be written as text.")


def text_of(answer: Any) -> str:
    """What a tool returned, as text: a string as it is, anything else as JSON.

    What JSON has no words for (NaN, keys that are tuples, a list that holds itself) makes it what Python prints.
    """
    if isinstance(answer, str):
        return clean(str(answer))
    if hasattr(answer, "model_dump_json"):
        return clean(answer.model_dump_json())
    try:
        return clean(json.dumps(answer, ensure_ascii=False, allow_nan=False, default=_plain))
    except (TypeError, ValueError, RecursionError):
        return clean(repr(answer))


def _plain(value: Any) -> Any:
    if isinstance(value, Iterator):
        return list(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    return str(value)


class _Background:
    """An event loop on a thread, where the sync world runs async tools: what they open stays usable.

    An async tool that calls an agent's ``run`` holds its loop until that is over. So the async tools of that
    agent get the next loop: there is one for each depth of such calls.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._loops: list[asyncio.AbstractEventLoop] = []

    def loop(self, depth: int) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._loops = os.getpid(), []
            while len(self._loops) <= depth:
                loop = asyncio.new_event_loop()
                threading.Thread(target=loop.run_forever, name="ai-infra-async-tools", daemon=True).start()
                self._loops.append(loop)
            return self._loops[depth]


_background = _Background()
_depth = contextvars.ContextVar("ai_infra_async_tools", default=0)
"""How many of the background loops are held by what called here."""


def in_background(answer: Awaitable[Any]) -> Any:
    """Wait for ``answer`` from a thread that runs no event loop, or must not wait on its own."""

    depth = _depth.get()

    async def arrived() -> Any:
        _depth.set(depth + 1)  # in the context of this task, and of the threads that copy it
        return await answer

    return asyncio.run_coroutine_threadsafe(arrived(), _background.loop(depth)).result()
