"""Many workers, one session and many: no turn is lost, doubled or interleaved."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ai_infra import LLM, Agent, _flow
from ai_infra.errors import AgentError, ConflictError, LLMError
from ai_infra.llm.agent import AgentResult
from ai_infra.llm.session import SessionStore, sqlite
from ai_infra.llm.session.gate import Gate
from ai_infra.testing.openai_server import OpenAIServer, Reply, Request

from tests.agent.conftest import Ask, assert_valid

WORKERS = 16
TURNS = 3


def shout(text: str) -> str:
    """Shout."""
    return text.upper()


def answer(request: Request) -> Reply:
    """A call of the tool with what was asked, then an answer that repeats it."""
    last = request.messages[-1]
    if last["role"] == "user":
        return Reply.tools(("shout", {"text": last["content"]}))
    return Reply(f"heard {last['content']}")


def expected(text: str) -> list[str | None]:
    return [text, None, text.upper(), f"heard {text.upper()}"]


def check(sessions: SessionStore, acknowledged: dict[str, list[str]]) -> None:
    """Every acknowledged turn is there once, whole, and each worker's are in order."""
    for session, texts in acknowledged.items():
        messages = sessions.messages(session)
        assert_valid(messages)
        contents = [message["content"] for message in messages]
        turns = [contents[at : at + 4] for at in range(0, len(contents), 4)]
        assert all(turn == expected(str(turn[0])) for turn in turns)
        asked = [turn[0] for turn in turns]
        assert sorted(map(str, asked)) == sorted(texts)
        for worker in {text.split(".")[0] for text in texts}:
            mine = [text for text in asked if str(text).split(".")[0] == worker]
            assert mine == sorted(map(str, mine))


def prompts(worker: int) -> list[str]:
    return [f"w{worker:02}.{number}" for number in range(TURNS)]


def race(server: OpenAIServer, llm: LLM, sessions: SessionStore, count: int, world: str) -> None:
    """Sixteen threads, as many tasks, or both, in ``count`` sessions."""
    server.responder = answer
    agent = Agent(llm=llm, session=sessions, tools=[shout])
    acknowledged: dict[str, list[str]] = {f"s{number}": [] for number in range(count)}

    def done(worker: int, result: AgentResult) -> None:
        assert result.session_id == f"s{worker % count}"
        acknowledged[result.session_id].append(result.new_messages[0].content)

    def thread(worker: int) -> None:
        for text in prompts(worker):
            done(worker, agent.run(text, session_id=f"s{worker % count}"))

    async def task(worker: int) -> None:
        for text in prompts(worker):
            done(worker, await agent.arun(text, session_id=f"s{worker % count}"))

    async def tasks(workers: range) -> None:
        await asyncio.gather(*map(task, workers))

    with ThreadPoolExecutor(WORKERS) as pool:
        if world == "threads":
            list(pool.map(thread, range(WORKERS)))
        elif world == "tasks":
            asyncio.run(tasks(range(WORKERS)))
        else:
            running = [pool.submit(thread, worker) for worker in range(WORKERS)]
            asyncio.run(tasks(range(WORKERS, 2 * WORKERS)))
            for future in running:
                future.result()
    assert sum(map(len, acknowledged.values())) == WORKERS * TURNS * (2 if world == "both" else 1)
    check(sessions, acknowledged)
    # Waiting in line, nobody asked the model for nothing.
    assert len(server.chats) == 2 * sum(map(len, acknowledged.values()))


@pytest.mark.parametrize("count", [1, WORKERS], ids=["one session", "a session each"])
@pytest.mark.parametrize("world", ["threads", "tasks", "both"])
def test_workers(server: OpenAIServer, llm: LLM, sessions: SessionStore, count: int, world: str) -> None:
    race(server, llm, sessions, count, world)


def test_stores_that_do_not_know_of_each_other(server: OpenAIServer, llm: LLM, tmp_path: Path) -> None:
    """Without a common line every race is decided by the log, and every turn still comes through."""
    server.responder = answer
    made: list[str] = []

    def counted(text: str) -> str:
        """Shout."""
        made.append(text)
        return text.upper()

    stores = [sqlite(tmp_path / "s.db") for _ in range(4)]
    acknowledged: dict[str, list[str]] = {"s": []}

    def work(worker: int) -> None:
        agent = Agent(llm=llm, session=stores[worker], tools=[tool(counted)])
        for text in prompts(worker):
            acknowledged["s"].append(agent.run(text, session_id="s").new_messages[0].content)

    def tool(function: Callable[..., Any]) -> Any:
        from ai_infra.llm.tools import Tool

        return Tool(function, name="shout")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    check(stores[0], acknowledged)
    # A turn that was made again has not called its tools again.
    assert sorted(made) == sorted(acknowledged["s"])
    for store in stores:
        store.close()


WORKER = """
import sys
from ai_infra import Agent, LLM
from ai_infra.llm.session import sqlite

def shout(text: str) -> str:
    "Shout."
    return text.upper()

path, url, worker, turns = sys.argv[1:]
with sqlite(path) as sessions, LLM(base_url=url, api_key="k", model="gpt-4o") as llm:
    agent = Agent(session=sessions, llm=llm, tools=[shout])
    for number in range(int(turns)):
        text = f"w{worker}.{number:02}"
        agent.run(text, session_id="s")
        print(text, flush=True)
"""


def test_four_processes_on_one_session(server: OpenAIServer, tmp_path: Path) -> None:
    server.responder = answer
    path = tmp_path / "s.db"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(path), server.base_url, str(number), "20"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    acknowledged: dict[str, list[str]] = {"s": []}
    for worker in workers:
        output, _ = worker.communicate()
        assert worker.returncode == 0
        acknowledged["s"].extend(output.split())
    assert len(acknowledged["s"]) == 80
    with sqlite(path) as sessions:
        check(sessions, acknowledged)


def test_a_turn_that_was_overtaken_is_made_again(
    server: OpenAIServer, llm: LLM, tmp_path: Path, ask: Ask
) -> None:
    """On what the other one has left, with the tools' results of the first try."""
    made: list[str] = []

    def note(text: str) -> str:
        """Write down."""
        made.append(text)
        return f"note {len(made)}"

    with sqlite(tmp_path / "s.db") as mine, sqlite(tmp_path / "s.db") as others:
        agent = Agent(llm=llm, session=mine, tools=[note])
        server.reply("first")
        agent.run("one", session_id="s")

        def overtake(request: Request) -> Reply:
            others.append("s", [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}])
            return Reply("too late")

        call = Reply.tools(("note", {"text": "a"}))
        server.reply(call, overtake, call, Reply.tools(("note", {"text": "b"})), "in time")
        result = ask(agent, "two", session_id="s")
        assert result == "in time"
        assert made == ["a", "b"]
        contents = [message["content"] for message in mine.messages("s")]
        assert contents == ["one", "first", "x", "y", "two", None, "note 1", None, "note 2", "in time"]
        assert [message["content"] for message in server.chats[3].messages][:4] == ["one", "first", "x", "y"]
        info = mine.get("s")
        assert info is not None
        assert info.turns == 3


def test_who_reads_a_stream_is_told_that_it_begins_again(
    server: OpenAIServer, llm: LLM, tmp_path: Path
) -> None:
    with sqlite(tmp_path / "s.db") as mine, sqlite(tmp_path / "s.db") as others:

        def overtake(request: Request) -> Reply:
            others.append("s", [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}])
            return Reply("too late")

        server.reply(overtake, "in time")
        events = list(Agent(llm=llm, session=mine).stream("two", session_id="s"))
        assert [event.type for event in events] == ["text"] * 2 + ["turn_restarted"] + ["text"] * 2


def test_the_same_turn_made_by_two_is_there_once(
    server: OpenAIServer, llm: LLM, tmp_path: Path, ask: Ask
) -> None:
    """A client that asked again, and reached another worker: both answer with what is stored."""
    with sqlite(tmp_path / "s.db") as mine, sqlite(tmp_path / "s.db") as others:
        other = Agent(llm=llm, session=others)

        def overtake(request: Request) -> Reply:
            server.reply("theirs")
            assert other.run("one", session_id="s", turn_id="t") == "theirs"
            return Reply("mine")

        server.reply(overtake)
        result = ask(Agent(llm=llm, session=mine), "one", session_id="s", turn_id="t")
        assert (result, len(mine.messages("s"))) == ("theirs", 2)
        server.reply("next")
        assert mine.turns._logs["s"].length == 2
        assert len(ask(Agent(llm=llm, session=mine), "two", session_id="s").messages) == 4
        assert [message["content"] for message in server.chats[-1].messages] == ["one", "theirs", "two"]


def test_who_lost_a_race_is_let_finish(server: OpenAIServer, llm: LLM, tmp_path: Path) -> None:
    """The others wait as long as it has asked for, and no longer than they were told to."""
    with sqlite(tmp_path / "s.db") as loser, sqlite(tmp_path / "s.db", wait=0.3) as other:
        turn = _flow.run(loser.turns.begin("s", "t"))
        _flow.run(loser.turns.again(turn))
        with pytest.raises(ConflictError, match="other workers"):
            Agent(llm=llm, session=other).run("a", session_id="s")
        assert server.chats == []
        _flow.run(loser.turns.append(turn, [{"role": "user", "content": "mine"}], turn.state))
        loser.turns.end(turn)
        assert len(Agent(llm=llm, session=other).run("a", session_id="s").messages) == 3

    # Nor is a turn that failed or that waits for a person.
    def shouted(text: str) -> str:
        """Shout."""
        return text.upper()

    with sqlite(tmp_path / "u.db") as mine, sqlite(tmp_path / "u.db", wait=0.3) as other:

        def overtake(request: Request) -> Reply:
            other.append("s", [{"role": "user", "content": "x"}])
            return Reply("too late")

        agent = Agent(llm=llm, session=mine, tools=[shouted], pause_before=["shouted"])
        server.reply(overtake, Reply.error(400, "no"))
        with pytest.raises(LLMError):
            agent.run("a", session_id="s")
        server.reply(overtake, Reply.tools(("shouted", {"text": "a"})))
        assert agent.run("a", session_id="s").paused
        other.append("s", [{"role": "user", "content": "y"}])
        assert agent.resume("s", approved=False)
    # A worker that died is not waited for for ever.
    now = [1_000.0]
    with sqlite(tmp_path / "t.db", clock=lambda: now[0], wait=0.3) as store:
        turn = _flow.run(store.turns.begin("s", "t"))
        _flow.run(store.turns.again(turn))
        store.turns.end(turn)
        now[0] += 61
        assert Agent(llm=llm, session=store).run("a", session_id="s")


def test_who_lost_a_race_to_a_turn_that_waits_blocks_nobody(
    server: OpenAIServer, llm: LLM, tmp_path: Path, ask: Ask
) -> None:
    """It cannot be made again, so the others are not asked to wait for it: the decision is taken at once."""
    with sqlite(tmp_path / "s.db") as mine, sqlite(tmp_path / "s.db", wait=0.3) as others:
        other = Agent(llm=llm, session=others, tools=[shout], pause_before=[shout])

        def overtake(request: Request) -> Reply:
            server.reply(Reply.tools(("shout", {"text": "a"})))
            assert other.run("one", session_id="s").paused
            return Reply("too late")

        server.reply(overtake)
        with pytest.raises(AgentError, match="waits for a decision"):
            ask(Agent(llm=llm, session=mine), "two", session_id="s")
        server.reply("decided")
        assert other.resume("s") == "decided"


def test_a_timeout_of_the_callers_own_is_no_conflict() -> None:
    gate = Gate(300.0)
    list(gate.enter("s"))
    waiting = gate.enter("s")
    next(waiting)
    with pytest.raises(TimeoutError, match="my own alarm"):
        waiting.throw(TimeoutError("my own alarm"))
    gate.leave("s")
    assert list(gate.enter("s")) == []  # the line is as it was
