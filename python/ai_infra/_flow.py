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

import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial, update_wrapper
from types import TracebackType
from typing import Any, NoReturn, ParamSpec, Protocol, Self, TypeVar

from ai_infra.errors import AIInfraError

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


class Apart:
    """The request to run code of the caller's: here in the sync world, :func:`apart` in the async one."""

    __slots__ = ("run",)

    def __init__(self, call: Callable[[], Any]) -> None:
        self.run = call

    def arun(self) -> Awaitable[Any]:
        """Run it on a thread of its own."""
        return apart(self.run)


def on_thread(call: Callable[[], T]) -> Flow[T]:
    """The flow of one :class:`Threaded` request."""
    answer: T = yield Threaded(call)
    return answer


async def _to_thread(call: Callable[[], T]) -> T:
    import asyncio  # a third of what a memory in the sync world would import

    return await asyncio.to_thread(call)


async def apart(call: Callable[[], T]) -> T:
    """Run code of the caller's (a tool, an embedder, a model) on a thread of its own, with the context of here.

    The threads of the loop are for what is ours and short. The caller's code may take its time, or wait for a
    call inside it that needs a thread too: with threads that are counted, those who wait would take the last one
    from what they wait for. A ``StopIteration`` comes as a ``RuntimeError``, as out of any coroutine.
    """
    import asyncio
    import contextvars

    loop = asyncio.get_running_loop()
    done: asyncio.Future[Callable[[], T]] = loop.create_future()

    def tell(outcome: Callable[[], T]) -> None:
        if not done.done():  # who waits may have been cancelled
            done.set_result(outcome)

    def work(context: contextvars.Context) -> None:
        # An outcome is something to call: a future refuses to hold a StopIteration.
        outcome: Callable[[], T]
        try:
            outcome = partial(_same, context.run(call))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome = partial(_raised, error)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, outcome)

    threading.Thread(target=work, args=(contextvars.copy_context(),), name="ai-infra-call").start()
    return (await done)()


def _same(answer: T) -> T:
    return answer


def _raised(error: BaseException) -> NoReturn:
    raise error


class _Insisting:
    """The request to end a flow, whatever becomes of who has asked for it."""

    __slots__ = ("_flow",)

    def __init__(self, flow: Callable[[], Flow[Any]]) -> None:
        self._flow = flow

    def run(self) -> Any:
        return run(self._flow())

    async def arun(self) -> Any:
        import asyncio

        task = asyncio.ensure_future(arun(self._flow()))
        _under_way.add(task)
        task.add_done_callback(_under_way.discard)
        return await asyncio.shield(task)


_under_way: set[Any] = set()
"""Tasks that nobody may wait for any more; the loop itself keeps none alive."""


def insist(flow: Callable[[], Flow[T]]) -> Flow[T]:
    """What is to be done when a task is cancelled: a second cancellation only stops the waiting for it."""
    answer: T = yield _Insisting(flow)
    return answer


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
    except StopIteration as stop:
        # Thrown in as it is, Python would speak of a generator of which the caller knows nothing.
        error = RuntimeError("what was called let out a StopIteration: give next() a default")
        error.__cause__ = stop
        return flow.throw(error)
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


class OneAtATime:
    """Lets one task or thread use a stream; another is refused until it has what it waits for.

    Raises:
        AIInfraError: of the class given, when entered by a second one.
    """

    def __init__(self, refusal: type[AIInfraError]) -> None:
        self._refusal = refusal
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise self._refusal(
                "another task or thread reads this stream at this moment. One reads and closes it; to end it from "
                "elsewhere, cancel the task that reads, or tell the thread to stop reading."
            )

    def __exit__(self, *_: object) -> None:
        self._lock.release()


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
