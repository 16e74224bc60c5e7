"""Sessions on PostgreSQL: the contract, and many workers on one session."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ai_infra import LLM
from ai_infra.llm.session import SessionStore, postgres
from ai_infra.testing.openai_server import OpenAIServer
from ai_infra.testing.sessions import SessionContract

from tests.agent.test_concurrency import WORKERS, race
from tests.postgres.server import Databases

makers: list[Databases] = []


@pytest.fixture(autouse=True, scope="module")
def _maker(databases: Databases) -> Iterator[None]:
    makers.append(databases)
    yield
    makers.clear()


class TestPostgres(SessionContract):
    def open_sessions(self, place: Path, **options: Any) -> SessionStore:
        return postgres(**makers[0].schema(place), pool_size=4, **options)


WORKER = """
import sys, threading
from ai_infra.llm.session import postgres
name, turns = sys.argv[2], 10

def work(number):
    with postgres(sys.argv[1]) as store:
        for turn in range(turns):
            me = f"{name}-{number}-{turn}"
            turn = [{"role": "user", "content": me}, {"role": "assistant", "content": me}]
            store.append("one", turn, turn_id=me)

threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_sixteen_workers_on_one_session_lose_and_interleave_nothing(url: str) -> None:
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, url, str(n)]) for n in range(4)]
    assert [worker.wait(120) for worker in workers] == [0] * 4
    with postgres(url) as store:
        said = [message["content"] for message in store.messages("one")]
    assert said[::2] == said[1::2]
    assert sorted(said[::2]) == sorted(f"{p}-{t}-{n}" for p in range(4) for t in range(4) for n in range(10))


@pytest.mark.parametrize("count", [1, WORKERS], ids=["one session", "a session each"])
def test_threads_and_tasks_of_one_agent(url: str, count: int) -> None:
    with (
        OpenAIServer() as server,
        LLM(base_url=server.base_url, api_key="k", model="gpt-4o") as llm,
        postgres(url) as sessions,
    ):
        race(server, llm, sessions, count, "both")
