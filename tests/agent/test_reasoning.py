"""What a model thought before a call goes back to the services that ask for it, and to nobody else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ai_infra import LLM, Agent, count_tokens
from ai_infra._service.providers import PROVIDERS
from ai_infra.llm.agent import Middleware, ModelReply, ModelRequest
from ai_infra.llm.reasoning import reasoning_of
from ai_infra.llm.session import SessionStore, memory
from ai_infra.testing.openai_server import OpenAIServer, Reply, Request

from tests.agent.conftest import Ask


def note(text: str) -> str:
    """Write down."""
    return f"noted {text}"


def thinking(request: Request) -> Reply:
    """DeepSeek's rule: a turn that calls tools comes back with what was thought in it, for ever."""
    called = False
    for message in request.messages:
        called = called and message["role"] != "user"
        called = called or bool(message.get("tool_calls"))
        if message["role"] == "assistant" and called and "reasoning_content" not in message:
            return Reply.error(
                400, "The reasoning_content in the thinking mode must be passed back to the API."
            )
        if message["role"] == "assistant" and not called and "reasoning_content" in message:
            return Reply.error(400, "reasoning_content where nothing was called")
    last = request.messages[-1]
    if last["role"] == "user" and "note" in last["content"]:
        return replace(Reply.tools(("note", {"text": last["content"]})), reasoning="Let me think.")
    if last["role"] == "tool" and "twice" in last["content"]:
        return replace(Reply.tools(("note", {"text": "again"})), reasoning="")
    return Reply("fine", reasoning="I know that.")


def test_it_goes_back_with_its_call(server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask) -> None:
    server.responder = thinking
    agent = Agent(llm=llm, session=sessions, tools=[note])
    for text in ("hello", "note this", "hello", "note twice", "hello"):
        assert ask(agent, text, session_id="s") == "fine"
    thought = [message.get("reasoning_content") for message in sessions.messages("s")]
    think = "Let me think."
    assert [one for one in thought if one is not None] == [think, "I know that.", think, "", "I know that."]
    assert server.chats[-1].messages == [*sessions.messages("s")][:-1]


def test_it_counts(server: OpenAIServer, llm: LLM) -> None:
    plain: dict[str, Any] = {"role": "assistant", "content": "Yes."}
    thought = {**plain, "reasoning_content": "Let me think. " * 10}
    more = count_tokens("Let me think. " * 10)
    assert count_tokens([thought]) == count_tokens([plain]) + more
    server.responder = thinking
    agent = Agent(llm=llm, session=memory(max_tokens=200), tools=[note])
    for _ in range(8):
        assert agent.run("note this", session_id="s") == "fine"
    for request in server.chats:
        assert count_tokens(request.messages, tools=request.body["tools"]) <= 200


def test_a_turn_that_waits_keeps_it(server: OpenAIServer, llm: LLM, sessions: SessionStore) -> None:
    server.responder = thinking
    agent = Agent(llm=llm, session=sessions, tools=[note], pause_before=[note])
    assert agent.run("note this", session_id="s").paused
    assert agent.resume("s") == "fine"


def test_a_hook_that_puts_another_reply_in_place_need_not_know(server: OpenAIServer, llm: LLM) -> None:
    class Rewrite(Middleware):
        def after_model(self, request: ModelRequest, reply: ModelReply) -> ModelReply:
            return ModelReply(reply.text, reply.tool_calls)

    server.responder = thinking
    assert Agent(llm=llm, tools=[note], middleware=[Rewrite()]).run("note this") == "fine"


def test_who_keeps_the_conversation_goes_on_with_it(server: OpenAIServer, llm: LLM) -> None:
    server.responder = thinking
    answer = llm.chat("note this", tools=[note])
    result = {"role": "tool", "content": "noted", "tool_call_id": answer.tool_calls[0]["id"]}
    assert llm.chat([*answer.messages, result], tools=[note]) == "fine"
    assert "reasoning_content" not in llm.chat("hello").messages[-1]


def test_services_that_never_send_it_get_none(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm.", "reasoning_details": []}
    asked = {"role": "user", "content": "Sure?"}
    for name in ("openai", "groq", "mistral", "deepseek"):
        provider = replace(PROVIDERS[name], base_url=server.base_url)
        monkeypatch.setitem(PROVIDERS, name, provider)
        with LLM(name, "m", api_key="k") as llm:
            llm.chat([told, asked])
        kept = "reasoning_content" in server.chats[-1].messages[0]
        assert kept is (name == "deepseek")
    assert told["reasoning_content"] == "Hm."


def test_pieces_of_details_come_together() -> None:
    text = {"type": "reasoning.text", "index": 0, "format": "anthropic"}
    pieces: list[dict[str, Any]] = [
        {"reasoning_details": [{**text, "text": "Let "}]},
        {"reasoning_details": [{**text, "text": "me", "signature": None}], "reasoning": "not kept"},
        {"reasoning_details": [{**text, "signature": "sig"}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "index": 1, "data": "x"}]},
        {"content": "Hello", "reasoning_content": None},
    ]
    assert reasoning_of(pieces) == {
        "reasoning_details": [
            {**text, "text": "Let me", "signature": "sig"},
            {"type": "reasoning.encrypted", "index": 1, "data": "x"},
        ]
    }
    assert reasoning_of([{"reasoning_content": 5, "reasoning_details": "no"}]) == {}
    assert reasoning_of([{"reasoning_content": "\ud800"}]) == {"reasoning_content": "�"}


@pytest.mark.parametrize("reasoning", [None, "Hm.", {"reasoning_details": [{1, 2}]}])
def test_models_of_ones_own_may_give_anything(sessions: SessionStore, reasoning: Any) -> None:
    class Own:
        def chat(self, messages: Any, tools: Any = None) -> ModelReply:
            call = {"id": "c", "function": {"name": "note", "arguments": '{"text": "a"}'}}
            return ModelReply("", [call] if messages[-1]["role"] == "user" else [], reasoning=reasoning)

    agent = Agent(llm=Own(), session=sessions, tools=[note])
    assert agent.run("go", session_id="s").steps == 2
    kept = sessions.messages("s")[1].get("reasoning_details")
    assert kept == (["{1, 2}"] if isinstance(reasoning, dict) else None)


def test_langchain_models_too(sessions: SessionStore) -> None:
    fakes = pytest.importorskip("langchain_core.language_models.fake_chat_models")
    from langchain_core.messages import AIMessage

    seen: list[Any] = []

    class Model(fakes.GenericFakeChatModel):  # type: ignore[misc, name-defined]  # found at run time
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return self

        def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(messages)
            return super()._generate(messages, *args, **kwargs)

    call = {"name": "note", "args": {"text": "a"}, "id": "c", "type": "tool_call"}
    thought = AIMessage("", tool_calls=[call], additional_kwargs={"reasoning_content": "Hm."})
    model = Model(messages=iter([thought, AIMessage("ok"), AIMessage("on")]))
    agent = Agent(llm=model, session=sessions, tools=[note])
    assert agent.run("go", session_id="s") == "ok"
    assert agent.run("on", session_id="s") == "on"
    assert seen[-1][1].additional_kwargs["reasoning_content"] == "Hm."
