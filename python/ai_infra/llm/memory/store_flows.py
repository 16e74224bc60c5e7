"""The operations of a store, each written once; :mod:`.store` gives them their sync and async faces."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from ai_infra._checks import check_score, micros_of, shown
from ai_infra._flow import Flow
from ai_infra.errors import InvalidInputError
from ai_infra.llm.memory.store_items import MemoryItem, ScoredItem
from ai_infra.storage.backend import Batch, StoreBackend, Write

MAX_TTL = 100 * 365.25 * 86_400
"""Seconds. A hundred years: beyond it a number is a mistake, such as a time in milliseconds."""

SWEEP_EVERY = 256
"""Writes between two sweeps of this store."""
SWEEP_GRACE = 86_400_000_000
"""Microseconds an item must have been gone before a write sweeps it: a writer whose clock is ahead by less
destroys nothing that others can still read."""
SWEEP_LIMIT = 500


_scored: Callable[[Any], ScoredItem] = partial(tuple.__new__, ScoredItem)


class Unset:
    """The type of a default that is not None."""


def check_limit(name: str, value: Any, *, optional: bool = False) -> int | None:
    """A count that a user passed: a whole number of 0 or more."""
    if optional and value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInputError(f"{name}={shown(value)} is no whole number")
    if not 0 <= value < 2**31:
        raise InvalidInputError(f"{name}={shown(value)} is out of range; pass 0 to {2**31 - 1}")
    return int(value)


def check_version(value: Any) -> int | None:
    """An expected version: None, 0 (there must be no item) or the version that must be there."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**62:
        raise InvalidInputError(
            f"expected_version={shown(value)} is no version; pass item.version, or 0 for a new item"
        )
    return int(value)


def ttl_seconds(ttl: Any) -> float | None:
    """A time to live in seconds, checked; None means for ever."""
    if ttl is None:
        return None
    if isinstance(ttl, timedelta):
        ttl = ttl.total_seconds()
    if isinstance(ttl, bool) or not isinstance(ttl, int | float):
        raise InvalidInputError(f"ttl={shown(ttl)} is no number of seconds")
    if not 0 < ttl <= MAX_TTL or math.isnan(ttl):
        raise InvalidInputError(
            f"ttl={shown(ttl)} is out of range; pass seconds above 0 and up to 100 years, or None to keep the item"
        )
    return float(ttl)


class StoreFlows:
    """State and operations; every method returns a flow."""

    def __init__(self, backend: StoreBackend, *, clock: Callable[[], float] = time.time) -> None:
        self._backend = backend
        self._clock = clock
        self._writes = 0

    def _now(self) -> int:
        return micros_of(self._clock)

    def _expiry(self, ttl: Any, now: int) -> int | None:
        seconds = ttl_seconds(ttl)
        return None if seconds is None else now + max(1, round(seconds * 1_000_000))

    def _put_rows(self, writes: Sequence[Write], now: int) -> Flow[list[MemoryItem]]:
        items = yield from self._backend.put(writes, now)
        self._writes += len(writes)
        if self._writes >= SWEEP_EVERY:
            self._writes = 0
            yield from self._backend.sweep(now - SWEEP_GRACE, SWEEP_LIMIT)
        return items

    def _put(self, namespace: Any, key: Any, value: Any, ttl: Any, expected_version: Any) -> Flow[MemoryItem]:
        now = self._now()
        write = Write(namespace, key, value, self._expiry(ttl, now), check_version(expected_version))
        items = yield from self._put_rows([write], now)
        return items[0]

    def _put_many(self, items: Iterable[Sequence[Any]], ttl: Any) -> Flow[list[MemoryItem]]:
        now = self._now()
        default = self._expiry(ttl, now)
        entries = _entries(items)
        if not entries:
            return []
        if set(map(type, entries)) == {tuple} and set(map(len, entries)) == {3}:
            return (yield from self._put_rows(Batch(entries, default), now))
        writes = []
        for index, entry in enumerate(entries):
            if not isinstance(entry, tuple | list) or len(entry) not in (3, 4):
                raise InvalidInputError(
                    f"item {index} of the batch is not (namespace, key, value) or "
                    "(namespace, key, value, ttl); nothing was written"
                )
            expiry = self._expiry(entry[3], now) if len(entry) == 4 else default
            writes.append(Write(entry[0], entry[1], entry[2], expiry))
        return (yield from self._put_rows(writes, now))

    def _get(self, namespace: Any, key: Any) -> Flow[MemoryItem | None]:
        items = yield from self._backend.get([(namespace, key)], self._now())
        return items[0]

    def _get_many(self, keys: Iterable[Any]) -> Flow[list[MemoryItem | None]]:
        return self._backend.get(_places(keys), self._now())

    def _delete(self, namespace: Any, key: Any) -> Flow[bool]:
        found = yield from self._backend.delete([(namespace, key)], self._now())
        return found[0]

    def _delete_many(self, keys: Iterable[Any]) -> Flow[int]:
        found = yield from self._backend.delete(_places(keys), self._now())
        return sum(found)

    def _list(
        self, namespace: Any, recursive: bool, filter: Any, limit: Any, offset: Any
    ) -> Flow[list[MemoryItem]]:
        bound, skip = check_limit("limit", limit, optional=True), check_limit("offset", offset)
        return self._backend.select(
            namespace, recursive=recursive, filter=filter, limit=bound, offset=skip or 0, now=self._now()
        )

    def _search(
        self, namespace: Any, query: Any, limit: Any, filter: Any, recursive: bool, min_score: Any
    ) -> Flow[list[ScoredItem]]:
        least = check_score(min_score)
        found = yield from self._backend.search(
            namespace,
            query,
            recursive=recursive,
            filter=filter,
            limit=check_limit("limit", limit) or 0,
            min_score=least,
            now=self._now(),
        )
        return list(map(_scored, found))

    def _reembed(self) -> Flow[int]:
        return self._backend.reembed()

    def _count(self, namespace: Any, recursive: bool, filter: Any) -> Flow[int]:
        return self._backend.count(namespace, recursive=recursive, filter=filter, now=self._now())

    def _list_namespaces(
        self, prefix: Any, max_depth: Any, limit: Any, offset: Any
    ) -> Flow[list[tuple[str, ...]]]:
        depth = check_limit("max_depth", max_depth, optional=True)
        bound, skip = check_limit("limit", limit, optional=True), check_limit("offset", offset) or 0
        found = yield from self._backend.namespaces(prefix, self._now())
        if depth is not None:
            found = list(dict.fromkeys(namespace[:depth] for namespace in found if depth))
        return found[skip:] if bound is None else found[skip : skip + bound]

    def _clear(self, namespace: Any, recursive: bool) -> Flow[int]:
        return self._backend.clear(namespace, recursive=recursive, now=self._now())

    def _sweep(self, limit: Any) -> Flow[int]:
        return self._backend.sweep(self._now(), check_limit("limit", limit) or 0)

    def _purge(self) -> Flow[int]:
        return self._backend.purge(self._now())

    def _close(self) -> Flow[None]:
        return self._backend.close()

    def _all(self, namespace: Any) -> Flow[list[MemoryItem]]:
        return self._backend.select(
            namespace, recursive=True, filter=None, limit=None, offset=0, now=self._now()
        )


def _entries(batch: Iterable[Any]) -> list[Any]:
    if isinstance(batch, str) or not isinstance(batch, Iterable):
        raise InvalidInputError(f"a batch is a list of tuples, not {type(batch).__name__}")
    return list(batch)


def _places(keys: Iterable[Any]) -> list[tuple[Any, Any]]:
    places = []
    for index, entry in enumerate(_entries(keys)):
        if not isinstance(entry, tuple | list) or len(entry) != 2:
            raise InvalidInputError(f"item {index} of the batch is not (namespace, key)")
        places.append((entry[0], entry[1]))
    return places
