"""What a turn costs beside the model: ours, LangGraph's agent, the OpenAI Agents SDK, and a bare call.

    pip install -r benches/agent/requirements.txt
    python benches/agent/overhead.py [--turns 20] [--rounds 7] [--tool]

All talk to the same local server (a process of its own, a fixed answer) and keep the same conversation. In
every round each of them makes one new session of so many turns; rounds are interleaved. Printed is the median
over the rounds of the median turn; what it is over a bare call (`openai` with a list that grows); what it is
over the same request by our own client, which leaves out the SDK's rewriting of every message; and the whole
turn's ratio to ours. With --tool each turn calls one tool, so that a bare one is two calls and a function.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

SERVER = """
import sys
from ai_infra.testing.openai_server import OpenAIServer, Reply
tool = sys.argv[1] == "tool"
def respond(request):
    if tool and request.messages[-1]["role"] == "user":
        return Reply.tools(("add", {"a": 1, "b": 2}))
    return Reply("Three, as far as I can tell from here.")
with OpenAIServer(respond) as server:
    print(server.base_url, flush=True)
    sys.stdin.read()
"""
SYSTEM = "You are a helpful assistant."
ASKED = "What is one and two, and why?"
Turn = Callable[[], None]


def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


class Bench:
    """Makes a new session of each kind; each is a function that makes one turn."""

    def __init__(self, url: str, folder: Path, tool: bool) -> None:
        import openai

        self.url, self.folder = url, folder
        self.tools = [add] if tool else []
        self.loop = asyncio.new_event_loop()
        self.client = openai.OpenAI(base_url=url, api_key="k", max_retries=0)

    def bare(self) -> Turn:
        from ai_infra.llm.tools import Tool

        history: list[Any] = [{"role": "system", "content": SYSTEM}]
        options: dict[str, Any] = (
            {"tools": [Tool(tool).to_openai() for tool in self.tools]} if self.tools else {}
        )

        def turn() -> None:
            history.append({"role": "user", "content": ASKED})
            while True:
                answer = self.client.chat.completions.create(model="gpt-4o", messages=history, **options)
                message = answer.choices[0].message
                history.append(message.model_dump(exclude_none=True))
                if not message.tool_calls:
                    return
                for call in message.tool_calls:
                    history.append({"role": "tool", "tool_call_id": call.id, "content": add(1, 2)})

        return turn

    def llm_alone(self) -> Turn:
        """The same requests with nothing around them, by our own client: the floor."""
        from ai_infra import LLM
        from ai_infra.llm.tools import Tool

        llm = LLM(base_url=self.url, api_key="k", model="gpt-4o")
        history: list[Any] = [{"role": "system", "content": SYSTEM}]
        tools = [Tool(tool).to_openai() for tool in self.tools] or None

        def turn() -> None:
            history.append({"role": "user", "content": ASKED})
            while True:
                answer = llm.chat(history, tools=tools)
                history.append(answer.messages[-1])
                if not answer.tool_calls:
                    return
                for call in answer.tool_calls:
                    history.append({"role": "tool", "tool_call_id": call["id"], "content": add(1, 2)})

        return turn

    def _ours(self, session: Any) -> Turn:
        from ai_infra import LLM, Agent

        llm = LLM(base_url=self.url, api_key="k", model="gpt-4o")
        agent = Agent(tools=self.tools, session=session, system=SYSTEM, llm=llm)
        return lambda: agent.run(ASKED, session_id="s") and None

    def ours_memory(self) -> Turn:
        from ai_infra.llm.session import memory

        return self._ours(memory())

    def ours_sqlite(self) -> Turn:
        from ai_infra.llm.session import sqlite

        return self._ours(sqlite(self.folder / f"{uuid.uuid4().hex}.db"))

    def _langgraph(self, saver: Any) -> Turn:
        from langchain.agents import create_agent
        from langchain_openai import ChatOpenAI

        model = ChatOpenAI(base_url=self.url, api_key="k", model="gpt-4o", max_retries=0)
        agent = create_agent(model, tools=self.tools, system_prompt=SYSTEM, checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "s"}}
        return lambda: agent.invoke({"messages": [{"role": "user", "content": ASKED}]}, config) and None

    def langgraph_memory(self) -> Turn:
        from langgraph.checkpoint.memory import InMemorySaver

        return self._langgraph(InMemorySaver())

    def langgraph_sqlite(self) -> Turn:
        import sqlite3

        from langgraph.checkpoint.sqlite import SqliteSaver

        path = self.folder / f"{uuid.uuid4().hex}.db"
        return self._langgraph(SqliteSaver(sqlite3.connect(path, check_same_thread=False)))

    def _openai_agents(self, path: str) -> Turn:
        from agents import (
            Agent,
            OpenAIChatCompletionsModel,
            Runner,
            SQLiteSession,
            function_tool,
            set_tracing_disabled,
        )
        from openai import AsyncOpenAI

        set_tracing_disabled(True)
        client = AsyncOpenAI(base_url=self.url, api_key="k", max_retries=0)
        agent = Agent(
            "a",
            instructions=SYSTEM,
            tools=[function_tool(tool) for tool in self.tools],
            model=OpenAIChatCompletionsModel("gpt-4o", client),
        )
        session = SQLiteSession("s", path)
        # One event loop for all, as a server has: run_sync would add to every turn.
        return lambda: self.loop.run_until_complete(Runner.run(agent, ASKED, session=session)) and None

    def openai_agents_memory(self) -> Turn:
        return self._openai_agents(":memory:")

    def openai_agents_sqlite(self) -> Turn:
        return self._openai_agents(str(self.folder / f"{uuid.uuid4().hex}.db"))


KINDS = (
    "bare",
    "llm_alone",
    "ours_memory",
    "ours_sqlite",
    "langgraph_memory",
    "langgraph_sqlite",
    "openai_agents_memory",
    "openai_agents_sqlite",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tool", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the files go: the disk that is measured")
    options = parser.parse_args()

    mode = "tool" if options.tool else "text"
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory(dir=options.folder, ignore_cleanup_errors=True) as folder:
        bench = Bench(url, Path(folder), options.tool)
        for number in range(options.rounds + 1):
            for kind in KINDS:
                turn = getattr(bench, kind)()
                turn()  # the first one connects
                taken = []
                for _ in range(options.turns):
                    start = time.perf_counter()
                    turn()
                    taken.append(time.perf_counter() - start)
                if number:  # the first round imports
                    times[kind].append(statistics.median(taken))
    server.communicate()
    medians = {kind: statistics.median(found) * 1e3 for kind, found in times.items()}
    print(f"{mode} turns, {options.turns} a session, {options.rounds} rounds, medians in ms")
    print(f"{'':<22} {'turn':>8} {'over bare':>10} {'over llm':>10} {'× ours':>8}")
    for kind, median in medians.items():
        ours = medians.get("ours_" + kind.rsplit("_", 1)[-1])
        ratio = f"{median / ours:>8.1f}" if ours else ""
        over = (median - medians["bare"], median - medians["llm_alone"])
        print(f"{kind:<22} {median:>8.2f} {over[0]:>10.2f} {over[1]:>10.2f} {ratio}")


if __name__ == "__main__":
    main()
