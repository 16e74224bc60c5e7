"""The budget is a contract: what fit_context promises, on conversations nobody would write."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from ai_infra import afit_context, count_tokens, fit_context
from ai_infra.errors import ContextLengthError, SummarizationError
from ai_infra.llm.memory import ContextResult
from ai_infra.messages import BaseMessage
from hypothesis import given, settings
from hypothesis import strategies as st

from .conversations import Message, conversations, links, orphans

SUMMARY = "[Conversation summary]\n"
budgets = st.integers(1, 700)
many = settings(max_examples=1500, deadline=None)


def is_subsequence(kept: list[Any], original: list[Message]) -> bool:
    rest = iter(original)
    return all(any(k == o for o in rest) for k in kept)


def newest_user_is_kept(messages: list[Message], kept: list[Any]) -> bool:
    """The newest user message that says something itself and is no half of a broken tool call."""
    for message in reversed(messages):
        if message["role"] == "user":
            if not links(message)[1]:
                return message in kept
            if message in kept and any(p.get("type") == "text" for p in message["content"]):
                return True
    return True


def check(result: ContextResult, messages: list[Message], budget: int, before: list[Message]) -> None:
    assert result.tokens <= budget
    assert result.tokens == count_tokens(result.messages)
    assert messages == before, "the input was changed"
    assert all(isinstance(m, BaseMessage) for m in result.messages)
    assert result.original_count == len(messages)
    assert result.final_count == len(result.messages)
    summaries = [
        m for m in result.messages if m["role"] == "system" and str(m["content"]).startswith(SUMMARY)
    ]
    assert summaries == ([{"role": "system", "content": SUMMARY + result.summary}] if result.summary else [])
    kept = [m for m in result.messages if m not in summaries]
    assert kept == result.remaining
    assert is_subsequence(kept, messages)
    assert not orphans(result.messages)
    head = 0
    while head < len(messages) and messages[head]["role"] in ("system", "developer"):
        head += 1
    system_prompt = [m for m in messages[:head] if not str(m["content"]).startswith(SUMMARY)]
    assert kept[: len(system_prompt)] == system_prompt
    assert newest_user_is_kept(messages, kept)
    # every message has exactly one fate
    gone = set(result.dropped) | set(result.summarized)
    assert len(result.dropped) + len(result.summarized) == len(gone)
    assert [m for at, m in enumerate(messages) if at not in gone and m not in summaries] == kept
    if result.action == "none":
        assert not gone
    if result.action == "summarized":
        assert not set(range(result.summarized_count)) & set(result.dropped)
    assert len(result.explain().splitlines()) >= len(messages) + 1
    json.dumps(result.messages)


@many
@given(conversations(), budgets)
def test_trimming_keeps_the_contract(messages: list[Message], budget: int) -> None:
    before = copy.deepcopy(messages)
    try:
        result = fit_context(messages, budget)
    except ContextLengthError as error:
        assert error.budget == budget
        assert error.needed is not None
        assert error.needed > budget
        assert f"{error.needed:,}" in str(error)
        # and with what it asks for, it goes through
        check(fit_context(messages, error.needed), messages, error.needed, before)
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
        result = fit_context(messages, budget, summarize=True, summary=summary, keep=keep, llm=llm)
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
        result = fit_context(messages, budget, pinned=pinned)
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
        result = fit_context(messages, budget, trim_to=min(low, budget))
    except ContextLengthError:
        return
    check(result, messages, budget, messages)


@settings(max_examples=300, deadline=None)
@given(conversations(), budgets)
def test_fitting_twice_changes_nothing(messages: list[Message], budget: int) -> None:
    try:
        once = fit_context(messages, budget)
    except ContextLengthError:
        return
    twice = fit_context(once.messages, budget)
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

    sync = outcome(lambda: fit_context(messages, budget, summarize=True, llm=lambda _: "fact"))
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
