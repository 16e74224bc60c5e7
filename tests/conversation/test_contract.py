"""The contract of conversations, on both local backends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ai_infra.llm.tools.custom import ConversationMemory
from ai_infra.testing.contract.conversations import ConversationContract


class TestSqlite(ConversationContract):
    def open_memory(self, place: Path, **options: Any) -> ConversationMemory:
        return ConversationMemory("sqlite", path=place / "conversations.db", **options)


class TestMemory(ConversationContract):
    durable = False

    def open_memory(self, place: Path, **options: Any) -> ConversationMemory:
        return ConversationMemory(**options)
