"""Durable writes beside peers, in one run: put one item at a time, and a batch in one transaction.

    pip install langgraph-checkpoint-sqlite sqlite-vec chromadb
    python benches/store/writes.py [--items 2000] [--batch 20000]

Every store writes the same 100-character facts without embedding them, to a file on the same disk. The durability
of each is stated beside it: "fsync" means that a write is on the disk when the call returns. Peers that are not
installed are left out. The sqlite3 line is the floor: the standard library, the same table, ``synchronous=FULL``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Put = Callable[[str, dict[str, Any]], Any]
PutMany = Callable[[list[tuple[str, dict[str, Any]]]], Any]


@contextmanager
def ours(folder: Path) -> Iterator[tuple[Put, PutMany]]:
    from ai_infra.llm.memory.store import MemoryStore

    with MemoryStore.sqlite(folder / "ours.db") as store:
        yield (
            lambda key, value: store.put("bench", key, value),
            lambda rows: store.put_many([("bench", key, value) for key, value in rows]),
        )


@contextmanager
def floor(folder: Path) -> Iterator[tuple[Put, PutMany]]:
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


@contextmanager
def langgraph(folder: Path) -> Iterator[tuple[Put, PutMany]]:
    from langgraph.store.base import PutOp
    from langgraph.store.sqlite import SqliteStore

    with SqliteStore.from_conn_string(str(folder / "langgraph.db")) as store:
        store.setup()
        store.conn.execute("PRAGMA synchronous=FULL")
        yield (
            lambda key, value: store.put(("bench",), key, value),
            lambda rows: store.batch([PutOp(("bench",), key, value) for key, value in rows]),
        )


@contextmanager
def sqlite_vec(folder: Path) -> Iterator[tuple[Put, PutMany]]:
    import sqlite_vec

    db = sqlite3.connect(folder / "vec.db", isolation_level=None)
    db.enable_load_extension(True)
    sqlite_vec.load(db)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE VIRTUAL TABLE items USING vec0(v float[8], +key TEXT, +value TEXT)")
    vector = sqlite_vec.serialize_float32([0.1] * 8)
    sql = "INSERT INTO items (v, key, value) VALUES (?, ?, ?)"

    def put_many(rows: list[tuple[str, dict[str, Any]]]) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.executemany(sql, [(vector, key, json.dumps(value)) for key, value in rows])
        db.execute("COMMIT")

    yield lambda key, value: db.execute(sql, (vector, key, json.dumps(value))), put_many
    db.close()


@contextmanager
def chroma(folder: Path) -> Iterator[tuple[Put, PutMany]]:
    import chromadb

    collection = chromadb.PersistentClient(str(folder / "chroma")).create_collection("bench")

    def put_many(rows: list[tuple[str, dict[str, Any]]]) -> None:
        for start in range(0, len(rows), 5000):
            part = rows[start : start + 5000]
            collection.upsert(
                ids=[key for key, _ in part],
                documents=[value["text"] for _, value in part],
                embeddings=[[0.1] * 8] * len(part),
            )

    yield lambda key, value: put_many([(key, value)]), put_many


STORES: dict[str, tuple[Any, str | None, str]] = {
    "ai-infra-memory": (ours, None, "WAL, synchronous=FULL: fsync"),
    "sqlite3 (floor)": (floor, None, "WAL, synchronous=FULL: fsync"),
    "langgraph SqliteStore": (langgraph, "langgraph.store.sqlite", "WAL, set to synchronous=FULL: fsync"),
    "sqlite-vec": (sqlite_vec, "sqlite_vec", "WAL, synchronous=FULL: fsync; 8-dimensional vectors"),
    "chromadb": (chroma, "chromadb", "its default; 8-dimensional vectors"),
}


def installed(module: str | None) -> bool:
    if module == "sqlite_vec" and not hasattr(sqlite3.Connection, "enable_load_extension"):
        return False  # this Python was built without loadable extensions
    try:
        return module is None or importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=20_000)
    options = parser.parse_args()
    rows = [(f"key-{n}", {"text": f"fact number {n}: " + "words and " * 8}) for n in range(options.batch)]
    print(f"{'store':24}{'put, median µs':>16}{'put/s':>10}{'put_many/s':>12}  durability")
    for name, (opened, module, durability) in STORES.items():
        if not installed(module):
            print(f"{name:24}not installed, or not usable in this Python")
            continue
        with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as (put, put_many):
            times = []
            for key, value in rows[: options.items]:
                start = time.perf_counter()
                put("one-" + key, value)
                times.append(time.perf_counter() - start)
            batches = []
            for round_ in range(3):
                fresh = [(f"{round_}-{key}", value) for key, value in rows]
                start = time.perf_counter()
                put_many(fresh)
                batches.append(time.perf_counter() - start)
        batch = options.batch / statistics.median(batches)
        each = statistics.median(times)
        print(f"{name:24}{each * 1e6:16.0f}{len(times) / sum(times):10.0f}{batch:12.0f}  {durability}")


if __name__ == "__main__":
    main()
