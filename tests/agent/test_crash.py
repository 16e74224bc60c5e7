"""kill -9 at any moment of a turn: the session loads, is valid, and holds every acknowledged turn."""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path

from ai_infra import LLM, Agent
from ai_infra.llm.session import sqlite
from ai_infra.testing.openai_server import OpenAIServer, Reply, Request

from tests.agent.conftest import assert_valid
from tests.victims import Victims

ROUNDS = 500 if os.environ.get("AI_INFRA_NIGHTLY") else 50

WORKER = """
import itertools, time
import openai, pydantic  # not loaded anew each round
from ai_infra import Agent, LLM
from ai_infra.llm.session import sqlite

def slow(text: str) -> str:
    "A tool that takes a while."
    time.sleep(0.004)
    return text.upper()

def work(path, url, first):
    agent = Agent(session=sqlite(path), llm=LLM(base_url=url, api_key="k", model="gpt-4o"), tools=[slow])
    for number in itertools.count(first):
        agent.run(f"turn {number}", session_id="s")
        tell(f"done {number}")
"""


def answer(request: Request) -> Reply:
    last = request.messages[-1]
    if last["role"] == "user":
        return Reply.tools(("slow", {"text": "a"}), ("slow", {"text": "b"}))
    return Reply("That was it.", delay=0.002)


def test_killed_at_random(server: OpenAIServer, llm: LLM, tmp_path: Path) -> None:
    server.responder = answer
    path = tmp_path / "s.db"
    chance = random.Random(5)
    acknowledged: list[int] = []
    last = -1
    with Victims(WORKER) as workers:
        for _ in range(ROUNDS):
            workers.start(str(path), server.base_url, last + 1)
            # Turns take some 20 ms, the first longer: anywhere in the first ones.
            timer = threading.Timer(chance.uniform(0.0, 0.4), os.kill, (workers.pid, signal.SIGKILL))
            timer.start()
            acknowledged += [int(line.split()[1]) for line in workers.rest()]
            timer.join()
            with sqlite(path) as sessions:
                messages = sessions.messages("s")
                info = sessions.get("s")
            assert_valid(messages)
            stored = [int(message["content"].split()[1]) for message in messages if message["role"] == "user"]
            # Whole turns, each once, in order; of those not acknowledged at most the last one of a round.
            assert len(messages) == 5 * len(stored)
            assert len(set(stored)) == len(stored)
            assert stored == sorted(stored)
            assert set(acknowledged) <= set(stored)
            assert info is None or (info.turns, info.messages) == (len(stored), len(messages))
            last = stored[-1] if stored else -1
    assert len(acknowledged) > ROUNDS // 5  # on a busy machine many are killed in their first turn
    with sqlite(path) as sessions:
        server.reply("still here")
        assert Agent(session=sessions, llm=llm).run("and now?", session_id="s") == "still here"
    assert_valid(server.chats[-1].messages)
