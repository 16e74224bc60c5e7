"""One turn at a time for each session, among the threads and tasks of this process.

Between processes the log itself decides (compare and append). Here waiting in line saves the model calls that
the losers of such a race would have made for nothing.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from ai_infra._flow import Call, Flow
from ai_infra.errors import ConflictError


class Gate:
    """Lets one turn of each session pass; the others wait in the order in which they came.

    Args:
        wait: seconds that a turn waits for those before it.
    """

    def __init__(self, wait: float) -> None:
        self._wait = wait
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._lines: dict[str, deque[Future[None]]] = {}

    def enter(self, session: str) -> Flow[None]:
        """Wait until it is this turn's turn.

        Raises:
            ConflictError: the ones before it took too long; as happens to a tool that runs an agent on the
                session it is called from.
        """
        with self._lock:
            if self._pid != os.getpid():  # after a fork: those who held it are not here
                self._pid, self._lines = os.getpid(), {}
            line = self._lines.get(session)
            if line is None:
                self._lines[session] = deque()
                return
            place: Future[None] = Future()
            line.append(place)
        began = time.monotonic()
        try:
            yield Call(lambda: place.result(self._wait), lambda: self._awaited(place))
        except BaseException as error:
            # The place may have been given in the very moment the waiting ended.
            if not place.cancel():
                self.leave(session)
            # A signal handler of the caller's may raise the same kind of error, before the time is over.
            over = time.monotonic() - began >= self._wait - 0.01
            if over and isinstance(error, FutureTimeout | TimeoutError):
                raise ConflictError(
                    f"the session {session!r} was busy with other turns for {self._wait:,.6g} s; "
                    "try again later"
                ) from None
            raise

    def leave(self, session: str) -> None:
        """Let the next one pass."""
        with self._lock:
            line = self._lines.get(session)
            while line:
                place = line.popleft()
                if place.set_running_or_notify_cancel():
                    place.set_result(None)
                    return
            self._lines.pop(session, None)

    async def _awaited(self, place: Future[None]) -> None:
        # Shielded: cancelling is done above, where the place is given back when it had been won already.
        async with asyncio.timeout(self._wait):
            await asyncio.shield(asyncio.wrap_future(place))
