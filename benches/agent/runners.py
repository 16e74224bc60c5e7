"""Those who are measured: each makes a new session against the local server and gives a function for one turn.

All of them keep the same conversation with the same server. What is theirs is used as their documentation
shows it; only retries and tracing are off. `bounded` asks for a prompt that does not grow for ever.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

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
MODEL = "gpt-4o"
BUDGET = 4_000
"""Tokens of a bounded prompt."""
MESSAGES = 200
"""Messages of a bounded prompt, for whom tokens cannot be said: about as many as ours has, in the middle."""

Turn = Callable[[], None]


def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


class Runners:
    """Every public method but ``close`` begins a session of its kind."""

    def __init__(self, url: str, folder: Path, database: str | None, *, tool: bool, bounded: bool) -> None:
        import openai

        self.url, self.folder, self.database, self.bounded = url, folder, database, bounded
        self.tools = [add] if tool else []
        self.loop = asyncio.new_event_loop()
        self.client = openai.OpenAI(base_url=url, api_key="k", max_retries=0)
        self._open: dict[str, Any] = {}

    # Without a session: lists that grow ---------------------------------------------------------------------

    def bare(self) -> Turn:
        from ai_infra.llm.tools import Tool

        history: list[Any] = [{"role": "system", "content": SYSTEM}]
        schemas = [Tool(tool).to_openai() for tool in self.tools]
        options: dict[str, Any] = {"tools": schemas} if schemas else {}

        def turn() -> None:
            history.append({"role": "user", "content": ASKED})
            while True:
                answer = self.client.chat.completions.create(model=MODEL, messages=history, **options)
                message = answer.choices[0].message
                history.append(message.model_dump(exclude_none=True))
                if not message.tool_calls:
                    return
                for call in message.tool_calls:
                    history.append({"role": "tool", "tool_call_id": call.id, "content": add(1, 2)})

        return turn

    def llm_alone(self) -> Turn:
        """The same requests by our own client: what a turn of ours cannot be under."""
        from ai_infra.llm.tools import Tool

        llm = self._llm()
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

    # Ours ---------------------------------------------------------------------------------------------------

    def ours_memory(self) -> Turn:
        from ai_infra.llm.session import memory

        return self._ours(memory(**self._budget()))

    def ours_sqlite(self) -> Turn:
        from ai_infra.llm.session import sqlite

        return self._ours(sqlite(self._path(), **self._budget()))

    def ours_postgres(self) -> Turn:
        from ai_infra.llm.session import postgres

        assert self.database is not None
        return self._ours(self._once("ours", lambda: postgres(str(self.database), **self._budget())))

    def _budget(self) -> dict[str, Any]:
        return {"max_tokens": BUDGET} if self.bounded else {}

    def _llm(self) -> Any:
        from ai_infra import LLM

        return self._once("llm", lambda: LLM(base_url=self.url, api_key="k", model=MODEL))

    def _ours(self, session: Any) -> Turn:
        from ai_infra import Agent

        agent = Agent(tools=self.tools, session=session, system=SYSTEM, llm=self._llm())
        name = uuid.uuid4().hex
        return lambda: agent.run(ASKED, session_id=name) and None

    # LangGraph ----------------------------------------------------------------------------------------------

    def langgraph_memory(self) -> Turn:
        from langgraph.checkpoint.memory import InMemorySaver

        return self._langgraph(InMemorySaver())

    def langgraph_sqlite(self) -> Turn:
        from langgraph.checkpoint.sqlite import SqliteSaver

        return self._langgraph(SqliteSaver(sqlite3.connect(self._path(), check_same_thread=False)))

    def langgraph_postgres(self) -> Turn:
        from langgraph.checkpoint.postgres import PostgresSaver

        def made() -> PostgresSaver:
            # What PostgresSaver.from_conn_string does.
            connection = psycopg.Connection.connect(
                str(self.database), autocommit=True, prepare_threshold=0, row_factory=psycopg.rows.dict_row
            )
            saver = PostgresSaver(connection)
            saver.setup()
            return saver

        return self._langgraph(self._once("saver", made))

    def _langgraph(self, saver: Any) -> Turn:
        from langchain.agents import create_agent
        from langchain.agents.middleware import wrap_model_call
        from langchain_core.messages import trim_messages
        from langchain_openai import ChatOpenAI

        @wrap_model_call  # type: ignore[arg-type]  # a plain function, as its documentation shows it
        def trimmed(request: Any, handler: Any) -> Any:
            newest = trim_messages(
                request.messages, max_tokens=BUDGET, token_counter="approximate", start_on="human"
            )
            return handler(request.override(messages=newest))

        model = ChatOpenAI(base_url=self.url, api_key="k", model=MODEL, max_retries=0)  # type: ignore[arg-type]
        around: Any = [trimmed] if self.bounded else []
        agent: Any = create_agent(
            model, tools=self.tools, system_prompt=SYSTEM, checkpointer=saver, middleware=around
        )
        config = {"configurable": {"thread_id": uuid.uuid4().hex}}
        return lambda: agent.invoke({"messages": [{"role": "user", "content": ASKED}]}, config) and None

    # The OpenAI Agents SDK ----------------------------------------------------------------------------------

    def openai_agents_memory(self) -> Turn:
        return self._openai_agents(":memory:")

    def openai_agents_sqlite(self) -> Turn:
        return self._openai_agents(str(self._path()))

    def _openai_agents(self, path: str) -> Turn:
        from agents import (
            Agent,
            OpenAIChatCompletionsModel,
            RunConfig,
            Runner,
            SessionSettings,
            SQLiteSession,
            function_tool,
            set_tracing_disabled,
        )
        from openai import AsyncOpenAI

        set_tracing_disabled(True)
        client = self._once("client", lambda: AsyncOpenAI(base_url=self.url, api_key="k", max_retries=0))
        agent = Agent(
            "a",
            instructions=SYSTEM,
            tools=[function_tool(tool) for tool in self.tools],
            model=OpenAIChatCompletionsModel(MODEL, client),
        )
        session = SQLiteSession(uuid.uuid4().hex, path)
        config = RunConfig(session_settings=SessionSettings(limit=MESSAGES)) if self.bounded else None
        # One event loop for all, as a server has: run_sync would add to every turn.
        return lambda: self._asyncio(Runner.run(agent, ASKED, session=session, run_config=config))

    def _asyncio(self, coroutine: Any) -> None:
        self.loop.run_until_complete(coroutine)

    # What they share ----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close what a loop must close before it goes."""
        if "client" in self._open:
            self._asyncio(self._open["client"].close())
        self.loop.close()

    def _path(self) -> Path:
        return self.folder / f"{uuid.uuid4().hex}.db"

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._open:
            self._open[name] = make()
        return self._open[name]


KINDS = [name for name in vars(Runners) if not name.startswith("_") and name != "close"]


@contextmanager
def chat_server(mode: str) -> Iterator[str]:
    """The model's service: a process of its own with a fixed answer; yields its address."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.communicate()


@contextmanager
def database(wanted: bool) -> Iterator[str | None]:
    """A fresh database on the server that DATABASE_URL names, or on one of this run's own (fsync on)."""
    if not wanted:
        yield None
        return
    given, own = os.environ.get("DATABASE_URL"), None
    if given is None:
        from tests.postgres.server import Server

        own = Server()
        given = own.url
    name = f"bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(given, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")  # type: ignore[arg-type]
    try:
        yield psycopg.conninfo.make_conninfo(given, dbname=name)
    finally:
        with psycopg.connect(given, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]
        if own is not None:
            own.end()
