"""Killed, forked, cancelled, out of space: what was acknowledged is there, and the store goes on."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ai_infra.errors import StorageFullError
from ai_infra.llm.memory.store import MemoryStore

from tests.victims import Victims

from .processes import finish, run, sqlite_says, start

NIGHTLY = 10 if os.environ.get("AI_INFRA_NIGHTLY") else 1

WRITER = """
import itertools
from ai_infra.llm.memory.store import MemoryStore

def work(path, first):
    with MemoryStore.sqlite(path) as store:
        for number in itertools.count(first):
            store.put("acknowledged", str(number), {"n": number, "pad": "x" * (number % 3000)})
            tell(number)
"""


def test_a_writer_killed_at_any_moment_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    dice = random.Random(1)
    acknowledged = -1
    with Victims(WRITER) as writers:
        for _ in range(200 * NIGHTLY):
            writers.start(str(path), acknowledged + 1)
            for _ in range(dice.randrange(1, 12)):
                acknowledged = int(writers.line())
            time.sleep(dice.random() * 0.004)
            acknowledged = max([acknowledged, *map(int, writers.kill())])
            with MemoryStore.sqlite(path) as store:
                assert store.get("acknowledged", str(acknowledged)) is not None
    with MemoryStore.sqlite(path) as store:
        found = {item.value["n"] for item in store.list("acknowledged")}
    assert found >= set(range(acknowledged + 1))
    assert sqlite_says(path, "PRAGMA integrity_check") == "ok"


def test_a_writer_killed_in_a_batch_leaves_all_of_it_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    program = """
import itertools
from ai_infra.llm.memory.store import MemoryStore

def work(path, round_):
    with MemoryStore.sqlite(path) as store:
        for batch in itertools.count():
            tell(batch)
            store.put_many([(("batch", f"{round_}-{batch}"), str(n), {"pad": "x" * 200}) for n in range(300)])
"""
    dice = random.Random(2)
    with Victims(program) as writers:
        for round_ in range(100 * NIGHTLY):
            writers.start(str(path), round_)
            for _ in range(1 + dice.randrange(3)):
                writers.line()
            time.sleep(dice.random() * 0.02)
            writers.kill()
    with MemoryStore.sqlite(path) as store:
        assert {store.count(namespace) for namespace in store.list_namespaces("batch")} == {300}


def test_threads_that_share_a_commit_lose_nothing_they_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    program = """
import itertools, threading
from ai_infra.llm.memory.store import MemoryStore

def write(store, round_, thread):
    for number in itertools.count():
        key = f"{round_}-{thread}-{number}"
        store.put(("threads", str(thread)), key, {"pad": "x" * (number % 3000)})
        tell(key)

def work(path, round_):
    with MemoryStore.sqlite(path) as store:
        threads = [threading.Thread(target=write, args=(store, round_, thread)) for thread in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
"""
    dice = random.Random(3)
    acknowledged: set[str] = set()
    with Victims(program) as writers:
        for round_ in range(50 * NIGHTLY):
            writers.start(str(path), round_)
            acknowledged.update(writers.line() for _ in range(dice.randrange(1, 60)))
            time.sleep(dice.random() * 0.004)
            acknowledged.update(writers.kill())
    with MemoryStore.sqlite(path) as store:
        found = {item.key for item in store.list("threads", recursive=True)}
    assert found >= acknowledged
    assert len(acknowledged) > 500 * NIGHTLY
    assert sqlite_says(path, "PRAGMA integrity_check") == "ok"


def test_threads_that_share_a_commit_on_a_full_disk_know_which_of_them_were_kept(tmp_path: Path) -> None:
    code = """
import resource, threading
from ai_infra.errors import ConflictError, StorageFullError
store = MemoryStore.sqlite(path)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
acknowledged, full, conflicts = [], [], []
def write(thread):
    for number in range(60):
        key = f"{thread}-{number}"
        try:
            if number % 5 == 4:
                store.put("a", key, {}, expected_version=7)
            store.put("a", key, {"pad": "x" * 5000})
            acknowledged.append(key)
        except StorageFullError:
            full.append(key)
        except ConflictError:
            conflicts.append(key)
threads = [threading.Thread(target=write, args=(thread,)) for thread in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert acknowledged and full and conflicts, (len(acknowledged), len(full), len(conflicts))
assert len(acknowledged) + len(full) + len(conflicts) == 720
assert sorted(acknowledged) == sorted(item.key for item in store.list("a"))
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
store.put("a", "more", {"pad": "x" * 5000})
store.close()
print(len(acknowledged) + 1)
"""
    path = tmp_path / "store.db"
    acknowledged = int(run(code, path))
    with MemoryStore.sqlite(path) as store:
        assert store.count("a") == acknowledged
    assert sqlite_says(path, "PRAGMA integrity_check") == "ok"


def test_a_full_disk_is_a_clear_error_and_the_store_goes_on(tmp_path: Path) -> None:
    code = """
import resource
from ai_infra.errors import StorageFullError
store = MemoryStore.sqlite(path)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
acknowledged, errors = [], 0
for number in range(400):
    try:
        store.put("a", str(number), {"pad": "x" * 5000})
        acknowledged.append(number)
    except StorageFullError as error:
        assert "no space is left" in str(error), error
        errors += 1
assert errors and acknowledged, (errors, acknowledged)
found = [item.key for item in store.list("a")]
assert sorted(map(int, found)) == acknowledged, (found, acknowledged)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
for number in range(1000, 1100):
    store.put("a", str(number), {"pad": "x" * 5000})
    acknowledged.append(number)
store.close()
print(len(acknowledged), errors)
"""
    path = tmp_path / "store.db"
    acknowledged = int(run(code, path).split()[0])
    with MemoryStore.sqlite(path) as store:
        assert store.count("a") == acknowledged
    assert sqlite_says(path, "PRAGMA integrity_check") == "ok"


def test_no_room_for_the_first_page_either(tmp_path: Path) -> None:
    code = """
import resource
from ai_infra.errors import StorageFullError
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
try:
    MemoryStore.sqlite(path)
except StorageFullError:
    print("full")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
with MemoryStore.sqlite(path) as store:
    store.put("a", "b", {})
"""
    assert run(code, tmp_path / "store.db").strip() == "full"
    assert StorageFullError.__mro__[1].__name__ == "StorageError"


FORK = """
import os, threading
store = MemoryStore.sqlite(path)
memory = MemoryStore()
memory.put("a", "before", {})
store.put("a", "before", {})
stop = threading.Event()
def busy(name):
    number = 0
    while not stop.is_set():
        store.put("busy", f"{name}{number}", {"text": f"{name} {number}"})
        store.get("a", "before")
        store.search("busy", name)
        number += 1
threads = [threading.Thread(target=busy, args=(name,)) for name in "ab"]
for thread in threads:
    thread.start()
children = []
while store.count("busy") < 10:
    pass
for number in range(20):
    pid = os.fork()
    if pid == 0:
        for again in range(5):
            store.put("child", f"{number}-{again}", {})
        ok = store.get("a", "before") is not None and memory.get("a", "before") is not None
        memory.put("a", "mine", {})
        ok = ok and len(store.search("busy", "b", limit=3)) == 3 and memory.search("a", "x")
        os._exit(0 if ok and store.count("child") >= 5 else 1)
    children.append(pid)
    store.put("parent", str(number), {})
codes = [os.waitpid(pid, 0)[1] for pid in children]
stop.set()
for thread in threads:
    thread.join()
assert codes == [0] * 20, codes
assert (store.count("child"), store.count("parent"), memory.count("a")) == (100, 20, 1)
store.close()
print("done")
"""


def test_fork_beside_the_first_search(tmp_path: Path) -> None:
    # The first search of a process makes tables of words: a child that was forked meanwhile would wait for them for ever.
    path = tmp_path / "store.db"
    with MemoryStore.sqlite(path) as store:
        store.put_many([("a", str(n), {"text": f"word {n}"}) for n in range(50)])
    code = """
import os, threading
store = MemoryStore.sqlite(path)
thread = threading.Thread(target=lambda: store.search("a", "first words"))
thread.start()
pids = []
for _ in range(12):
    pid = os.fork()
    if not pid:
        os._exit(len(store.search("a", "word 17")))
    pids.append(pid)
thread.join()
print({os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids})
"""
    for _ in range(20):
        assert run(code, path).strip() == "{10}"


def test_fork_while_threads_write(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _program(FORK), path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr
    assert sqlite_says(path, "PRAGMA integrity_check") == "ok"


def _program(code: str) -> str:
    return "import sys\nfrom ai_infra.llm.memory.store import MemoryStore\npath = sys.argv[1]\n" + code


def test_multiprocessing_with_a_store_opened_before(tmp_path: Path) -> None:
    code = """
import multiprocessing
store = MemoryStore.sqlite(path)
store.put("a", "k", {})
def work(number):
    store.put("child", str(number), {})
    return store.get("a", "k") is not None
with multiprocessing.get_context("fork").Pool(4) as pool:
    assert all(pool.map(work, range(100)))
print(store.count("child"))
"""
    assert run(code, tmp_path / "store.db").strip() == "100"


@pytest.mark.parametrize("ending", ["sys.exit(0)", "os._exit(0)", "raise SystemExit(0)"])
def test_leaving_with_work_in_flight(tmp_path: Path, ending: str) -> None:
    code = f"""
import os, threading
store = MemoryStore.sqlite(path)
store.put("a", "first", {{}})
def busy():
    for number in range(10**9):
        store.put("a", str(number), {{}})
for _ in range(3):
    threading.Thread(target=busy, daemon=True).start()
while store.count("a") < 20:
    pass
{ending}
"""
    path = tmp_path / "store.db"
    finish(start(code, path))
    with MemoryStore.sqlite(path) as store:
        assert store.count("a") >= 20
    assert sqlite_says(path, "PRAGMA integrity_check") == "ok"


def test_a_cancelled_put_is_whole_or_not_there(tmp_path: Path) -> None:
    async def main() -> None:
        dice = random.Random(3)
        async with MemoryStore.sqlite(tmp_path / "store.db") as store:
            for number in range(200):
                batch: list[tuple[str, str, dict[str, Any]]] = [
                    ("a", f"{number}-{part}", {}) for part in range(5)
                ]
                task = asyncio.create_task(store.aput_many(batch))
                await asyncio.sleep(dice.random() * 0.002)
                task.cancel()
                done = (await asyncio.gather(task, return_exceptions=True))[0]
                found = [
                    item is not None for item in await store.aget_many([(row[0], row[1]) for row in batch])
                ]
                assert len(set(found)) == 1
                assert isinstance(done, asyncio.CancelledError) or all(found)

    asyncio.run(main())


def test_async_operations_leave_the_event_loop_free(tmp_path: Path) -> None:
    async def main() -> int:
        ticks = 0
        async with MemoryStore.sqlite(tmp_path / "store.db") as store:
            work = asyncio.gather(*(store.aput("a", str(n), {"pad": "x" * 100_000}) for n in range(50)))
            while not work.done():
                await asyncio.sleep(0)
                ticks += 1
            assert len(await work) == 50
        return ticks

    # A put that blocked the loop would let it tick once for each of the 50.
    assert asyncio.run(main()) > 100
