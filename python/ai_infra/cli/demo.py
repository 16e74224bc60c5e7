"""``ai-infra demo``: the main job on the conversation that ships with the product."""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from ai_infra import demo
from ai_infra.llm.conversation.memory import ConversationMemory
from ai_infra.llm.memory.fit import fit_context
from ai_infra.llm.memory.tokens import count_tokens, counter_for
from ai_infra.messages import message_text

BUDGET = 4_000


def register(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "demo",
        help="count, fit, summarize and search a real conversation that ships with the product",
        description="Counts, fits, summarizes and searches the shipped conversation. Without OPENAI_API_KEY the "
        "summary comes from a stand-in on this machine that only quotes; nothing leaves the machine then. Summaries "
        "need the extra openai, all else does not.",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Runs the demo and prints what happened."""
    sessions = demo.sessions()
    messages = demo.load()
    _count(messages, len(sessions), f"{sessions[0].date:%B %Y} to {sessions[-1].date:%B %Y}")
    _trim(messages)
    if find_spec("openai") is None:
        _title("3. and 4. Summaries")
        print('left out: a model is called through the openai package; pip install "ai-infra-memory[openai]"')
    else:
        with _summarizer() as (llm, label):
            _summarize(messages, llm, label)
            _roll(sessions, llm)
    _recall(sessions)


def _title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def _count(messages: list[Any], sessions: int, when: str) -> None:
    _title("1. Count")
    costs = counter_for(None).messages(messages)
    start = time.perf_counter()
    total = count_tokens(messages)
    seconds = time.perf_counter() - start
    roles = Tally(str(message["role"]) for message in messages)
    print(
        f"{len(messages)} messages in {sessions} sessions, {when}: {total:,} tokens, counted in {seconds * 1e3:.1f} ms"
    )
    print("  " + ", ".join(f"{count} {role}" for role, count in roles.most_common()))
    longest = max(range(len(costs)), key=costs.__getitem__)
    print(f"  the longest has {costs[longest]:,} tokens: {_shown(messages[longest])}")


def _trim(messages: list[Any]) -> None:
    _title(f"2. Fit into {BUDGET:,} tokens by dropping what is oldest")
    start = time.perf_counter()
    result = fit_context(messages, BUDGET)
    seconds = time.perf_counter() - start
    print(
        f"{result.action}: {result.final_count} of {result.original_count} messages stay, "
        f"{result.tokens:,} tokens, in {seconds * 1e3:.2f} ms. The last lines of explain():"
    )
    for line in result.explain().splitlines()[-5:]:
        print(f"  {line}")


def _summarize(messages: list[Any], llm: Any, label: str) -> None:
    _title(f"3. Fit into {BUDGET:,} tokens by summarizing it")
    print(label)
    result = fit_context(messages, BUDGET, summarize=True, keep=12, llm=llm)
    print(
        f"{result.action}: the summary stands for the first {result.summarized_count} messages, "
        f"the last {len(result.remaining) - 1} stay as they are; {result.tokens:,} tokens."
    )
    for line in (result.summary or "").splitlines()[:8]:
        print(f"  {line if len(line) <= 110 else line[:109] + '…'}")


def _roll(sessions: list[Any], llm: Any) -> None:
    _title("4. Keep a running summary, session by session, as a stateless server does")
    summary: str | None = None
    history: list[Any] = []
    for session in sessions:
        history.extend(session.messages)
        result = fit_context(history, BUDGET, summarize=True, summary=summary, keep=12, llm=llm)
        if result.action == "summarized":
            print(
                f"  {session.date:%Y-%m-%d}  {len(history):>3} messages held, {result.summarized_count:>3} go into the "
                f"summary  ->  {result.tokens:,} tokens"
            )
        summary, history = result.summary, history[result.summarized_count :]
    print(
        f"  at the end {len(history)} messages are held, and a summary of {count_tokens(summary or ''):,} tokens"
    )


def _recall(sessions: list[Any]) -> None:
    _title("5. Index every session, and ask about them: offline, by words and by meaning")
    with ConversationMemory() as memory:
        start = time.perf_counter()
        for session in sessions:
            date = {"date": session.date.isoformat()}
            memory.index_conversation("you", session.id, session.messages, date)
        print(f"indexed {memory.stats().messages} messages in {(time.perf_counter() - start) * 1e3:.0f} ms")
        memory.search("you", "hello")  # the first search reads the index in
        for question in demo.questions(demo=True):
            start = time.perf_counter()
            results = memory.search("you", question.question, limit=3)
            seconds = time.perf_counter() - start
            print(f"\n  {question.question}  ({seconds * 1e3:.1f} ms)")
            for result in results:
                when = f"{result.chunk.date:%Y-%m-%d}" if result.chunk.date else ""
                print(f"    {result.score:.2f}  {when}  {_line(result)}")


def _line(result: Any) -> str:
    text = " ".join(result.evidence.text.split())
    return text if len(text) <= 92 else text[:91] + "…"


@contextmanager
def _summarizer() -> Iterator[tuple[Any, str]]:
    """The model to summarize with: the real one when there is a key, else a stand-in, and a line that says which."""
    from ai_infra.llm.client import LLM

    if os.environ.get("OPENAI_API_KEY"):
        with LLM() as llm:
            yield llm, f"summarized by {llm.model} at {llm.base_url}"
        return
    from ai_infra.testing.openai_server import OpenAIServer

    with OpenAIServer() as server, LLM(base_url=server.base_url, api_key="none", model="stand-in") as llm:
        yield (
            llm,
            (
                "No OPENAI_API_KEY is set: a stand-in on this machine answers over the OpenAI protocol. "
                "It is no model, it quotes sentences."
            ),
        )


def _shown(message: Any) -> str:
    text = " ".join(message_text(message).split())
    return text if len(text) <= 70 else text[:69] + "…"
