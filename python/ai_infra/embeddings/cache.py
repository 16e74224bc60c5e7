"""Never pay twice for the same text: vectors kept by the hash of what they were made from."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

from ai_infra import _flow
from ai_infra.embeddings.base import Embedder, Vector, call, checked_row, embed_rows, identity, vector
from ai_infra.errors import EmbeddingError

_DIGEST = 32  # bytes: two texts never meet, also when somebody tries
_QUESTIONS = 1_024


class EmbeddingCache(Protocol):
    """Where vectors are kept; a storage backend can be one.

    Keys are 32-byte hashes. Values are the bytes of 32-bit floats. Async callers use ``aget_many`` and
    ``aput_many`` where they exist; otherwise the sync ones run on a thread.
    """

    def get_many(self, keys: Sequence[bytes], /) -> Mapping[bytes, bytes]:
        """The values that are there."""

    def put_many(self, items: Mapping[bytes, bytes], /) -> None:
        """Keep these."""


class MemoryCache:
    """A cache in memory that forgets what was unused longest. Safe to share between threads.

    Args:
        max_bytes: what the vectors may take together.
    """

    def __init__(self, max_bytes: int = 64 * 2**20) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._items: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._items)

    def get_many(self, keys: Sequence[bytes], /) -> dict[bytes, bytes]:
        """The values that are there; they count as used."""
        found: dict[bytes, bytes] = {}
        with self._lock:
            for key in keys:
                value = self._items.get(key)
                if value is not None:
                    self._items.move_to_end(key)
                    found[key] = value
        return found

    def put_many(self, items: Mapping[bytes, bytes], /) -> None:
        """Keep these, and forget the oldest when there is no room."""
        with self._lock:
            for key, value in items.items():
                self._bytes += len(value) - len(self._items.pop(key, b""))
                self._items[key] = value
            while self._bytes > self._max_bytes and self._items:
                self._bytes -= len(self._items.popitem(last=False)[1])


class CachedEmbedder:
    """An embedder that asks another one only for what it has never embedded.

    A text that comes several times in one call is embedded once. What a long call has finished is kept also
    when a later part of it fails.

    Args:
        embedder: the one to ask.
        cache: a lasting cache behind the one in memory.
        memory: the cache in memory.
    """

    def __init__(
        self, embedder: Embedder, cache: EmbeddingCache | None = None, *, memory: MemoryCache | None = None
    ) -> None:
        self.embedder = embedder
        self._cache = cache
        self._memory = MemoryCache() if memory is None else memory
        self._questions: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def model(self) -> str:
        """The model of the embedder inside."""
        return str(getattr(self.embedder, "model", None) or identity(self.embedder))

    @property
    def dimensions(self) -> int | None:
        """The size of a vector, once it is known."""
        return getattr(self.embedder, "dimensions", None)

    @property
    def identity(self) -> str:
        """That of the embedder inside."""
        return identity(self.embedder)

    def __repr__(self) -> str:
        return f"CachedEmbedder({self.embedder!r})"

    def embed_documents(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text, in order.

        Raises:
            EmbeddingError: as the embedder inside; ``inputs`` are positions in ``texts``.
        """
        return [vector(row) for row in _flow.run(self.rows(texts))]

    async def aembed_documents(self, texts: Sequence[str]) -> list[Vector]:
        """:meth:`embed_documents` without blocking the event loop."""
        return [vector(row) for row in await _flow.arun(self.rows(texts))]

    def embed_query(self, text: str) -> Vector:
        """The vector of one question; the last thousand are kept in memory."""
        return vector(_flow.run(self.ask(text)))

    async def aembed_query(self, text: str) -> Vector:
        """:meth:`embed_query` without blocking the event loop."""
        return vector(await _flow.arun(self.ask(text)))

    def ask(self, text: str) -> _flow.Flow[bytes]:
        """:meth:`embed_query` as a part of another operation, as the bytes of its float32 values."""
        known = self._questions.get(text)
        if known is not None:
            with self._lock:
                if text in self._questions:  # another thread may have made room
                    self._questions.move_to_end(text)
        size = getattr(self.embedder, "dimensions", None)
        if known is None or (size and len(known) != 4 * size):
            raw = yield call(self.embedder, "embed_query", text)
            known = checked_row(raw, getattr(self.embedder, "dimensions", None))
            with self._lock:
                self._questions[text] = known
                if len(self._questions) > _QUESTIONS:
                    self._questions.popitem(last=False)
        return known

    def rows(self, texts: Sequence[str]) -> _flow.Flow[list[bytes]]:
        """:meth:`embed_documents` as a part of another operation, each vector as the bytes of its float32 values."""
        keys = self._keys(texts)
        first: dict[bytes, int] = {}
        for position, key in enumerate(keys):
            first.setdefault(key, position)
        vectors = yield from self._known(list(first))
        missing = [position for key, position in first.items() if key not in vectors]
        plan = getattr(self.embedder, "plan", None)
        wanted = [texts[position] for position in missing]
        try:
            parts: Sequence[range] = plan(wanted) if callable(plan) else [range(len(wanted))]
        except EmbeddingError as error:
            raise _moved(error, missing) from error.__cause__
        for part in parts:
            positions = [missing[n] for n in part]
            try:
                made = yield from embed_rows(self.embedder, [texts[position] for position in positions])
            except EmbeddingError as error:
                raise _moved(error, positions) from error.__cause__
            fresh = {keys[position]: row for position, row in zip(positions, made, strict=True)}
            yield from self._keep(fresh)
            vectors.update(fresh)
        return [vectors[key] for key in keys]

    def _known(self, keys: list[bytes]) -> _flow.Flow[dict[bytes, bytes]]:
        found = self._memory.get_many(keys)
        rest = [key for key in keys if key not in found]
        if self._cache is not None and rest:
            stored: Mapping[bytes, bytes] = yield call(self._cache, "get_many", rest)
            self._memory.put_many(stored)
            found.update(stored)
        return {key: bytes(value) for key, value in found.items() if self._whole(value)}

    def _keep(self, rows: Mapping[bytes, bytes]) -> _flow.Flow[None]:
        self._memory.put_many(rows)
        if self._cache is not None and rows:
            yield call(self._cache, "put_many", dict(rows))

    def _whole(self, value: bytes) -> bool:
        """Whether it is a vector: a cache may hold something else, which is made anew."""
        size = self.dimensions
        return len(value) > 0 and len(value) % 4 == 0 and (size is None or len(value) == 4 * size)

    def _keys(self, texts: Sequence[str]) -> list[bytes]:
        """For each text the hash of everything its vector depends on; a length keeps the fields apart."""
        model = self.identity.encode("utf-8", "surrogatepass")
        start = hashlib.blake2b(len(model).to_bytes(8, "little") + model, digest_size=_DIGEST)
        keys = []
        for text in texts:
            digest = start.copy()
            digest.update(text.encode("utf-8", "surrogatepass"))
            keys.append(digest.digest())
        return keys


def cached(embedder: Embedder) -> CachedEmbedder:
    """The embedder behind a cache, unless it has one already."""
    return embedder if isinstance(embedder, CachedEmbedder) else CachedEmbedder(embedder)


def _moved(error: EmbeddingError, positions: Sequence[int]) -> EmbeddingError:
    """``error`` with its inputs as positions in the caller's own list."""
    inputs = [positions[n] for n in error.inputs if n < len(positions)]
    return type(error)(error.args[0], inputs=inputs)
