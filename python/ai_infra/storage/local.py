"""The local backend: the core's SQLite engine, in a file or in memory.

One call into the core is one whole operation, with the GIL released; the async face runs that call on a
thread.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from ai_infra._checks import require_count
from ai_infra._core import Batch as Prepared
from ai_infra._core import LocalStore, check_query
from ai_infra._flow import Flow, Threaded, on_thread
from ai_infra.embeddings.base import Embedder
from ai_infra.embeddings.cache import cached
from ai_infra.errors import ConflictError
from ai_infra.storage.backend import Batch, MemoryItem, Place, Scored, Write
from ai_infra.storage.local_place import local_place

MAX_VALUE_BYTES = 16 * 1024 * 1024
INDEX_MEMORY = 2**30
REEMBED_ROUNDS = 10
"""Items that changed while everything was embedded need another round, which only pays for those."""


def _plain(writes: Sequence[Write]) -> tuple[Sequence[Sequence[Any]], int | None]:
    """The rows of a batch, and when those without an expiry of their own are gone."""
    return (writes.rows, writes.expires_at) if isinstance(writes, Batch) else (writes, None)


class LocalBackend:
    """Items in one SQLite file that threads and processes share, or in memory.

    Args:
        path: the file; None for memory. A path that begins with ``file:`` is a path.
        timeout: seconds an operation may wait for other writers.
        max_value_bytes: the largest value, as JSON.
        index_memory: bytes that search indexes may take.
        embedder: asked for vectors; None for the built-in one, which runs in the core.
        switch: open also a store that holds another embedder's vectors; call :meth:`reembed` at once.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        timeout: float = 30.0,
        max_value_bytes: int = MAX_VALUE_BYTES,
        index_memory: int = INDEX_MEMORY,
        embedder: Embedder | None = None,
        switch: bool = False,
    ) -> None:
        place, wait = local_place(path, timeout)
        most = require_count(max_value_bytes, "max_value_bytes")
        room = require_count(index_memory, "index_memory", least=0)
        self._embedder = None if embedder is None else cached(embedder)
        model = None if self._embedder is None else self._embedder.identity
        self._core = LocalStore(place, wait, most, room, model, switch)

    def put(self, writes: Sequence[Write], now: int) -> Flow[list[MemoryItem]]:
        """Write all or none."""
        if self._embedder is None:
            rows, expires_at = _plain(writes)
            return on_thread(lambda: self._core.put(rows, now, expires_at))
        return self._embed_and_put(writes, now)

    def _embed_and_put(self, writes: Sequence[Write], now: int) -> Flow[list[MemoryItem]]:
        embedder = self._embedder
        assert embedder is not None
        rows, expires_at = _plain(writes)
        size = embedder.dimensions

        def prepare() -> tuple[Prepared, list[str]]:
            batch = self._core.prepare(rows, expires_at)
            return batch, self._core.lacking(batch, size)

        batch, lacking = yield from on_thread(prepare)
        made = yield from embedder.rows(lacking)
        return (yield from on_thread(lambda: self._core.put_batch(batch, made, now)))

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
        """The live items that answer ``query`` best."""
        vector = None
        if self._embedder is not None:
            check_query(namespace, query, filter)
            vector = yield from self._embedder.ask(query)
        window = (limit, min_score)
        # The core's plain tuples have the fields of Scored; to make ten of those costs a tenth of the search.
        found: list[Scored] = yield Threaded(
            partial(self._core.search, namespace, recursive, query, vector, filter, window, now)
        )
        return found

    def reembed(self) -> Flow[int]:
        """Embed everything anew; readers see the old vectors until all new ones are there."""
        size = None if self._embedder is None else self._embedder.dimensions
        for _ in range(REEMBED_ROUNDS):
            pending, lacking = yield from on_thread(partial(self._core.pending, size))
            made = [] if self._embedder is None else (yield from self._embedder.rows(lacking))
            if (yield from on_thread(partial(self._core.reembed, pending, made))):
                return len(pending)
        raise ConflictError(
            "the store kept changing while it was embedded anew; call reembed() when it is quiet"
        )

    def get(self, places: Sequence[Place], now: int) -> Flow[list[MemoryItem | None]]:
        """Read items at one moment."""
        return on_thread(lambda: self._core.get(places, now))

    def delete(self, places: Sequence[Place], now: int) -> Flow[list[bool]]:
        """Delete all in one transaction."""
        return on_thread(lambda: self._core.delete(places, now))

    def select(
        self, namespace: Any, *, recursive: bool, filter: Any, limit: int | None, offset: int, now: int
    ) -> Flow[list[MemoryItem]]:
        """The live items in order."""
        return on_thread(lambda: self._core.list(namespace, recursive, filter, (limit, offset), now))

    def count(self, namespace: Any, *, recursive: bool, filter: Any, now: int) -> Flow[int]:
        """How many live items."""
        return on_thread(lambda: self._core.count(namespace, recursive, filter, now))

    def namespaces(self, root: Any, now: int) -> Flow[list[tuple[str, ...]]]:
        """The namespaces with a live item."""
        return on_thread(lambda: self._core.namespaces(root, now))

    def clear(self, namespace: Any, *, recursive: bool, now: int) -> Flow[int]:
        """Delete a namespace's items."""
        return on_thread(lambda: self._core.clear(namespace, recursive, now))

    def sweep(self, until: int, limit: int) -> Flow[int]:
        """Delete a batch of expired items."""
        return on_thread(lambda: self._core.sweep(until, limit))

    def purge(self, now: int) -> Flow[int]:
        """Delete what expired, and every trace of what was deleted."""
        return on_thread(lambda: self._core.purge(now))

    def close(self) -> Flow[None]:
        """Close once running operations are done."""
        return on_thread(self._core.close)
