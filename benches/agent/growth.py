"""What a turn costs as a session grows: the first turns beside the last ones.

    pip install -r benches/agent/requirements.txt
    python -m benches.agent.growth [--turns 1000] [--unbounded]

The contestants and the server of overhead.py. Ours keep the prompt within 4,000 tokens; so does LangGraph's
agent, by the middleware that its documentation shows for that; the OpenAI Agents SDK is told to take the newest
200 messages, which is about as many. With --unbounded all send everything. The bare calls always do. Printed are
medians of the first and the last tenth of the turns, and the size of what is stored.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import psycopg

from benches.agent.runners import KINDS, Runners, chat_server, database


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=1000)
    parser.add_argument("--unbounded", action="store_true")
    parser.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS)
    options = parser.parse_args()
    tenth = max(1, options.turns // 10)
    print(f"{options.turns} turns, medians in ms of the first and the last {tenth}", flush=True)
    for kind in options.kinds:
        with (
            chat_server("text") as url,
            database(kind.endswith("postgres")) as dsn,
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        ):
            runners = Runners(url, Path(folder), dsn, tool=False, bounded=not options.unbounded)
            turn = getattr(runners, kind)()
            turn()
            taken = []
            for _ in range(options.turns):
                start = time.perf_counter()
                turn()
                taken.append((time.perf_counter() - start) * 1e3)
            first, last = statistics.median(taken[:tenth]), statistics.median(taken[-tenth:])
            stored = size(Path(folder), dsn) / 2**20
        print(
            f"{kind:<22} first {first:>8.2f}   last {last:>8.2f}   × {last / first:>6.2f}   "
            f"{stored:>7.1f} MiB",
            flush=True,
        )


def size(folder: Path, dsn: str | None) -> float:
    """Bytes of the files or of the database."""
    if dsn is None:
        return sum(file.stat().st_size for file in folder.iterdir())
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return float(row[0])


if __name__ == "__main__":
    main()
