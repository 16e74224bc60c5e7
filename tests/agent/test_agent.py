"""The agent as the page documents it, and what it says when something is wrong."""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ai_infra import LLM, Agent
from ai_infra.errors import AgentError, ConfigurationError, InvalidInputError, InvalidTextError, LLMError
from ai_infra.llm.agent import Middleware
from ai_infra.llm.session import SessionStore, memory, sqlite
from ai_infra.testing.openai_server import OpenAIServer, Reply

from tests.agent.conftest import KEY, Ask


def test_the_documented_session(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    code = """
from ai_infra import Agent
from ai_infra.llm.session import memory as session_memory

# Session: same conversation across requests
agent = Agent(session=session_memory())
agent.run("Hi, I'm Bob", session_id="thread_123")
answer = agent.run("What's my name?", session_id="thread_123")  # Knows "Bob"
"""
    names: dict[str, Any] = {}
    exec(code, names)
    asked = server.chats[1].messages
    assert [message["content"] for message in asked][::2] == ["Hi, I'm Bob", "What's my name?"]
    names["agent"].close()


def test_another_process_goes_on(server: OpenAIServer, tmp_path: Path) -> None:
    code = """
import sys
from ai_infra import Agent, LLM
from ai_infra.llm.session import sqlite
path, url, prompt = sys.argv[1:]
with sqlite(path) as sessions, LLM(base_url=url, api_key="k", model="gpt-4o") as llm:
    result = Agent(session=sessions, llm=llm, system="Be brief.").run(prompt, session_id="thread_123")
    print(len(result.messages))
"""
    for number, prompt in enumerate(("Hi, I'm Bob", "What's my name?"), 1):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "s.db"), server.base_url, prompt],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == [str(2 * number)]
    asked = [message["content"] for message in server.chats[1].messages]
    assert asked[:2] == ["Be brief.", "Hi, I'm Bob"]
    assert asked[-1] == "What's my name?"


def test_a_result_is_its_text(server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask) -> None:
    server.reply("Hello Bob", "Bob")
    agent = Agent(session=sessions, llm=llm, system="Be brief.")
    ask(agent, "Hi, I'm Bob", session_id="s")
    result = ask(agent, "What's my name?", session_id="s")
    assert result == "Bob"
    assert type(result.content) is str
    assert json.dumps({"answer": result}) == '{"answer": "Bob"}'
    assert (result.session_id, result.steps, result.paused, result.pending_action) == ("s", 1, False, None)
    assert result.usage.prompt > 0
    assert [message["content"] for message in result.messages] == [
        "Hi, I'm Bob",
        "Hello Bob",
        "What's my name?",
        "Bob",
    ]
    assert result.new_messages == result.messages[2:]
    assert result.messages == sessions.messages("s") == asyncio.run(result.amessages())
    copy = pickle.loads(pickle.dumps(result))
    assert (copy, copy.messages, copy.usage) == (result, result.messages, result.usage)
    # A later turn is none of this result's.
    ask(agent, "And now?", session_id="s")
    assert len(result.messages) == 4


def test_what_is_handed_out_is_a_copy(server: OpenAIServer, llm: LLM, sessions: SessionStore) -> None:
    agent = Agent(session=sessions, llm=llm)
    given = [{"role": "user", "content": [{"type": "text", "text": "one"}]}]
    result = agent.run(given, session_id="s")
    given[0]["content"][0]["text"] = "changed"  # type: ignore[index]  # the test's own nested list
    result.new_messages[0]["content"][0]["text"] = "changed"
    result.messages[1]["content"] = "changed"
    agent.run("two", session_id="s")
    assert server.chats[1].messages[0]["content"] == [{"type": "text", "text": "one"}]
    assert server.chats[1].messages[1]["content"] != "changed"


def test_without_a_session(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    agent = Agent(llm=llm, system="Be brief.", temperature=0)
    result = ask(agent, [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], seed=1)
    assert [message["content"] for message in server.chats[0].messages] == ["Be brief.", "a", "b"]
    assert (server.chats[0].body["temperature"], server.chats[0].body["seed"]) == (0, 1)
    assert len(result.messages) == 3
    assert result.session_id
    with pytest.raises(ConfigurationError, match="session store"):
        ask(agent, "x", session_id="s")
    with pytest.raises(ConfigurationError, match="session store"):
        agent.resume("s")


def test_a_session_without_an_id_begins_a_new_one(llm: LLM, sessions: SessionStore, ask: Ask) -> None:
    agent = Agent(llm=llm, session=sessions)
    first, second = ask(agent, "a"), ask(agent, "b")
    assert first.session_id != second.session_id
    assert {info.id for info in sessions.list()} == {first.session_id, second.session_id}


def test_a_turn_with_an_id_is_made_once(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    server.reply("first", "second")
    agent = Agent(llm=llm, session=sessions)
    ask(agent, "a", session_id="s", turn_id="t")
    again = agent.run("a", session_id="s", turn_id="t")
    assert (again, again.steps, len(again.messages)) == ("first", 0, 2)
    assert len(server.chats) == 1
    assert ask(agent, "b", session_id="s", turn_id="u") == "second"


def test_a_failure_leaves_the_session_as_it_was(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    agent = Agent(llm=llm, session=sessions)
    server.reply("fine", Reply.error(400, "no"), "fine again")
    ask(agent, "a", session_id="s")
    before = sessions.get("s")
    with pytest.raises(LLMError):
        ask(agent, "b", session_id="s")
    assert sessions.get("s") == before
    assert ask(agent, "c", session_id="s") == "fine again"
    assert [message["content"] for message in server.chats[-1].messages] == ["a", "fine", "c"]


def test_bad_input_is_refused_before_the_model_is_asked(
    server: OpenAIServer, llm: LLM, sessions: SessionStore
) -> None:
    agent = Agent(llm=llm, session=sessions)
    for prompt, error in (
        ([], InvalidInputError),
        (["x"], InvalidInputError),
        ("half \ud83d", InvalidTextError),
        ([{"role": "user", "content": {1}}], InvalidInputError),
    ):
        with pytest.raises(error):
            agent.run(prompt, session_id="s")
    for ids in ({"session_id": ""}, {"session_id": "s", "turn_id": ""}, {"session_id": 3}):
        with pytest.raises(InvalidInputError):
            agent.run("x", **ids)
    assert server.chats == []


def test_options_that_do_not_fit_together() -> None:
    def send(to: str) -> str:
        """Send."""
        return to

    wrong: list[dict[str, Any]] = [
        {"session": "thread_1"},
        {"llm": object()},
        {"llm": LLM(), "provider": "openai"},
        {"max_steps": 0},
        {"system": 3},
        {"middleware": [print]},
        {"memory": object()},
        {"tools": [send], "pause_before": [send]},
        {"tools": [send], "pause_before": ["other"], "session": memory()},
        {"tools": send},
        {"middleware": Middleware()},
        {"tools": [send], "pause_before": send, "session": memory()},
        {"llm": LLM},
        {"user_id": 5},
        {"session_id": "s"},
        {"stream": True},
        {"instructions": "Be brief."},
    ]
    for options in wrong:
        with pytest.raises((ConfigurationError, InvalidInputError)):
            Agent(**options)
    with pytest.raises(ConfigurationError, match="wait"):
        memory(wait="long")  # type: ignore[arg-type]  # the mistake


@pytest.mark.parametrize(
    "name", ["session", "thread_id", "max_steps", "tools", "system", "messages", "stream"]
)
def test_what_no_model_takes_is_not_sent_in_silence(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask, name: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is no parameter here"):
        ask(Agent(llm=llm, session=sessions), "Hi", **{name: "x"})
    assert server.chats == []


def test_any_object_with_chat_is_a_model(sessions: SessionStore, ask: Ask) -> None:
    class Parrot:
        def chat(self, messages: list[Any], **options: Any) -> Any:
            return {"role": "assistant", "content": messages[-1]["content"] * 2}

    assert ask(Agent(llm=Parrot(), session=sessions), "ha", session_id="s") == "haha"


def test_a_langchain_model(sessions: SessionStore, ask: Ask) -> None:
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage

    class Model(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **options: Any) -> Any:
            return self

    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "x", "type": "tool_call"}
    model = Model(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("three")]))
    result = ask(Agent(llm=model, tools=[add], session=sessions), "1 + 2?", session_id="s")
    assert result == "three"
    assert [message.get("content") for message in result.messages] == ["1 + 2?", None, "3", "three"]


def test_an_agent_on_the_session_it_serves_does_not_hang(
    server: OpenAIServer, llm: LLM, tmp_path: Path
) -> None:
    with sqlite(tmp_path / "s.db", wait=0.05) as sessions:

        def nested() -> str:
            """Asks the same agent about the same session."""
            return agent.run("inner", session_id="s")

        agent = Agent(llm=llm, session=sessions, tools=[nested])
        server.reply(Reply.tools(("nested", {})), "done")
        result = agent.run("outer", session_id="s")
        assert "ConflictError" in result.messages[2].content
        assert result == "done"


def test_a_paused_session_is_not_talked_over(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    def send(to: str) -> str:
        """Send."""
        return f"sent to {to}"

    agent = Agent(llm=llm, session=sessions, tools=[send], pause_before=[send])
    server.reply(Reply.tools(("send", {"to": "a"})))
    assert ask(agent, "go", session_id="s").paused
    with pytest.raises(AgentError, match="resume"):
        ask(agent, "hello?", session_id="s")
