"""The contract of a backend of conversations, as a test class to inherit from.

::

    class TestMyBackend(ConversationContract):
        def open_memory(self, place, **options):
            return ConversationMemory(MyBackend(place), **options)

``place`` is a fresh directory for each test; opened twice with the same one, a durable backend shows the same data
(``durable = False`` leaves those tests out for one that is not).
"""

from __future__ import annotations

import asyncio
import io
import unicodedata
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest

from ai_infra.errors import (
    EmbeddingError,
    EmbeddingMismatchError,
    InvalidFilterError,
    InvalidInputError,
    InvalidTextError,
    InvalidValueError,
    StorageClosedError,
)
from ai_infra.llm.conversation.memory import ConversationMemory
from ai_infra.testing.contract.harness import Masked, Name
from ai_infra.testing.vectors import vector

CALL = {"id": "c1", "type": "function", "function": {"name": "run_shell", "arguments": '{"cmd": "uptime"}'}}
CHAT: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "I'm getting an auth error"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "up 3 days"},
    {"role": "assistant", "content": [{"type": "text", "text": "Your token expired; refresh it."}]},
    {"role": "user", "content": "Thanks \x00 \U0001f600", "cache_control": {"type": "ephemeral"}, "n": 2**64},
]
IDS = [
    *[
        "a",
        "A",
        "a/b",
        "a%",
        "a_",
        "%",
        "_",
        "*",
        "a*",
        "a\\",
        "a'b",
        'a"b',
        "a b",
        "ab",
        "a.b",
        "a:b",
        "a,b",
    ],
    *[unicodedata.normalize(form, "\u00e1") for form in ("NFC", "NFD")],
    "\uff41",
]


class Embedder:
    """Vectors made on the spot; counts the texts it was asked for."""

    def __init__(self, model: str = "one", dimensions: int = 16) -> None:
        self.model = model
        self.dimensions = dimensions
        self.asked: list[str] = []
        self.broken = False

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector each."""
        if self.broken:
            raise EmbeddingError("the service is down", inputs=[0])
        self.asked.extend(texts)
        return [vector(text, self.dimensions) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question."""
        return vector(text, self.dimensions)


def said(*texts: str) -> list[dict[str, Any]]:
    """Messages of a user and an assistant in turn."""
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]


class ConversationContract(ABC):
    """Everything a backend of conversations must do, shown through :class:`ConversationMemory`."""

    durable = True

    @abstractmethod
    def open_memory(self, place: Path, **options: Any) -> ConversationMemory:
        """A memory whose backend lives in ``place``; ``options`` are those of :class:`ConversationMemory`."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        """A fresh place."""
        return tmp_path

    def test_every_kind_of_message_comes_back(self, place: Path) -> None:
        metadata = {"topic": "auth", "date": "2025-01-15", "deep": {"list": [1, 2.5, None, True, -0.0]}}
        with self.open_memory(place) as memory:
            done = memory.index_conversation("u", "s", CHAT, metadata)
            assert (done.messages, done.changed, done.chunks) == (6, 6, 1)
            found = memory.get_conversation("u", "s")
            assert found is not None
            assert (found.messages, found.metadata, found.length) == (CHAT, metadata, 6)
            assert found.date is not None
            assert found.date.isoformat() == "2025-01-15T00:00:00+00:00"
            (result,) = memory.search("u", "how did we fix the authentication problem?")
            assert (result.chunk.messages, result.chunk.metadata, result.chunk.session_id) == (
                CHAT,
                metadata,
                "s",
            )
            assert 0 <= result.score <= 1
            assert "token expired" in result.chunk.text + result.context
            assert "auth" in result.explain()

    def test_again_and_grown(self, place: Path) -> None:
        embedder = Embedder()
        texts = [f"message number {n} is about {'abcdefghijkl'[n % 12] * 4}" for n in range(40)]
        with self.open_memory(place, embeddings=embedder) as memory:
            first = memory.index_conversation("u", "s", said(*texts))
            assert (first.changed, first.embedded, len(embedder.asked)) == (40, 40, 40)
            again = memory.index_conversation("u", "s", said(*texts))
            assert (again.changed, again.embedded, again.chunks) == (0, 0, first.chunks)
            grown = memory.index_conversation("u", "s", said(*texts, "one more", "and another"))
            assert (grown.changed, grown.embedded, embedder.asked[40:]) == (2, 2, ["one more", "and another"])
            assert len(memory.search("u", "message", limit=100)) == grown.chunks
            shrunk = memory.index_conversation("u", "s", said(*texts[:3]))
            assert shrunk.changed == 39
            assert memory.search("u", "one more and another")[0].chunk.end <= 3
            assert memory.count("u") == 1

    def test_several_at_once_are_all_or_none(self, place: Path) -> None:
        chats: list[tuple[str, list[dict[str, Any]], dict[str, Any] | None]] = [
            (f"s{n}", said(*[f"number {n} of the fox"] * (n + 1)), {"n": n}) for n in range(5)
        ]
        with self.open_memory(place, embeddings=Embedder()) as memory:
            for wrong in (("s9", said("\ud800"), None), ("s9", [], None), ("", said("x"), None), 7, ("s9",)):
                bad: Any = [*chats, wrong]
                with pytest.raises(InvalidInputError, match="conversation 5"):
                    memory.index_conversations("u", bad)
            assert memory.count() == 0
            done = memory.index_conversations("u", chats)
            assert [(one.session_id, one.messages, one.changed) for one in done] == [
                (f"s{n}", n + 1, n + 1) for n in range(5)
            ]
            assert [one.changed for one in memory.index_conversations("u", iter(chats))] == [0] * 5
            assert memory.index_conversations("u", []) == []
            assert {r.chunk.session_id for r in memory.search("u", "fox", limit=9)} == {c[0] for c in chats}
            # Twice the same id: the last one counts.
            memory.index_conversations("u", [("t", said("a", "b"), None), ("t", said("c"), None)])
            found = memory.get_conversation("u", "t")
            assert found is not None
            assert found.messages == said("c")

    def test_warming_changes_nothing(self, place: Path) -> None:
        with self.open_memory(place) as memory:
            memory.warm("u")
            memory.index_conversation("u", "s", said("the fox"))
            memory.warm("u")
            memory.index_conversation("u", "t", said("the fox and the hen"))
            assert len(memory.search("u", "fox")) == 2

    def test_filters_work_before_the_limit(self, place: Path) -> None:
        with self.open_memory(place) as memory:
            for n in range(30):
                metadata = {"n": n, "odd": bool(n % 2), "date": f"2025-01-{n + 1:02}"}
                memory.index_conversation("u", f"s{n}", said(f"the cat sat on mat {n}", "indeed"), metadata)

            def found(**filters: Any) -> set[str]:
                results = memory.search("u", "cat mat", limit=5, **filters)
                return {result.chunk.session_id for result in results}

            assert found(metadata={"n": {"$gte": 27}, "odd": True}) == {"s27", "s29"}
            assert found(session_id="s7") == {"s7"}
            assert found(after="2025-01-29") == {"s28", "s29"}
            assert found(before="2025-01-03") == {"s0", "s1"}
            assert found(after="2025-01-05", before="2025-01-06T00:00:00Z") == {"s4"}
            assert found(session_id="none") == set()
            assert found(min_score=1.1) == set()
            listed = memory.list_conversations("u", metadata={"odd": True}, limit=2, offset=1)
            assert [one.session_id for one in listed] == ["s27", "s25"]

    def test_nobody_sees_anothers(self, place: Path) -> None:
        with self.open_memory(place) as memory:
            for one in IDS:
                memory.index_conversation(
                    one, "s", said(f"the secret of {IDS.index(one)} is hidden"), {"owner": one}
                )
            for one in IDS:
                results = memory.search(one, "secret hidden", limit=50)
                assert [(r.chunk.user_id, r.chunk.metadata["owner"]) for r in results] == [(one, one)]
                assert [c.user_id for c in memory.list_conversations(one)] == [one]
            for absent in ["b", "a/", "", "aa", "a%%", "\u00e1 ", "S"]:
                if absent:
                    assert memory.search(absent, "secret hidden") == []
                    assert memory.delete_user_conversations(absent) == 0
            assert memory.delete_conversation("a", "%") is False
            assert memory.delete_user_conversations("%") == 1
            assert memory.count() == len(IDS) - 1

    @pytest.mark.parametrize("kind", [Masked, Name])
    def test_a_subclass_of_str_is_its_text(self, place: Path, kind: Any) -> None:
        with self.open_memory(place) as memory:
            memory.index_conversation(kind("alice"), kind("k"), said("the kettle"))
            memory.index_conversation(Masked("bob"), "k", said("the spoon"))
            assert memory.get_conversation("alice", "k") is not None
            assert [
                hit.chunk.session_id for hit in memory.search("alice", "kettle", session_id=kind("k"))
            ] == ["k"]
            assert {one.user_id for one in memory.list_conversations()} == {"alice", "bob"}
            assert memory.delete_conversation(kind("alice"), kind("k"))

    def test_deleted_is_gone(self, place: Path) -> None:
        with self.open_memory(place) as memory:
            for session in ("s", "t"):
                memory.index_conversation("u", session, said(f"hello from {session}"))
            assert len(memory.search("u", "hello")) == 2
            assert memory.delete_conversation("u", "s") is True
            assert memory.delete_conversation("u", "s") is False
            assert [r.chunk.session_id for r in memory.search("u", "hello")] == ["t"]
            assert memory.get_conversation("u", "s") is None
            assert memory.delete_user_conversations("u") == 1
            assert memory.search("u", "hello") == []
            memory.index_conversation("u", "s", said("hello again"))
            assert len(memory.search("u", "hello")) == 1
            memory.purge()
            assert len(memory.search("u", "hello")) == 1
            assert tuple(memory.stats("u"))[:3] == (1, 1, 1)

    @pytest.mark.parametrize(
        ("error", "change"),
        [
            (InvalidTextError, {"user_id": "\ud800"}),
            (InvalidInputError, {"user_id": ""}),
            (InvalidInputError, {"user_id": 7}),
            (InvalidTextError, {"session_id": "a\0b"}),
            (InvalidInputError, {"session_id": ""}),
            (InvalidTextError, {"messages": [{"role": "user", "content": "\udfff"}]}),
            (InvalidValueError, {"messages": [{"role": "user", "content": float("nan")}]}),
            (InvalidValueError, {"messages": [{"role": "user", "content": {1, 2}}]}),
            (InvalidInputError, {"messages": [{"content": "no role"}]}),
            (InvalidInputError, {"messages": []}),
            (InvalidInputError, {"messages": "hello"}),
            (InvalidInputError, {"metadata": ["no dict"]}),
            (InvalidValueError, {"metadata": {"a": b"bytes"}}),
            (InvalidValueError, {"metadata": {1: "a key that is no text"}}),
        ],
    )
    def test_bad_input_is_refused_before_anything_is_written(
        self, place: Path, error: type[Exception], change: dict[str, Any]
    ) -> None:
        with self.open_memory(place) as memory:
            good: dict[str, Any] = {
                "user_id": "u",
                "session_id": "s",
                "messages": said("hello"),
                "metadata": {},
            }
            with pytest.raises(error):
                memory.index_conversation(**{**good, **change})
            assert memory.count() == 0
            memory.index_conversation(**good)
            assert memory.count() == 1

    def test_searches_that_make_no_sense_are_refused(self, place: Path) -> None:
        with self.open_memory(place) as memory:
            memory.index_conversation("u", "s", said("hello"))
            wrong: dict[str, Any]
            for wrong in ({"limit": -1}, {"limit": True}, {"min_score": float("nan")}, {"after": "soon"}):
                with pytest.raises(InvalidInputError):
                    memory.search("u", "hello", **wrong)
            with pytest.raises(InvalidFilterError):
                memory.search("u", "hello", metadata={"a": {"$near": 1}})
            with pytest.raises(InvalidTextError):
                memory.search("u", "\ud800")
            assert memory.search("u", "hello", limit=0) == []
            assert isinstance(memory.search("u", ""), list)

    def test_a_failing_embedder_leaves_nothing(self, place: Path) -> None:
        embedder = Embedder()
        with self.open_memory(place, embeddings=embedder) as memory:
            memory.index_conversation("u", "s", said("before", "the fall"))
            embedder.broken = True
            with pytest.raises(EmbeddingError, match="down"):
                memory.index_conversation("u", "s", said("before", "after"))
            found = memory.get_conversation("u", "s")
            assert found is not None
            assert found.messages == said("before", "the fall")
            embedder.broken = False
            assert memory.index_conversation("u", "s", said("before", "after")).embedded == 1

    def test_vectors_are_never_mixed(self, place: Path) -> None:
        if not self.durable:
            pytest.skip("needs a second memory on the same data")
        with self.open_memory(place, embeddings=Embedder("one")) as memory:
            memory.index_conversation("u", "s", said("the cat sat"))
            assert memory.search("u", "cat")
        with self.open_memory(place, embeddings=Embedder("two", 8)) as memory:
            for call in (
                lambda: memory.search("u", "cat"),
                lambda: memory.index_conversation("u", "t", said("no")),
            ):
                with pytest.raises(EmbeddingMismatchError, match=r"reembed\(\)"):
                    call()
            assert memory.reembed() == 1
            assert memory.search("u", "cat")
            memory.index_conversation("u", "t", said("yes"))
        with self.open_memory(place) as memory:
            with pytest.raises(EmbeddingMismatchError):
                memory.search("u", "cat")
            memory.reembed()
            assert len(memory.search("u", "cat yes")) == 2

    def test_two_memories_on_one_place(self, place: Path) -> None:
        if not self.durable:
            pytest.skip("needs a second memory on the same data")
        with self.open_memory(place) as one, self.open_memory(place) as two:
            one.index_conversation("u", "s", said("the first"))
            assert two.search("u", "first")[0].chunk.session_id == "s"
            two.index_conversation("u", "s", said("the second"))
            assert one.search("u", "second")[0].context == "the second"
            one.delete_user_conversations("u")
            two.index_conversation("u", "t", said("the third"))
            assert [r.chunk.session_id for r in one.search("u", "third")] == ["t"]
            assert [r.chunk.session_id for r in two.search("u", "first second third", limit=9)] == ["t"]

    def test_export_and_import(self, place: Path) -> None:
        out, again = io.StringIO(), io.StringIO()
        with self.open_memory(place) as memory:
            memory.index_conversation("u", "s", CHAT, {"date": "2025-01-15", "odd": "\u2028"})
            memory.index_conversation("v", "s", said("hello"))
            assert memory.export(out) == 2
            memory.delete_user_conversations("u")
            memory.delete_user_conversations("v")
            lines = out.getvalue().splitlines()
            with pytest.raises(InvalidInputError, match="line 2"):
                memory.import_([lines[0], '{"user_id": "v"}'])
            assert memory.count() == 0
            assert memory.import_(lines) == 2
            memory.export(again)
            assert again.getvalue() == out.getvalue()

    def test_the_async_twins_do_the_same(self, place: Path) -> None:
        async def story() -> None:
            async with self.open_memory(place, embeddings=Embedder()) as memory:
                done = await memory.aindex_conversation("u", "s", CHAT, {"date": "2025-01-15"})
                assert done.changed == 6
                (result,) = await memory.asearch("u", "auth error", after="2025-01-01")
                assert result.chunk.messages == CHAT
                assert await memory.acount() == (await memory.astats()).conversations == 1
                found = await memory.aget_conversation("u", "s")
                assert found is not None
                assert found.messages == CHAT
                assert len(await memory.alist_conversations("u")) == 1
                out = io.StringIO()
                assert await memory.aexport(out) == 1
                assert await memory.adelete_conversation("u", "s")
                assert await memory.aimport_(out.getvalue().splitlines()) == 1
                assert await memory.areembed() == 1
                await memory.apurge()
                many = [memory.aindex_conversation("u", f"t{n}", said(f"number {n}")) for n in range(8)]
                await asyncio.gather(*many, *[memory.asearch("u", "number") for _ in range(8)])
                assert await memory.adelete_user_conversations("u") == 9

        asyncio.run(story())

    def test_closed_is_closed(self, place: Path) -> None:
        memory = self.open_memory(place)
        memory.close()
        memory.close()
        with pytest.raises(StorageClosedError):
            memory.index_conversation("u", "s", said("hello"))
        with pytest.raises(StorageClosedError):
            memory.search("u", "hello")
