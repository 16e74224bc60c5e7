"""The shipped history and its forty questions: the moment that answers is among the first."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from ai_infra import demo
from ai_infra.errors import InvalidMessageError
from ai_infra.llm.tools.custom import ConversationMemory


@pytest.fixture(scope="module")
def memory() -> Iterator[ConversationMemory]:
    with ConversationMemory() as memory:
        for session in demo.sessions():
            memory.index_conversation("u", session.id, session.messages, {"date": session.date.isoformat()})
        yield memory


def found(memory: ConversationMemory, question: demo.Question, limit: int) -> bool:
    places = {tuple(at.rsplit(":", 1)) for at in question.evidence}
    return any(
        result.chunk.session_id == session and result.chunk.start <= int(at) < result.chunk.end
        for result in memory.search("u", question.question, limit=limit)
        for session, at in places
    )


@pytest.mark.parametrize("when", ["9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+14:00"])
def test_a_date_at_an_end_of_the_calendar_harms_nobody(when: str) -> None:
    with ConversationMemory() as memory:
        messages = [{"role": "user", "content": "my dog is Rex", "timestamp": when}]
        memory.index_conversation("u", "s", messages, {"date": when})
        memory.index_conversation("u", "t", messages)
        assert len(memory.search("u", "dog")) == 2
        assert len(memory.list_conversations("u")) == 2


@pytest.mark.parametrize("calls", [True, 5, "f", {"id": "1"}])
def test_calls_that_are_no_list_are_refused_before_anything_is_written(calls: object) -> None:
    with ConversationMemory() as memory:
        with pytest.raises(InvalidMessageError, match="message 0: the tool_calls of a message are a list"):
            memory.index_conversation("u", "s", [{"role": "assistant", "content": "x", "tool_calls": calls}])
        assert memory.get_conversation("u", "s") is None
        assert memory.search("u", "x") == []


def test_the_questions_of_the_demo_are_answered(memory: ConversationMemory) -> None:
    assert [q.id for q in demo.questions(demo=True) if not found(memory, q, 5)] == []


def test_most_of_the_forty_are_answered_by_the_first_five(memory: ConversationMemory) -> None:
    asked = [question for question in demo.questions() if question.kind != "cross-language"]
    hits = sum(found(memory, question, 5) for question in asked)
    assert hits / len(asked) >= 0.8


def test_scores_never_rise_with_rank() -> None:
    """Far down, where results differ by less than rounding does."""
    draw = random.Random(2)
    words = [a + b + c for a in "bdfgklm" for b in "aeiou" for c in "nrst"]
    with ConversationMemory(chunk_size=1, chunk_overlap=0) as memory:
        talks = [
            [
                {
                    "role": draw.choice(("user", "assistant")),
                    "content": " ".join(draw.choices(words, k=draw.randrange(1, 12))),
                }
                for _ in range(20)
            ]
            for _ in range(80)
        ]
        memory.index_conversations("u", [(f"s{n}", talk, None) for n, talk in enumerate(talks)])
        for _ in range(10):
            scores = [r.score for r in memory.search("u", " ".join(draw.choices(words, k=3)), limit=2000)]
            assert scores == sorted(scores, reverse=True)
