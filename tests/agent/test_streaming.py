"""Streams: text when the server sends it, events of tools, and streams that end early."""

from __future__ import annotations

import asyncio
import threading

import pytest
from ai_infra import LLM, Agent
from ai_infra.errors import AgentError, StreamInterruptedError
from ai_infra.llm.agent import TextDelta, ToolFinished, ToolStarted
from ai_infra.llm.session import SessionStore
from ai_infra.testing.openai_server import Hold, OpenAIServer, Reply


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def test_a_piece_is_there_before_the_server_sends_the_next(
    server: OpenAIServer, llm: LLM, sessions: SessionStore
) -> None:
    going_on = threading.Event()
    server.reply(Reply("one two three", hold=Hold(1, going_on)))
    events = Agent(llm=llm, session=sessions).stream("Hi", session_id="s")
    first = next(events)  # the server is still holding the second
    assert not going_on.is_set()
    assert sessions.get("s") is None
    going_on.set()
    assert [first, *events] == ["one", " two", " three"]
    assert type(first) is TextDelta
    assert events.result == "one two three"
    assert sessions.messages("s") == events.result.messages


def test_the_same_for_async(server: OpenAIServer, llm: LLM, sessions: SessionStore) -> None:
    going_on = threading.Event()
    server.reply(Reply("one two three", hold=Hold(1, going_on)))

    async def read() -> list[str]:
        async with llm, Agent(llm=llm, session=sessions).astream("Hi", session_id="s") as events:
            first = await anext(events)
            assert not going_on.is_set()
            going_on.set()
            return [str(first), *[str(event) async for event in events]]

    assert asyncio.run(read()) == ["one", " two", " three"]


def test_tools_are_events(server: OpenAIServer, llm: LLM, sessions: SessionStore) -> None:
    server.reply(Reply.tools(("add", {"a": 1, "b": 2}), ("add", {"a": "x"}), text="Let me see."), "3")
    events = Agent(llm=llm, session=sessions, tools=[add]).stream("1 + 2?", session_id="s")
    seen = list(events)
    assert "".join(event for event in seen[:3] if isinstance(event, TextDelta)) == "Let me see."
    assert seen[3:5] == [
        ToolStarted("call_0", "add", '{"a": 1, "b": 2}'),
        ToolStarted("call_1", "add", '{"a": "x"}'),
    ]
    assert seen[5] == ToolFinished("call_0", "add", "3", failed=False)
    assert isinstance(seen[6], ToolFinished)
    assert seen[6].failed
    assert [event.type for event in seen] == ["text"] * 3 + ["tool_started"] * 2 + ["tool_finished"] * 2 + [
        "text"
    ]
    assert events.result == "3"


def test_a_cut_stream_is_an_error_and_the_session_is_unharmed(
    server: OpenAIServer, llm: LLM, sessions: SessionStore
) -> None:
    agent = Agent(llm=llm, session=sessions)
    agent.run("a", session_id="s")
    before = sessions.get("s")
    for reply in (Reply("one two three", cut_after=2), Reply("one two three", done=False)):
        server.reply(reply)
        events = agent.stream("b", session_id="s")
        with pytest.raises(StreamInterruptedError):
            list(events)
        with pytest.raises(AgentError, match="not been read"):
            _ = events.result
        assert list(events) == []
        server.reply(reply)

        async def read() -> None:
            async with llm:
                async for _ in agent.astream("b", session_id="s"):
                    pass

        with pytest.raises(StreamInterruptedError):
            asyncio.run(read())
    assert sessions.get("s") == before
    server.reply("fine")
    assert agent.run("c", session_id="s") == "fine"
    assert [message["content"] for message in server.chats[-1].messages][::2] == ["a", "c"]


def test_a_stream_left_early_stores_nothing_and_holds_nothing(
    server: OpenAIServer, llm: LLM, sessions: SessionStore
) -> None:
    server.responder = lambda request: "one two three"
    agent = Agent(llm=llm, session=sessions)
    with agent.stream("a", session_id="s") as events:
        assert next(events) == "one"

    async def read() -> None:
        async with llm, agent.astream("a", session_id="s") as events:
            assert await anext(events) == "one"

    asyncio.run(read())
    assert sessions.get("s") is None
    for _event in agent.stream("a", session_id="s"):
        break  # not even closed
    assert agent.run("b", session_id="s") == "one two three"
    assert [message["content"] for message in sessions.messages("s")] == ["b", "one two three"]


def test_nothing_happens_before_the_first_event_is_asked_for(
    server: OpenAIServer, llm: LLM, sessions: SessionStore
) -> None:
    agent = Agent(llm=llm, session=sessions)
    unread = agent.stream("a", session_id="s")
    assert agent.run("b", session_id="s")
    assert len(server.chats) == 1
    unread.close()


def test_closing_while_a_thread_reads_is_refused(
    server: OpenAIServer, llm: LLM, sessions: SessionStore
) -> None:
    going_on = threading.Event()
    server.reply(Reply("one two three", hold=Hold(1, going_on)))
    events = Agent(llm=llm, session=sessions).stream("Hi", session_id="s")
    heard = [str(next(events))]
    reader = threading.Thread(target=lambda: heard.extend(map(str, events)))
    reader.start()
    try:
        while not events._user._lock.locked():
            pass
        with pytest.raises(AgentError, match="another task or thread reads this stream"):
            events.close()
    finally:
        going_on.set()
        reader.join(10)
    assert heard == ["one", " two", " three"]
    events.close()
    assert events.result == "one two three"


def test_closing_while_a_task_reads_is_refused(
    server: OpenAIServer, llm: LLM, sessions: SessionStore
) -> None:
    async def go() -> None:
        going_on = threading.Event()
        server.reply(Reply("one two three", hold=Hold(1, going_on)))
        events = Agent(llm=llm, session=sessions).astream("Hi", session_id="s")
        heard = [str(await anext(events))]
        reader = asyncio.create_task(anext(events))
        await asyncio.sleep(0)
        try:
            with pytest.raises(AgentError, match="cancel the task that reads"):
                await events.aclose()
        finally:
            going_on.set()
        heard += [str(await reader), *[str(event) async for event in events]]
        assert heard == ["one", " two", " three"]
        await events.aclose()
        assert events.result == "one two three"

    asyncio.run(asyncio.wait_for(go(), 20))
