"""The local backend: the core's SQLite engine, in a file or in memory.

One call into the core is one whole operation, with the GIL released; the async face runs that call on a
thread.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ai_infra._core import LocalStore
from ai_infra._flow import Call, Flow
from ai_infra.errors import ConfigurationError
from ai_infra.storage.backend import Place, Row, Write

T = TypeVar("T")

MAX_VALUE_BYTES = 16 * 1024 * 1024


def _flow(call: Callable[[], T]) -> Flow[T]:
    answer: T = yield Call(call, lambda: asyncio.to_thread(call))
    return answer


class LocalBackend:
    """Items in one SQLite file that threads and processes share, or in memory.

    Args:
        path: the file; None for memory. A path that begins with ``file:`` is a path.
        timeout: seconds an operation may wait for other writers.
        max_value_bytes: the largest value, as JSON.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        timeout: float = 30.0,
        max_value_bytes: int = MAX_VALUE_BYTES,
    ) -> None:
        if path is not None and not isinstance(path, str | os.PathLike):
            raise ConfigurationError(f"path={path!r} is no path; pass a str or a Path")
        memory = path is None or path == ":memory:"
        self._core = LocalStore(None if memory else path, timeout, max_value_bytes)

    def put(self, writes: Sequence[Write], now: int) -> Flow[list[Row]]:
        """Write all or none."""
        return _flow(lambda: [Row._make(row) for row in self._core.put(writes, now)])

    def get(self, places: Sequence[Place], now: int) -> Flow[list[Row | None]]:
        """Read items at one moment."""
        return _flow(lambda: [row and Row._make(row) for row in self._core.get(places, now)])

    def delete(self, places: Sequence[Place], now: int) -> Flow[list[bool]]:
        """Delete all in one transaction."""
        return _flow(lambda: self._core.delete(places, now))

    def select(
        self, namespace: Any, *, recursive: bool, filter: Any, limit: int | None, offset: int, now: int
    ) -> Flow[list[Row]]:
        """The live items in order."""
        return _flow(
            lambda: [
                Row._make(row) for row in self._core.list(namespace, recursive, filter, (limit, offset), now)
            ]
        )

    def count(self, namespace: Any, *, recursive: bool, filter: Any, now: int) -> Flow[int]:
        """How many live items."""
        return _flow(lambda: self._core.count(namespace, recursive, filter, now))

    def namespaces(self, root: Any, now: int) -> Flow[list[tuple[str, ...]]]:
        """The namespaces with a live item."""
        return _flow(lambda: self._core.namespaces(root, now))

    def clear(self, namespace: Any, *, recursive: bool, now: int) -> Flow[int]:
        """Delete a namespace's items."""
        return _flow(lambda: self._core.clear(namespace, recursive, now))

    def sweep(self, until: int, limit: int) -> Flow[int]:
        """Delete a batch of expired items."""
        return _flow(lambda: self._core.sweep(until, limit))

    def purge(self, now: int) -> Flow[int]:
        """Delete what expired, and every trace of what was deleted."""
        return _flow(lambda: self._core.purge(now))

    def close(self) -> Flow[None]:
        """Close once running operations are done."""
        return _flow(self._core.close)
