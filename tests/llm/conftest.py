"""A real local server, and the four ways to ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ai_infra.llm import LLM, ChatResponse
from ai_infra.testing.openai_server import OpenAIServer

KEY = "sk-proj-THE-SECRET-0123456789abcdef"

Ask = Callable[..., ChatResponse]


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def llm(server: OpenAIServer) -> Iterator[LLM]:
    with LLM(base_url=server.base_url, api_key=KEY, model="m", retry_wait=0.01) as client:
        yield client


def chat(llm: LLM, *args: Any, **kwargs: Any) -> ChatResponse:
    return llm.chat(*args, **kwargs)


def achat(llm: LLM, *args: Any, **kwargs: Any) -> ChatResponse:
    return asyncio.run(llm.achat(*args, **kwargs))


def stream(llm: LLM, *args: Any, **kwargs: Any) -> ChatResponse:
    pieces = llm.stream(*args, **kwargs)
    text = "".join(pieces)
    assert text == pieces.response
    return pieces.response


def astream(llm: LLM, *args: Any, **kwargs: Any) -> ChatResponse:
    async def read() -> ChatResponse:
        pieces = llm.astream(*args, **kwargs)
        text = "".join([piece async for piece in pieces])
        assert text == pieces.response
        return pieces.response

    return asyncio.run(read())


@pytest.fixture(params=[chat, achat, stream, astream], ids=lambda face: face.__name__)
def ask(request: pytest.FixtureRequest) -> Ask:
    """``ask(llm, messages, …)`` through one of the four faces; a stream is read to its end."""
    face: Ask = request.param
    return face


@pytest.fixture(params=[stream, astream], ids=lambda face: face.__name__)
def ask_stream(request: pytest.FixtureRequest) -> Ask:
    face: Ask = request.param
    return face
