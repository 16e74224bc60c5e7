"""What a store hands out: items, and items with a score."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from ai_infra.storage.backend import Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class MemoryItem:
    """One memory: a value under a namespace and a key.

    It is a copy. The value is decoded when it is first asked for; changing it changes nothing in the store.
    """

    __slots__ = ("_row", "_value")

    def __init__(self, row: Row) -> None:
        self._row = row  # or a plain tuple with the same fields, which is why they are read by number
        self._value: dict[str, Any] | None = None

    @property
    def namespace(self) -> tuple[str, ...]:
        """The parts of the namespace."""
        return self._row[0]

    @property
    def key(self) -> str:
        """The key."""
        return self._row[1]

    @property
    def value(self) -> dict[str, Any]:
        """The value; a tuple that was put comes back as a list."""
        if self._value is None:
            self._value = json.loads(self._row[2])
        return self._value

    @property
    def created_at(self) -> datetime:
        """When the key was first written, in UTC; later writes keep it."""
        return _EPOCH + timedelta(microseconds=self._row[3])

    @property
    def updated_at(self) -> datetime:
        """When the value was last written, in UTC."""
        return _EPOCH + timedelta(microseconds=self._row[4])

    @property
    def expires_at(self) -> datetime | None:
        """From this moment on the item is gone; None: it stays."""
        at = self._row[5]
        return None if at is None else _EPOCH + timedelta(microseconds=at)

    @property
    def version(self) -> int:
        """1 for a new item, one more with each write; pass it as ``expected_version`` to change only this
        one."""
        return self._row[6]

    def __eq__(self, other: object) -> bool:
        return self._row == other._row if isinstance(other, MemoryItem) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._row)

    def __repr__(self) -> str:
        return (
            f"MemoryItem(namespace={self.namespace!r}, key={self.key!r}, value={self.value!r}, "
            f"version={self.version}, updated_at={self.updated_at.isoformat()})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return MemoryItem, (Row._make(self._row),)


class ScoredItem(NamedTuple):
    """A search result; it unpacks as ``item, score``, and forwards the item's key, value and namespace."""

    item: MemoryItem
    score: float

    @property
    def key(self) -> str:
        """The item's key."""
        return self.item.key

    @property
    def value(self) -> dict[str, Any]:
        """The item's value."""
        return self.item.value

    @property
    def namespace(self) -> tuple[str, ...]:
        """The item's namespace."""
        return self.item.namespace
