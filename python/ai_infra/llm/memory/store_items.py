"""What a store hands out: items, and items with a score."""

from __future__ import annotations

from typing import Any, NamedTuple

from ai_infra._core import MemoryItem

__all__ = ["MemoryItem", "ScoredItem"]


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
