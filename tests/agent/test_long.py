"""A thousand turns: within the budget at every call, read from the end, with prompts that begin alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ai_infra import LLM, Agent, count_tokens
from ai_infra.llm.memory import SummarizationMiddleware, UnknownModelWarning
from ai_infra.llm.session import SessionStore, memory, sqlite
from ai_infra.storage.local_sessions import LocalSessionBackend
from ai_infra.testing.openai_server import OpenAIServer, Reply, Request

from tests.agent.conftest import Ask, assert_valid

TURNS = 1_000
BUDGET = 1_500


def look_up(topic: str) -> str:
    """Look something up."""
    return f"All that is known of {topic}."


def answer(request: Request) -> Reply:
    last = request.messages[-1]
    number = sum(map(ord, str(last["content"])))
    if last["role"] == "user" and number % 3 == 0:
        return Reply.tools(("look_up", {"topic": last["content"]}))
    return Reply("It depends. " * (1 + number % 7))


def same_prefix(before: Sequence[Any], after: Sequence[Any]) -> bool:
    """Whether the service finds the whole earlier prompt at the beginning of the later one."""
    return list(after[: len(before)]) == list(before)


@pytest.mark.parametrize("place", ["memory", "sqlite"])
def test_a_thousand_turns(server: OpenAIServer, llm: LLM, tmp_path: Path, place: str) -> None:
    server.responder = answer
    options: dict[str, Any] = {"max_tokens": BUDGET, "trim_to": 750}
    store = memory(**options) if place == "memory" else sqlite(tmp_path / "s.db", **options)
    loaded: list[int] = []
    backend: Any = store._backend
    assert isinstance(backend, LocalSessionBackend)
    load = backend.load

    def counted(*args: Any, **kwargs: Any) -> Any:
        tail = yield from load(*args, **kwargs)
        loaded.append(0 if tail is None else len(tail.messages))
        return tail

    backend.load = counted  # type: ignore[method-assign]  # counts what is read from the database
    agent = Agent(llm=llm, session=store, tools=[look_up], system="Answer briefly.")
    schemas = [tool.to_openai() for tool in agent.tools]
    firsts: list[list[Any]] = []
    for number in range(TURNS):
        seen = len(server.chats)
        agent.run(f"Question {number}: what about it?", session_id="s")
        calls = [json.loads(request.raw)["messages"] for request in server.chats[seen:]]
        for messages in calls:
            assert count_tokens(messages, model="gpt-4o", tools=schemas) <= BUDGET
            assert messages[0]["content"] == "Answer briefly."
            assert any(message["content"] == f"Question {number}: what about it?" for message in messages)
            assert_valid(messages)
        firsts.append(calls[0])
        if number % 100 == 99:
            server.clear()
    kept = sum(same_prefix(before, after) for before, after in pairwise(firsts))
    assert kept >= 0.8 * (TURNS - 1), f"only {kept} of {TURNS - 1} prompts begin with the one before"
    # Nothing is lost, and nothing is read twice.
    stored = store.messages("s")
    assert_valid(stored)
    asked = [message["content"] for message in stored if message["role"] == "user"]
    assert asked == [f"Question {number}: what about it?" for number in range(TURNS)]
    assert max(loaded[:-1]) == 0
    known = store.turns._logs["s"]
    assert known.length == len(stored)
    assert len(known._rest) < 400, "what no prompt needs is not kept in memory"
    store.close()


def test_a_long_session_opened_anew_is_read_from_its_end(
    server: OpenAIServer, llm: LLM, tmp_path: Path
) -> None:
    path = tmp_path / "s.db"
    with sqlite(path) as store:
        for number in range(500):
            pair = [
                {"role": "user", "content": f"Question {number}"},
                {"role": "assistant", "content": "word " * 40},
            ]
            store.append("s", pair)
    prompts = []
    for budget in (800, 20_000):
        with sqlite(path, max_tokens=budget) as store:
            Agent(llm=llm, session=store).run("Now?", session_id=store.fork("s").id)
            (log,) = store.turns._logs.values()
            prompts.append(server.chats[-1].messages)
            assert budget > 800 or log.start > 700
    for prompt, budget in zip(prompts, (800, 20_000), strict=True):
        assert budget // 2 - 100 < count_tokens(prompt) <= budget
    assert prompts[1][-len(prompts[0]) :] == prompts[0]


def test_summaries_roll_and_stay_with_the_session(server: OpenAIServer, llm: LLM, tmp_path: Path) -> None:
    asked: list[Request] = []

    def respond(request: Request) -> Reply:
        if "running summary" in str(request.messages[0]["content"]):
            asked.append(request)
            return Reply(f"Summary {len(asked)}.")
        return Reply("word " * 20)

    server.responder = respond
    path = tmp_path / "s.db"
    for number in range(60):
        # Another process each time, as far as the store can tell.
        with sqlite(path, max_tokens=600, summarize=True, keep=4, llm=llm) as store:
            Agent(llm=llm, session=store, system="Be brief.").run(f"Question {number}", session_id="s")
            prompt = server.chats[-1].messages
            assert count_tokens(prompt, model="gpt-4o") <= 600
            info = store.get("s")
            assert info is not None
            if asked:
                assert prompt[1]["content"] == f"[Conversation summary]\nSummary {len(asked)}."
                assert info.summary == f"Summary {len(asked)}."
                # What the summary does not stand for is in the prompt, word for word.
                rest = [dict(message) for message in store.messages("s")[info.summarized : -1]]
                assert prompt[2:] == rest
    assert 2 <= len(asked) <= 20
    # Every question was put before the summarizer once, and none twice.
    told = "\n".join(str(request.messages[1]["content"]) for request in asked)
    assert info is not None
    for number in range(info.summarized // 2):
        assert told.count(f"Question {number}\n") == 1
    assert len(store_messages(path)) == 120


def store_messages(path: Path) -> list[Any]:
    with sqlite(path) as store:
        return store.messages("s")


def test_a_summarizer_that_fails_costs_no_turn(
    server: OpenAIServer, llm: LLM, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def chat(self, messages: Any) -> str:
            raise OSError("down")

    with memory(max_tokens=300, summarize=True, keep=2, llm=Broken()) as store:
        agent = Agent(llm=llm, session=store)
        server.responder = lambda request: "word " * 20
        for number in range(20):
            agent.run(f"Question {number}", session_id="s")
            assert count_tokens(server.chats[-1].messages, model="gpt-4o") <= 300
        info = store.get("s")
        assert info is not None
        assert (info.turns, info.summary) == (20, None)
    assert "trimmed" in caplog.text


def test_the_warning_of_an_assumed_window_points_at_the_line_of_the_user(
    server: OpenAIServer, ask: Ask
) -> None:
    with (
        LLM(base_url=server.base_url, api_key="sk-test", model=f"unheard-{ask.__name__}") as llm,
        memory() as store,
    ):
        agent = Agent(llm=llm, session=store)
        ask(agent, "word " * 5000, session_id="s")
        with pytest.warns(UnknownModelWarning, match="unheard") as caught:
            ask(agent, "word " * 5000, session_id="s")
    assert [warning.filename for warning in caught] == [ask.__code__.co_filename]


@pytest.mark.parametrize("kept", [True, False], ids=["session", "no session"])
def test_summarization_middleware_in_an_agent(server: OpenAIServer, llm: LLM, kept: bool) -> None:
    summaries: list[Any] = []

    def summarize(messages: Any) -> str:
        summaries.append(messages)
        return f"Summary {len(summaries)}."

    def respond(request: Request) -> Reply:
        if kept or len([m for m in request.messages if m["role"] == "assistant"]) > 40:
            return Reply("word " * 5)
        count = int(str(request.messages[-1]["content"]).split()[-1]) + 1 if len(request.messages) > 1 else 0
        return Reply("enough") if count > 30 else Reply.tools(("count", {"number": count}))

    def count(number: int) -> str:
        """Count on."""
        return f"now {number}"

    server.responder = respond
    middleware = SummarizationMiddleware(trigger_messages=10, keep_messages=4, llm=summarize)
    agent = Agent(
        llm=llm, tools=[count], session=memory() if kept else None, middleware=[middleware], max_steps=50
    )
    for number in range(30 if kept else 1):
        result = agent.run(f"Question {number}", **({"session_id": "s"} if kept else {}))
    assert len(summaries) >= 5
    for request in server.chats:
        assert len(request.messages) <= 12
        assert_valid(request.messages)
    assert len(result.messages) >= 60
    assert any("Summary" in str(message["content"]) for message in server.chats[-1].messages)


def data(n: int = 0) -> str:
    """Read a table."""
    return f"table {n}: " + "data " * 200


@pytest.mark.parametrize("stored", [False, True])
def test_a_long_turn_pays_for_each_message_once(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask, stored: bool
) -> None:
    sent: list[int] = []

    def summarizer(messages: list[Any]) -> str:
        sent.append(count_tokens(messages))
        return "SUMMARY"

    server.reply(*[Reply.tools(("data", {"n": n})) for n in range(15)], "end")
    compactor = SummarizationMiddleware(trigger_tokens=1000, keep_messages=2, llm=summarizer)
    if stored:
        # What a turn of a session has said is not in the log yet: nothing of it is summarized, however long it is.
        agent = Agent(llm=llm, session=sessions, tools=[data], middleware=[compactor], max_steps=20)
        assert ask(agent, "go", session_id="s") == "end"
        assert not sent
        assert len(sessions.messages("s")) == 32
        server.reply("on we go")
        ask(agent, "more", session_id="s")
        assert len(sent) == 1
        assert count_tokens(server.chats[-1].messages) < 1000
        return
    agent = Agent(llm=llm, tools=[data], middleware=[compactor], max_steps=20)
    result = ask(agent, "go")
    assert (result, len(result.new_messages)) == ("end", 32)
    whole = sum(count_tokens([message]) for message in result.new_messages)
    assert 2 <= len(sent) <= 5
    assert sum(sent) < 1.5 * whole
    assert max(count_tokens(chat.messages) for chat in server.chats) < 1300
    for chat in server.chats:
        assert_valid(chat.messages)
