"""Talking to models: :class:`LLM`, what it answers, and what is built on it.

The names are loaded when they are first used: ``ai_infra.llm.memory`` must not pay for the client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai_infra._lazy import lazy

if TYPE_CHECKING:
    from ai_infra.llm.agent import Agent
    from ai_infra.llm.client import LLM
    from ai_infra.llm.response import ChatDelta, ChatResponse, Usage
    from ai_infra.llm.streaming import AsyncChatStream, ChatStream

__all__ = ["LLM", "Agent", "AsyncChatStream", "ChatDelta", "ChatResponse", "ChatStream", "Usage"]

_WHERE = {
    "LLM": "ai_infra.llm.client",
    "Agent": "ai_infra.llm.agent",
    "AsyncChatStream": "ai_infra.llm.streaming",
    "ChatDelta": "ai_infra.llm.response",
    "ChatResponse": "ai_infra.llm.response",
    "ChatStream": "ai_infra.llm.streaming",
    "Usage": "ai_infra.llm.response",
}


def __getattr__(name: str) -> object:
    return lazy(globals(), _WHERE, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
