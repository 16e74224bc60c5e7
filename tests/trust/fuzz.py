"""Calls every function and method of the native module with hostile arguments; run by ``test_fuzz.py``.

    python -m tests.trust.fuzz GROUP INPUTS SEED

One call is one input. It ends with a line ``INPUTS calls, RAISED raised``; what no caller may ever see (a panic, an
exception that is not documented) ends it with status 1, a crash or a hang are seen by who started it.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from ai_infra import _core
from ai_infra.errors import AIInfraError

from tests.trust.hostile import (
    Make,
    Mine,
    filters,
    floats,
    hostile,
    listed,
    number,
    one_of,
    or_hostile,
    text,
    tupled,
    value,
)

ALLOWED = (AIInfraError, TypeError, ValueError, IndexError, OverflowError, BufferError, Mine)
"""Ours, what Python itself says of an argument of the wrong type, shape or size, and what the argument raises."""

DIMENSIONS = 4
FILTERS = [
    '{"a":1}',
    '{"a":{"$gt":1}}',
    '{"a.b":{"$in":[1,"x"]}}',
    "{}",
    '{"a":{"$odd":1}}',
    "[]",
    "{",
    '{"":1}',
]
BATCH = _core.LocalStore(None, 1.0, 2**20, "m")
Calls = dict[str, list[Make]]
"""By method: what to pass. A maker of a dict named ``{…}`` passes keywords."""


def keywords(**makers: Make) -> Make:
    """Some of these keywords."""

    def make(dice: random.Random) -> dict[str, Any]:
        return {name: maker(dice) for name, maker in makers.items() if dice.random() < 0.5}

    make.keywords = True  # type: ignore[attr-defined]  # marks it for `call`
    return make


def argument(make: Make) -> Make:
    """A plausible argument, or a hostile one."""
    return or_hostile(make)


texts, numbers, strings = argument(text), argument(number), listed(text)
flag = argument(one_of(True, False))
now = argument(one_of(0, 1, 10**15, 2**62))
models = argument(one_of("m", "m", "n"))
index = argument(lambda d: _core.ConversationIndex(embedding="external", dimensions=DIMENSIONS))
namespace = argument(lambda d: d.choice((("a",), ("a", "b"), "a", ("é", text(d)))))
place = tupled(namespace, text)
paths = argument(one_of(None, "one.db", "two.db", "sub", "sub/x", "", ":memory:"))
hashes = argument(lambda d: bytes([d.randrange(3)]) * 32)
document = argument(lambda d: json.dumps({"a": d.randrange(5), "b": d.choice("xyz")}))
vectors = argument(
    lambda d: {bytes([d.randrange(3)]) * 32: floats(DIMENSIONS)(d) for _ in range(d.randrange(2))}
)
pair = tupled(hashes, floats(DIMENSIONS))
rows_of_floats = listed(floats(DIMENSIONS))
row = or_hostile(
    lambda d: (namespace(d), text(d), value(d), d.choice((None, 1, 2**60)), d.choice((None, 0, 1)), None),
    0.05,
)
write = tupled(
    text, text, listed(document), document, one_of(None, 1), one_of(None, 2), one_of(None, "short"), number,
    vectors, one_of(None, (1, 2)),
)  # fmt: skip

lists = listed(tupled(text, number, argument(lambda d: d.randbytes(d.choice((0, 3, 8, 16))))))

FUNCTIONS: Calls = {
    "array_cosines": [
        argument(floats(DIMENSIONS)),
        listed(argument(lambda d: d.randbytes(20 + 8 * DIMENSIONS))),
    ],
    "array_literal": [argument(floats(DIMENSIONS))],
    "list_documents": [listed(document), numbers, listed(number), flag],
    "needed_terms": [texts, strings],
    "wanted_terms": [texts],
    "canonical_filter": [or_hostile(filters)],
    "canonical_json": [argument(lambda d: {"a": value(d)}), numbers],
    "check_key": [texts, texts],
    "check_namespace": [namespace],
    "check_query": [namespace, texts, argument(filters)],
    "count_approximate": [texts],
    "filter_matches": [argument(lambda d: d.choice(FILTERS)), listed(document)],
    "fuse_scores": [listed(number), listed(number), numbers],
    "is_database": [paths],
    "local_dimensions": [],
    "local_embed": [strings],
    "local_model": [],
    "message_chunks": [listed(one_of(True, False), 20), numbers, numbers],
    "message_passages": [strings],
    "search_terms": [texts],
    "word_stems": [strings],
    "float_rows": [listed(or_hostile(floats(DIMENSIONS)))],
    "pack_vectors": [listed(or_hostile(floats(DIMENSIONS)))],
    "unpack_vectors": [
        listed(or_hostile(argument(lambda d: d.randbytes(d.choice((0, 3, 8, 16)))))),
        argument(one_of(0, 4, 4, 7)),
    ],
    "after_fork": [],
}

CLASSES: dict[str, tuple[list[Make], Calls]] = {
    "Encoding": (
        [argument(one_of("o200k_base", "cl100k_base", "p50k_base", "r50k_base", "o200k_harmony"))],
        {
            "count": [texts],
            "count_batch": [strings],
            "count_total": [strings],
            "count_up_to": [texts, numbers],
            "prefix_within": [texts, numbers],
            "suffix_within": [texts, numbers],
            "count_messages": [
                listed(lambda d: {"role": text(d), "content": text(d)} if d.random() < 0.8 else value(d)),
                numbers,
            ],
        },
    ),
    "FitPlanner": (
        [numbers, numbers, numbers],
        {
            "push": [listed(number), listed(number)],
            "cut": [numbers, keywords(low_water=numbers, keep=numbers)],
        },
    ),
    "VectorIndex": (
        [
            argument(one_of(DIMENSIONS, DIMENSIONS, DIMENSIONS, 1, 0, 2**62)),
            keywords(
                precision=argument(one_of("f16", "i8", "f32")),
                graph_from=argument(one_of(None, 0, 1, 8, 64)),
                kernels=argument(one_of(*_core.VectorIndex.available_kernels())),
            ),
        ],
        {
            "memory_bytes": [],
            "available_kernels": [],
            "add": [numbers, floats(DIMENSIONS)],
            "replace": [numbers, floats(DIMENSIONS)],
            "add_many": [listed(number, 2), floats(2 * DIMENSIONS)],
            "replace_many": [listed(number, 2), floats(2 * DIMENSIONS)],
            "remove": [numbers],
            "search": [
                floats(DIMENSIONS),
                numbers,
                keywords(ids=listed(number), min_score=numbers, exact=flag),
            ],
            "settle": [argument(one_of(0.0, 0.001, -1.0))],
            "save_cache": [argument(one_of("graph", "sub", "no/graph")), numbers],
            "load_cache": [argument(one_of("graph", "sub", "no/graph")), numbers],
            "__len__": [],
            "__contains__": [numbers],
        },
    ),
    "MemoryItem": (
        [namespace, texts, document, now, now, argument(one_of(None, 1)), numbers],
        {"__repr__": []},
    ),
    "TextIndex": (
        [],
        {
            "add": [listed(tupled(number, text))],
            "remove": [listed(number)],
            "search": [texts, keywords(limit=numbers, allowed=listed(number))],
            "__len__": [],
        },
    ),
    "ConversationIndex": (
        [
            keywords(
                chunk_size=numbers,
                chunk_overlap=numbers,
                embedding=argument(one_of("local", "external", "none")),
                dimensions=argument(one_of(DIMENSIONS, DIMENSIONS, 0)),
            )
        ],
        {
            "put": [
                texts,
                strings,
                keywords(
                    roles=listed(one_of("user", "assistant", "odd")),
                    speakers=listed(one_of(None, "Ann")),
                    joined=listed(one_of(True, False)),
                    date=texts,
                    vectors=argument(floats(DIMENSIONS)),
                ),
            ],
            "remove": [texts],
            "search": [
                texts,
                keywords(
                    limit=numbers, vector=argument(floats(DIMENSIONS)), sessions=strings, context=numbers
                ),
            ],
            "set_weights": [listed(number, 12), keywords(related=flag)],
            "default_weights": [],
            "sessions": [],
            "chunks": [texts],
            "__len__": [],
        },
    ),
    "LocalStore": (
        [
            paths,
            argument(one_of(0.0, 0.01, 1.0)),
            argument(one_of(100, 2**20)),
            argument(one_of(None, "m")),
            flag,
        ],
        {
            "put": [listed(row), now],
            "prepare": [listed(row)],
            "put_batch": [
                argument(lambda d: BATCH.prepare([("a", "k", {"a": "x"}, None, None, None)])),
                rows_of_floats,
                now,
            ],
            "lacking": [
                argument(lambda d: BATCH.prepare([("a", "k", {"a": "x"}, None, None, None)])),
                numbers,
            ],
            "pending": [numbers],
            "reembed": [argument(lambda d: BATCH.pending(d.choice([None, DIMENSIONS]))[0]), rows_of_floats],
            "search": [
                namespace,
                flag,
                texts,
                argument(floats(DIMENSIONS)),
                argument(filters),
                tupled(number, number),
                now,
            ],
            "get": [listed(place), now],
            "delete": [listed(place), now],
            "list": [namespace, flag, argument(filters), tupled(number, number), now],
            "count": [namespace, flag, argument(filters), now],
            "namespaces": [namespace, now],
            "clear": [namespace, flag, now],
            "sweep": [now, numbers],
            "purge": [now],
            "close": [],
        },
    ),
    "Mirror": (
        [flag],
        {
            "load": [
                listed(
                    tupled(
                        argument(one_of(b"a\0", b"a\0b\0", b"", b"a", b"\xff\0", None)),
                        text,
                        or_hostile(one_of('{"a":1}', None, "{")),
                        now,
                        now,
                        argument(one_of(None, 1)),
                        number,
                        argument(floats(DIMENSIONS)),
                    )
                )
            ],
            "search": [texts, argument(floats(DIMENSIONS)), argument(filters), tupled(number, number), now],
        },
    ),
    "Scores": (
        [texts, lists, numbers, numbers],
        {"best": [numbers], "fuse": [listed(tupled(number, argument(one_of(None, 0.5, float("nan")))))]},
    ),
    "LocalSessions": (
        [paths, argument(one_of(0.0, 0.01, 1.0))],
        {
            "load": [texts, numbers, numbers, numbers],
            "read": [numbers, numbers, numbers],
            "append": [
                texts,
                tupled(number, number),
                texts,
                listed(document),
                argument(one_of(None, "{}")),
                now,
            ],
            "turn": [numbers, texts],
            "turns": [numbers],
            "fork": [numbers, texts, numbers, argument(one_of(None, "{}")), now],
            "list": [texts, numbers, numbers],
            "delete": [texts],
            "close": [],
        },
    ),
    "LocalConversations": (
        [paths, argument(one_of(0.0, 0.01, 1.0))],
        {
            "put": [listed(write, 2), models, now],
            "state": [texts],
            "changes": [texts, argument(lambda d: {d.randrange(4): d.randrange(4)}), numbers],
            "pick": [texts, listed(tupled(number, listed(number)))],
            "keep": [texts, models, tupled(number, number), index],
            "restore": [texts, models, index],
            "known": [texts, listed(hashes)],
            "get": [texts, texts],
            "list": [argument(one_of(None, "a"))],
            "delete": [texts, argument(one_of(None, "a"))],
            "totals": [argument(one_of(None, "a"))],
            "pending": [],
            "reembed": [models, listed(tupled(number, number, vectors))],
            "purge": [],
            "close": [],
        },
    ),
}
RESULTS = {"Batch", "Pending", "RecallHit"}
"""Classes that only the core makes: their attributes are read wherever one comes back."""
SLOW = {"purge", "close", "settle", "save_cache", "pending", "prepare", "vocabulary"}
GROUPS: dict[str, list[str]] = {
    "functions": list(FUNCTIONS),
    "tokens": ["Encoding", "FitPlanner"],
    "indexes": ["MemoryItem", "VectorIndex", "TextIndex", "ConversationIndex", "Mirror", "Scores"],
    "files": ["LocalStore", "LocalSessions", "LocalConversations"],
}


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
