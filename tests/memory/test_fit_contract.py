"""The budget is a contract: what fit_context promises, on conversations nobody would write."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from ai_infra import afit_context, count_tokens, fit_context
from ai_infra.errors import ContextLengthError, InvalidMessageError, SummarizationError
from ai_infra.llm.memory import ContextResult
from ai_infra.messages import BaseMessage
from ai_infra.messages import HumanMessage as HumanMessageOfOurs
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from .conversations import Message, conversations, links, orphans

SUMMARY = "[Conversation summary]\n"
budgets = st.integers(1, 700)
many = settings(max_examples=1500, deadline=None)


def is_subsequence(kept: list[Any], original: list[Message]) -> bool:
    rest = iter(original)
    return all(any(k == o for o in rest) for k in kept)


def fit(messages: list[Message], *args: Any, **options: Any) -> ContextResult:
    """``fit_context``, where there is anything that can be sent."""
    try:
        return fit_context(messages, *args, **options)
    except InvalidMessageError as error:
        assert "can be sent" in str(error)
        assert messages
        assert orphans(messages)
        assert all(any(links(message)) for message in messages)
        reject()


def words_of(message: Message) -> Message | None:
    """What a message says itself, without tool results; None when that is nothing."""
    if not links(message)[1]:
        return message
    words = [p for p in message["content"] if p["type"] != "tool_result"]
    return {**message, "content": words} if words else None


def newest_user(messages: list[Message]) -> tuple[int, Message] | None:
    """The newest user message that says something itself, and what that is."""
    for at in reversed(range(len(messages))):
        if messages[at]["role"] == "user" and (words := words_of(messages[at])) is not None:
            return at, words
    return None


def as_sent(messages: list[Message], kept: list[Any]) -> list[Message]:
    """The input as it may appear in the prompt: the newest user message may lose its results, nothing else."""
    newest = newest_user(messages)
    if newest is None:
        return messages
    at, words = newest
    found = newest_user(kept)
    assert found is not None
    there = kept[found[0]]
    assert there in (messages[at], words), "the newest user message is gone"
    return messages if there == messages[at] else [*messages[:at], words, *messages[at + 1 :]]


def check(result: ContextResult, messages: list[Message], budget: int, before: list[Message]) -> None:
    assert result.tokens <= budget
    assert result.tokens == count_tokens(result.messages)
    assert messages == before, "the input was changed"
    assert all(isinstance(m, BaseMessage) for m in result.messages)
    assert result.original_count == len(messages)
    assert result.messages or not messages
    assert result.final_count == len(result.messages)
    summaries = [
        m for m in result.messages if m["role"] == "system" and str(m["content"]).startswith(SUMMARY)
    ]
    assert summaries == ([{"role": "system", "content": SUMMARY + result.summary}] if result.summary else [])
    kept = [m for m in result.messages if m not in summaries]
    assert kept == result.remaining
    assert not orphans(result.messages)
    sent = as_sent(messages, kept)
    assert is_subsequence(kept, sent)
    head = 0
    while head < len(messages) and messages[head]["role"] in ("system", "developer"):
        head += 1
    system_prompt = [m for m in messages[:head] if not str(m["content"]).startswith(SUMMARY)]
    assert kept[: len(system_prompt)] == system_prompt
    # every message has exactly one fate
    gone = set(result.dropped) | set(result.summarized)
    assert len(result.dropped) + len(result.summarized) == len(gone)
    assert [m for at, m in enumerate(sent) if at not in gone and m not in summaries] == kept
    if result.action == "none":
        assert not gone
        assert sent is messages
    if result.action == "summarized":
        assert not set(range(result.summarized_count)) & set(result.dropped)
    assert len(result.explain().splitlines()) >= len(messages) + 1
    json.dumps(result.messages)


@many
@given(conversations(), budgets)
def test_trimming_keeps_the_contract(messages: list[Message], budget: int) -> None:
    before = copy.deepcopy(messages)
    try:
        result = fit(messages, budget)
    except ContextLengthError as error:
        assert error.budget == budget
        assert error.needed is not None
        assert error.needed > budget
        assert f"{error.needed:,}" in str(error)
        # and with what it asks for, it goes through
        check(fit(messages, error.needed), messages, error.needed, before)
    else:
        check(result, messages, budget, before)
        assert result.action in ("none", "trimmed")
        if count_tokens(messages) <= budget and not orphans(messages):
            assert result.action == "none"
            assert result.messages == messages


@many
@given(conversations(), budgets, st.none() | st.text(max_size=60), st.integers(0, 12), st.integers(0, 5))
def test_summarizing_keeps_the_contract(
    messages: list[Message], budget: int, summary: str | None, keep: int, length: int
) -> None:
    before = copy.deepcopy(messages)
    asked: list[str] = []

    def llm(prompt: list[dict[str, str]]) -> str:
        asked.append(prompt[-1]["content"])
        return "short fact. " * length

    try:
        result = fit(messages, budget, summarize=True, summary=summary, keep=keep, llm=llm)
    except ContextLengthError as error:
        assert error.needed is not None
        assert error.needed > budget
    except SummarizationError:
        assert len(asked) >= 2
        assert messages == before
    else:
        check(result, messages, budget, before)
        if result.action == "summarized":
            assert asked
            assert result.summary
        elif summary:
            assert result.summary == summary


@many
@given(conversations(), budgets, st.data())
def test_pinned_messages_stay(messages: list[Message], budget: int, data: st.DataObject) -> None:
    pinned = data.draw(st.sets(st.integers(0, len(messages) - 1), max_size=3)) if messages else set()
    try:
        result = fit(messages, budget, pinned=pinned)
    except ContextLengthError:
        return
    check(result, messages, budget, messages)
    for at in pinned:
        calls, answers = links(messages[at])
        if not calls and not answers:
            assert at not in result.dropped


@many
@given(conversations(), budgets, st.integers(1, 700))
def test_a_low_water_mark_keeps_the_contract(messages: list[Message], budget: int, low: int) -> None:
    try:
        result = fit(messages, budget, trim_to=min(low, budget))
    except ContextLengthError:
        return
    check(result, messages, budget, messages)


@settings(max_examples=300, deadline=None)
@given(conversations(), budgets)
def test_fitting_twice_changes_nothing(messages: list[Message], budget: int) -> None:
    try:
        once = fit(messages, budget)
    except ContextLengthError:
        return
    twice = fit(once.messages, budget)
    assert twice.messages == once.messages
    assert twice.action == "none"
    assert all(a is b for a, b in zip(once.messages, twice.messages, strict=True))


@settings(max_examples=300, deadline=None)
@given(conversations(), budgets)
def test_the_async_face_answers_the_same(messages: list[Message], budget: int) -> None:
    import asyncio

    async def llm(prompt: list[dict[str, str]]) -> str:
        return "fact"

    def outcome(run: Any) -> Any:
        try:
            result = run()
        except (ContextLengthError, SummarizationError) as error:
            return type(error), str(error)
        return result.messages, result.tokens, result.summary, result.summarized_count

    sync = outcome(lambda: fit(messages, budget, summarize=True, llm=lambda _: "fact"))
    async_ = outcome(lambda: asyncio.run(afit_context(messages, budget, summarize=True, llm=llm)))
    assert sync == async_


@pytest.mark.parametrize("budget", [40, 80, 200])
def test_nothing_that_fits_is_left_out(budget: int) -> None:
    """Of plain messages the newest are kept as long as one more still fits."""
    messages = [{"role": "user" if n % 2 else "assistant", "content": f"number {n}"} for n in range(100)]
    result = fit_context(messages, budget)
    first = result.original_count - result.final_count
    assert count_tokens(messages[first - 1 :]) > budget
    assert result.messages == messages[first:]


def test_only_halves_of_tool_calls_are_an_error() -> None:
    broken = {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "function": {"name": "f"}}]}
    with pytest.raises(InvalidMessageError, match="none of the 2 messages can be sent"):
        fit_context([broken, {"role": "tool", "tool_call_id": "b", "content": "x"}], 100)


@pytest.mark.parametrize("kind", ["dict", "langchain"])
def test_a_question_beside_a_lost_result_stays(kind: str) -> None:
    content = [
        {"type": "tool_result", "tool_use_id": "gone", "content": "42"},
        {"type": "text", "text": "And now?"},
    ]
    messages: list[Any] = [{"role": "user", "content": "Hi"}, {"role": "user", "content": content}]
    if kind == "langchain":
        from langchain_core.messages import HumanMessage

        messages[1] = HumanMessage(content)  # type: ignore[arg-type]  # a list of parts
    result = fit_context(messages, 100)
    newest = result.messages[-1]
    assert type(newest) is (type(messages[1]) if kind == "langchain" else HumanMessageOfOurs)
    assert newest.content == content[1:]
    assert (result.action, result.dropped) == ("trimmed", [])
    assert "newest user message, without results" in result.explain()
    assert len(content) == 2


def test_two_calls_of_one_message_with_one_id() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = {"role": "tool", "tool_call_id": "a", "content": "1"}
    messages = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": None, "tool_calls": [call, call]},
        answer,
        {**answer, "content": "2"},
        {**answer, "content": "nobody asked"},
    ]
    assert fit_context(messages, 100).dropped == [4]
    far = [*messages[:3], *[{"role": "user", "content": str(n)} for n in range(600)], *messages[3:]]
    assert fit_context(far, 10_000).dropped == [604]
    assert fit_context(far, 200).messages[-1]["content"] == "599"


def test_a_result_survives_pickle_and_copy() -> None:
    messages = [{"role": "user", "content": f"message number {n}"} for n in range(20)]
    result = fit_context(messages, 60)
    for again in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        assert again == result
        assert again.dropped == result.dropped
        assert again.explain() == result.explain()
