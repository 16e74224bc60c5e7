"""Facts, conversations and sessions in a file: killed, out of space, forked, cancelled, abandoned, refused."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from ai_infra.errors import ConfigurationError, StorageCorruptError, StorageError

from tests.store.test_opening import files, sql
from tests.trust.kinds import KINDS, Kind
from tests.victims import Victims

ROOT = Path(__file__).parents[2]
NIGHTLY = 10 if os.environ.get("AI_INFRA_NIGHTLY") else 1


@pytest.fixture(params=KINDS)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def kind(name: str) -> Kind:
    return KINDS[name]


def run(code: str, name: str, path: Path) -> str:
    prelude = f"import sys\nfrom tests.trust.kinds import KINDS\nkind, path = KINDS[{name!r}], sys.argv[1]\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", prelude + code, path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def sound(path: Path) -> None:
    code = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchone()[0])"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout == "ok\n"


def test_killed_at_any_moment_loses_nothing_acknowledged(name: str, kind: Kind, tmp_path: Path) -> None:
    program = f"""
import itertools
from tests.trust.kinds import KINDS
kind = KINDS[{name!r}]

def work(path, first):
    with kind.open(path) as opened:
        for number in itertools.count(first):
            kind.write(opened, number)
            tell(number)
"""
    path, dice, last = tmp_path / "it.db", random.Random(6), -1
    with Victims(program) as writers:
        for _ in range(100 * NIGHTLY):
            writers.start(str(path), last + 1)
            told = [writers.line() for _ in range(dice.randrange(3))]
            last = max([last, *map(int, told + writers.kill())])
    with kind.open(path) as opened:
        found = kind.read(opened)
    assert found >= set(range(last + 1))
    assert last > 0
    sound(path)


def test_a_full_disk_is_a_clear_error_and_work_goes_on(name: str, kind: Kind, tmp_path: Path) -> None:
    code = """
import resource
from ai_infra.errors import StorageFullError
opened = kind.open(path)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
acknowledged, errors = set(), 0
for number in range(300):
    try:
        kind.write(opened, number)
        acknowledged.add(number)
    except StorageFullError as error:
        assert "no space is left" in str(error), error
        errors += 1
assert errors and acknowledged, (errors, acknowledged)
assert kind.read(opened) == acknowledged
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
for number in range(1000, 1050):
    kind.write(opened, number)
    acknowledged.add(number)
opened.close()
print(*acknowledged)
"""
    path = tmp_path / "it.db"
    acknowledged = set(map(int, run(code, name, path).split()))
    with kind.open(path) as opened:
        assert kind.read(opened) == acknowledged
    sound(path)


def test_forked_while_threads_write(name: str, kind: Kind, tmp_path: Path) -> None:
    code = """
import os, threading
opened = kind.open(path)
kind.write(opened, 0)
stop = threading.Event()
def busy(first):
    for number in range(first, first + 10_000):
        if stop.is_set():
            return
        kind.write(opened, number)
threads = [threading.Thread(target=busy, args=(first,)) for first in (100_000, 200_000)]
for thread in threads: thread.start()
children = []
for number in range(1, 11):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for again in range(3):
                kind.write(opened, 10 * number + again)
            code = 0 if 0 in kind.read(opened) else 2
        finally:
            os._exit(code)
    children.append(pid)
codes = [os.waitpid(pid, 0)[1] for pid in children]
stop.set()
for thread in threads: thread.join()
assert codes == [0] * 10, codes
assert kind.read(opened) >= {10 * number + again for number in range(1, 11) for again in range(3)}
opened.close()
print("done")
"""
    assert run(code, name, tmp_path / "it.db") == "done\n"
    sound(tmp_path / "it.db")


@pytest.mark.parametrize("ending", ["sys.exit(0)", "os._exit(0)"])
def test_leaving_with_work_in_flight(name: str, kind: Kind, tmp_path: Path, ending: str) -> None:
    code = f"""
import itertools, os, threading
opened = kind.open(path)
acknowledged = []
def busy(first):
    for number in itertools.count(first):
        kind.write(opened, number)
        acknowledged.append(number)
for first in (0, 100_000, 200_000):
    threading.Thread(target=busy, args=(first,), daemon=True).start()
while len(acknowledged) < 20:
    pass
os.write(1, " ".join(map(str, acknowledged[:20])).encode())
{ending}
"""
    path = tmp_path / "it.db"
    acknowledged = set(map(int, run(code, name, path).split()))
    with kind.open(path) as opened:
        assert kind.read(opened) >= acknowledged
    sound(path)


def test_a_cancelled_write_is_whole_or_not_there(kind: Kind, tmp_path: Path) -> None:
    async def main() -> None:
        dice = random.Random(3)
        async with kind.open(tmp_path / "it.db") as opened:
            acknowledged = set()
            for number in range(100 * NIGHTLY):
                task = asyncio.ensure_future(kind.awrite(opened, number))
                await asyncio.sleep(dice.random() * 0.002)
                task.cancel()
                outcome = (await asyncio.gather(task, return_exceptions=True))[0]
                if not isinstance(outcome, asyncio.CancelledError):
                    acknowledged.add(number)
            found = await asyncio.to_thread(kind.read, opened)
            assert found >= acknowledged
            assert found <= set(range(100 * NIGHTLY))

    asyncio.run(main())


def good(kind: Kind, path: Path) -> Path:
    with kind.open(path) as opened:
        for number in range(8):
            kind.write(opened, number)
    return path


def refused(kind: Kind, path: Path, error: type[Exception], match: str) -> None:
    before = files(path.parent)
    for _ in range(2):
        with pytest.raises(error, match=match):
            kind.open(path).close()
    assert files(path.parent) == before


def test_what_cannot_be_opened_stays_as_it_was(kind: Kind, tmp_path: Path) -> None:
    """One documented error each, the file byte for byte untouched."""
    cases: list[tuple[str, type[Exception], str]] = [
        ("directory", ConfigurationError, "is a directory"),
        ("missing", ConfigurationError, "does not exist"),
        ("text", StorageCorruptError, "not a database of ai-infra-memory"),
        ("foreign", StorageCorruptError, "not a database of ai-infra-memory"),
        ("newer", StorageCorruptError, "schema 999.*upgrade"),
        ("damaged", StorageCorruptError, "damaged"),
        ("cut", StorageCorruptError, "damaged"),
        ("read-only", StorageError, "read-only"),
    ]
    for what, error, match in cases:
        path = tmp_path / what / "it.db"
        if what != "missing":
            path.parent.mkdir()
        match what:
            case "directory":
                path.mkdir()
            case "text":
                path.write_text("my notes " * 500)
            case "foreign":
                sql(path, "CREATE TABLE notes (id); INSERT INTO notes VALUES (1)")
            case "newer":
                sql(good(kind, path), "PRAGMA user_version=999; PRAGMA wal_checkpoint(TRUNCATE)")
            case "damaged":
                data = bytearray(good(kind, path).read_bytes())
                data[4096 * 2 : 4096 * 3] = b"\xa5" * 4096
                path.write_bytes(data)
            case "cut":
                os.truncate(good(kind, path), 5000)
            case "read-only":
                good(kind, path).chmod(0o444)
        refused(kind, path, error, match)
