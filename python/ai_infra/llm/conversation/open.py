"""Which backend a memory keeps its conversations in."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

from ai_infra._checks import require_count
from ai_infra._core import message_chunks
from ai_infra.embeddings.base import Embedder
from ai_infra.errors import ConfigurationError
from ai_infra.storage.conversations import ConversationBackend
from ai_infra.storage.local_conversations import LocalConversationBackend

_POSTGRES = "ai_infra.storage.postgres.conversations"


def check_sizes(chunk_size: object, chunk_overlap: object, index_memory: object) -> None:
    """Refuse sizes that make no chunks, before anything is opened.

    Raises:
        InvalidInputError: a size is no whole number, or they contradict each other.
    """
    size, overlap = (
        require_count(chunk_size, "chunk_size"),
        require_count(chunk_overlap, "chunk_overlap", least=0),
    )
    require_count(index_memory, "index_memory", least=0)
    message_chunks([], size, overlap)


def open_backend(
    backend: str | ConversationBackend,
    path: str | os.PathLike[str] | None,
    connection_string: str | None,
    timeout: float,
    **of_postgres: Any,
) -> ConversationBackend:
    """The backend that these options name; of those of PostgreSQL alone, the ones that are not None.

    Raises:
        ConfigurationError: options that are missing, or belong to another backend.
        StorageError: the file or the server cannot be opened; see :class:`MemoryStore`.
    """
    of_postgres = {name: value for name, value in of_postgres.items() if value is not None}
    here = repr(backend) if isinstance(backend, str) else f"a {type(backend).__name__}, which has its own"
    if path is not None and backend != "sqlite":
        raise ConfigurationError(f"path= belongs to backend='sqlite', not to {here}")
    if backend != "postgres":
        for name in (*(["connection_string"] if connection_string is not None else []), *of_postgres):
            raise ConfigurationError(f"{name}= belongs to backend='postgres', not to {here}")
    if not isinstance(backend, str):
        return backend
    if backend == "memory":
        return LocalConversationBackend(timeout=timeout)
    if backend == "sqlite":
        if path is None:
            raise ConfigurationError("backend='sqlite' needs path=, the file to keep conversations in")
        return LocalConversationBackend(path, timeout=timeout)
    if backend == "postgres":
        if not connection_string:
            raise ConfigurationError(
                "backend='postgres' needs connection_string=, such as os.environ['DATABASE_URL']"
            )
        if find_spec(_POSTGRES) is None:
            raise ConfigurationError(
                "this version keeps conversations in memory or in SQLite; use backend='sqlite' and path="
            )
        room: Any = import_module(_POSTGRES)
        return cast(
            "ConversationBackend",
            room.PostgresConversationBackend(connection_string, timeout=timeout, **of_postgres),
        )
    raise ConfigurationError(f"backend={backend!r} is none; there are 'memory', 'sqlite' and 'postgres'")


def open_embedder(
    provider: str | None,
    model: str | None,
    dimensions: int | None,
    embeddings: object | None,
    base_url: str | None,
    api_key: str | None,
) -> Embedder | None:
    """The embedder that is asked; None for the built-in one, which runs in the core."""
    from ai_infra.embeddings.local import LocalEmbeddings
    from ai_infra.llm.memory.store_embedder import resolve_embedder

    found = resolve_embedder(provider, model, dimensions, embeddings, base_url, api_key)
    return None if isinstance(found, LocalEmbeddings) else found
