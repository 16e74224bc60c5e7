"""The local server without a script: honest, deterministic, and good enough for a demonstration."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from ai_infra import _core
from ai_infra.llm import LLM
from ai_infra.testing.openai_server import OpenAIServer, Reply
from ai_infra.testing.standin import LABEL

HISTORY = [
    {"role": "user", "content": "Hi there. My name is Alice and my dog is called Bruno."},
    {"role": "assistant", "content": "Nice to meet you, Alice!"},
    {"role": "user", "content": "The launch is on 14 March 2026, budget 12,500 EUR. Whatever else."},
    {"role": "assistant", "content": "Noted."},
]


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def llm(server: OpenAIServer) -> LLM:
    return LLM(base_url=server.base_url, api_key="k", max_retries=0)


def test_it_answers_from_what_it_was_sent_and_says_what_it_is(llm: LLM) -> None:
    answer = llm.chat([*HISTORY, {"role": "user", "content": "What is the name of my dog?"}])
    assert answer.startswith(LABEL)
    assert "Bruno" in answer
    assert "EUR" not in answer
    assert answer == llm.chat([*HISTORY, {"role": "user", "content": "What is the name of my dog?"}])


def test_a_recap_in_the_prompt_is_read_and_is_no_request_for_one(llm: LLM) -> None:
    recap = {"role": "system", "content": "[Conversation summary]\nThe launch is on 14 March."}
    assert "14 March" in llm.chat([recap, {"role": "user", "content": "When is the launch?"}])


@pytest.mark.parametrize("limit", [20, 40, 400])
def test_a_summary_keeps_the_facts_within_its_bound(llm: LLM, limit: int) -> None:
    record = "\n".join(f"{m['role']}: {m['content']}" for m in HISTORY)
    prompt = [
        {"role": "system", "content": "You keep the running summary of a conversation."},
        {
            "role": "user",
            "content": f"<messages>\n{record}\n</messages>\n\nWrite at most 9 words ({limit} tokens).",
        },
    ]
    summary = llm.chat(prompt)
    assert _core.Encoding("o200k_base").count(summary) <= limit
    assert summary.startswith(LABEL)
    assert ("14 March 2026" in summary) == (limit >= 40)
    assert ("Bruno" in summary) == (limit >= 400)
    assert "Write at most" not in summary
    assert "<messages>" not in summary


def test_a_recall_tool_is_called_for_the_past_and_its_result_is_quoted(llm: LLM) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "recall_past_conversations",
            "description": "Search through past conversations.",
            "parameters": {
                "type": "object",
                "properties": {"query": {"type": "string"}},
                "required": ["query"],
            },
        },
    }
    question = "How did we fix that caching issue last month?"
    response = llm.chat(question, tools=[tool])
    assert json.loads(response.tool_calls[0]["function"]["arguments"]) == {"query": question}
    result = {
        "role": "tool",
        "tool_call_id": response.tool_calls[0]["id"],
        "content": "We fixed the caching issue with a shorter TTL.",
    }
    assert "shorter TTL" in llm.chat([*response.messages, result], tools=[tool])
    assert llm.chat("Good morning!", tools=[tool]).tool_calls == []


@pytest.mark.parametrize(
    "content", ["", "   ", "?!", "🙂", "第四", None, [], [{"type": "image_url"}], "\x00"]
)
def test_no_message_is_too_odd(llm: LLM, content: Any) -> None:
    assert LABEL in llm.chat([{"role": "user", "content": content}])
    assert LABEL in llm.chat(
        [{"role": "user", "content": content}, {"role": "user", "content": "Summarize it."}]
    )


def test_a_key_can_be_demanded() -> None:
    with OpenAIServer(api_key="right") as server:
        request = urllib.request.Request(
            f"{server.base_url}/models", headers={"authorization": "Bearer wrong"}
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        assert caught.value.code == 401
        caught.value.close()
        request.add_header("authorization", "Bearer right")
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["object"] == "list"


@pytest.mark.parametrize(
    ("path", "body", "status"), [("/nowhere", b"{}", 404), ("/chat/completions", b"{", 400)]
)
def test_a_wrong_request_is_refused(server: OpenAIServer, path: str, body: bytes, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(server.base_url + path, data=body))
    assert caught.value.code == status
    assert "error" in json.load(caught.value)
    caught.value.close()


def test_the_limits_of_the_embeddings_endpoint(server: OpenAIServer) -> None:
    import openai

    with openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
        for texts in (["x"] * 2_049, ["word " * 9_000], ["word " * 7_000] * 50, [""], []):
            with pytest.raises(openai.BadRequestError):
                client.embeddings.create(model="m", input=texts)
        made = client.embeddings.create(model="m", input=["a b", "b a", "c"], dimensions=32)
        assert [len(item.embedding) for item in made.data] == [32] * 3
        assert made.data[0].embedding == made.data[1].embedding != made.data[2].embedding


def test_the_official_client_reads_every_shape(server: OpenAIServer) -> None:
    """The server is only worth as much as its protocol is right: the SDK's own models are the referee."""
    import openai

    with openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
        server.reply("Hello", Reply.tools(("a", {"x": 1}), ("b", {})), Reply.tools(("a", {"x": "long " * 9})))
        ask: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        whole = client.chat.completions.create(**ask)
        assert whole.choices[0].message.content == "Hello"
        calls = client.chat.completions.create(**ask).choices[0].message.tool_calls or []
        assert [call.function.name for call in calls if call.type == "function"] == ["a", "b"]
        chunks = list(client.chat.completions.create(**ask, stream=True))
        parts = [part for chunk in chunks for part in chunk.choices[0].delta.tool_calls or []]
        arguments = "".join(part.function.arguments or "" for part in parts if part.function)
        assert json.loads(arguments) == {"x": "long " * 9}
        assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": "Hi"},
        {"messages": []},
        {"messages": ["Hi"]},
        {"messages": HISTORY, "tools": "now"},
        {"messages": HISTORY, "tools": [5]},
        {"messages": HISTORY, "tools": [{"type": "function", "function": "now"}]},
    ],
)
def test_a_chat_that_is_not_of_the_protocol_is_told_so(server: OpenAIServer, body: dict[str, Any]) -> None:
    request = urllib.request.Request(f"{server.base_url}/chat/completions", json.dumps(body).encode())
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 400
    assert "Invalid type for" in json.load(caught.value)["error"]["message"]
