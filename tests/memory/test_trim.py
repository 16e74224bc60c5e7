"""trim_messages by count and by tokens, and what fit_context promises beyond the budget."""

from __future__ import annotations

import random
import sys
import threading
import time
from typing import Any

import pytest
from ai_infra import count_tokens, fit_context
from ai_infra.errors import AIInfraError, ContextLengthError, InvalidInputError
from ai_infra.llm.memory import trim_messages
from hypothesis import given, settings
from hypothesis import strategies as st

from .conversations import Message, conversations, orphans

SYSTEM = {"role": "system", "content": "Be brief."}


def chat(count: int) -> list[Message]:
    return [{"role": "user" if n % 2 == 0 else "assistant", "content": f"number {n}"} for n in range(count)]


def test_last_and_first_keep_as_many_as_asked_for() -> None:
    messages = [SYSTEM, *chat(10)]
    assert trim_messages(messages, strategy="last", max_messages=3) == [SYSTEM, *messages[-3:]]
    assert trim_messages(messages, strategy="first", max_messages=3) == messages[:4]
    assert trim_messages(messages, "last", max_messages=3, preserve_system=False) == messages[-3:]
    assert trim_messages(messages, "last", max_messages=99) == messages
    assert trim_messages(messages, "last", max_messages=0) == [SYSTEM]


def test_a_call_that_is_more_than_asked_for_leaves_nothing() -> None:
    call: Message = {"role": "assistant", "content": None, "tool_calls": []}
    results: list[Message] = []
    for id_ in "ab":
        call["tool_calls"].append(
            {"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        )
        results.append({"role": "tool", "tool_call_id": id_, "content": "1"})
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}, call, *results]
    assert trim_messages(messages, max_messages=2) == messages[:1]
    assert trim_messages(messages, max_messages=3) == [messages[0], call, *results]


def test_token_is_fit_context() -> None:
    messages = [SYSTEM, *chat(50)]
    assert trim_messages(messages, strategy="token", max_tokens=100) == fit_context(messages, 100).messages


def test_a_counter_of_the_callers_decides() -> None:
    messages = [SYSTEM, *chat(50)]
    assert len(trim_messages(messages, strategy="token", max_tokens=11, token_counter=len)) == 11
    words = trim_messages(
        messages,
        strategy="token",
        max_tokens=9,
        token_counter=lambda ms: sum(len(m["content"].split()) for m in ms),
    )
    assert words == [SYSTEM, *messages[-3:]]


@settings(max_examples=400, deadline=None)
@given(conversations(), st.integers(0, 12), st.sampled_from(["last", "first"]))
def test_counting_never_tears_a_tool_call(messages: list[Message], most: int, strategy: Any) -> None:
    kept = trim_messages(messages, strategy, max_messages=most)
    assert not orphans(kept)
    head = 0
    while head < len(messages) and messages[head]["role"] in ("system", "developer"):
        head += 1
    assert len(kept) <= head + most


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"strategy": "last"}, "max_messages"),
        ({"strategy": "token"}, "max_tokens"),
        ({"strategy": "token", "max_tokens": 0}, "max_tokens"),
        ({"strategy": "last", "max_messages": -1}, "max_messages"),
        ({"strategy": "middle", "max_messages": 1}, "'middle'"),
        ({"strategy": "token", "max_tokens": 9, "token_counter": "len"}, "token_counter is a function"),
        (
            {"strategy": "token", "max_tokens": 9, "token_counter": lambda _: "9"},
            "what token_counter returns",
        ),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(AIInfraError, match=words):
        trim_messages(chat(3), **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_tokens": 0},
        {"max_tokens": -5},
        {"max_tokens": 10.5},
        {"max_tokens": True},
        {"max_tokens": 2**70},
        {"max_tokens": 100, "keep": -1},
        {"max_tokens": 100, "trim_to": 200},
        {"max_tokens": 100, "pinned": [99]},
        {"max_tokens": 100, "pinned": ["first"]},
        {"max_tokens": 100, "summary": 7},
        {"max_tokens": 100, "on_summary_error": "ignore"},
        {"max_tokens": 100, "max_summary_tokens": 0},
        {"max_tokens": 100, "summarize_prompt": 5},
    ],
)
def test_fit_context_refuses_what_makes_no_sense(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"max_tokens|keep|trim_to|pinned|summar"):
        fit_context(chat(3), **arguments)


def test_the_error_says_what_is_needed_and_for_what() -> None:
    with pytest.raises(ContextLengthError, match=r"the system prompt, the newest user message") as caught:
        fit_context([{**SYSTEM, "content": "long " * 500}, *chat(3)], 100)
    assert caught.value.needed is not None
    assert fit_context([{**SYSTEM, "content": "long " * 500}, *chat(3)], caught.value.needed).final_count >= 2


def test_a_broken_call_far_back_costs_one_pass_not_many() -> None:
    """Results without a call make the fit look for it; the search must not start anew for each of them."""
    lost = [{"role": "tool", "tool_call_id": f"lost{n}", "content": "x"} for n in range(2_000)]
    messages = [*chat(20_000), *lost, {"role": "user", "content": "hi"}]
    result = fit_context(messages, 1_000_000)
    assert result.final_count == 20_001
    assert len(result.dropped) == 2_000


def test_explain_says_why() -> None:
    messages = [
        SYSTEM,
        *chat(20),
        {"role": "tool", "tool_call_id": "lost", "content": "x"},
        {"role": "user", "content": "last words"},
    ]
    text = fit_context(messages, 60, pinned=[2]).explain()
    lines = text.splitlines()
    assert lines[0].startswith("trimmed: 23 messages in")
    assert "kept: system prompt" in lines[1]
    assert "dropped: older than what fits" in lines[2]
    assert "kept: pinned" in lines[3]
    assert "tool call without its other half" in lines[22]
    assert "kept: newest user message" in lines[23]


def test_another_thread_runs_while_a_large_input_is_counted() -> None:
    """The GIL is released: a thread that only counts up advances while one call is inside the core."""
    rng = random.Random(4)
    text = " ".join("".join(rng.choices("abcdefghij", k=9)) for _ in range(400_000))
    messages = [{"role": "user", "content": text}]
    ticks = 0
    running = True

    def tick() -> None:
        nonlocal ticks
        while running:
            ticks += 1
            time.sleep(0)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)  # nobody is interrupted: only who lets go of the GIL lets others run
    thread = threading.Thread(target=tick)
    thread.start()
    try:
        before = ticks
        with pytest.raises(ContextLengthError):
            fit_context(messages, 1000)
        assert ticks > before + 10
    finally:
        running = False
        sys.setswitchinterval(interval)
        thread.join()


def test_thirty_two_threads_get_the_same_numbers() -> None:
    messages = [SYSTEM, *chat(2_000)]
    expected = count_tokens(messages), fit_context(messages, 500).tokens
    seen: list[tuple[int, int]] = []

    def work() -> None:
        for _ in range(5):
            seen.append((count_tokens(messages), fit_context(messages, 500).tokens))

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 160
    assert set(seen) == {expected}


def test_a_summary_alone_with_tools_counts_the_priming_once() -> None:
    tool = {
        "type": "function",
        "function": {"name": "f", "parameters": {"properties": {"x": {"type": "string"}}}},
    }
    result = fit_context([], 60, summary="old facts", tools=[tool])
    assert result.tokens == count_tokens(result.messages, tools=[tool])
    with pytest.raises(ContextLengthError):
        fit_context([], result.tokens - 1, summary="old facts", tools=[tool])


def test_any_whole_number_will_do() -> None:
    import numpy

    assert fit_context(chat(50), numpy.int64(100)).tokens <= 100  # type: ignore[arg-type]  # an int to its user


def test_invalid_input_is_a_value_error() -> None:
    assert issubclass(InvalidInputError, ValueError)
    assert issubclass(ContextLengthError, ValueError)


def test_a_message_with_many_calls_is_not_read_anew_for_each() -> None:
    class Counted(dict[str, Any]):
        reads = 0

        def get(self, key: str, default: Any = None) -> Any:
            Counted.reads += key == "tool_calls"
            return super().get(key, default)

    calls = [{"id": f"c{n}", "function": {"name": "f", "arguments": "{}"}} for n in range(600)]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in calls]
    caller = Counted(role="assistant", content=None, tool_calls=calls)
    result = fit_context([{"role": "user", "content": "Hi"}, caller, *results], max_tokens=100_000)
    assert result.final_count == 602
    assert Counted.reads < 50
