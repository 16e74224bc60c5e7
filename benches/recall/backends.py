"""Recall of ``ConversationMemory`` on SQLite and on PostgreSQL, by the same scorer over the same conversations.

    python -m benches.recall.backends SCORER DATA… [--split dev]

SCORER is a program that takes ``module:factory`` and ``--data FILE --split … --json FILE`` and writes its means into
that file; DATA are files it can read. A PostgreSQL of its own is started, unless DATABASE_URL names one. The built-in
embedder. Prints the mean of each measure in percent, and the difference.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ai_infra.llm.conversation.memory import ConversationMemory

from tests.postgres.server import FAST, Databases, Server


def sqlite() -> ConversationMemory:
    """A memory in a file of its own."""
    return ConversationMemory(backend="sqlite", path=Path(tempfile.mkdtemp()) / "recall.db")


def postgres() -> ConversationMemory:
    """A memory in the database that RECALL_DATABASE_URL names."""
    return ConversationMemory(backend="postgres", connection_string=os.environ["RECALL_DATABASE_URL"])


def score(scorer: str, data: str, split: str, backend: str, url: str) -> dict[str, float]:
    """The means of the scorer, between 0 and 1, by measure."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        arguments = [f"benches.recall.backends:{backend}", "--data", data, "--split", split]
        subprocess.run(
            [sys.executable, scorer, *arguments, "--json", str(out)],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.getcwd(), "RECALL_DATABASE_URL": url},
        )
        means: dict[str, float] = json.loads(out.read_text("utf-8"))["mean"]
        return means


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scorer")
    parser.add_argument("data", nargs="+")
    parser.add_argument("--split", default="dev")
    options = parser.parse_args()
    given = os.environ.get("DATABASE_URL")
    server = None if given else Server(*FAST)
    databases = Databases(given or (server.url if server else ""))
    for data in options.data:
        ours = {
            name: score(options.scorer, data, options.split, name, databases.new())
            for name in ("sqlite", "postgres")
        }
        print(f"{Path(data).name}, {options.split}")
        for measure, value in ours["sqlite"].items():
            other = ours["postgres"][measure]
            print(
                f"  {measure:8} SQLite {100 * value:5.1f}  PostgreSQL {100 * other:5.1f}  "
                f"difference {100 * (other - value):+.2f}",
                flush=True,
            )
    databases.drop()
    if server is not None:
        server.end()


if __name__ == "__main__":
    main()
