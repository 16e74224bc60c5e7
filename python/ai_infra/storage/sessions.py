"""What a backend of :mod:`ai_infra.llm.session` has to do.

A session is an append-only log of messages under an id, cut into turns, and one small JSON *state* beside it
(the rolling summary, a turn that waits for a person). The log of a session holds whole turns only: a turn is
appended at its end, in one transaction, together with the state as it then is. So whatever kills a worker,
what is stored is a sequence of finished turns.

Every incarnation of a session has a ``ref`` that is never used again, also not after the session was deleted
and made anew, and a ``version`` that grows with every change. A writer names the pair it has read: who read
something older gets :class:`~ai_infra.errors.ConflictError` and nothing is written. A turn has an id of the
writer's choice: the same turn appended again (because the answer to a COMMIT was lost) is found, not doubled.

Each method returns a :data:`~ai_infra._flow.Flow`. Times are whole microseconds since 1970 UTC. Session ids
and turn ids are checked with ``check_key`` of the core before anything is done; messages and states arrive as
canonical JSON. :mod:`ai_infra.testing.sessions` holds a backend to all of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ai_infra._flow import Flow


class Head(NamedTuple):
    """A session without its messages."""

    ref: int
    """This incarnation of the session; never used again."""
    version: int
    """Grows with every change."""
    length: int
    """How many messages the log holds: the position of the next one."""
    turns: int
    """How many turns were appended."""
    created_at: int
    updated_at: int
    state: str | None
    """JSON, or None."""


class Tail(NamedTuple):
    """A session and messages from ``start`` to the end of its log, all read at one moment."""

    head: Head
    start: int
    messages: list[str]


class Turn(NamedTuple):
    """Where a turn lies in the log: positions ``start`` to ``end``, not included."""

    turn_id: str
    start: int
    end: int


Expected = tuple[int, int]
"""``(ref, version)`` as a :class:`Head` had them; ``(0, 0)``: there is no such session."""

NEW: Expected = (0, 0)


class SessionBackend(Protocol):
    """Append-only logs of messages."""

    def load(self, session: str, *, ref: int, start: int, last: int) -> Flow[Tail | None]:
        """The session now, in one round trip; None where there is none.

        With the messages from position ``start`` on when its ref is still ``ref`` (what is before them is
        known to the caller), otherwise with the newest ``last``. Never more than the newest ``last``.
        """

    def read(self, ref: int, start: int, end: int) -> Flow[list[str]]:
        """The messages at positions ``start`` to ``end`` (not included), in order; fewer where the log ends,
        none when this incarnation is gone."""

    def append(
        self,
        session: str,
        expected: Expected,
        turn_id: str,
        messages: Sequence[str],
        state: str | None,
        now: int,
    ) -> Flow[Head]:
        """Append a turn and set the state, both or nothing; durable when it returns. Makes the session when
        ``expected`` is ``(0, 0)``.

        Without messages it only sets the state: no turn is counted and ``turn_id`` is not kept.
        If this incarnation already has a turn ``turn_id`` with so many messages, nothing is written and the
        session is returned as it is now.

        Raises:
            ConflictError: the session is not as expected (somebody appended, deleted or made it).
        """

    def turn(self, ref: int, turn_id: str) -> Flow[Turn | None]:
        """The turn with this id; None where there is none."""

    def turns(self, ref: int) -> Flow[list[Turn]]:
        """All turns of an incarnation, oldest first; none when it is gone."""

    def fork(self, ref: int, target: str, end: int, state: str | None, now: int) -> Flow[Head | None]:
        """Make ``target`` with the messages before position ``end`` (where a turn ends), their turns with
        their ids, and ``state``. None when the incarnation ``ref`` is gone.

        Raises:
            ConflictError: ``target`` exists.
        """

    def list(self, *, prefix: str, limit: int | None, offset: int) -> Flow[list[tuple[str, Head]]]:
        """The sessions whose id begins with ``prefix``, the one changed last first; of equals, by id."""

    def delete(self, session: str) -> Flow[bool]:
        """Delete a session with its messages; False where there was none."""

    def close(self) -> Flow[None]:
        """Let running operations finish, then close. Later calls raise ``StorageClosedError``."""
