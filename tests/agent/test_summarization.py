"""``SummarizationMiddleware`` alone, and when its summarizer fails; inside an agent it is in test_long.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from ai_infra import LLM, Agent, count_tokens
from ai_infra.errors import ConfigurationError, SummarizationError
from ai_infra.llm.memory import SummarizationMiddleware, summarize_messages
from ai_infra.llm.session import SessionStore
from ai_infra.llm.tools.custom import ConversationMemory
from ai_infra.testing.openai_server import OpenAIServer

from tests.agent.conftest import Ask, assert_valid

Apply = Callable[[SummarizationMiddleware, Any], Any]


@pytest.fixture(params=["sync", "async"])
def apply(request: pytest.FixtureRequest) -> Apply:
    if request.param == "sync":
        return lambda middleware, messages: middleware(messages)
    return lambda middleware, messages: asyncio.run(middleware.acall(messages))


def chat(turns: int) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}]
    for number in range(turns):
        messages.append({"role": "user", "content": f"Question {number}"})
        messages.append({"role": "assistant", "content": f"Answer {number}"})
    return messages


class Summarizer:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, messages: Any) -> str:
        self.asked.append("\n".join(message["content"] for message in messages))
        return f"Summary {len(self.asked)}."


def test_nothing_happens_below_the_triggers(apply: Apply) -> None:
    llm = Summarizer()
    middleware = SummarizationMiddleware(trigger_tokens=10_000, trigger_messages=40, keep_messages=4, llm=llm)
    messages = chat(20)
    assert apply(middleware, messages) == messages
    assert llm.asked == []


@pytest.mark.parametrize("trigger", [{"trigger_tokens": 300}, {"trigger_messages": 30}])
def test_a_conversation_is_summarized_again_and_again(apply: Apply, trigger: dict[str, Any]) -> None:
    llm = Summarizer()
    middleware = SummarizationMiddleware(**trigger, keep_messages=4, llm=llm)
    messages: list[Any] = chat(0)
    for number in range(100):
        messages.append({"role": "user", "content": f"Question {number}"})
        messages = apply(middleware, messages)
        assert messages[0]["content"] == "Be brief."
        assert messages[-1]["content"] == f"Question {number}"
        if "trigger_tokens" in trigger:
            assert count_tokens(messages) <= 300
        else:
            assert len(messages) <= 32
        messages.append({"role": "assistant", "content": f"Answer {number}"})
    assert len(llm.asked) >= 5
    summaries = [message for message in messages if message["role"] == "system"][1:]
    assert [message["content"] for message in summaries] == [
        f"[Conversation summary]\nSummary {len(llm.asked)}."
    ]
    # Each summary carries the one before on, and nobody pays for a message twice.
    for number, asked in enumerate(llm.asked[1:], 1):
        assert f"Summary {number}." in asked
    assert sum(asked.count("user: Question 3\n") for asked in llm.asked) == 1


def test_calls_stay_with_their_results(apply: Apply) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = chat(10)
    messages += [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "x", "tool_call_id": "c"},
        {"role": "assistant", "content": "done"},
    ]
    for keep in range(6):
        middleware = SummarizationMiddleware(trigger_messages=10, keep_messages=keep, llm=Summarizer())
        fitted = apply(middleware, messages)
        assert_valid(fitted)
        assert len(fitted) < len(messages)


def test_a_summarizer_that_fails_raises_and_changes_nothing(apply: Apply) -> None:
    messages = chat(20)
    with pytest.raises(SummarizationError, match="OSError"):
        apply(SummarizationMiddleware(trigger_messages=10, keep_messages=2, llm=down), messages)
    assert messages == chat(20)


def down(messages: Any) -> str:
    raise OSError("down")


@pytest.mark.parametrize("llm", [down, lambda _: ""])
def test_old_messages_are_left_out_where_no_summary_can_be_made(apply: Apply, llm: Any) -> None:
    middleware = SummarizationMiddleware(
        trigger_messages=10, keep_messages=2, llm=llm, on_summary_error="trim"
    )
    old = {"role": "system", "content": "[Conversation summary]\nSo far."}
    messages = [chat(0)[0], old, *chat(20)[1:]]
    assert apply(middleware, messages) == [*messages[:2], *messages[-2:]]


@pytest.mark.parametrize("stored", [False, True])
def test_a_summarizer_that_is_down_need_not_fail_turns(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask, stored: bool
) -> None:
    options: dict[str, Any] = {"trigger_messages": 4, "keep_messages": 2}
    keyed = {"session_id": "s"} if stored else {}
    given = chat(6)[1:]
    if stored:
        sessions.append("s", given)
    prompt = "Hi" if stored else [*given, {"role": "user", "content": "Hi"}]

    def agent(**more: Any) -> Agent:
        compactor = SummarizationMiddleware(**options, **{"llm": down, **more})
        return Agent(llm=llm, session=sessions if stored else None, middleware=[compactor])

    with pytest.raises(SummarizationError, match="on_summary_error='trim'"):
        ask(agent(), prompt, **keyed)
    assert server.chats == []
    result = ask(agent(on_summary_error="trim"), prompt, **keyed)
    assert len(result.messages) == 14
    assert len(server.chats[-1].messages) == (13 if stored else 2)
    if stored:  # nothing is given up: the next turn's summary stands for all of it
        before = sessions.get("s")
        ask(agent(llm=Summarizer()), "And now?", **keyed)
        after = sessions.get("s")
        assert before is not None
        assert after is not None
        assert (before.summary, before.summarized) == (None, 0)
        assert (after.summary, after.summarized) == ("Summary 1.", 13)


def test_errors_name_only_what_can_be_passed() -> None:
    trim, bound = "on_summary_error", "max_summary_tokens"
    for llm, bounded in ((down, False), (lambda _: "", True)):
        options: dict[str, Any] = {"trigger_messages": 10, "keep_messages": 2, "llm": llm}
        with pytest.raises(SummarizationError) as caught:
            SummarizationMiddleware(**options)(chat(20))
        assert trim in str(caught.value)
        assert (bound in str(caught.value)) is bounded
        with pytest.raises(SummarizationError) as caught:
            summarize_messages(chat(20), keep_last=2, llm=llm)
        assert trim not in str(caught.value)
        assert (bound in str(caught.value)) is bounded
        memory = ConversationMemory(include_summary=True, llm=llm)
        with memory, pytest.raises(SummarizationError) as caught:
            memory.index_conversation("u", "s", chat(2))
        assert trim not in str(caught.value)
        assert bound not in str(caught.value)


def test_options_that_make_no_sense() -> None:
    wrong: list[dict[str, Any]] = [
        {},
        {"trigger_messages": 5, "keep_messages": 5},
        {"trigger_messages": 50, "summarize_prompt": 5},
        {"trigger_messages": 50, "on_summary_error": "ignore"},
    ]
    for options in wrong:
        with pytest.raises(ConfigurationError):
            SummarizationMiddleware(**options)
