"""What each part of the ranking does: one row a variant, both kinds of conversation, as a Markdown table.

    python benches/recall/ablation.py {steps,without} SCORER LOCOMO BEAM

SCORER is a script with the options of eval_recall.py (``module:factory --data FILE --json OUT``), LOCOMO
and BEAM are its data. Nothing is fitted here.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import memory
from ai_infra._core import ConversationIndex

FULL = dict(ConversationIndex.default_weights())
NEAR = ["around", "session", "neighbours"]
VECTORS = ["similarity", "chunk similarity"]
WHO = ["speaker", "user"]
WHEN = ["time", "amount", "date"]
COLUMNS = ["R@1", "R@5", "R@10", "R@2000c", "R@4000c"]


def only(*names: str) -> dict[str, float]:
    """The default weights of these parts, 0 for the others."""
    return {name: weight if name in names else 0.0 for name, weight in FULL.items()}


def variants(kind: str) -> list[tuple[str, dict[str, float], bool]]:
    """(name, weights, related words): built up step by step, or everything without one part."""
    words = ["words"]
    if kind == "without":
        rows = [("everything", FULL, True), ("without related words", FULL, False)]
        return rows + [(f"without {name}", only(*(n for n in FULL if n != name)), True) for name in FULL]
    return [
        ("the message's own words", only(*words), False),
        ("+ related words", only(*words), True),
        ("+ neighbourhood, session, neighbours", only(*words, *NEAR), True),
        ("+ phrases", only(*words, *NEAR, "phrase"), True),
        ("+ who said it (speaker, user)", only(*words, *NEAR, "phrase", *WHO), True),
        ("+ times, amounts, dates: **words only**", only(*words, *NEAR, "phrase", *WHO, *WHEN), True),
        ("+ vectors: **everything**", FULL, True),
        ("**vectors only**", only(*VECTORS), True),
        ("vectors, who and when", only(*VECTORS, *WHO, *WHEN), True),
    ]


def load(path: str) -> Any:
    """The scorer as a module."""
    spec = importlib.util.spec_from_file_location("scorer", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    kind, scorer_path, *data = sys.argv[1:]
    scorer = load(scorer_path)
    names = ["LoCoMo", "BEAM"]
    print("| | " + " | ".join(f"{n} {c}" for n in names for c in COLUMNS) + " |")
    print("|---|" + "---|" * (len(names) * len(COLUMNS)))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        for name, weights, related in variants(kind):
            memory.OVERRIDE = (list(weights.values()), related)
            cells = []
            for path in data:
                sys.argv = ["scorer", "memory:factory", "--data", path, "--json", str(out)]
                with contextlib.redirect_stdout(io.StringIO()):
                    scorer.main()
                mean = json.loads(out.read_text())["mean"]
                cells += [f"{100 * mean[c]:.1f}" for c in COLUMNS]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
