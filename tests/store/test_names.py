"""One file, one name: the log goes by the name, and two logs would destroy the file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ai_infra.errors import ConfigurationError, StorageError
from ai_infra.llm.memory.store import MemoryStore
from ai_infra.llm.session import sqlite
from ai_infra.llm.tools.custom import ConversationMemory

HOLD = """
import sys
from ai_infra.llm.memory.store import MemoryStore
from ai_infra.llm.tools.custom import ConversationMemory
with MemoryStore.sqlite(sys.argv[1]) as store:
    store.put("a", "theirs", {"n": 1})
    print("open", flush=True)
    sys.stdin.read()
    print(store.count("a"))
"""


@contextmanager
def held_by_another_process(path: Path) -> Iterator[None]:
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        yield
        assert other.communicate("")[0] == "1\n"


def refused(path: Path) -> None:
    for opened in (MemoryStore.sqlite, sqlite, lambda p: ConversationMemory("sqlite", path=p)):
        with pytest.raises(StorageError, match="open under another name"):
            opened(path)


def test_a_hard_link_to_a_file_that_is_open_here(tmp_path: Path) -> None:
    path, link = tmp_path / "a.db", tmp_path / "b.db"
    with MemoryStore.sqlite(path) as store:
        store.put("a", "k", {"n": 1})
        os.link(path, link)
        refused(link)
        with MemoryStore.sqlite(path) as again:
            again.put("a", "l", {"n": 2})
        assert store.count("a") == 2
    with MemoryStore.sqlite(link) as store:  # one name at a time is fine
        assert store.count("a") == 2


@pytest.mark.parametrize("how", ["link", "rename"])
def test_another_name_of_a_file_that_another_process_has_open(tmp_path: Path, how: str) -> None:
    path, other = tmp_path / "a.db", tmp_path / "b.db"
    MemoryStore.sqlite(path).close()
    with held_by_another_process(path):
        os.link(path, other)
        if how == "rename":
            path.unlink()
        refused(other)
        if how == "rename":
            os.link(other, path)
    with MemoryStore.sqlite(other) as store:
        assert store.count("a") == 1


def test_names_that_share_a_log_are_one(tmp_path: Path) -> None:
    path, link = tmp_path / "a.db", tmp_path / "b.db"
    MemoryStore.sqlite(path).close()
    link.symlink_to(path)
    (tmp_path / "folder").symlink_to(tmp_path)
    with MemoryStore.sqlite(link) as one, MemoryStore.sqlite(tmp_path / "folder" / "a.db") as two:
        one.put("a", "k", {"n": 1})
        two.put("a", "l", {"n": 2})
        assert one.count("a") == 2
    with held_by_another_process(path), MemoryStore.sqlite(link) as one:
        assert one.count("a") == 3
        one.clear("a")
        one.put("a", "k", {"n": 1})


def test_purging_under_one_name_takes_what_was_kept_under_another(tmp_path: Path) -> None:
    path, link = tmp_path / "a.db", tmp_path / "elsewhere" / "b.db"
    MemoryStore.sqlite(path).close()
    link.parent.mkdir()
    link.symlink_to(path)
    with MemoryStore.sqlite(link) as store:
        store.put_many([("big", f"k{n}", {"text": f"walrus {n}"}) for n in range(5_000)])
        store.search("big", "walrus")
    with ConversationMemory("sqlite", path=link) as memory:
        memory.index_conversation("ana", "s", [{"role": "user", "content": "a walrus"}] * 1_500)
        memory.search("ana", "walrus")
    assert len(list((tmp_path / "a.db-index").iterdir())) == 2
    with ConversationMemory("sqlite", path=path) as memory:
        memory.delete_user_conversations("ana")
    with MemoryStore.sqlite(path) as store:
        store.clear("big")
        store.purge()
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"walrus" not in file.read_bytes(), file


def test_a_link_to_nothing_is_told_as_that(tmp_path: Path) -> None:
    path, link = tmp_path / "a.db", tmp_path / "b.db"
    link.symlink_to(path)
    with pytest.raises(
        ConfigurationError, match=r"b\.db is a symbolic link, and \S*a\.db is not there; open that"
    ):
        MemoryStore.sqlite(link)
    assert not path.exists()
    MemoryStore.sqlite(path).close()
    MemoryStore.sqlite(link).close()
