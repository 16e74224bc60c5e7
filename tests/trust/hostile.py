"""Arguments nobody should send: hostile ones, and plausible ones that let a call get further."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

Dice = random.Random
Make = Callable[[Dice], Any]


class Mine(Exception):
    """What the hostile objects raise: it may come out again."""


class Angry:
    """Raises wherever it is touched."""

    def __getattr__(self, name: str) -> Any:
        raise Mine(name)

    def __index__(self) -> int:
        raise Mine

    def __len__(self) -> int:
        raise Mine

    def __iter__(self) -> Any:
        raise Mine

    def __str__(self) -> str:
        raise Mine

    def __repr__(self) -> str:
        raise Mine

    def __fspath__(self) -> str:
        raise Mine

    def __eq__(self, other: object) -> bool:
        raise Mine

    def __hash__(self) -> int:
        raise Mine

    def __float__(self) -> float:
        raise Mine


class LyingList(list[Any]):
    """Says that it is huge."""

    def __len__(self) -> int:
        return 2**62


class LyingDict(dict[Any, Any]):
    """Says what it likes."""

    def items(self) -> Any:
        raise Mine

    def __len__(self) -> int:
        return -1


class Text(str):
    """A subclass of str."""

    def __str__(self) -> str:
        raise Mine


class Number(int):
    """A subclass of int."""

    def __index__(self) -> int:
        raise Mine


class Path:
    """A path that is none."""

    def __init__(self, path: Any) -> None:
        self.path = path

    def __fspath__(self) -> Any:
        return self.path


def _cycle(kind: type) -> Any:
    made: Any = kind()
    if kind is dict:
        made["a"] = made
    else:
        made.append(made)
    return made


def _deep(levels: int) -> Any:
    made: Any = []
    for _ in range(levels):
        made = [made] if levels % 2 else {"a": made}
    return made


TEXTS: list[Any] = [
    *[
        "",
        "a",
        " ",
        "\0",
        "a\0b",
        "\ud800",
        "x\udfffy",
        "\udc80",
        "\ufffe",
        "\ufeff",
        "\U0010ffff",
        "é",
        "e\u0301",
    ],
    *[
        "🙂",
        "🧑‍🚀" * 30,
        "\u202e",
        "\r\n",
        "\u2028",
        "名前" * 9,
        "ﷺ" * 20,
        "İ",
        "ß",
        "\u0300" * 300,
        "\x1b[2J",
    ],
    *[
        "a" * 1024,
        "a" * 1025,
        "'; DROP TABLE items; --",
        "%",
        "_",
        "../..",
        "{}",
        "[]",
        '{"a":',
        "null",
        "NaN",
    ],
    *[
        "1e400",
        '"\\ud800"',
        "$gt",
        "2025-13-45",
        "0000-00-00",
        "99999-01-01T99:99:99Z",
        "2025-02-30",
        "May 5, 2023",
    ],
    *[
        "<|endoftext|>",
        " " * 3000,
        "\n" * 3000,
        "a" * 3000,
        "ab" * 1500,
        "0" * 3000,
        "don't " * 300,
        "[" * 3000,
    ],
    *[b"bytes", None, 1, Text("text"), bytearray(b"x"), PurePosixPath("a")],
]
NUMBERS: list[Any] = [
    *[0, 1, -1, 2, 3, 7, 255, 256, 2**15, 2**16, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 1, 2**63],
    *[
        2**64 - 1,
        2**64,
        -(2**31),
        -(2**63),
        -(2**63) - 1,
        2**70,
        10**400,
        -(10**400),
        True,
        False,
        None,
        "1",
        b"1",
    ],
    *[0.0, -0.0, 0.5, 1.5, -1.5, 1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf, 1j, Number(3)],
]
BYTES: list[Any] = [
    *[
        b"",
        b"\0",
        b"\xff" * 7,
        b"\0" * 8,
        b"\xff" * 16,
        array("f", [1, 2, 3]).tobytes(),
        array("f", [math.nan] * 4),
    ],
    *[array("d", [1e308] * 4), array("i", [1, -1]), array("q", [-1, 2**62]), array("Q", [2**64 - 1])],
    *[memoryview(b"abcdefgh")[::2], memoryview(b""), bytearray(16), memoryview(array("f", range(8)))[::2]],
    *[array("f", [math.inf] * 3).tobytes(), array("f", [0.0] * 4).tobytes(), "text", None],
]
THINGS: list[Any] = [
    *[
        [],
        [[]],
        [None],
        {},
        {"a": None},
        {1: 2},
        {None: None},
        (),
        ((),),
        set(),
        {1},
        frozenset(),
        object(),
        type,
    ],
    *[
        Angry(),
        LyingList(),
        LyingList([1]),
        LyingDict(),
        LyingDict({"a": 1}),
        Path(1),
        Path(b"\xff"),
        Path("\0"),
    ],
    *[
        _cycle(list),
        _cycle(dict),
        _deep(127),
        _deep(500),
        _deep(501),
        range(3),
        iter(()),
        lambda: None,
        Mine,
        ...,
    ],
    *[["a"] * 300, [math.nan], {"a": {"b": [1, {"c": 10**4300}]}}, ("a", "\0"), ["a", 1], [b"a"], [Angry()]],
]
HOSTILE = [*TEXTS, *NUMBERS, *BYTES, *THINGS]
WORDS = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "the",
    "a",
    "is",
    "was",
    "not",
    "42",
    "2025",
    "Oslo",
    "œuvre",
    "日本",
    "can't",
    "re-read",
    "running",
    "runs",
]


def hostile(dice: Dice) -> Any:
    """Anything."""
    return dice.choice(HOSTILE)


def or_hostile(make: Make, share: float = 0.1) -> Make:
    """Mostly what ``make`` makes."""
    return lambda dice: dice.choice(HOSTILE) if dice.random() < share else make(dice)


def one_of(*values: Any) -> Make:
    """One of these."""
    return lambda dice: dice.choice(values)


def text(dice: Dice) -> Any:
    """Words, or an odd text."""
    if dice.random() < 0.3:
        return dice.choice(TEXTS)
    return " ".join(dice.choices(WORDS, k=dice.randrange(1, 8)))


def number(dice: Dice) -> Any:
    """A small number, or an odd one."""
    return dice.choice(NUMBERS) if dice.random() < 0.2 else dice.randrange(12)


def listed(make: Make, most: int = 4) -> Make:
    """A list of such values, mostly."""
    made = or_hostile(make, 0.05)
    return or_hostile(lambda dice: [made(dice) for _ in range(dice.randrange(most + 1))], 0.05)


def tupled(*makers: Make) -> Make:
    """A tuple of such values, mostly."""
    made = [or_hostile(make, 0.04) for make in makers]
    return or_hostile(lambda dice: tuple(make(dice) for make in made), 0.05)


def floats(size: int) -> Make:
    """A vector: its bytes, an array, a list; seldom of the right size or finite."""

    def make(dice: Dice) -> Any:
        numbers = [dice.gauss(0, 1) for _ in range(size if dice.random() < 0.9 else dice.randrange(9))]
        if numbers and dice.random() < 0.05:
            numbers[0] = dice.choice((math.nan, math.inf, 1e38, 0.0, 5e-324))
        kind = dice.randrange(4)
        return numbers if kind == 0 else array("f", numbers) if kind == 1 else array("f", numbers).tobytes()

    return or_hostile(make, 0.05)


def value(dice: Dice, depth: int = 0) -> Any:
    """Something that JSON may hold."""
    kind = dice.randrange(8 if depth < 3 else 5)
    if kind < 3:
        return text(dice)
    if kind < 5:
        return number(dice)
    if kind == 5:
        return [value(dice, depth + 1) for _ in range(dice.randrange(4))]
    return {
        dice.choice(("a", "b", "$gt", "a.b", "é")): value(dice, depth + 1) for _ in range(dice.randrange(4))
    }


def filters(dice: Dice) -> Any:
    """A filter."""
    operator = dice.choice(("$eq", "$ne", "$gt", "$lt", "$in", "$nin", "$exists", "$odd"))
    field = dice.choice(("a", "a.b", "b", "", ".", "a..b"))
    return dice.choice((None, {field: value(dice, 2)}, {field: {operator: value(dice, 1)}}))
