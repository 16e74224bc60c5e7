"""Calls that wait for a person: durable, decided in any process, made once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from ai_infra import LLM, Agent
from ai_infra.errors import AgentError, ConflictError, InvalidInputError, LLMError, SessionNotFoundError
from ai_infra.llm.agent import Middleware, ModelRequest, ToolFinished, ToolStarted
from ai_infra.llm.session import SessionStore, sqlite
from ai_infra.testing.openai_server import Hold, OpenAIServer, Reply

from tests.agent.conftest import Ask, assert_valid


class Died(BaseException):
    """As good as kill -9 for what is stored: nothing more is written."""


class Mailbox:
    """A tool with an effect."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, to: str, text: str = "hi") -> str:
        """Send a mail."""
        self.sent.append(f"{to}: {text}")
        return f"sent to {to}"

    def look(self) -> str:
        """Look into the mailbox."""
        return "nothing new"


def resumed(agent: Agent, ask: Ask, session_id: str, **decision: Any) -> Any:
    """The face of resume that goes with that of run."""
    if ask.__name__ == "arun":
        return asyncio.run(agent.aresume(session_id, **decision))
    if ask.__name__ == "stream":
        events = agent.resume_stream(session_id, **decision)
        assert "".join(event for event in events if event.type == "text").endswith(events.result)
        return events.result
    if ask.__name__ == "astream":

        async def read() -> Any:
            events = agent.aresume_stream(session_id, **decision)
            async for _event in events:
                pass
            return events.result

        return asyncio.run(read())
    return agent.resume(session_id, **decision)


def test_an_approved_call_is_made_and_the_turn_goes_on(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    mail = Mailbox()
    agent = Agent(llm=llm, session=sessions, tools=[mail.send, mail.look], pause_before=[mail.send])
    server.reply(Reply.tools(("look", {})), Reply.tools(("send", {"to": "Ann"}), ("look", {})), "Sent.")
    result = ask(agent, "write to Ann", session_id="s")
    assert (result, result.paused, result.steps) == ("", True, 2)
    action = result.pending_action
    assert action is not None
    assert (action.tool, action.arguments, action.session_id) == ("send", {"to": "Ann"}, "s")
    assert mail.sent == []
    info = sessions.get("s")
    assert info is not None
    assert (info.paused, info.messages) == (True, 0)
    done = resumed(agent, ask, "s", approved=True)
    assert (done, done.paused, done.steps) == ("Sent.", False, 3)
    assert mail.sent == ["Ann: hi"]
    assert_valid(sessions.messages("s"))
    assert len(sessions.messages("s")) == 7
    info = sessions.get("s")
    assert info is not None
    assert (info.paused, info.turns) == (False, 1)
    with pytest.raises(AgentError, match="no tool call"):
        resumed(agent, ask, "s", approved=True)


def test_a_declined_call_is_told_to_the_model(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    mail = Mailbox()
    agent = Agent(llm=llm, session=sessions, tools=[mail.send, mail.look], pause_before="send")
    server.reply(Reply.tools(("send", {"to": "Ann"}), ("look", {})), "Then not.")
    ask(agent, "write to Ann", session_id="s")
    assert resumed(agent, ask, "s", approved=False, reason="Wrong Ann.") == "Then not."
    assert mail.sent == []
    told = [message["content"] for message in server.chats[1].messages if message["role"] == "tool"]
    assert told == ["The user declined this call; it was not made. Wrong Ann.", "nothing new"]
    assert_valid(server.chats[1].messages)


def test_changed_arguments_are_what_is_done_and_what_is_told(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    mail = Mailbox()
    agent = Agent(llm=llm, session=sessions, tools=[mail.send], pause_before=[mail.send])
    server.reply(Reply.tools(("send", {"to": "Ann"})), "Sent.")
    ask(agent, "write to Ann", session_id="s")
    with pytest.raises(InvalidInputError, match="to: Field required"):
        resumed(agent, ask, "s", modified_args={"text": "x"})
    with pytest.raises(InvalidInputError, match="modified_args"):
        resumed(agent, ask, "s", approved=False, modified_args={"to": "Bob"})
    resumed(agent, ask, "s", modified_args={"to": "Bob", "text": "ho"})
    assert mail.sent == ["Bob: ho"]
    call = server.chats[1].messages[1]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(call) == {"to": "Bob", "text": "ho"}


def test_each_waiting_call_is_decided_by_itself(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    mail = Mailbox()
    agent = Agent(llm=llm, session=sessions, tools=[mail.send, mail.look], pause_before=[mail.send])
    calls = [("send", {"to": "Ann"}), ("look", {}), ("send", {"to": "Bob"})]
    server.reply(Reply.tools(*calls), Reply.tools(("send", {"to": "Cy"})), "Done.")
    ask(agent, "write", session_id="s")
    second = resumed(agent, ask, "s", approved=False)
    assert (second.paused, second.pending_action.arguments) == (True, {"to": "Bob"})
    assert mail.sent == []
    third = resumed(agent, ask, "s")
    assert (third.paused, third.pending_action.arguments) == (True, {"to": "Cy"})
    assert mail.sent == ["Bob: hi"]
    assert resumed(agent, ask, "s") == "Done."
    assert mail.sent == ["Bob: hi", "Cy: hi"]
    assert_valid(sessions.messages("s"))


def test_the_decision_may_reach_another_process(server: OpenAIServer, tmp_path: Path) -> None:
    code = """
import sys
from ai_infra import Agent, LLM
from ai_infra.llm.session import sqlite

def send(to: str) -> str:
    "Send a mail."
    with open(sys.argv[1] + ".sent", "a") as file:
        file.write(to + "\\n")
    return "sent"

with sqlite(sys.argv[1]) as sessions, LLM(base_url=sys.argv[2], api_key="k", model="gpt-4o") as llm:
    agent = Agent(session=sessions, llm=llm, tools=[send], pause_before=[send])
    print(eval(sys.argv[3]))
"""
    server.reply(Reply.tools(("send", {"to": "Ann"})), "Sent.")
    path = tmp_path / "s.db"
    outputs = []
    for action in (
        "agent.run('go', session_id='s').pending_action.arguments",
        "agent.resume('s', approved=True)",
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, str(path), server.base_url, action],
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.append(done.stdout.strip())
    assert outputs == ["{'to': 'Ann'}", "Sent."]
    assert Path(f"{path}.sent").read_text() == "Ann\n"


def test_two_who_approve_at_once_make_one_call(server: OpenAIServer, llm: LLM, tmp_path: Path) -> None:
    mail = Mailbox()
    server.reply(Reply.tools(("send", {"to": "Ann"})))
    with sqlite(tmp_path / "s.db") as one, sqlite(tmp_path / "s.db") as two:
        agents = [
            Agent(llm=llm, session=store, tools=[mail.send], pause_before=["send"]) for store in (one, two)
        ]
        agents[0].run("go", session_id="s")
        start = threading.Barrier(2)
        outcomes: list[object] = []

        def resume(agent: Agent) -> None:
            start.wait()
            try:
                outcomes.append(agent.resume("s"))
            except (ConflictError, AgentError) as error:
                outcomes.append(error)

        threads = [threading.Thread(target=resume, args=(agent,)) for agent in agents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert mail.sent == ["Ann: hi"]
        assert sorted(isinstance(outcome, Exception) for outcome in outcomes) == [False, True]


def test_a_worker_that_died_in_the_call_leaves_a_question(
    server: OpenAIServer, llm: LLM, sessions: SessionStore
) -> None:
    mail = Mailbox()

    def send(to: str) -> str:
        """Send."""
        mail.send(to)
        if len(mail.sent) == 1:
            raise Died
        return "sent"

    agent = Agent(llm=llm, session=sessions, tools=[send], pause_before=["send"])
    server.reply(Reply.tools(("send", {"to": "Ann"})), "Sent.")
    agent.run("go", session_id="s")
    with pytest.raises(Died):
        agent.resume("s")
    with pytest.raises(ConflictError, match="may have happened"):
        agent.resume("s")
    assert agent.resume("s", retry=True) == "Sent."
    assert len(mail.sent) == 2


def test_a_worker_that_died_after_the_call_leaves_none(
    server: OpenAIServer, llm: LLM, tmp_path: Path, ask: Ask
) -> None:
    class Dies(Middleware):
        def before_model(self, request: ModelRequest) -> None:
            if request.messages[-1]["role"] == "tool":
                raise Died

    now = [1_000.0]
    mail = Mailbox()
    options: dict[str, Any] = {"llm": llm, "tools": [mail.send], "pause_before": ["send"]}
    server.reply(Reply.tools(("send", {"to": "Ann"})), "Sent.")
    with sqlite(tmp_path / "s.db", clock=lambda: now[0], wait=0.3) as sessions:
        ask(Agent(session=sessions, **options), "go", session_id="s")
        with pytest.raises(Died):
            resumed(Agent(session=sessions, middleware=[Dies()], **options), ask, "s")
        # For a minute it may still be going on.
        with pytest.raises(ConflictError, match="busy"):
            resumed(Agent(session=sessions, **options), ask, "s")
        now[0] += 61
        assert resumed(Agent(session=sessions, **options), ask, "s") == "Sent."
        assert_valid(sessions.messages("s"))
    assert mail.sent == ["Ann: hi"]


def test_what_a_resumed_stream_tells(server: OpenAIServer, llm: LLM, sessions: SessionStore) -> None:
    going_on = threading.Event()
    mail = Mailbox()
    agent = Agent(llm=llm, session=sessions, tools=[mail.send], pause_before=[mail.send])
    server.reply(Reply.tools(("send", {"to": "Ann"})), Reply("It is sent", hold=Hold(1, going_on)))
    agent.run("go", session_id="s")
    events = agent.resume_stream("s", modified_args={"to": "Bob"})
    assert mail.sent == []
    assert next(events) == ToolStarted("call_0", "send", '{"to": "Bob"}')
    assert next(events) == ToolFinished("call_0", "send", "sent to Bob", failed=False)
    assert next(events) == "It"  # the server is still holding the rest
    assert not going_on.is_set()
    going_on.set()
    assert list(events) == [" is", " sent"]
    assert events.result == "It is sent"
    assert len(sessions.messages("s")) == 4


@pytest.mark.parametrize("place", ["tool_started", "tool_finished", "text"])
@pytest.mark.parametrize("world", ["sync", "async"])
def test_a_resumed_stream_left_early(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, place: str, world: str
) -> None:
    """Whoever resumes next goes on behind the calls that were made, at once and without a question."""
    mail = Mailbox()
    agent = Agent(llm=llm, session=sessions, tools=[mail.send], pause_before=[mail.send])
    server.reply(Reply.tools(("send", {"to": "Ann"})))
    server.responder = lambda request: "It is sent"
    agent.run("go", session_id="s")

    def left() -> None:
        with agent.resume_stream("s") as events:
            for event in events:
                if event.type == place:
                    return

    async def aleft() -> None:
        async with llm, agent.aresume_stream("s") as events:
            async for event in events:
                if event.type == place:
                    return

    if world == "sync":
        left()
    else:
        asyncio.run(aleft())
    assert len(mail.sent) == (0 if place == "tool_started" else 1)
    assert agent.resume("s") == "It is sent"
    assert mail.sent == ["Ann: hi"]
    assert_valid(sessions.messages("s"))


def test_a_turn_whose_id_was_taken_meanwhile(server: OpenAIServer, llm: LLM, sessions: SessionStore) -> None:
    mail = Mailbox()
    agent = Agent(llm=llm, session=sessions, tools=[mail.send], pause_before=[mail.send])
    server.reply(Reply.tools(("send", {"to": "Ann"})), "Sent.")
    agent.run("go", session_id="s", turn_id="t")
    sessions.append("s", [{"role": "user", "content": "x"}], turn_id="t")
    with pytest.raises(ConflictError, match="already has a turn"):
        agent.resume("s")


def test_a_model_that_fails_after_the_call_does_not_repeat_it(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    mail = Mailbox()
    agent = Agent(llm=llm, session=sessions, tools=[mail.send], pause_before=["send"])
    server.reply(Reply.tools(("send", {"to": "Ann"})), Reply.error(400, "no"), "Sent.")
    ask(agent, "go", session_id="s")
    with pytest.raises(LLMError):
        resumed(agent, ask, "s")
    assert mail.sent == ["Ann: hi"]
    assert resumed(agent, ask, "s") == "Sent."
    assert mail.sent == ["Ann: hi"]
    assert_valid(sessions.messages("s"))


def test_a_session_that_is_not_there(llm: LLM, sessions: SessionStore) -> None:
    with pytest.raises(SessionNotFoundError):
        Agent(llm=llm, session=sessions).resume("s")
