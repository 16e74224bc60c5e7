"""What comes in goes out: our types, and those of others."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from typing import Any

import pytest
from ai_infra import count_tokens, fit_context
from ai_infra.errors import InvalidMessageError
from ai_infra.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    message_text,
    to_messages,
    to_openai,
)


def test_a_message_is_the_dict_it_came_from() -> None:
    given: dict[str, Any] = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        "cache_control": {"type": "ephemeral"},
    }
    message = to_messages([given])[0]
    assert isinstance(message, AIMessage)
    assert message == given
    assert message is not given
    assert message.role == "assistant"
    assert message.type == "ai"
    assert message.content is None
    assert message.tool_calls == given["tool_calls"]
    assert json.loads(json.dumps(message)) == given
    for twin in (
        copy.copy(message),
        copy.deepcopy(message),
        pickle.loads(pickle.dumps(message)),
        message.copy(),
    ):
        assert twin == message
        assert type(twin) is AIMessage


@pytest.mark.parametrize(
    ("role", "cls"),
    [
        ("user", HumanMessage),
        ("human", HumanMessage),
        ("assistant", AIMessage),
        ("system", SystemMessage),
        ("developer", SystemMessage),
        ("tool", ToolMessage),
        ("critic", BaseMessage),
    ],
)
def test_the_role_decides_the_class(role: str, cls: type[BaseMessage]) -> None:
    message = to_messages([{"role": role, "content": "x"}])[0]
    assert type(message) is cls
    assert message.role == role


def test_messages_can_be_written_directly() -> None:
    assert HumanMessage("hi") == {"role": "user", "content": "hi"}
    assert ToolMessage("42", tool_call_id="a") == {"role": "tool", "content": "42", "tool_call_id": "a"}
    assert SystemMessage(content="Be kind.", role="developer").role == "developer"
    assert AIMessage({"role": "assistant", "content": "yes"}).content == "yes"
    assert repr(HumanMessage("hi")) == "HumanMessage({'role': 'user', 'content': 'hi'})"


def test_our_own_messages_come_back_as_themselves() -> None:
    given = [HumanMessage("hi"), AIMessage("yes?")]
    result = fit_context(given, 100)
    assert all(a is b for a, b in zip(given, result.messages, strict=True))


def test_objects_of_the_openai_sdk_are_read() -> None:
    from openai.types.chat import ChatCompletionMessage

    answer = ChatCompletionMessage.model_validate(
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        }
    )
    messages = [
        {"role": "user", "content": "go"},
        answer,
        {"role": "tool", "tool_call_id": "a", "content": "done"},
    ]
    result = fit_context(messages, 100)
    assert result.action == "none"
    assert result.messages[1].tool_calls[0]["function"]["name"] == "f"


def test_langchain_messages_are_read_and_rewritten() -> None:
    lc = pytest.importorskip("langchain_core.messages")  # an optional extra
    messages = [
        lc.SystemMessage("Be kind."),
        lc.HumanMessage("Weather?", name="ann"),
        lc.AIMessage("", tool_calls=[{"id": "a", "name": "weather", "args": {"city": "Köln"}}]),
        lc.ToolMessage("rain", tool_call_id="a"),
        lc.AIMessageChunk("Rain."),
    ]
    assert to_openai(messages) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Weather?", "name": "ann"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "a",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Köln"}'},
                }
            ],
        },
        {"role": "tool", "content": "rain", "tool_call_id": "a"},
        {"role": "assistant", "content": "Rain."},
    ]
    assert count_tokens(messages) == count_tokens(to_openai(messages))
    result = fit_context(messages, 1000)
    assert all(a is b for a, b in zip(messages, result.messages, strict=True))
    small = fit_context([*messages, lc.HumanMessage("Thanks, and tomorrow?")], 35)
    assert [m.type for m in small.messages] == ["system", "AIMessageChunk", "human"]


def test_langchain_calls_with_broken_arguments_are_calls() -> None:
    lc = pytest.importorskip("langchain_core.messages")  # an optional extra
    messages = [
        lc.HumanMessage("go"),
        lc.AIMessage("", invalid_tool_calls=[{"name": "f", "args": "{", "id": "q", "error": "no JSON"}]),
        lc.ToolMessage("bad arguments", tool_call_id="q"),
        lc.HumanMessage("again"),
    ]
    assert fit_context(messages, 1000).action == "none"


def test_langchain_messages_made_dicts_are_read() -> None:
    """As they lie in files. Taken as they are they would be messages without a word, and of no cost."""
    from langchain_core import messages as lc

    call = {"name": "f", "args": {"a": 1}, "id": "1", "type": "tool_call"}
    bad = {"name": "g", "args": "{", "id": "2", "error": "no JSON", "type": "invalid_tool_call"}
    given = [
        lc.SystemMessage("Be kind."),
        lc.HumanMessage("word " * 100, name="bob"),
        lc.AIMessage("", tool_calls=[call], invalid_tool_calls=[bad]),
        lc.ToolMessage("the result", tool_call_id="1"),
        lc.ToolMessage("no result", tool_call_id="2"),
        lc.FunctionMessage(content="done", name="f"),
        lc.ChatMessage(content="hm", role="critic"),
        lc.AIMessageChunk(content="a piece"),
        lc.HumanMessage([{"type": "text", "text": "in parts"}]),
    ]
    whole = to_openai(given)
    dumped: list[Any] = json.loads(json.dumps(lc.messages_to_dict(given)))
    assert to_openai(dumped) == whole
    flat = [json.loads(json.dumps(m.model_dump())) for m in given if not isinstance(m, lc.ChatMessage)]
    assert to_openai(flat) == [fields for fields in whole if fields["role"] != "critic"]
    assert count_tokens(dumped) == count_tokens(given)
    kept = fit_context(dumped, max_tokens=90)
    assert kept.tokens <= 90
    assert kept.messages[-1] == whole[-1]
    assert isinstance(kept.messages[-1], HumanMessage)
    for other in (
        {"type": "human"},
        {"type": "ai", "data": 5},
        {"type": 5},
        {"type": "reasoning", "content": []},
    ):
        assert to_openai([other]) == [other]
    with pytest.raises(InvalidMessageError, match="LangChain message made a dict"):
        to_openai([{"type": "ai", "content": "x", "tool_calls": [3]}])


def test_langchain_is_never_imported_for_the_caller() -> None:
    code = (
        "import sys; from ai_infra import fit_context; fit_context([{'role': 'user', 'content': 'x'}], 100); "
        "print([m for m in sys.modules if m.split('.')[0] == 'langchain_core'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_responses_api_is_read() -> None:
    messages = [
        {"role": "user", "content": "go"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "done"},
        {"type": "function_call_output", "call_id": "lost", "output": "?"},
    ]
    result = fit_context(messages, 100)
    assert result.messages == messages[:3]
    assert result.dropped == [3]


def test_the_text_of_a_message() -> None:
    message = {
        "role": "user",
        "content": ["a", {"type": "text", "text": "b"}, {"type": "image_url", "image_url": "x"}],
    }
    assert message_text(message) == "a\nb"
    assert message_text({"role": "assistant", "content": None}) == ""


@pytest.mark.parametrize("bad", ["hello", b"hello", {"role": "user", "content": "x"}, None, 7])
def test_a_single_thing_is_not_a_list_of_messages(bad: Any) -> None:
    with pytest.raises(InvalidMessageError, match="list of messages"):
        fit_context(bad, 100)
