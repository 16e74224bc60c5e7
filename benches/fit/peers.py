"""Fitting 2,000 tokens of histories from 100 to 1,000,000 messages, beside LangChain's trim_messages.

    python -m benches.fit.peers

Medians of one run on one machine; the ratios are what carries over. LangChain gets its own message objects, made
beforehand, and its approximate counter (its exact one is slower); ours gets plain dicts and counts exactly.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from ai_infra import fit_context

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
LANGCHAIN_SIZES = (100, 1_000, 10_000)
WORDS = """
    the a of to and in is it you that was for on are with as his they be at one have this from or
    had by hot but some what there we can out other were all your when up use word how said an each
    she which their time will way about many then them would write like so these her long make
    thing see him two has look more day could go come did my sound no most number who over know
    water than call first people may down side been now find deploy cluster token
""".split()  # noqa: SIM905 - easier to read than a list


def conversation(count: int) -> list[dict[str, str]]:
    """Plain messages of about 200 characters, none like another."""
    rng = random.Random(7)
    return [
        {"role": "user" if n % 2 == 0 else "assistant", "content": " ".join(rng.choices(WORDS, k=42))}
        for n in range(count)
    ]


def median(work: Callable[[], Any], seconds: float = 1.5) -> float:
    """The median time of a call, after one to warm up."""
    work()
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 2_000):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def import_cost() -> tuple[float, float]:
    """Seconds of a bare interpreter, and of one that imports fit_context."""
    bare, ours = [], []
    for _ in range(15):
        for code, times in (("pass", bare), ("from ai_infra import fit_context", ours)):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - start)
    return statistics.median(bare), statistics.median(ours)


def main() -> None:
    from langchain_core.messages import convert_to_messages, trim_messages
    from langchain_core.messages.utils import count_tokens_approximately

    messages = conversation(SIZES[-1])
    ours: dict[int, float] = {}
    print("| messages | ai-infra (exact) | pinned by a predicate | LangChain (approximate) | ratio |")
    print("|---|---|---|---|---|")
    for size in SIZES:
        part = messages[:size]
        ours[size] = median(lambda part=part: fit_context(part, max_tokens=2_000))  # type: ignore[misc]  # bound now
        predicate = median(lambda part=part: fit_context(part, max_tokens=2_000, pinned=lambda m: False))  # type: ignore[misc]
        row = f"| {size:,} | {ours[size] * 1e6:,.0f} µs | {predicate * 1e6:,.0f} µs |"
        if size in LANGCHAIN_SIZES:
            theirs = convert_to_messages(part)
            peer = median(
                lambda theirs=theirs: trim_messages(  # type: ignore[misc]
                    theirs, max_tokens=2_000, token_counter=count_tokens_approximately, strategy="last"
                )
            )
            row += f" {peer * 1e6:,.0f} µs | {peer / ours[size]:,.0f} |"
        else:
            row += " – | – |"
        print(row)
    print(
        f"\n1,000,000 against 1,000 messages: {ours[1_000_000] / ours[1_000]:.2f} times (no pass over the list)."
    )
    bare, full = import_cost()
    print(
        f"from ai_infra import fit_context: {1e3 * (full - bare):.0f} ms over a bare interpreter ({1e3 * bare:.0f} ms)."
    )


if __name__ == "__main__":
    main()
