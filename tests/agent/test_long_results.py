"""Turns whose tools answer more than fits: the model always sees what it called, within the budget."""

from __future__ import annotations

from typing import Any

import pytest
from ai_infra import LLM, Agent, count_tokens
from ai_infra.errors import ContextLengthError
from ai_infra.llm.session import SessionStore, memory
from ai_infra.testing.openai_server import OpenAIServer, Reply, Request
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agent.conftest import Ask, assert_valid

BUDGET = 2_000


def once(request: Request) -> Reply:
    """Calls when it sees no result."""
    seen = any(message["role"] == "tool" for message in request.messages)
    return Reply("Paid.") if seen else Reply.tools(("charge", {"cents": 500}))


def test_a_result_that_no_session_holds_does_not_lose_the_turn(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ai_infra.llm.session.turns.MAX_MESSAGE_BYTES", 2**21)
    whole = iter(["a" * 2**20, "a" * 2**21])

    def dump() -> str:
        """Dump the table."""
        return next(whole)

    server.reply(Reply.tools(("dump", {})), Reply.tools(("dump", {})), "Dumped.")
    assert ask(Agent(llm=llm, tools=[dump], session=sessions), "go", session_id="s") == "Dumped."
    held, told = (message["content"] for message in sessions.messages("s") if message["role"] == "tool")
    assert held == "a" * 2**20
    assert told == "The call was made. Its result, of 2,097,152 characters, is too large to be kept."


@pytest.mark.parametrize("summarize", [False, True])
def test_a_result_longer_than_the_budget_is_cut_and_the_call_made_once(
    server: OpenAIServer, llm: LLM, ask: Ask, summarize: bool
) -> None:
    charged: list[int] = []

    def charge(cents: int) -> str:
        """Charge the card."""
        charged.append(cents)
        return "receipt " * 100_000

    server.responder = once
    with memory(max_tokens=BUDGET, summarize=summarize, llm=lambda prompt: "They greeted.") as sessions:
        for _ in range(20):
            sessions.append(
                "s", [{"role": "user", "content": "hi " * 30}, {"role": "assistant", "content": "Hello"}]
            )
        agent = Agent(llm=llm, tools=[charge], session=sessions, system="Be brief.")
        assert ask(agent, "Charge 5.00", session_id="s") == "Paid."
        assert charged == [500]
        told = server.chats[-1].messages
        assert_valid(told)
        assert [message["content"] for message in told if message["role"] == "user"][-1] == "Charge 5.00"
        assert told[-1]["content"].startswith("receipt receipt")
        assert "of 800,000 characters" in told[-1]["content"]
        schemas = [tool.to_openai() for tool in agent.tools]
        assert BUDGET // 2 < count_tokens(told, model="gpt-4o", tools=schemas) <= BUDGET
        if summarize:
            assert told[1]["content"].endswith("They greeted.")
        # The log keeps it whole, and the next turn goes on.
        assert sessions.messages("s")[-2]["content"] == "receipt " * 100_000
        server.responder = lambda request: "Yes."
        assert ask(agent, "Was it paid?", session_id="s") == "Yes."
        told = server.chats[-1].messages
        assert told[0]["content"] == "Be brief."
        # It begins behind the result, which is too long for it.
        assert [message["content"] for message in told[-2:]] == ["Paid.", "Was it paid?"]
        assert len(told) == 3 + summarize


def test_the_longest_results_are_cut_first(server: OpenAIServer, llm: LLM) -> None:
    sizes = {"a": 5, "b": 400, "c": 4_000, "d": 9_000}

    def look(name: str) -> str:
        """Look something up."""
        return f"{name} " * sizes[name]

    server.reply(Reply.tools(*(("look", {"name": name}) for name in sizes)), "done")
    agent = Agent(llm=llm, tools=[look], session=memory(max_tokens=BUDGET))
    agent.run("Look everything up")
    results = [message["content"] for message in server.chats[-1].messages if message["role"] == "tool"]
    assert results[:2] == ["a " * 5, "b " * 400]
    left = [count_tokens(text) for text in results[2:]]
    assert all("Cut here" in text for text in results[2:])
    assert abs(left[0] - left[1]) < 20


def test_what_cannot_fit_is_an_error_and_no_second_call(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    charged: list[int] = []

    def charge(cents: int, note: str = "") -> str:
        """Charge the card."""
        charged.append(cents)
        return "receipt " * 1_000

    server.responder = lambda request: Reply.tools(("charge", {"cents": 500, "note": "long " * 500}))
    with memory(max_tokens=400) as sessions:
        agent = Agent(llm=llm, tools=[charge], session=sessions)
        with pytest.raises(ContextLengthError, match="needs"):
            ask(agent, "Charge 5.00", session_id="s")
        assert charged == [500]
        assert sessions.messages("s") == []


def test_a_turn_of_many_steps_is_whole_at_every_step(server: OpenAIServer, llm: LLM) -> None:
    def step(number: int) -> str:
        """Take a step."""
        return f"step {number} " * 200

    def respond(request: Request) -> Reply:
        made = sum(message["role"] == "tool" for message in request.messages)
        return Reply.tools(("step", {"number": made})) if made < 20 else Reply("there")

    server.responder = respond
    agent = Agent(llm=llm, tools=[step], session=memory(max_tokens=3_000))
    assert agent.run("Walk", session_id="s").steps == 21
    for number, request in enumerate(server.chats):
        assert_valid(request.messages)
        assert len(request.messages) == 1 + 2 * number


class Scripted:
    """A model that makes the calls it was given, and notes what it was shown."""

    model = "gpt-4o"

    def __init__(self, steps: list[list[int]]) -> None:
        self.steps = list(steps)
        self.shown: list[list[Any]] = []

    def chat(self, messages: Any, tools: Any = None) -> Any:
        self.shown.append([dict(message) for message in messages])
        if not self.steps:
            return "done"
        calls = [
            {
                "id": f"c{len(self.steps)}.{at}",
                "type": "function",
                "function": {"name": "fill", "arguments": f'{{"words": {words}}}'},
            }
            for at, words in enumerate(self.steps.pop(0))
        ]
        return {"role": "assistant", "content": None, "tool_calls": calls}


def fill(words: int) -> str:
    """Say many words."""
    return " ".join(f"word{number % 7}" for number in range(words))


@settings(max_examples=150, deadline=None)
@given(
    budget=st.integers(60, 3_000),
    history=st.lists(st.integers(0, 400), max_size=6),
    asked=st.integers(1, 200),
    steps=st.lists(
        st.lists(st.sampled_from([0, 1, 30, 200, 1_000, 20_000]), min_size=1, max_size=4),
        min_size=1,
        max_size=4,
    ),
    summarize=st.booleans(),
    summary_fails=st.booleans(),
)
def test_whatever_the_sizes_a_prompt_holds_the_turn_or_is_refused(
    budget: int, history: list[int], asked: int, steps: list[list[int]], summarize: bool, summary_fails: bool
) -> None:
    def summarizer(prompt: Any) -> str:
        return "" if summary_fails else "They spoke of words."

    sessions: SessionStore = memory(max_tokens=budget, summarize=summarize, keep=2, llm=summarizer)
    for size in history:
        sessions.append(
            "s", [{"role": "user", "content": fill(size)}, {"role": "assistant", "content": "Yes."}]
        )
    model = Scripted(steps)
    agent = Agent(llm=model, tools=[fill], session=sessions, system="Be brief.")
    question = "Please: " + fill(asked)
    try:
        agent.run(question, session_id="s")
    except ContextLengthError as error:
        assert error.needed is not None
        assert error.budget is not None
        assert error.needed > error.budget
    schemas = [tool.to_openai() for tool in agent.tools]
    for number, shown in enumerate(model.shown):
        assert_valid(shown)
        assert count_tokens(shown, model="gpt-4o", tools=schemas) <= budget
        turn = shown[next(at for at in range(len(shown)) if shown[at]["content"] == question) :]
        answers = [message for message in turn if message["role"] == "tool"]
        assert [message["tool_call_id"] for message in answers] == [
            call["id"] for message in turn for call in message.get("tool_calls") or ()
        ]
        assert len(answers) == sum(len(step) for step in steps[:number])
        for answer, words in zip(answers, [words for step in steps for words in step], strict=False):
            whole = fill(words)
            assert answer["content"] == whole or f"of {len(whole):,} characters" in answer["content"]
