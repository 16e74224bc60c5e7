"""Many threads that write single items to one file, beside peers, in one run.

    pip install -r benches/requirements.txt
    python -m benches.store.threads [--items 4000] [--threads 1 2 8 32] [--searchable]

Every store has a write-ahead log and ``synchronous=FULL``: a put has returned when it is on the disk. Puts a second of
all threads together, medians of ``--rounds``; the stores take turns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from benches.store.writes import OURS, PEER, PLAIN, SEARCHABLE, Fake, Store, installed


def race(store: Store, threads: int, items: int, turn: int) -> float:
    """Puts a second, with so many threads, of ``items`` altogether."""
    put, _ = store
    start = threading.Barrier(threads + 1)

    def write(thread: int) -> None:
        start.wait()
        for n in range(items // threads):
            put(
                f"{turn}-{threads}-{thread}-{n}",
                {"text": f"fact number {n} of {thread}: " + "words and " * 8},
            )

    workers = [threading.Thread(target=write, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    start.wait()
    before = time.perf_counter()
    for worker in workers:
        worker.join()
    return items // threads * threads / (time.perf_counter() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=4_000)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 8, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--searchable", action="store_true")
    options = parser.parse_args()
    embedder = Fake() if options.searchable else None
    stores = SEARCHABLE if options.searchable else PLAIN
    with ExitStack() as stack:
        opened: dict[str, Store] = {}
        for name in (OURS, PEER):
            enter, module, _ = stores[name]
            if installed(module):
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                opened[name] = stack.enter_context(enter(folder, embedder))
        for threads in options.threads:
            found: dict[str, list[float]] = {name: [] for name in opened}
            for turn in range(options.rounds):
                for name, store in opened.items():
                    found[name].append(race(store, threads, options.items, turn))
            medians = {name: statistics.median(values) for name, values in found.items()}
            cells = "  ".join(f"{name}: {value:.0f}/s" for name, value in medians.items())
            ratio = f"  {medians[OURS] / medians[PEER]:.1f} x" if PEER in medians else ""
            print(f"{threads:3} threads  {cells}{ratio}", flush=True)


if __name__ == "__main__":
    main()
