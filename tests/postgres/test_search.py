"""Search on PostgreSQL: the ranking of the local engine, over what any process has committed."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ai_infra.errors import AIInfraError, EmbeddingMismatchError
from ai_infra.llm.memory.store import MemoryStore, ScoredItem
from ai_infra.storage.postgres.mirror import PIECE
from ai_infra.testing.contract import Clock

WORDS = [
    *("red", "green", "blue", "apple", "pear", "plum", "cat", "dog", "bird"),
    *("piano", "violin", "drum", "oslo", "rome", "paris", "rain", "snow", "sun"),
]


def sentences(count: int, seed: int) -> list[str]:
    dice = random.Random(seed)
    return [" ".join(dice.choice(WORDS) for _ in range(8)) for _ in range(count)]


class Embedder:
    """Vectors from letters, of any size."""

    def __init__(self, size: int, model: str) -> None:
        self.size = size
        self.model = model
        self.asked = 0

    def embed_query(self, text: str) -> list[float]:
        dice = random.Random(text)
        return [dice.gauss(0, 1) for _ in range(self.size)]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.asked += len(texts)
        return [self.embed_query(text) for text in texts]


@pytest.mark.parametrize("size", [None, 3, 384, 3072])
def test_the_ranking_is_the_local_engines(url: str, tmp_path: Path, size: int | None) -> None:
    clock = Clock()
    options: dict[str, Any] = {} if size is None else {"embeddings": Embedder(size, "m")}
    with (
        MemoryStore.sqlite(tmp_path / "local.db", clock=clock, **options) as local,
        MemoryStore.postgres(url, clock=clock, **options) as remote,
    ):
        for store in (local, remote):
            for number, text in enumerate(sentences(300, 1)):
                clock.now = 1_700_000_000.0 + number
                store.put(("user", str(number % 3)), f"{number:04}", {"text": text, "n": number})
        for query in [*sentences(20, 2), "", "piano", "nothing here"]:
            for question in (
                {"namespace": ("user", "1"), "limit": 7},
                {"namespace": "user", "recursive": True, "limit": 300},
                {"namespace": ("user", "2"), "filter": {"n": {"$gte": 200}}, "limit": 40},
            ):
                ours, theirs = (
                    ranking(store.search(query=query, **question))  # type: ignore[arg-type]
                    for store in (remote, local)
                )
                assert ours == theirs


def test_every_process_finds_every_commit_at_once(url: str) -> None:
    code = (
        "import sys\n"
        "from ai_infra.llm.memory.store import MemoryStore\n"
        "with MemoryStore.postgres(sys.argv[1]) as store:\n"
        "    for line in sys.stdin:\n"
        "        command, word = line.split()\n"
        "        if command == 'put':\n"
        "            store.put('facts', word, {'text': word})\n"
        "            print('done', flush=True)\n"
        "        elif command == 'delete':\n"
        "            print(store.delete('facts', word), flush=True)\n"
        "        else:\n"
        "            hits = store.search('facts', word, limit=1)\n"
        "            print(hits[0].key if hits else None, len(store.search('facts', word, limit=99)), flush=True)\n"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for _ in range(3)
    ]

    def say(worker: int, line: str) -> str:
        process = workers[worker]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    there: list[str] = []
    for turn, word in enumerate(WORDS):
        assert say(turn % 3, f"put {word}") == "done"
        there.append(word)
        for worker in range(3):
            assert say(worker, f"search {word}") == f"{word} {len(there)}"
        if turn % 4 == 3:
            gone = there.pop(0)
            assert say((turn + 1) % 3, f"delete {gone}") == "True"
            for worker in range(3):
                assert say(worker, f"search {gone}").split()[1] == str(len(there))
    for process in workers:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0
        assert process.stdout is not None
        process.stdout.close()


def test_rows_deleted_by_hand_are_not_found(url: str) -> None:
    with MemoryStore.postgres(url) as store:
        store.put_many([("facts", str(n), {"text": f"note {n}"}) for n in range(5)])
        assert len(store.search("facts", "note")) == 5
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DELETE FROM ai_infra.items WHERE key IN ('1', '3')")
        assert sorted(hit.key for hit in store.search("facts", "note")) == ["0", "2", "4"]


def test_a_namespace_that_is_read_in_pieces(url: str, tmp_path: Path) -> None:
    async def again() -> list[tuple[str, float]]:
        async with MemoryStore.postgres(url) as store:
            return ranking(await store.asearch("facts", "piano in oslo", limit=50))

    count = 2 * PIECE + 1
    items = [("facts", f"{n:05}", {"text": text}) for n, text in enumerate(sentences(count, 5))]
    with MemoryStore.postgres(url) as store, MemoryStore.sqlite(tmp_path / "local.db") as local:
        store.put_many(items)
        local.put_many(items)
        assert len(store.search("facts", "piano", limit=count + 1)) == count
        expected = ranking(local.search("facts", "piano in oslo", limit=50))
        assert ranking(store.search("facts", "piano in oslo", limit=50)) == expected
        assert asyncio.run(again()) == expected


def test_a_namespace_beyond_the_room_is_searched_whole_and_said_so_once(url: str) -> None:
    with MemoryStore.postgres(url, index_memory=500_000) as store:
        store.put_many([("large", str(n), {"text": text}) for n, text in enumerate(sentences(500, 7))])
        store.put_many([("small", str(n), {"text": text}) for n, text in enumerate(sentences(20, 8))])
        assert len(store.search("small", "piano", limit=999)) == 20
        with pytest.warns(
            UserWarning, match="namespace of 500 items takes 1 MB in each process .* more than index_memory"
        ):
            assert len(store.search("large", "piano", limit=999)) == 500
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(2):
                assert len(store.search("small", "piano", limit=999)) == 20
                assert len(store.search("large", "piano", limit=999)) == 500


def test_many_threads_ask_an_unknown_namespace_at_once(url: str) -> None:
    with MemoryStore.postgres(url) as store:
        store.put_many([("facts", str(n), {"text": text}) for n, text in enumerate(sentences(400, 9))])
    found: list[int] = []
    with MemoryStore.postgres(url) as store:

        def ask(number: int) -> None:
            store.put("facts", f"mine {number}", {"text": f"word{number}"})
            assert store.search("facts", f"word{number}")[0].key == f"mine {number}"
            found.append(len(store.search("facts", "piano", limit=999)))

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert max(found) == 408


def ranking(hits: Sequence[ScoredItem]) -> list[tuple[str, float]]:
    return [(hit.key, round(hit.score, 5)) for hit in hits]


def test_a_vector_goes_with_its_item(url: str) -> None:
    with MemoryStore.postgres(url, embeddings=Embedder(8, "m")) as store:
        store.put_many([("facts", str(n), {"text": f"note {n}"}) for n in range(6)])
        assert store.delete("facts", "0")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DELETE FROM ai_infra.items WHERE key = '1'")
            kept = connection.execute("SELECT key FROM ai_infra.vectors ORDER BY key").fetchall()
            assert [row[0] for row in kept] == ["2", "3", "4", "5"]
            store.clear("facts")
            assert connection.execute("SELECT count(*) FROM ai_infra.vectors").fetchone() == (0,)


def test_a_transaction_that_commits_late_is_found(url: str) -> None:
    with MemoryStore.postgres(url) as store, psycopg.connect(url) as slow:
        store.put("facts", "a", {"text": "apple"})
        slow.execute(
            "UPDATE ai_infra.items SET value = %s, change = pg_current_xact_id()", ('{"text":"pear"}',)
        )
        # Later transactions commit first, and searches see them.
        for number in range(5):
            store.put("facts", str(number), {"text": f"number {number}"})
            assert len(store.search("facts", "apple")) == number + 2
        assert store.search("facts", "apple")[0].value == {"text": "apple"}
        slow.commit()
        assert store.search("facts", "pear")[0].value == {"text": "pear"}


def test_threads_and_tasks_search_while_others_write(url: str) -> None:
    failures: list[BaseException] = []
    done = threading.Event()

    def write(number: int) -> None:
        for turn in range(40):
            store.put("facts", f"{number}-{turn}", {"text": f"word{number}x{turn}"})
            hits = store.search("facts", f"word{number}x{turn}", limit=1)
            if hits[0].key != f"{number}-{turn}":
                failures.append(AssertionError(hits[0].key))

    async def read() -> None:
        seen = 0
        while not done.is_set():
            found = await asyncio.gather(*(store.asearch("facts", "word", limit=1000) for _ in range(3)))
            assert all(len(hits) >= seen for hits in found)
            seen = max(len(hits) for hits in found)

    def reader() -> None:
        try:
            asyncio.run(read())
        except (AssertionError, AIInfraError) as error:
            failures.append(error)

    with MemoryStore.postgres(url) as store:
        writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
        reading = threading.Thread(target=reader)
        for thread in (reading, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        reading.join()
        assert not failures
        assert len(store.search("facts", "word", limit=1000)) == 160


def test_a_small_tenant_among_large_ones_gets_all_its_rows(url: str) -> None:
    with MemoryStore.postgres(url, embeddings=Embedder(16, "m")) as store:
        for tenant in range(20):
            store.put_many(
                [(("t", str(tenant)), str(n), {"text": t}) for n, t in enumerate(sentences(200, tenant))]
            )
        store.put_many([(("t", "small"), str(n), {"text": t}) for n, t in enumerate(sentences(7, 99))])
        for query in sentences(20, 100):
            hits = store.search(("t", "small"), query, limit=5)
            assert len(hits) == 5
            assert {hit.namespace for hit in hits} == {("t", "small")}


def test_another_embedder_is_refused_until_reembed(url: str) -> None:
    first, second = Embedder(8, "first"), Embedder(24, "second")
    with MemoryStore.postgres(url, embeddings=first) as store:
        store.put_many([("facts", str(n), {"text": text}) for n, text in enumerate(sentences(30, 1))])
        asked = first.asked
        store.put("elsewhere", "k", {"text": sentences(30, 1)[3]})
        assert first.asked == asked
        with MemoryStore.postgres(url, embeddings=second) as other:
            for call in (lambda: other.put("facts", "x", {"text": "y"}), lambda: other.search("facts", "x")):
                with pytest.raises(EmbeddingMismatchError, match="reembed"):
                    call()
        with MemoryStore.postgres(url) as local, pytest.raises(EmbeddingMismatchError):
            local.search("facts", "x")
        with MemoryStore.postgres(url, embeddings=second, reembed=True) as other:
            assert len(other.search("facts", "piano", limit=50)) == 30
            other.put("facts", "new", {"text": "piano"})
            assert other.search("facts", "piano")[0].key == "new"
        for call in (lambda: store.put("facts", "x", {"text": "y"}), lambda: store.search("facts", "x")):
            with pytest.raises(EmbeddingMismatchError, match="second"):
                call()
        assert store.count("facts") == 31


def test_models_side_by_side_in_tenants_and_schemas(url: str) -> None:
    with (
        MemoryStore.postgres(url, tenant="a", embeddings=Embedder(8, "a")) as a,
        MemoryStore.postgres(url, tenant="b", embeddings=Embedder(2000, "b")) as b,
        MemoryStore.postgres(url, schema="other", embeddings=Embedder(4096, "c")) as c,
        MemoryStore.postgres(url) as local,
    ):
        for store in (a, b, c, local):
            store.put("facts", "k", {"text": "a piano"})
            assert [hit.key for hit in store.search("facts", "piano")] == ["k"]


def test_a_plan_that_was_made_while_a_table_was_empty_uses_its_index(url: str) -> None:
    with MemoryStore.postgres(url, pool_size=1) as store:
        for _ in range(8):  # the driver prepares what it runs for the sixth time
            assert store.search("facts", "piano") == []
            store.put("other", "k", {"text": "a violin"})
            assert store.search("other", "violin")[0].key == "k"
        store.put_many([("facts", f"{n:05}", {"text": text}) for n, text in enumerate(sentences(3_000, 5))])
        assert len(store.search("facts", "piano")) == 10
        with store._backend._database.pool().connection() as connection:  # type: ignore[attr-defined]
            prepared = connection.execute(
                "SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements"
            ).fetchall()
            assert len(prepared) >= 3
            assert all(custom == 0 for _, _, custom in prepared)
            changes = [text for text, *_ in prepared if "pg_visible_in_snapshot" in text]
            assert len(changes) == 1
            if connection.info.server_version >= 160_000:
                plan = "\n".join(
                    row[0] for row in connection.execute(b"EXPLAIN (GENERIC_PLAN) " + changes[0].encode())
                )
                assert "Seq Scan on items" not in plan
                assert "items_by_change" in plan
                assert "removals_by_change" in plan
