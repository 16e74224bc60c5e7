"""From how many rows on does the graph answer sooner than the exact scan? Medians and recall@10 of both.

    python benches/vectors/crossover.py [--dimensions 384] [--rows 10000 20000 32000 50000 100000]

Rows and queries as in ``scan.py``. The graph is measured in one index, built from all rows.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
from scan import K, data, ours


def timed(search: Any, queries: Any) -> tuple[float, list[set[int]]]:
    times, found = [], []
    for number in range(400):
        query = queries[number % len(queries)]
        start = time.perf_counter()
        hits = search(query)
        times.append(time.perf_counter() - start)
        found.append({id for id, _ in hits})
    return statistics.median(times) * 1e6, found[: len(queries)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 20_000, 32_000, 50_000, 100_000])
    parser.add_argument("--dimensions", type=int, default=384)
    chosen = parser.parse_args()
    for count in chosen.rows:
        rows, queries = data(count, chosen.dimensions)
        index = ours(rows, graph_from=count // 2)
        start = time.perf_counter()
        if not index.settle(600) or not index.has_graph:
            raise SystemExit("the graph was not ready in ten minutes")
        built = time.perf_counter() - start
        scan, exact = timed(lambda query, index=index: index.search(query, K, exact=True), queries)
        graph, found = timed(lambda query, index=index: index.search(query, K), queries)
        recall = np.mean([len(a & b) / K for a, b in zip(exact, found, strict=True)])
        print(
            f"{count:>8} × {chosen.dimensions}: scan {scan:8.0f} µs, graph {graph:6.0f} µs,"
            f" recall@{K} {recall:.3f}, built in {built:.1f} s, {index.memory_bytes() / 2**20:.0f} MiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
