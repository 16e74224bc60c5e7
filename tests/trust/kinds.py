"""The three things that live in a file, behind one small face: facts, conversations, sessions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ai_infra.llm.memory.store import MemoryStore
from ai_infra.llm.session import sqlite
from ai_infra.llm.tools.custom import ConversationMemory


class Kind(NamedTuple):
    """How to open one, write under a number, and read the numbers that are there, each checked to be whole."""

    open: Callable[[Path | str], Any]
    write: Callable[[Any, int], object]
    read: Callable[[Any], set[int]]
    awrite: Callable[[Any, int], Any]


PAD = "x" * 4000


def _turn(n: int) -> list[dict[str, Any]]:
    return [{"role": "user", "content": f"{n} {PAD}"}, {"role": "assistant", "content": f"{n} yes"}]


def _whole(messages: list[dict[str, Any]]) -> int:
    n = int(messages[0]["content"].split()[0])
    assert messages == _turn(n)
    return n


def _facts(store: MemoryStore) -> set[int]:
    items = store.list("a")
    assert all(item.value == {"n": int(item.key), "pad": PAD} for item in items)
    return {int(item.key) for item in items}


def _conversations(memory: ConversationMemory) -> set[int]:
    found = [memory.get_conversation("u", one.session_id) for one in memory.list_conversations("u")]
    assert {one.session_id for one in found if one} == {str(_whole(one.messages)) for one in found if one}
    return {int(one.session_id) for one in found if one}


def _sessions(store: Any) -> set[int]:
    messages = store.messages("s")
    return {_whole(messages[at : at + 2]) for at in range(0, len(messages), 2)}


KINDS = {
    "facts": Kind(
        MemoryStore.sqlite,
        lambda store, n: store.put("a", str(n), {"n": n, "pad": PAD}),
        _facts,
        lambda store, n: store.aput("a", str(n), {"n": n, "pad": PAD}),
    ),
    "conversations": Kind(
        lambda path: ConversationMemory("sqlite", path=path),
        lambda memory, n: memory.index_conversation("u", str(n), _turn(n)),
        _conversations,
        lambda memory, n: memory.aindex_conversation("u", str(n), _turn(n)),
    ),
    "sessions": Kind(
        sqlite,
        lambda store, n: store.append("s", _turn(n), turn_id=str(n)),
        _sessions,
        lambda store, n: store.aappend("s", _turn(n), turn_id=str(n)),
    ),
}
