"""Search in one of many namespaces of a hundred items, beside peers, in one run.

    pip install -r benches/requirements.txt
    python benches/store/namespaces.py [--namespaces 10000] [--dims 384] [--only ours ...]

The texts, vectors and questions are those of ``search.py``; everything lies in one file. Namespaces are asked in an
order that jumps, each for the first time, and then once more with other questions: medians in microseconds of the
first search in a namespace and of the next. ours knows namespaces, and so does LangGraph's SqliteStore; sqlite-vec is
given a partition key, and chunks as small as a namespace. Peers search by vector only. The ratio is that of the
fastest peer to ours.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from search import Data, K, langgraph_index, open_langgraph

ITEMS = 100

Ask = Callable[[int, int], Sequence[int]]
"""Answers question number n in namespace number m with the numbers of the best items."""


@contextmanager
def ours(data: Data, folder: Path) -> Iterator[Ask]:
    from ai_infra.llm.memory.store import MemoryStore

    with MemoryStore.sqlite(folder / "ours.db", embeddings=data) as store:
        rows = [(("user", str(n // ITEMS)), str(n), {"text": text}) for n, text in enumerate(data.texts)]
        for start in range(0, len(rows), 5_000):
            store.put_many(rows[start : start + 5_000])
        yield lambda n, m: [
            int(hit.key) for hit in store.search(("user", str(m)), data.questions[n], limit=K)
        ]


@contextmanager
def sqlite_vec(data: Data, folder: Path) -> Iterator[Ask]:
    import apsw
    import sqlite_vec

    db = apsw.Connection(str(folder / "vec.db"))
    db.enable_load_extension(True)
    db.load_extension(sqlite_vec.loadable_path())
    db.execute("PRAGMA journal_mode=WAL")
    dims = data.vectors.shape[1]
    db.execute(
        f"CREATE VIRTUAL TABLE items USING vec0(user INTEGER PARTITION KEY, v float[{dims}]"
        f" distance_metric=cosine, +value TEXT, chunk_size={(ITEMS + 7) // 8 * 8})"
    )
    db.execute("BEGIN")
    db.executemany(
        "INSERT INTO items (rowid, user, v, value) VALUES (?, ?, ?, ?)",
        (
            (n, n // ITEMS, v.tobytes(), t)
            for n, (v, t) in enumerate(zip(data.vectors, data.texts, strict=True))
        ),
    )
    db.execute("COMMIT")
    sql = "SELECT rowid, value FROM items WHERE user = ? AND v MATCH ? AND k = ? ORDER BY distance"
    yield lambda n, m: [
        row for row, _ in db.execute(sql, (m, data.embed_query(data.questions[n]).tobytes(), K))
    ]
    db.close()


@contextmanager
def langgraph(data: Data, folder: Path) -> Iterator[Ask]:
    with open_langgraph(str(folder / "langgraph.db"), langgraph_index(data)) as store:
        from langgraph.store.base import PutOp

        rows = [PutOp(("user", str(n // ITEMS)), str(n), {"text": text}) for n, text in enumerate(data.texts)]
        for start in range(0, len(rows), 1_000):
            store.batch(rows[start : start + 1_000])
        yield lambda n, m: [
            int(hit.key) for hit in store.search(("user", str(m)), query=data.questions[n], limit=K)
        ]


SIDES = {
    "ours": ("ai_infra", ours),
    "sqlite-vec": ("sqlite_vec", sqlite_vec),
    "langgraph sqlite": ("langgraph.store.sqlite", langgraph),
}


def measure(ask: Ask, data: Data, count: int) -> tuple[float, float, float]:
    """The medians of the first and the next search, and recall@10 against the exact answer by vectors."""
    questions = len(data.asked) // 2
    ask(0, 0)
    medians, hits = [], 0
    for again in (0, 1):
        times = []
        for place in range(1, questions):
            n, m = place + again * questions, place * 7919 % count
            before = time.perf_counter()
            found = ask(n, m)
            times.append(time.perf_counter() - before)
            mine = data.vectors[m * ITEMS : (m + 1) * ITEMS] @ data.asked[n]
            best = set((np.argpartition(-mine, K - 1)[:K] + m * ITEMS).tolist())
            hits += len(best.intersection(int(item) for item in found))
        medians.append(statistics.median(times) * 1e6)
    return medians[0], medians[1], hits / K / (2 * (questions - 1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--namespaces", type=int, default=10_000)
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--questions", type=int, default=600)
    parser.add_argument("--only", nargs="*", default=[], help="the names of the sides to run")
    options = parser.parse_args()
    data = Data(ITEMS * options.namespaces, options.dims, options.questions)
    print(f"{options.namespaces:,} namespaces of {ITEMS} items of {options.dims} dimensions")
    results: dict[str, tuple[float, float, float]] = {}
    for name, (module, side) in SIDES.items():
        if (options.only and name not in options.only) or importlib.util.find_spec(module) is None:
            continue
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            start = time.perf_counter()
            with side(data, Path(folder)) as ask:
                filled = time.perf_counter() - start
                results[name] = measure(ask, data, options.namespaces)
        first, again, recall = results[name]
        shown = "    -" if name == "ours" else f"{recall:.3f}"  # ours weighs words, too
        print(
            f"  {name:20} first {first:10.1f} us  again {again:10.1f} us  recall {shown}  filled in {filled:.0f} s",
            flush=True,
        )
    peers = [result for name, result in results.items() if name != "ours"]
    if peers and "ours" in results:
        mine = results["ours"]
        first, again = (min(peer[at] for peer in peers) / mine[at] for at in (0, 1))
        print(f"  the fastest peer takes {first:.1f} times as long for the first, {again:.1f} for the next")


if __name__ == "__main__":
    main()
