"""Indexes kept beside the file: the same results without making them anew, never those of another state, no old words."""

from __future__ import annotations

import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from ai_infra._core import ConversationIndex, local_model
from ai_infra._flow import Flow, run
from ai_infra.llm.memory import MemoryStore
from ai_infra.llm.tools.custom import ConversationMemory
from ai_infra.storage.conversations import Changes
from ai_infra.storage.local_conversations import LocalConversationBackend
from ai_infra.testing.contract.conversations import Embedder, said

from tests.victims import Victims

WORDS = [
    first + second
    for first in ("gar", "vel", "tor", "min", "sal", "pek", "dro", "lun")
    for second in ("den", "vet", "toise", "eral", "mon", "an", "ma", "ar", "ing", "t", "ner", "o")
]
QUESTIONS = [
    "when did Anna talk of gardens?",
    "velvet tortoise",
    "how many minerals in May 2024",
    "user 7 said",
]


def chats(count: int = 150, seed: int = 1) -> Iterator[tuple[str, list[dict[str, Any]], dict[str, Any]]]:
    """Conversations that use what an index knows: names, dates, long messages, numbers, other scripts, tools."""
    dice = random.Random(seed)
    for n in range(count):
        messages: list[dict[str, Any]] = [
            {
                "role": ("user", "assistant")[at % 2],
                "content": " ".join(dice.choices(WORDS, k=300 if dice.random() < 0.03 else 9)) + f" {at * n}",
            }
            for at in range(8)
        ]
        messages[3]["content"] = f"Anna: I saw {n} 庭園 on Tuesday"
        messages[4]["content"] = f"Boris: not at {n % 24}:30, Anna"
        yield f"s{n}", messages, {"date": f"2024-{n % 12 + 1:02}-{n % 28 + 1:02}", "n": n}


class Counting(LocalConversationBackend):
    """A file that counts the conversations read for an index."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.read = 0

    def changes(self, user_id: str, held: Mapping[int, int], most: int) -> Flow[Changes]:
        changes = yield from super().changes(user_id, held, most)
        self.read += len(changes.loaded)
        return changes


@contextmanager
def opened(path: Path, **options: Any) -> Iterator[tuple[ConversationMemory, Counting]]:
    backend = Counting(path)
    with ConversationMemory(backend, **options) as memory:
        yield memory, backend


def fill(path: Path, **options: Any) -> None:
    with ConversationMemory("sqlite", path=path, **options) as memory:
        for session, messages, metadata in chats():
            memory.index_conversation("u", session, messages, metadata)
        memory.warm("u")


def found(memory: ConversationMemory) -> list[Any]:
    """Everything that searches answer, to the last bit."""
    results = [one for question in QUESTIONS for one in memory.search("u", question, limit=7)]
    results += memory.search("u", QUESTIONS[0], metadata={"n": {"$gte": 50}}, after="2024-03-01")
    return [(one, one.explain(), one.chunk.messages) for one in results]


def folder(path: Path) -> Path:
    return path.with_name(path.name + "-index")


def anew(path: Path, **options: Any) -> list[Any]:
    """What a copy of the file answers that has nothing but the file."""
    bare = path.with_name("bare.db")
    bare.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(bare)) as copy:
        source.backup(copy)
    with ConversationMemory("sqlite", path=bare, **options) as memory:
        answers = found(memory)
    shutil.rmtree(folder(bare))
    return answers


def everything(place: Path) -> bytes:
    return b"".join(file.read_bytes() for file in place.rglob("*") if file.is_file())


@pytest.mark.parametrize("embedded", [False, True])
def test_a_kept_index_answers_the_same_to_the_bit(tmp_path: Path, embedded: bool) -> None:
    path = tmp_path / "c.db"
    options: dict[str, Any] = {"embeddings": Embedder()} if embedded else {}
    fill(path, **options)
    (kept,) = folder(path).iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder(path).stat().st_mode) == 0o700
    expected = anew(path, **options)
    with opened(path, **options) as (memory, backend):
        assert found(memory) == expected
        assert backend.read == 0
        # What changed since is all that is read, and then it is as if it had been made anew.
        for session, messages, metadata in chats(4, seed=2):
            memory.index_conversation("u", session, messages[:-1], metadata)
        memory.index_conversation("u", "new", said("the velvet garden of Anna"))
        assert memory.delete_conversation("u", "s9")
        assert found(memory) == anew(path, **options)
        assert backend.read == 5


def test_small_histories_and_memory_are_not_kept(tmp_path: Path) -> None:
    with ConversationMemory("sqlite", path=tmp_path / "c.db") as memory:
        for session, messages, metadata in chats(20):
            memory.index_conversation("u", session, messages, metadata)
        memory.warm("u")
        memory.warm("nobody")
    assert [file.name for file in tmp_path.iterdir() if "index" in file.name] == []


def test_another_state_of_the_file_is_never_believed(tmp_path: Path) -> None:
    path, other, backup = tmp_path / "c.db", tmp_path / "o.db", tmp_path / "backup.db"
    fill(path)
    shutil.copy(path, backup)
    with ConversationMemory("sqlite", path=path) as memory:
        for session, messages, metadata in chats(150, seed=3):
            memory.index_conversation("u", session, messages[::-1], metadata)
        memory.warm("u")
    newer = folder(path) / "conversations-1"
    with opened(path) as (memory, backend):
        memory.warm("u")
        assert backend.read == 0
    # A restored backup has the same rows with the same numbers, and other words.
    shutil.copy(backup, path)
    with opened(path) as (memory, backend):
        assert found(memory) == anew(path)
        assert backend.read == 150
    # So has another file that was filled in the same way.
    fill(other)
    for file in (newer, folder(path) / "conversations-1"):
        shutil.copy(file, folder(other) / "conversations-1")
        with opened(other) as (memory, backend):
            assert found(memory) == anew(other)
            assert backend.read == 150


def test_other_options_make_their_own(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    fill(path)
    with opened(path, chunk_size=4, chunk_overlap=1) as (memory, backend):
        assert found(memory) == anew(path, chunk_size=4, chunk_overlap=1)
        assert backend.read == 150
    with opened(path) as (memory, backend):
        assert found(memory) == anew(path)
        assert backend.read == 150
    with opened(path, embeddings=Embedder()) as (memory, backend):
        memory.reembed()
        memory.warm("u")
        assert backend.read == 150
    with opened(path, embeddings=Embedder()) as (memory, backend):
        memory.warm("u")
        assert backend.read == 0


def test_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    fill(path)
    expected = anew(path)
    (file,) = folder(path).iterdir()
    whole = file.read_bytes()
    dice = random.Random(5)
    at = [dice.randrange(len(whole)) for _ in range(12)]
    damaged = [whole[:n] + bytes([whole[n] ^ 1 << dice.randrange(8)]) + whole[n + 1 :] for n in at]
    damaged += [whole[:n] for n in (0, 7, 40, len(whole) // 2, len(whole) - 1)] + [whole + b"\0"]
    for bad in damaged:
        file.write_bytes(bad)
        with opened(path) as (memory, backend):
            assert found(memory) == expected
            assert backend.read == 150
    # Noticed, and made good.
    with opened(path) as (memory, backend):
        assert found(memory) == expected
        assert backend.read == 0


def test_no_room_for_it_fails_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    fill(path)
    expected = anew(path)
    shutil.rmtree(folder(path))
    folder(path).write_bytes(b"in the way")
    with opened(path) as (memory, _):
        assert found(memory) == expected
        memory.purge()
    assert folder(path).read_bytes() == b"in the way"
    folder(path).unlink()
    folder(path).symlink_to(tmp_path / "nowhere")
    with opened(path) as (memory, _):
        assert found(memory) == expected
    folder(path).unlink()
    # A disk that is full at 100 kB.
    program = """
import resource, sys
from ai_infra.llm.tools.custom import ConversationMemory
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
with ConversationMemory("sqlite", path=sys.argv[1]) as memory:
    print(len(memory.search("u", "velvet tortoise")))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("5\n", "")
    assert list(folder(path).iterdir()) == []


KEEPER = """
import itertools
from ai_infra.llm.tools.custom import ConversationMemory
from tests.conversation.test_keeping import chats

def work(path, seed):
    with ConversationMemory("sqlite", path=path) as memory:
        memory.warm("u")
        for seed in itertools.count(seed):
            for session, messages, metadata in chats(130, seed):
                memory.index_conversation("u", session, messages, metadata)
            tell(f"keeps {seed}")
            memory.warm("u")
            tell(f"kept {seed}")
"""


def test_killed_while_keeping(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    fill(path)
    dice = random.Random(7)
    with Victims(KEEPER) as keepers:
        for turn in range(12):
            keepers.start(str(path), turn * 100)
            keepers.line()
            time.sleep(0.03 + dice.random() * 0.05)
            keepers.kill()
            with opened(path) as (memory, _):
                assert found(memory) == anew(path)


@pytest.mark.parametrize("by", ["memory", "store"])
def test_no_deleted_word_is_left_after_purge(tmp_path: Path, by: str) -> None:
    """Whoever purges: a ``MemoryStore`` in the same file takes the indexes of conversations away, too."""
    path = tmp_path / "c.db"
    fill(path)
    with ConversationMemory("sqlite", path=path) as stale, opened(path) as (memory, _):
        memory.index_conversation(
            "u", "secret", [{"role": "user", "name": "Walrus", "content": "the pangolin"}]
        )
        memory.index_conversation("v", "secret", said(*["the pangolin of the walrus"] * 1100))
        for user in "uv":
            assert memory.search(user, "pangolin")
            assert stale.search(user, "pangolin")
        assert {file.name for file in folder(path).iterdir()} == {"conversations-1", "conversations-2"}
        memory.delete_user_conversations("v")
        assert {file.name for file in folder(path).iterdir()} == {"conversations-1"}
        memory.delete_conversation("u", "secret")
        (folder(path) / "conversations-9.tmp").write_bytes(b"a killed process left pangolin")
        if by == "memory":
            memory.purge()
        else:
            with MemoryStore.sqlite(path) as store:
                store.purge()
        assert b"pangolin" not in everything(tmp_path).lower()
    # Neither this nor a process that had not heard of it has written anything since.
    assert b"pangolin" not in everything(tmp_path).lower()
    assert b"walrus" not in everything(tmp_path).lower()


def test_an_index_behind_the_file_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    fill(path)
    backend = LocalConversationBackend(path)
    index = ConversationIndex()
    mark = run(backend.restore("u", local_model(), index))
    assert mark is not None
    index.put("secret", ["the pangolin"])
    index.remove("secret")
    assert run(backend.keep("u", local_model(), mark, index))
    assert b"pangolin" not in everything(tmp_path)
    assert run(backend.restore("u", local_model(), ConversationIndex())) == mark
    assert run(backend.restore("u", "another model", ConversationIndex())) is None
    assert run(backend.restore("v", local_model(), ConversationIndex())) is None
    run(backend.delete("u", "s1"))
    index.put("secret", ["the pangolin"])
    assert not run(backend.keep("u", local_model(), mark, index))
    assert not run(backend.keep("v", local_model(), mark, index))
    assert b"pangolin" not in everything(tmp_path)
    run(backend.close())
    assert not run(backend.keep("u", local_model(), mark, index))
    assert run(backend.restore("u", local_model(), index)) is None


def test_no_search_waits_for_a_writer_to_keep_its_index(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    fill(path)
    shutil.rmtree(folder(path))
    program = """
import sqlite3, sys
writer = sqlite3.connect(sys.argv[1], isolation_level=None)
writer.execute("BEGIN IMMEDIATE")
print("in it", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline()
        # The writer goes on for as long as we do: to wait for it would fail.
        with ConversationMemory("sqlite", path=path, timeout=3600) as memory:
            assert len(memory.search("u", "velvet tortoise")) == 5
        assert writer.stdin is not None
        writer.stdin.close()
    assert not (folder(path) / "conversations-1").exists()


class Meddling(LocalConversationBackend):
    """A file in which conversations change at the worst moment: between a search and the reading of its words."""

    def __init__(self, path: Path, times: int) -> None:
        super().__init__(path)
        self.times = times

    def _meddle(self) -> None:
        if self.times:
            self.times -= 1
            texts = [f"the fox number {self.times}"] * (1 + self.times % 3)
            other.index_conversation("u", f"s{self.times % 2}", said(*texts), {"n": 1})

    def pick(self, user_id: str, wanted: Mapping[int, Sequence[int]]) -> Flow[Any]:
        self._meddle()
        return (yield from super().pick(user_id, wanted))

    def list(self, user_id: str | None) -> Flow[Any]:
        self._meddle()
        return (yield from super().list(user_id))


other: ConversationMemory


@pytest.mark.parametrize("filters", [{}, {"metadata": {"n": 1}}])
def test_what_changes_while_it_is_searched_is_searched_again(tmp_path: Path, filters: dict[str, Any]) -> None:
    global other
    path = tmp_path / "c.db"
    other = ConversationMemory("sqlite", path=path)
    for n in range(2):
        other.index_conversation("u", f"s{n}", said("the fox of old", "a fox"), {"n": 1})
    with other, ConversationMemory(Meddling(path, 3)) as memory:
        results = memory.search("u", "fox", **filters)
        assert (
            sorted((one.chunk.session_id, one.context) for one in results)
            == [
                ("s0", "the fox number 0"),
                ("s1", "the fox number 1"),
            ]
            or len({one.chunk.session_id for one in results}) == 2
        )
        for one in results:
            stored = memory.get_conversation("u", one.chunk.session_id)
            assert stored is not None
            assert one.chunk.messages == stored.messages[one.chunk.start : one.chunk.end]
    with (
        ConversationMemory("sqlite", path=path) as other,
        ConversationMemory(Meddling(path, 1_000)) as memory,
    ):
        for one in memory.search("u", "fox", **filters):
            assert all("fox" in message["content"] for message in one.chunk.messages)


def test_an_index_is_read_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.db"
    fill(path)
    expected = anew(path)
    shutil.rmtree(folder(path))
    monkeypatch.setattr("ai_infra.llm.conversation.flows._PAGE", 100)
    with opened(path) as (memory, backend):
        assert found(memory) == expected
        assert backend.read == 150
    first = run(LocalConversationBackend(path).changes("u", {}, 1))
    assert (len(first.live), len(first.loaded), first.whole) == (150, 1, False)


def test_words_that_were_read_lately_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from ai_infra.llm.conversation import lately

    monkeypatch.setattr(lately, "KEPT", 20_000)
    with ConversationMemory() as memory:
        for n in range(60):
            memory.index_conversation("u", f"s{n}", said(f"the fox of {n} " + "word " * 100))
        for n in range(60):
            assert memory.search("u", f"the fox of {n}", limit=60)[0].chunk.text
        kept = memory._indexes.of("u")._lately
        assert 0 < kept.size <= 20_000
