"""kill -9 at any moment of a turn: the session loads, is valid, and holds every acknowledged turn."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from ai_infra import LLM, Agent
from ai_infra.llm.session import sqlite
from ai_infra.testing.openai_server import OpenAIServer, Reply, Request

from tests.agent.conftest import assert_valid

ROUNDS = 500 if os.environ.get("AI_INFRA_NIGHTLY") else 50

WORKER = """
import sys, time
from ai_infra import Agent, LLM
from ai_infra.llm.session import sqlite

def slow(text: str) -> str:
    "A tool that takes a while."
    print("tool", flush=True)
    time.sleep(0.004)
    return text.upper()

path, url, start = sys.argv[1:]
sessions = sqlite(path)
agent = Agent(session=sessions, llm=LLM(base_url=url, api_key="k", model="gpt-4o"), tools=[slow])
number = int(start)
print("ready", flush=True)
while True:
    agent.run(f"turn {number}", session_id="s")
    print(f"done {number}", flush=True)
    number += 1
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
    for _ in range(ROUNDS):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(path), server.base_url, str(last + 1)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        # Turns take some 15 ms, the first longer: anywhere in the first ones.
        moment = time.monotonic() + chance.uniform(0.0, 0.15)
        threading.Timer(moment - time.monotonic(), worker.send_signal, (signal.SIGKILL,)).start()
        output, _ = worker.communicate()
        assert worker.returncode == -signal.SIGKILL
        acknowledged.extend(int(line.split()[1]) for line in output.splitlines() if line.startswith("done "))
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
    assert len(acknowledged) > ROUNDS // 5
    with sqlite(path) as sessions:
        server.reply("still here")
        assert Agent(session=sessions, llm=llm).run("and now?", session_id="s") == "still here"
    assert_valid(server.chats[-1].messages)
