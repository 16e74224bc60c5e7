"""A million hostile calls across the boundary to the native module: no panic, no abort, no hang, only errors we document.

What is called and with what stands in ``core_calls.py`` and ``hostile.py``. Each group runs in a process of its own, so that
a crash is a failure and not the end of the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ai_infra import _core
from ai_infra.errors import InvalidInputError, InvalidTextError, InvalidValueError
from hypothesis import given, settings
from hypothesis import strategies as st

from .core_calls import CLASSES, FUNCTIONS, GROUPS, RESULTS

NIGHTLY = bool(os.environ.get("AI_INFRA_NIGHTLY"))
TIMES = 10 if NIGHTLY else 1
RUNS = [
    *[("functions", 500_000, 1), ("tokens", 300_000, 2), ("indexes", 400_000, 3), ("indexes", 400_000, 4)],
    *[("files", 40_000, 5), ("files", 40_000, 6)],  # each call is a transaction
]


@pytest.mark.parametrize(("group", "inputs", "seed"), RUNS)
def test_nothing_that_is_sent_does_more_than_raise(group: str, inputs: int, seed: int) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "faulthandler",
            "-m",
            "tests.trust.fuzz",
            group,
            str(inputs * TIMES),
            str(seed),
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120 * TIMES,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-8000:]
    calls, _, raised, _ = done.stdout.split()
    assert int(calls) == inputs * TIMES
    # Most arguments are plausible, so that calls get past the first check; enough are not.
    assert 0.1 < int(raised) / int(calls) < 0.7


def test_a_million_inputs() -> None:
    assert sum(inputs for _, inputs, _ in RUNS) >= 1_000_000


def test_everything_is_fuzzed() -> None:
    public = {name for name in dir(_core) if name[0] != "_" and callable(getattr(_core, name))}
    assert public - RESULTS == FUNCTIONS.keys() | CLASSES.keys() | {"before_fork"}
    assert CLASSES.keys() | {"functions"} == {n for g in GROUPS.values() for n in g} - FUNCTIONS.keys() | {
        "functions"
    }
    for name, (_, methods) in CLASSES.items():
        kind = getattr(_core, name)
        found = {m for m in vars(kind) if m[0] != "_" and callable(getattr(kind, m))}
        assert found - {"vocabulary"} <= methods.keys(), name


@pytest.mark.parametrize(
    "call",
    [
        lambda: _core.local_embed(range(10**12)),  # type: ignore[arg-type]
        lambda: _core.word_stems(range(2**62)),  # type: ignore[arg-type]
        lambda: _core.FitPlanner(0, 1, 1).push(range(10**13), []),  # type: ignore[arg-type]
        lambda: _core.VectorIndex(4).search([1.0] * 4, ids=range(10**13)),
        lambda: _core.VectorIndex(4).add(1, range(10**13)),
    ],
)
def test_a_length_that_is_a_promise_only_reserves_nothing(call: object) -> None:
    assert callable(call)
    with pytest.raises((TypeError, OverflowError, InvalidInputError)):
        call()


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text(st.characters(categories=["Cs", "Cc"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(value=st.dictionaries(st.text(max_size=3), json, max_size=4))
@settings(max_examples=400 * TIMES, deadline=None, derandomize=not NIGHTLY)
def test_a_value_is_refused_or_comes_back_as_it_was(value: dict[str, object]) -> None:
    import json as standard

    try:
        text = _core.canonical_json(value, 2**20)
    except (InvalidTextError, InvalidValueError):
        return
    assert repr(standard.loads(text)) == repr(value)
    assert _core.canonical_json(standard.loads(text), 2**20) == text
