"""include_summary: a summary for each conversation, searched, carried on as it grows."""

from __future__ import annotations

from typing import Any

from ai_infra.llm.tools.custom import ConversationMemory
from ai_infra.testing.contract.conversations import said


def test_a_summary_is_made_once_searched_and_carried_on() -> None:
    asked: list[list[dict[str, Any]]] = []

    def summarize(messages: list[dict[str, Any]]) -> str:
        asked.append(messages)
        return f"They talked of marmalade, version {len(asked)}."

    memory = ConversationMemory(include_summary=True, llm=summarize, chunk_size=4, chunk_overlap=1)
    texts = [f"line {n}" for n in range(10)]
    memory.index_conversation("u", "s", said(*texts))
    memory.index_conversation("u", "s", said(*texts))
    assert len(asked) == 1
    results = memory.search("u", "marmalade", limit=9)
    assert all(
        r.chunk.text.startswith("[Summary of the conversation] They talked of marmalade") for r in results
    )
    assert all(r.chunk.end <= 10 for r in results)
    memory.index_conversation("u", "s", said(*texts, "something new"))
    assert len(asked) == 2
    assert "something new" in str(asked[1])
    assert "line 3" not in str(asked[1])
    assert "version 1" in str(asked[1])
    found = memory.get_conversation("u", "s")
    assert found is not None
    assert found.summary == "They talked of marmalade, version 2."
