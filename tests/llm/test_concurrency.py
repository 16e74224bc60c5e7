"""One client in many threads, tasks, loops and processes."""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor

import pytest
from ai_infra.errors import AIInfraError
from ai_infra.llm import LLM
from ai_infra.testing.openai_server import OpenAIServer, Reply, Request


def echo(request: Request) -> str:
    return f"you said {request.messages[-1]['content']}"


def test_sixteen_threads_and_sixteen_tasks_at_once(server: OpenAIServer, llm: LLM) -> None:
    server.responder = echo
    start = threading.Barrier(17)

    def thread(number: int) -> list[str]:
        start.wait()
        return [llm.chat(f"{number}.{n}") for n in range(5)] + ["".join(llm.stream(f"{number}.s"))]

    async def task(number: int) -> list[str]:
        chats = [await llm.achat(f"{number}.{n}") for n in range(5)]
        return [*chats, "".join([piece async for piece in llm.astream(f"{number}.s")])]

    async def tasks() -> list[list[str]]:
        await asyncio.to_thread(start.wait)
        return await asyncio.gather(*(task(number) for number in range(16, 32)))

    with ThreadPoolExecutor(16) as pool:
        threads = [pool.submit(thread, number) for number in range(16)]
        answers = [*asyncio.run(tasks()), *(future.result() for future in threads)]
    expected = {f"you said {number}.{n}" for number in range(32) for n in (0, 1, 2, 3, 4, "s")}
    assert {answer for group in answers for answer in group} == expected
    assert len(server.chats) == 32 * 6


def test_loop_after_loop_without_closing(server: OpenAIServer, llm: LLM) -> None:
    server.responder = echo
    for number in range(5):
        assert asyncio.run(llm.achat(str(number))) == f"you said {number}"
    assert len(llm._service._transport._async) == 1  # closed loops are forgotten


def test_a_client_can_be_used_after_it_was_closed(server: OpenAIServer) -> None:
    llm = LLM(base_url=server.base_url, api_key="k")
    with llm:
        llm.chat("Hi")
    llm.chat("Hi")
    llm.close()
    llm.close()

    async def twice() -> None:
        async with llm:
            await llm.achat("Hi")
        await llm.achat("Hi")
        await llm.aclose()
        await llm.aclose()

    asyncio.run(twice())
    assert len(server.chats) == 4


def test_cancelling_a_task_leaves_the_client_usable(server: OpenAIServer, llm: LLM) -> None:
    server.reply(Reply("never seen", delay=0.3), Reply("slow one", token_delay=0.3), "There.")

    async def then_wait(waiting: Awaitable[str]) -> None:
        await waiting
        await asyncio.sleep(1)

    async def run() -> str:
        for number, waiting in enumerate((llm.achat("Hi"), anext(llm.astream("Hi"))), 1):
            task = asyncio.ensure_future(then_wait(waiting))
            while len(server.chats) < number:  # cancelled in the middle, however slow the machine
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        return await llm.achat("Hi")

    assert asyncio.run(run()) == "There."


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, which Windows has not")
def test_a_forked_child_opens_connections_of_its_own(server: OpenAIServer, llm: LLM) -> None:
    server.responder = echo
    llm.chat("parent")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of threads: that is the test
        child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if llm.chat("child") == "you said child" else 2
        except AIInfraError:
            code = 3
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert llm.chat("parent again") == "you said parent again"
