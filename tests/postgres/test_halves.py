"""Vectors are kept in two bytes a dimension; the four of earlier versions are read as they are."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

import psycopg
import pytest
from ai_infra.errors import StorageCorruptError
from ai_infra.llm.conversation.memory import ConversationMemory
from ai_infra.llm.memory.store import MemoryStore
from ai_infra.storage.postgres.statements import MIGRATIONS

SIZE = 24


class Embedder:
    """Vectors of any length, always the same for a text; counts the texts it was given."""

    def __init__(self) -> None:
        self.asked = 0

    def embed_query(self, text: str) -> list[float]:
        dice = random.Random(text)
        return [dice.gauss(0, 3) for _ in range(SIZE)]

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        self.asked += len(texts)
        return [self.embed_query(text) for text in texts]


def as_before(url: str, table: str, only: str, vectors: dict[bytes, bytes]) -> int:
    """Give some rows the vectors that an earlier version would have written, and the schema its number."""
    with psycopg.connect(url, autocommit=True) as connection:
        # The marks of the rows themselves: a vector packed to the same halves is the same vector.
        rows = connection.execute(f"SELECT hash, vector FROM ai_infra.{table} WHERE {only}").fetchall()
        for digest, halves in rows:
            floats = vectors.get(halves)
            assert floats is not None
            connection.execute(
                f"UPDATE ai_infra.{table} SET vector = %s WHERE hash = %s AND {only}", (floats, digest)
            )
        version = MIGRATIONS.index("0007_halves.sql")
        connection.execute("UPDATE ai_infra.meta SET value = %s", (str(version),))
        return len(rows)


def by_halves(texts: Sequence[str]) -> dict[bytes, bytes]:
    """The floats of texts by what is stored of them: halves of the direction."""
    found = {}
    for text in texts:
        vector = Embedder().embed_query(text)
        singles = struct.unpack(f"<{SIZE}f", struct.pack(f"<{SIZE}f", *vector))
        length = sum(x * x for x in singles) ** 0.5
        # Rounded as it is stored, so to the nearest half: the direction differs in its last digit at most.
        found[struct.pack(f"<{SIZE}e", *(x / length for x in singles))] = struct.pack(f"<{SIZE}f", *singles)
    return found


def lengths(url: str, table: str) -> list[tuple[int, int]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            f"SELECT length(vector), count(*) FROM ai_infra.{table} GROUP BY 1 ORDER BY 1"
        ).fetchall()


TEXTS = [f"note {n} about {topic}" for n, topic in enumerate(["rain", "bread", "chess", "Oslo"] * 8)]
QUESTIONS = ["rain in the morning", "note about Oslo", "what else"]


def answers(store: MemoryStore) -> list[list[tuple[str, float]]]:
    return [[(item.key, score) for item, score in store.search("a", text, limit=9)] for text in QUESTIONS]


@pytest.mark.parametrize("in_database_from", [250_000, 1])
def test_items_of_an_earlier_version_rank_as_before(url: str, in_database_from: int) -> None:
    embedder = Embedder()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")

    def opened() -> MemoryStore:
        return MemoryStore.postgres(url, embeddings=embedder, in_database_from=in_database_from)

    with opened() as store:
        store.put_many([("a", text, {"text": text}) for text in TEXTS])
        assert lengths(url, "vectors") == [(2 * SIZE, len(TEXTS))]
        expected = answers(store)
    assert as_before(url, "vectors", "right(key, 4) IN ('rain', 'Oslo')", by_halves(TEXTS)) == 16
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM ai_infra.large")
        connection.execute("DELETE FROM ai_infra.large_documents")
        connection.execute("DELETE FROM ai_infra.large_words")
    asked = embedder.asked
    with opened() as store:
        assert answers(store) == expected
        # What is held is not paid for again, and is written in the new form.
        store.put("b", "again", {"text": TEXTS[0]})
        store.put_many([("b", text, {"text": text}) for text in TEXTS[:4]])
        assert embedder.asked == asked
        assert lengths(url, "vectors") == [(2 * SIZE, 16 + 5), (4 * SIZE, 16)]
        store.put("a", "new", {"text": "rain in the morning"})
        assert answers(store)[0][0][0] == "new"
        assert store.delete("a", "new")
        assert answers(store) == expected
        store.reembed()
        assert lengths(url, "vectors") == [(2 * SIZE, len(TEXTS) + 5)]
        assert answers(store) == expected


def test_conversations_of_an_earlier_version_rank_as_before(url: str) -> None:
    embedder = Embedder()
    messages = [{"role": "user", "content": text} for text in TEXTS]

    def found(memory: ConversationMemory) -> list[list[tuple[str, float]]]:
        return [[(hit.context, hit.score) for hit in memory.search("u", text)] for text in QUESTIONS]

    def opened() -> ConversationMemory:
        return ConversationMemory(backend="postgres", connection_string=url, embeddings=embedder)

    with opened() as memory:
        memory.index_conversation("u", "s", messages)
        assert lengths(url, "conversation_vectors") == [(2 * SIZE, len(TEXTS))]
        expected = found(memory)
    assert as_before(url, "conversation_vectors", "true", by_halves(TEXTS)) == len(TEXTS)
    asked = embedder.asked
    with opened() as memory:
        assert found(memory) == expected
        memory.index_conversation("u", "s", [*messages, {"role": "user", "content": "more of it"}])
        memory.index_conversation("u", "t", messages[:5])
        assert embedder.asked == asked + 1
        assert lengths(url, "conversation_vectors") == [(2 * SIZE, 6), (4 * SIZE, len(TEXTS))]


@pytest.mark.parametrize("length", [0, 2 * SIZE - 2, 2 * SIZE + 1, 3 * SIZE])
def test_a_vector_of_another_length_is_damage(url: str, length: int) -> None:
    with MemoryStore.postgres(url, embeddings=Embedder()) as store:
        store.put_many([("a", text, {"text": text}) for text in TEXTS])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "UPDATE ai_infra.vectors SET vector = %s WHERE key = %s", (bytes(length), TEXTS[3])
        )
    with (
        MemoryStore.postgres(url, embeddings=Embedder()) as store,
        pytest.raises(StorageCorruptError, match="a vector in the database is damaged"),
    ):
        store.search("a", "rain")
