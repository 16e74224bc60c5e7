"""Sessions in the core's SQLite engine: a file that threads and processes share, or memory.

One call into the core is one whole operation, with the GIL released; on a file the async face runs that call
on a thread. In memory it takes microseconds and waits for no disk, so it runs where it is.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from ai_infra._core import LocalSessions, check_key
from ai_infra._flow import Call, Flow
from ai_infra.storage.local_place import local_place
from ai_infra.storage.sessions import Expected, Head, Tail, Turn

T = TypeVar("T")


class LocalSessionBackend:
    """Sessions in one SQLite file, or in memory.

    Args:
        path: the file; None for memory. It may be the file of a :class:`~ai_infra.llm.memory.MemoryStore`. A
            path that begins with ``file:`` is a path.
        timeout: seconds an operation may wait for other writers.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, timeout: float = 30.0) -> None:
        place, wait = local_place(path, timeout)
        self._core = LocalSessions(place, wait)
        self._elsewhere: Callable[[Callable[[], Any]], Awaitable[Any]] = (
            _here if place is None else asyncio.to_thread
        )

    def _flow(self, call: Callable[[], T]) -> Flow[T]:
        answer: T = yield Call(call, lambda: self._elsewhere(call))
        return answer

    def load(self, session: str, *, ref: int, start: int, last: int) -> Flow[Tail | None]:
        """The session and the end of its log."""
        check_key(session, "session_id")

        def call() -> Tail | None:
            found = self._core.load(session, ref, start, last)
            return found and Tail(Head._make(found[0]), found[1], found[2])

        return self._flow(call)

    def read(self, ref: int, start: int, end: int) -> Flow[list[str]]:
        """Messages by position."""
        return self._flow(lambda: self._core.read(ref, start, end))

    def append(
        self,
        session: str,
        expected: Expected,
        turn_id: str,
        messages: Sequence[str],
        state: str | None,
        now: int,
    ) -> Flow[Head]:
        """Append a turn and set the state."""
        check_key(session, "session_id")
        check_key(turn_id, "turn_id")
        rows = list(messages)
        return self._flow(lambda: Head._make(self._core.append(session, expected, turn_id, rows, state, now)))

    def turn(self, ref: int, turn_id: str) -> Flow[Turn | None]:
        """One turn."""
        check_key(turn_id, "turn_id")

        def call() -> Turn | None:
            found = self._core.turn(ref, turn_id)
            return found and Turn._make(found)

        return self._flow(call)

    def turns(self, ref: int) -> Flow[list[Turn]]:
        """All turns."""
        return self._flow(lambda: [Turn._make(row) for row in self._core.turns(ref)])

    def fork(self, ref: int, target: str, end: int, state: str | None, now: int) -> Flow[Head | None]:
        """Make a session of the beginning of another."""
        check_key(target, "session_id")

        def call() -> Head | None:
            found = self._core.fork(ref, target, end, state, now)
            return found and Head._make(found)

        return self._flow(call)

    def list(self, *, prefix: str, limit: int | None, offset: int) -> Flow[list[tuple[str, Head]]]:
        """Sessions, the one changed last first."""
        if prefix:
            check_key(prefix, "prefix")
        return self._flow(
            lambda: [(id_, Head._make(row)) for id_, row in self._core.list(prefix, limit, offset)]
        )

    def delete(self, session: str) -> Flow[bool]:
        """Delete a session."""
        check_key(session, "session_id")
        return self._flow(lambda: self._core.delete(session))

    def close(self) -> Flow[None]:
        """Close once running operations are done."""
        return self._flow(self._core.close)


async def _here(call: Callable[[], T]) -> T:
    return call()
