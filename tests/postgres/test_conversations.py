"""Conversations on PostgreSQL: what a backend has to keep."""

from __future__ import annotations

import asyncio
import threading
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from ai_infra._flow import Flow, arun, run
from ai_infra.errors import EmbeddingError, EmbeddingMismatchError
from ai_infra.storage.conversations import State, Totals, Write
from ai_infra.storage.postgres.conversations import PostgresConversationBackend


def write(
    user: str, session: str, messages: Sequence[str], vectors: dict[bytes, bytes] | None = None
) -> Write:
    return Write(user, session, list(messages), "{}", None, None, None, 0, vectors or {})


def vectors(hashes: bytes, size: int) -> dict[bytes, bytes]:
    # Of length 1, because only directions are kept.
    return {
        bytes([digest]): array("f", [float(n == digest % size) for n in range(size)]).tobytes()
        for digest in hashes
    }


@pytest.fixture
def backend(url: str) -> Iterator[PostgresConversationBackend]:
    made = PostgresConversationBackend(url, caller_clock=True)
    yield made
    run(made.close())


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest, backend: PostgresConversationBackend) -> Iterator[Any]:
    if request.param == "sync":
        yield run
        return
    with asyncio.Runner() as runner:

        def through(flow: Flow[Any]) -> Any:
            return runner.run(arun(flow))

        yield through
        through(backend.close())


def test_only_what_changed_is_written(backend: PostgresConversationBackend, drive: Any) -> None:
    first = drive(backend.put([write("u", "s", ["1", "2"])], "m", 1))[0]
    assert first.changed == 2
    assert drive(backend.put([write("u", "s", ["1", "2"])], "m", 2))[0] == (first.head, 0)
    grown = drive(backend.put([write("u", "s", ["1", "2", "3"])], "m", 3))[0]
    assert (grown.changed, grown.head.length, grown.head.created_at, grown.head.updated_at) == (1, 3, 1, 3)
    assert grown.head.seq > first.head.seq
    cut = drive(backend.put([write("u", "s", ["1"])], "m", 4))[0]
    assert (cut.changed, drive(backend.get("u", "s")).messages) == (2, ["1"])
    assert drive(backend.list("u")) == [cut.head]
    assert drive(backend.list("U")) == []
    assert drive(backend.put([], "m", 5)) == []


def test_an_index_is_told_what_it_lacks(backend: PostgresConversationBackend, drive: Any) -> None:
    drive(backend.put([write("u", "s", ["1"]), write("u", "t", ["2"]), write("v", "s", ["3"])], "m", 1))
    every = drive(backend.changes("u", {}, 100))
    assert (len(every.live), len(every.loaded), every.state.generation) == (2, 2, 2)
    held = {stored.head.ref: stored.head.seq for stored in every.loaded}
    assert drive(backend.changes("u", held, 100)).loaded == []
    drive(backend.put([write("u", "t", ["4"])], "m", 2))
    one = drive(backend.changes("u", held, 100)).loaded
    assert [(stored.head.session_id, stored.messages) for stored in one] == [("t", ["4"])]
    assert drive(backend.state("u")).generation == 3
    assert drive(backend.delete("u", None)) == 2
    assert drive(backend.delete("u", None)) == 0
    assert drive(backend.state("u")) == State(0, 0, "m")
    assert drive(backend.changes("u", held, 100)).live == []
    assert drive(backend.totals(None)) == Totals(1, 1, 1)


def test_an_index_is_read_in_pages_and_results_by_place(
    backend: PostgresConversationBackend, drive: Any
) -> None:
    puts = drive(
        backend.put([write("u", f"s{n}", [f"{n}{at}" for at in range(n + 1)]) for n in range(5)], "m", 1)
    )
    held: dict[int, int] = {}
    pages = []
    whole = False
    while not whole:
        changes = drive(backend.changes("u", held, 3))
        assert len(changes.live) == 5
        pages.append([stored.head.length for stored in changes.loaded])
        held.update((stored.head.ref, stored.head.seq) for stored in changes.loaded)
        whole = changes.whole
    assert pages == [[1, 2], [3], [4], [5]]
    drive(backend.put([write("v", "s", ["theirs"])], "m", 1))
    theirs = drive(backend.changes("v", {}, 1)).live[0]
    refs = [put.head.ref for put in puts]
    picked = drive(backend.pick("u", {refs[4]: [0, 4, 5], refs[2]: [1], theirs: [0], 10**9: [0]}))
    assert {one.head.session_id: one.messages for one in picked} == {
        "s4": {0: "40", 4: "44"},
        "s2": {1: "21"},
    }
    assert sorted(one.head for one in picked) == [puts[2].head, puts[4].head]
    assert drive(backend.pick("u", {})) == []


def test_models_and_sizes_are_never_mixed(backend: PostgresConversationBackend, drive: Any) -> None:
    drive(backend.put([write("u", "s", ["1"], vectors(b"\1\2", 4))], "a", 1))
    for refused in (
        backend.put([write("u", "s", ["1"])], "b", 2),
        backend.put([write("u", "t", ["1"], vectors(b"\3", 8))], "a", 2),
    ):
        with pytest.raises(EmbeddingMismatchError, match="reembed"):
            drive(refused)
    for wrong in (b"", b"abc", array("f", [float("nan")]).tobytes()):
        with pytest.raises(EmbeddingError):
            drive(backend.put([write("u", "t", ["1"], {b"x": wrong})], "a", 2))
    assert drive(backend.get("u", "t")) is None
    assert drive(backend.known("u", [b"\1", b"\x09"])) == vectors(b"\1", 4)
    assert drive(backend.known("v", [b"\1"])) == {}
    pending = drive(backend.pending())
    rows = [(pending[0].head.ref, pending[0].head.seq, vectors(b"\7", 8))]
    assert not drive(backend.reembed("b", []))
    assert drive(backend.reembed("b", rows))
    drive(backend.put([write("u", "t", ["1"], vectors(b"\3", 8))], "b", 3))
    assert drive(backend.changes("u", {}, 100)).loaded[0].vectors == vectors(b"\7", 8)
    drive(backend.purge())


def test_many_writers_of_one_user_are_counted_one_by_one(url: str) -> None:
    backend = PostgresConversationBackend(url)

    def work(number: int) -> None:
        for turn in range(10):
            run(backend.put([write("u", f"{number}", [str(n) for n in range(turn + 1)])], "m", 0))
            run(backend.put([write("u", "shared", [f"{number}"] * (turn + 1))], "m", 0))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    changes = run(backend.changes("u", {}, 100))
    assert len(changes.live) == 9
    for stored in changes.loaded:
        assert len(stored.messages) == stored.head.length
        if stored.head.session_id == "shared":
            assert len(set(stored.messages)) == 1
    assert len({stored.head.seq for stored in changes.loaded}) == 9
    assert changes.state.generation >= max(stored.head.seq for stored in changes.loaded)
    run(backend.close())
