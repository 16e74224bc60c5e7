"""Search indexes of namespaces, in memory, caught up with the database before each search.

A mirror is a local store in memory that holds what a namespace holds in the database: so the ranking, the
filters and the expiry of a search are those of the local engine, to the last digit. It remembers the database
snapshot it shows; the next search reads, in one round trip, what that snapshot had not seen. So every process
finds what any process has committed before it asked, and nobody has to tell anybody.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from ai_infra._core import LocalStore
from ai_infra.storage.backend import Row, Scored
from ai_infra.storage.postgres.names import decode

ROOM = 250_000
"""Items that the mirrors of one store may hold together; the least used go first."""
OVERHEAD = 100
"""What a mirror costs beyond its items, counted in items."""
LIFE = 12 * 3600.0
"""Seconds without a search after which a mirror is loaded anew: the database forgets what it removed."""


class Seen(NamedTuple):
    """The state of the database that a mirror shows."""

    snapshot: str
    start: str
    """When the server was started: transaction numbers mean nothing to another server."""
    model: str | None
    at: float

    @property
    def oldest(self) -> str:
        """The first transaction that the snapshot may not have seen."""
        return self.snapshot.split(":", 1)[0]


class Mirror:
    """One namespace, or one subtree."""

    def __init__(self, model: str | None) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._core = self._empty()
        self._places: set[tuple[bytes, str]] = set()
        self.seen: Seen | None = None
        self.weight = 0
        self.dropped = False

    def __len__(self) -> int:
        return len(self._places)

    def _empty(self) -> LocalStore:
        return LocalStore(None, 30.0, 1 << 40, self._model)

    def base(self) -> Seen | None:
        """What to ask the changes since; None: ask for everything."""
        seen = self.seen
        return seen if seen is not None and time.monotonic() - seen.at < LIFE else None

    def answer(self, base: Seen | None, rows: Sequence[Any], search: tuple[Any, ...]) -> list[Scored] | None:
        """Take in what the database answered, and search; None when the answer builds on another state than
        the mirror is in (another thread was faster, or the server was restarted), and has to be asked for
        again.

        Args:
            base: what the rows build on.
            rows: of the statements ``load`` or ``changes``.
            search: arguments of the search in the core.
        """
        snapshot, start, model, now = rows[0][:4]
        with self._lock:
            if base is not None and base is not self.seen:
                return None
            if base is not None and (base.start, base.model) != (start, model):
                self.seen = None
                return None
            changes = [row[4:] for row in rows if row[4] is not None]
            if base is None:
                self._core.close()
                self._core, self._places = self._empty(), set()
            self.seen = None
            self._take(changes, now)
            self.seen = Seen(snapshot, start, model, time.monotonic())
            namespace, recursive, query, vector, filter, window = search
            found = self._core.search(namespace, recursive, query, vector, filter, window, now)
        return [Scored(Row._make(row), score) for row, score in found]

    def _take(self, changes: list[Any], now: int) -> None:
        gone = [(row[0], row[1]) for row in changes if row[2] is None and (row[0], row[1]) in self._places]
        if gone:
            self._core.delete([(decode(ns), key) for ns, key in gone], now)
            self._places.difference_update(gone)
        new = [row for row in changes if row[2] is not None]
        if not new:
            return
        writes = [
            (decode(ns), key, json.loads(value), expires, None, (created, updated, version))
            for ns, key, value, created, updated, expires, version, _, _ in new
        ]
        if self._model is None:
            self._core.put(writes, now)
        else:
            vectors = [None if row[7] is None else (row[7], row[8]) for row in new]
            self._core.put_batch(self._core.prepare(writes), vectors, now)
        self._places.update((row[0], row[1]) for row in new)


class Mirrors:
    """The mirrors of one store, by what they show."""

    def __init__(self, model: str | None) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._by_place: OrderedDict[tuple[bytes, bool], Mirror] = OrderedDict()
        self._total = 0

    def get(self, place: tuple[bytes, bool]) -> Mirror:
        """The mirror of a namespace (and, if true, of all below it)."""
        if self._pid != os.getpid():
            self._lock, self._pid, self._total = threading.Lock(), os.getpid(), 0
            self._by_place = OrderedDict()
        with self._lock:
            mirror = self._by_place.get(place)
            if mirror is None:
                mirror = self._by_place[place] = Mirror(self._model)
            self._by_place.move_to_end(place)
            return mirror

    def weigh(self, mirror: Mirror) -> None:
        """Note how many items a mirror holds now, and make room."""
        weight = len(mirror) + OVERHEAD
        if weight == mirror.weight:
            return
        with self._lock:
            if mirror.dropped:
                return
            self._total += weight - mirror.weight
            mirror.weight = weight
            while self._total > ROOM and len(self._by_place) > 1:
                oldest = self._by_place.popitem(last=False)[1]
                oldest.dropped = True
                self._total -= oldest.weight

    def forget(self) -> None:
        """Drop them all, and with them every text they hold."""
        with self._lock:
            for mirror in self._by_place.values():
                mirror.dropped = True
            self._by_place.clear()
            self._total = 0
