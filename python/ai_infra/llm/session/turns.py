"""A turn from its beginning to its end: what is read, what the model is shown, what is written.

Nothing of a turn is stored before its end. Then the whole of it is appended in one transaction, if the
session is still as it was read; so a worker that is killed at any moment leaves finished turns and nothing
else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Any

from ai_infra._checks import micros_of
from ai_infra._core import canonical_json, check_key
from ai_infra._flow import Call, Flow
from ai_infra.errors import ConflictError, InvalidInputError, SessionNotFoundError, StorageError
from ai_infra.llm.memory.middleware import SummarizationMiddleware
from ai_infra.llm.session.gate import Gate
from ai_infra.llm.session.log import FIRST_READ, Log, Missing, parsed
from ai_infra.llm.session.prompt import OpenTurn, Policy, shown
from ai_infra.llm.session.state import State
from ai_infra.messages import fields_of
from ai_infra.storage.sessions import SessionBackend

__all__ = ["OpenTurn", "Policy", "Turns", "new_id", "row_of"]

log = logging.getLogger("ai_infra.session")

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
KNOWN_SESSIONS = 512
"""Sessions whose newest messages are kept in memory, so that a turn reads only what is new."""

LEASE = 60.0
"""Seconds for which a worker that lost a race may ask the others to let it finish."""


class Turns:
    """Opens, shows and closes the turns of the sessions in one backend."""

    def __init__(
        self, backend: SessionBackend, policy: Policy, *, wait: float, clock: Callable[[], float]
    ) -> None:
        self.policy = policy
        self._backend = backend
        self._gate = Gate(wait)
        self._wait = wait
        self._clock = clock
        self._lock = Lock()
        self._logs: OrderedDict[str, Log] = OrderedDict()

    def now(self) -> int:
        """Microseconds since 1970 UTC; ``ConfigurationError`` where the clock says no time."""
        return micros_of(self._clock)

    def look(self, session: str) -> Flow[OpenTurn]:
        """A session as it is now, beside whatever turn is under way."""
        check_key(session, "session_id")
        turn = OpenTurn(session, new_id())
        tail = yield from self._backend.load(session, ref=0, start=0, last=0)
        if tail is not None:
            turn.head, turn.state = tail.head, State.load(tail.head.state)
        return turn

    def begin(self, session: str, turn_id: str | None) -> Flow[OpenTurn]:
        """Wait for the turns before this one, and read the session. :meth:`end` must follow."""
        for name, id_ in (("session_id", session), ("turn_id", turn_id)):
            if id_ is not None and (not isinstance(id_, str) or not id_):
                raise InvalidInputError(f"{name} is a non-empty string, not {id_!r}.")
        turn = OpenTurn(session, new_id() if turn_id is None else turn_id, named=turn_id is not None)
        check_key(session)
        check_key(turn.turn_id)
        yield from self._gate.enter(session)
        try:
            yield from self.load(turn)
        except BaseException:
            self._gate.leave(session)
            raise
        return turn

    def end(self, turn: OpenTurn) -> None:
        """Let the next turn of the session begin."""
        self._gate.leave(turn.session)

    def load(self, turn: OpenTurn) -> Flow[None]:
        """Read the session as it is now; wait while another worker has asked to be alone."""
        give_up = time.monotonic() + self._wait
        pause = 0.01
        while True:
            yield from self._read(turn)
            lease = turn.state.lease
            if (
                not lease
                or lease[0] == turn.turn_id
                or lease[1] <= self.now()
                or lease[1] > self.now() + 2e6 * LEASE
            ):
                return
            if time.monotonic() > give_up:
                raise ConflictError(
                    f"the session {turn.session!r} was busy with turns of other workers for "
                    f"{self._wait:,.6g} s; try again later"
                )
            seconds = pause * random.uniform(0.5, 1.0)
            yield Call(partial(time.sleep, seconds), partial(asyncio.sleep, seconds))
            pause = min(2 * pause, 0.25)

    def again(self, turn: OpenTurn) -> Flow[None]:
        """After a conflict: read the session anew, and ask the other workers to let this turn finish."""
        give_up = time.monotonic() + self._wait
        log.info("turn %s lost a race, and is made again on what is there now", turn.turn_id)
        while True:
            yield from self.load(turn)
            if turn.named and (yield from self.found(turn)) is not None:
                return
            try:
                yield from self.keep(turn, replace(turn.state, lease=self.lease(turn)))
            except ConflictError:
                if time.monotonic() > give_up:
                    raise
                continue
            return

    def lease(self, turn: OpenTurn) -> list[Any]:
        """What a state holds to ask the other workers to let this turn finish."""
        return [turn.turn_id, self.now() + round(LEASE * 1e6)]

    def renew(self, turn: OpenTurn) -> Flow[None]:
        """Ask for more time when half of what :meth:`again` asked for is over."""
        lease = turn.state.lease
        if lease and lease[0] == turn.turn_id and lease[1] < self.now() + LEASE * 5e5:
            yield from self.keep(turn, replace(turn.state, lease=self.lease(turn)))

    def release(self, turn: OpenTurn) -> Flow[None]:
        """Let the other workers go on, when the turn that they were asked to wait for has failed."""
        lease = turn.state.lease
        if lease and lease[0] == turn.turn_id:
            # The turn's own failure is what has to be told; a lease ends by itself.
            with contextlib.suppress(ConflictError, StorageError):
                yield from self.keep(turn, replace(turn.state, lease=None))

    def found(self, turn: OpenTurn) -> Flow[list[Any] | None]:
        """The messages of the turn where it was appended before."""
        if turn.head is None:
            return None
        there = yield from self._backend.turn(turn.head.ref, turn.turn_id)
        if there is None:
            return None
        rows = yield from self._backend.read(turn.head.ref, there.start, there.end)
        return parsed(rows)

    def _read(self, turn: OpenTurn) -> Flow[None]:
        with self._lock:
            known = self._logs.pop(turn.session, None) or Log(0)
        tail = yield from self._backend.load(turn.session, ref=known.ref, start=known.length, last=FIRST_READ)
        if tail is None:
            turn.head, turn.log, turn.state = None, Log(0), State()
            return
        if tail.head.ref != known.ref:
            known = Log(tail.head.ref)
        known.take(tail)
        turn.head, turn.log, turn.state = tail.head, known, State.load(tail.head.state)
        self._remember(turn)

    def _remember(self, turn: OpenTurn) -> None:
        with self._lock:
            self._logs[turn.session] = turn.log
            self._logs.move_to_end(turn.session)
            while len(self._logs) > KNOWN_SESSIONS:
                self._logs.popitem(last=False)

    def forget(self, session: str) -> None:
        """Drop what is kept in memory of a session."""
        with self._lock:
            self._logs.pop(session, None)

    def append(self, turn: OpenTurn, messages: Sequence[Any], state: State) -> Flow[None]:
        """Append the messages of the turn and set the state, in one transaction. Ends nothing else.

        Raises:
            ConflictError: the session is not what was read; nothing was written.
        """
        rows = [row_of(message) for message in messages]
        state = replace(state, lease=None)
        head = yield from self._backend.append(
            turn.session, turn.expected, turn.turn_id, rows, state.dump(), self.now()
        )
        if turn.named:
            there = yield from self._backend.turn(head.ref, turn.turn_id)
            found = [] if there is None else (yield from self._backend.read(head.ref, there.start, there.end))
            if found != rows:
                raise ConflictError(
                    f"the turn {turn.turn_id!r} was appended by somebody else, with another answer."
                )
        if turn.log.ref != head.ref:
            turn.log = Log(head.ref)
        if head.length == turn.log.length + len(rows):
            turn.log.add(parsed(rows))
            turn.log.trim()
            self._remember(turn)
        turn.head, turn.state = head, state

    def keep(self, turn: OpenTurn, state: State) -> Flow[None]:
        """Set the state and nothing else. Raises as :meth:`append`."""
        head = yield from self._backend.append(
            turn.session, turn.expected, turn.turn_id, [], state.dump(), self.now()
        )
        if turn.log.ref != head.ref:
            turn.log = Log(head.ref)
        turn.head, turn.state = head, state

    def prompt(
        self,
        turn: OpenTurn,
        before: list[Any],
        messages: list[Any],
        *,
        model: str | None,
        tool_tokens: int = 0,
        compactor: SummarizationMiddleware | None = None,
    ) -> Flow[list[Any]]:
        """What the model is shown: the system prompt, the summary, the end of the log, the turn so far."""
        while True:
            try:
                return (yield from shown(self.policy, turn, before, messages, model, tool_tokens, compactor))
            except Missing as gap:
                missing = gap
            rows = yield from self._backend.read(turn.log.ref, missing.start, missing.end)
            if len(rows) < missing.end - missing.start:
                raise SessionNotFoundError(
                    f"the session {turn.session!r} was deleted while a turn was under way."
                )
            turn.log.fill(missing.start, rows)


def new_id() -> str:
    """An id that nobody has used."""
    return uuid.uuid4().hex


def row_of(message: Any) -> str:
    """A message as it is stored.

    Raises:
        InvalidMessageError: it is none.
        InvalidValueError, InvalidTextError: JSON cannot hold it; says where.
    """
    return canonical_json(dict(fields_of(message)), MAX_MESSAGE_BYTES)
