"""A server that is restarted in every way, twenty times, under load: what was acknowledged is there."""

from __future__ import annotations

import asyncio
import gc
import io
import itertools
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from ai_infra.llm.memory.store import MemoryStore
from ai_infra.llm.session import postgres

from tests.postgres.server import Server

THREADS = TASKS = 8
RESTARTS = 20


@pytest.fixture
def durable() -> Iterator[Server]:
    """A server that writes for good (fsync is on)."""
    server = Server("max_connections=60")
    yield server
    server.end()


def where(threads: list[threading.Thread], loops: list[asyncio.AbstractEventLoop]) -> str:
    """What threads that have not ended are doing, and the tasks of loops among them; empty when all have."""
    told = io.StringIO()
    frames = sys._current_frames()
    for thread in threads:
        if thread.is_alive():
            traceback.print_stack(frames.get(thread.ident or 0), file=told)
    if told.getvalue():
        for task in itertools.chain.from_iterable(map(asyncio.all_tasks, loops)):
            waits: Any = task.get_coro()
            while waits is not None:
                print(waits, file=told)
                waits = getattr(waits, "cr_await", None)
    return told.getvalue()


def test_twenty_restarts_lose_nothing_and_raise_nothing(durable: Server) -> None:
    url = durable.url
    store, astore = MemoryStore.postgres(url), MemoryStore.postgres(url)
    sessions = postgres(url)
    store.put("warm", "up", {})
    done = threading.Event()
    acknowledged: list[tuple[str, int]] = []
    turns: list[str] = []
    failures: list[BaseException] = []
    loops: list[asyncio.AbstractEventLoop] = []

    def thread(number: int) -> None:
        try:
            for turn in itertools.count():
                if done.is_set():
                    return
                place = f"thread {number}"
                assert store.put(("load", place), str(turn), {"n": turn}).version == 1
                acknowledged.append((place, turn))
                item = store.get(("load", place), str(turn))
                assert item is not None
                # Compare-and-set, too, whatever happens to its COMMIT.
                again = store.put(("load", place), str(turn), {"n": turn}, expected_version=1)
                assert again.version == 2
                if turn % 4 == 0:
                    name = f"{place} {turn}"
                    sessions.append(place, [{"role": "user", "content": name}], turn_id=name)
                    turns.append(name)
        except BaseException as error:
            failures.append(error)
            raise

    async def task(number: int) -> None:
        place = f"task {number}"
        for turn in itertools.count():
            if done.is_set():
                return
            assert (await astore.aput(("load", place), str(turn), {"n": turn})).version == 1
            acknowledged.append((place, turn))
            assert await astore.aget(("load", place), str(turn)) is not None

    async def tasks() -> None:
        loops.append(asyncio.get_running_loop())
        try:
            await asyncio.gather(*(task(n) for n in range(TASKS)))
        except BaseException as error:
            failures.append(error)
            raise
        finally:
            await astore.aclose()

    workers = [threading.Thread(target=thread, args=(n,)) for n in range(THREADS)]
    loop = threading.Thread(target=asyncio.run, args=(tasks(),))
    for worker in (*workers, loop):
        worker.start()
    pauses = []
    for restart in range(RESTARTS):
        time.sleep(0.15)
        durable.stop(("fast", "immediate", "kill")[restart % 3])
        durable.start()
        back, before = time.monotonic(), len(acknowledged)
        while len(acknowledged) < before + 4 and not failures:
            time.sleep(0.01)
        pauses.append(time.monotonic() - back)
    done.set()
    for worker in (*workers, loop):
        worker.join(60)
    assert not (waiting := where([*workers, loop], loops)), waiting
    assert not failures
    with MemoryStore.postgres(url) as reader:
        there = {(item.namespace[1], item.value["n"]) for item in reader.list("load", recursive=True)}
    assert set(acknowledged) <= there
    with postgres(url) as reading:
        said = [m["content"] for number in range(THREADS) for m in reading.messages(f"thread {number}")]
    assert sorted(said) == sorted(turns)
    # The promise is below three seconds; what is measured is in docs/postgres.md. Here only: it did go on.
    assert len(pauses) == RESTARTS
    store.close()
    sessions.close()
    with psycopg.connect(url) as connection:
        deadline = time.monotonic() + 30
        mine = """SELECT state, wait_event, query, age(clock_timestamp(), backend_start), age(clock_timestamp(), state_change)
                  FROM pg_stat_activity WHERE application_name = 'ai_infra'"""
        while left := connection.execute(mine).fetchall():
            assert time.monotonic() < deadline, f"a connection was leaked: {left}"
            gc.collect()  # an attempt to connect that was given up may lie in a cycle
            time.sleep(0.05)
            connection.rollback()
    print("recovery, seconds:", sorted(round(pause, 2) for pause in pauses), "writes:", len(acknowledged))
