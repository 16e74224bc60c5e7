"""The stateful test: any sequence of operations on a store, held against a plain dict.

The model is the specification written a second time, in the simplest way; it shares no code with a backend.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ai_infra.errors import ConflictError
from ai_infra.llm.memory.store import MemoryStore
from ai_infra.testing.contract.harness import Clock
from ai_infra.testing.contract.model import Model, matches

SPACES = [("a",), ("a", "b"), ("a/b",), ("ab",), ("a", "b", "c"), ("%",), ("é",), ("e\u0301",), ("A",)]
spaces = st.sampled_from(SPACES)
keys = st.sampled_from(["k", "K", "k ", "k%", "é", "🙂"])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.5, -0.0, 1.0, 1e308, 2**53 + 1, float(2**53), 10**30]),
    st.sampled_from(["", "a", "b", "A", "é", "\x00", 'q"', "1"]),
)
fields = st.sampled_from(["n", "s", "d"])
values = st.dictionaries(
    fields,
    st.one_of(scalars, st.lists(scalars, max_size=2), st.dictionaries(fields, scalars, max_size=2)),
    max_size=3,
)
ttls = st.one_of(st.none(), st.sampled_from([0.5, 1, 10, 100]))
ordered = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 1e308, 2**53, "", "a", "é"]))
conditions = st.one_of(
    scalars,
    st.builds(lambda name, value: {name: value}, st.sampled_from(["$eq", "$ne"]), scalars),
    st.builds(lambda name, value: {name: value}, st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), ordered),
    st.builds(
        lambda name, value: {name: value}, st.sampled_from(["$in", "$nin"]), st.lists(scalars, max_size=3)
    ),
    st.builds(lambda value: {"$exists": value}, st.booleans()),
)
filters = st.one_of(
    st.none(), st.dictionaries(st.sampled_from(["n", "s", "d", "d.n", "d.s.n"]), conditions, max_size=2)
)


class StoreMachine(RuleBasedStateMachine):
    """Rules over a store and its model; :func:`machine` gives it a backend."""

    open_store: Callable[[Clock, Path], MemoryStore]
    durable: bool

    @initialize()
    def start(self) -> None:
        """An empty store."""
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.model = Model(self.clock)
        self.runner = asyncio.Runner()
        self.store = type(self).open_store(self.clock, Path(self.folder.name))

    def teardown(self) -> None:
        """Close everything."""
        if hasattr(self, "store"):
            self.store.close()
            self.runner.close()
            self.folder.cleanup()

    def do(self, other: bool, name: str, *args: Any, **options: Any) -> Any:
        """One operation, through the method or its async twin."""
        if other:
            return self.runner.run(getattr(self.store, "a" + name)(*args, **options))
        return getattr(self.store, name)(*args, **options)

    @rule(other=st.booleans(), space=spaces, key=keys, value=values, ttl=ttls)
    def put(self, other: bool, space: Any, key: str, value: Any, ttl: Any) -> None:
        """Write."""
        item = self.do(other, "put", space, key, value, ttl=ttl)
        assert self.model.read(item) == self.model.put(space, key, value, ttl)

    @rule(other=st.booleans(), space=spaces, key=keys, value=values, version=st.integers(0, 3))
    def compare_and_set(self, other: bool, space: Any, key: str, value: Any, version: int) -> None:
        """Write if the version is the expected one."""
        there = self.model.get(space, key)
        try:
            self.do(other, "put", space, key, value, expected_version=version)
        except ConflictError:
            assert version != (there.version if there else 0)
        else:
            assert version == (there.version if there else 0)
            self.model.put(space, key, value, None)

    @rule(other=st.booleans(), rows=st.lists(st.tuples(spaces, keys, values), max_size=6), ttl=ttls)
    def put_many(self, other: bool, rows: list[Any], ttl: Any) -> None:
        """Write a batch."""
        items = self.do(other, "put_many", rows, ttl=ttl)
        assert [self.model.read(item) for item in items] == [
            self.model.put(space, key, value, ttl) for space, key, value in rows
        ]

    @rule(other=st.booleans(), places=st.lists(st.tuples(spaces, keys), max_size=6))
    def get_many(self, other: bool, places: list[Any]) -> None:
        """Read a batch."""
        items = self.do(other, "get_many", places)
        assert [item and self.model.read(item) for item in items] == [
            self.model.get(*place) for place in places
        ]

    @rule(other=st.booleans(), space=spaces, key=keys)
    def get(self, other: bool, space: Any, key: str) -> None:
        """Read."""
        item = self.do(other, "get", space, key)
        assert (item and self.model.read(item)) == self.model.get(space, key)

    @rule(other=st.booleans(), space=spaces, key=keys)
    def delete(self, other: bool, space: Any, key: str) -> None:
        """Delete."""
        assert self.do(other, "delete", space, key) is self.model.delete(space, key)

    @rule(other=st.booleans(), places=st.lists(st.tuples(spaces, keys), max_size=6))
    def delete_many(self, other: bool, places: list[Any]) -> None:
        """Delete a batch."""
        assert self.do(other, "delete_many", places) == sum(self.model.delete(*place) for place in places)

    @rule(
        other=st.booleans(),
        space=spaces,
        recursive=st.booleans(),
        filter=filters,
        limit=st.one_of(st.none(), st.integers(0, 4)),
        offset=st.integers(0, 2),
    )
    def list(self, other: bool, space: Any, recursive: bool, filter: Any, limit: Any, offset: int) -> None:
        """List and count."""
        items = self.do(other, "list", space, recursive=recursive, filter=filter, limit=limit, offset=offset)
        wanted = [row for row in self.model.list(space, recursive) if matches(filter or {}, row.value)]
        assert [self.model.read(item) for item in items] == wanted[offset:][:limit]
        assert self.do(other, "count", space, recursive=recursive, filter=filter) == len(wanted)

    @rule(
        other=st.booleans(),
        space=spaces,
        recursive=st.booleans(),
        query=st.sampled_from(["a", "é", "b 1", "", "\x00"]),
        filter=filters,
        limit=st.integers(0, 4),
    )
    def search(self, other: bool, space: Any, recursive: bool, query: str, filter: Any, limit: int) -> None:
        """Search: a larger limit finds everything that qualifies, a smaller one the beginning of it."""
        options = {"recursive": recursive, "filter": filter}
        found = self.do(other, "search", space, query, limit=1000, **options)
        wanted = [row for row in self.model.list(space, recursive) if matches(filter or {}, row.value)]
        rows = [self.model.read(item) for item, _ in found]
        assert sorted(rows, key=repr) == sorted(wanted, key=repr)
        assert self.do(other, "search", space, query, limit=limit, **options) == found[:limit]
        scores = [score for _, score in found]
        assert scores == sorted(scores, reverse=True)

    @rule(other=st.booleans(), space=st.one_of(st.none(), spaces))
    def namespaces(self, other: bool, space: Any) -> None:
        """List the namespaces."""
        assert self.do(other, "list_namespaces", space) == self.model.namespaces(space or ())

    @rule(other=st.booleans(), space=spaces, recursive=st.booleans())
    def clear(self, other: bool, space: Any, recursive: bool) -> None:
        """Delete a namespace."""
        gone = [self.model.delete(row.space, row.key) for row in self.model.list(space, recursive)]
        assert self.do(other, "clear", space, recursive=recursive) == len(gone)

    @rule(seconds=st.sampled_from([0.25, 0.5, 1, 9, 10, 90, 100_000]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.forward(seconds)

    @rule(other=st.booleans(), limit=st.integers(0, 5))
    def sweep(self, other: bool, limit: int) -> None:
        """Take expired items away, which nobody may notice."""
        assert self.do(other, "sweep", limit=limit) <= limit

    @rule(other=st.booleans())
    def purge(self, other: bool) -> None:
        """Remove every trace of the deleted, which nobody may notice."""
        self.do(other, "purge")

    @rule()
    def reopen(self) -> None:
        """Close the store and open it again."""
        if self.durable:
            self.store.close()
            self.store = type(self).open_store(self.clock, Path(self.folder.name))

    @rule(space=spaces)
    def export_and_import(self, space: Any) -> None:
        """Take a subtree out, clear it, bring it back: nothing has changed."""
        text = io.StringIO()
        assert self.store.export(text, space) == len(self.model.list(space, True))
        self.store.clear(space, recursive=True)
        self.store.import_(text.getvalue().splitlines())

    @invariant()
    def nothing_is_lost_or_invented(self) -> None:
        """The number of items is the model's."""
        if hasattr(self, "store"):
            assert self.store.count() == len(self.model.list((), True))


def machine(open_store: Callable[[Clock, Path], MemoryStore], *, durable: bool) -> type[StoreMachine]:
    """The stateful test of one backend; its ``TestCase`` attribute runs under pytest.

    Args:
        open_store: opens the store whose data lives in a folder, with a clock.
        durable: closing and opening again shows the same data.
    """
    return type("Machine", (StoreMachine,), {"open_store": staticmethod(open_store), "durable": durable})
