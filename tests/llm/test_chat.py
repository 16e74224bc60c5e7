"""Asking and being answered."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from typing import Any

import pytest
from ai_infra.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidInputError,
    InvalidMessageError,
    InvalidTextError,
    InvalidValueError,
    MissingDependencyError,
)
from ai_infra.llm import LLM, ChatResponse, Usage
from ai_infra.testing.openai_server import OpenAIServer, Reply
from langchain_core.messages import AIMessage

from .conftest import KEY, Ask

HUGE = 10**5000


@pytest.mark.parametrize(
    ("prompt", "extra", "where"),
    [
        ("x", {"seed": HUGE}, r"^seed: an integer of more than 4,300 digits"),
        ("x", {"logit_bias": {HUGE: 1}}, r"^logit_bias: an integer of more than"),
        ("x", {"metadata": {"a": [{(1, 2): 3}]}}, r"^metadata.a\[0\]: a tuple is no key"),
        ("x", {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"maximum": -HUGE}}}]}, "maximum: an"),
        ([{"role": "assistant", "tool_calls": [{"id": "1", "function": {"arguments": {"a": HUGE}}}]}], {}, "a dict inside .*4300 digits"),
        ([AIMessage("", tool_calls=[{"id": "1", "name": "f", "args": {"a": HUGE}}])], {}, "a dict inside .*4300 digits"),
    ],
)  # fmt: skip
def test_what_no_json_is_written_of_is_an_error_of_ours(
    server: OpenAIServer, llm: LLM, ask: Ask, prompt: Any, extra: dict[str, Any], where: str
) -> None:
    with pytest.raises(InvalidInputError, match=where):
        ask(llm, prompt, **extra)
    assert not server.chats
    assert ask(llm, "x", seed=10**4000, logit_bias={50256: -100})


def test_the_quick_start_of_the_page(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    server.reply("Nice to meet you.", "Your name is Alice")
    messages: list[dict[str, Any]] = []
    messages.append({"role": "user", "content": "My name is Alice"})
    response = ask(llm, messages)
    messages.append({"role": "assistant", "content": response})
    messages.append({"role": "user", "content": "What's my name?"})
    answer = ask(llm, messages)
    assert answer == "Your name is Alice"
    assert server.chats[1].messages == [
        {"role": "user", "content": "My name is Alice"},
        {"role": "assistant", "content": "Nice to meet you."},
        {"role": "user", "content": "What's my name?"},
    ]


def test_the_response_is_its_text_and_knows_the_rest(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    usage = {
        "prompt_tokens": 12,
        "completion_tokens": 3,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 8},
    }
    server.reply(Reply("Grüße, 世界 🌍", usage=usage))
    response = ask(llm, "Hi", model="other")
    assert response == "Grüße, 世界 🌍"
    assert type(response.content) is str
    assert response.usage == Usage(prompt=12, completion=3, total=15, cached=8)
    assert response.model == "other"
    assert response.finish_reason == "stop"
    assert response.tool_calls == []
    assert response.messages == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Grüße, 世界 🌍"},
    ]
    assert json.dumps({"response": response}, ensure_ascii=False) == '{"response": "Grüße, 世界 🌍"}'


def test_a_response_survives_pickle_and_copy(server: OpenAIServer, llm: LLM) -> None:
    server.reply(Reply.tools(("now", {"zone": "UTC"}), text="Looking."))
    response = llm.chat("What time is it?")
    for twin in (pickle.loads(pickle.dumps(response)), copy.deepcopy(response), copy.copy(response)):
        assert type(twin) is ChatResponse
        assert twin == response
        assert vars(twin) == vars(response)


def test_tool_calls_come_whole_also_in_parallel_and_in_fragments(
    server: OpenAIServer, llm: LLM, ask: Ask
) -> None:
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    server.reply(
        Reply.tools(("weather", {"city": "São Paulo", "days": 3}), ("weather", {"city": "Łódź"})), "Warm."
    )
    response = ask(llm, "Weather?", tools=tools)
    assert response == ""
    assert response.content == ""
    assert response.finish_reason == "tool_calls"
    assert [call["id"] for call in response.tool_calls] == ["call_0", "call_1"]
    assert [json.loads(call["function"]["arguments"]) for call in response.tool_calls] == [
        {"city": "São Paulo", "days": 3},
        {"city": "Łódź"},
    ]
    assert server.chats[0].body["tools"] == tools
    follow_up = [
        *response.messages,
        *({"role": "tool", "tool_call_id": call["id"], "content": "25 °C"} for call in response.tool_calls),
    ]
    assert ask(llm, follow_up, tools=tools) == "Warm."
    sent = server.chats[1].messages
    assert sent[1] == {"role": "assistant", "content": None, "tool_calls": response.tool_calls}


def test_tools_may_be_objects_that_know_their_schema(server: OpenAIServer, llm: LLM) -> None:
    class Tool:
        def to_openai(self) -> dict[str, Any]:
            return {"type": "function", "function": {"name": "recall"}}

    llm.chat("Hi", tools=[Tool()])
    llm.chat("Hi", tools=[])
    assert server.chats[0].body["tools"] == [{"type": "function", "function": {"name": "recall"}}]
    assert "tools" not in server.chats[1].body


def test_parameters_of_the_call_win_over_those_of_the_client(server: OpenAIServer) -> None:
    with LLM(base_url=server.base_url, api_key=KEY, model="a", temperature=0, seed=7, top_p=0.5) as llm:
        llm.chat("Hi", temperature=1, top_p=None, model="b", anything_else={"x": 1})
        llm.chat("Hi")
    first, second = (request.body for request in server.chats)
    assert (first["model"], first["temperature"], first["seed"]) == ("b", 1, 7)
    assert "top_p" not in first
    assert first["anything_else"] == {"x": 1}
    assert (second["model"], second["temperature"], second["top_p"]) == ("a", 0, 0.5)


def test_a_history_of_responses_does_not_keep_older_histories(server: OpenAIServer, llm: LLM) -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "1"}]
    first = llm.chat(messages)
    messages += [{"role": "assistant", "content": first}, {"role": "user", "content": "2"}]
    second = llm.chat(messages)
    assert all(type(message["content"]) is str for message in second.messages)
    assert messages[1]["content"] is first


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([], InvalidInputError),
        ([{"content": "no role"}], InvalidMessageError),
        (42, InvalidMessageError),
        ("a lone \ud800 surrogate", InvalidTextError),
        ([{"role": "user", "content": [{"type": "text", "text": "é \udfff"}]}], InvalidTextError),
        ([{"role": "user", "content": "fine", "extra": {1, 2}}], InvalidValueError),
    ],
)
def test_what_cannot_be_sent_is_refused(
    server: OpenAIServer, llm: LLM, ask: Ask, messages: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        ask(llm, messages)
    assert server.chats == []


def test_the_sdk_missing_names_the_pip_line(
    server: OpenAIServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ai_infra._service import sdk

    monkeypatch.setattr(sdk._Sdk, "loaded", None)
    monkeypatch.setitem(sys.modules, "openai", None)
    llm = LLM(base_url=server.base_url, api_key=KEY)  # constructing needs no SDK
    with pytest.raises(MissingDependencyError, match=r'pip install "ai-infra-memory\[openai\]"'):
        ask(llm, "Hi")


def test_no_key_names_the_variable(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        ask(LLM("openai"), "Hi")
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    with pytest.raises(AuthenticationError, match="GROQ_API_KEY"):
        ask(LLM("groq", model="m"), "Hi")


def test_a_key_set_after_construction_is_found(
    server: OpenAIServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with LLM() as llm:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-later")
        ask(llm, "Hi")
    assert server.chats[0].headers["authorization"] == "Bearer sk-later"


def test_a_provider_without_a_default_model_asks_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XAI_API_KEY", "k")
    with pytest.raises(ConfigurationError, match="model="):
        LLM("xai").chat("Hi")


@pytest.mark.parametrize(
    "arguments",
    [
        {"timeout": 0},
        {"timeout": float("nan")},
        {"deadline": -1},
        {"deadline": float("inf")},
        {"max_retries": -1},
        {"retry_wait": -0.1},
        {"provider": "nobody"},
        {"base_url": "localhost:8000"},
        {"base_url": "http://["},
        {"base_url": ""},
        {"base_url": "https://user:hunter2@example.com/v1"},
        {"api_key": "sk-schlüssel"},
        {"api_key": "sk\nkey"},
        {"max_retries": "3"},
        {"max_retries": 1.5},
        {"timeout": "3"},
        {"deadline": None},
        {"retry_wait": "x"},
        {"retry_wait": float("nan")},
        {"provider": 5},
        {"base_url": 5},
        {"api_key": 5},
        {"model": 5},
        {"stream": True},
    ],
)
def test_a_wrong_setting_is_refused_at_once_and_not_repeated(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        LLM(**{"api_key": "k", **arguments})
    for secret in ("hunter2", "schlüssel", "sk\nkey"):
        assert secret not in str(caught.value)
