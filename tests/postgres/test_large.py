"""Namespaces that are searched in the database: as a mirror finds, and nothing held by the process."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from ai_infra.errors import AIInfraError, ConfigurationError
from ai_infra.llm.memory.store import MemoryStore, ScoredItem
from ai_infra.storage.postgres import large, nearest, secure
from ai_infra.testing.contract import Clock

from tests.postgres.test_search import WORDS, Embedder, sentences

QUESTIONS = [*sentences(12, 2), "piano", "pianos in oslo", "music", "nothing here", ""]


@pytest.fixture
def extended(url: str) -> str:
    """The URL of a database with pgvector."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    return url


@pytest.fixture(params=["pgvector", "without"])
def either(request: pytest.FixtureRequest, url: str) -> Iterator[str]:
    """The URL of a database with pgvector, and of one without."""
    if request.param == "pgvector":
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION vector")
        yield url
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the extension pgvector is missing")
        yield url


def large_store(url: str, **options: Any) -> MemoryStore:
    return MemoryStore.postgres(url, in_database_from=100, **options)


def keys(hits: list[ScoredItem]) -> list[str]:
    return [hit.key for hit in hits]


def agreement(one: MemoryStore, other: MemoryStore, **question: Any) -> float:
    """The share of the first ten that both find, over all questions; where they agree, so do the scores.

    What is as good as the last one found is another's tenth, and no disagreement.
    """
    same = total = 0
    for query in QUESTIONS:
        ours = {hit.key: hit.score for hit in one.search("facts", query, limit=10, **question)}
        theirs = {hit.key: hit.score for hit in other.search("facts", query, limit=10, **question)}
        assert len(ours) == len(theirs)
        for key in ours.keys() & theirs.keys():
            assert abs(ours[key] - theirs[key]) < 0.01
        last = min(theirs.values(), default=0.0)
        same += sum(key in theirs or abs(score - last) < 1e-6 for key, score in ours.items())
        total += len(theirs)
    return same / total


@pytest.mark.parametrize("size", [None, 3, 96])
def test_what_the_database_finds_is_what_a_mirror_finds(either: str, size: int | None) -> None:
    options: dict[str, Any] = {} if size is None else {"embeddings": Embedder(size, "m")}
    texts = [f"{text} number{n % 700} {WORDS[n % 18]}s" for n, text in enumerate(sentences(2500, 1))]
    with MemoryStore.postgres(either, **options) as mirror, large_store(either, **options) as store:
        store.put_many([("facts", f"{n:05}", {"text": t, "n": n}) for n, t in enumerate(texts)])
        assert agreement(store, mirror) >= 0.99
        assert agreement(store, mirror, filter={"n": {"$gte": 2300}}) >= 0.99
        assert agreement(store, mirror, filter={"n": {"$in": [7, 900, 2499]}}) == 1
        # Written over, deleted and new.
        store.put_many([("facts", f"{n:05}", {"text": f"violin {n}", "n": n}) for n in range(0, 2500, 5)])
        for n in range(1, 200, 3):
            store.delete("facts", f"{n:05}")
        store.put_many([("facts", f"new{n}", {"text": t, "n": -n}) for n, t in enumerate(sentences(50, 9))])
        assert agreement(store, mirror) >= 0.99
        assert not store._backend._mirrors._by_place  # type: ignore[attr-defined]


def test_behind_a_pooler_and_with_a_high_limit_an_index_is_asked_for_enough(
    extended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "INDEXED_FROM", 100)
    texts = [f"{text} number{n}" for n, text in enumerate(sentences(1500, 8))]
    with (
        MemoryStore.postgres(extended, embeddings=Embedder(96, "m")) as mirror,
        large_store(extended, embeddings=Embedder(96, "m"), prepare=False) as pooled,
        large_store(extended, embeddings=Embedder(96, "m")) as store,
    ):
        mirror.put_many([("facts", f"{n:05}", {"text": text}) for n, text in enumerate(texts)])
        for each in (pooled, store):
            each.search("facts", "piano")
            each._backend._nearest.settle()  # type: ignore[attr-defined]
            assert agreement(each, mirror) >= 0.99
            for limit in (1, 60, 400):
                found = keys(each.search("facts", "a piano in oslo", limit=limit))
                assert len(found) == limit
                expected = keys(mirror.search("facts", "a piano in oslo", limit=limit))
                assert len(set(found) & set(expected)) >= 0.98 * limit


def test_every_item_is_found_where_all_are_asked_for(either: str) -> None:
    with large_store(either) as store:
        store.put_many([("facts", str(n), {"text": text}) for n, text in enumerate(sentences(300, 3))])
        store.put_many([("facts", f"empty{n}", {"n": n}) for n in range(20)])
        for query in ("piano", "", "zzz"):
            assert len({hit.key for hit in store.search("facts", query, limit=1000)}) == 320
        assert len(store.search("facts", "zzz", limit=1000, filter={"n": {"$lt": 5}})) == 5
        best = store.search("facts", "piano", limit=1000)
        assert [hit.score for hit in best] == sorted((hit.score for hit in best), reverse=True)
        least = best[100].score
        assert len(store.search("facts", "piano", limit=1000, min_score=least)) >= 101


def test_changes_of_another_process_are_found_at_once(extended: str) -> None:
    code = (
        "import sys\n"
        "from ai_infra.llm.memory.store import MemoryStore\n"
        "with MemoryStore.postgres(sys.argv[1]) as store:\n"
        "    for line in sys.stdin:\n"
        "        command, key, word = line.split()\n"
        "        done = store.put('facts', key, {'text': word}) if command == 'put' else store.delete('facts', key)\n"
        "        print(bool(done), flush=True)\n"
    )
    with large_store(extended) as store:
        store.put_many([("facts", str(n), {"text": text}) for n, text in enumerate(sentences(200, 4))])
        store.search("facts", "piano")
        other = subprocess.Popen(
            [sys.executable, "-c", code, extended], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert other.stdin is not None
        assert other.stdout is not None

        def say(line: str) -> None:
            assert other.stdin is not None
            assert other.stdout is not None
            other.stdin.write(line + "\n")
            other.stdin.flush()
            assert other.stdout.readline().strip() == "True"

        for number in range(10):
            say(f"put x{number} zebra{number}")
            assert store.search("facts", f"zebra{number}")[0].key == f"x{number}"
            say(f"put x{number} walrus{number}")
            assert store.search("facts", f"zebra{number}")[0].value != {"text": f"zebra{number}"}
            say(f"delete x{number} -")
            assert f"x{number}" not in keys(store.search("facts", f"walrus{number}", limit=1000))
        other.stdin.close()
        assert other.wait(20) == 0
        other.stdout.close()


def test_what_has_expired_is_not_found(either: str) -> None:
    clock = Clock()
    with large_store(either, clock=clock) as store:
        store.put_many([("facts", str(n), {"text": text}) for n, text in enumerate(sentences(200, 4))])
        store.put_many([("facts", f"brief{n}", {"text": "piano"}) for n in range(300)], ttl=10)
        assert keys(store.search("facts", "piano"))[0].startswith("brief")
        clock.now += 11
        found = keys(store.search("facts", "piano", limit=1000))
        assert len(found) == 200
        assert not any(key.startswith("brief") for key in found)


def test_a_subtree_and_a_small_namespace_beside_a_large_one(either: str) -> None:
    with large_store(either, embeddings=Embedder(16, "m")) as store:
        store.put_many([(("t", "big"), str(n), {"text": t}) for n, t in enumerate(sentences(600, 5))])
        store.put_many([(("t", "small"), str(n), {"text": t}) for n, t in enumerate(sentences(7, 6))])
        for query in QUESTIONS:
            assert len(store.search(("t", "big"), query)) == 10
            found = store.search(("t", "small"), query, limit=5)
            assert len(found) == 5
            assert {hit.namespace for hit in found} == {("t", "small")}
            assert len(store.search("t", query, recursive=True, limit=10)) == 10
        assert len(store.search("t", "piano", recursive=True, limit=1000)) == 607


def test_an_index_finds_all_that_a_filter_leaves(extended: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "INDEXED_FROM", 500)
    with (
        large_store(extended, embeddings=Embedder(32, "m")) as store,
        MemoryStore.postgres(extended, embeddings=Embedder(32, "m")) as mirror,
    ):
        store.put_many([("facts", f"{n:05}", {"text": t, "n": n}) for n, t in enumerate(sentences(3000, 7))])
        store.search("facts", "piano")
        store._backend._nearest.settle()  # type: ignore[attr-defined]
        with psycopg.connect(extended) as connection:
            (definition,) = connection.execute(
                "SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%hnsw%'"
            ).fetchall()
        assert "halfvec(32)" in definition[0]
        assert "WHERE (place = " in definition[0]
        assert agreement(store, mirror) >= 0.99
        for query in QUESTIONS:
            assert len(store.search("facts", query, filter={"n": {"$gte": 2990}}, limit=10)) == 10
            assert len(store.search("facts", query, filter={"n": 5}, limit=10)) == 1
        store.put("facts", "new", {"text": "a zebra"})
        assert store.search("facts", "a zebra")[0].key == "new"


def test_without_pgvector_one_warning_says_what_to_run(url: str) -> None:
    with large_store(url) as store:
        store.put_many([("facts", str(n), {"text": text}) for n, text in enumerate(sentences(120, 8))])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(3):
                assert len(store.search("facts", "piano")) == 10
                assert len(store.search("facts", "rain", limit=120)) == 120
        assert len(caught) == 1
        assert "or a superuser, run in it: CREATE EXTENSION vector;" in str(caught[0].message)


def test_half_removed_is_made_anew_and_a_cleared_namespace_is_empty(
    extended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "SPARE", 20)
    monkeypatch.setattr(large, "REMOVED", 30)
    with large_store(extended) as store, MemoryStore.postgres(extended) as mirror:
        store.put_many([("facts", str(n), {"text": text}) for n, text in enumerate(sentences(200, 9))])
        for turn in range(6):
            store.put_many([("facts", str(n), {"text": t}) for n, t in enumerate(sentences(60, 20 + turn))])
            assert agreement(store, mirror) >= 0.99
        with psycopg.connect(extended) as connection:
            (row,) = connection.execute("SELECT place, documents, next FROM ai_infra.large").fetchall()
        assert row[0] > 1
        assert row[1] == 200
        assert row[2] <= 200 + 200 // 2 + 20 + 60
        assert store.clear("facts") == 200
        assert store.search("facts", "piano") == []
        store.put("facts", "one", {"text": "a piano"})
        assert keys(store.search("facts", "piano")) == ["one"]


def test_a_role_that_owns_nothing_searches_its_tenant(extended: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "INDEXED_FROM", 100)
    with psycopg.connect(extended, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS large_app")
        connection.execute("CREATE ROLE large_app LOGIN")
    secure(extended, role="large_app")
    dsn = psycopg.conninfo.make_conninfo(extended, user="large_app")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for tenant in ("a", "b"):
            with large_store(dsn, tenant=tenant, row_level_security=True) as store:
                store.put_many(
                    [("facts", f"{tenant}{n}", {"text": t}) for n, t in enumerate(sentences(150, 1))]
                )
                found = store.search("facts", "piano", limit=1000)
                assert {hit.key[0] for hit in found} == {tenant}
                assert len(found) == 150
                store._backend._nearest.settle()  # type: ignore[attr-defined]
    assert len(caught) == 2
    assert "as the owner of the tables run: CREATE INDEX CONCURRENTLY" in str(caught[0].message)
    with psycopg.connect(extended, autocommit=True) as connection:
        connection.execute(str(caught[0].message).split("run: ")[1].encode())


@pytest.mark.parametrize(("version", "warned"), [("0.8.3", True), ("0.8.4", False), ("0.10.0", False)])
def test_an_old_pgvector_is_warned_of(extended: str, version: str, warned: bool) -> None:
    with psycopg.connect(extended, autocommit=True) as connection:
        connection.execute("UPDATE pg_extension SET extversion = %s WHERE extname = 'vector'", (version,))
    with large_store(extended) as store:
        store.put_many([("facts", str(n), {"text": text}) for n, text in enumerate(sentences(120, 8))])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            store.search("facts", "piano")
            store.search("facts", "rain")
        assert [
            ("0.8.3" in str(each.message), "ALTER EXTENSION" in str(each.message)) for each in caught
        ] == ([(True, True)] if warned else [])


def test_reembed_and_purge_make_it_anew(extended: str) -> None:
    with large_store(extended, embeddings=Embedder(8, "first")) as store:
        store.put_many([("facts", str(n), {"text": text}) for n, text in enumerate(sentences(150, 8))])
        assert len(store.search("facts", "piano", limit=200)) == 150
    with large_store(extended, embeddings=Embedder(24, "second"), reembed=True) as store:
        assert len(store.search("facts", "piano", limit=200)) == 150
        store.put("facts", "secret", {"text": "xylophone"})
        assert store.search("facts", "xylophone")[0].key == "secret"
        store.delete("facts", "secret")
        store.purge()
        with psycopg.connect(extended) as connection:
            rows = connection.execute("SELECT count(*) FROM ai_infra.large_words").fetchone()
        assert rows == (0,)
        assert len(store.search("facts", "piano", limit=200)) == 150


def test_many_threads_make_and_ask_at_once(extended: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "PIECE", 50)
    failures: list[BaseException] = []
    with large_store(extended) as store:
        store.put_many([("facts", str(n), {"text": text}) for n, text in enumerate(sentences(400, 9))])

        def ask(number: int) -> None:
            try:
                for turn in range(8):
                    store.put("facts", f"{number}-{turn}", {"text": f"word{number}x{turn}"})
                    assert store.search("facts", f"word{number}x{turn}")[0].key == f"{number}-{turn}"
            except (AssertionError, AIInfraError) as error:
                failures.append(error)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert len(store.search("facts", "piano", limit=1000)) == 448
        with psycopg.connect(extended) as connection:
            counted = "SELECT documents, words, (SELECT count(*) FROM ai_infra.large_documents), "
            counted += "(SELECT sum(length) FROM ai_infra.large_documents) FROM ai_infra.large"
            (row,) = connection.execute(counted).fetchall()
        assert row[0] == row[2] == 448
        assert row[1] == row[3]


@pytest.mark.parametrize("wrong", [0, -1, True, "many", 1.5])
def test_a_threshold_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="in_database_from"):
        MemoryStore.postgres("postgresql://nowhere/none", in_database_from=wrong)
