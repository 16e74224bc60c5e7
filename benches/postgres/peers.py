"""Who takes part in the benchmark of PostgreSQL, and the embedder that all of them ask."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import psycopg
from ai_infra.llm.memory.store import MemoryStore
from psycopg_pool import ConnectionPool

DIMENSIONS = 384
WORDS = [
    *("user", "prefers", "python", "rust", "coffee", "tea", "train", "airport", "doctor", "dog", "cat"),
    *("guitar", "piano", "window", "editor", "vim", "keyboard", "berlin", "oslo", "lisbon", "monday"),
    *("budget", "invoice", "garden", "river", "winter", "summer", "recipe", "allergy", "meeting"),
]


SYLLABLES = ["ba", "ke", "li", "mo", "ru", "ta", "ve", "no", "si", "du", "pa", "fe", "go", "hi", "ju"]
MANY = [a + b + c for a in SYLLABLES for b in SYLLABLES for c in SYLLABLES]


def sentence(dice: random.Random) -> str:
    """Twelve words: a few that many sentences share, and rarer ones by Zipf's law."""
    rare = [MANY[min(int(dice.paretovariate(0.7)), len(MANY)) - 1] for _ in range(9)]
    return " ".join([*dice.choices(WORDS, k=3), *rare])


MOST_WRITTEN = 20_000
"""More items than these the others write in bulk."""


class Embedder:
    """A vector from the words of a text: cheap, the same for all."""

    def __init__(self) -> None:
        self._words: dict[str, list[float]] = {}
        self._texts: dict[str, list[float]] = {}
        self._written: dict[str, str] = {}

    def _word(self, word: str) -> list[float]:
        known = self._words.get(word)
        if known is None:
            dice = random.Random(hashlib.sha256(word.encode()).digest())
            known = self._words[word] = [dice.gauss(0, 1) for _ in range(DIMENSIONS)]
        return known

    def embed_query(self, text: str) -> list[float]:
        known = self._texts.get(text)
        if known is None:
            rows = [self._word(word) for word in text.split()] or [[1.0] * DIMENSIONS]
            known = self._texts[text] = [sum(column) for column in zip(*rows, strict=True)]
        return known

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def text(self, text: str) -> str:
        """The vector as pgvector reads it; written once for each text."""
        known = self._written.get(text)
        if known is None:
            known = self._written[text] = "[" + ",".join(map(str, self.embed_query(text))) + "]"
        return known


class Ours:
    name = "ai-infra-memory"

    def __init__(self, url: str, embedder: Embedder, **options: Any) -> None:
        self.store = MemoryStore.postgres(url, embeddings=embedder, **options)

    def put(self, space: str, key: str, text: str) -> None:
        self.store.put(("bench", space), key, {"text": text})

    def put_many(self, space: str, rows: list[tuple[str, str]]) -> None:
        self.store.put_many([(("bench", space), key, {"text": text}) for key, text in rows])

    def fill(self, spaces: list[tuple[str, list[tuple[str, str]]]]) -> None:
        for space, rows in spaces:
            for at in range(0, len(rows), 1000):
                self.put_many(space, rows[at : at + 1000])

    def get(self, space: str, key: str) -> Any:
        item = self.store.get(("bench", space), key)
        assert item is not None
        return item.value

    def search(self, space: str, query: str) -> int:
        return len(self.store.search(("bench", space), query, limit=10))

    def keys(self, space: str, query: str) -> set[str]:
        return {hit.key for hit in self.store.search(("bench", space), query, limit=10)}

    def ready(self) -> None:
        pass

    def close(self) -> None:
        self.store.close()


class LangGraph:
    name = "LangGraph PostgresStore"

    def __init__(self, url: str, embedder: Embedder) -> None:
        from langgraph.store.base import PutOp
        from langgraph.store.postgres import PostgresStore

        self._op = PutOp
        self._url, self._embedder = url, embedder
        self._context = PostgresStore.from_conn_string(
            url,
            pool_config={"max_size": 10},
            index={"dims": DIMENSIONS, "embed": embedder.embed_documents, "fields": ["text"]},
        )
        self.store = self._context.__enter__()
        self.store.setup()

    def put(self, space: str, key: str, text: str) -> None:
        self.store.put(("bench", space), key, {"text": text})

    def put_many(self, space: str, rows: list[tuple[str, str]]) -> None:
        self.store.batch([self._op(("bench", space), key, {"text": text}) for key, text in rows])

    def fill(self, spaces: list[tuple[str, list[tuple[str, str]]]]) -> None:
        if sum(len(rows) for _, rows in spaces) <= MOST_WRITTEN:
            for space, rows in spaces:
                for at in range(0, len(rows), 1000):
                    self.put_many(space, rows[at : at + 1000])
            return
        with psycopg.connect(self._url, autocommit=True) as connection:
            (index,) = connection.execute(
                "SELECT indexdef FROM pg_indexes WHERE indexname = 'store_vectors_embedding_idx'"
            ).fetchone() or ("",)
            connection.execute("SET maintenance_work_mem = '3GB'")
            connection.execute("DROP INDEX IF EXISTS store_vectors_embedding_idx")
            with connection.cursor().copy("COPY store (prefix, key, value) FROM STDIN") as copy:
                for space, rows in spaces:
                    for key, text in rows:
                        copy.write_row((f"bench.{space}", key, json.dumps({"text": text})))
            columns = "store_vectors (prefix, key, field_name, embedding)"
            with connection.cursor().copy(f"COPY {columns} FROM STDIN") as copy:  # type: ignore[arg-type]
                for space, rows in spaces:
                    for key, text in rows:
                        vector = self._embedder.text(text)
                        copy.write_row((f"bench.{space}", key, "text", vector))
            if index:
                connection.execute(index)  # type: ignore[arg-type]
            connection.execute("ANALYZE store, store_vectors")
            self._compare(connection, *spaces[0])

    def _compare(self, connection: Any, space: str, rows: list[tuple[str, str]]) -> None:
        """See that rows of a space written in bulk are what its own put writes, but for the time."""
        sample = f"sample {space}"
        self.put_many(sample, rows[:50])
        keys = [key for key, _ in rows[:50]]
        for query in (
            "SELECT key, value, expires_at, ttl_minutes FROM store WHERE prefix = %s AND key = ANY (%s) ORDER BY 1",
            "SELECT key, field_name, embedding::text FROM store_vectors "
            "WHERE prefix = %s AND key = ANY (%s) ORDER BY 1",
        ):
            bulk, own = (
                connection.execute(query, (f"bench.{name}", keys)).fetchall() for name in (space, sample)
            )
            assert len(bulk) == len(keys)
            assert bulk == own
        for key in keys:
            self.store.delete(("bench", sample), key)

    def get(self, space: str, key: str) -> Any:
        item = self.store.get(("bench", space), key)
        assert item is not None
        return item.value

    def search(self, space: str, query: str) -> int:
        return len(self.store.search(("bench", space), query=query, limit=10))

    def ready(self) -> None:
        pass

    def close(self) -> None:
        self._context.__exit__(None, None, None)


class Plain:
    """What somebody would write by hand: one table, pgvector, prepared statements, a pool."""

    name = "plain SQL, by hand"

    def __init__(self, url: str, embedder: Embedder) -> None:
        self._url, self._embedder = url, embedder
        self._pool = ConnectionPool(url, min_size=1, max_size=10, open=True, kwargs={"autocommit": True})
        with self._pool.connection() as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute(
                'CREATE TABLE plain (space text COLLATE "C", key text COLLATE "C", value jsonb, '
                f"vec vector({DIMENSIONS}), PRIMARY KEY (space, key))"
            )

    _PUT = (
        "INSERT INTO plain VALUES (%s, %s, jsonb_build_object('text', %s::text), %s::vector) "
        "ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, vec = excluded.vec"
    )

    def put(self, space: str, key: str, text: str) -> None:
        vector = self._embedder.text(text)
        with self._pool.connection() as connection:
            connection.execute(self._PUT, (space, key, text, vector))

    def put_many(self, space: str, rows: list[tuple[str, str]]) -> None:
        with self._pool.connection() as connection, connection.transaction():
            connection.cursor().executemany(
                self._PUT,
                [(space, key, text, self._embedder.text(text)) for key, text in rows],
            )

    def fill(self, spaces: list[tuple[str, list[tuple[str, str]]]]) -> None:
        if sum(len(rows) for _, rows in spaces) <= MOST_WRITTEN:
            for space, rows in spaces:
                for at in range(0, len(rows), 1000):
                    self.put_many(space, rows[at : at + 1000])
            return
        with self._pool.connection() as connection, connection.cursor().copy("COPY plain FROM STDIN") as copy:
            for space, rows in spaces:
                for key, text in rows:
                    copy.write_row((space, key, json.dumps({"text": text}), self._embedder.text(text)))

    def index(self, space: str) -> None:
        with self._pool.connection() as connection:
            connection.execute("SET maintenance_work_mem = '1GB'")
            connection.execute(
                f"CREATE INDEX {space} ON plain USING hnsw (vec vector_cosine_ops) WHERE space = '{space}'"  # type: ignore[arg-type]
            )
            # The usual hybrid: words by PostgreSQL's own text search, ranks of both added up.
            connection.execute(
                f"CREATE TABLE hybrid_{space} AS SELECT key, value, vec, "  # type: ignore[arg-type]
                f"to_tsvector('english', value ->> 'text') AS words FROM plain WHERE space = '{space}'"
            )
            connection.execute(f"CREATE INDEX ON hybrid_{space} USING hnsw (vec vector_cosine_ops)")  # type: ignore[arg-type]
            connection.execute(f"CREATE INDEX ON hybrid_{space} USING gin (words)")  # type: ignore[arg-type]
            connection.execute(f"ANALYZE hybrid_{space}")  # type: ignore[arg-type]
        # What has such an index needs plans made for each space.
        self._pool.close()
        options = {"autocommit": True, "options": "-c plan_cache_mode=force_custom_plan"}
        self._pool = ConnectionPool(self._url, min_size=1, max_size=10, open=True, kwargs=options)

    def get(self, space: str, key: str) -> Any:
        with self._pool.connection() as connection:
            row = connection.execute(
                "SELECT value FROM plain WHERE space = %s AND key = %s", (space, key)
            ).fetchone()
        assert row is not None
        return row[0]

    def search(self, space: str, query: str) -> int:
        vector = self._embedder.text(query)
        with self._pool.connection() as connection:
            return len(
                connection.execute(
                    "SELECT key, value, vec <=> %s::vector AS far FROM plain WHERE space = %s ORDER BY far LIMIT 10",
                    (vector, space),
                ).fetchall()
            )

    def hybrid(self, space: str, query: str) -> int:
        """The best ten by the sum of reciprocal ranks, of the hundred best by words and by vectors each."""
        asked = {"vector": self._embedder.text(query), "words": " | ".join(query.split())}
        with self._pool.connection() as connection:
            return len(
                connection.execute(
                    f"""
                    SELECT key, value, sum(1.0 / (60 + place)) AS score FROM (
                        (SELECT key, value, row_number() OVER (ORDER BY vec <=> %(vector)s::vector) AS place
                         FROM hybrid_{space} ORDER BY vec <=> %(vector)s::vector LIMIT 100)
                        UNION ALL
                        (SELECT key, value, row_number() OVER (ORDER BY ts_rank(words, asked) DESC) AS place
                         FROM hybrid_{space}, to_tsquery('english', %(words)s) AS asked
                         WHERE words @@ asked ORDER BY ts_rank(words, asked) DESC LIMIT 100)
                    ) AS found GROUP BY key, value ORDER BY score DESC LIMIT 10""",  # type: ignore[arg-type]
                    asked,
                ).fetchall()
            )

    def ready(self) -> None:
        with self._pool.connection() as connection:
            connection.execute("ANALYZE plain")

    def close(self) -> None:
        self._pool.close()
