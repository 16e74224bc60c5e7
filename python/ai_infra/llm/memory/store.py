"""``MemoryStore``: facts that outlive a conversation, under a namespace and a key, found again by search.

The operations are in :mod:`.store_flows`; here are their two faces, ``name`` and ``aname``, one line each.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

from ai_infra._flow import arun, run
from ai_infra.errors import ConfigurationError
from ai_infra.llm.memory.store_embedder import resolve_embedder
from ai_infra.llm.memory.store_items import MemoryItem, ScoredItem
from ai_infra.llm.memory.store_postgres import OpensPostgres
from ai_infra.llm.memory.store_scoped import ScopedMemory
from ai_infra.llm.memory.store_whole import WholeStore
from ai_infra.storage.backend import StoreBackend
from ai_infra.storage.local import INDEX_MEMORY, MAX_VALUE_BYTES, LocalBackend

__all__ = ["MemoryItem", "MemoryStore", "ScoredItem"]

Namespace = tuple[str, ...] | str
Items = list[MemoryItem]
Found = list[MemoryItem | None]
Hits = list[ScoredItem]
Namespaces = list[tuple[str, ...]]


class MemoryStore(OpensPostgres, ScopedMemory, WholeStore):
    """A namespaced key-value store with expiry, versions, filters and search.

    ``MemoryStore()`` keeps everything in memory, ``MemoryStore.sqlite(path)`` in one file that threads and
    processes share. Every method has an ``a…`` twin for asyncio. What ``put`` returned for is durable
    (SQLite: write-ahead log with ``synchronous=FULL``). Use it as a context manager, or call :meth:`close`.

    A namespace is a tuple of non-empty strings, or one string. A value is a dict that JSON can hold exactly
    (tuples come back as lists); what is not is refused with
    :class:`~ai_infra.errors.InvalidValueError` before anything is written.

    Search is hybrid, by words and by meaning, and works offline: without an embedding option the built-in
    embedder of the core is used. A store records whose vectors it holds and refuses another embedder.

    Args:
        embedding_provider: ``"openai"`` or another provider's name, ``"local"`` for the built-in embedder.
        embedding_model: a model of the provider.
        embedding_dimensions: the size of its vectors, where the model lets one choose.
        embeddings: any object with ``embed_documents`` and ``embed_query`` instead.
        base_url, api_key: any other OpenAI-compatible service.
        clock: seconds since 1970 UTC; expiry and time stamps follow it. For tests.
        max_value_bytes: the largest value, as JSON.
        index_memory: bytes that the search indexes of this process may take together; those of namespaces that were not
            asked for longest go first, and are made again when they are. The one just searched stays, however large.
        backend: another backend than the local one; it brings its own embedder.
    """

    def __init__(
        self,
        *,
        embedding_provider: str | None = None,
        embedding_model: str | None = None,
        embedding_dimensions: int | None = None,
        embeddings: object | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        clock: Callable[[], float] = time.time,
        max_value_bytes: int = MAX_VALUE_BYTES,
        index_memory: int = INDEX_MEMORY,
        backend: StoreBackend | None = None,
    ) -> None:
        if backend is None:
            embedder = resolve_embedder(
                embedding_provider, embedding_model, embedding_dimensions, embeddings, base_url, api_key
            )
            backend = LocalBackend(
                max_value_bytes=max_value_bytes, index_memory=index_memory, embedder=embedder
            )
        super().__init__(backend, clock=clock)

    @classmethod
    def sqlite(
        cls,
        path: str | os.PathLike[str],
        *,
        timeout: float = 30.0,
        embedding_provider: str | None = None,
        embedding_model: str | None = None,
        embedding_dimensions: int | None = None,
        embeddings: object | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        reembed: bool = False,
        clock: Callable[[], float] = time.time,
        max_value_bytes: int = MAX_VALUE_BYTES,
        index_memory: int = INDEX_MEMORY,
    ) -> Self:
        """A store in the file at ``path``, made (mode 0600) if there is none. Other options as in the class.

        Args:
            path: the file; its folder must exist. A path that begins with ``file:`` is a path, not a URI;
                ``":memory:"``, SQLite's name for it, is memory, as with ``MemoryStore()``, and nothing is kept.
            timeout: seconds an operation waits for other writers before ``StorageTimeoutError``.
            reembed: take over a store that holds another embedder's vectors, embedding everything anew.

        Raises:
            ConfigurationError: a directory, or a folder that does not exist.
            StorageCorruptError: the file is foreign, damaged or written by a newer version; it is untouched.
            StorageError: the file is read-only or cannot be opened.
            EmbeddingMismatchError: the store holds another embedder's vectors.
        """
        if path is None:
            raise ConfigurationError(
                "path=None is no path; pass a str or a Path, or use MemoryStore() for memory"
            )
        embedder = resolve_embedder(
            embedding_provider, embedding_model, embedding_dimensions, embeddings, base_url, api_key
        )
        backend = LocalBackend(
            path,
            timeout=timeout,
            max_value_bytes=max_value_bytes,
            index_memory=index_memory,
            embedder=embedder,
            switch=reembed,
        )
        store = cls(clock=clock, backend=backend)
        if reembed:
            store.reembed()
        return store

    # One item -----------------------------------------------------------------------------------------------

    def put(
        self,
        namespace: Namespace,
        key: str,
        value: dict[str, Any],
        *,
        ttl: float | None = None,
        expected_version: int | None = None,
    ) -> MemoryItem:
        """Write a value; over an existing key ``created_at`` stays and ``version`` counts up.

        Args:
            namespace: a tuple of non-empty strings, or one string.
            key: the name inside the namespace.
            value: a dict that JSON can hold exactly.
            ttl: seconds until the item is gone; None keeps it. A later put without one makes it permanent.
            expected_version: write only if this version is there now; 0 only if there is none.

        Raises:
            ConflictError: the expected version is not the one that is there.
            InvalidInputError: one of its subclasses says what was wrong; nothing was written.
        """
        return run(self._put(namespace, key, value, ttl, expected_version))

    async def aput(
        self,
        namespace: Namespace,
        key: str,
        value: dict[str, Any],
        *,
        ttl: float | None = None,
        expected_version: int | None = None,
    ) -> MemoryItem:
        """:meth:`put` for asyncio. Cancelled half-way, the write is whole or not there."""
        return await arun(self._put(namespace, key, value, ttl, expected_version))

    def get(self, namespace: Namespace, key: str) -> MemoryItem | None:
        """The item, or None where there is none or it has expired."""
        return run(self._get(namespace, key))

    async def aget(self, namespace: Namespace, key: str) -> MemoryItem | None:
        """:meth:`get` for asyncio."""
        return await arun(self._get(namespace, key))

    def delete(self, namespace: Namespace, key: str) -> bool:
        """Delete an item; True if there was one."""
        return run(self._delete(namespace, key))

    async def adelete(self, namespace: Namespace, key: str) -> bool:
        """:meth:`delete` for asyncio."""
        return await arun(self._delete(namespace, key))

    # Many items ---------------------------------------------------------------------------------------------

    def put_many(self, items: Iterable[Sequence[Any]], *, ttl: float | None = None) -> Items:
        """Write a batch in one transaction, all or nothing.

        Args:
            items: ``(namespace, key, value)`` each, or ``(namespace, key, value, ttl)``.
            ttl: for those without one of their own.
        """
        return run(self._put_many(items, ttl))

    async def aput_many(self, items: Iterable[Sequence[Any]], *, ttl: float | None = None) -> Items:
        """:meth:`put_many` for asyncio."""
        return await arun(self._put_many(items, ttl))

    def get_many(self, keys: Iterable[tuple[Namespace, str]]) -> Found:
        """The items at ``(namespace, key)`` pairs as they were at one moment, None where there is none."""
        return run(self._get_many(keys))

    async def aget_many(self, keys: Iterable[tuple[Namespace, str]]) -> Found:
        """:meth:`get_many` for asyncio."""
        return await arun(self._get_many(keys))

    def delete_many(self, keys: Iterable[tuple[Namespace, str]]) -> int:
        """Delete ``(namespace, key)`` pairs in one transaction; returns how many items there were."""
        return run(self._delete_many(keys))

    async def adelete_many(self, keys: Iterable[tuple[Namespace, str]]) -> int:
        """:meth:`delete_many` for asyncio."""
        return await arun(self._delete_many(keys))

    # Search -------------------------------------------------------------------------------------------------

    def search(
        self,
        namespace: Namespace,
        query: str,
        *,
        limit: int = 10,
        filter: dict[str, Any] | None = None,
        recursive: bool = False,
        min_score: float | None = None,
    ) -> Hits:
        """The items that answer ``query`` best, best first, as ``(item, score)``.

        Words and meaning are weighed together; the text of an item is the strings inside its value. Scores
        go from 0 to 1. Every item has one, so there are fewer results than ``limit`` only where the namespace
        holds fewer live items that satisfy the filter and reach ``min_score``.

        Args:
            namespace: where.
            query: a question or a few words, in any language.
            limit: at most so many.
            filter: conditions on value fields; see ``docs/storage.md``. Applied before the limit.
            recursive: also the namespaces below.
            min_score: leave out what scores less.

        Raises:
            EmbeddingError: the embedding service failed.
            EmbeddingMismatchError: the store was given to another embedder since it was opened.
        """
        return run(self._search(namespace, query, limit, filter, recursive, min_score))

    async def asearch(
        self,
        namespace: Namespace,
        query: str,
        *,
        limit: int = 10,
        filter: dict[str, Any] | None = None,
        recursive: bool = False,
        min_score: float | None = None,
    ) -> Hits:
        """:meth:`search` for asyncio."""
        return await arun(self._search(namespace, query, limit, filter, recursive, min_score))

    # Namespaces ---------------------------------------------------------------------------------------------

    def list(
        self,
        namespace: Namespace,
        *,
        limit: int | None = None,
        offset: int = 0,
        filter: dict[str, Any] | None = None,
        recursive: bool = False,
    ) -> Items:
        """The items of a namespace, ordered by namespace and key.

        Filter and expiry work before offset and limit.

        Args:
            namespace: where.
            limit: at most so many; None for all.
            offset: leave out so many from the beginning.
            filter: conditions on value fields; see ``docs/storage.md``.
            recursive: also the namespaces below.

        Raises:
            InvalidFilterError: an unknown operator, or an operand it cannot take.
        """
        return run(self._list(namespace, recursive, filter, limit, offset))

    async def alist(
        self,
        namespace: Namespace,
        *,
        limit: int | None = None,
        offset: int = 0,
        filter: dict[str, Any] | None = None,
        recursive: bool = False,
    ) -> Items:
        """:meth:`list` for asyncio."""
        return await arun(self._list(namespace, recursive, filter, limit, offset))

    def count(
        self,
        namespace: Namespace | None = None,
        *,
        filter: dict[str, Any] | None = None,
        recursive: bool = False,
    ) -> int:
        """How many items there are in a namespace; in the whole store without one."""
        return run(self._count(namespace, recursive, filter))

    async def acount(
        self,
        namespace: Namespace | None = None,
        *,
        filter: dict[str, Any] | None = None,
        recursive: bool = False,
    ) -> int:
        """:meth:`count` for asyncio."""
        return await arun(self._count(namespace, recursive, filter))

    def list_namespaces(
        self,
        prefix: Namespace | None = None,
        *,
        max_depth: int | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Namespaces:
        """The namespaces that hold an item, at and below ``prefix``, in order; cut to ``max_depth`` parts."""
        return run(self._list_namespaces(prefix, max_depth, limit, offset))

    async def alist_namespaces(
        self,
        prefix: Namespace | None = None,
        *,
        max_depth: int | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Namespaces:
        """:meth:`list_namespaces` for asyncio."""
        return await arun(self._list_namespaces(prefix, max_depth, limit, offset))

    def clear(self, namespace: Namespace, *, recursive: bool = False) -> int:
        """Delete the items of a namespace, with ``recursive`` also below it; returns how many there were."""
        return run(self._clear(namespace, recursive))

    async def aclear(self, namespace: Namespace, *, recursive: bool = False) -> int:
        """:meth:`clear` for asyncio."""
        return await arun(self._clear(namespace, recursive))
