"""A store as a plain dict: the specification, written a second time and without a thought for speed."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ai_infra.llm.memory.store import MemoryItem
from ai_infra.testing.contract.harness import Clock


class ModelRow(NamedTuple):
    """One item of the model; times in seconds."""

    space: tuple[str, ...]
    key: str
    text: str
    created: float
    updated: float
    expires: float | None
    version: int

    @property
    def value(self) -> Any:
        """The value."""
        return json.loads(self.text)


class Model:
    """The operations of a store on a dict."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.rows: dict[tuple[tuple[str, ...], str], ModelRow] = {}

    def read(self, item: MemoryItem) -> ModelRow:
        """A store's item as a row of the model."""
        return ModelRow(
            item.namespace,
            item.key,
            json.dumps(item.value),
            item.created_at.timestamp(),
            item.updated_at.timestamp(),
            None if item.expires_at is None else item.expires_at.timestamp(),
            item.version,
        )

    def get(self, space: tuple[str, ...], key: str) -> ModelRow | None:
        """The live row, or None."""
        row = self.rows.get((space, key))
        return row if row is not None and (row.expires is None or row.expires > self.clock.now) else None

    def put(self, space: tuple[str, ...], key: str, value: Any, ttl: float | None) -> ModelRow:
        """Write."""
        old, now = self.get(space, key), self.clock.now
        row = ModelRow(
            space,
            key,
            json.dumps(value),
            old.created if old else now,
            now,
            None if ttl is None else now + ttl,
            old.version + 1 if old else 1,
        )
        self.rows[space, key] = row
        return row

    def delete(self, space: tuple[str, ...], key: str) -> bool:
        """Delete; True if there was a live row."""
        there = self.get(space, key) is not None
        self.rows.pop((space, key), None)
        return there

    def list(self, space: tuple[str, ...], recursive: bool) -> Any:
        """The live rows in order."""
        rows = [row for place in sorted(self.rows) if (row := self.get(*place)) is not None]
        return [row for row in rows if row.space == space or (recursive and row.space[: len(space)] == space)]

    def namespaces(self, root: tuple[str, ...]) -> Any:
        """The namespaces with a live row."""
        return sorted({row.space for row in self.list(root, True)})


_MISSING = object()


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(a: Any, b: Any) -> bool:
    """Equal as JSON: a boolean is no number."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and bool(a == b) if not (_number(a) and _number(b)) else bool(a == b)


def _holds(name: str, operand: Any, field: Any) -> bool:
    match name:
        case "$eq":
            return same(field, operand)
        case "$ne":
            return not same(field, operand)
        case "$in":
            return any(same(field, one) for one in operand)
        case "$nin":
            return not any(same(field, one) for one in operand)
        case "$exists":
            return (field is not _MISSING) is operand
    both_numbers = _number(field) and _number(operand)
    if not both_numbers and not (isinstance(field, str) and isinstance(operand, str)):
        return False
    answer = {
        "$gt": field > operand,
        "$gte": field >= operand,
        "$lt": field < operand,
        "$lte": field <= operand,
    }
    return bool(answer[name])


def matches(filter: dict[str, Any], value: Any) -> bool:
    """Whether a value satisfies a filter."""
    for path, condition in filter.items():
        field = value
        for part in path.split("."):
            field = field.get(part, _MISSING) if isinstance(field, dict) else _MISSING
        tests = (
            condition
            if isinstance(condition, dict) and any(k[:1] == "$" for k in condition)
            else {"$eq": condition}
        )
        if not all(_holds(name, operand, field) for name, operand in tests.items()):
            return False
    return True
