"""Answers that are nearly right: what of them is mended, and what is an error of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ai_infra._service.providers import resolve
from ai_infra.errors import LLMResponseError, StreamInterruptedError
from ai_infra.llm import LLM
from ai_infra.llm.reading import Assembly
from ai_infra.testing.openai_server import OpenAIServer, Reply
from hypothesis import given
from hypothesis import strategies as st

from .conftest import Ask


def answer(message: dict[str, Any]) -> Reply:
    return Reply.raw({"choices": [{"message": {"role": "assistant", **message}, "finish_reason": "stop"}]})


def events(*deltas: dict[str, Any]) -> Reply:
    chunks: list[Any] = [{"choices": [{"delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    lines = [json.dumps(chunk) for chunk in chunks] + ["[DONE]"]
    body = "".join(f"data: {line}\n\n" for line in lines).encode()
    return Reply(body=body, headers={"content-type": "text/event-stream"})


def either(ask: Ask, message: dict[str, Any]) -> Reply:
    """The message as an answer, or as the one piece of a stream."""
    return events(message) if "stream" in ask.__name__ else answer(message)


def test_half_a_character_is_replaced_and_the_conversation_goes_on(
    server: OpenAIServer, llm: LLM, ask: Ask
) -> None:
    arguments = '{"text": "\ud800"}'
    call = {
        "index": 0,
        "id": "c\udfff",
        "type": "function",
        "function": {"name": "say", "arguments": arguments},
    }
    server.reply(either(ask, {"content": "bad \ud800 end \ud83d", "tool_calls": [call]}), "fine")
    response = ask(llm, "Hi")
    assert response == "bad \ufffd end \ufffd"
    assert response.tool_calls[0]["function"]["arguments"] == '{"text": "\ufffd"}'
    result = {"role": "tool", "tool_call_id": response.tool_calls[0]["id"], "content": "said"}
    assert ask(llm, [*response.messages, result, {"role": "user", "content": response}]) == "fine"


def test_a_character_split_over_two_pieces_is_whole(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    if "stream" in ask.__name__:
        server.reply(events({"content": "a\ud83d"}, {"content": "\ude00b\ud83d"}, {"content": "c\ude00"}))
    else:
        server.reply(answer({"content": "a\ud83d\ude00b\ud83dc\ude00"}))
    assert ask(llm, "Hi") == "a😀b\ufffdc\ufffd"


@given(st.lists(st.text(st.sampled_from("a\ud83d\ude00é"), max_size=4)))
def test_the_pieces_of_a_stream_are_its_text(texts: list[str]) -> None:
    assembly = Assembly(resolve("ollama", None, None), {"messages": []})
    chunks = [json.dumps({"choices": [{"delta": {"content": text}}]}).encode() for text in texts]
    chunks += [b'{"choices": [{"delta": {}, "finish_reason": "stop"}]}', b"[DONE]"]
    pieces = [assembly.take(chunk) for chunk in chunks]
    whole = "".join(texts).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert "".join(map(str, pieces)) == str(assembly.response()) == whole


def test_arguments_that_come_as_an_object_are_json(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    call = {
        "index": 0,
        "id": "c",
        "type": "function",
        "function": {"name": "say", "arguments": {"city": "Tromsø"}},
    }
    server.reply(either(ask, {"content": None, "tool_calls": [call]}))
    (found,) = ask(llm, "Hi").tool_calls
    assert json.loads(found["function"]["arguments"]) == {"city": "Tromsø"}


@pytest.mark.parametrize(
    ("message", "words"),
    [({"content": 5}, "content is no text"), ({"content": None, "tool_calls": 5}, "tool_calls are no list")],
)
def test_what_cannot_be_read_is_no_empty_answer(
    server: OpenAIServer, llm: LLM, ask: Ask, message: dict[str, Any], words: str
) -> None:
    server.reply(either(ask, message))
    with pytest.raises(LLMResponseError, match=words):
        ask(llm, "Hi")


def test_an_answer_nested_without_end_is_no_answer(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    deep = b"[" * 50_000
    kind = "text/event-stream" if "stream" in ask.__name__ else "application/json"
    body = b"data: " + deep + b"\n\n" if "stream" in ask.__name__ else deep
    server.reply(Reply(body=body, headers={"content-type": kind}))
    with pytest.raises(LLMResponseError):
        ask(llm, "Hi")


def streamed(*lines: str, start: str = "", end: str = "\n\n") -> Reply:
    body = start + "\n\n".join(f"data: {line}" for line in lines) + end
    return Reply(body=body.encode(), headers={"content-type": "text/event-stream"})


WHOLE = json.dumps({"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]})


@pytest.mark.parametrize(
    "reply",
    [
        streamed(WHOLE, "[DONE]", start="\ufeff"),
        streamed(WHOLE, "[DONE]", end=""),
        streamed(WHOLE, "[DONE]", end="\r\n"),
        streamed("", WHOLE, " ", "[DONE] "),
    ],
    ids=["a mark before the first line", "no end of line", "no blank line", "empty events"],
)
def test_a_stream_may_be_framed_carelessly(server: OpenAIServer, llm: LLM, ask: Ask, reply: Reply) -> None:
    server.reply(reply if "stream" in ask.__name__ else "Hello")
    assert ask(llm, "Hi") == "Hello"


@pytest.mark.parametrize("half", [WHOLE[:-9], "[DO"])
def test_a_stream_that_ends_in_half_an_event_broke_off(server: OpenAIServer, llm: LLM, half: str) -> None:
    server.reply(streamed(json.dumps({"choices": [{"delta": {"content": "He"}}]}), half, end=""))
    pieces = llm.stream("Hi")
    assert next(pieces) == "He"
    with pytest.raises(StreamInterruptedError):
        next(pieces)


def test_of_several_choices_that_are_streamed_in_turn_one_is_read(
    server: OpenAIServer, llm: LLM, ask: Ask
) -> None:
    chunks = [
        {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}]}
        for index, text, finish in [(0, "Hel", None), (1, "Bye", None), (1, "", "length"), (0, "lo", "stop")]
    ]
    server.reply(streamed(*map(json.dumps, chunks), "[DONE]") if "stream" in ask.__name__ else "Hello")
    response = ask(llm, "Hi", n=2)
    assert response == "Hello"
    assert response.finish_reason == "stop"


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "text/plain", ""])
def test_a_whole_answer_where_a_stream_was_asked_for(
    server: OpenAIServer, llm: LLM, ask: Ask, kind: str
) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = {"role": "assistant", "content": "Hello there", "tool_calls": [call]}
    body = {
        "choices": [{"message": said, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3},
        "model": "x",
    }
    server.reply(Reply(body=b"\n " + json.dumps(body).encode(), headers={"content-type": kind}))
    found = ask(llm, "Hi")
    assert (found, found.tool_calls, found.model) == ("Hello there", [call], "x")
    assert found.usage is not None
    assert found.usage.prompt == 3
    server.reply(Reply(body=json.dumps({"choices": []}).encode(), headers={"content-type": kind}))
    with pytest.raises(LLMResponseError, match="an answer without choices"):
        ask(llm, "Hi")


def test_a_stream_that_ends_before_it_begins_is_asked_for_again(server: OpenAIServer, llm: LLM) -> None:
    server.reply(Reply(body=b"", headers={"content-type": "text/event-stream"}), "Hello")
    assert "".join(llm.stream("Hi")) == "Hello"
