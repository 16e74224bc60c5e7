"""``ConversationMemory`` on PostgreSQL: its contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ai_infra import demo
from ai_infra.llm.conversation.memory import ConversationMemory
from ai_infra.storage.postgres.conversations import PostgresConversationBackend
from ai_infra.testing.contract.conversations import ConversationContract

from tests.postgres.server import Databases

makers: list[Databases] = []


@pytest.fixture(autouse=True, scope="module")
def _maker(databases: Databases) -> Iterator[None]:
    makers.append(databases)
    yield
    makers.clear()


class TestPostgres(ConversationContract):
    def open_memory(self, place: Path, **options: Any) -> ConversationMemory:
        backend = PostgresConversationBackend(
            **makers[0].schema(place), pool_size=4, caller_clock="clock" in options
        )
        return ConversationMemory(backend, **options)


def test_the_demo_is_recalled_as_on_sqlite(url: str, tmp_path: Path) -> None:
    with (
        ConversationMemory(backend="sqlite", path=tmp_path / "local.db") as local,
        ConversationMemory(backend="postgres", connection_string=url) as remote,
    ):
        for memory in (local, remote):
            for each in demo.sessions():
                memory.index_conversation("user", each.id, each.messages, {"date": each.date.isoformat()})
        for question in demo.questions():
            ours, theirs = (
                [
                    (hit.chunk.session_id, hit.chunk.text, round(hit.score, 6), hit.context)
                    for hit in memory.search("user", question.question, limit=10)
                ]
                for memory in (remote, local)
            )
            assert ours
            assert ours == theirs
