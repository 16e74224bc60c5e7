"""Talking to models: :class:`LLM`, what it answers, and what is built on it.

The names are loaded when they are first used: ``ai_infra.llm.memory`` must not pay for the client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ai_infra.llm.agent import Agent
    from ai_infra.llm.client import LLM
    from ai_infra.llm.response import ChatDelta, ChatResponse, Usage
    from ai_infra.llm.streaming import AsyncChatStream, ChatStream

__all__ = ["LLM", "Agent", "AsyncChatStream", "ChatDelta", "ChatResponse", "ChatStream", "Usage"]

_ROOMS = {
    "LLM": "client",
    "Agent": "agent",
    "AsyncChatStream": "streaming",
    "ChatDelta": "response",
    "ChatResponse": "response",
    "ChatStream": "streaming",
    "Usage": "response",
}


def __getattr__(name: str) -> object:
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
