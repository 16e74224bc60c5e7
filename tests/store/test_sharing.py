"""Many threads, many processes, one file."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ai_infra.errors import ConflictError, StorageTimeoutError
from ai_infra.llm.memory.store import MemoryStore

from .processes import PRELUDE, finish, run, sqlite_says, start


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run ``work`` in that many threads at once; the first error is raised."""
    gate = threading.Barrier(count)

    def body(number: int) -> None:
        gate.wait()
        work(number)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(body, range(count)))


def test_eight_processes_put_a_thousand_each(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    code = """
with MemoryStore.sqlite(path) as store:
    for number in range(1000):
        store.put(("worker", sys.argv[2]), str(number), {"n": number})
"""
    for process in [start(code, path, worker) for worker in range(8)]:
        finish(process)
    with MemoryStore.sqlite(path) as store:
        assert [store.count(("worker", str(worker))) for worker in range(8)] == [1000] * 8
    assert sqlite_says(path, "PRAGMA integrity_check") == "ok"


@pytest.mark.parametrize("durable", [True, False], ids=["sqlite", "memory"])
def test_eight_threads_share_one_store(tmp_path: Path, durable: bool) -> None:
    store = MemoryStore.sqlite(tmp_path / "store.db") if durable else MemoryStore()

    def work(worker: int) -> None:
        for number in range(1000):
            store.put(("worker", str(worker)), str(number), {"n": number})
            if number % 50 == 0:
                found = store.get(("worker", str(worker)), str(number))
                assert found is not None
                assert found.value == {"n": number}

    with store:
        in_threads(8, work)
        assert [store.count(("worker", str(worker))) for worker in range(8)] == [1000] * 8


def test_eight_processes_open_a_new_file_at_once(tmp_path: Path) -> None:
    # Twenty rounds in each of eight processes; a line on their input starts the next round.
    code = """
for line in sys.stdin:
    with MemoryStore.sqlite(f"{path}/{line.strip()}.db", timeout=20) as store:
        store.put("worker", sys.argv[2], {})
    print("ok", flush=True)
"""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", PRELUDE + code, str(tmp_path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for number in range(8)
    ]
    for round_ in range(20):
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write(f"{round_}\n")
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ok\n", worker.communicate()[1]
    for worker in workers:
        _, err = worker.communicate(timeout=30)
        assert worker.returncode == 0, err
    for round_ in range(20):
        with MemoryStore.sqlite(tmp_path / f"{round_}.db") as store:
            assert store.count("worker") == 8


def test_another_process_is_seen_at_once(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with MemoryStore.sqlite(path) as store:
        assert store.get("a", "k") is None
        for number in range(3):
            run("MemoryStore.sqlite(path).put('a', 'k', {'n': int(sys.argv[2])})", path, number)
            found = store.get("a", "k")
            assert found is not None
            assert (found.value, found.version) == ({"n": number}, number + 1)


def test_compare_and_set_loses_no_increment(tmp_path: Path) -> None:
    with MemoryStore.sqlite(tmp_path / "store.db") as store:
        store.put("a", "counter", {"n": 0})

        def work(_: int) -> None:
            done = 0
            while done < 100:
                item = store.get("a", "counter")
                assert item is not None
                try:
                    store.put("a", "counter", {"n": item.value["n"] + 1}, expected_version=item.version)
                    done += 1
                except ConflictError:
                    continue

        in_threads(8, work)
        item = store.get("a", "counter")
        assert item is not None
        assert (item.value["n"], item.version) == (800, 801)


HOLD = """
import sqlite3, time
other = sqlite3.connect(path, isolation_level=None)
other.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(600)
"""


def test_a_lock_held_too_long_is_a_timeout_and_readers_do_not_mind(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with MemoryStore.sqlite(path, timeout=0.2) as store:
        store.put("a", "k", {})
        holder = start(HOLD, path)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        for operation in (lambda: store.put("a", "k", {}), store.purge):
            with pytest.raises(
                StorageTimeoutError, match=r"`timeout` \(database is locked\); look for a long .*, or"
            ):
                operation()
        assert store.get("a", "k") is not None
        holder.kill()
        holder.communicate()
        store.put("a", "k", {})


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_signal_ends_a_wait_for_a_lock_and_nothing_else(tmp_path: Path) -> None:
    """The handler may use the very store that waits, and fork; a thread that waits beside goes on."""
    path = tmp_path / "store.db"
    MemoryStore.sqlite(path).close()
    holder = start(HOLD, path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    code = """
import os, signal, threading, time
store = MemoryStore.sqlite(path, timeout=3600)

def handler(number, frame):
    assert store.get("a", "main") is None
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    raise KeyboardInterrupt

signal.signal(signal.SIGINT, handler)
beside = threading.Thread(target=store.put, args=("a", "beside", {}))
beside.start()
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    store.put("a", "main", {})
except KeyboardInterrupt:
    print("interrupted", flush=True)
beside.join()
print(store.get("a", "main"), store.get("a", "beside").version)
store.put("a", "main", {})
"""
    waiting = start(code, path)
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "interrupted\n"
    holder.kill()
    holder.communicate()
    assert finish(waiting) == "None 1\n"
    with MemoryStore.sqlite(path) as store:
        assert store.count("a") == 2
