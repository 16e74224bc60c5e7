"""PostgreSQL: this library beside LangGraph's PostgresStore and PostgresSaver, and plain SQL, in one run.

    python -m benches.postgres.bench [--sizes 100,10000,100000] [--namespaces 200] [--without langgraph]

Needs ``benches/postgres/requirements.txt``. One server of its own with durable writes (fsync on), or the one that
DATABASE_URL
names. All ask the same embedder (384 numbers made from the words of a text), so nobody waits for a model. Figures
are medians in milliseconds; the ratio is to the fastest of the others (above 1: we are faster).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import statistics
import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
from ai_infra.llm.memory.store import MemoryStore
from ai_infra.llm.session import postgres as our_sessions
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


class Embedder:
    """A vector from the words of a text: cheap, the same for all."""

    def __init__(self) -> None:
        self._words: dict[str, list[float]] = {}
        self._texts: dict[str, list[float]] = {}

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


class Ours:
    name = "ai-infra-memory"

    def __init__(self, url: str, embedder: Embedder) -> None:
        self.store = MemoryStore.postgres(url, embeddings=embedder)

    def put(self, space: str, key: str, text: str) -> None:
        self.store.put(("bench", space), key, {"text": text})

    def put_many(self, space: str, rows: list[tuple[str, str]]) -> None:
        self.store.put_many([(("bench", space), key, {"text": text}) for key, text in rows])

    def get(self, space: str, key: str) -> Any:
        item = self.store.get(("bench", space), key)
        assert item is not None
        return item.value

    def search(self, space: str, query: str) -> int:
        return len(self.store.search(("bench", space), query, limit=10))

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
        self._embedder = embedder
        self._pool = ConnectionPool(url, min_size=1, max_size=10, open=True, kwargs={"autocommit": True})
        with self._pool.connection() as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute(
                'CREATE TABLE plain (space text COLLATE "C", key text COLLATE "C", value jsonb, '
                f"vec vector({DIMENSIONS}), PRIMARY KEY (space, key))"
            )

    @staticmethod
    def _text(vector: list[float]) -> str:
        return "[" + ",".join(map(str, vector)) + "]"

    _PUT = (
        "INSERT INTO plain VALUES (%s, %s, jsonb_build_object('text', %s::text), %s::vector) "
        "ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, vec = excluded.vec"
    )

    def put(self, space: str, key: str, text: str) -> None:
        vector = self._text(self._embedder.embed_query(text))
        with self._pool.connection() as connection:
            connection.execute(self._PUT, (space, key, text, vector))

    def put_many(self, space: str, rows: list[tuple[str, str]]) -> None:
        vectors = self._embedder.embed_documents([text for _, text in rows])
        with self._pool.connection() as connection, connection.transaction():
            connection.cursor().executemany(
                self._PUT,
                [(space, key, text, self._text(v)) for (key, text), v in zip(rows, vectors, strict=True)],
            )

    def get(self, space: str, key: str) -> Any:
        with self._pool.connection() as connection:
            row = connection.execute(
                "SELECT value FROM plain WHERE space = %s AND key = %s", (space, key)
            ).fetchone()
        assert row is not None
        return row[0]

    def search(self, space: str, query: str) -> int:
        vector = self._text(self._embedder.embed_query(query))
        with self._pool.connection() as connection:
            return len(
                connection.execute(
                    "SELECT key, value, vec <=> %s::vector AS far FROM plain WHERE space = %s ORDER BY far LIMIT 10",
                    (vector, space),
                ).fetchall()
            )

    def ready(self) -> None:
        with self._pool.connection() as connection:
            connection.execute("ANALYZE plain")

    def close(self) -> None:
        self._pool.close()


def median(call: Callable[[int], Any], rounds: int) -> float:
    for turn in range(min(6, rounds)):
        call(turn)
    times = []
    for turn in range(rounds):
        start = time.perf_counter()
        call(turn)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def searching(peer: Any, size: int, queries: list[str]) -> Callable[[int], Any]:
    return lambda turn: peer.search(f"size{size}", queries[turn % len(queries)])


def report(what: str, figures: dict[str, float]) -> None:
    others = [value for name, value in figures.items() if name != Ours.name and name != Plain.name]
    ours = figures[Ours.name]
    plain = figures.get(Plain.name)
    cells = "  ".join(f"{name}: {value:.3f}" for name, value in figures.items())
    ratio = f"{min(others) / ours:.2f} x the fastest peer" if others else ""
    floor = f", {ours / plain:.2f} of plain SQL's time" if plain else ""
    print(f"{what:32} {cells}  | {ratio}{floor}", flush=True)


def stores(url: str, sizes: list[int], namespaces: int, kinds: list[Any]) -> None:
    embedder = Embedder()
    peers = [kind(url, embedder) for kind in kinds]
    dice = random.Random(4)
    texts = [sentence(dice) for _ in range(150)]
    embedder.embed_documents(texts)
    report("put", {p.name: median(lambda n, p=p: p.put("put", f"k{n}", texts[n]), 150) for p in peers})
    report("get", {p.name: median(lambda n, p=p: p.get("put", f"k{n % 100}"), 500) for p in peers})
    rows = [(f"k{n}", sentence(dice)) for n in range(1000)]
    embedder.embed_documents([text for _, text in rows])
    report(
        "put_many, 1,000 items",
        {p.name: median(lambda n, p=p: p.put_many(f"many{n}", rows), 3) for p in peers},
    )
    for size in sizes:
        rows = [
            (f"k{n}", texts[n % 150]) if size > 10_000 else (f"k{n}", sentence(dice)) for n in range(size)
        ]
        embedder.embed_documents([text for _, text in rows])
        for peer in peers:
            start = time.perf_counter()
            for at in range(0, size, 1000):
                peer.put_many(f"size{size}", rows[at : at + 1000])
            peer.ready()
            loaded = time.perf_counter() - start
            start = time.perf_counter()
            peer.search(f"size{size}", "coffee")
            first = (time.perf_counter() - start) * 1000
            print(f"  {peer.name}: {size} items written in {loaded:.1f} s, the first search {first:.1f} ms")
        queries = [sentence(dice) for _ in range(60)]
        embedder.embed_documents(queries)
        report(f"search, {size} items", {p.name: median(searching(p, size, queries), 60) for p in peers})
    if namespaces:
        for peer in peers:
            for number in range(namespaces):
                peer.put_many(f"user{number}", [(f"k{n}", texts[n]) for n in range(100)])
            peer.ready()
        order = [dice.randrange(namespaces) for _ in range(1000)]
        for label in ("first", "again"):
            report(
                f"search, {namespaces} x 100, {label}",
                {
                    p.name: median(lambda n, p=p: p.search(f"user{order[n]}", "coffee in oslo"), 300)
                    for p in peers
                },
            )
    for peer in peers:
        peer.close()
    with psycopg.connect(url) as connection:
        for schema in ("ai_infra", "public"):
            for table, size, rows in connection.execute(
                "SELECT relname, pg_total_relation_size(relid), n_live_tup FROM pg_stat_user_tables "
                "WHERE schemaname = %s AND pg_total_relation_size(relid) > 1000000 ORDER BY 2 DESC",
                (schema,),
            ).fetchall():
                print(f"  {schema}.{table}: {size / 1e6:.1f} MB with its indexes, {rows} rows")


def sessions(url: str) -> None:
    from langchain_core.messages import AIMessage, HumanMessage
    from langgraph.checkpoint.base import empty_checkpoint
    from langgraph.checkpoint.postgres import PostgresSaver

    store = our_sessions(url)
    dice = random.Random(5)
    with PostgresSaver.from_conn_string(url) as saver:
        saver.setup()
        history: list[Any] = []

        def saver_turn(turn: int) -> None:
            history.extend([HumanMessage(content=sentence(dice)), AIMessage(content=sentence(dice))])
            checkpoint = empty_checkpoint()
            checkpoint["channel_values"] = {"messages": list(history)}
            version = f"{len(history):032}.0"
            checkpoint["channel_versions"] = {"messages": version}
            config = {"configurable": {"thread_id": "one", "checkpoint_ns": ""}}
            saver.put(config, checkpoint, {"source": "loop", "step": turn}, {"messages": version})

        def our_turn(turn: int) -> None:
            store.append(
                "one",
                [
                    {"role": "user", "content": sentence(dice)},
                    {"role": "assistant", "content": sentence(dice)},
                ],
            )

        report(
            "append a turn (200 turns)",
            {Ours.name: median(our_turn, 200), "LangGraph PostgresSaver": median(saver_turn, 200)},
        )
        config = {"configurable": {"thread_id": "one"}}
        report(
            "load a session of 412 messages",
            {
                Ours.name: median(lambda n: store.messages("one"), 100),
                "LangGraph PostgresSaver": median(lambda n: saver.get_tuple(config), 100),
            },
        )
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="100,10000")
    parser.add_argument("--namespaces", type=int, default=200)
    parser.add_argument("--without", choices=["langgraph"], help="to leave out who needs minutes to load")
    options = parser.parse_args()
    given = os.environ.get("DATABASE_URL")
    server = None
    if given is None:
        from tests.postgres.server import Server

        server = Server("shared_buffers=512MB", "maintenance_work_mem=512MB", "max_wal_size=4GB")
        given = server.url
    with psycopg.connect(given, autocommit=True) as connection:
        name = f"bench_{uuid.uuid4().hex[:8]}"
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")  # type: ignore[arg-type]
    url = psycopg.conninfo.make_conninfo(given, dbname=name)
    try:
        if options.without is None:
            sessions(url)
        kinds = [Ours, *([] if options.without else [LangGraph]), Plain]
        stores(url, [int(size) for size in options.sizes.split(",") if size], options.namespaces, kinds)
    finally:
        with psycopg.connect(given, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]
        if server is not None:
            server.end()


if __name__ == "__main__":
    main()
