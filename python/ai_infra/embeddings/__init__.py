"""Turning texts into vectors: through a service, from a cache, or with an embedder of your own.

An embedder is any object with ``embed_documents`` and ``embed_query``, LangChain's among them; async twins
are used where they exist. The names here are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai_infra._lazy import lazy

if TYPE_CHECKING:
    from ai_infra.embeddings.base import Embedder, Vector, embed, embed_query, identity
    from ai_infra.embeddings.cache import CachedEmbedder, EmbeddingCache, MemoryCache
    from ai_infra.embeddings.choose import resolve
    from ai_infra.embeddings.local import LocalEmbeddings
    from ai_infra.embeddings.service import OpenAIEmbeddings

__all__ = [
    "CachedEmbedder",
    "Embedder",
    "EmbeddingCache",
    "LocalEmbeddings",
    "MemoryCache",
    "OpenAIEmbeddings",
    "Vector",
    "embed",
    "embed_query",
    "identity",
    "resolve",
]

_WHERE = {
    "CachedEmbedder": "ai_infra.embeddings.cache",
    "Embedder": "ai_infra.embeddings.base",
    "EmbeddingCache": "ai_infra.embeddings.cache",
    "LocalEmbeddings": "ai_infra.embeddings.local",
    "MemoryCache": "ai_infra.embeddings.cache",
    "OpenAIEmbeddings": "ai_infra.embeddings.service",
    "Vector": "ai_infra.embeddings.base",
    "embed": "ai_infra.embeddings.base",
    "embed_query": "ai_infra.embeddings.base",
    "identity": "ai_infra.embeddings.base",
    "resolve": "ai_infra.embeddings.choose",
}


def __getattr__(name: str) -> object:
    return lazy(globals(), _WHERE, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
