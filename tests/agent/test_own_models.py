"""Models of the caller's own: what their ``chat`` and ``stream`` may be, and what is refused in clear words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from ai_infra import Agent
from ai_infra.errors import ConfigurationError

from tests.agent.conftest import Ask


class Own:
    """Streams are plain generators."""

    def chat(self, messages: Any, tools: Any = None) -> str:
        return "hello"

    def stream(self, messages: Any, tools: Any = None) -> Iterator[str]:
        yield "hel"
        yield "lo"

    async def astream(self, messages: Any, tools: Any = None) -> AsyncIterator[str]:
        yield "hel"
        yield "lo"


class Awaited(Own):
    """``astream`` has to be awaited before it is read."""

    async def astream(self, messages: Any, tools: Any = None) -> Any:  # type: ignore[override]  # that is it
        return super().astream(messages)


@pytest.mark.parametrize("model", [Own(), Awaited()])
def test_generators_of_text_are_streams(ask: Ask, model: Own) -> None:
    assert ask(Agent(llm=model), "Hi") == "hello"


async def read(agent: Agent) -> list[Any]:
    return [event async for event in agent.astream("Hi")]


def test_a_stream_that_is_none() -> None:
    class Wrong(Own):
        def stream(self, messages: Any, tools: Any = None) -> Any:
            return "hello"

        def astream(self, messages: Any, tools: Any = None) -> Any:
            return iter("hello")

    with pytest.raises(ConfigurationError, match="stream of Wrong returned str; it returns an iterator of"):
        list(Agent(llm=Wrong()).stream("Hi"))
    with pytest.raises(
        ConfigurationError, match=r"astream of Wrong returned .*; it returns an async iterator"
    ):
        asyncio.run(read(Agent(llm=Wrong())))


def test_a_stream_of_something_else_than_text() -> None:
    class Wrong(Own):
        def stream(self, messages: Any, tools: Any = None) -> Any:
            yield {"content": "hello"}

    with pytest.raises(ConfigurationError, match="a stream of Wrong gave dict; it gives strings"):
        list(Agent(llm=Wrong()).stream("Hi"))


def test_an_async_chat() -> None:
    class Later:
        async def chat(self, messages: Any, tools: Any = None) -> str:
            return "hello"

    agent = Agent(llm=Later())
    assert asyncio.run(agent.arun("Hi")) == "hello"
    for wrong in (lambda: agent.run("Hi"), lambda: list(agent.stream("Hi"))):
        with pytest.raises(ConfigurationError, match=r"chat of Later is async def.*call arun or astream"):
            wrong()
