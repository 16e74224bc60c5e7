"""What stands around a turn: middleware, memories, spans and logs."""

from __future__ import annotations

import asyncio
import io
import logging
import subprocess
import sys
import threading
from typing import Any

import pytest
from ai_infra import LLM, Agent
from ai_infra.errors import ConfigurationError
from ai_infra.llm.agent import Middleware, ModelReply, ModelRequest, ToolCall, ToolResult
from ai_infra.llm.session import SessionStore
from ai_infra.llm.tools.custom import ConversationMemory, create_memory_tool
from ai_infra.testing.openai_server import OpenAIServer, Reply

from tests.agent.conftest import KEY, Ask


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
