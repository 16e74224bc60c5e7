"""A real local server, and the two worlds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from ai_infra.embeddings import OpenAIEmbeddings, Vector
from ai_infra.testing.openai_server import OpenAIServer

KEY = "sk-proj-THE-SECRET-0123456789abcdef"

Embed = Callable[[Any, Sequence[str]], list[Vector]]


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def embedder(server: OpenAIServer) -> Iterator[OpenAIEmbeddings]:
    with OpenAIEmbeddings(
        "text-embedding-3-small",
        64,
        base_url=server.base_url,
        api_key=KEY,
        max_retries=2,
        retry_wait=0.005,
    ) as made:
        yield made


def sync(embedder: Any, texts: Sequence[str]) -> list[Vector]:
    vectors: list[Vector] = embedder.embed_documents(texts)
    return vectors


def async_(embedder: Any, texts: Sequence[str]) -> list[Vector]:
    return asyncio.run(embedder.aembed_documents(texts))


@pytest.fixture(params=[sync, async_], ids=lambda face: face.__name__)
def embed(request: pytest.FixtureRequest) -> Embed:
    face: Embed = request.param
    return face
