"""Items, batches, versions, expiry, namespaces, export."""

from __future__ import annotations

import copy
import io
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ai_infra.errors import ConflictError, InvalidInputError, StorageClosedError
from ai_infra.llm.memory.store import MemoryItem
from ai_infra.testing.contract.harness import Clock, Masked, Name, StoreHarness, refused

NS = ("user_1", "facts")


class BasicsContract(StoreHarness):
    """What a store does when nothing goes wrong."""

    def test_a_value_comes_back_as_it_went_in(self, store: Any) -> None:
        value: dict[str, Any] = {
            "text": 'naïve 🙂 \x00 \u2028 " \\ \n',
            "numbers": [0, -1, 2**63, 2**64, -(2**200), 0.1, 1e308, 5e-324, 1.0],
            "nothing": None,
            "flags": [True, False],
            "nested": {"": {"a.b": [[], {}]}},
        }
        store.put(NS, "k", value)
        item = store.get(NS, "k")
        assert item.value == value
        assert [type(number) for number in item.value["numbers"]] == [type(n) for n in value["numbers"]]
        assert list(item.value) == list(value)
        assert (item.namespace, item.key, item.version) == (NS, "k", 1)

    def test_negative_zero_and_big_integers_are_exact(self, store: Any) -> None:
        store.put(NS, "k", {"zero": -0.0, "big": 10**4299, "tuple": (1, (2,))})
        value = store.get(NS, "k").value
        assert str(value["zero"]) == "-0.0"
        assert value["big"] == 10**4299
        assert value["tuple"] == [1, [2]]

    def test_missing_is_none(self, store: Any) -> None:
        assert store.get(NS, "k") is None
        assert store.list(NS) == []
        assert store.count(NS) == 0
        assert store.delete(NS, "k") is False
        assert store.clear(NS, recursive=True) == 0

    def test_put_again_keeps_created_and_counts(self, store: Any, clock: Clock) -> None:
        first = store.put(NS, "k", {"v": 1})
        clock.forward(5)
        second = store.put(NS, "k", {"v": 2})
        assert second.created_at == first.created_at == first.updated_at
        assert second.updated_at - first.updated_at == timedelta(seconds=5)
        assert (first.version, second.version) == (1, 2)
        assert store.get(NS, "k") == second

    def test_a_clock_that_goes_back_never_puts_updated_before_created(self, store: Any, clock: Clock) -> None:
        store.put(NS, "k", {})
        clock.forward(-100)
        item = store.put(NS, "k", {})
        assert item.updated_at >= item.created_at

    def test_deleted_is_gone_and_starts_anew(self, store: Any) -> None:
        store.put(NS, "k", {"v": 1})
        store.put(NS, "k", {"v": 2})
        assert store.delete(NS, "k") is True
        assert store.get(NS, "k") is None
        assert store.list_namespaces() == []
        assert store.put(NS, "k", {"v": 3}).version == 1

    def test_copies_go_in_and_out(self, store: Any) -> None:
        value = {"list": [1]}
        put = store.put(NS, "k", value)
        value["list"].append(2)
        got = store.get(NS, "k")
        got.value["list"].append(3)
        assert put.value == {"list": [1]}
        assert store.get(NS, "k").value == {"list": [1]}

    def test_items_copy_pickle_and_print(self, store: Any) -> None:
        item = store.put(NS, "k", {"v": 1}, ttl=10)
        assert pickle.loads(pickle.dumps(item)) == item == copy.deepcopy(item)
        assert "'v': 1" in repr(item)
        assert len({item, store.get(NS, "k")}) == 1

    def test_compare_and_set(self, store: Any) -> None:
        store.put(NS, "k", {"v": 1}, expected_version=0)
        with pytest.raises(ConflictError, match="expected at version 0, and it has version 1"):
            store.put(NS, "k", {"v": 2}, expected_version=0)
        store.put(NS, "k", {"v": 2}, expected_version=1)
        with pytest.raises(ConflictError, match="version 2"):
            store.put(NS, "k", {"v": 3}, expected_version=1)
        with pytest.raises(ConflictError, match="no such item"):
            store.put(NS, "other", {}, expected_version=3)
        assert store.get(NS, "k").value == {"v": 2}
        assert store.get(NS, "other") is None

    def test_batches(self, store: Any, clock: Clock) -> None:
        put = store.put_many([(NS, "a", {"v": 1}), ("plain", "b", {"v": 2}, 10), (NS, "a", {"v": 3})], ttl=20)
        assert [item.version for item in put] == [1, 1, 2]
        found = store.get_many([("plain", "b"), (NS, "nothing"), (NS, "a")])
        assert [item and item.value for item in found] == [{"v": 2}, None, {"v": 3}]
        clock.forward(10)
        assert store.get("plain", "b") is None
        assert store.delete_many([(NS, "a"), (NS, "a"), ("plain", "b")]) == 1
        assert store.put_many([]) == store.get_many([]) == []
        assert store.delete_many([]) == 0

    def test_a_batch_is_all_or_nothing(self, store: Any) -> None:
        bad: list[Any] = [(NS, "a", {}), (NS, "b", {"x": {1, 2}})]
        with pytest.raises(InvalidInputError, match="item 1 of the batch"):
            store.put_many(bad)
        with pytest.raises(InvalidInputError, match="item 1"):
            store.put_many([(NS, "a", {}), (NS, "b")])
        assert store.count() == 0

    def test_expiry(self, store: Any, clock: Clock) -> None:
        item = store.put(NS, "k", {"v": 1}, ttl=10)
        assert item.expires_at - item.created_at == timedelta(seconds=10)
        clock.forward(9.999)
        assert store.get(NS, "k") is not None
        clock.forward(0.001)
        assert store.get(NS, "k") is None
        assert store.get_many([(NS, "k")]) == [None]
        assert store.list(NS) == store.list(NS, recursive=True) == []
        assert store.count(NS) == store.count() == 0
        assert store.list_namespaces() == []
        assert store.delete(NS, "k") is False

    def test_put_over_an_expired_item_makes_a_new_one(self, store: Any, clock: Clock) -> None:
        old = store.put(NS, "k", {"v": 1}, ttl=10)
        clock.forward(10)
        new = store.put(NS, "k", {"v": 2}, expected_version=0)
        assert new.version == 1
        assert new.created_at > old.created_at
        assert new.expires_at is None

    def test_put_without_ttl_makes_permanent(self, store: Any, clock: Clock) -> None:
        store.put(NS, "k", {}, ttl=10)
        store.put(NS, "k", {})
        clock.forward(1e6)
        assert store.get(NS, "k").expires_at is None

    def test_a_reader_whose_clock_is_ahead_destroys_nothing(self, store: Any, clock: Clock) -> None:
        store.put(NS, "k", {"v": 1}, ttl=3600)
        clock.forward(7200)
        assert store.get(NS, "k") is None
        assert store.list(NS) == []
        store.put_many([("other", str(index), {}) for index in range(600)])
        clock.forward(-7200)
        assert store.get(NS, "k").value == {"v": 1}

    def test_the_limit_counts_live_items_only(self, store: Any, clock: Clock) -> None:
        store.put_many([(NS, f"{index:02}", {"v": index}, 10 if index < 5 else 1000) for index in range(10)])
        clock.forward(10)
        assert [item.key for item in store.list(NS, limit=5)] == ["05", "06", "07", "08", "09"]

    def test_sweep_takes_expired_items_only(self, store: Any, clock: Clock) -> None:
        store.put_many([(NS, str(index), {}, 10) for index in range(7)])
        store.put(NS, "stays", {})
        assert store.sweep() == 0
        clock.forward(10)
        assert [store.sweep(limit=5), store.sweep(limit=5), store.sweep()] == [5, 2, 0]
        assert store.count() == 1

    def test_lists_are_ordered_and_cut(self, store: Any) -> None:
        keys = ["b", "a", "Z", "é", "e\u0301", "10", "9", "\U0001f600", "\uffff"]
        store.put_many([(NS, key, {}) for key in keys])
        assert [item.key for item in store.list(NS)] == sorted(keys)
        assert [item.key for item in store.list(NS, limit=2, offset=3)] == sorted(keys)[3:5]
        assert store.list(NS, limit=0) == []
        assert store.list(NS, offset=100) == []

    def test_subtrees(self, store: Any) -> None:
        spaces = [("a",), ("a", "b"), ("a", "b", "c"), ("ab",), ("a", "bc"), ("B",), ("a" * 300,)]
        store.put_many([(space, "k", {}) for space in spaces])
        assert store.list_namespaces() == sorted(spaces)
        assert store.list_namespaces("a") == [("a",), ("a", "b"), ("a", "b", "c"), ("a", "bc")]
        assert store.list_namespaces(("a", "b"), limit=1, offset=1) == [("a", "b", "c")]
        assert store.list_namespaces("a", max_depth=1) == [("a",)]
        assert [item.namespace for item in store.list(("a", "b"), recursive=True)] == [
            ("a", "b"),
            ("a", "b", "c"),
        ]
        assert [item.namespace for item in store.list("a")] == [("a",)]
        assert (store.count("a"), store.count("a", recursive=True), store.count()) == (1, 4, 7)
        assert store.clear(("a", "b")) == 1
        assert store.clear("a", recursive=True) == 3
        assert store.list_namespaces() == sorted([("ab",), ("B",), ("a" * 300,)])

    def test_a_string_is_a_namespace_of_one_part(self, store: Any) -> None:
        store.put("solo", "k", {"v": 1})
        assert store.get(("solo",), "k").namespace == ("solo",)

    @pytest.mark.parametrize("kind", [Masked, Name])
    def test_a_subclass_of_str_is_its_text(self, store: Any, kind: Any) -> None:
        alice, key = kind("alice"), kind("k")
        item = store.put((alice, "facts"), key, {"v": 1})
        assert (item.key, item.namespace) == ("k", ("alice", "facts"))
        assert [type(item.key), *map(type, item.namespace)] == [str, str, str]
        assert store.put(("alice", "facts"), "k", {"v": 2}).version == 2
        assert store.get((alice, "facts"), key).version == 2
        assert store.list_namespaces(alice) == [("alice", "facts")]
        assert store.put_many([(alice, key, {}), ("alice", "k", {})])[1].version == 2
        assert [store.delete(alice, key), store.count("alice", recursive=True)] == [True, 1]

    def test_a_key_again_and_again_in_one_batch(self, store: Any, clock: Clock) -> None:
        """As if each had been put by itself."""
        store.put(NS, "old", {"n": -1})
        clock.forward(5)
        rows = [(NS, key, {"n": n}, ttl) for n in range(3) for key, ttl in (("new", None), ("old", 10 + n))]
        items = store.put_many([*rows, (NS, "new", {"n": 9}, 60)])
        assert [(item.key, item.version, item.value["n"]) for item in items] == [
            *(("new", 1, 0), ("old", 2, 0), ("new", 2, 1), ("old", 3, 1), ("new", 3, 2), ("old", 4, 2)),
            ("new", 4, 9),
        ]
        lives = [
            item.expires_at and round((item.expires_at - item.updated_at).total_seconds()) for item in items
        ]
        assert lives == [None, 10, None, 11, None, 12, 60]
        assert [store.get(NS, key) for key in ("old", "new")] == items[-2:]
        clock.forward(13)
        again = store.put_many([(NS, "old", {}), (NS, "old", {})])
        assert [item.version for item in again] == [1, 2]

    def test_helpers(self, store: Any) -> None:
        store.put_user_memory("u", "k", {"v": "user"})
        store.put_session_memory("u", "k", {"v": "session"}, ttl=10)
        store.put_global_memory("k", {"v": "global"})
        assert store.get_user_memory("u", "k").value == {"v": "user"}
        assert store.get_session_memory("u", "k").value == {"v": "session"}
        assert store.get_global_memory("k").value == {"v": "global"}
        assert store.delete_user_memory("u", "k")
        assert store.delete_session_memory("u", "k")
        assert store.delete_global_memory("k")
        assert store.count() == 0

    def test_export_and_import_keep_everything(
        self, store: Any, clock: Clock, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        store.put(("a", "b"), "k", {"v": [1, -0.0, 2**70, "\x00\u2028é"]}, ttl=1000)
        clock.forward(1)
        store.put(("a", "b"), "k", {"v": [1, -0.0, 2**70, "\x00\u2028é"]}, ttl=1000)
        store.put("soon", "k", {}, ttl=5)
        store.put("c", "k", {})
        path = tmp_path / "export.jsonl"
        assert store.export(path) == 3
        before: list[MemoryItem] = store.list("a", recursive=True) + store.list("c")
        clock.forward(5)
        with self.open_store(clock, tmp_path_factory.mktemp("other")) as other:
            assert other.import_(path) == 2
            assert other.list("a", recursive=True) + other.list("c") == before
            assert other.import_(path.read_text(encoding="utf-8").splitlines()) == 2
            assert other.get(("a", "b"), "k") == before[0]
        text = io.StringIO()
        assert store.export(text, "c") == 1
        assert '"namespace": ["c"]' in text.getvalue()

    def test_an_import_with_one_wrong_line_writes_nothing(self, store: Any) -> None:
        good = '{"namespace": ["a"], "key": "k", "value": {}}'
        for wrong in (
            "{",
            "[]",
            '{"key": "k"}',
            '{"namespace": ["a"], "key": "k", "value": {}, "version": -1}',
        ):
            with pytest.raises(InvalidInputError, match="line 2"):
                store.import_([good, wrong])
        for wrong in (
            '{"namespace": [], "key": "k", "value": {}}',
            '{"namespace": ["a"], "key": 1, "value": {}}',
        ):
            with pytest.raises(InvalidInputError, match="item 1 of the batch"):
                store.import_([good, wrong])
        assert store.count() == 0

    def test_purge_keeps_what_lives(self, store: Any, clock: Clock) -> None:
        store.put(NS, "old", {"v": 1}, ttl=1)
        item = store.put(NS, "new", {"v": 2})
        clock.forward(1)
        assert store.purge() == 1
        assert store.list(NS) == [item]

    def test_closed_is_closed(self, clock: Clock, face: str, tmp_path: Path) -> None:
        from ai_infra.testing.contract.harness import Face

        store = Face(self.open_store(clock, tmp_path), face)
        store.put(NS, "k", {})
        store.close()
        store.close()
        refused(
            StorageClosedError,
            "closed",
            lambda: store.get(NS, "k"),
            lambda: store.put(NS, "k", {}),
            lambda: store.list(NS),
        )
        store.shut()
