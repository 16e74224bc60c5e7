"""Code of the caller's that waits, runs long, or raises what no coroutine can: nothing hangs, nobody starves."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ai_infra import Agent, afit_context, fit_context
from ai_infra.errors import EmbeddingError, SummarizationError
from ai_infra.llm.agent import Middleware, ToolCall, ToolResult
from ai_infra.llm.memory import MemoryStore
from ai_infra.llm.session import sqlite

SOON = 20.0
"""Seconds after which something hangs."""


class Calls:
    """A model that makes these calls, and then tells what it was told."""

    def __init__(self, *calls: tuple[str, dict[str, Any]]) -> None:
        self.calls = [
            {
                "id": f"call_{at}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for at, (name, arguments) in enumerate(calls)
        ]

    def chat(self, messages: list[Any], tools: Any = None) -> Any:
        told = [message["content"] for message in messages if message["role"] == "tool"]
        if told:
            return "; ".join(told)
        return {"role": "assistant", "content": None, "tool_calls": self.calls}


def run(agent: Agent) -> str:
    """``agent.run`` on a thread, so that a run that hangs fails."""
    answer: list[str | BaseException] = []

    def go() -> None:
        try:
            answer.append(str(agent.run("go")))
        except BaseException as error:  # noqa: BLE001 - raised below, in the test
            answer.append(error)

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    thread.join(SOON)
    if not answer:
        raise TimeoutError("the run hangs")
    if isinstance(answer[0], BaseException):
        raise answer[0]
    return answer[0]


def arun(agent: Agent) -> str:
    """``agent.arun`` in a loop whose own threads are few, and that does not wait for those that hang."""
    answer: list[str | BaseException] = []

    async def within() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        try:
            answer.append(str(await asyncio.wait_for(agent.arun("go"), SOON)))
        except BaseException as error:  # noqa: BLE001 - as above
            answer.append(error)

    thread = threading.Thread(target=lambda: asyncio.run(within()), daemon=True)
    thread.start()
    thread.join(SOON * 2)
    if not answer:
        raise TimeoutError("the run hangs")
    if isinstance(answer[0], BaseException):
        raise answer[0]
    return answer[0]


both = pytest.mark.parametrize("face", [run, arun])


class Audit(Middleware):
    """Steps in around tools, written for threads."""

    def around_tool(self, call: ToolCall, run: Callable[[ToolCall], ToolResult]) -> ToolResult:
        return run(call)


@both
def test_tools_inside_plain_middleware_do_not_wait_for_each_other(face: Callable[[Agent], str]) -> None:
    def look(n: int) -> str:
        """Look."""
        return str(n)

    model = Calls(*[("look", {"n": n}) for n in range(20)])
    agent = Agent(llm=model, tools=[look], middleware=[Audit(), Audit()])
    assert face(agent) == "; ".join(map(str, range(20)))


@both
def test_sixteen_plain_calls_of_a_step_run_at_once(face: Callable[[Agent], str]) -> None:
    here = threading.Barrier(16, timeout=SOON / 2)
    lock, now, most = threading.Lock(), 0, 0

    def meet(n: int) -> str:
        """Meet."""
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        here.wait()
        with lock:
            now -= 1
        return "met"

    agent = Agent(llm=Calls(*[("meet", {"n": n}) for n in range(32)]), tools=[meet])
    assert face(agent) == "; ".join(["met"] * 32)
    assert most == 16


def test_slow_tools_leave_the_stores_their_threads(tmp_path: Path) -> None:
    going_on, begun = threading.Event(), threading.Semaphore(0)

    def slow(n: int) -> str:
        """Slow."""
        begun.release()
        return str(going_on.wait(SOON))

    async def go() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        with sqlite(tmp_path / "sessions.db") as sessions:
            agent = Agent(llm=Calls(*[("slow", {"n": n}) for n in range(4)]), tools=[slow], session=sessions)
            turn = asyncio.create_task(agent.arun("go", session_id="one"))
            try:
                while not begun.acquire(blocking=False):
                    await asyncio.sleep(0.01)
                assert await asyncio.wait_for(sessions.aget("another"), SOON / 2) is None
            finally:
                going_on.set()
                await turn

    asyncio.run(go())


@both
def test_a_tool_that_lets_a_stop_iteration_out(face: Callable[[Agent], str]) -> None:
    def find(name: str) -> str:
        """Find."""
        return next(one for one in ["ann"] if one == name)

    async def afind(name: str) -> str:
        """Find."""
        return find(name)

    agent = Agent(llm=Calls(("find", {"name": "zoe"}), ("afind", {"name": "zoe"})), tools=[find, afind])
    assert face(agent) == "Error: StopIteration: ; Error: StopIteration: "


@both
def test_a_tool_that_raises_from_a_stop_iteration_keeps_its_words(face: Callable[[Agent], str]) -> None:
    def find() -> str:
        """Find."""
        try:
            return next(iter(()))
        except StopIteration as stop:
            raise RuntimeError("there is nobody") from stop

    assert face(Agent(llm=Calls(("find", {})), tools=[find])) == "Error: RuntimeError: there is nobody"


@both
def test_middleware_and_models_that_let_a_stop_iteration_out(face: Callable[[Agent], str]) -> None:
    class Empty(Audit):
        def around_tool(self, call: ToolCall, run: Any) -> ToolResult:
            return next(iter(()))

    class Silent:
        def chat(self, messages: Any, tools: Any = None) -> str:
            return next(iter(()))

    def look() -> str:
        """Look."""
        return ""

    for agent in (Agent(llm=Calls(("look", {})), tools=[look], middleware=[Empty()]), Agent(llm=Silent())):
        with pytest.raises(RuntimeError, match="StopIteration") as raised:
            face(agent)
        assert isinstance(raised.value.__cause__, StopIteration)
        assert "generator" not in str(raised.value)


class Nothing:
    """An embedder that lets a StopIteration out."""

    def embed_documents(self, texts: Any) -> Any:
        return next(iter(()))

    def embed_query(self, text: str) -> Any:
        return next(iter(()))


async def in_time(waiting: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(waiting, SOON)


def test_an_embedder_that_lets_a_stop_iteration_out() -> None:
    store = MemoryStore(embeddings=Nothing())
    for write in (
        lambda: store.put("a", "k", {"text": "x"}),
        lambda: asyncio.run(in_time(store.aput("a", "k", {"text": "x"}))),
    ):
        with pytest.raises(EmbeddingError, match=r"Nothing\.embed_documents .* StopIteration") as raised:
            write()
        assert isinstance(raised.value.__cause__, StopIteration)


def test_a_summarizer_that_lets_a_stop_iteration_out() -> None:
    messages = [{"role": "user", "content": "hello " * 50}] * 30

    def empty(messages: Any) -> str:
        return next(iter(()))

    with pytest.raises(SummarizationError, match="StopIteration"):
        fit_context(messages, max_tokens=300, summarize=True, llm=empty)
    with pytest.raises(SummarizationError, match="StopIteration"):
        asyncio.run(in_time(afit_context(messages, max_tokens=300, summarize=True, llm=empty)))


@both
def test_an_async_tool_that_runs_an_agent_with_async_tools(face: Callable[[Agent], str]) -> None:
    async def deep(n: int) -> str:
        """Deep."""
        await asyncio.sleep(0)
        return f"deep {n}"

    async def ask(question: str) -> str:
        """Ask the expert."""
        expert = Agent(llm=Calls(("deep", {"n": 1}), ("deep", {"n": 2})), tools=[deep])
        return str(expert.run(question))

    assert face(Agent(llm=Calls(("ask", {"question": "?"})), tools=[ask])) == "deep 1; deep 2"


@both
def test_a_cancellation_inside_a_tool_is_a_failure_of_the_tool(face: Callable[[Agent], str]) -> None:
    async def fetch() -> str:
        """Fetch."""
        inner = asyncio.create_task(asyncio.sleep(SOON))
        await asyncio.sleep(0)
        inner.cancel()
        await inner
        return "fetched"

    def plain() -> str:
        """Raise it."""
        raise asyncio.CancelledError

    told = face(Agent(llm=Calls(("fetch", {}), ("plain", {})), tools=[fetch, plain]))
    assert [one.startswith("Error: CancelledError") for one in told.split("; ")] == [True, True]


@pytest.mark.parametrize("calls", [1, 2])
def test_a_cancelled_run_is_cancelled(calls: int) -> None:
    async def go() -> None:
        begun = asyncio.Event()

        async def wait() -> str:
            """Wait."""
            begun.set()
            await asyncio.sleep(SOON)
            return "waited"

        turn = asyncio.create_task(Agent(llm=Calls(*[("wait", {})] * calls), tools=[wait]).arun("go"))
        await begun.wait()
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await in_time(turn)

    asyncio.run(go())


@pytest.mark.parametrize("asynchronous", [False, True])
@both
def test_a_run_that_failed_has_left_no_call_running(face: Callable[[Agent], str], asynchronous: bool) -> None:
    failed, done = threading.Event(), []

    class Refuses(Audit):
        def around_tool(self, call: ToolCall, run: Any) -> ToolResult:
            if '"bad"' in call.arguments:
                failed.set()
                raise OSError("refused")
            return super().around_tool(call, run)

    def slow(kind: str) -> str:
        """Slow."""
        failed.wait(SOON)
        threading.Event().wait(0.2)  # the run would be over by then
        done.append(kind)
        return kind

    async def aslow(kind: str) -> str:
        """Slow."""
        while not failed.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # as above
        done.append(kind)
        return kind

    tool = aslow if asynchronous else slow
    calls = [(tool.__name__, {"kind": "bad"}), (tool.__name__, {"kind": "good"})]
    with pytest.raises(OSError, match="refused"):
        face(Agent(llm=Calls(*calls), tools=[tool], middleware=[Refuses()]))
    assert done == ["good"]
