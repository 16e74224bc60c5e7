"""Calls every function and method of the native module with hostile arguments; run by ``test_fuzz.py``.

    python -m tests.trust.fuzz GROUP INPUTS SEED

One call is one input. It ends with a line ``INPUTS calls, RAISED raised``; what no caller may ever see (a panic, an
exception that is not documented) ends it with status 1, a crash or a hang are seen by who started it.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from ai_infra import _core
from ai_infra.errors import AIInfraError

from tests.trust.core_calls import CLASSES, FUNCTIONS, GROUPS, SLOW
from tests.trust.hostile import (
    Make,
    Mine,
    hostile,
)

ALLOWED = (AIInfraError, TypeError, ValueError, IndexError, OverflowError, BufferError, Mine)
"""Ours, what Python itself says of an argument of the wrong type, shape or size, and what the argument raises."""


def read(result: Any) -> None:
    """Touch everything that a result has to show."""
    if isinstance(result, list):
        for each in result[:20]:
            read(each)
    elif isinstance(result, _core.RecallHit):
        for name in dir(result):
            if name[0] != "_":
                getattr(result, name)
        repr(result)
    elif isinstance(result, _core.Batch):
        result.texts()


def call(dice: random.Random, function: Any, makers: list[Make]) -> tuple[Any, bool]:
    """One input; answers what came back, and whether it raised."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for make in makers:
        if hasattr(make, "keywords"):
            named.update(make(dice))
        else:
            positional.append(make(dice))
    if dice.random() < 0.01:
        positional.append(hostile(dice))
    elif positional and dice.random() < 0.01:
        positional.pop()
    try:
        result = function(*positional, **named)
        read(result)
    except ALLOWED:
        return None, True
    except BaseException:
        print(f"{function} with {positional!a:.2000} {named!a:.2000}", file=sys.stderr, flush=True)
        raise
    return result, False


def functions(dice: random.Random) -> Iterator[bool]:
    """Calls of plain functions, for ever."""
    calls = [(getattr(_core, name), makers) for name, makers in FUNCTIONS.items()]
    while True:
        function, makers = dice.choice(calls)
        yield call(dice, function, makers)[1]


def objects(dice: random.Random, names: list[str]) -> Iterator[bool]:
    """Objects made, used for a while and replaced, for ever."""
    while True:
        name = dice.choice(names)
        makers, methods = CLASSES[name]
        made, raised = call(dice, getattr(_core, name), makers)
        yield raised
        if made is None:
            continue
        fast = [method for method in methods if method not in SLOW]
        for _ in range(dice.randrange(1, 200)):
            method = dice.choice(fast if dice.random() < 0.97 else list(methods))
            yield call(dice, getattr(made, method), methods[method])[1]
        str(made), repr(made), hash(made), made == made


def main(group: str, inputs: int, seed: int) -> None:
    """Run and report."""
    dice = random.Random(seed)
    stream = functions(dice) if group == "functions" else objects(dice, GROUPS[group])
    with tempfile.TemporaryDirectory() as folder:
        # Deep enough that a hostile "../.." stays inside; no path here is absolute, for some of these calls write.
        os.makedirs(f"{folder}/a/b/c/sub")
        os.chdir(f"{folder}/a/b/c")
        raised = sum(next(stream) for _ in range(inputs))
        os.chdir("/")
    print(f"{inputs} calls, {raised} raised")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
