"""``ConversationMemory`` on PostgreSQL: its contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ai_infra.llm.conversation.memory import ConversationMemory
from ai_infra.storage.postgres.conversations import PostgresConversationBackend
from ai_infra.testing.contract.conversations import ConversationContract

from tests.postgres.server import Databases

places: dict[Path, str] = {}
makers: list[Databases] = []


@pytest.fixture(autouse=True, scope="module")
def _maker(databases: Databases) -> Iterator[None]:
    makers.append(databases)
    yield
    makers.clear()
    places.clear()


class TestPostgres(ConversationContract):
    def open_memory(self, place: Path, **options: Any) -> ConversationMemory:
        if place not in places:
            places[place] = makers[0].new()
        backend = PostgresConversationBackend(places[place], pool_size=4, caller_clock="clock" in options)
        return ConversationMemory(backend, **options)
