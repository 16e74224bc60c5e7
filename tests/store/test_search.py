"""Search with embedders that must be asked: what is paid for, what is refused, what another process sees."""

from __future__ import annotations

import asyncio
import math
import os
import pickle
import random
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ai_infra._core import TextIndex
from ai_infra.errors import ConfigurationError, ConflictError, EmbeddingError, EmbeddingMismatchError
from ai_infra.llm.memory.store import MemoryStore

from .processes import run
from .test_sharing import in_threads


class Fake:
    """An embedder of letters: it counts the texts it was asked for."""

    def __init__(self, model: str = "letters", dimensions: int = 26) -> None:
        self.model = model
        self.dimensions = dimensions
        self.texts: list[str] = []
        self.queries: list[str] = []

    def vector(self, text: str) -> list[float]:
        return [1e-3 + text.lower().count(chr(97 + n % 26)) for n in range(self.dimensions)]

    def embed_documents(self, texts: Sequence[str]) -> Any:
        self.texts += texts
        return [self.vector(text) for text in texts]

    def embed_query(self, text: str) -> Any:
        self.queries.append(text)
        return self.vector(text)


WORDS = ["apple", "banana", "cherry", "damson", "elderberry", "fig", "grape"]


def fill(store: MemoryStore) -> None:
    store.put_many([("fruit", word, {"text": word, "n": len(word)}) for word in WORDS])


@pytest.mark.parametrize("durable", [True, False], ids=["sqlite", "memory"])
def test_vectors_of_an_embedder_rank(tmp_path: Path, durable: bool) -> None:
    fake = Fake()
    path = tmp_path / "store.db"
    with MemoryStore.sqlite(path, embeddings=fake) if durable else MemoryStore(embeddings=fake) as store:
        fill(store)
        # An anagram shares no word, only letters.
        hits = store.search("fruit", "ananab", limit=3)
        assert hits[0].key == "banana"
        assert hits[0].score == pytest.approx(0.5, abs=0.01)
        assert len(hits) == 3


def test_the_same_text_is_paid_for_once(tmp_path: Path) -> None:
    fake = Fake()
    path = tmp_path / "store.db"
    with MemoryStore.sqlite(path, embeddings=fake) as store:
        fill(store)
        store.put_many([("other", str(n), {"text": "apple", "n": n}) for n in range(50)])
        store.put("fruit", "apple", {"text": "apple", "n": 99})
        assert sorted(fake.texts) == sorted(WORDS)
    again = Fake()
    with MemoryStore.sqlite(path, embeddings=again) as store:
        store.put("new", "k", {"text": "banana"})
        store.put("new", "no text", {"n": 1})
        assert again.texts == []
        assert store.search("new", "banana")[0].key == "k"
        assert again.queries == ["banana"]


def test_async_twins_are_awaited(tmp_path: Path) -> None:
    class Async(Fake):
        async def aembed_documents(self, texts: Sequence[str]) -> Any:
            await asyncio.sleep(0)
            return [array("f", self.vector(text)) for text in texts]

        async def aembed_query(self, text: str) -> Any:
            await asyncio.sleep(0)
            return array("f", self.vector(text))

    async def main() -> None:
        fake = Async()
        async with MemoryStore.sqlite(tmp_path / "store.db", embeddings=fake) as store:
            await store.aput("fruit", "fig", {"text": "fig"})
            assert [hit.key for hit in await store.asearch("fruit", "gif")] == ["fig"]
            assert (fake.texts, fake.queries) == ([], [])

    asyncio.run(main())


class Broken(Fake):
    """Fails in the way it is told to."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def embed_documents(self, texts: Sequence[str]) -> Any:
        good = super().embed_documents(texts)
        return self.answer(good)


def fail(_: Any) -> Any:
    raise EmbeddingError("the service is down")


@pytest.mark.parametrize(
    "answer",
    [
        fail,
        lambda good: good[:-1],
        lambda good: good + good[:1],
        lambda good: [*good[:-1], [math.nan] * 26],
        lambda good: [*good[:-1], [math.inf] * 26],
        lambda good: [*good[:-1], good[-1][:-1]],
        lambda good: [*good[:-1], None],
        lambda good: [[] for _ in good],
        lambda good: None,
    ],
    ids=["raises", "fewer", "more", "nan", "infinite", "short", "null", "zero length", "nothing"],
)
def test_a_failing_embedder_writes_nothing(tmp_path: Path, answer: Any) -> None:
    broken = Broken(answer)
    with MemoryStore.sqlite(tmp_path / "store.db", embeddings=broken) as store:
        with pytest.raises(EmbeddingError):
            fill(store)
        assert store.count() == 0
        broken.answer = lambda good: good
        fill(store)
        assert store.search("fruit", "gif", limit=1)[0].key == "fig"


def test_bad_input_is_refused_before_anything_is_embedded() -> None:
    fake = Fake()
    store = MemoryStore(embeddings=fake)
    with pytest.raises(ValueError, match="surrogate"):
        store.put_many([("a", "k", {"text": "fine"}), ("a", "k", {"text": "\ud800"})])
    with pytest.raises(ValueError, match="regex"):
        store.search("a", "fine", filter={"x": {"$regex": 1}})
    assert (fake.texts, fake.queries) == ([], [])


@pytest.mark.parametrize(
    "other", [None, Fake("other"), Fake("letters", 52)], ids=["built-in", "model", "size"]
)
def test_another_embedder_is_refused_and_may_take_over(tmp_path: Path, other: Fake | None) -> None:
    path = tmp_path / "store.db"
    with MemoryStore.sqlite(path, embeddings=Fake()) as store:
        fill(store)
    # The size is only seen when something is embedded; the model is refused at once.
    with (
        pytest.raises(EmbeddingMismatchError, match=r"reembed\(\)"),
        MemoryStore.sqlite(path, embeddings=other) as store,
    ):
        store.search("fruit", "fig")
    with MemoryStore.sqlite(path, embeddings=other, reembed=True) as store:
        assert store.search("fruit", "fig")[0].key == "fig"
        assert store.count() == len(WORDS)
        assert all(item.version == 1 for item in store.list("fruit"))
    with pytest.raises(EmbeddingMismatchError), MemoryStore.sqlite(path, embeddings=Fake()) as store:
        store.search("fruit", "fig")


def test_a_built_in_store_refuses_an_embedder(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with MemoryStore.sqlite(path) as store:
        store.put("a", "k", {"text": "apple"})
    with pytest.raises(EmbeddingMismatchError, match="ai-infra"):
        MemoryStore.sqlite(path, embeddings=Fake())
    with MemoryStore.sqlite(path) as store:
        store.clear("a")
    MemoryStore.sqlite(path, embeddings=Fake()).close()


def test_a_store_taken_over_while_open_is_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with MemoryStore.sqlite(path, embeddings=Fake()) as old:
        fill(old)
        old.search("fruit", "fig")
        with MemoryStore.sqlite(path, embeddings=Fake("other", 52), reembed=True) as new:
            for call in (lambda: old.put("fruit", "k", {"text": "kiwi"}), lambda: old.search("fruit", "fig")):
                with pytest.raises(EmbeddingMismatchError):
                    call()
            assert new.search("fruit", "fig")[0].key == "fig"
            assert new.count() == len(WORDS)


def test_vectors_of_another_size_are_refused(tmp_path: Path) -> None:
    class Growing(Fake):
        dimensions: Any = None

        def __init__(self) -> None:
            super().__init__()
            self.size, self.dimensions = 3, None

        def vector(self, text: str) -> list[float]:
            return [1.0] * self.size

    growing = Growing()
    with MemoryStore.sqlite(tmp_path / "store.db", embeddings=growing) as store:
        store.put("a", "k", {"text": "one"})
        growing.size = 4
        with pytest.raises(EmbeddingMismatchError, match="3 dimensions"):
            store.put("a", "l", {"text": "two"})
        with pytest.raises(EmbeddingMismatchError, match="3 dimensions"):
            store.search("a", "three")
        assert store.count() == 1


def test_what_is_no_embedder() -> None:
    with pytest.raises(ConfigurationError, match="embed_documents"):
        MemoryStore(embeddings=object())


def test_zero_vectors_score_nothing() -> None:
    class Zero(Fake):
        def vector(self, text: str) -> list[float]:
            return [0.0] * 26

    with MemoryStore(embeddings=Zero()) as store:
        store.put("a", "k", {"text": "apple"})
        assert [hit.score for hit in store.search("a", "xyzzy")] == [0.0]


def test_another_process_is_searched_at_once(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with MemoryStore.sqlite(path) as store:
        store.put("a", "first", {"text": "apples and pears"})
        assert store.search("a", "pears")[0].key == "first"
        run("MemoryStore.sqlite(path).put('a', 'second', {'text': 'a zebra'})", path)
        assert store.search("a", "zebra")[0].key == "second"
        run("MemoryStore.sqlite(path).put('a', 'second', {'text': 'a lion'})", path)
        assert store.search("a", "lion")[0].key == "second"
        run("MemoryStore.sqlite(path).delete('a', 'first')", path)
        assert [hit.key for hit in store.search("a", "pears")] == ["second"]
        run("MemoryStore.sqlite(path).clear('a')", path)
        assert store.search("a", "lion") == []


def test_an_index_caught_up_equals_a_fresh_one(tmp_path: Path) -> None:
    dice = random.Random(5)
    words = [f"word{n}" for n in range(40)]
    path = tmp_path / "store.db"
    with MemoryStore.sqlite(path) as store, MemoryStore.sqlite(path) as other:
        for _ in range(60):
            for _ in range(dice.randrange(5)):
                writer, key = dice.choice([store, other]), str(dice.randrange(30))
                if dice.random() < 0.7:
                    writer.put("a", key, {"text": " ".join(dice.choices(words, k=6))})
                else:
                    writer.delete("a", key)
            query = " ".join(dice.choices(words, k=2))
            with MemoryStore.sqlite(path) as fresh:
                wanted = fresh.search("a", query, limit=100)
            assert store.search("a", query, limit=100) == wanted


def test_threads_search_while_others_write(tmp_path: Path) -> None:
    with MemoryStore.sqlite(tmp_path / "store.db") as store:
        store.put_many([("a", str(n), {"text": f"note {n} about zebras"}) for n in range(200)])

        def work(worker: int) -> None:
            for n in range(40):
                if worker % 4 == 0:
                    store.put("a", f"{worker}-{n}", {"text": f"unique{worker}x{n}"})
                    assert store.search("a", f"unique{worker}x{n}", limit=1)[0].key == f"{worker}-{n}"
                else:
                    assert len(store.search("a", "zebras", limit=20)) == 20

        in_threads(32, work)
        assert store.count("a") == 200 + 8 * 40


def test_purge_forgets_vectors_and_indexes(tmp_path: Path) -> None:
    fake = Fake()
    with MemoryStore.sqlite(tmp_path / "store.db", embeddings=fake) as store:
        fill(store)
        store.search("fruit", "fig")
        store.clear("fruit")
        store.purge()
        marker = array("f", fake.vector("banana")).tobytes()
        for path in tmp_path.iterdir():
            assert marker not in path.read_bytes()
            assert b"banana" not in path.read_bytes()


def plainly(texts: dict[str, str], question: str, fake: Fake) -> list[tuple[str, float]]:
    """The documented score of every item, from the parts that the core also offers on their own."""
    keys = list(texts)
    words = TextIndex()
    words.add([(n, texts[key]) for n, key in enumerate(keys)])
    hits = words.search(question, limit=len(keys))
    best = max((score for _, score, _ in hits), default=1.0)
    by_words = {n: coverage * (0.5 + 0.5 * score / best) for n, score, coverage in hits}
    asked = fake.vector(question)
    scores = []
    for n, key in enumerate(keys):
        vector = fake.vector(texts[key])
        dot = sum(a * b for a, b in zip(asked, vector, strict=True))
        cosine = dot / math.hypot(*asked) / math.hypot(*vector) if texts[key] else 0.0
        scores.append((key, 0.5 * by_words.get(n, 0.0) + 0.5 * cosine))
    return scores


@pytest.mark.parametrize("dimensions", [26, 160])  # from 128 on there is a first look by signs
@pytest.mark.parametrize("durable", [True, False], ids=["sqlite", "memory"])
def test_a_search_is_the_documented_score_of_every_item(
    tmp_path: Path, durable: bool, dimensions: int
) -> None:
    fake = Fake(dimensions=dimensions)
    random_ = random.Random(3)
    some = [*WORDS, "lesson", "guitar", "violin", "config", "configuration", "the", "jam"]
    path = tmp_path / "store.db"
    texts: dict[str, str] = {}
    with MemoryStore.sqlite(path, embeddings=fake) if durable else MemoryStore(embeddings=fake) as store:
        for _ in range(25 * (10 if os.environ.get("AI_INFRA_NIGHTLY") else 1)):
            fresh = {
                str(random_.randrange(2_000)): " ".join(random_.choices(some, k=random_.randrange(0, 9)))
                for _ in range(random_.choice([1, 30, 300]))
            }
            store.put_many([("ns", key, {"text": text}) for key, text in fresh.items()])
            texts.update(fresh)
            gone = random_.sample(sorted(texts), len(texts) // random_.choice([2, 20]))
            store.delete_many([("ns", key) for key in gone])
            for key in gone:
                del texts[key]
            question = " ".join(random_.choices([*some, "instrument"], k=3))
            limit = random_.choice([1, 10, 2_500])
            hits = store.search("ns", question, limit=limit)
            plain = dict(plainly(texts, question, fake))
            assert len({hit.key for hit in hits}) == len(hits) == min(limit, len(plain))
            for hit, score in zip(hits, sorted(plain.values(), reverse=True), strict=False):
                assert hit.score == pytest.approx(
                    plain[hit.key], abs=1e-3
                )  # vectors are kept as 16-bit floats
                assert hit.score == pytest.approx(score, abs=1e-3)
                assert hit.value == {"text": texts[hit.key]}


def test_an_item_found_before_is_found_as_it_is_now() -> None:
    store = MemoryStore(embeddings=Fake())
    fill(store)
    first = store.search("fruit", "fig", limit=1)[0]
    first.value["text"] = "changed by the reader"
    assert store.search("fruit", "fig", limit=1)[0].value == {"text": "fig", "n": 3}
    store.put("other", "fig", {"text": "fig"})
    store.put("fruit", "fig", {"text": "fig", "n": 4})
    again = store.search("fruit", "fig", limit=1)[0].item
    assert (again.value, again.version) == ({"text": "fig", "n": 4}, 2)
    store.delete("fruit", "fig")
    assert "fig" not in {hit.key for hit in store.search("fruit", "fig")}
    assert pickle.loads(pickle.dumps(again)) == again
    with pytest.raises(ConflictError):
        store.put("fruit", "fig", {}, expected_version=again.version)


@pytest.mark.parametrize("embedded", [True, False])
def test_items_read_together_are_found_as_those_read_one_by_one(tmp_path: Path, embedded: bool) -> None:
    fake = Fake() if embedded else None
    path = tmp_path / "store.db"
    # Rows of other namespaces lie between, some have no text, and some are gone or written over.
    for count in (1, 2, 31, 32, 33, 64, 65, 150):
        name = f"of {count}"
        rows = [(name, f"k{n}", {"text": f"{WORDS[n % 7]} {n}"} if n % 9 else {"n": n}) for n in range(count)]
        with MemoryStore.sqlite(path, embeddings=fake) as store:
            for n, (_, key, value) in enumerate(rows):
                store.put(name, key, value)
                store.put(f"other {n % 3}", key, {"text": "fig"})
            for n in range(0, count, 5):
                if n % 10:
                    store.delete(name, f"k{n}")
                else:
                    store.put(name, f"k{n}", {"text": "grape jam"})
        with MemoryStore.sqlite(path, embeddings=fake) as store, MemoryStore(embeddings=fake) as plain:
            for key in sorted((item.key for item in store.list(name)), key=lambda key: int(key[1:])):
                found = store.get(name, key)
                assert found is not None
                plain.put(name, key, found.value)
                plain.search(name, "fig")
            for question in ("fig", "grape jam 31", "fruit", "nothing of it"):
                found_, wanted = (
                    [(hit.score, hit.key) for hit in each.search(name, question, limit=200)]
                    for each in (store, plain)
                )
                # Equal scores are ordered by when an item came.
                assert sorted(found_) == sorted(wanted)
                assert len(found_) == count - len(range(5, count, 10))
