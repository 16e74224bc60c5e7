"""``ConversationMemory`` on PostgreSQL: its contract, and its clients killed."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ai_infra import demo
from ai_infra.llm.conversation.memory import ConversationMemory
from ai_infra.storage.postgres.conversations import PostgresConversationBackend
from ai_infra.testing.contract.conversations import ConversationContract, Embedder

from tests.postgres.server import Databases
from tests.victims import Victims

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


KILLS = 300 if os.environ.get("AI_INFRA_NIGHTLY") else 30

WRITER = """
import itertools
from ai_infra.llm.tools.custom import ConversationMemory
from ai_infra.testing.contract.conversations import Embedder, said

def work(url, first):
    memory = ConversationMemory("postgres", connection_string=url, embeddings=Embedder())
    for n in itertools.count(first):
        texts = [f"{n} says {i} " + "word " * 40 for i in range(60)]
        tell(f"begins {n}")
        memory.index_conversation("u", f"s{n % 5}", said(*texts), {"n": n})
        tell(f"ended {n}")
"""


def test_a_client_killed_while_indexing_leaves_no_half_conversation(url: str) -> None:
    dice = random.Random(3)
    acknowledged, inside = -1, 0
    with (
        Victims(WRITER) as writers,
        ConversationMemory(backend="postgres", connection_string=url, embeddings=Embedder()) as memory,
    ):
        for _ in range(KILLS):
            writers.start(url, acknowledged + 1)
            told = [writers.line() for _ in range(1 + 2 * dice.randrange(3))]
            time.sleep(dice.random() * 0.03)
            told += writers.kill()
            inside += told[-1].startswith("begins")
            acknowledged = max([acknowledged, *(int(t.split()[1]) for t in told if t.startswith("ended"))])
            newest = -1
            for one in memory.list_conversations("u"):
                found = memory.get_conversation("u", one.session_id)
                assert found is not None
                n = found.metadata["n"]
                newest = max(newest, n)
                assert [m["content"].split()[0] for m in found.messages] == [str(n)] * 60
            # What the dead client had asked for last may still be done by the server, whole.
            assert newest >= acknowledged
            acknowledged = newest
            if newest >= 0:
                hits = memory.search("u", "says word", session_id=f"s{newest % 5}", limit=50)
                assert len(hits) == 8
    # The kill must strike while a conversation is being written, most of the time.
    assert inside > KILLS / 2
    assert acknowledged > 0
