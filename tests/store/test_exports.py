"""Export and import of facts and conversations: one behaviour, whole or not at all, and never over a database."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ai_infra.errors import ConfigurationError, InvalidInputError
from ai_infra.llm.memory import MemoryStore
from ai_infra.llm.session import sqlite as sessions
from ai_infra.llm.tools.custom import ConversationMemory

Make = Callable[[Path | None], Any]


def facts(path: Path | None) -> MemoryStore:
    store = MemoryStore() if path is None else MemoryStore.sqlite(path)
    store.put("a", "k", {"text": "the kettle"})
    return store


def conversations(path: Path | None) -> ConversationMemory:
    memory = ConversationMemory() if path is None else ConversationMemory("sqlite", path=path)
    memory.index_conversation("u", "s", [{"role": "user", "content": "the kettle"}])
    return memory


both = pytest.mark.parametrize("make", [facts, conversations])


@both
def test_a_database_is_never_written_over(make: Make, tmp_path: Path) -> None:
    path, foreign, link = tmp_path / "it.db", tmp_path / "foreign.db", tmp_path / "link.jsonl"
    link.symlink_to(path)
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE notes (id)")
    connection.close()
    with make(path) as opened, make(None) as other:
        for each in (opened, other):
            for target in (path, str(path), f"{path}-wal", f"{path}-shm", link, foreign, f"{foreign}-wal"):
                with pytest.raises(ConfigurationError, match="is a database or belongs to one"):
                    each.export(target)
        assert opened.export(tmp_path / "backup.jsonl-wal") == 1
    with make(path) as again:
        assert again.count() == 1


def test_looking_at_a_database_leaves_its_locks_alone(tmp_path: Path) -> None:
    """To open and close the file beside SQLite would take away the locks of the whole process."""
    if not Path("/proc/locks").exists():
        pytest.skip("needs /proc/locks")
    path = tmp_path / "it.db"

    def locks() -> list[str]:
        rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        inode = str(path.stat().st_ino)
        return [row[3] for row in rows if row[4] == str(os.getpid()) and row[5].split(":")[-1] == inode]

    with facts(path) as store, conversations(path) as memory, sessions(path) as third:
        third.append("s", [{"role": "user", "content": "hi"}])
        assert locks()
        with pytest.raises(ConfigurationError):
            store.export(path)
        memory.stats()
        assert locks()


@both
def test_an_export_that_fails_leaves_the_last_one(make: Make, tmp_path: Path, monkeypatch: Any) -> None:
    target = tmp_path / "backup.jsonl"
    with make(None) as opened:
        opened.export(target)
        assert target.stat().st_mode & 0o777 == 0o600
        before = target.read_bytes()
        target.chmod(0o640)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(ConfigurationError, match=r"backup.jsonl: No space left"):
            opened.export(target)
        monkeypatch.undo()
        assert target.read_bytes() == before
        assert os.listdir(tmp_path) == ["backup.jsonl"]
        opened.export(target)
        assert target.stat().st_mode & 0o777 == 0o640
        link = tmp_path / "link"
        link.symlink_to(target)
        opened.export(link)
        assert link.is_symlink()
        for bad in (tmp_path, tmp_path / "none" / "x", "", "a\0b", "\ud800", 5, None, b"x"):
            with pytest.raises(ConfigurationError, match=r"cannot write|no path"):
                opened.export(bad)


@both
def test_what_is_no_file_is_written_as_it_is(make: Make, tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with make(None) as opened:
        assert opened.export(pipe) == 1
        reader.join()
        text = io.StringIO()
        opened.export(text)
        assert read == [text.getvalue()]
        if sys.platform == "linux":
            with pytest.raises(ConfigurationError, match="No space left"):
                opened.export("/dev/full")
        assert make(None).import_(text.getvalue().splitlines()) == 1


@both
def test_what_cannot_be_imported_is_said_in_one_way(make: Make, tmp_path: Path) -> None:
    latin = tmp_path / "latin"
    latin.write_bytes("größe".encode("latin-1"))
    with make(None) as opened:
        for source in (tmp_path / "missing", tmp_path, latin, "a\0b", "x" * 5000, "\ud800"):
            with pytest.raises(ConfigurationError, match=r"cannot read|UTF-8|no path") as caught:
                opened.import_(source)
            assert len(str(caught.value)) < 500
        for lines in ([5], None, 5, b"{}", [b"\xff"], ["{"], ["[]"], [None], ["1" * 5000]):
            with pytest.raises(InvalidInputError):
                opened.import_(lines)
        text = io.StringIO()
        opened.export(text)
        with pytest.raises(InvalidInputError, match="splitlines") as refused:
            opened.import_(text.getvalue())
        assert "kettle" not in str(refused.value)
        assert opened.import_([line.encode() for line in text.getvalue().splitlines()]) == 1


def test_an_imported_time_is_a_date() -> None:
    text = io.StringIO()
    with conversations(None) as memory:
        memory.export(text)
        row = json.loads(text.getvalue())
        for value in (2**61, -(2**61), 10**400, 1.5):
            with pytest.raises(InvalidInputError, match="starts"):
                memory.import_([json.dumps({**row, "starts": value})])
        memory.list_conversations()
