"""The page's snippets about agents, as they stand there, against the local server.

Only what a reader fills in is filled in: the environment, and for the two that name PostgreSQL the backend
(the tests of that backend run them on it).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ai_infra.testing.openai_server import OpenAIServer, Reply

SESSION_AND_MEMORY = """
from ai_infra import Agent
from ai_infra.llm.session import memory as session_memory

# Session: same conversation across requests
agent = Agent(session=session_memory())
agent.run("Hi, I'm Bob", session_id="thread_123")
agent.run("What's my name?", session_id="thread_123")  # Knows "Bob"

# Memory: recall across ALL past conversations
recall_tool = create_memory_tool(conv_memory, user_id="user_123")
agent = Agent(tools=[recall_tool])
agent.run("How did we fix that auth bug last month?")  # Searches all history
"""

AGENT_INTEGRATION = """
from ai_infra import Agent
from ai_infra.llm.tools.custom import ConversationMemory, create_memory_tool

# Set up conversation memory
memory = ConversationMemory(
    backend="postgres",
    connection_string=os.environ["DATABASE_URL"],
    embedding_provider="openai",
)

# Create recall tool for a specific user
recall_tool = create_memory_tool(
    memory,
    user_id="user_123",  # Scoped to this user
    name="recall_past_conversations",
    description="Search through past conversations to find relevant context.",
    limit=3,
)

# Agent can now recall past conversations
agent = Agent(
    tools=[recall_tool],
    system="You are helpful. Use recall_past_conversations when the user references previous discussions.",
)

# Agent will use the tool to answer this
result = agent.run("How did we fix that caching issue last month?")
"""

PRODUCTION = """
import os
from ai_infra import Agent
from ai_infra.llm.session import postgres as session_postgres
from ai_infra.llm.memory import MemoryStore, SummarizationMiddleware
from ai_infra.llm.tools.custom import ConversationMemory, create_memory_tool

DATABASE_URL = os.environ["DATABASE_URL"]

# 1. Session storage (short-term, per-thread)
session_storage = session_postgres(DATABASE_URL)

# 2. Memory store (long-term facts)
memory_store = MemoryStore.postgres(DATABASE_URL)

# 3. Conversation memory (long-term conversation history)
conv_memory = ConversationMemory(
    backend="postgres",
    connection_string=DATABASE_URL,
    embedding_provider="openai",
    embedding_model="text-embedding-3-small",
)

# 4. Create recall tool
def get_recall_tool(user_id: str):
    return create_memory_tool(
        conv_memory,
        user_id=user_id,
        limit=5,
    )

# 5. Create agent
def create_agent_for_user(user_id: str) -> Agent:
    return Agent(
        tools=[get_recall_tool(user_id)],
        session=session_storage,
        system="You are a helpful assistant. Use recall_past_conversations when users reference previous discussions.",
    )

# Usage
agent = create_agent_for_user("user_123")

# Run with session (conversation persists)
result = agent.run(
    "How did we fix that bug last week?",
    session_id="thread_789",
)

# After conversation ends, index it for future recall
# (Call this when session ends or periodically)
conv_memory.index_conversation(
    user_id="user_123",
    session_id="thread_789",
    messages=result.messages,  # Get from session
    metadata={"date": "2025-01-20"},
)
"""

PAST = [
    {"role": "user", "content": "The auth bug: every login fails since the caching was turned on."},
    {"role": "assistant", "content": "The token had expired in the cache; a shorter lifetime fixed the bug."},
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[OpenAIServer]:
    with OpenAIServer(dimensions=1536) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        monkeypatch.setenv("DATABASE_URL", str(tmp_path / "all.db"))
        yield running


def on_sqlite(snippet: str) -> str:
    return (
        snippet.replace("import postgres as session_postgres", "import sqlite as session_postgres")
        .replace("MemoryStore.postgres(", "MemoryStore.sqlite(")
        .replace('backend="postgres"', 'backend="sqlite"')
        .replace("connection_string=", "path=")
    )


def recalls(server: OpenAIServer, name: str = "recall_past_conversations") -> None:
    """The model asks for the past, then answers."""
    server.reply(Reply.tools((name, {"query": "auth bug caching fix"})), "A shorter lifetime.")


def told(server: OpenAIServer) -> str:
    """What the model was told by the tool."""
    (message,) = [message for message in server.chats[-1].messages if message["role"] == "tool"]
    return str(message["content"])


def test_session_and_memory(server: OpenAIServer) -> None:
    from ai_infra.llm.tools.custom import ConversationMemory, create_memory_tool

    conv_memory = ConversationMemory()
    conv_memory.index_conversation(user_id="user_123", session_id="old", messages=PAST)
    server.reply("Hello Bob", "Bob")
    tool = create_memory_tool(conv_memory, user_id="user_123")
    recalls(server, tool.name)
    names: dict[str, Any] = {"create_memory_tool": create_memory_tool, "conv_memory": conv_memory}
    exec(SESSION_AND_MEMORY, names)
    assert [message["content"] for message in server.chats[1].messages] == [
        "Hi, I'm Bob",
        "Hello Bob",
        "What's my name?",
    ]
    assert "a shorter lifetime fixed the bug" in told(server)


def test_agent_integration(server: OpenAIServer) -> None:
    from ai_infra.llm.tools.custom import ConversationMemory

    with_past = ConversationMemory(
        backend="sqlite", path=os.environ["DATABASE_URL"], embedding_provider="openai"
    )
    with_past.index_conversation(user_id="user_123", session_id="old", messages=PAST)
    with_past.index_conversation(
        user_id="other", session_id="x", messages=[{"role": "user", "content": "SECRET bug"}]
    )
    recalls(server)
    names: dict[str, Any] = {"os": os}
    exec(on_sqlite(AGENT_INTEGRATION), names)
    assert names["result"] == "A shorter lifetime."
    assert "a shorter lifetime fixed the bug" in told(server)
    assert "SECRET" not in told(server)


def test_production_and_a_restart(server: OpenAIServer) -> None:
    script = (
        on_sqlite(PRODUCTION)
        + "\nprint(len(result.messages), conv_memory.search('user_123', 'bug')[0].chunk.session_id)"
    )
    for number in range(2):
        recalls(server)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [str(4 * (number + 1)), "thread_789"]
    # The second process has told the model what the first one had heard, and recalled what it had indexed.
    texts = [message["content"] for message in server.chats[-1].messages]
    assert texts.count("How did we fix that bug last week?") == 2
    assert "A shorter lifetime." in str(server.chats[-1].messages[-1]["content"])
