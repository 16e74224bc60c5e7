"""Search indexes of namespaces, in memory, caught up with the database before each search.

A mirror holds what a namespace holds in the database, in the index of the local engine: so the ranking, the
filters and the expiry of a search are those of a local store, to the last digit. It remembers the database
snapshot it shows; the next search reads, in one round trip, what that snapshot had not seen. So every process
finds what any process has committed before it asked, and nobody has to tell anybody.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from ai_infra import _core
from ai_infra._checks import users_line
from ai_infra.storage.backend import Scored

PIECE = 5_000
"""Larger namespaces are read through a cursor, so many items at a time, and never held as Python objects."""
OVERHEAD = 1_000
"""Bytes that a mirror takes beside what it shows."""
LIFE = 12 * 3600.0
"""Seconds without a search after which a mirror is loaded anew: the database forgets what it removed."""


class State(NamedTuple):
    """The state of the database that an answer shows."""

    snapshot: str
    model: str | None
    now: int
    """Its clock, in microseconds."""
    start: int
    """When the server was started: transaction numbers mean nothing to another server."""


def state_of(rows: Sequence[Any]) -> State:
    """The state of the database in an answer to ``load``, ``load_all`` or ``changes``: its row without a namespace."""
    return State(*next(row for row in rows if row[0] is None)[1:5])


class Seen(NamedTuple):
    """What a mirror shows, and when it was asked for."""

    snapshot: str
    start: int
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
        self._shown: Shown | None = None
        self.seen: Seen | None = None
        self.weight = 0
        self.dropped = False

    def __len__(self) -> int:
        return 0 if self._shown is None else self._shown.count

    @property
    def bytes(self) -> int:
        """About how many bytes of memory it takes."""
        return OVERHEAD + (0 if self._shown is None else self._shown.bytes)

    def base(self) -> Seen | None:
        """What to ask the changes since; None: ask for everything."""
        seen = self.seen
        return seen if seen is not None and time.monotonic() - seen.at < LIFE else None

    def answer(
        self,
        base: Seen | None,
        state: State,
        rows: Sequence[Any],
        search: tuple[Any, ...],
        loaded: Shown | None = None,
    ) -> list[Scored] | None:
        """Take in what the database answered, and search; None when the answer builds on another state than
        the mirror is in (another thread was faster, or the server was restarted), and has to be asked for
        again.

        Args:
            base: what the rows build on.
            state: what they show.
            rows: of the statements ``load`` or ``changes``.
            search: arguments of the search in the core.
            loaded: with everything, where that was read piece by piece.
        """
        if base is None and loaded is None:
            loaded = Shown(self._model)
            loaded.take(rows)
        with self._lock:
            if loaded is not None:
                if self.base() is not None:
                    return None
                shown = self._shown = loaded
            elif base is None or base is not self.seen or self._shown is None:
                return None
            else:
                self.seen = None
                if (base.start, base.model) != (state.start, state.model):
                    return None
                shown = self._shown
                if len(rows) > 1:
                    shown.take(rows)
            self.seen = Seen(state.snapshot, state.start, state.model, time.monotonic())
            text, vector, filter, window = search
            found = shown.core.search(text, vector, filter, window, state.now)
        return [Scored(row, score) for row, score in found]


class Shown:
    """What a mirror shows: items and their index.

    Args:
        model: the embedder whose vectors come with the rows; None: vectors are computed here.
    """

    def __init__(self, model: str | None) -> None:
        self.core = _core.Mirror(model is None)
        self.count = 0
        self.bytes = 0
        """Of memory."""

    def take(self, rows: Sequence[Any]) -> None:
        """Take in rows of the statements ``load``, ``load_all`` or ``changes``."""
        self.count += self.core.load(rows)
        self.bytes = self.core.memory_bytes


class Mirrors:
    """The mirrors of one store, by what they show.

    Args:
        model: as for :class:`Shown`.
        room: bytes that they may take together; the least used go first. One that is larger stays, alone.
    """

    def __init__(self, model: str | None, room: int) -> None:
        self._model = model
        self._room = room
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._by_place: OrderedDict[tuple[bytes, bool], Mirror] = OrderedDict()
        self._total = 0
        self._warned = False

    def empty(self) -> Shown:
        """A mirror's content, to be filled."""
        return Shown(self._model)

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
        """Note what a mirror takes now, and make room."""
        weight = mirror.bytes
        if weight == mirror.weight:
            return
        with self._lock:
            if mirror.dropped:
                return
            self._total += weight - mirror.weight
            mirror.weight = weight
            if weight > self._room and not self._warned:
                self._warned = True
                warnings.warn(
                    f"a namespace of {len(mirror)} items takes {weight / 2**20:,.0f} MB in each process that searches "
                    "it, more than index_memory: divide it into several, or lower in_database_from (docs/scaling.md)",
                    stacklevel=users_line(),
                )
            while self._total > self._room and len(self._by_place) > 1:
                oldest = self._by_place.popitem(last=False)[1]
                oldest.dropped = True
                self._total -= oldest.weight

    def drop(self, place: tuple[bytes, bool]) -> None:
        """Drop one."""
        with self._lock:
            mirror = self._by_place.pop(place, None)
            if mirror is not None:
                mirror.dropped = True
                self._total -= mirror.weight

    def forget(self) -> None:
        """Drop them all, and with them every text they hold."""
        with self._lock:
            for mirror in self._by_place.values():
                mirror.dropped = True
            self._by_place.clear()
            self._total = 0
