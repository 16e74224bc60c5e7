"""What a turn costs beside the model: ours, LangGraph's agent, the OpenAI Agents SDK, and a bare call.

    pip install -r benches/agent/requirements.txt
    python -m benches.agent.overhead [--turns 15] [--rounds 7] [--tool]

All talk to the same local server (a process of its own, a fixed answer) and keep the same conversation. In
every round each of them makes one new session of so many turns; rounds are interleaved. Printed is the median
over the rounds of the median turn; what it is over a bare call (`openai` with a list that grows); what it is
over the same request by our own client, which leaves out the SDK's rewriting of every message; and the whole
turn's ratio to ours on the same backend. With --tool each turn calls one tool, so that a bare one is two calls
and a function. PostgreSQL is one of the run's own with durable writes, or the one that DATABASE_URL names.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from benches.agent.runners import KINDS, Runners, chat_server, database


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tool", action="store_true")
    parser.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS)
    parser.add_argument("--folder", type=Path, help="where the files go: the disk that is measured")
    options = parser.parse_args()

    mode = "tool" if options.tool else "text"
    times: dict[str, list[float]] = {kind: [] for kind in options.kinds}
    with (
        chat_server(mode) as url,
        database(any(kind.endswith("postgres") for kind in options.kinds)) as dsn,
        tempfile.TemporaryDirectory(dir=options.folder, ignore_cleanup_errors=True) as folder,
    ):
        runners = Runners(url, Path(folder), dsn, tool=options.tool, bounded=False)
        for number in range(options.rounds + 1):
            for kind in options.kinds:
                turn = getattr(runners, kind)()
                turn()  # the first one connects
                taken = []
                for _ in range(options.turns):
                    start = time.perf_counter()
                    turn()
                    taken.append(time.perf_counter() - start)
                if number:  # the first round imports
                    times[kind].append(statistics.median(taken))
        runners.close()
    medians = {kind: statistics.median(found) * 1e3 for kind, found in times.items()}
    print(f"{mode} turns, {options.turns} a session, {options.rounds} rounds, medians in ms")
    print(f"{'':<22} {'turn':>8} {'over bare':>10} {'over llm':>10} {'× ours':>8}")
    for kind, median in medians.items():
        over = "".join(
            f" {median - medians[base]:>10.2f}" if base in medians else f" {'':>10}"
            for base in ("bare", "llm_alone")
        )
        ours = medians.get("ours_" + kind.rsplit("_", 1)[-1])
        print(f"{kind:<22} {median:>8.2f}{over} " + (f"{median / ours:>8.1f}" if ours else ""))


if __name__ == "__main__":
    main()
