"""A real local server, a client of it, and sessions in memory and in a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ai_infra import LLM, Agent
from ai_infra.llm.agent import AgentResult
from ai_infra.llm.session import SessionStore, memory, sqlite
from ai_infra.testing.openai_server import OpenAIServer

KEY = "sk-proj-THE-SECRET-0123456789abcdef"

Ask = Callable[..., AgentResult]


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def llm(server: OpenAIServer) -> Iterator[LLM]:
    with LLM(base_url=server.base_url, api_key=KEY, model="gpt-4o", retry_wait=0.01) as client:
        yield client


@pytest.fixture(params=["memory", "sqlite"])
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionStore]:
    with memory() if request.param == "memory" else sqlite(tmp_path / "sessions.db") as store:
        yield store


def run(agent: Agent, *args: Any, **kwargs: Any) -> AgentResult:
    return agent.run(*args, **kwargs)


def arun(agent: Agent, *args: Any, **kwargs: Any) -> AgentResult:
    return asyncio.run(agent.arun(*args, **kwargs))


def stream(agent: Agent, *args: Any, **kwargs: Any) -> AgentResult:
    events = agent.stream(*args, **kwargs)
    text = "".join(event for event in events if event.type == "text")
    assert text.endswith(events.result)
    return events.result


def astream(agent: Agent, *args: Any, **kwargs: Any) -> AgentResult:
    async def read() -> AgentResult:
        events = agent.astream(*args, **kwargs)
        text = "".join([event async for event in events if event.type == "text"])
        assert text.endswith(events.result)
        return events.result

    return asyncio.run(read())


@pytest.fixture(params=[run, arun, stream, astream], ids=lambda face: face.__name__)
def ask(request: pytest.FixtureRequest) -> Ask:
    """``ask(agent, prompt, …)`` through one of the four faces."""
    face: Ask = request.param
    return face


def assert_valid(messages: list[dict[str, Any]]) -> None:
    """What the API demands: every call is answered, at once and once, and every answer has its call."""
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting, messages
            waiting.remove(message["tool_call_id"])
            continue
        assert not waiting, messages
        waiting = [call["id"] for call in message.get("tool_calls") or ()]
        assert len(set(waiting)) == len(waiting)
    assert not waiting, messages
