"""The graph: what it finds, what changes do to it, and that it never shortens or spoils a result."""

from __future__ import annotations

import random
from array import array

import pytest
from ai_infra._core import VectorIndex

from .reference import best, clustered, noise

DIMENSIONS, ROWS = 32, 4_000


def flat(rows: list[array[float]]) -> array[float]:
    every = array("f")
    for row in rows:
        every.extend(row)
    return every


def build(rows: list[array[float]], graph_from: int = 1_000) -> VectorIndex:
    index = VectorIndex(DIMENSIONS, graph_from=graph_from)
    index.add_many(list(range(len(rows))), flat(rows))
    assert index.settle()
    assert index.has_graph
    return index


@pytest.fixture(scope="module")
def rows() -> list[array[float]]:
    return clustered(1, ROWS, DIMENSIONS, 40)


@pytest.fixture(scope="module")
def index(rows: list[array[float]]) -> VectorIndex:
    return build(rows)


def recall(index: VectorIndex, queries: list[array[float]], k: int, ids: list[int] | None = None) -> float:
    found = 0
    for query in queries:
        exact = index.search(query, k, ids=ids, exact=True)
        got = index.search(query, k, ids=ids)
        assert len(got) == len(exact)
        scores = dict(exact)
        # A score is the exact row's, whatever proposed it.
        assert all(score == scores[id] for id, score in got if id in scores)
        found += len(scores.keys() & dict(got).keys())
    return found / (k * len(queries))


def test_recall_on_clustered_rows(index: VectorIndex) -> None:
    assert recall(index, clustered(2, 100, DIMENSIONS, 40), 10) >= 0.99


def test_recall_under_filters_wide_and_narrow(index: VectorIndex) -> None:
    queries = clustered(3, 40, DIMENSIONS, 40)
    source = random.Random(4)
    for kept in (3_000, 1_500, 700, 350, 60, 10, 3):
        ids = source.sample(range(ROWS), kept)
        assert recall(index, queries, min(10, kept), ids) >= 0.98


def test_a_filter_far_from_the_query_still_fills_the_result(
    rows: list[array[float]], index: VectorIndex
) -> None:
    query = rows[0]
    ranked = [id for id, _ in index.search(query, ROWS, exact=True)]
    for far in (ranked[-2_000:], ranked[-700:], ranked[-12:]):
        assert len(index.search(query, 10, ids=far)) == 10
    assert len(index.search(query, 3_000)) == 3_000


def test_changes_are_seen_at_once(rows: list[array[float]]) -> None:
    index = build(rows)
    held = dict(enumerate(rows))
    source = random.Random(5)
    for step in range(1_500):
        vector = noise(50_000 + step, DIMENSIONS)
        id = source.randrange(ROWS + 500)
        if source.random() < 0.4:
            assert index.remove(id) == (held.pop(id, None) is not None)
            assert id not in dict(index.search(vector, 5))
        else:
            index.replace(id, vector)
            held[id] = vector
            assert index.search(vector, 1)[0][0] == id
    assert index.settle()
    assert index.has_graph
    assert len(index) == len(held)
    for query in clustered(6, 20, DIMENSIONS, 40):
        got, want = index.search(query, 10), best(held, query, 10)
        assert [s for _, s in got] == pytest.approx([s for _, s in want], abs=0.05)
    assert recall(index, clustered(7, 60, DIMENSIONS, 40), 10) >= 0.98


def test_an_index_that_shrinks_gives_its_graph_up_and_one_that_grows_again_has_one(
    rows: list[array[float]],
) -> None:
    index = build(rows[:1_200])
    for id in range(800):
        index.remove(id)
    assert index.settle()
    assert not index.has_graph
    assert len(index.search(rows[900], 10)) == 10
    index.replace_many(list(range(1_200)), flat(rows[:1_200]))
    assert index.settle()
    assert index.has_graph
    for id in range(1_200):
        assert index.remove(id)
    assert index.settle()
    assert index.search(rows[0], 10) == []


def test_ties_and_zeros_in_a_graph() -> None:
    index = VectorIndex(DIMENSIONS, graph_from=300)
    index.add_many(
        list(range(1_000)), array("f", [1.0] * DIMENSIONS) * 500 + array("f", [0.0] * DIMENSIONS) * 500
    )
    assert index.settle()
    assert len(index.search([1.0] * DIMENSIONS, 20)) == 20
    (score,) = {score for _, score in index.search([1.0] * DIMENSIONS, 20)}
    assert score == pytest.approx(1.0, abs=2e-4)  # halves are no longer exactly of length 1
    assert {score for _, score in index.search([0.0] * DIMENSIONS, 20)} == {0.0}


def test_without_a_threshold_there_is_no_graph(rows: list[array[float]]) -> None:
    index = VectorIndex(DIMENSIONS, graph_from=None)
    index.add_many(list(range(len(rows))), flat(rows))
    assert index.settle()
    assert not index.has_graph


@pytest.mark.parametrize("kernels", VectorIndex.available_kernels())
def test_every_set_of_instructions_finds_the_same(
    kernels: str, rows: list[array[float]], index: VectorIndex
) -> None:
    for precision in ("f16", "i8", "f32"):
        other = VectorIndex(DIMENSIONS, precision=precision, kernels=kernels, graph_from=1_000)
        other.add_many(list(range(2_000)), flat(rows[:2_000]))
        assert other.settle()
        assert recall(other, clustered(8, 20, DIMENSIONS, 40), 10) >= 0.99
        for query in clustered(9, 5, DIMENSIONS, 40):
            want = [score for _, score in index.search(query, 10, ids=list(range(2_000)), exact=True)]
            assert [score for _, score in other.search(query, 10)] == pytest.approx(want, abs=2e-3)
