"""One operation, two worlds: the sync and the async face of everything that does I/O.

An operation that needs something from outside is written once, as a generator that *yields* a request
and receives the answer. A request is any object with two methods::

    class Request(Protocol):
        def run(self) -> Any: ...            # do it now, blocking
        async def arun(self) -> Any: ...     # do it without blocking the event loop

:func:`run` and :func:`arun` drive such a generator to its return value. An exception raised by a request
is thrown into the generator at the ``yield``, so ``try`` works there as anywhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial, update_wrapper
from types import TracebackType
from typing import Any, ParamSpec, Protocol, Self, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class Request(Protocol):
    """Something an operation needs from outside, in both worlds."""

    def run(self) -> Any:
        """Do it, blocking."""

    def arun(self) -> Awaitable[Any]:
        """Do it, without blocking the event loop."""


class Call:
    """A request made of two callables, one for each world."""

    __slots__ = ("arun", "run")

    def __init__(self, run: Callable[[], Any], arun: Callable[[], Awaitable[Any]]) -> None:
        self.run = run
        self.arun = arun


Flow = Generator[Request, Any, T]


class Threaded:
    """The request to do what blocks or computes: here in the sync world, on a thread in the async one."""

    __slots__ = ("run",)

    def __init__(self, call: Callable[[], Any]) -> None:
        self.run = call

    def arun(self) -> Awaitable[Any]:
        """Do it on a thread."""
        return _to_thread(self.run)


def on_thread(call: Callable[[], T]) -> Flow[T]:
    """The flow of one :class:`Threaded` request."""
    answer: T = yield Threaded(call)
    return answer


async def _to_thread(call: Callable[[], T]) -> T:
    import asyncio  # a third of what a memory in the sync world would import

    return await asyncio.to_thread(call)


def run(flow: Flow[T]) -> T:
    """Drive ``flow`` to its end, blocking on each request."""
    try:
        request = next(flow)
        while True:
            request = advance(flow, request)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()


async def arun(flow: Flow[T]) -> T:
    """Drive ``flow`` to its end, awaiting each request. Cancellation is thrown into the flow too."""
    try:
        request = next(flow)
        while True:
            request = (await aanswer(flow, request))()
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()


def advance(flow: Flow[Any], request: Request) -> Request:
    """Do what ``flow`` has asked for, and go on to what it asks for next. ``StopIteration`` is its end."""
    try:
        answer = request.run()
    except BaseException as error:  # noqa: BLE001 - handed to the flow, which decides
        return flow.throw(error)
    return flow.send(answer)


async def aanswer(flow: Flow[Any], request: Request) -> Callable[[], Request]:
    """Do what ``flow`` has asked for. Calling what is returned goes on: no coroutine can raise its end."""
    try:
        answer = await request.arun()
    except BaseException as error:  # noqa: BLE001 - as above
        return partial(flow.throw, error)
    return partial(flow.send, answer)


def blocking(operation: Callable[P, Flow[T]], name: str) -> Callable[P, T]:
    """The sync face of an operation, called ``name``, with the operation's signature and docstring."""

    def face(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(operation(*args, **kwargs))

    # Python names it where a call does not fit its signature.
    operation.__qualname__ = name
    return _named(face, operation, name)


def awaiting(operation: Callable[P, Flow[T]], name: str) -> Callable[P, Coroutine[Any, Any, T]]:
    """The async face of an operation, called ``name``, with the operation's signature and docstring."""

    async def face(*args: P.args, **kwargs: P.kwargs) -> T:
        return await arun(operation(*args, **kwargs))

    return _named(face, operation, name)


F = TypeVar("F", bound=Callable[..., Any])


def _named(face: F, operation: Callable[..., Any], name: str) -> F:
    update_wrapper(face, operation)
    face.__name__ = name
    face.__qualname__ = name
    return face


class Closing:
    """What has to be closed, as a context manager in both worlds."""

    def close(self) -> None:
        """Close it."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """:meth:`close` for asyncio."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
