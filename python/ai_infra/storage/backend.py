"""What a backend of :class:`~ai_infra.llm.memory.MemoryStore` has to do.

Each method returns a :data:`~ai_infra._flow.Flow`: a generator that yields what it needs from outside,
so that one body serves the sync and the async face. Times are whole microseconds since 1970 UTC; ``now`` is
the reading of the store's clock, and a backend with a clock of its own (PostgreSQL) may use that one instead.

A backend takes what the user passed, and refuses bad input with the validator of the core before it writes
anything (``canonical_json``, ``canonical_filter``, ``check_key``, ``check_namespace``, ``check_query``), so
every backend gives the same verdicts. :mod:`ai_infra.testing.contract` holds it to all of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, overload

from ai_infra._core import MemoryItem
from ai_infra._flow import Flow

__all__ = ["Batch", "MemoryItem", "Place", "Scored", "StoreBackend", "Write"]

Place = tuple[Any, Any]
"""A namespace (a tuple of strings, or one string) and a key, as the user gave them."""


class Write(NamedTuple):
    """One item to be written; namespace, key and value as the user gave them."""

    namespace: Any
    key: Any
    value: Any
    expires_at: int | None = None
    expected: int | None = None
    """The version that must be there; 0: there must be none; None: whatever."""
    restored: tuple[int, int, int] | None = None
    """``(created_at, updated_at, version)`` of an item that an import brings back as it was."""


class Batch(Sequence[Write]):
    """New items that share an expiry, as the user gave them: ``(namespace, key, value)`` each.

    A backend may read it as the :class:`Write` of each, or take ``rows`` as they are.
    """

    def __init__(self, rows: Sequence[Sequence[Any]], expires_at: int | None) -> None:
        self.rows = rows
        self.expires_at = expires_at

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Write: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Write]: ...
    def __getitem__(self, index: int | slice) -> Write | Sequence[Write]:
        if isinstance(index, slice):
            return Batch(self.rows[index], self.expires_at)
        namespace, key, value = self.rows[index]
        return Write(namespace, key, value, self.expires_at)


class Scored(NamedTuple):
    """A found item."""

    item: MemoryItem
    score: float


class StoreBackend(Protocol):
    """A namespaced key-value store with expiry, versions, filters and search."""

    def put(self, writes: Sequence[Write], now: int) -> Flow[list[MemoryItem]]:
        """Write all or none; when it returns, they are durable. Returns each as it now is.

        A live item keeps ``created_at`` and counts ``version`` up; an expired one counts as absent.

        Raises:
            ConflictError: an ``expected`` version is not the one that is there.
        """

    def get(self, places: Sequence[Place], now: int) -> Flow[list[MemoryItem | None]]:
        """Read items at one moment; None where there is none or it has expired."""

    def delete(self, places: Sequence[Place], now: int) -> Flow[list[bool]]:
        """Delete all in one transaction; True where there was a live item."""

    def select(
        self, namespace: Any, *, recursive: bool, filter: Any, limit: int | None, offset: int, now: int
    ) -> Flow[list[MemoryItem]]:
        """The live items of a namespace (everywhere for None), ordered by its parts and then by key.

        Both by code point. The filter works before offset and limit.
        """

    def search(
        self,
        namespace: Any,
        query: Any,
        *,
        recursive: bool,
        filter: Any,
        limit: int,
        min_score: float | None,
        now: int,
    ) -> Flow[list[Scored]]:
        """The live items that answer ``query`` best, best first, by words and by meaning.

        Every item has a score, so there are fewer than ``limit`` only where fewer are live, satisfy the
        filter and reach ``min_score``. Plain tuples ``(item, score)`` will do.
        """

    def reembed(self) -> Flow[int]:
        """Embed everything anew with the backend's embedder; returns how many items there are."""

    def count(self, namespace: Any, *, recursive: bool, filter: Any, now: int) -> Flow[int]:
        """How many items :meth:`select` would return without a limit."""

    def namespaces(self, root: Any, now: int) -> Flow[list[tuple[str, ...]]]:
        """The namespaces with a live item at and below ``root`` (everywhere for None), in order."""

    def clear(self, namespace: Any, *, recursive: bool, now: int) -> Flow[int]:
        """Delete a namespace's items; returns how many were live."""

    def sweep(self, until: int, limit: int) -> Flow[int]:
        """Delete up to ``limit`` items that expired by ``until``; returns how many."""

    def purge(self, now: int) -> Flow[int]:
        """Delete what has expired, and leave no trace of anything deleted; returns how many expired items
        went."""

    def close(self) -> Flow[None]:
        """Let running operations finish, then close. Later calls raise ``StorageClosedError``."""
