"""What a turn costs as a session grows: the first turns beside the last ones.

    python benches/agent/growth.py [--turns 600]

The same contestants and the same server as in overhead.py. Ours keep the prompt within 4,000 tokens; the
others, as they come, send everything, so their prompt grows and their cost with it. Printed are medians of
the first and the last tenth of the turns, and the size of the database.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from overhead import KINDS, SERVER, Bench


class Bounded(Bench):
    """With a budget for those that can have one."""

    def ours_memory(self):  # type: ignore[no-untyped-def]  # as in Bench
        from ai_infra.llm.session import memory

        return self._ours(memory(max_tokens=4_000))

    def ours_sqlite(self):  # type: ignore[no-untyped-def]  # as in Bench
        from ai_infra.llm.session import sqlite

        return self._ours(sqlite(self.folder / "ours_sqlite.db", max_tokens=4_000))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=600)
    parser.add_argument("--kinds", nargs="*", default=KINDS)
    options = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, "text"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    bench: Bounded | None = None
    for kind in options.kinds:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            bench = bench or Bounded(url, Path(folder), tool=False)
            bench.folder = Path(folder)
            turn = getattr(bench, kind)()
            turn()
            taken = []
            for _ in range(options.turns):
                start = time.perf_counter()
                turn()
                taken.append((time.perf_counter() - start) * 1e3)
            tenth = max(1, options.turns // 10)
            first, last = statistics.median(taken[:tenth]), statistics.median(taken[-tenth:])
            size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 2**20
        print(
            f"{kind:<22} first {first:>7.2f} ms   last {last:>7.2f} ms   × {last / first:>5.2f}   "
            f"{size:>7.1f} MiB"
        )
    server.communicate()


if __name__ == "__main__":
    main()
