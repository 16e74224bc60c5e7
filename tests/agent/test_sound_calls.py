"""What a model writes in place of a call is told to it, and no later request is refused for it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from ai_infra import LLM, Agent
from ai_infra.llm.arguments import NOT_JSON, sound_arguments
from ai_infra.llm.session import SessionStore
from ai_infra.llm.tools import Tool
from ai_infra.testing.openai_server import OpenAIServer, Reply, Request

from tests.agent.conftest import Ask


def note(text: str = "") -> str:
    """Write down."""
    return f"noted {text!r}"


def call(name: str, arguments: Any) -> Reply:
    return Reply(
        tool_calls=[{"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}]
    )


def strict(request: Request) -> Reply:
    """A service that parses what comes back, as those do that fill a template with it."""
    for message in request.messages:
        for made in message.get("tool_calls") or ():
            function = made["function"]
            try:
                assert isinstance(json.loads(function["arguments"], parse_constant=lambda _: 1 / 0), dict)
                assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", function["name"])
            except (ValueError, AssertionError, ZeroDivisionError):
                return Reply.error(400, "invalid tool call in the history")
    return Reply("fine")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('{"text": "cut o', "wrong arguments for note: they are no JSON (Unterminated"),
        ('{"text": "a"}{"text": "b"}', "they are no JSON (Extra data"),
        ('["a"]', "they are no JSON object"),
        ('"a"', "they are no JSON object"),
        ("null", "noted ''"),
        (" ", "noted ''"),
        ('{"text": "two\nlines"}', r"noted 'two\nlines'"),
        ('{"text": "\\ud800!"}', "noted '�!'"),
        ('{"text": NaN}', "text: Input should be a valid string"),
        (json.dumps({NOT_JSON: 5}), f"{NOT_JSON}: Extra inputs"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_arguments_that_are_no_object(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask, arguments: str, told: str
) -> None:
    server.reply(call("note", arguments))
    server.responder = strict
    agent = Agent(llm=llm, session=sessions, tools=[note])
    assert ask(agent, "go", session_id="s") == "fine"
    assert told in server.chats[1].messages[-1]["content"]
    assert ask(agent, "on", session_id="s") == "fine"


def test_the_model_sees_what_it_wrote() -> None:
    text = '{"text": "cut o'
    assert json.loads(sound_arguments(text)) == {NOT_JSON: text}
    assert sound_arguments('{"b": 1.10, "a":  "ü"}') == '{"b": 1.10, "a":  "ü"}'


def test_what_stands_for_no_arguments_reaches_no_tool(server: OpenAIServer, llm: LLM) -> None:
    given: list[dict[str, Any]] = []

    def anything(**more: Any) -> str:
        """Take what comes."""
        given.append(more)
        return "done"

    free = Tool(anything, name="free", parameters={"type": "object", "properties": {}})
    server.reply(call("anything", "{"), call("free", "{"))
    server.responder = strict
    assert Agent(llm=llm, tools=[anything, free]).run("go") == "fine"
    assert given == []


@pytest.mark.parametrize("name", ["functions.note", "take note", "", "n" * 90, "note\n"])
def test_names_that_no_service_takes(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask, name: str
) -> None:
    server.reply(call(name, "{}"))
    server.responder = strict
    agent = Agent(llm=llm, session=sessions, tools=[note])
    assert ask(agent, "go", session_id="s") == "fine"
    assert "The tools are: note" in server.chats[1].messages[-1]["content"]
    assert ask(agent, "on", session_id="s") == "fine"


def test_a_session_that_holds_such_a_call_goes_on(
    server: OpenAIServer, llm: LLM, sessions: SessionStore
) -> None:
    broken = {"id": "c", "type": "function", "function": {"name": "note", "arguments": '{"text": '}}
    sessions.append(
        "s",
        [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": None, "tool_calls": [broken]},
            {"role": "tool", "content": "no", "tool_call_id": "c"},
        ],
    )
    server.responder = strict
    assert Agent(llm=llm, session=sessions).run("on", session_id="s") == "fine"
    assert sessions.messages("s")[1]["tool_calls"] == [broken]


def test_langchain_models_too(sessions: SessionStore) -> None:
    fakes = pytest.importorskip("langchain_core.language_models.fake_chat_models")
    from langchain_core.messages import AIMessage

    class Model(fakes.GenericFakeChatModel):  # type: ignore[misc, name-defined]  # found at run time
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return self

    bad = {"name": "note", "args": '{"text": ', "id": "c", "error": None, "type": "invalid_tool_call"}
    model = Model(messages=iter([AIMessage("", invalid_tool_calls=[bad]), AIMessage("ok"), AIMessage("on")]))
    agent = Agent(llm=model, session=sessions, tools=[note])
    assert agent.run("go", session_id="s") == "ok"
    assert agent.run("go", session_id="s") == "on"
