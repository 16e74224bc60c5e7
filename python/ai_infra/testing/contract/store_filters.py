"""The filter language: one semantics for every backend, applied before the limit."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ai_infra.errors import InvalidFilterError
from ai_infra.testing.contract.harness import StoreHarness, refused

NS = ("user_1", "facts")

VALUES: dict[str, dict[str, Any]] = {
    "a": {"n": 1, "s": "apple", "b": True, "x": {"y": {"z": 5}}, "l": [1, {"k": 2}]},
    "b": {"n": 1.0, "s": "banana", "b": False, "x": {"y": 1}},
    "c": {"n": 10, "s": "Cherry", "x": None},
    "d": {"n": "10", "s": "é", "b": 1},
    "e": {"n": 2**53 + 1, "s": "🙂", "x.y": 1},
    "f": {"n": -0.5, "s": 'q"uo\\te\n', "l": []},
    "g": {"n": 10**400, "d": {"p": 1, "q": [1, 2.0]}},
    "h": {},
}

CASES: list[tuple[dict[str, Any], str]] = [
    ({}, "abcdefgh"),
    ({"n": 1}, "ab"),
    ({"n": 1.0}, "ab"),
    ({"n": True}, ""),
    ({"b": True}, "a"),
    ({"b": 1}, "d"),
    ({"n": {"$eq": 10}}, "c"),
    ({"n": {"$ne": 1}}, "cdefgh"),
    ({"n": {"$gt": 1}}, "ceg"),
    ({"n": {"$gte": 1}}, "abceg"),
    ({"n": {"$lt": 1}}, "f"),
    ({"n": {"$lte": 1, "$gt": -0.5}}, "ab"),
    ({"n": {"$gt": float(2**53)}}, "eg"),
    ({"n": {"$gt": 1e308}}, "g"),
    ({"n": {"$lt": "2"}}, "d"),
    ({"s": {"$gt": "apple"}}, "bdef"),
    ({"s": {"$lt": "a"}}, "c"),
    ({"s": {"$gte": "\uffff"}}, "e"),
    ({"s": 'q"uo\\te\n'}, "f"),
    ({"s": {"$gt": 1}}, ""),
    ({"x": None}, "c"),
    ({"x": {"$exists": True}}, "abc"),
    ({"x": {"$exists": False}}, "defgh"),
    ({"x.y": 1}, "b"),
    ({"x.y.z": 5}, "a"),
    ({"x.y.z": {"$gte": 5}}, "a"),
    ({"x.y.z.w": {"$exists": True}}, ""),
    ({"x": {"y": {"z": 5}}}, "a"),
    ({"d": {"q": [1.0, 2], "p": 1}}, "g"),
    ({"d": {"p": 1}}, ""),
    ({"l": [1, {"k": 2}]}, "a"),
    ({"l": []}, "f"),
    ({"l.0": 1}, ""),
    ({"n": {"$in": [1, "10"]}}, "abd"),
    ({"n": {"$in": []}}, ""),
    ({"n": {"$nin": [1, "10"]}}, "cefgh"),
    ({"n": {"$nin": []}}, "abcdefgh"),
    ({"n": 1, "s": "apple"}, "a"),
    ({"n": {"$gte": 1, "$in": [10, 11]}, "s": {"$ne": "x"}}, "c"),
    ({"n": 10**400}, "g"),
]

WRONG: list[Any] = [
    {"n": {"$regex": "x"}},
    {"n": {"$where": "1"}},
    {"n": {"$gt": 1, "other": 2}},
    {"$or": [{"n": 1}]},
    {"$eq": 1},
    {"n": {"$gt": None}},
    {"n": {"$lt": True}},
    {"n": {"$gte": [1]}},
    {"n": {"$in": 1}},
    {"n": {"$nin": "abc"}},
    {"n": {"$exists": 1}},
    {"n": {"$exists": None}},
    {"": 1},
    {"a..b": 1},
    {".a": 1},
    {"n": {"$eq": math.nan}},
    {"n": {1, 2}},
    {1: 2},
    [("n", 1)],
    "n = 1",
    1,
]


class FilterContract(StoreHarness):
    """Which items a filter lets through."""

    @pytest.fixture
    def filled(self, store: Any) -> Any:
        """A store with one item for each of :data:`VALUES`."""
        store.put_many([(NS, key, value) for key, value in VALUES.items()])
        return store

    def test_every_case(self, filled: Any) -> None:
        for filter, keys in CASES:
            assert "".join(item.key for item in filled.list(NS, filter=filter)) == keys, filter
            assert filled.count(NS, filter=filter) == len(keys), filter

    def test_the_filter_works_before_offset_and_limit(self, filled: Any) -> None:
        found = filled.list(("user_1",), recursive=True, filter={"n": {"$gte": 1}}, limit=2, offset=1)
        assert [item.key for item in found] == ["b", "c"]

    @pytest.mark.parametrize("filter", WRONG, ids=repr)
    def test_what_is_no_filter_is_refused(self, store: Any, filter: Any) -> None:
        refused(
            InvalidFilterError,
            "",
            lambda: store.list(NS, filter=filter),
            lambda: store.count(NS, filter=filter),
        )
