"""Killed, shared, purged, probed: what is promised of conversations, with real files and processes."""

from __future__ import annotations

import os
import random
import threading
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ai_infra.errors import EmbeddingError, StorageError
from ai_infra.llm.tools.custom import ConversationMemory
from ai_infra.testing.contract.conversations import Embedder, said
from ai_infra.testing.openai_server import OpenAIServer
from ai_infra.testing.replies import Reply

from tests.victims import Victims

NIGHTLY = 10 if os.environ.get("AI_INFRA_NIGHTLY") else 1

WRITER = """
import itertools
from ai_infra.llm.tools.custom import ConversationMemory
from ai_infra.testing.contract.conversations import Embedder, said

def work(path, first):
    memory = ConversationMemory("sqlite", path=path, embeddings=Embedder())
    for n in itertools.count(first):
        texts = [f"{n} says {i} " + "word " * 40 for i in range(60)]
        tell(f"begins {n}")
        memory.index_conversation("u", f"s{n % 5}", said(*texts), {"n": n})
        tell(f"ended {n}")
"""


def test_killed_while_indexing_leaves_no_half_conversation(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    dice = random.Random(3)
    acknowledged = -1
    inside = 0
    with Victims(WRITER) as writers:
        for _ in range(100 * NIGHTLY):
            writers.start(str(path), acknowledged + 1)
            told = [writers.line() for _ in range(1 + 2 * dice.randrange(3))]
            time.sleep(dice.random() * 0.006)
            told += writers.kill()
            inside += told[-1].startswith("begins")
            acknowledged = max([acknowledged, *(int(t.split()[1]) for t in told if t.startswith("ended"))])
            with ConversationMemory("sqlite", path=path, embeddings=Embedder()) as memory:
                newest = -1
                for one in memory.list_conversations("u"):
                    found = memory.get_conversation("u", one.session_id)
                    assert found is not None
                    n = found.metadata["n"]
                    newest = max(newest, n)
                    assert [m["content"].split()[0] for m in found.messages] == [str(n)] * 60
                assert newest >= acknowledged
                acknowledged = newest
                # Every message is found again: its vectors are there.
                if newest >= 0:
                    hits = memory.search("u", "says word", session_id=f"s{newest % 5}", limit=50)
                    assert len(hits) == 8
    # The kill must strike while a conversation is being written, most of the time.
    assert inside > 50 * NIGHTLY
    assert acknowledged > 0


def test_a_session_of_500_that_grew_by_2_pays_for_2() -> None:
    texts = [f"message {n} of the long session" for n in range(500)]
    with (
        OpenAIServer(dimensions=1536) as server,
        ConversationMemory(
            embedding_provider="openai", base_url=server.base_url, api_key="sk-test"
        ) as memory,
    ):
        first = memory.index_conversation("u", "s", said(*texts))

        def paid() -> list[str]:
            return [text for request in server.embeds for text in request.body["input"]]

        def spans() -> list[tuple[int, int]]:
            found = memory.search("u", "message", limit=1000)
            return sorted((result.chunk.start, result.chunk.end) for result in found)

        assert len(paid()) == first.embedded == 500
        before = spans()
        assert len(before) == first.chunks
        server.clear()
        again = memory.index_conversation("u", "s", said(*texts))
        assert (paid(), again.changed, again.chunks) == ([], 0, first.chunks)
        grown = memory.index_conversation("u", "s", said(*texts, "a new question", "a new answer"))
        assert paid() == ["a new question", "a new answer"]
        assert (grown.changed, grown.embedded, grown.messages, memory.count("u")) == (2, 2, 502, 1)
        # Nothing is there twice, and only the tail is another.
        after = spans()
        assert len(after) == len(set(after)) == grown.chunks
        assert after[: len(before) - 1] == before[:-1]
        assert after[-1][1] == 502
        server.clear()
        server.fault(*[Reply(status=400, body=b'{"error": {"message": "no"}}')] * 5)
        with pytest.raises(EmbeddingError):
            memory.index_conversation("u", "s", said(*texts, "a third", "way"))
        found = memory.get_conversation("u", "s")
        assert found is not None
        assert found.length == 502


def test_thirty_two_threads_search_while_others_write(tmp_path: Path) -> None:
    stop = threading.Event()

    def search(memory: ConversationMemory) -> None:
        while not stop.is_set():
            for result in memory.search("u", "fox", limit=20):
                # What is read belongs to what was searched.
                assert result.chunk.session_id in result.evidence.text, result
                assert all(result.chunk.session_id in m["content"] for m in result.chunk.messages)

    def write(memory: ConversationMemory, k: int) -> None:
        for n in range(40):
            length = 2 + n % 7
            memory.index_conversation("u", f"s{k}", said(*[f"fox {i} of s{k}" for i in range(length)]))
            if n % 10 == 9:
                memory.delete_conversation("u", f"s{k}")

    with (
        ConversationMemory("sqlite", path=tmp_path / "c.db") as memory,
        ThreadPoolExecutor(36) as pool,
    ):
        readers = [pool.submit(search, memory) for _ in range(32)]
        writers = [pool.submit(write, memory, k) for k in range(3)]
        try:
            for future in writers:
                future.result()
        finally:
            stop.set()
        for future in readers:
            future.result()
        assert memory.search("u", "fox") == []


def test_deleted_text_is_nowhere_after_purge(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    memory = ConversationMemory("sqlite", path=path, embeddings=Embedder())
    memory.index_conversation(
        "walrususer", "s", said("the pangolin password", "noted"), {"topic": "pangolin"}
    )
    memory.index_conversation("u", "s", said("stays"))
    assert memory.search("walrususer", "pangolin")
    memory.delete_user_conversations("walrususer")
    memory.purge()
    everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"pangolin" not in everything
    assert b"walrususer" not in everything
    assert b"stays" in everything
    memory.close()


def test_a_hundred_thousand_probes_find_nothing_of_others() -> None:
    memory = ConversationMemory()
    dice = random.Random(19)
    alphabet = [
        "a",
        "b",
        "A",
        "/",
        "%",
        "_",
        "*",
        ".",
        " ",
        "'",
        "\\",
        "é",
        unicodedata.normalize("NFD", "é"),
        "ﬁ",
        "fi",
    ]
    owners = {"".join(dice.choices(alphabet, k=dice.randrange(1, 5))) for _ in range(300)}
    for owner in owners:
        memory.index_conversation(owner, "s", said("the secret"), {"owner": owner})
    for n in range(100_000 * NIGHTLY):
        probe = "".join(dice.choices(alphabet, k=dice.randrange(1, 5)))
        kind = n % 20
        if kind == 0:
            found = [r.chunk.user_id for r in memory.search(probe, "secret", limit=100)]
        elif kind == 1:
            found = [
                c.user_id for c in memory.list_conversations(probe, metadata={"owner": {"$exists": True}})
            ]
        elif kind == 2 and probe not in owners:
            found = [probe] * (
                memory.delete_user_conversations(probe) + memory.delete_conversation(probe, "s")
            )
            assert found == []
        else:
            one = memory.get_conversation(probe, "s")
            found = [] if one is None else [one.metadata["owner"]]
        assert found == ([probe] if probe in owners else [])
    assert memory.count() == len(owners)


def test_a_file_that_is_not_ours_is_untouched(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes " * 500)
    with pytest.raises(StorageError):
        ConversationMemory("sqlite", path=path)
    assert path.read_text() == "my notes " * 500
