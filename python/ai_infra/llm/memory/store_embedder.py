"""Which embedder a store asks, if any: the built-in one runs in the core and needs no asking."""

from __future__ import annotations

from ai_infra.embeddings.base import Embedder

LOCAL = "local"


def resolve_embedder(
    provider: str | None,
    model: str | None,
    dimensions: int | None,
    embeddings: object | None,
    base_url: str | None,
    api_key: str | None,
) -> Embedder | None:
    """The embedder that these options name; None for the built-in one of the core."""
    rest = (model, dimensions, embeddings, base_url, api_key)
    if provider in (None, LOCAL) and all(option is None for option in rest):
        return None
    from ai_infra.embeddings.choose import resolve

    return resolve(provider, model, dimensions, embeddings, base_url=base_url, api_key=api_key)
