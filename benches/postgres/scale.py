"""How one namespace grows on PostgreSQL: space, the first search, the next ones. The figures of docs/scaling.md.

    python -m benches.postgres.scale [--sizes 1000,10000,100000]

The built-in embedder, a server of its own with durable writes. Each size is a namespace of its own in one schema.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import psutil
import psycopg
from ai_infra.llm.memory.store import MemoryStore

from benches.postgres.bench import sentence
from tests.postgres.server import Databases, Server


def median(call: Callable[[int], Any], rounds: int) -> float:
    times = []
    for turn in range(rounds):
        start = time.perf_counter()
        call(turn)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def space(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT c.relname, pg_relation_size(c.oid) + coalesce(pg_relation_size(c.reltoastrelid), 0) "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = 'ai_infra' AND c.relkind IN ('r', 'i') AND c.relname LIKE 'items%'"
        ).fetchall()
    return {str(name): int(size) for name, size in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000")
    options = parser.parse_args()
    server = Server("shared_buffers=512MB", "max_wal_size=4GB")
    url = Databases(server.url).new()
    dice = random.Random(6)
    for size in (int(text) for text in options.sizes.split(",")):
        name = ("size", str(size))
        with MemoryStore.postgres(url) as store:
            store.count()
            before = space(url)
            start = time.perf_counter()
            for at in range(0, size, 1000):
                store.put_many(
                    [
                        (name, f"k{n:07}", {"text": sentence(dice) + " " + sentence(dice)})
                        for n in range(at, min(at + 1000, size))
                    ]
                )
            written = time.perf_counter() - start
            grown = {table: value - before[table] for table, value in space(url).items()}
            resident = psutil.Process().memory_info().rss
            start = time.perf_counter()
            store.search(name, "coffee in oslo")
            first = time.perf_counter() - start
            held = psutil.Process().memory_info().rss - resident
            search = store.search
            again = median(lambda n, s=search, at=name: s(at, f"coffee in oslo {n}"), 50)
            put = store.put

            def change(turn: int, s: Any = search, p: Any = put, at: tuple[str, str] = name) -> None:
                p(at, "k0000001", {"text": f"a change {turn}"})
                s(at, "coffee in oslo")

            changed = median(change, 30) - median(
                lambda n, p=put, at=name: p(at, "k0000002", {"text": f"a change {n}"}), 30
            )
            few = median(lambda n, s=store, at=name: s.list(at, filter={"text": {"$gt": "z"}}, limit=5), 5)
        print(
            f"{size:7} items: {size / written:8.0f} written a second, first search {first:.2f} s, "
            f"then {again:.2f} ms, {changed:.2f} ms after a change, a filter that lets nothing through {few:.1f} ms, "
            f"process +{held / size:.0f} bytes an item, "
            + ", ".join(f"{table} {value / size:.0f}" for table, value in sorted(grown.items()))
            + " bytes an item",
            flush=True,
        )
    server.end()


if __name__ == "__main__":
    main()
