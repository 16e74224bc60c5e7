"""Vector search beside its peers, one query at a time from Python, in one run: medians, ratios, recall@10.

    python benches/vectors/scan.py [--rows 100 1000 10000 100000] [--dimensions 384 1536] [--graphs] [--core]

Rows and queries lie around common centres, as embeddings of topics do. ``--graphs`` adds the graph indexes
(minutes to build at 100,000); ``--core`` adds the core alone, without Python, beside the plain C loop of
``dot.c`` over the same bytes. Recall is against numpy's exact f32 ranking. A peer that is not installed is
left out and named. Needs numpy; takes hnswlib, usearch, faiss-cpu and sqlite-vec (with apsw) where installed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ai_infra._core import VectorIndex

HERE = Path(__file__).parent
K = 10
Search = Callable[[Any], Any]


def data(rows: int, dimensions: int) -> tuple[Any, Any]:
    source = np.random.default_rng(0)
    centres = source.standard_normal((max(10, rows // 100), dimensions), dtype="f4")

    def around(count: int) -> Any:
        near = centres[source.integers(0, len(centres), count)]
        vectors = near + source.standard_normal((count, dimensions), dtype="f4")
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return around(rows), around(100)


def ours(rows: Any, **options: Any) -> VectorIndex:
    index = VectorIndex(rows.shape[1], **options)
    index.add_many(np.arange(len(rows), dtype="u8"), rows)
    return index


def scan(rows: Any, precision: Any) -> Search:
    index = ours(rows, precision=precision, graph_from=None)
    return lambda query: [id for id, _ in index.search(query, K)]


def graph(rows: Any) -> Search:
    index = ours(rows, graph_from=len(rows) // 2)
    index.settle(600)
    if not index.has_graph:
        raise RuntimeError("no graph in ten minutes")
    print(f"      (memory with graph: {index.memory_bytes() / 2**20:.0f} MiB)")
    return lambda query: [id for id, _ in index.search(query, K)]


def numpy_exact(rows: Any) -> Search:
    def search(query: Any) -> Any:
        scores = rows @ query
        best = np.argpartition(-scores, K - 1)[:K] if len(scores) > K else np.arange(len(scores))
        return best[np.argsort(-scores[best])]

    return search


def sqlite_vec(rows: Any) -> Search:
    module = importlib.import_module("sqlite_vec")
    # apsw, because the sqlite3 of many Python builds cannot load extensions.
    database: Any = importlib.import_module("apsw").Connection(":memory:")
    database.enable_load_extension(True)
    database.load_extension(module.loadable_path())
    database.execute(f"create virtual table v using vec0(e float[{rows.shape[1]}] distance_metric=cosine)")
    database.executemany(
        "insert into v(rowid, e) values (?, ?)", ((i, row.tobytes()) for i, row in enumerate(rows))
    )
    statement = "select rowid from v where e match ? and k = ? order by distance"
    return lambda query: [id for (id,) in database.execute(statement, (query.tobytes(), K))]


def faiss_flat(rows: Any, kind: str) -> Search:
    faiss: Any = importlib.import_module("faiss")
    faiss.omp_set_num_threads(1)
    if kind == "f16":
        index = faiss.IndexScalarQuantizer(
            rows.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        index.train(rows[:1])
    else:
        index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return lambda query: index.search(query[None], K)[1][0]


def faiss_hnsw(rows: Any) -> Search:
    faiss: Any = importlib.import_module("faiss")
    index = faiss.IndexHNSWFlat(rows.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 128
    index.hnsw.efSearch = 128
    index.add(rows)
    faiss.omp_set_num_threads(1)
    return lambda query: index.search(query[None], K)[1][0]


def hnswlib(rows: Any) -> Search:
    index: Any = importlib.import_module("hnswlib").Index("ip", rows.shape[1])
    index.init_index(len(rows), M=16, ef_construction=128)
    index.add_items(rows)
    index.set_ef(128)
    return lambda query: index.knn_query(query, K, num_threads=1)[0][0]


def usearch(rows: Any, exact: bool) -> Search:
    module: Any = importlib.import_module("usearch.index")
    if exact:
        return lambda query: module.search(rows, query, K, "ip", exact=True).keys
    index = module.Index(
        ndim=rows.shape[1],
        metric="ip",
        dtype="bf16",
        connectivity=16,
        expansion_add=128,
        expansion_search=128,
    )
    index.add(np.arange(len(rows)), rows)
    return lambda query: index.search(query, K).keys


def measure(
    name: str, make: Callable[[Any], Search], rows: Any, queries: Any, truth: list[set[int]]
) -> float | None:
    start = time.perf_counter()
    try:
        search = make(rows)
    except ImportError as error:
        print(f"  {name:24} not installed ({error.name})")
        return None
    built = time.perf_counter() - start
    found = sum(len(set(map(int, search(query))) & best) for query, best in zip(queries, truth, strict=True))
    times, end = [], time.perf_counter() + 1.0
    while time.perf_counter() < end or len(times) < 30:
        query = queries[len(times) % len(queries)]
        start = time.perf_counter()
        search(query)
        times.append(time.perf_counter() - start)
    median = statistics.median(times) * 1e6
    print(
        f"  {name:24} {median:10.1f} µs   recall@{K} {found / K / len(queries):.3f}   built in {built:.2f} s",
        flush=True,
    )
    return median


def core(rows: list[int]) -> None:
    """The core's search, with top-k, and the C loop, without: nanoseconds over the same bytes."""
    arguments = [
        "cargo",
        "bench",
        "-q",
        "-p",
        "ai-infra-core",
        "--bench",
        "vectors_scan",
        "--",
        *map(str, rows),
    ]
    lines = subprocess.run(
        arguments, check=True, capture_output=True, text=True, cwd=HERE
    ).stdout.splitlines()
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "dot")
        compiler = ["cc", "-O3", "-march=native", "-ffast-math", str(HERE / "dot.c"), "-o", program]
        subprocess.run(compiler, check=True)
        for line in lines:
            precision, count, dimensions, kernels, took = line.split()
            loop = subprocess.run(
                [program, precision, count, dimensions], check=True, capture_output=True, text=True
            )
            ratio = int(took) / int(loop.stdout)
            print(
                f"  core {precision} {count:>7} × {dimensions:4} ({kernels}): {int(took) / 1e3:9.1f} µs,"
                f" C loop {int(loop.stdout) / 1e3:9.1f} µs, ratio {ratio:.2f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="*", default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--dimensions", type=int, nargs="*", default=[384, 1_536])
    parser.add_argument("--graphs", action="store_true")
    parser.add_argument("--core", action="store_true")
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for package in ("numpy", "hnswlib", "usearch", "faiss-cpu", "sqlite-vec"):
        try:
            print(package, importlib.metadata.version(package), end="  ")
        except importlib.metadata.PackageNotFoundError:
            print(package, "not installed", end="  ")
    print("kernels", VectorIndex.available_kernels()[0])
    if chosen.core:
        core(chosen.rows)
    for dimensions in chosen.dimensions:
        for count in chosen.rows:
            rows, queries = data(count, dimensions)
            print(f"{count} × {dimensions}")
            exact = numpy_exact(rows)
            truth = [set(map(int, exact(query))) for query in queries]
            cases: list[tuple[str, Callable[[Any], Search]]] = [
                ("ai_infra f16", lambda rows: scan(rows, "f16")),
                ("ai_infra i8 + rescoring", lambda rows: scan(rows, "i8")),
                ("ai_infra f32", lambda rows: scan(rows, "f32")),
                ("numpy f32", numpy_exact),
                ("faiss flat f32", lambda rows: faiss_flat(rows, "f32")),
                ("faiss flat f16", lambda rows: faiss_flat(rows, "f16")),
                ("usearch exact f32", lambda rows: usearch(rows, True)),
                ("sqlite-vec", sqlite_vec),
            ]
            if chosen.graphs:
                cases += [
                    ("ai_infra graph", graph),
                    ("hnswlib", hnswlib),
                    ("usearch bf16", lambda rows: usearch(rows, False)),
                    ("faiss HNSW", faiss_hnsw),
                ]
            medians = {name: measure(name, make, rows, queries, truth) for name, make in cases}
            for group, ours in (
                (("numpy", "faiss flat", "usearch exact", "sqlite"), "ai_infra f16"),
                (("hnswlib", "usearch bf16", "faiss HNSW"), "ai_infra graph"),
            ):
                mine = medians.get(ours)
                peers = {n: m for n, m in medians.items() if m is not None and n.startswith(group)}
                if mine and peers:
                    fastest = min(peers, key=lambda name: peers[name])
                    print(f"  → {ours}: {peers[fastest] / mine:.2f} × the fastest peer ({fastest})")


if __name__ == "__main__":
    main()
