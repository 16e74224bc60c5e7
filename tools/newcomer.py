"""The first hour of a new user, as a program: ``python tools/newcomer.py dist/ai_infra_memory-….whl``.

Installs the wheel alone in an empty environment, indexes a ChatGPT-shaped and a Claude-shaped export by the command
line, searches offline, kills the indexing of a larger export half-way, goes on, and finds every conversation once.
Prints sizes and times; any failure ends it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

CHATS = 20_000


def chatgpt(number: int, words: str) -> dict[str, Any]:
    """A conversation as ChatGPT exports it."""
    nodes: dict[str, Any] = {"root": {"id": "root", "message": None, "parent": None, "children": ["0"]}}
    said = [("user", f"how about {words}?"), ("assistant", f"{words} is fine, number{number}.")] * 3
    for at, (role, text) in enumerate(said):
        content = {"content_type": "text", "parts": [text]}
        nodes[str(at)] = {
            "id": str(at),
            "parent": str(at - 1) if at else "root",
            "children": [],
            "message": {"author": {"role": role}, "create_time": 1736899200 + number, "content": content},
        }
    return {
        "title": f"Chat {number}",
        "create_time": 1736899200 + number,
        "conversation_id": f"gpt-{number}",
        "current_node": str(len(said) - 1),
        "mapping": nodes,
    }


def claude(number: int, words: str) -> dict[str, Any]:
    """A conversation as Claude exports it."""
    senders = ("human", "assistant")
    said = [{"sender": s, "text": f"{s} on {words}", "created_at": "2025-02-03T10:00:01Z"} for s in senders]
    return {
        "uuid": f"claude-{number}",
        "name": words,
        "created_at": "2025-02-03T10:00:00Z",
        "chat_messages": said,
    }


def main(wheel: Path) -> None:
    """Do all of it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        venv.create(place / "env", with_pip=True)
        python = place / "env" / "bin" / "python"
        pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--no-index", wheel.absolute()], check=True)
        (package,) = (place / "env" / "lib").glob("python*/site-packages/ai_infra")
        size = sum(file.stat().st_size for file in package.rglob("*") if file.is_file())
        print(f"wheel {wheel.stat().st_size / 1e6:.1f} MB, installed {size / 1e6:.1f} MB")
        command = [place / "env" / "bin" / "ai-infra"]
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "AI_INFRA_DB": f"{folder}/chats.db"}

        def run(*arguments: str) -> str:
            done = subprocess.run(
                [*command, *arguments],
                capture_output=True,
                text=True,
                env=environment,
                cwd=folder,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        times = []
        for code in (
            "pass",
            "import ai_infra",
            "import ai_infra; ai_infra.fit_context; ai_infra.count_tokens",
        ):
            best = 9.0
            for _ in range(7):
                start = time.perf_counter()
                subprocess.run([python, "-c", code], check=True)
                best = min(best, time.perf_counter() - start)
            times.append(best * 1e3)
        print(
            f"import ai_infra: {times[1] - times[0]:.0f} ms; with its first names: {times[2] - times[0]:.0f} ms"
        )

        write(place / "gpt.json", [chatgpt(1, "sourdough bread")])
        write(place / "claude.json", [claude(1, "gravel tyres")])
        print(run("index", "gpt.json", "claude.json").strip())
        assert "gpt-1" in run("search", "what about my sourdough?", "--limit", "1")
        assert "claude-1" in run("search", "tyres for gravel", "--limit", "1")

        write(place / "large.json", [chatgpt(n, f"topic{n} and gardens") for n in range(2, CHATS)])
        indexing = subprocess.Popen([*command, "index", "large.json"], env=environment, cwd=folder)
        while count(run("stats", "--json")) < CHATS // 3:
            assert indexing.poll() is None, "it was done before it could be killed"
            time.sleep(0.05)
        indexing.send_signal(signal.SIGKILL)
        indexing.wait()
        there = count(run("stats", "--json"))
        print(f"killed with {there:,} of {CHATS:,} conversations")
        assert CHATS // 3 <= there < CHATS
        start = time.perf_counter()
        print(run("index", "large.json").strip())
        print(f"went on in {time.perf_counter() - start:.1f} s, start and reading of the file included")
        assert count(run("stats", "--json")) == CHATS
        listed = [json.loads(line)["session_id"] for line in run("list", "--json").splitlines()]
        assert sorted(listed) == sorted(["claude-1", *(f"gpt-{n}" for n in range(1, CHATS))])
        for number in (2, there - 1, there, there + 1, CHATS - 1):
            start = time.perf_counter()
            found = [
                json.loads(line)["session_id"]
                for line in run("search", f"topic{number}", "--json").splitlines()
            ]
            assert found[0] == f"gpt-{number}"
            assert found.count(f"gpt-{number}") == 1
        print(f"one search by the command line: {time.perf_counter() - start:.2f} s")


def count(stats: str) -> int:
    """How many conversations."""
    return int(json.loads(stats)["conversations"])


def write(path: Path, document: Any) -> None:
    """A file of an export."""
    path.write_text(json.dumps(document), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
