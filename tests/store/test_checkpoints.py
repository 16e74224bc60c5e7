"""The log is moved into the file by a thread: killed, forked or without room it harms nothing that was acknowledged."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ai_infra.llm.memory.store import MemoryStore

from .processes import run, sqlite_says, start

LONG = """
rows = lambda turn: [("a", f"{turn}/{n}", {"pad": f"{turn} " + "x" * 2000}) for n in range(2500)]
"""
"""A batch makes the log long enough to be moved into the file, by a thread beside the next batch."""


def test_killed_while_the_log_is_moved(tmp_path: Path) -> None:
    code = (
        LONG
        + """
store = MemoryStore.sqlite(path)
for turn in range(1000):
    store.put_many(rows(turn))
    print(turn, flush=True)
"""
    )
    path = tmp_path / "store.db"
    batches = 0
    for round_ in range(6):
        with start(code, path) as writer:
            assert writer.stdout is not None
            for _ in range(2):
                turn = int(writer.stdout.readline())
            time.sleep(round_ * 0.004)
            writer.kill()
            turn = max([turn, *map(int, writer.stdout.read().split())])
        with MemoryStore.sqlite(path) as store:
            count = store.count("a")
            assert count % 2500 == 0
            assert count >= (turn + 1) * 2500
            batches = max(batches, count // 2500)
            assert store.get("a", f"{turn}/2499") is not None
        assert sqlite_says(path, "PRAGMA integrity_check") == "ok"
    assert batches >= 2


def test_fork_while_the_log_is_moved(tmp_path: Path) -> None:
    code = (
        LONG
        + """
import os
store = MemoryStore.sqlite(path)
for turn in range(8):
    store.put_many(rows(turn))
    child = os.fork()
    if child == 0:
        store.put_many(rows(f"child {turn}"))
        store.put_many(rows(f"again {turn}"))
        store.close()
        os._exit(0)
    store.put_many(rows(f"parent {turn}"))
    assert os.waitpid(child, 0)[1] == 0
assert store.count("a") == 8 * 4 * 2500
store.close()
print("done")
"""
    )
    path = tmp_path / "store.db"
    assert run(code, path).strip() == "done"
    assert sqlite_says(path, "PRAGMA integrity_check") == "ok"
    assert not path.with_name("store.db-wal").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_child_lets_go_of_a_store_whose_threads_it_does_not_have(tmp_path: Path) -> None:
    """Threads have moved the log and saved an index; in the child the memory of their stacks goes to others."""
    code = """
import gc, os, threading
store = MemoryStore.sqlite(path)
put = lambda turn, count: store.put_many([("a", f"{turn}/{n}", {"text": f"item {n} of {turn}"}) for n in range(count)])
put(0, 12000)
for turn in range(1, 6):
    store.search("a", "item")
    put(turn, 1000)
child = os.fork()
if child == 0:
    for _ in range(3):
        barrier = threading.Barrier(33)
        threads = [threading.Thread(target=barrier.wait) for _ in range(32)]
        for thread in threads:
            thread.start()
        barrier.wait()
        for thread in threads:
            thread.join()
    del store, put
    gc.collect()
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""
    assert run(code, tmp_path / "store.db") == "0\n"


def test_no_room_to_move_the_log(tmp_path: Path) -> None:
    code = """
import resource
from ai_infra.errors import StorageFullError
store = MemoryStore.sqlite(path)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (12_000_000, hard))
acknowledged, errors = [], 0
for number in range(60):
    try:
        store.put("a", str(number), {"pad": "x" * 500_000})
        acknowledged.append(number)
    except StorageFullError:
        errors += 1
assert errors and len(acknowledged) > 10, (errors, acknowledged)
assert sorted(int(item.key) for item in store.list("a")) == acknowledged
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
for number in range(1000, 1050):
    store.put("a", str(number), {"pad": "x" * 500_000})
    acknowledged.append(number)
store.close()
print(len(acknowledged))
"""
    path = tmp_path / "store.db"
    acknowledged = int(run(code, path))
    with MemoryStore.sqlite(path) as store:
        assert store.count("a") == acknowledged
    assert sqlite_says(path, "PRAGMA integrity_check") == "ok"
    assert path.stat().st_size > acknowledged * 500_000
