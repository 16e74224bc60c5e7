"""32 threads, and forks, on one index that changes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from array import array

import pytest
from ai_infra._core import VectorIndex

from .reference import clustered, noise

DIMENSIONS = 24
FIXED = 1_500  # rows that no thread changes
THREADS = 32


def test_32_threads_search_while_others_write() -> None:
    rows = clustered(1, FIXED, DIMENSIONS, 30)
    index = VectorIndex(DIMENSIONS, graph_from=1_000)
    for id, row in enumerate(rows):
        index.add(id, row)
    failures: list[str] = []
    stop = threading.Event()

    def write(seed: int) -> None:
        source = random.Random(seed)
        own = range(10_000 * (seed + 1), 10_000 * (seed + 1) + 400)
        for step in range(400):
            id = source.choice(own)
            if source.random() < 0.3:
                index.remove(id)
            else:
                vector = noise(seed * 5_000 + step, DIMENSIONS)
                index.replace(id, vector)
                if index.search(vector, 1, ids=[id])[0][1] < 0.999:
                    failures.append(f"{id} not found after it was written")

    def read(seed: int) -> None:
        source = random.Random(seed)
        while not stop.is_set():
            id = source.randrange(FIXED)
            hits = index.search(rows[id], 5)
            if hits != sorted(hits, key=lambda hit: (-hit[1], hit[0])) or len({i for i, _ in hits}) != 5:
                failures.append(f"bad order or doubles: {hits}")
            if not any(score > 0.999 for _, score in hits):
                failures.append(f"{id} not found: {hits}")
            chosen = source.sample(range(FIXED), 50)
            if {i for i, _ in index.search(rows[id], 50, ids=chosen)} != set(chosen):
                failures.append("a filter lost rows")

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    readers = [threading.Thread(target=read, args=(n,)) for n in range(THREADS - 4)]
    for thread in writers + readers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert failures == []
    assert index.settle()
    assert index.has_graph
    for id in range(0, FIXED, 10):
        assert index.search(rows[id], 1)[0][1] > 0.999


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # that it works is the test
def test_fork_after_use_and_during_it() -> None:
    rows = clustered(2, 3_000, DIMENSIONS, 30)
    index = VectorIndex(DIMENSIONS, graph_from=1_000)
    flat = array("f")
    for row in rows:
        flat.extend(row)
    index.add_many(list(range(3_000)), flat)  # its graph is being built from here on
    stop = threading.Event()

    def busy(seed: int) -> None:
        while not stop.is_set():
            index.search(rows[seed], 10)
            index.replace(5_000 + seed, rows[seed])

    threads = [threading.Thread(target=busy, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        for round in range(30):
            child = os.fork()
            if child == 0:
                signal.alarm(60)  # a hang ends the child with a signal, and the test
                fine = index.search(rows[round], 1)[0][1] > 0.999
                index.replace(9_000, rows[round])
                fine = fine and 9_000 in index and index.remove(9_000)
                if round % 10 == 0:
                    fine = fine and index.settle() and index.has_graph
                os._exit(0 if fine else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert 9_000 not in index


def test_an_index_dropped_while_its_graph_is_built() -> None:
    for seed in range(20):
        index = VectorIndex(DIMENSIONS, graph_from=100)
        index.add_many(list(range(400)), array("f", noise(seed, DIMENSIONS * 400)))
        del index


def test_exit_while_a_graph_is_built() -> None:
    program = """
from array import array
import random
from ai_infra._core import VectorIndex
index = VectorIndex(64, graph_from=100)
index.add_many(range(5_000), array("f", [random.random() for _ in range(64 * 5_000)]))
assert not index.has_graph
"""
    for _ in range(5):
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
