"""Indexes in files: believed when whole and of this very database, otherwise made anew; never a word too many in them."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from ai_infra.llm.memory.store import MemoryStore

from tests.victims import Victims

from .processes import finish, run, start
from .test_search import Fake

MANY = 5_000
QUESTIONS = ["word 17", "number 4999 of all", "word3 word5", "nothing of this", "zanzibar"]
Answers = list[list[tuple[str, float]]]


def rows(numbers: range) -> list[tuple[str, str, dict[str, Any]]]:
    return [("big", f"k{n}", {"text": f"number {n} with word{n % 37} and word {n % 101}"}) for n in numbers]


def made(path: Path, count: int = MANY, embedder: Any = None) -> Path:
    """A store whose index lies in a file; returns that file."""
    with MemoryStore.sqlite(path, embeddings=embedder) as store:
        store.put_many(rows(range(count)))
        store.search("big", "anything")
    return next(folder(path).iterdir())


def folder(path: Path) -> Path:
    return Path(f"{path}-index")


def answers(store: MemoryStore) -> Answers:
    return [[(hit.key, hit.score) for hit in store.search("big", text, limit=20)] for text in QUESTIONS]


def ask(path: Path, embedder: Any = None) -> Answers:
    with MemoryStore.sqlite(path, embeddings=embedder) as store:
        return answers(store)


def ask_without(path: Path, embedder: Any = None) -> Answers:
    """The answers of an index that was made from the database alone."""
    away = path.with_name("away")
    while not folder(path).is_file():
        if folder(path).exists():
            shutil.rmtree(away, ignore_errors=True)
            folder(path).rename(away)
        with suppress(IsADirectoryError):  # another store of the test has saved its index meanwhile
            folder(path).write_bytes(b"in the way of the folder")
    try:
        return ask(path, embedder)
    finally:
        folder(path).unlink()
        if away.exists() and not folder(path).exists():
            away.rename(folder(path))


def behind_its_back(path: Path) -> None:
    """Change a row as no store does: only an index that is made anew shows it."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("""UPDATE items SET value = '{"text":"zanzibar"}' WHERE key = 'k7'""")
        db.commit()


def believes(path: Path) -> bool:
    """Whether a store that opens takes the index from the file; to be called after ``behind_its_back``."""
    with MemoryStore.sqlite(path) as store:
        return store.search("big", "zanzibar")[0].score < 0.5


def test_the_next_process_takes_the_index_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with MemoryStore.sqlite(path) as store:
        store.put_many(rows(range(MANY)))
    # A process that does not even close has left it.
    run("import os; MemoryStore.sqlite(path).search('big', 'x'); os._exit(0)", path)
    assert [file.name for file in folder(path).iterdir()] == ["namespace-1"]
    assert stat.S_IMODE(folder(path).stat().st_mode) == 0o700
    assert stat.S_IMODE((folder(path) / "namespace-1").stat().st_mode) == 0o600
    assert ask(path) == ask_without(path)
    behind_its_back(path)
    assert believes(path)
    assert ask(path) != ask_without(path)


def test_small_ones_and_memory_have_none(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with MemoryStore.sqlite(path) as store, MemoryStore() as memory:
        for each in (store, memory):
            each.put_many(rows(range(2_000)))
            each.search("big", "anything")
    assert {file.name for file in tmp_path.iterdir()} == {"store.db"}


def test_what_changed_since_is_caught_up_with(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    saved = made(path).read_bytes()
    with MemoryStore.sqlite(path) as store:
        store.delete("big", "k17")
        store.put("big", "k18", {"text": "zanzibar"})
        store.put("big", "new", {"text": "zanzibar too"})
        expected = answers(store)
        assert {key for key, _ in expected[-1][:2]} == {"k18", "new"}
        assert not any(key == "k17" for found in expected for key, _ in found)
    assert ask(path) == expected
    assert next(folder(path).iterdir()).read_bytes() == saved
    with MemoryStore.sqlite(path) as store:
        store.put_many(rows(range(MANY, MANY + MANY // 4)))
        answers(store)
    assert next(folder(path).iterdir()).read_bytes() != saved


def damages(whole: bytes) -> Iterator[bytes | None]:
    """What may lie in the place of the file; None: nothing."""
    source = random.Random(5)
    for _ in range(20):
        at = source.randrange(len(whole))
        yield whole[:at] + bytes([whole[at] ^ 1 << source.randrange(8)]) + whole[at + 1 :]
    for length in [0, 1, 15, 16, 40, 100, len(whole) // 2, len(whole) - 1]:
        yield whole[:length]
    yield whole + b"\0"
    yield os.urandom(len(whole))
    yield None


def test_a_damaged_file_is_noticed_and_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    file = made(path)
    whole, expected = file.read_bytes(), ask_without(path)
    for number, damaged in enumerate(damages(whole)):
        if damaged is None:
            file.unlink()
        else:
            file.write_bytes(damaged)
        assert ask(path) == expected, number
        # It was made anew and is whole again: as large, with another token.
        assert file.stat().st_size == len(whole), number
        assert ask(path) == expected, number


def test_only_files_and_only_in_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    file = made(path)
    expected = ask(path)
    target = tmp_path / "target"
    target.write_bytes(b"kept")
    file.unlink()
    file.symlink_to(target)
    assert ask(path) == expected
    assert file.is_symlink()
    file.unlink()
    os.mkfifo(file)
    assert ask(path) == expected
    shutil.rmtree(folder(path))
    (tmp_path / "elsewhere").mkdir()
    folder(path).symlink_to(tmp_path / "elsewhere")
    assert ask(path) == expected
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert target.read_bytes() == b"kept"


def test_killed_while_saving(tmp_path: Path) -> None:
    """Whatever the moment of the kill: the answers are those of the database, and no more than one rest is left."""
    path = tmp_path / "store.db"
    made(path)
    expected = ask_without(path)
    program = """
import shutil
from ai_infra.llm.memory.store import MemoryStore

def work(path):
    while True:
        shutil.rmtree(path + "-index", ignore_errors=True)
        tell("next")
        with MemoryStore.sqlite(path) as store:
            store.search("big", "anything")
"""
    source, partial = random.Random(6), 0
    with Victims(program) as savers:
        for turn in range(400 if os.environ.get("AI_INFRA_NIGHTLY") else 40):
            savers.start(str(path))
            assert savers.line() == "next"
            if turn % 2:
                time.sleep(source.random() * 0.12)
            else:  # a file is written in milliseconds, and no processor says when
                deadline = time.monotonic() + 20
                while not (folder(path) / "namespace-1.tmp").exists() and time.monotonic() < deadline:
                    pass
            savers.kill()
            left = {file.name for file in folder(path).iterdir()} if folder(path).exists() else set()
            assert left <= {"namespace-1", "namespace-1.tmp"}
            partial += "namespace-1.tmp" in left
            assert ask(path) == expected
            assert {file.name for file in folder(path).iterdir()} == {"namespace-1"}
    assert partial


def test_a_restored_backup_has_another_past(tmp_path: Path) -> None:
    path, backup = tmp_path / "store.db", tmp_path / "backup.db"
    made(path)
    with closing(sqlite3.connect(path)) as db, closing(sqlite3.connect(backup)) as copy:
        db.backup(copy)
    with MemoryStore.sqlite(path) as store:
        store.put_many([("big", key, {"text": f"later {key}"}) for _, key, _ in rows(range(MANY // 2))])
        answers(store)
    later = next(folder(path).iterdir()).read_bytes()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    shutil.copy(backup, path)
    # The same number of writes, other content: the generations are equal.
    folder(path).rename(tmp_path / "kept")
    with MemoryStore.sqlite(path) as store:
        store.put_many([("big", key, {"text": f"other {key}"}) for _, key, _ in rows(range(MANY // 2))])
    (tmp_path / "kept").rename(folder(path))
    assert next(folder(path).iterdir()).read_bytes() == later
    expected = ask_without(path)
    assert ask(path) == expected
    with MemoryStore.sqlite(path) as store:
        assert store.search("big", "later")[0].score < store.search("big", "other")[0].score


def test_a_copy_with_and_without_its_folder(tmp_path: Path) -> None:
    path, copy = tmp_path / "store.db", tmp_path / "copy.db"
    made(path)
    shutil.copy(path, copy)
    assert ask(copy) == ask(path)
    # A file of the other one's later past.
    with MemoryStore.sqlite(path) as store:
        store.put_many([("big", key, {"text": "mozambique"}) for _, key, _ in rows(range(MANY // 2))])
        answers(store)
    expected = ask_without(copy)
    shutil.rmtree(folder(copy))
    shutil.copytree(folder(path), folder(copy))
    assert ask(copy) == expected
    # Opened, it has been taken away or replaced; that of the first one is still right.
    behind_its_back(path)
    assert believes(path)


def test_a_namespace_cleared_and_made_again_is_another(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    file = made(path)
    whole = file.read_bytes()
    with MemoryStore.sqlite(path) as store:
        store.clear("big")
        assert list(folder(path).iterdir()) == []
        store.put_many([("big", f"k{n}", {"text": f"other {n}"}) for n in range(MANY)])
    file.write_bytes(whole)
    assert ask(path) == ask_without(path)
    assert {file.name for file in folder(path).iterdir()} == {"namespace-2"}


@pytest.mark.parametrize("after", [Fake("other"), Fake("wider", 30), None], ids=["model", "size", "local"])
def test_another_embedder_does_not_take_it(tmp_path: Path, after: Fake | None) -> None:
    path = tmp_path / "store.db"
    made(path, embedder=Fake())
    with MemoryStore.sqlite(path, embeddings=after, reembed=True) as store:
        found = answers(store)
    assert found == ask_without(path, after)
    assert ask(path, after) == found


def test_many_at_once(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with MemoryStore.sqlite(path) as store:
        store.put_many(rows(range(MANY)))
    code = """
for _ in range(5):
    with MemoryStore.sqlite(path) as store:
        print([(hit.key, hit.score) for hit in store.search("big", "word 17", limit=20)])
"""
    said = {line for each in [start(code, path) for _ in range(6)] for line in finish(each).splitlines()}
    assert len(said) == 1
    assert {file.name for file in folder(path).iterdir()} == {"namespace-1"}
    behind_its_back(path)
    assert believes(path)


def texts(path: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_purged_text_is_in_no_index(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with MemoryStore.sqlite(path) as store:
        store.put_many(rows(range(MANY)))
        store.put("big", "secret", {"text": "zanzibarsecret"})
        store.search("big", "x")
        assert b"zanzibarsecret" in next(folder(path).iterdir()).read_bytes()
    # Another process, which holds it in memory and would save its index when it closes.
    other = start(
        """
import os, time
store = MemoryStore.sqlite(path)
store.search("big", "x")
print("ready", flush=True)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
store.put_many([("big", f"more{n}", {"text": f"more {n}"}) for n in range(4000)])
store.search("big", "x")
store.close()
""",
        path,
        tmp_path / "go",
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    with MemoryStore.sqlite(path) as store:
        store.delete("big", "secret")
        (folder(path) / "namespace-9.tmp").write_bytes(b"zanzibarsecret")
        store.purge()
        assert not folder(path).exists()
        for name, data in texts(tmp_path).items():
            assert b"zanzibarsecret" not in data, name
        (tmp_path / "go").touch()
        finish(other)
        for name, data in texts(tmp_path).items():
            assert b"zanzibarsecret" not in data, name
        answers(store)
    assert {file.name for file in folder(path).iterdir()} == {"namespace-1"}
    for name, data in texts(tmp_path).items():
        assert b"zanzibarsecret" not in data, name
    assert ask(path) == ask_without(path)


def test_words_of_deleted_items_are_not_saved_again(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with MemoryStore.sqlite(path) as store:
        store.put_many(rows(range(MANY)))
        store.put("big", "secret", {"text": "zanzibarsecret"})
        store.search("big", "x")
        store.delete("big", "secret")
        store.put_many(rows(range(MANY, 2 * MANY)))
        store.search("big", "x")
        assert b"zanzibarsecret" not in next(folder(path).iterdir()).read_bytes()


def test_a_deleted_database_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    made(path)
    path.unlink()
    with MemoryStore.sqlite(path) as store:
        assert list(folder(path).iterdir()) == []
        store.put("big", "k", {"text": "new"})
        assert [hit.key for hit in store.search("big", "word")] == ["k"]


def test_no_room_for_it_fails_no_search(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    made(path)
    expected = ask(path)
    shutil.rmtree(folder(path))
    code = """
import resource
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
with MemoryStore.sqlite(path) as store:
    print([[(hit.key, hit.score) for hit in store.search("big", text, limit=20)] for text in eval(sys.argv[2])])
"""
    assert run(code, path, QUESTIONS).strip() == str(expected)
    assert list(folder(path).iterdir()) == []


def test_forked_while_it_saves(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with MemoryStore.sqlite(path) as store:
        store.put_many(rows(range(MANY)))
    code = """
import os, threading
store = MemoryStore.sqlite(path)
thread = threading.Thread(target=lambda: store.search("big", "x"))
thread.start()
pids = []
for n in range(40):
    pid = os.fork()
    if not pid:
        found = store.search("big", "word 17")
        os._exit(len(found))
    pids.append(pid)
thread.join()
print({os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids})
store.close()
"""
    assert run(code, path).strip() == "{10}"
    assert {file.name for file in folder(path).iterdir()} == {"namespace-1"}


@pytest.mark.parametrize("embedder", [Fake(), None], ids=["asked", "local"])
def test_any_history_answers_the_same_to_the_bit(tmp_path: Path, embedder: Fake | None) -> None:
    """An index that lives on, one that comes from the file each time, and one made from the database."""
    path = tmp_path / "store.db"
    source = random.Random(8)
    live = MemoryStore.sqlite(path, embeddings=embedder)
    live.put_many(rows(range(MANY)))
    for step in range(200 if os.environ.get("AI_INFRA_NIGHTLY") else 25):
        with MemoryStore.sqlite(path, embeddings=embedder) as writer:
            numbers = [source.randrange(2 * MANY) for _ in range(source.choice([1, 30, 1_200]))]
            match source.randrange(3):
                case 0:
                    writer.delete_many([("big", f"k{n}") for n in numbers])
                case _:
                    texts = {n: f"zanzibar {source.randrange(90)} word{n % 50}" for n in numbers}
                    writer.put_many([("big", f"k{n}", {"text": text}) for n, text in texts.items()])
            if source.randrange(3):
                answers(writer)
        assert ask(path, embedder) == answers(live), step
        if embedder:
            assert ask_without(path, embedder) == answers(live), step
    live.close()
    assert folder(path).exists()
