"""Past conversations, indexed and searched: :class:`ConversationMemory`, and the tool that recalls from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ai_infra._lazy import lazy

if TYPE_CHECKING:
    from ai_infra.llm.conversation.memory import ConversationMemory
    from ai_infra.llm.conversation.recall import create_memory_tool, create_memory_tool_async
    from ai_infra.llm.conversation.result import (
        Conversation,
        ConversationChunk,
        Indexed,
        SearchResult,
        Stats,
    )

_WHERE = {
    "Conversation": "ai_infra.llm.conversation.result",
    "ConversationChunk": "ai_infra.llm.conversation.result",
    "ConversationMemory": "ai_infra.llm.conversation.memory",
    "Indexed": "ai_infra.llm.conversation.result",
    "SearchResult": "ai_infra.llm.conversation.result",
    "Stats": "ai_infra.llm.conversation.result",
    "create_memory_tool": "ai_infra.llm.conversation.recall",
    "create_memory_tool_async": "ai_infra.llm.conversation.recall",
}

__all__ = [
    "Conversation",
    "ConversationChunk",
    "ConversationMemory",
    "Indexed",
    "SearchResult",
    "Stats",
    "create_memory_tool",
    "create_memory_tool_async",
]


def __getattr__(name: str) -> Any:
    return lazy(globals(), _WHERE, name)


def __dir__() -> list[str]:
    return __all__
