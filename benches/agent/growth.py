"""What a turn costs as a session grows: the first turns beside the last ones.

    pip install -r benches/agent/requirements.txt
    python -m benches.agent.growth [--backend sqlite] [--turns 1000] [--unbounded]

The contestants and the server of overhead.py, each with one session; they take turns, so that what else the
machine does hits all alike. Ours keep the prompt within 4,000 tokens; so does LangGraph's agent, by the middleware
that its documentation shows for that; the OpenAI Agents SDK is told to take the newest 200 messages, which is
about as many. With --unbounded all send everything. Printed are medians of the first, the second and the last
tenth of the turns (a prompt reaches its bound in the second), and the size of the database.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import psycopg

from benches.agent.runners import KINDS, Runners, chat_server, database

BACKENDS = ("memory", "sqlite", "postgres")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", choices=BACKENDS, default="sqlite")
    parser.add_argument("--turns", type=int, default=1000)
    parser.add_argument("--unbounded", action="store_true")
    parser.add_argument("--ours", action="store_true", help="without the others")
    options = parser.parse_args()
    kinds = [kind for kind in KINDS if kind.endswith(f"_{options.backend}")]
    if options.ours:
        kinds = kinds[:1]
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    stored: dict[str, float] = {}
    with (
        chat_server("text") as url,
        database(options.backend == "postgres") as dsn,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
    ):
        running = []
        for kind in kinds:
            place = Path(folder, kind)
            place.mkdir()
            runners = Runners(url, place, dsn, tool=False, bounded=not options.unbounded)
            running.append((kind, runners, getattr(runners, kind)()))
        for number in range(options.turns + 1):
            for kind, _, turn in running:
                start = time.perf_counter()
                turn()
                if number:  # the first one connects
                    taken[kind].append((time.perf_counter() - start) * 1e3)
        for kind, runners, _ in running:
            stored[kind] = size(kind, runners) / 2**20
            runners.close()
    tenth = max(1, options.turns // 10)
    print(f"{options.turns} turns, medians in ms of the first, the second and the last {tenth}")
    for kind, times in taken.items():
        parts = (times[:tenth], times[tenth : 2 * tenth], times[-tenth:])
        first, second, last = map(statistics.median, parts)
        print(
            f"{kind:<22} {first:>8.2f} {second:>8.2f} {last:>8.2f}   last : second {last / second:>5.2f}   "
            f"{stored[kind]:>7.1f} MiB"
        )


def size(kind: str, runners: Runners) -> float:
    """Bytes of the contestant's files, or of its tables."""
    if runners.database is None:
        return sum(file.stat().st_size for file in runners.folder.iterdir())
    ours = kind.startswith("ours")
    with psycopg.connect(runners.database, autocommit=True) as connection:
        row = connection.execute(
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind = 'r' AND n.nspname = %s",
            ["ai_infra" if ours else "public"],
        ).fetchone()
        assert row is not None
        return float(row[0])


if __name__ == "__main__":
    main()
