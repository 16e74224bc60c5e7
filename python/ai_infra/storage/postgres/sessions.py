"""Sessions on PostgreSQL: append-only logs. See ``sql/sessions.sql`` for the statements."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from ai_infra._core import check_key
from ai_infra._flow import Flow
from ai_infra.errors import ConflictError
from ai_infra.storage.postgres.base import PostgresBase
from ai_infra.storage.postgres.work import Ask, Script
from ai_infra.storage.sessions import NEW, Expected, Head, Tail, Turn


class PostgresSessionBackend(PostgresBase):
    """Append-only logs of messages in a PostgreSQL database; arguments as for ``PostgresBase``."""

    def __init__(self, dsn: str, **options: Any) -> None:
        super().__init__(dsn, "sessions.sql", **options)

    def load(self, session: str, *, ref: int, start: int, last: int) -> Flow[Tail | None]:
        """The session and the end of its log, in one round trip."""
        session = check_key(session, "session_id")
        rows = yield from self._ask(
            self._sql["load"], {"id": session, "ref": ref, "start": start, "last": last}
        )
        return Tail(Head._make(rows[0][:7]), rows[0][7], rows[0][8]) if rows else None

    def read(self, ref: int, start: int, end: int) -> Flow[list[str]]:
        """Messages by position."""
        rows = yield from self._ask(self._sql["read"], {"ref": ref, "start": start, "end": end})
        return [row[0] for row in rows]

    def append(
        self,
        session: str,
        expected: Expected,
        turn_id: str,
        messages: Sequence[str],
        state: str | None,
        now: int,
    ) -> Flow[Head]:
        """Append a turn and set the state: one statement, all or nothing."""
        session = check_key(session, "session_id")
        turn_id = check_key(turn_id, "turn_id")
        parameters = {
            "tenant": self._tenant,
            "id": session,
            "ref": expected[0],
            "version": expected[1],
            "turn": turn_id,
            "messages": list(messages),
            "count": len(messages),
            "state": state,
            "write": uuid.uuid4(),
            "now": now,
        }

        def script() -> Script[Head]:
            rows = yield Ask(self._sql["create" if tuple(expected) == NEW else "append"], parameters)
            if rows:
                return Head._make(rows[0])
            found = yield Ask(self._sql["found"], parameters)
            return _there(session, tuple(expected), turn_id, len(messages), found)

        return (yield from self._work(script))

    def turn(self, ref: int, turn_id: str) -> Flow[Turn | None]:
        """One turn."""
        turn_id = check_key(turn_id, "turn_id")
        rows = yield from self._ask(self._sql["turn"], {"ref": ref, "turn": turn_id})
        return Turn._make(rows[0]) if rows else None

    def turns(self, ref: int) -> Flow[list[Turn]]:
        """All turns."""
        rows = yield from self._ask(self._sql["turns"], {"ref": ref})
        return [Turn._make(row) for row in rows]

    def fork(self, ref: int, target: str, end: int, state: str | None, now: int) -> Flow[Head | None]:
        """Make a session of the beginning of another."""
        target = check_key(target, "session_id")
        parameters = {
            "tenant": self._tenant,
            "id": target,
            "ref": ref,
            "end": end,
            "state": state,
            "turn": target,
            "write": uuid.uuid4(),
            "now": now,
        }

        def script() -> Script[Head | None]:
            rows = yield Ask(self._sql["fork"], parameters)
            if rows:
                return Head._make(rows[0])
            if not (yield Ask(self._sql["there"], parameters)):
                return None
            found = yield Ask(self._sql["found"], parameters)
            return _there(target, NEW, target, 0, found)

        return (yield from self._work(script))

    def list(self, *, prefix: str, limit: int | None, offset: int) -> Flow[list[tuple[str, Head]]]:
        """Sessions, the one changed last first."""
        if prefix:
            prefix = check_key(prefix, "prefix")
        rows = yield from self._ask(self._sql["list"], {"prefix": prefix, "limit": limit, "offset": offset})
        return [(row[0], Head._make(row[1:])) for row in rows]

    def delete(self, session: str) -> Flow[bool]:
        """Delete a session."""
        session = check_key(session, "session_id")

        def script() -> Script[bool]:
            rows = yield Ask(self._sql["delete"], {"tenant": self._tenant, "id": session})
            if rows:
                # A statement of its own: it sees the turns of an append that the first one waited for.
                yield Ask(self._sql["delete_log"], {"tenant": self._tenant, "ref": rows[0][0]})
            return bool(rows)

        return (yield from self._work(script, atomic=True))


def _there(session: str, expected: tuple[int, ...], turn_id: str, count: int, found: list[Any]) -> Head:
    """What is there in place of what was expected: our own work of an earlier attempt, or a conflict."""
    head = Head._make(found[0][:7]) if found else None
    if head is None:
        there = "was deleted"
    else:
        ours, length = found[0][7:]
        if (count and length == count) or (ours and not count):
            return head
        if count and length is not None and (head.ref, head.version) == expected:
            raise ConflictError(
                f"the session already has a turn {turn_id!r} with other messages; give every turn an "
                "id of its own"
            )
        if expected == NEW:
            there = "exists already"
        else:
            there = "was changed by somebody else" if head.ref == expected[0] else "was deleted and made anew"
    raise ConflictError(f"the session {session!r} {there}; read it again, then retry")
