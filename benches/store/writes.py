"""Durable writes beside peers, in one run: put one item at a time, and a batch in one transaction.

    pip install -r benches/requirements.txt
    python benches/store/writes.py [--items 1000] [--batch 20000] [--rounds 7]

Every store writes the same 100-character facts to a file on the same disk: first plain (here they can be searched all
the same, by the built-in embedder), then searchable in each store with one fake embedder of 384 dimensions. The
durability of each is stated beside it: "fsync" means that a write is on the disk when the call returns. Batches are
timed in turn, one of each store in a round, and the ratio is that to LangGraph's store. Peers that are not installed
are left out; the searchable ones need a Python whose sqlite3 loads extensions. The sqlite3 line is the floor: the
standard library, the same table, ``synchronous=FULL``.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

DIMS = 384
Put = Callable[[str, dict[str, Any]], Any]
PutMany = Callable[[list[tuple[str, dict[str, Any]]]], Any]
Store = tuple[Put, PutMany]


class Fake:
    """An embedder that costs next to nothing: one of a thousand vectors that were made before."""

    def __init__(self) -> None:
        self.vectors = [[((n * 31 + i * 17) % 200 - 100) / 1000 for i in range(DIMS)] for n in range(1000)]

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        return [self.vectors[hash(text) % 1000] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


@contextmanager
def ours(folder: Path, embedder: Fake | None) -> Iterator[Store]:
    from ai_infra.llm.memory.store import MemoryStore

    with MemoryStore.sqlite(folder / "ours.db", embeddings=embedder) as store:
        yield (
            lambda key, value: store.put("bench", key, value),
            lambda rows: store.put_many([("bench", key, value) for key, value in rows]),
        )


@contextmanager
def floor(folder: Path, _embedder: Fake | None) -> Iterator[Store]:
    db = sqlite3.connect(folder / "floor.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE items (ns TEXT, key TEXT, value TEXT, at REAL, PRIMARY KEY (ns, key))")
    sql = "INSERT OR REPLACE INTO items VALUES ('bench', ?, ?, ?)"

    def put_many(rows: list[tuple[str, dict[str, Any]]]) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.executemany(sql, [(key, json.dumps(value), time.time()) for key, value in rows])
        db.execute("COMMIT")

    yield lambda key, value: db.execute(sql, (key, json.dumps(value), time.time())), put_many
    db.close()


def loadable() -> Any:
    """A sqlite3 that can load extensions: the standard one, or pysqlite3 where it was built without."""
    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        sys.modules["sqlite3"] = importlib.import_module("pysqlite3")
    return sys.modules["sqlite3"]


@contextmanager
def langgraph(folder: Path, embedder: Fake | None) -> Iterator[Store]:
    loadable()
    from langgraph.store.base import PutOp
    from langgraph.store.sqlite import SqliteStore

    index: Any = embedder and {"dims": DIMS, "embed": embedder.embed_documents, "fields": ["text"]}
    with SqliteStore.from_conn_string(str(folder / "langgraph.db"), index=index) as store:
        store.setup()
        store.conn.execute("PRAGMA synchronous=FULL")
        yield (
            lambda key, value: store.put(("bench",), key, value),
            lambda rows: store.batch([PutOp(("bench",), key, value) for key, value in rows]),
        )


@contextmanager
def sqlite_vec(folder: Path, embedder: Fake) -> Iterator[Store]:
    import sqlite_vec

    db = loadable().connect(folder / "vec.db", isolation_level=None)
    db.enable_load_extension(True)
    sqlite_vec.load(db)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute(f"CREATE VIRTUAL TABLE items USING vec0(v float[{DIMS}], +key TEXT, +value TEXT)")
    sql = "INSERT INTO items (v, key, value) VALUES (?, ?, ?)"

    def packed(rows: list[tuple[str, dict[str, Any]]]) -> list[tuple[bytes, str, str]]:
        vectors = embedder.embed_documents([value["text"] for _, value in rows])
        return [
            (sqlite_vec.serialize_float32(vector), key, json.dumps(value))
            for (key, value), vector in zip(rows, vectors, strict=True)
        ]

    def put_many(rows: list[tuple[str, dict[str, Any]]]) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.executemany(sql, packed(rows))
        db.execute("COMMIT")

    yield lambda key, value: db.execute(sql, packed([(key, value)])[0]), put_many
    db.close()


@contextmanager
def chroma(folder: Path, embedder: Fake) -> Iterator[Store]:
    import chromadb

    collection = chromadb.PersistentClient(str(folder / "chroma")).create_collection("bench")

    def put_many(rows: list[tuple[str, dict[str, Any]]]) -> None:
        for start in range(0, len(rows), 5000):
            part = rows[start : start + 5000]
            texts = [value["text"] for _, value in part]
            vectors: Any = embedder.embed_documents(texts)
            collection.upsert(ids=[key for key, _ in part], documents=texts, embeddings=vectors)

    yield lambda key, value: put_many([(key, value)]), put_many


Opened = Callable[[Path, Any], AbstractContextManager[Store]]
OURS, PEER = "ai-infra-memory", "langgraph SqliteStore"
FSYNC = "WAL, synchronous=FULL: fsync"
PLAIN: dict[str, tuple[Opened, str | None, str]] = {
    OURS: (ours, None, FSYNC),
    "sqlite3 (floor)": (floor, None, FSYNC),
    PEER: (langgraph, "langgraph.store.sqlite", FSYNC),
}
SEARCHABLE: dict[str, tuple[Opened, str | None, str]] = {
    OURS: (ours, None, FSYNC),
    PEER: (langgraph, "langgraph.store.sqlite", FSYNC),
    "sqlite-vec": (sqlite_vec, "sqlite_vec", FSYNC),
    "chromadb": (chroma, "chromadb", "its default"),
}


def installed(module: str | None) -> bool:
    try:
        return module is None or importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def compare(
    stores: dict[str, tuple[Opened, str | None, str]],
    embedder: Fake | None,
    items: int,
    batch: int,
    rounds: int,
) -> None:
    """Print one table."""
    singles: dict[str, list[float]] = {}
    batches: dict[str, list[float]] = {}
    with ExitStack() as stack:
        opened: dict[str, Store] = {}
        for name, (enter, module, _) in stores.items():
            if not installed(module):
                print(f"{name:24}not installed")
                continue
            try:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                opened[name] = stack.enter_context(enter(folder, embedder))
            except AttributeError as error:  # this Python was built without loadable extensions
                print(f"{name:24}not usable in this Python: {error}")
        for name, (put, _) in opened.items():
            for n in range(items):
                value = {"text": f"single fact number {n}: " + "words and " * 8}
                start = time.perf_counter()
                put(f"one-{n}", value)
                singles.setdefault(name, []).append(time.perf_counter() - start)
        for turn in range(rounds):
            rows = [
                (f"{turn}-key-{n}", {"text": f"fact number {turn}/{n}: " + "words and " * 8})
                for n in range(batch)
            ]
            for name, (_, put_many) in opened.items():
                start = time.perf_counter()
                put_many(rows)
                batches.setdefault(name, []).append(time.perf_counter() - start)
    peer = statistics.median(batches[PEER]) if PEER in batches else float("nan")
    print(f"{'store':24}{'put, median µs':>16}{'put/s':>10}{'put_many/s':>12}{'ratio':>8}  durability")
    for name, times in batches.items():
        each, one = statistics.median(times), singles[name]
        print(
            f"{name:24}{statistics.median(one) * 1e6:16.0f}{len(one) / sum(one):10.0f}{batch / each:12.0f}"
            f"{peer / each:8.1f}  {stores[name][2]}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print("plain")
    compare(PLAIN, None, options.items, options.batch, options.rounds)
    print(f"\nsearchable, {DIMS} dimensions")
    compare(SEARCHABLE, Fake(), options.items // 5, options.batch // 4, max(3, options.rounds // 2))


if __name__ == "__main__":
    main()
