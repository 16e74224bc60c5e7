"""What is opened, what is refused, and that a refused file stays as it was."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ai_infra.errors import (
    ConfigurationError,
    InvalidInputError,
    StorageCorruptError,
    StorageError,
)
from ai_infra.llm.memory.store import MemoryStore
from ai_infra.llm.session import sqlite
from ai_infra.llm.tools.custom import ConversationMemory

from .processes import sqlite_says


def files(folder: Path) -> dict[str, bytes]:
    """Every file in a folder with its bytes."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def ours(path: Path, items: int = 300) -> Path:
    """A good file."""
    with MemoryStore.sqlite(path) as store:
        store.put_many([("a", str(number), {"text": "words " * 20}) for number in range(items)])
    return path


def sql(path: Path, script: str) -> Path:
    """Run a script with the machine's SQLite, in a process of its own."""
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.close()"
    subprocess.run([sys.executable, "-c", code, path, script], check=True)
    return path


def refused(path: Path, error: type[Exception], match: str) -> None:
    before = files(path.parent)
    for _ in range(2):
        with pytest.raises(error, match=match):
            MemoryStore.sqlite(path)
    assert files(path.parent) == before


def test_a_directory(tmp_path: Path) -> None:
    refused(tmp_path, ConfigurationError, "is a directory")


def test_a_missing_folder(tmp_path: Path) -> None:
    refused(tmp_path / "no" / "store.db", ConfigurationError, r"folder of .* does not exist")


def test_a_device_and_a_path_through_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a regular file"):
        MemoryStore.sqlite("/dev/null")
    ours(tmp_path / "store.db")
    with pytest.raises(StorageError, match="cannot be opened"):
        MemoryStore.sqlite(tmp_path / "store.db" / "inside")


@pytest.mark.parametrize(
    "content", [b"x", b"hello, I am text\n" * 100, b"\x00" * 4096, b"SQLite format 3\x00", b"{}"]
)
def test_a_file_of_something_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    refused(path, StorageCorruptError, "not a database of ai-infra-memory")


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_a_database_of_another_program(tmp_path: Path, journal: str) -> None:
    path = sql(
        tmp_path / "other.db",
        f"PRAGMA journal_mode={journal}; CREATE TABLE items (id); INSERT INTO items VALUES (1)",
    )
    refused(path, StorageCorruptError, "not a database of ai-infra-memory")


def test_a_database_of_another_program_with_an_id(tmp_path: Path) -> None:
    path = sql(
        tmp_path / "other.db", "PRAGMA application_id=7; PRAGMA user_version=1; CREATE TABLE items (id)"
    )
    refused(path, StorageCorruptError, "not a database of ai-infra-memory")


def test_a_newer_schema(tmp_path: Path) -> None:
    path = sql(ours(tmp_path / "store.db"), "PRAGMA user_version=999; PRAGMA wal_checkpoint(TRUNCATE)")
    refused(path, StorageCorruptError, "schema 999.*upgrade")


def test_a_newer_schema_still_in_the_log(tmp_path: Path) -> None:
    path = ours(tmp_path / "store.db")
    code = """
import os, sqlite3, sys
c = sqlite3.connect(sys.argv[1])
c.execute("PRAGMA user_version=999")
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code, path], check=True)
    before = {name: data for name, data in files(tmp_path).items() if not name.endswith("-shm")}
    for _ in range(2):
        with pytest.raises(StorageCorruptError, match="schema 999"):
            MemoryStore.sqlite(path)
    assert {name: data for name, data in files(tmp_path).items() if not name.endswith("-shm")} == before


def test_damage_in_a_page(tmp_path: Path) -> None:
    path = ours(tmp_path / "store.db")
    data = bytearray(path.read_bytes())
    data[4096 * 2 : 4096 * 3] = b"\xa5" * 4096
    path.write_bytes(data)
    refused(path, StorageCorruptError, "damaged")


@pytest.mark.parametrize("keep", [50, 100, 4096, 5000, 20000])
def test_a_file_cut_short(tmp_path: Path, keep: int) -> None:
    path = ours(tmp_path / "store.db")
    assert path.stat().st_size > 30000
    os.truncate(path, keep)
    refused(path, StorageCorruptError, "damaged")


def test_damage_in_a_large_file_is_an_error_where_it_is_read(tmp_path: Path) -> None:
    path = ours(tmp_path / "store.db", 20_000)
    data = bytearray(path.read_bytes())
    assert len(data) > 3_000_000
    middle = len(data) // 8192 * 4096
    data[middle : middle + 4096 * 20] = b"\xa5" * 4096 * 20
    path.write_bytes(data)
    with MemoryStore.sqlite(path) as store:
        with pytest.raises(StorageCorruptError, match=r"store\.db: the file is damaged"):
            store.list("a")
        assert store.get("a", "0") is not None


def test_damage_while_it_is_open_names_the_file_once(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with MemoryStore.sqlite(path) as store:
        store.put("a", "k", {})
        os.truncate(path, 10)
        for _ in range(3):  # the second and third with new connections
            with pytest.raises(StorageCorruptError) as caught:
                store.get("a", "k")
            assert str(caught.value).count("store.db") == 1


def test_a_read_only_file(tmp_path: Path) -> None:
    path = ours(tmp_path / "store.db")
    path.chmod(0o444)
    refused(path, StorageError, "read-only")
    path.chmod(0o600)
    MemoryStore.sqlite(path).close()


@pytest.mark.parametrize("path", ["", "a\x00b", None, 1, b"bytes"])
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(ConfigurationError):
        MemoryStore.sqlite(path)
    with pytest.raises(ConfigurationError):
        ConversationMemory("sqlite", path=path)


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), 1e300])
def test_what_is_no_timeout(tmp_path: Path, timeout: float) -> None:
    with pytest.raises(ConfigurationError, match="timeout"):
        MemoryStore.sqlite(tmp_path / "store.db", timeout=timeout)


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.touch()
    with MemoryStore.sqlite(path) as store:
        store.put("a", "k", {})
    with MemoryStore.sqlite(str(path)) as store:
        assert store.count() == 1


@pytest.mark.parametrize(
    "name",
    [
        "file:store.db",
        "file:store.db?mode=memory&vfs=none",
        "a b'\";-- %.db",
        "ünï🙂.db",
        "..db",
        "x?immutable=1",
        "#.db",
    ],
)
def test_odd_names_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with MemoryStore.sqlite(name) as store:
        store.put("a", "k", {})
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with MemoryStore.sqlite(tmp_path / name) as store:
        assert store.count() == 1


def test_a_relative_path_stays_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    store = MemoryStore.sqlite("store.db")
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.put("a", "k", {})
    assert store.get("a", "k") is not None
    store.close()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with MemoryStore.sqlite(tmp_path / "store.db") as store:
            store.put("a", "k", {})
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(old)
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


def test_the_file_tells_what_it_is(tmp_path: Path) -> None:
    path = ours(tmp_path / "store.db")
    assert sqlite_says(path, "PRAGMA journal_mode") == "wal"
    assert sqlite_says(path, "PRAGMA application_id") == str(int.from_bytes(b"AIMm", "big"))
    assert sqlite_says(path, "PRAGMA integrity_check") == "ok"


def test_memory_by_its_sqlite_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with MemoryStore.sqlite(":memory:") as store:
        store.put("a", "k", {})
    sqlite(Path(":memory:")).close()
    ConversationMemory("sqlite", path=":memory:").close()
    assert list(tmp_path.iterdir()) == []


def test_deleted_text_is_nowhere_after_purge(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    secret = "Zanzibar-4711-secret"
    with MemoryStore.sqlite(path) as store, MemoryStore.sqlite(path) as reader:
        for number in range(300):
            store.put(("user", secret), f"{secret}-{number}", {"text": f"{secret} " * (1 + number % 400)})
            reader.get(("user", secret), f"{secret}-{number}")
        store.put("stays", "k", {"text": "ordinary"})
        store.put("stays", "overwritten", {"text": secret})
        store.put("stays", "overwritten", {"text": "replaced"})
        store.clear("user", recursive=True)
        assert any(secret.encode() in data for data in files(tmp_path).values())
        store.purge()
        for name, data in files(tmp_path).items():
            assert secret.encode() not in data, name
        assert store.count() == 2


def test_expired_text_goes_with_purge_too(tmp_path: Path) -> None:
    now = [1000.0]
    with MemoryStore.sqlite(tmp_path / "store.db", clock=lambda: now[0]) as store:
        store.put_many([("a", f"key-{n}", {"text": "perishable-text"}, 5) for n in range(50)])
        now[0] += 5
        assert store.purge() == 50
        for name, data in files(tmp_path).items():
            assert b"perishable-text" not in data, name
            assert b"key-1" not in data, name


def test_errors_are_ours_and_natural(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"text")
    with pytest.raises(OSError, match="not a database") as refusal:
        MemoryStore.sqlite(tmp_path / "x")
    assert isinstance(refusal.value, StorageError)
    with pytest.raises(ValueError, match="namespace"):
        MemoryStore().put("", "k", {})
    assert issubclass(InvalidInputError, ValueError)


SCHEMAS = Path(__file__).parents[2] / "rust" / "core" / "src" / "store" / "sql"


def test_a_file_of_an_older_schema_is_brought_up_with_what_it_holds(tmp_path: Path) -> None:
    steps = "".join((SCHEMAS / name).read_text() for name in sorted(os.listdir(SCHEMAS))[:3])
    rows = "".join(
        f"""INSERT INTO items (id, ns_id, key, value, created_at, updated_at, version, seq)
            VALUES ({n}, 1, 'key-{n}', '{{"text":"older fact {n}"}}', {n}, {n + 1}, 2, {n});"""
        for n in range(1, 51)
    )
    path = sql(
        tmp_path / "store.db",
        f"""{steps} INSERT INTO namespaces (id, path, gen) VALUES (1, x'0000000161', 50);
            {rows} DELETE FROM items WHERE id = 50;
            PRAGMA application_id={int.from_bytes(b"AIMm", "big")}; PRAGMA user_version=3;""",
    )
    with MemoryStore.sqlite(path) as store:
        assert store.count() == 49
        item = store.get("a", "key-7")
        assert item is not None
        assert (item.value, item.version, item.created_at.microsecond) == ({"text": "older fact 7"}, 2, 7)
        assert store.search("a", "older fact 7")[0].key == "key-7"
        store.put("a", "key-7", {"text": "entirely another sentence"})
        store.put("a", "key-51", {"text": "newest sentence"})
        assert store.search("a", "entirely another sentence")[0].key == "key-7"
        assert store.search("a", "newest sentence")[0].key == "key-51"
    # The id of an item that was deleted is not used again.
    assert sqlite_says(path, "SELECT id FROM items WHERE key = 'key-51'") == "51"
    assert sqlite_says(path, "PRAGMA integrity_check") == "ok"


@pytest.mark.parametrize("what", ["removed", "replaced", "renamed"])
def test_nothing_is_acknowledged_into_a_file_that_is_gone(tmp_path: Path, what: str) -> None:
    path, other = tmp_path / "it.db", ours(tmp_path / "other.db")
    with MemoryStore.sqlite(path) as store, sqlite(path) as sessions:
        store.put("a", "k", {})
        sessions.append("s", [{"role": "user", "content": "hi"}])
        if what == "replaced":
            os.replace(other, path)
        elif what == "renamed":
            path.rename(tmp_path / "moved.db")
        for each in [*tmp_path.glob("it.db-*"), *([path] if what == "removed" else [])]:
            each.unlink()
        for _ in range(2):
            with pytest.raises(StorageError, match="removed, renamed or replaced"):
                store.put("a", "lost", {})
            with pytest.raises(StorageError, match="removed, renamed or replaced"):
                sessions.append("s", [{"role": "user", "content": "lost"}])
    with MemoryStore.sqlite(path) as again:
        assert again.get("a", "lost") is None
        again.put("a", "k", {})
