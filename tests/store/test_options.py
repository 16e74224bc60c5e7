"""Options that nobody should pass: one clear error of ours each, before anything is opened."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from ai_infra.errors import ConfigurationError, InvalidInputError
from ai_infra.llm.memory import MemoryStore
from ai_infra.llm.session import memory as sessions_in_memory
from ai_infra.llm.session import sqlite as sessions
from ai_infra.llm.tools.custom import ConversationMemory, create_memory_tool

SAID = [{"role": "user", "content": "the kettle"}]
openers: Any = pytest.mark.parametrize(
    "opened",
    [
        MemoryStore.sqlite,
        sessions,
        lambda path, **options: ConversationMemory("sqlite", path=path, **options),
    ],
)


@openers
@pytest.mark.parametrize("path", ["\ud800.db", b"x.db", 5])
def test_paths(opened: Any, path: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no path"):
        opened(path)


@openers
def test_a_name_that_is_no_text_is_a_name(opened: Any, tmp_path: Path) -> None:
    opened(f"{tmp_path}/\udcff.db").close()
    assert b"\xff.db" in {bytes(each)[-4:] for each in tmp_path.iterdir()}


@openers
@pytest.mark.parametrize("timeout", ["5", None, -1, math.nan, math.inf, 10**400, True])
def test_timeouts(opened: Any, timeout: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="timeout="):
        opened(tmp_path / "it.db", timeout=timeout)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [-1, 0, 1.5, 10**30, "x", None])
def test_sizes(size: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="max_value_bytes"):
        MemoryStore(max_value_bytes=size)
    if size != 0:
        with pytest.raises(InvalidInputError, match="index_memory"):
            MemoryStore.sqlite(tmp_path / "it.db", index_memory=size)
    for name in ("chunk_size", "chunk_overlap", "index_memory"):
        if size == 0 and name != "chunk_size":
            continue
        with pytest.raises(InvalidInputError, match=name):
            ConversationMemory("sqlite", path=tmp_path / "it.db", **{name: size})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("score", [10**400, -(10**5000), math.nan, "1", True], ids=type)
def test_scores(score: Any) -> None:
    with pytest.raises(InvalidInputError, match="min_score"):
        MemoryStore().search("a", "b", min_score=score)
    with pytest.raises(InvalidInputError, match="min_score"):
        ConversationMemory().search("a", "b", min_score=score)


@pytest.mark.parametrize("now", [math.nan, math.inf, 1e300, -1.0, "text", None, 10**400])
def test_clocks(now: Any) -> None:
    for clock in (lambda: now, now):
        with pytest.raises(ConfigurationError, match="clock="):
            MemoryStore(clock=clock).put("a", "k", {})
        store = sessions_in_memory(clock=clock)
        with pytest.raises(ConfigurationError, match="clock="):
            store.append("s", [{"role": "user", "content": "Hi"}])
        assert store.get("s") is None


@pytest.mark.parametrize("time", [10**400, -(10**400), 10**5000, math.inf], ids=type)
def test_times_beyond_every_date_tell_no_time(time: Any) -> None:
    memory = ConversationMemory()
    if isinstance(time, int) and abs(time) < 10**4000:
        memory.index_conversation("u", "s", [{**SAID[0], "timestamp": time}], {"date": time})
        assert memory.list_conversations("u")[0].date is None
    for name in ("after", "before"):
        with pytest.raises(InvalidInputError, match="tells no time"):
            memory.search("u", "kettle", **{name: time})


def test_prefixes_and_names() -> None:
    for prefix in ("\ud800", "a\0", 5):
        with pytest.raises(InvalidInputError, match="prefix"):
            sessions_in_memory().list(prefix=prefix)  # type: ignore[arg-type]
    memory = ConversationMemory()
    with pytest.raises(ConfigurationError, match="name"):
        create_memory_tool(memory, "u", name=5)  # type: ignore[arg-type]
    for bad in ("", "x" * 2000, "\0", "\ud800", 5):
        with pytest.raises(InvalidInputError, match="the user_id") as caught:
            memory.index_conversation(bad, "s", SAID)  # type: ignore[arg-type]
        assert "key" not in str(caught.value)


def test_options_of_another_backend() -> None:
    for backend in ("memory", ConversationMemory()._backend):
        for name, value in (("schema", "x"), ("tenant", "t"), ("row_level_security", False), ("path", "x")):
            with pytest.raises(ConfigurationError, match=f"{name}= belongs to backend="):
                ConversationMemory(backend, **{name: value})  # type: ignore[arg-type]
