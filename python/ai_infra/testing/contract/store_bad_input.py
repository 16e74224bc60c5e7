"""Bad input: one verdict for every backend, given before anything is written."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ai_infra.errors import (
    InvalidInputError,
    InvalidNamespaceError,
    InvalidTextError,
    InvalidValueError,
)
from ai_infra.testing.contract.harness import StoreHarness, refused

NS = ("user_1", "facts")


def deep(levels: int) -> Any:
    """Lists inside each other."""
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def cycle() -> dict[str, Any]:
    """A value that contains itself."""
    value: dict[str, Any] = {}
    value["again"] = [value]
    return value


VALUES: list[tuple[str, Any, str]] = [
    ("nan", {"a": math.nan}, "value.a:"),
    ("infinity", {"a": [0, -math.inf]}, "value.a[1]:"),
    ("huge integer", {"a": {"b": 10**4300}}, "value.a.b:"),
    ("huge negative integer", {"a": -(10**4300)}, "value.a:"),
    ("enormous integer", {"a": 1 << 2_000_000}, "value.a:"),
    ("set", {"a": [0, 1, 2, {"b": {1}}]}, "value.a[3].b:"),
    ("bytes", {"odd key": b"x"}, 'value["odd key"]:'),
    ("object", {"a": object()}, "value.a:"),
    ("complex", {"a": 1j}, "value.a:"),
    ("integer key", {"a": {1: 2}}, "value.a:"),
    ("None key", {None: 2}, "value:"),
    ("bytes key", {b"a": 2}, "value:"),
    ("cycle", cycle(), "value.again"),
    ("too deep", {"a": deep(128)}, "value.a"),
    ("list", [1], "value:"),
    ("text", "text", "value:"),
    ("None", None, "value:"),
]


class BadInputContract(StoreHarness):
    """What a store refuses, and that it goes on afterwards."""

    @pytest.mark.parametrize(("value", "place"), [row[1:] for row in VALUES], ids=[row[0] for row in VALUES])
    def test_values(self, store: Any, value: Any, place: str) -> None:
        with pytest.raises(InvalidValueError) as refusal:
            store.put(NS, "k", value)
        assert place in str(refusal.value)
        assert store.count() == 0

    def test_a_value_at_each_bound_is_taken(self, store: Any) -> None:
        value = {"deep": deep(127), "digits": -(10**4299)}
        store.put(NS, "k", value)
        assert store.get(NS, "k").value == value

    def test_a_value_over_16_mb(self, store: Any) -> None:
        # {"a":"…"} has eight bytes around the text.
        room = 16 * 1024 * 1024 - 8
        store.put(NS, "k", {"a": "x" * room})
        for text in ("x" * (room + 1), "\x00" * (room // 6 + 1)):
            with pytest.raises(InvalidValueError, match="value takes more than 16777216 bytes"):
                store.put(NS, "other", {"a": text})
        assert store.count() == 1

    @pytest.mark.parametrize("text", ["\ud800", "ok \udfff", "\udcff" * 3])
    def test_lone_surrogates(self, store: Any, text: str) -> None:
        refused(
            InvalidTextError,
            "surrogate",
            lambda: store.put(text, "k", {}),
            lambda: store.put(("a", text), "k", {}),
            lambda: store.put(NS, text, {}),
            lambda: store.put(NS, "k", {"a": [text]}),
            lambda: store.put(NS, "k", {text: 1}),
            lambda: store.get(NS, text),
            lambda: store.delete((text,), "k"),
            lambda: store.list(text),
            lambda: store.list(NS, filter={"a": text}),
        )
        assert store.count() == 0

    def test_nul_is_kept_in_values_and_refused_in_names(self, store: Any) -> None:
        store.put(NS, "k", {"a\x00b": "c\x00d"})
        assert store.get(NS, "k").value == {"a\x00b": "c\x00d"}
        refused(
            InvalidTextError,
            "NUL",
            lambda: store.put("a\x00b", "k", {}),
            lambda: store.put(NS, "a\x00", {}),
            lambda: store.get(NS, "\x00"),
            lambda: store.clear(("a", "\x00")),
        )

    @pytest.mark.parametrize(
        "namespace", ["", (), ("",), ("a", ""), None, 1, ["a"], ("a", 1), (b"a",), {"a"}, b"a"]
    )
    def test_namespaces(self, store: Any, namespace: Any) -> None:
        refused(
            InvalidNamespaceError,
            "",
            lambda: store.put(namespace, "k", {}),
            lambda: store.get(namespace, "k"),
            lambda: store.delete(namespace, "k"),
            lambda: store.clear(namespace, recursive=True),
            lambda: store.put_many([(namespace, "k", {})]),
        )
        if namespace is not None:
            with pytest.raises(InvalidNamespaceError):
                store.list_namespaces(namespace)
        assert store.count() == 0

    @pytest.mark.parametrize("key", ["", None, 1, b"k", ("k",), "x" * 1025])
    def test_keys(self, store: Any, key: Any) -> None:
        refused(
            InvalidInputError,
            "key",
            lambda: store.put(NS, key, {}),
            lambda: store.get(NS, key),
            lambda: store.delete(NS, key),
        )
        assert store.count() == 0

    def test_the_longest_names(self, store: Any) -> None:
        namespace, key = ("x" * 512, "é" * 256), "é" * 512
        store.put(namespace, key, {})
        assert [(item.namespace, item.key) for item in store.list(namespace)] == [(namespace, key)]
        with pytest.raises(InvalidNamespaceError, match="longer"):
            store.put(("x" * 513, "é" * 256), key, {})

    @pytest.mark.parametrize(
        "ttl", [0, -1, 0.0, -0.5, math.nan, math.inf, -math.inf, 1e308, 10**400, 3.2e9, True, "60", b"1", [1]]
    )
    def test_ttls(self, store: Any, ttl: Any) -> None:
        refused(
            InvalidInputError,
            "ttl",
            lambda: store.put(NS, "k", {}, ttl=ttl),
            lambda: store.put_many([(NS, "k", {}, ttl)]),
            lambda: store.put_many([(NS, "k", {})], ttl=ttl),
        )
        assert store.count() == 0

    @pytest.mark.parametrize("limit", [-1, 1.5, "1", "1; DROP TABLE items", True, 2**63, math.nan, b"1"])
    def test_limits(self, store: Any, limit: Any) -> None:
        store.put(NS, "k", {})
        refused(
            InvalidInputError,
            "",
            lambda: store.list(NS, limit=limit),
            lambda: store.list(NS, offset=limit),
            lambda: store.list_namespaces(limit=limit),
            lambda: store.sweep(limit=limit),
        )
        assert store.count() == 1

    @pytest.mark.parametrize("batch", [None, 5, "text", [None], [("a",)], [(NS, "k", {}, 1, 2)], {"a": 1}])
    def test_what_is_no_batch(self, store: Any, batch: Any) -> None:
        refused(
            InvalidInputError,
            "batch",
            lambda: store.put_many(batch),
            lambda: store.get_many(batch),
            lambda: store.delete_many(batch),
        )
        assert store.count() == 0

    @pytest.mark.parametrize("version", [-1, 1.0, "1", True, 2**70])
    def test_expected_versions(self, store: Any, version: Any) -> None:
        with pytest.raises(InvalidInputError, match="expected_version"):
            store.put(NS, "k", {}, expected_version=version)

    def test_one_bad_value_then_five_hundred_good_puts(self, store: Any) -> None:
        for bad in ("a\x00b", "\ud800"):
            with pytest.raises(InvalidTextError):
                store.put(NS, bad, {})
        with pytest.raises(InvalidValueError):
            store.put(NS, "k", {"a": math.nan})
        for number in range(500):
            store.put(NS, str(number), {"n": number})
        assert store.count(NS) == 500
