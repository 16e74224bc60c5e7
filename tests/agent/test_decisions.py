"""Which call a decision is about, and what becomes of turns that are given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from ai_infra import LLM, Agent
from ai_infra.errors import AgentError, ConfigurationError, ConflictError, LLMError, SessionNotFoundError
from ai_infra.llm.agent import Middleware, ModelRequest, ToolCall, ToolResult
from ai_infra.llm.session import SessionStore
from ai_infra.testing.openai_server import OpenAIServer, Reply

from tests.agent.conftest import Ask
from tests.agent.test_pause import Mailbox, resumed

BOTH = Reply.tools(("send", {"to": "Ann"}), ("send", {"to": "Mallory"}))


def test_an_approval_delivered_twice_approves_nothing_unseen(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    mail = Mailbox()
    agent = Agent(llm=llm, session=sessions, tools=[mail.send], pause_before=[mail.send])
    server.reply(BOTH, "Sent.")
    first = ask(agent, "write", session_id="s").pending_action
    assert first is not None
    assert agent.pending("s") == first
    assert asyncio.run(agent.apending("s")) == first
    again = resumed(agent, ask, "s", call_id=first.call_id)
    assert again.pending_action is not None
    with pytest.raises(ConflictError, match=f"{again.pending_action.call_id!r} does, of send"):
        resumed(agent, ask, "s", call_id=first.call_id)
    assert mail.sent == []
    assert agent.pending("s") == again.pending_action
    assert resumed(agent, ask, "s", approved=False, call_id=again.pending_action.call_id) == "Sent."
    assert mail.sent == ["Ann: hi"]
    assert agent.pending("s") is None
    with pytest.raises(AgentError, match="waits for a decision"):
        resumed(agent, ask, "s", call_id=first.call_id)
    with pytest.raises(SessionNotFoundError):
        agent.pending("nobody's")
    with pytest.raises(ConfigurationError, match="needs a session store"):
        Agent(llm=llm).pending("s")


def test_a_lost_answer_that_a_call_waits_is_given_again(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    mail = Mailbox()
    agent = Agent(llm=llm, session=sessions, tools=[mail.send], pause_before=[mail.send])
    server.reply(BOTH)
    first = ask(agent, "write", session_id="s", turn_id="t")
    again = ask(agent, "write", session_id="s", turn_id="t")
    assert again.pending_action == first.pending_action
    assert (again.new_messages, again.usage, again.steps) == (first.new_messages, first.usage, first.steps)
    assert len(server.chats) == 1
    with pytest.raises(AgentError, match="waits for a decision about a tool call"):
        ask(agent, "another", session_id="s", turn_id="u")


class After(Middleware):
    """Fails once a call was made, as an audit log may."""

    broken = True

    def around_tool(self, call: ToolCall, run: Callable[[ToolCall], ToolResult]) -> ToolResult:
        result = run(call)
        if self.broken:
            raise RuntimeError("the audit log is down")
        return result


def test_a_call_that_may_have_been_made_is_not_made_again_unasked(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    mail, audit = Mailbox(), After()
    agent = Agent(llm=llm, session=sessions, tools=[mail.send], pause_before=[mail.send], middleware=[audit])
    server.reply(Reply.tools(("send", {"to": "Ann"})), "Sent.")
    ask(agent, "write", session_id="s")
    with pytest.raises(RuntimeError, match="audit"):
        resumed(agent, ask, "s")
    audit.broken = False
    with pytest.raises(ConflictError, match="retry=True"):
        resumed(agent, ask, "s")
    assert mail.sent == ["Ann: hi"]
    assert resumed(agent, ask, "s", retry=True) == "Sent."


def test_what_other_calls_of_the_step_gave_is_kept(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    class AfterMallory(After):
        def around_tool(self, call: ToolCall, run: Callable[[ToolCall], ToolResult]) -> ToolResult:
            return super().around_tool(call, run) if "Mallory" in call.arguments else run(call)

    mail, audit = Mailbox(), AfterMallory()
    agent = Agent(llm=llm, session=sessions, tools=[mail.send], pause_before=[mail.send], middleware=[audit])
    calls = [("send", {"to": name}) for name in ("Ann", "Mallory", "Eve", "Bob")]
    server.reply(Reply.tools(*calls), "Sent.")
    ask(agent, "write", session_id="s")
    resumed(agent, ask, "s")
    resumed(agent, ask, "s")
    resumed(agent, ask, "s", approved=False, reason="Not Eve.")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="audit"):
            resumed(agent, ask, "s", retry=True)
    assert sorted(mail.sent) == ["Ann: hi", "Bob: hi", "Mallory: hi", "Mallory: hi"]
    audit.broken = False
    assert resumed(agent, ask, "s", retry=True) == "Sent."
    assert sorted(mail.sent) == ["Ann: hi", "Bob: hi", "Mallory: hi", "Mallory: hi", "Mallory: hi"]
    results = [message["content"] for message in server.chats[-1].messages if message["role"] == "tool"]
    assert [result.split()[0] for result in results] == ["sent", "sent", "The", "sent"]
    assert "Not Eve." in results[2]


def test_a_decision_after_the_calls_were_made_is_not_ignored(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    mail = Mailbox()
    agent = Agent(llm=llm, session=sessions, tools=[mail.send], pause_before=[mail.send])
    server.reply(Reply.tools(("send", {"to": "Ann"})), Reply.error(400, "no"), "Sent.")
    ask(agent, "write", session_id="s")
    with pytest.raises(LLMError):
        resumed(agent, ask, "s")
    with pytest.raises(AgentError, match=r"has not ended .* agent\.resume\(session_id\)"):
        ask(agent, "more", session_id="s")
    with pytest.raises(ConflictError, match="are decided"):
        resumed(agent, ask, "s", approved=False)
    assert resumed(agent, ask, "s") == "Sent."
    assert mail.sent == ["Ann: hi"]


def test_an_agent_without_the_tool_uses_no_approval_up(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    mail = Mailbox()
    agent = Agent(llm=llm, session=sessions, tools=[mail.send], pause_before=[mail.send])
    server.reply(Reply.tools(("send", {"to": "Ann"})), "Sent.")
    ask(agent, "write", session_id="s")
    with pytest.raises(ConfigurationError, match="no tool 'send'"):
        resumed(Agent(llm=llm, session=sessions), ask, "s")
    assert resumed(agent, ask, "s") == "Sent."


@pytest.mark.parametrize("streaming", [False, True])
def test_a_resume_that_is_cancelled_blocks_nobody(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, streaming: bool
) -> None:
    mail = Mailbox()
    agent = Agent(llm=llm, session=sessions, tools=[mail.send], pause_before=[mail.send])
    server.reply(Reply.tools(("send", {"to": "Ann"})), Reply("Sent.", delay=3), "Sent, really.")

    async def work() -> Any:
        await agent.arun("write", session_id="s")

        async def read() -> None:
            async for _event in agent.aresume_stream("s"):
                pass

        task = asyncio.ensure_future(read() if streaming else agent.aresume("s"))
        while len(server.chats) < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await asyncio.wait_for(agent.aresume("s"), 20)

    assert asyncio.run(work()) == "Sent, really."
    assert mail.sent == ["Ann: hi"]


class Redacting(Middleware):
    def before_model(self, request: ModelRequest) -> None:
        for message in request.messages:
            if isinstance(message.get("content"), list):
                message["content"][0]["text"] = "[REDACTED]"
            for call in message.get("tool_calls") or ():
                call["function"]["arguments"] = "{}"


def test_what_a_hook_changes_is_not_what_is_stored(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    mail = Mailbox()
    agent = Agent(llm=llm, session=sessions, tools=[mail.send], middleware=[Redacting()])
    server.reply(Reply.tools(("send", {"to": "Ann"})), "Sent.")
    said = {"role": "user", "content": [{"type": "text", "text": "my number is 12"}]}
    ask(agent, [said], session_id="s")
    stored = sessions.messages("s")
    assert stored[0]["content"] == said["content"]
    assert "Ann" in stored[1]["tool_calls"][0]["function"]["arguments"]
    assert "12" not in str(server.chats[-1].messages)
