"""Search: what it finds, what it leaves out, and that it never lags behind what was written."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest

from ai_infra.errors import (
    InvalidFilterError,
    InvalidInputError,
    InvalidNamespaceError,
    InvalidTextError,
)
from ai_infra.testing.contract.harness import Clock, StoreHarness, refused

NS = ("user_1", "facts")

FACTS = {
    "language": "User prefers Python for data science",
    "editor": "User uses VS Code with Vim keybindings",
    "os": "User runs macOS on M2 MacBook Pro",
    "dog": "The dog is called Rex and eats twice a day",
    "tea": "Никогда не пьёт чай без лимона",
}


class SearchContract(StoreHarness):
    """Hybrid search over one namespace or a subtree."""

    @pytest.fixture
    def facts(self, store: Any) -> Any:
        """A store with :data:`FACTS`, and the same for another user."""
        store.put_many([(NS, key, {"value": text, "size": len(text)}) for key, text in FACTS.items()])
        store.put_many([(("user_2", "facts"), key, {"value": text}) for key, text in FACTS.items()])
        return store

    @pytest.mark.parametrize(
        ("query", "key"),
        [
            ("Python", "language"),
            ("vim keybindings", "editor"),
            ("MacBook", "os"),
            ("Rex", "dog"),
            ("чай", "tea"),
        ],
    )
    def test_a_word_finds_its_item_first(self, facts: Any, query: str, key: str) -> None:
        hits = facts.search(NS, query)
        assert hits[0].key == key
        assert hits[0].value["value"] == FACTS[key]
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert all(0 <= score <= 1 for _, score in hits)
        assert {hit.namespace for hit in hits} == {NS}

    def test_results_unpack(self, facts: Any) -> None:
        for item, score in facts.search(NS, "Python", limit=2):
            assert item.namespace == NS
            assert isinstance(score, float)

    def test_there_are_as_many_as_there_can_be(self, facts: Any) -> None:
        for query in ("Python", "", "nothing of the kind", "\x00", "🙂" * 50, "%' OR 1=1 --", "x" * 10_000):
            assert len(facts.search(NS, query)) == len(FACTS)
            assert len(facts.search(NS, query, limit=3)) == 3
        assert facts.search(NS, "Python", limit=0) == []
        assert facts.search(("user_1",), "Python") == []
        assert facts.search("nowhere", "Python", recursive=True) == []

    def test_items_without_text_come_last(self, facts: Any) -> None:
        facts.put(NS, "numbers", {"n": 1, "empty": ""})
        hits = facts.search(NS, "Python")
        assert (hits[-1].key, hits[-1].score, len(hits)) == ("numbers", 0.0, len(FACTS) + 1)

    def test_filter_and_limit(self, facts: Any) -> None:
        long = {"size": {"$gt": 33}}
        wanted = {key for key, text in FACTS.items() if len(text) > 33}
        assert {hit.key for hit in facts.search(NS, "Rex", filter=long)} == wanted
        assert [hit.key for hit in facts.search(NS, "Vim", filter={"size": {"$ne": 0}}, limit=1)] == [
            "editor"
        ]
        best = facts.search(NS, "Vim", limit=1)[0]
        assert facts.search(NS, "Vim", min_score=best.score) == [best]
        assert facts.search(NS, "Vim", min_score=1.1) == []

    def test_the_filter_works_before_the_limit_in_a_large_namespace(self, store: Any) -> None:
        rows = [(NS, str(n), {"text": f"python note number {n}", "rare": n % 1000 == 7}) for n in range(5000)]
        store.put_many(rows)
        found = store.search(NS, "python note", filter={"rare": True}, limit=10)
        assert {hit.value["text"] for hit in found} == {row[2]["text"] for row in rows if row[2]["rare"]}
        assert len(store.search(NS, "something else entirely", limit=5000)) == 5000
        assert [hit.key for hit in store.search(NS, "number 4321", limit=1)] == ["4321"]

    def test_expired_items_are_not_found_and_take_no_place(self, store: Any, clock: Clock) -> None:
        store.put_many([(NS, f"old{n}", {"text": "red apple"}, 10) for n in range(20)])
        store.put_many([(NS, f"new{n}", {"text": "green apple"}) for n in range(5)])
        assert len(store.search(NS, "red apple", limit=5)) == 5
        clock.forward(10)
        assert {hit.key for hit in store.search(NS, "red apple", limit=5)} == {f"new{n}" for n in range(5)}
        clock.forward(-10)
        assert store.search(NS, "red apple", limit=1)[0].key.startswith("old")

    def test_changes_are_found_at_once(self, facts: Any) -> None:
        assert facts.search(NS, "zebra")[0].score < 0.4
        facts.put(NS, "editor", {"value": "a zebra"})
        assert facts.search(NS, "zebra")[0].key == "editor"
        assert facts.search(NS, "Vim")[0].score < 0.4
        facts.delete(NS, "editor")
        assert "editor" not in {hit.key for hit in facts.search(NS, "zebra")}
        facts.put(NS, "editor", {"value": "Vim again"})
        assert facts.search(NS, "Vim")[0].key == "editor"
        facts.clear(NS)
        assert facts.search(NS, "Vim") == []
        facts.put(NS, "one", {"value": "Vim"})
        assert [hit.key for hit in facts.search(NS, "Vim")] == ["one"]
        facts.purge()
        assert [hit.key for hit in facts.search(NS, "Vim")] == ["one"]

    def test_subtrees(self, facts: Any) -> None:
        facts.put(("user_1",), "top", {"value": "Python everywhere"})
        facts.put(("user_1", "facts", "deep"), "k", {"value": "Python"})
        facts.put(("user_10",), "other", {"value": "Python"})
        found = facts.search("user_1", "Python", recursive=True, limit=3)
        assert {hit.namespace for hit in found} == {("user_1",), NS, ("user_1", "facts", "deep")}
        everything = facts.search("user_1", "Python", recursive=True, limit=100)
        assert len(everything) == len(FACTS) + 2
        assert everything[:3] == found

    def test_what_cannot_be_searched_is_refused(self, facts: Any) -> None:
        for query in (None, 1, b"x", ["x"]):
            refused(InvalidInputError, "query", partial(facts.search, NS, query))
        refused(InvalidTextError, "surrogate", lambda: facts.search(NS, "\ud800"))
        refused(InvalidNamespaceError, "", lambda: facts.search((), "x"), lambda: facts.search(None, "x"))
        refused(InvalidFilterError, "regex", lambda: facts.search(NS, "x", filter={"a": {"$regex": "x"}}))
        for limit in (-1, 1.5, "1", True, None):
            refused(InvalidInputError, "limit", partial(facts.search, NS, "x", limit=limit))
        for score in (math.nan, "1", True):
            refused(InvalidInputError, "min_score", partial(facts.search, NS, "x", min_score=score))
