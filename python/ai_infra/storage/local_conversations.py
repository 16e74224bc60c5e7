"""Conversations in the core's SQLite engine: a file that threads and processes share, or memory.

One call into the core is one whole operation, with the GIL released; the async face runs it on a thread.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ai_infra._core import ConversationIndex, LocalConversations
from ai_infra._flow import Flow, on_thread
from ai_infra.storage.conversations import Changes, Head, Picked, Put, State, Stored, Totals, Write
from ai_infra.storage.local_place import local_place


def _stored(row: Any) -> Stored:
    return Stored(Head._make(row[0]), row[1], row[2])


class LocalConversationBackend:
    """Conversations in one SQLite file, or in memory.

    Args:
        path: the file; None for memory. It may be the file of a :class:`~ai_infra.llm.memory.MemoryStore` and of
            sessions. A path that begins with ``file:`` is a path.
        timeout: seconds an operation may wait for other writers.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, timeout: float = 30.0) -> None:
        self._core = LocalConversations(*local_place(path, timeout))

    def put(self, writes: Sequence[Write], model: str, now: int) -> Flow[list[Put]]:
        """Store all or none."""

        def call() -> list[Put]:
            made = self._core.put(list(writes), model, now)
            return [Put(Head._make(row), changed) for row, changed in made]

        return on_thread(call)

    def state(self, user_id: str) -> Flow[State]:
        """Where a user stands."""
        return on_thread(lambda: State._make(self._core.state(user_id)))

    def changes(self, user_id: str, held: Mapping[int, int], most: int) -> Flow[Changes]:
        """What an index lacks."""

        def call() -> Changes:
            state, live, loaded, whole = self._core.changes(user_id, dict(held), most)
            return Changes(State._make(state), live, [_stored(row) for row in loaded], whole)

        return on_thread(call)

    def pick(self, user_id: str, wanted: Mapping[int, Sequence[int]]) -> Flow[list[Picked]]:
        """Some messages of some conversations."""

        def call() -> list[Picked]:
            rows = self._core.pick(user_id, [(ref, list(positions)) for ref, positions in wanted.items()])
            return [Picked(Head._make(head), messages) for head, messages in rows]

        return on_thread(call)

    def restore(self, user_id: str, model: str, index: ConversationIndex) -> Flow[tuple[int, int] | None]:
        """Take an index from the folder beside the file."""
        return on_thread(lambda: self._core.restore(user_id, model, index))

    def keep(self, user_id: str, model: str, mark: tuple[int, int], index: ConversationIndex) -> Flow[bool]:
        """Put an index into the folder beside the file."""
        return on_thread(lambda: self._core.keep(user_id, model, mark, index))

    def known(self, user_id: str, hashes: Sequence[bytes]) -> Flow[dict[bytes, bytes]]:
        """The user's vectors of these hashes."""
        return on_thread(lambda: self._core.known(user_id, list(hashes)))

    def get(self, user_id: str, session_id: str) -> Flow[Stored | None]:
        """One conversation."""

        def call() -> Stored | None:
            row = self._core.get(user_id, session_id)
            return None if row is None else _stored(row)

        return on_thread(call)

    def delete(self, user_id: str, session_id: str | None) -> Flow[int]:
        """Delete one or all of a user."""
        return on_thread(lambda: self._core.delete(user_id, session_id))

    def totals(self, user_id: str | None) -> Flow[Totals]:
        """Counts."""
        return on_thread(lambda: Totals._make(self._core.totals(user_id)))

    def pending(self) -> Flow[list[Stored]]:
        """Every conversation."""
        return on_thread(lambda: [_stored(row) for row in self._core.pending()])

    def reembed(self, model: str, rows: Sequence[tuple[int, int, Mapping[bytes, bytes]]]) -> Flow[bool]:
        """Give the database to another embedder."""
        return on_thread(
            lambda: self._core.reembed(model, [(ref, seq, dict(made)) for ref, seq, made in rows])
        )

    def purge(self) -> Flow[None]:
        """Leave no trace of what was deleted."""
        return on_thread(self._core.purge)

    def close(self) -> Flow[None]:
        """Close once running operations are done."""
        return on_thread(self._core.close)

    def list(self, user_id: str | None) -> Flow[list[Head]]:
        """The conversations, the newest first."""
        return on_thread(lambda: [Head._make(row) for row in self._core.list(user_id)])
