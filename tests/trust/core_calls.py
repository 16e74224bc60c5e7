"""Every function, class and method of the native module, and what ``fuzz.py`` passes to it."""

from __future__ import annotations

import json
import random
from typing import Any

from ai_infra import _core

from tests.trust.hostile import (
    Make,
    filters,
    floats,
    listed,
    number,
    one_of,
    or_hostile,
    text,
    tupled,
    value,
)

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
BATCH = _core.LocalStore(None, 1.0, 2**20, 2**20, "m")
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
            argument(one_of(0, 10_000, 2**30)),
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
