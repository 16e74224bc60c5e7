"""The contract of a session backend, as a test class to inherit from.

::

    from ai_infra.testing.sessions import SessionContract

    class TestMySessions(SessionContract):
        def open_sessions(self, place, **options):
            return SessionStore(MyBackend(place), **options)

Every test runs twice, through the sync and through the async methods. ``place`` is a fresh directory for
each test; opened twice with the same ``place``, a durable backend shows the same sessions (say so with
``durable``).
"""

from __future__ import annotations

import asyncio
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ai_infra import _flow
from ai_infra.errors import (
    AIInfraError,
    ConflictError,
    InvalidInputError,
    InvalidTextError,
    SessionNotFoundError,
    StorageClosedError,
)
from ai_infra.llm.session import SessionStore
from ai_infra.storage.sessions import NEW, SessionBackend
from ai_infra.testing.contract.harness import Masked

USER = {"role": "user", "content": "Hi, I'm Bob"}
ANSWER = {"role": "assistant", "content": "Hello Bob"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
}
RESULT = {
    "role": "tool",
    "content": 'é 🙂 \x00 \u2028 " \\',
    "tool_call_id": "c",
    "extra": [1.5, None, {"": 2**70}],
}


class Face:
    """Calls through the sync or the async twins; the answers must be the same."""

    def __init__(self, store: SessionStore, kind: str) -> None:
        self.store = store
        self._runner = asyncio.Runner() if kind == "async" else None

    def __getattr__(self, name: str) -> Any:
        if self._runner is None:
            return getattr(self.store, name)
        twin, runner = getattr(self.store, "a" + name), self._runner
        return lambda *args, **options: runner.run(twin(*args, **options))

    def flow(self, flow: _flow.Flow[Any]) -> Any:
        """Drive an operation of the backend itself."""
        return _flow.run(flow) if self._runner is None else self._runner.run(_flow.arun(flow))

    def shut(self) -> None:
        """Close the store and the event loop."""
        self.close()
        if self._runner is not None:
            self._runner.close()


class SessionContract(ABC):
    """Everything a backend of sessions must do."""

    durable: ClassVar[bool] = True

    @abstractmethod
    def open_sessions(self, place: Path, **options: Any) -> SessionStore:
        """Sessions that live at ``place``, which is empty at first."""

    @pytest.fixture(params=["sync", "async"])
    def face(self, request: pytest.FixtureRequest) -> str:
        """Which methods this run goes through."""
        kind: str = request.param
        return kind

    @pytest.fixture
    def sessions(self, face: str, tmp_path: Path) -> Iterator[Any]:
        """No sessions yet; closed at the end."""
        opened = Face(self.open_sessions(tmp_path), face)
        yield opened
        opened.shut()

    @pytest.fixture
    def backend(self, sessions: Any) -> SessionBackend:
        """The backend underneath."""
        found: SessionBackend = sessions.store._backend
        return found

    def test_what_goes_in_comes_out_in_order(self, sessions: Any) -> None:
        """Messages keep every key and character, turns their order."""
        info = sessions.append("s", [USER, CALL, RESULT, ANSWER])
        assert (info.id, info.turns, info.messages) == ("s", 1, 4)
        info = sessions.append("s", [USER, ANSWER])
        assert (info.turns, info.messages) == (2, 6)
        assert sessions.messages("s") == [USER, CALL, RESULT, ANSWER, USER, ANSWER]
        assert sessions.get("s") == info
        assert info.created_at <= info.updated_at

    def test_a_session_that_is_not_there(self, sessions: Any) -> None:
        """Reading finds nothing, and what needs one says so."""
        assert sessions.get("s") is None
        assert sessions.messages("s") == []
        assert sessions.delete("s") is False
        assert sessions.list() == []
        with pytest.raises(SessionNotFoundError, match="'s'"):
            sessions.export("s")
        with pytest.raises(SessionNotFoundError, match="'s'"):
            sessions.fork("s")

    def test_what_is_no_id_or_message_is_refused_before_anything_is_written(self, sessions: Any) -> None:
        """One verdict for every backend."""
        for bad, error in (("", InvalidInputError), ("a\0b", InvalidTextError), ("\ud800", InvalidTextError)):
            with pytest.raises(error):
                sessions.append(bad, [USER])
            with pytest.raises(error):
                sessions.append("s", [USER], turn_id=bad)
            with pytest.raises(error):
                sessions.get(bad)
            with pytest.raises(error):
                sessions.delete(bad)
        for messages in ([], [USER, "text"], [USER, {"role": "user", "content": {1, 2}}], "text"):
            with pytest.raises(InvalidInputError):
                sessions.append("s", messages)
        with pytest.raises(InvalidTextError):
            sessions.append("s", [USER, {"role": "user", "content": "\ud83d"}])
        assert sessions.list() == []

    def test_ids_are_compared_exactly(self, sessions: Any) -> None:
        """Case, spaces, composed characters, wildcards: all tell sessions apart."""
        ids = [
            "a",
            "A",
            "a ",
            " a",
            "a%",
            "a_",
            "é",
            "e\u0301",
            "a/b",
            "a\\b",
            "'; --",
            "ß",
            "ss",
            "1",
            "01",
            "🙂",
        ]
        for number, id_ in enumerate(ids):
            sessions.append(id_, [{"role": "user", "content": str(number)}])
        for number, id_ in enumerate(ids):
            assert [message["content"] for message in sessions.messages(id_)] == [str(number)]
        assert sorted(info.id for info in sessions.list()) == sorted(ids)
        assert sorted(info.id for info in sessions.list(prefix="a")) == sorted(
            i for i in ids if i.startswith("a")
        )
        assert [info.id for info in sessions.list(prefix="a%")] == ["a%"]
        assert [info.id for info in sessions.list(prefix="a_")] == ["a_"]
        assert sessions.delete("a")
        assert len(sessions.list()) == len(ids) - 1

    def test_a_subclass_of_str_is_its_text(self, sessions: Any) -> None:
        """The session and the turn are those of the text."""
        sessions.append(Masked("s"), [USER], turn_id=Masked("t"))
        sessions.append("s", [USER], turn_id="t")
        assert [(one.id, one.messages) for one in sessions.list(prefix=Masked("s"))] == [("s", 1)]
        assert sessions.fork(Masked("s"), Masked("copy")).messages == 1
        assert sessions.delete(Masked("s"))
        assert [one.id for one in sessions.list()] == ["copy"]

    def test_the_newest_is_listed_first(self, face: str, tmp_path: Path) -> None:
        """By the last change, then by id; with limit and offset."""
        now = [1_000.0]
        sessions: Any = Face(self.open_sessions(tmp_path, clock=lambda: now[0]), face)
        for id_ in ("b", "a", "c"):
            sessions.append(id_, [USER])
        now[0] += 1
        sessions.append("b", [ANSWER])
        assert [info.id for info in sessions.list()] == ["b", "a", "c"]
        assert [info.id for info in sessions.list(limit=1, offset=1)] == ["a"]
        assert sessions.list(limit=0) == []
        assert sessions.get("b").updated_at > sessions.get("b").created_at
        sessions.shut()

    def test_a_turn_appended_twice_is_there_once(self, sessions: Any) -> None:
        """Its id tells; another turn under the same id is refused."""
        first = sessions.append("s", [USER, ANSWER], turn_id="t")
        again = sessions.append("s", [USER, ANSWER], turn_id="t")
        assert (again.turns, again.messages) == (first.turns, first.messages) == (1, 2)
        sessions.append("s", [USER], turn_id="u")
        sessions.append("s", [USER, ANSWER], turn_id="t")
        assert sessions.messages("s") == [USER, ANSWER, USER]
        with pytest.raises(ConflictError):
            sessions.append("s", [USER, ANSWER, USER], turn_id="t")
        sessions.append("other", [ANSWER], turn_id="t")
        assert sessions.messages("s") == [USER, ANSWER, USER]

    def test_only_what_was_read_can_be_appended_to(self, sessions: Any, backend: SessionBackend) -> None:
        """Who has read something older gets a conflict, and nothing is written."""
        rows = [json.dumps(USER)]
        head = sessions.flow(backend.append("s", NEW, "a", rows, '{"x":1}', 5))
        for expected in (NEW, (head.ref, head.version + 1), (head.ref + 1, head.version)):
            with pytest.raises(ConflictError):
                sessions.flow(backend.append("s", expected, "b", rows, None, 6))
        tail = sessions.flow(backend.load("s", ref=0, start=0, last=10))
        assert tail.head == head
        assert (head.length, head.turns, head.state) == (1, 1, '{"x":1}')
        more = sessions.flow(backend.append("s", (head.ref, head.version), "b", rows * 2, None, 6))
        assert (more.length, more.turns, more.state) == (3, 2, None)
        assert more.version > head.version
        # The same again, as after a COMMIT whose answer was lost: found, not doubled, not refused.
        assert sessions.flow(backend.append("s", (head.ref, head.version), "b", rows * 2, None, 7)) == more
        with pytest.raises(ConflictError):
            sessions.flow(backend.append("none", (head.ref, head.version), "b", rows, None, 6))

    def test_the_state_can_be_set_alone(self, sessions: Any, backend: SessionBackend) -> None:
        """It is a change like any other, without a turn."""
        head = sessions.flow(backend.append("s", NEW, "a", [], '{"x":1}', 5))
        assert (head.length, head.turns, head.state) == (0, 0, '{"x":1}')
        later = sessions.flow(backend.append("s", (head.ref, head.version), "a", [], '{"x":2}', 6))
        with pytest.raises(ConflictError):
            sessions.flow(backend.append("s", (head.ref, head.version), "a", [], '{"x":3}', 7))
        assert sessions.flow(backend.load("s", ref=0, start=0, last=9)).head == later
        assert sessions.flow(backend.turn(head.ref, "a")) is None

    def test_the_end_of_a_log_is_read_alone(self, sessions: Any, backend: SessionBackend) -> None:
        """``load`` reads what is new, and never more than was asked for; ``read`` reads by position."""
        rows = [json.dumps({"role": "user", "content": str(n)}) for n in range(20)]
        head = sessions.flow(backend.append("s", NEW, "a", rows, None, 5))

        def load(ref: int, start: int, last: int) -> tuple[int, list[Any]]:
            tail = sessions.flow(backend.load("s", ref=ref, start=start, last=last))
            assert tail.head == head
            return tail.start, [int(json.loads(row)["content"]) for row in tail.messages]

        assert load(0, 0, 3) == (17, [17, 18, 19])
        assert load(0, 18, 3) == (17, [17, 18, 19])
        assert load(head.ref, 18, 3) == (18, [18, 19])
        assert load(head.ref, 5, 3) == (17, [17, 18, 19])
        assert load(head.ref, 20, 3) == (20, [])
        assert load(0, 0, 0) == (20, [])
        assert load(0, 0, 2**62) == (0, list(range(20)))
        read = sessions.flow(backend.read(head.ref, 4, 6))
        assert [json.loads(row)["content"] for row in read] == ["4", "5"]
        assert sessions.flow(backend.read(head.ref, 19, 30)) == rows[19:]
        assert sessions.flow(backend.read(head.ref + 1000, 0, 9)) == []
        turn = sessions.flow(backend.turn(head.ref, "a"))
        assert tuple(turn) == ("a", 0, 20)
        assert sessions.flow(backend.turns(head.ref)) == [turn]
        assert sessions.flow(backend.turn(head.ref, "b")) is None

    def test_deleted_and_made_anew_is_another_session(self, sessions: Any, backend: SessionBackend) -> None:
        """Whoever still holds the old one writes nothing into the new one."""
        rows = [json.dumps(USER)]
        old = sessions.flow(backend.append("s", NEW, "a", rows, None, 5))
        assert sessions.delete("s") is True
        assert sessions.messages("s") == []
        assert sessions.flow(backend.read(old.ref, 0, 9)) == []
        new = sessions.flow(backend.append("s", NEW, "a", rows, None, 5))
        assert new.ref != old.ref
        with pytest.raises(ConflictError):
            sessions.flow(backend.append("s", (old.ref, old.version), "b", rows, None, 5))
        assert sessions.get("s").messages == 1

    def test_a_fork_has_the_past_and_its_own_future(self, sessions: Any) -> None:
        """Whole turns only, with their ids."""
        for number in range(3):
            sessions.append("s", [USER, {"role": "assistant", "content": str(number)}], turn_id=f"t{number}")
        info = sessions.fork("s", "copy")
        assert (info.id, info.turns, info.messages) == ("copy", 3, 6)
        assert sessions.messages("copy") == sessions.messages("s")
        info = sessions.fork("s", "early", turns=1)
        assert (info.turns, info.messages) == (1, 2)
        sessions.append("early", [USER], turn_id="t0x")
        sessions.append("early", [USER, {"role": "assistant", "content": "0"}], turn_id="t0")
        assert len(sessions.messages("early")) == 3
        assert sessions.fork("s", turns=0).messages == 0
        assert len(sessions.messages("s")) == 6
        with pytest.raises(ConflictError, match="copy"):
            sessions.fork("s", "copy")
        with pytest.raises(InvalidInputError, match="3"):
            sessions.fork("s", turns=4)
        sessions.delete("s")
        assert len(sessions.messages("copy")) == 6

    def test_export_is_json_lines(self, sessions: Any) -> None:
        """One line about the session, then one a message."""
        sessions.append("s", [USER, CALL, RESULT])
        about, *messages = (json.loads(line) for line in sessions.export("s").split("\n")[:-1])
        assert about["session_id"] == "s"
        assert (about["turns"], about["messages"]) == (1, 3)
        assert messages == [USER, CALL, RESULT]

    def test_threads_on_one_session_lose_nothing(self, sessions: Any) -> None:
        """Sixteen writers: every turn once, whole, and in the order of its writer."""
        store: SessionStore = sessions.store
        start = threading.Barrier(16)

        def write(writer: int) -> None:
            start.wait()
            for number in range(5):
                text = f"{writer}.{number}"
                pair = [{"role": role, "content": text} for role in ("user", "assistant")]
                store.append("s", pair, turn_id=text)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(write, range(16)))
        texts = [message["content"] for message in sessions.messages("s")]
        assert texts[::2] == texts[1::2]
        assert sorted(texts[::2]) == sorted(
            f"{writer}.{number}" for writer in range(16) for number in range(5)
        )
        for writer in range(16):
            mine = [text for text in texts[::2] if text.startswith(f"{writer}.")]
            assert mine == sorted(mine)

    def test_two_stores_on_the_same_data(self, sessions: Any, face: str, tmp_path: Path) -> None:
        """Another store's turns are seen by the next read, and its races are decided by the log."""
        if not self.durable:
            assert sessions.list() == []
            return
        other: Any = Face(self.open_sessions(tmp_path), face)
        sessions.append("s", [USER])
        other.append("s", [ANSWER])
        sessions.append("s", [CALL, RESULT])
        assert other.messages("s") == [USER, ANSWER, CALL, RESULT]
        other.shut()
        again: Any = Face(self.open_sessions(tmp_path), face)
        assert again.messages("s") == [USER, ANSWER, CALL, RESULT]
        assert again.get("s") == sessions.get("s")
        again.shut()

    def test_closed_is_closed(self, face: str, tmp_path: Path) -> None:
        """Every operation says so."""
        sessions: Any = Face(self.open_sessions(tmp_path), face)
        sessions.append("s", [USER])
        sessions.close()
        sessions.close()
        with pytest.raises(StorageClosedError):
            sessions.get("s")
        with pytest.raises(StorageClosedError):
            sessions.append("s", [USER])
        with pytest.raises(StorageClosedError):
            sessions.list()
        with pytest.raises(StorageClosedError):
            sessions.delete("s")
        sessions.shut()
        assert issubclass(StorageClosedError, AIInfraError)
