"""Which embedder is meant by the options that stores and memories take."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

from ai_infra.embeddings.base import Embedder
from ai_infra.embeddings.service import OpenAIEmbeddings
from ai_infra.errors import ConfigurationError

LOCAL = "local"
_LOCAL_ROOM = "ai_infra.embeddings.local"


def resolve(
    embedding_provider: str | None = None,
    embedding_model: str | None = None,
    embedding_dimensions: int | None = None,
    embeddings: object | None = None,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    **options: Any,
) -> Embedder | None:
    """Make the embedder that these options name.

    Args:
        embedding_provider: a provider's name (``"openai"``, ``"ollama"`` …), or ``"local"`` for the built-in
            embedder, which is also taken when nothing is named at all.
        embedding_model, embedding_dimensions: for the provider.
        embeddings: an embedder of your own instead.
        base_url, api_key: any other service.
        options: further options of :class:`OpenAIEmbeddings`.

    Returns:
        The embedder; ``None`` when nothing is named and there is no built-in one: search then goes by words.

    Raises:
        ConfigurationError: options that contradict each other, or an object that cannot embed.
    """
    named = [embedding_provider, embedding_model, embedding_dimensions, base_url, api_key, *options]
    if embeddings is not None:
        if any(option is not None for option in named):
            raise ConfigurationError(
                "pass either embeddings=… or embedding_provider= and its options, not both"
            )
        if not isinstance(embeddings, Embedder):
            raise ConfigurationError(
                f"embeddings= needs embed_documents and embed_query; {type(embeddings).__name__} has them not"
            )
        return embeddings
    if embedding_provider == LOCAL or all(option is None for option in named):
        return _local(embedding_model, embedding_dimensions, required=embedding_provider == LOCAL)
    return OpenAIEmbeddings(
        embedding_model,
        embedding_dimensions,
        provider=embedding_provider,
        base_url=base_url,
        api_key=api_key,
        **options,
    )


def _local(model: str | None, dimensions: int | None, *, required: bool) -> Embedder | None:
    """The built-in embedder: ``LocalEmbeddings(model, dimensions)`` of :mod:`ai_infra.embeddings.local`."""
    if find_spec(_LOCAL_ROOM) is None:
        if required:
            raise ConfigurationError(
                "this build has no local embedder: name a provider, or pass embeddings=…"
            )
        return None
    return cast("Embedder", import_module(_LOCAL_ROOM).LocalEmbeddings(model, dimensions))
