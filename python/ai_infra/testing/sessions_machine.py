"""A stateful test that holds a session backend against plain lists."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ai_infra.errors import ConflictError, InvalidInputError, SessionNotFoundError
from ai_infra.llm.session import SessionStore

IDS = st.sampled_from(["a", "A", "a b", "é", "e\u0301", "%", "_", "a/b"])
TURN_IDS = st.sampled_from(["t1", "t2", "t3"]) | st.none()
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=4)

Turns = list[tuple[str | None, list[str]]]


def machine(open_sessions: Callable[[Path], SessionStore], *, durable: bool) -> type[RuleBasedStateMachine]:
    """The state machine for sessions that ``open_sessions(place)`` opens.

    Args:
        open_sessions: opens them; what lives at ``place`` is there again when it is opened anew.
        durable: whether it is.
    """

    class Sessions(RuleBasedStateMachine):
        """Turns as lists of texts, by session."""

        def __init__(self) -> None:
            super().__init__()
            self.place = Path(tempfile.mkdtemp())
            self.store = open_sessions(self.place)
            self.model: dict[str, Turns] = {}

        def teardown(self) -> None:
            self.store.close()
            shutil.rmtree(self.place)

        @rule(session=IDS, turn_id=TURN_IDS, texts=TEXTS)
        def append(self, session: str, turn_id: str | None, texts: list[str]) -> None:
            turns = self.model.get(session, [])
            there = next((said for id_, said in turns if turn_id is not None and id_ == turn_id), None)
            messages: list[dict[str, Any]] = [{"role": "user", "content": text} for text in texts]
            if there is not None and there != texts:
                with pytest.raises(ConflictError):
                    self.store.append(session, messages, turn_id=turn_id)
                return
            info = self.store.append(session, messages, turn_id=turn_id)
            if there is None:
                turns = [*turns, (turn_id, texts)]
                self.model[session] = turns
            assert (info.turns, info.messages) == (len(turns), sum(len(said) for _, said in turns))

        @rule(session=IDS)
        def delete(self, session: str) -> None:
            assert self.store.delete(session) is (self.model.pop(session, None) is not None)

        @rule(source=IDS, copy=IDS, turns=st.none() | st.integers(0, 3))
        def fork(self, source: str, copy: str, turns: int | None) -> None:
            there = self.model.get(source)
            if there is None:
                with pytest.raises(SessionNotFoundError):
                    self.store.fork(source, copy, turns=turns)
            elif turns is not None and turns > len(there):
                with pytest.raises(InvalidInputError):
                    self.store.fork(source, copy, turns=turns)
            elif copy in self.model:
                with pytest.raises(ConflictError):
                    self.store.fork(source, copy, turns=turns)
            else:
                self.store.fork(source, copy, turns=turns)
                self.model[copy] = list(there if turns is None else there[:turns])

        @rule()
        def open_again(self) -> None:
            if durable:
                self.store.close()
                self.store = open_sessions(self.place)

        @rule(session=IDS)
        def read(self, session: str) -> None:
            expected = [text for _, said in self.model.get(session, []) for text in said]
            assert [message["content"] for message in self.store.messages(session)] == expected

        @invariant()
        def all_are_listed(self) -> None:
            listed = {info.id: (info.turns, info.messages) for info in self.store.list()}
            assert listed == {
                id_: (len(turns), sum(len(said) for _, said in turns)) for id_, turns in self.model.items()
            }

    return Sessions
