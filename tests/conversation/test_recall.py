"""The shipped history and its forty questions: the moment that answers is among the first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ai_infra import demo
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


def test_the_questions_of_the_demo_are_answered(memory: ConversationMemory) -> None:
    assert [q.id for q in demo.questions(demo=True) if not found(memory, q, 5)] == []


def test_most_of_the_forty_are_answered_by_the_first_five(memory: ConversationMemory) -> None:
    asked = [question for question in demo.questions() if question.kind != "cross-language"]
    hits = sum(found(memory, question, 5) for question in asked)
    assert hits / len(asked) >= 0.8
