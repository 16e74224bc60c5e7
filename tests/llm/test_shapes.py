"""What other libraries call a message, a part or a call, and what is sent of it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from ai_infra.errors import (
    ConfigurationError,
    InvalidInputError,
    InvalidMessageError,
    InvalidValueError,
)
from ai_infra.llm import LLM
from ai_infra.testing.openai_server import OpenAIServer, Reply
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from pydantic import BaseModel

from .conftest import Ask

CALL = {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        ({"type": "image", "url": "https://x/y.png"}, {"image_url": {"url": "https://x/y.png"}}),
        ({"type": "image", "base64": "AA", "mime_type": "image/gif"}, {"image_url": {"url": "data:image/gif;base64,AA"}}),
        ({"type": "file", "base64": "AA", "mime_type": "a/b"}, {"file": {"filename": "file", "file_data": "data:a/b;base64,AA"}}),
        ({"type": "file", "file_id": "f-1"}, {"file": {"file_id": "f-1"}}),
        ({"type": "file", "file": {"file_id": "f-1"}}, {"file": {"file_id": "f-1"}}),
        ({"type": "audio", "base64": "AA", "mime_type": "audio/mpeg"}, {"input_audio": {"data": "AA", "format": "mp3"}}),
        ({"type": "audio", "base64": "AA", "mime_type": "audio/x-wav"}, {"input_audio": {"data": "AA", "format": "wav"}}),
    ],
)  # fmt: skip
def test_parts_as_langchain_shapes_them(
    server: OpenAIServer, llm: LLM, ask: Ask, part: dict[str, Any], sent: dict[str, Any]
) -> None:
    assert ask(llm, [HumanMessage([part])])
    (found,) = server.chats[-1].messages[0]["content"]
    assert {key: value for key, value in found.items() if key != "type"} == sent


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"type": "image", "file_id": "f"}, r"neither: its keys are \['file_id', 'type'\]"),
        ({"type": "audio", "url": "https://x"}, "is sent as its data here"),
    ],
)
def test_parts_that_cannot_be_sent_say_what_they_are(
    server: OpenAIServer, llm: LLM, ask: Ask, part: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidMessageError, match=said):
        ask(llm, [HumanMessage([part])])
    assert not server.chats


@pytest.mark.parametrize(
    "message",
    [
        {
            "role": "assistant",
            "tool_calls": [{"id": "t", "type": "tool_call", "name": "f", "args": {"a": 1}}],
        },
        {"role": "assistant", "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": {"a": 1}}}]},
        {"role": "assistant", "content": [], "tool_calls": [CALL]},
        AIMessage([{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]),
        AIMessage([{"type": "tool_call", "id": "t", "name": "f", "args": {"a": 1}}]),
        AIMessage(
            [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}],
            tool_calls=[{"id": "t", "name": "f", "args": {"a": 1}}],
        ),
    ],
)
def test_calls_in_other_shapes(server: OpenAIServer, llm: LLM, ask: Ask, message: Any) -> None:
    assert ask(llm, [HumanMessage("x"), message, ToolMessage("r", tool_call_id="t")])
    sent = server.chats[-1].messages[1]
    assert sent["tool_calls"] == [CALL]
    assert not sent.get("content")


def test_blocks_of_an_answer_are_one_text(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    blocks = [{"type": "text", "text": text} for text in ("The sky is ", "blue", ".")]
    thought = {"type": "thinking", "thinking": "hm"}
    assert ask(llm, [{"role": "assistant", "content": [thought, *blocks]}, {"role": "user", "content": "y"}])
    assert server.chats[-1].messages[0] == {"role": "assistant", "content": "The sky is blue."}


def events(chunks: list[Any]) -> Reply:
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    return Reply(body=body.encode(), headers={"content-type": "text/event-stream"})


def test_a_refusal_is_the_answer(server: OpenAIServer, llm: LLM) -> None:
    message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
    server.reply(Reply.raw({"choices": [{"message": message, "finish_reason": "stop"}]}))
    assert llm.chat("x") == "I cannot help with that."
    deltas = [{"role": "assistant", "refusal": "I cannot "}, {"refusal": "help."}]
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    server.reply(events(chunks))
    stream = llm.stream("x")
    assert "".join(stream) == stream.response == "I cannot help."


def fragment(index: int | None, ident: str | None, name: str | None, arguments: str | None) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    given = {"index": index, "id": ident, "function": {k: v for k, v in function.items() if v is not None}}
    return {k: v for k, v in given.items() if v is not None}


CALLS = {
    "as the protocol has it": [
        (0, "a", "f", ""),
        (1, "b", "g", ""),
        (1, None, None, "2"),
        (0, None, None, "1"),
    ],
    "a name in pieces": [(0, "a", "f", ""), (0, None, "", "1"), (1, "b", None, ""), (1, None, "g", "2")],
    "no index": [(None, "a", "f", ""), (None, None, None, "1"), (None, "b", "g", "2")],
    "no index, id in every fragment": [(None, "a", "f", ""), (None, "a", "f", "1"), (None, "b", "g", "2")],
    "no index, interleaved": [
        (None, "a", "f", ""),
        (None, "b", "g", ""),
        (None, "a", None, "1"),
        (None, "b", None, "2"),
    ],
    "index 0 for all": [(0, "a", "f", "1"), (0, "b", "g", ""), (0, None, None, "2")],
    "id and name in every fragment": [
        (0, "a", "f", ""),
        (0, "a", "f", "1"),
        (1, "b", "g", ""),
        (1, "b", "g", "2"),
    ],
    "a new id in every fragment": [
        (0, "a", "f", ""),
        (0, "x", None, "1"),
        (1, "b", "g", ""),
        (1, "y", None, "2"),
    ],
    "neither index nor id": [(None, None, "f", "1"), (None, None, "g", ""), (None, None, None, "2")],
    "index 0 for all, no id": [(0, "", "f", "1"), (0, "", "g", ""), (0, "", None, "2")],
}


@pytest.mark.parametrize("fragments", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("together", [True, False])
def test_fragments_of_calls_find_together(
    server: OpenAIServer, llm: LLM, fragments: list[Any], together: bool
) -> None:
    parts = [fragment(*given) for given in fragments]
    deltas = [{"tool_calls": parts}] if together else [{"tool_calls": [part]} for part in parts]
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    server.reply(events(chunks))
    stream = llm.stream("x")
    assert "".join(stream) == ""
    idents = ["a", "b"] if any(given[1] for given in fragments) else ["", ""]
    found = [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in stream.response.tool_calls
    ]
    assert found == [(idents[0], "f", "1"), (idents[1], "g", "2")]


def test_a_whole_message_in_one_event_is_the_answer(server: OpenAIServer, llm: LLM) -> None:
    message = {"role": "assistant", "content": "all of it"}
    server.reply(events([{"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}]))
    stream = llm.stream("x")
    assert "".join(stream) == stream.response == "all of it"


def test_a_class_for_a_format_is_refused_with_what_to_send(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    class Answer(BaseModel):
        number: int

    with pytest.raises(InvalidValueError, match=r"response_format: the class Answer .*model_json_schema"):
        ask(llm, "x", response_format=Answer)
    assert not server.chats


@pytest.mark.parametrize("name", ["extra_headers", "extra_query"])
def test_names_of_the_sdk_are_refused(server: OpenAIServer, llm: LLM, ask: Ask, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is no parameter"):
        ask(llm, "x", **{name: {"a": "b"}})
    with pytest.raises(ConfigurationError, match=f"{name} is no parameter"):
        LLM(**{name: {"a": "b"}})  # type: ignore[arg-type]
    assert not server.chats


def test_an_extra_body_goes_into_the_body(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    assert ask(llm, "x", temperature=0, extra_body={"top_k": 3, "temperature": 1})
    body = server.chats[-1].body
    assert (body["top_k"], body["temperature"]) == (3, 1)
    assert "extra_body" not in body


def test_langchain_messages_are_accepted(server: OpenAIServer, llm: LLM) -> None:
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

    llm.chat([SystemMessage("Be brief."), HumanMessage("Hi"), AIMessage("Hello"), HumanMessage("Bye")])
    assert [message["role"] for message in server.chats[0].messages] == [
        "system",
        "user",
        "assistant",
        "user",
    ]


def test_anthropics_blocks_become_calls_and_results(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    messages = [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "x"},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Ålesund"}},
                {"type": "tool_use", "id": "t2", "name": "now", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "7 °C"}]},
                {"type": "tool_result", "tool_use_id": "t2", "content": "noon"},
                {"type": "text", "text": "And this?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
            ],
        },
    ]
    before = copy.deepcopy(messages)
    response = ask(llm, messages)
    calls = [
        {
            "id": "t1",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city": "Ålesund"}'},
        },
        {"id": "t2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
    ]
    assert server.chats[0].messages == [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "t1", "content": "7 °C"},
        {"role": "tool", "tool_call_id": "t2", "content": "noon"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "And this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
            ],
        },
    ]
    assert messages == before
    assert response.messages[:-1] == server.chats[0].messages


def test_items_of_the_responses_api_become_messages(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    items = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "id": "rs", "summary": []},
        {
            "type": "message",
            "id": "m",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Let me see.", "annotations": []}],
        },
        {"type": "function_call", "id": "fc", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call", "id": "fd", "call_id": "c2", "name": "now", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "7 °C"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "noon"}]},
    ]
    before = copy.deepcopy(items)
    ask(llm, items)
    calls = [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": "{}"}}
        for id_, name in (("c1", "weather"), ("c2", "now"))
    ]
    assert server.chats[0].messages == [
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {"role": "assistant", "content": "Let me see.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "7 °C"},
        {"role": "tool", "tool_call_id": "c2", "content": "noon"},
    ]
    assert items == before


def test_what_openai_knows_goes_as_it_is(server: OpenAIServer, llm: LLM) -> None:
    messages: list[dict[str, Any]] = [
        {"role": "developer", "content": "Be brief.", "cache_control": {"type": "ephemeral"}},
        {
            "role": "user",
            "content": [{"type": "text", "text": "a"}, {"type": "video_url", "video_url": {"url": "u"}}],
        },
        {"role": "critic", "content": "no"},
    ]
    llm.chat(messages)
    assert server.chats[0].messages == messages
    llm.chat([{"role": "human", "content": "a"}, {"role": "ai", "content": "b"}])
    assert [message["role"] for message in server.chats[1].messages] == ["user", "assistant"]


def test_tools_of_any_kind(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    def now(zone: str) -> str:
        """The time."""
        return zone

    ask(llm, "Hi", tools=[now])
    (sent,) = server.chats[0].body["tools"]
    assert (sent["function"]["name"], sent["function"]["description"]) == ("now", "The time.")
    for bad, match in (
        ("now", "a list of tools, not str"),
        ({"type": "function"}, "a list of tools, not dict"),
        (5, "a list of tools, not int"),
        ([5], "typed function"),
        ([None], "typed function"),
        ([{"name": "now"}], "no type"),
    ):
        with pytest.raises((InvalidInputError, ConfigurationError), match=match):
            ask(llm, "Hi", tools=bad)
    for options in ({"stream": True}, {"model": 5}):
        with pytest.raises((InvalidInputError, ConfigurationError)):
            ask(llm, "Hi", **options)
    assert len(server.chats) == 1


@pytest.mark.parametrize(
    ("message", "match"),
    [
        ({"type": "computer_call", "call_id": "c"}, "'computer_call' has no counterpart"),
        ({"role": "user", "content": [{"type": "document", "source": {}}]}, "'document' has no counterpart"),
        ({"role": "user", "content": [{"type": "tool_use", "id": "a"}]}, "role is 'user'"),
        (
            {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]},
            "neither",
        ),
        (
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "image"}]}],
            },
            "'image'",
        ),
        ({"role": "user", "content": 5}, "a list of parts, not int"),
        ({"role": "user", "content": [5]}, "is 5"),
        ({"role": 5, "content": "x"}, "role is a string"),
        ({"role": ["user"], "content": "x"}, "role is a string"),
        ({"role": "user", "content": [{"type": ["text"]}]}, "no dict with a type"),
        ({"type": ["function_call"]}, "None has no counterpart"),
    ],
)
def test_what_has_no_counterpart_is_refused(
    server: OpenAIServer, llm: LLM, ask: Ask, message: dict[str, Any], match: str
) -> None:
    with pytest.raises(InvalidMessageError, match=match) as caught:
        ask(llm, [{"role": "user", "content": "Hi"}, message])
    assert "messages[1]" in str(caught.value)
    assert server.chats == []
