"""The agent as the page documents it, and what it says when something is wrong."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from ai_infra import LLM, Agent
from ai_infra.errors import AgentError, ConfigurationError, InvalidInputError, InvalidTextError, LLMError
from ai_infra.llm.agent import Middleware, ModelReply, ModelRequest, ToolCall, ToolResult
from ai_infra.llm.session import SessionStore, memory, sqlite
from ai_infra.llm.tools.custom import ConversationMemory, create_memory_tool
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


def test_middleware_that_would_be_passed_over_is_an_error(server: OpenAIServer, llm: LLM) -> None:
    class Misnamed(Middleware):
        async def before_model(self, request: ModelRequest) -> None:  # type: ignore[override]  # the mistake
            pass

    class OnlyAsync(Middleware):
        async def aaround_tool(self, call: ToolCall, run: Any) -> ToolResult:
            return ToolResult("no")

    class Wrong(Middleware):
        def after_model(self, request: ModelRequest, reply: ModelReply) -> Any:
            return reply.text

    def echo(text: str) -> str:
        """Say it again."""
        return text

    with pytest.raises(ConfigurationError, match="call it abefore_model"):
        Agent(llm=llm, middleware=[Misnamed()])
    agent = Agent(llm=llm, tools=[echo], middleware=[OnlyAsync()])
    server.reply(Reply.tools(("echo", {"text": "a"})), "done")
    with pytest.raises(ConfigurationError, match="no around_tool"):
        agent.run("go")
    server.clear()
    server.reply(Reply.tools(("echo", {"text": "a"})), "done")
    assert asyncio.run(agent.arun("go")).messages[2].content == "no"
    with pytest.raises(ConfigurationError, match="returned str"):
        Agent(llm=llm, middleware=[Wrong()]).run("go")


def test_middleware_sees_and_changes(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    seen: list[str] = []

    class Changes(Middleware):
        def before_model(self, request: ModelRequest) -> None:
            seen.append(f"before {request.step}")
            request.messages.append({"role": "user", "content": "PS"})
            request.messages[0]["content"] += "!"
            request.params["seed"] = 7

        def after_model(self, request: ModelRequest, reply: ModelReply) -> ModelReply | None:
            seen.append("after")
            return None if reply.tool_calls else ModelReply(reply.text.upper(), [], reply.usage)

        def around_tool(self, call: ToolCall, run: Any) -> ToolResult:
            seen.append(f"tool {call.name} {call.arguments}")
            result = run(call)
            return ToolResult(f"<{result.content}>")

    class Both(Changes):
        async def aaround_tool(self, call: ToolCall, run: Any) -> ToolResult:
            seen.append(f"tool {call.name} {call.arguments}")
            return ToolResult(f"({(await run(call)).content})")

    def echo(text: str) -> str:
        """Say it again."""
        return text

    server.reply(Reply.tools(("echo", {"text": "hey"})), "quiet")
    agent = Agent(llm=llm, session=sessions, tools=[echo], middleware=[Changes(), Both()])
    streamed = ask.__name__.endswith("stream")
    result = agent.run("a", session_id="s") if streamed else ask(agent, "a", session_id="s")
    assert result == "QUIET"
    answer = "<(hey)>" if ask.__name__ == "arun" else "<<hey>>"
    assert [message["content"] for message in sessions.messages("s")] == ["a", None, answer, "QUIET"]
    sent = server.chats[1].messages
    assert (sent[0]["content"], sent[-1]["content"]) == ("a!!", "PS")
    assert server.chats[0].body["seed"] == 7
    assert seen[:4] == ["before 1", "before 1", "after", "after"]
    assert seen.count('tool echo {"text": "hey"}') == 2


def test_a_memory_gets_every_finished_turn(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    going_on = threading.Event()
    indexed: list[dict[str, Any]] = []

    class Memory:
        def index_conversation(self, **given: Any) -> None:
            going_on.wait(10)
            indexed.append(given)

    agent = Agent(llm=llm, session=sessions, memory=Memory(), user_id="u")
    ask(agent, "a", session_id="s")  # returns although the memory is still waiting
    ask(agent, "b", session_id="s")
    ask(agent, "c", session_id="t", user_id="other")
    going_on.set()
    agent.close()
    latest = {(given["user_id"], given["session_id"]): given["messages"] for given in indexed}
    assert latest == {("u", "s"): sessions.messages("s"), ("other", "t"): sessions.messages("t")}
    with pytest.raises(ConfigurationError, match="user_id"):
        Agent(llm=llm, session=sessions, memory=Memory()).run("a")


def test_the_next_session_recalls_what_was_said_in_this_one(
    server: OpenAIServer, llm: LLM, sessions: SessionStore
) -> None:
    with ConversationMemory() as past:
        recall = create_memory_tool(past, user_id="u")
        with Agent(llm=llm, session=sessions, memory=past, user_id="u", tools=[recall]) as agent:
            agent.run("My dog is called Rex", session_id="monday")
        server.reply(Reply.tools((recall.name, {"query": "the dog's name"})), "It is Rex")
        with Agent(llm=llm, session=sessions, tools=[recall]) as agent:
            assert agent.run("What is my dog called?", session_id="friday") == "It is Rex"
    told = server.chats[-1].messages[-1]
    assert told["role"] == "tool"
    assert "My dog is called Rex" in told["content"]
    assert "monday" in told["content"]


def test_without_a_provider_of_spans_none_is_looked_for(server: OpenAIServer) -> None:
    code = (
        "import sys; from ai_infra import LLM, Agent; "
        f"Agent(llm=LLM(base_url={server.base_url!r}, api_key='k', model='gpt-4o')).run('Hi'); "
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert len(server.chats) == 1


def test_a_memory_that_fails_is_no_failure_of_the_turn(llm: LLM, caplog: pytest.LogCaptureFixture) -> None:
    class Memory:
        def index_conversation(self, **given: Any) -> None:
            raise OSError("secret words")

    agent = Agent(llm=llm, memory=Memory(), user_id="u")
    with caplog.at_level(logging.INFO, "ai_infra"):
        assert agent.run("a secret")
        agent.close()
    assert "OSError" in caplog.text
    assert "secret" not in caplog.text


def test_nothing_of_what_was_said_is_logged(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(text: str) -> str:
        """Fails."""
        raise ValueError(text)

    server.reply(Reply.tools(("fails", {"text": "SECRET"})), "SECRET")
    with caplog.at_level(logging.DEBUG, "ai_infra"):
        ask(Agent(llm=llm, session=sessions, tools=[fails], system="SECRET"), "SECRET", session_id="s")
    assert "fails" in caplog.text
    assert "SECRET" not in caplog.text
    assert KEY not in caplog.text


def test_spans_have_names_and_counts_and_no_words(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    before = trace._TRACER_PROVIDER
    trace._TRACER_PROVIDER = provider
    try:

        def inner(text: str) -> str:
            """Makes a span of its own."""
            with trace.get_tracer("test").start_as_current_span("mine"):
                return text

        server.reply(Reply.tools(("inner", {"text": "SECRET"})), "SECRET")
        result = ask(Agent(llm=llm, session=sessions, tools=[inner]), "SECRET", session_id="s")
    finally:
        trace._TRACER_PROVIDER = before
    spans = {span.name: span for span in kept.get_finished_spans()}
    assert set(spans) == {"invoke_agent", "chat gpt-4o", "execute_tool inner", "mine"}
    root = spans["invoke_agent"]
    for name, parent in (
        ("chat gpt-4o", root),
        ("execute_tool inner", root),
        ("mine", spans["execute_tool inner"]),
    ):
        assert spans[name].parent == parent.get_span_context()
    chats = [dict(span.attributes or {}) for span in kept.get_finished_spans() if span.name == "chat gpt-4o"]
    assert sum(int(str(chat["gen_ai.usage.input_tokens"])) for chat in chats) == result.usage.prompt
    assert dict(root.attributes or {})["gen_ai.conversation.id"] == "s"
    text = io.StringIO()
    for span in spans.values():
        text.write(span.to_json())
    assert "SECRET" not in text.getvalue()


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
