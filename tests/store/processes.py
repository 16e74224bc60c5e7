"""Real processes for the tests: each runs a short program against a real file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PRELUDE = """
import sys
from ai_infra.llm.memory.store import MemoryStore
path = sys.argv[1]
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a program; ``path`` is its first argument, and ``sys.argv`` holds them all."""
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What it printed; its error output is the failure."""
    try:
        out, err = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, err
    return out


def run(code: str, *arguments: object) -> str:
    """Run a program to its end."""
    return finish(start(code, *arguments))


def sqlite_says(path: Path, sql: str) -> str:
    """What another SQLite (the machine's) reads in the file, in a process of its own."""
    code = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone()[0])"
    done = subprocess.run([sys.executable, "-c", code, path, sql], capture_output=True, text=True, check=True)
    return done.stdout.strip()
