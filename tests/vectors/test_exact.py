"""The exact scan against f64, for every precision, size, filter and kind of input."""

from __future__ import annotations

import random
from array import array

import pytest
from ai_infra._core import VectorIndex
from ai_infra.errors import InvalidInputError
from hypothesis import given, settings
from hypothesis import strategies as st

from .reference import best, cosine, noise

PRECISIONS = ["f16", "i8", "f32"]
# The largest error of a score: f32 sums, halves, or halves after a proposal by codes.
ERROR = {"f32": 2e-6, "f16": 1e-3, "i8": 1e-3}

finite = st.floats(-1e6, 1e6, width=32)


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, dict[int, list[float]], list[float]]:
    dimensions = draw(st.sampled_from([1, 2, 3, 15, 16, 17, 31, 32, 33, 64, 65, 100]))
    vector = st.lists(finite, min_size=dimensions, max_size=dimensions)
    rows = draw(st.dictionaries(st.integers(0, 2**64 - 1), vector, max_size=12))
    return dimensions, rows, draw(vector)


@pytest.mark.parametrize("precision", PRECISIONS)
@given(table=tables(), k=st.integers(0, 14), data=st.data())
@settings(max_examples=150, deadline=None)
def test_scores_and_order_agree_with_f64(
    precision: str, table: tuple[int, dict[int, list[float]], list[float]], k: int, data: st.DataObject
) -> None:
    dimensions, rows, query = table
    index = VectorIndex(dimensions, precision=precision)  # type: ignore[arg-type]  # a str from parametrize
    for id, row in rows.items():
        index.add(id, row)
    among = data.draw(st.none() | st.lists(st.sampled_from([*rows, 5, 2**64 - 1]), max_size=16))
    got = index.search(query, k, ids=among)
    want = best(rows, query, k, among)
    assert len(got) == len(want)  # a filter never shortens the result
    assert got == sorted(got, key=lambda hit: (-hit[1], hit[0]))
    for (id, score), (_, ideal) in zip(got, want, strict=True):
        assert score == pytest.approx(cosine(rows[id], query), abs=ERROR[precision])
        # The n-th score is the n-th best score: only a tie within the error may change the order.
        assert score == pytest.approx(ideal, abs=2 * ERROR[precision])


@pytest.mark.parametrize(("precision", "least"), [("f32", 1.0), ("f16", 0.999), ("i8", 0.999)])
def test_recall_at_10(precision: str, least: float) -> None:
    dimensions, count = 48, 3_000
    rows = {i: noise(i, dimensions) for i in range(count)}
    index = VectorIndex(dimensions, precision=precision)  # type: ignore[arg-type]  # a str from parametrize
    flat = array("f")
    for row in rows.values():
        flat.extend(row)
    index.add_many(array("Q", rows), flat)
    found = 0
    for seed in range(20):
        query = noise(10_000_000 + seed, dimensions)
        found += len({id for id, _ in index.search(query, 10)} & {id for id, _ in best(rows, query, 10)})
    assert found / 200 >= least


@pytest.mark.parametrize("precision", PRECISIONS)
def test_ties_come_by_id_whatever_the_order_of_insertion(precision: str) -> None:
    ids = list(range(700))
    for seed in range(3):
        random.Random(seed).shuffle(ids)
        index = VectorIndex(5, precision=precision)  # type: ignore[arg-type]  # a str from parametrize
        for id in ids:
            index.add(id, [1.0, 2.0, 3.0, 4.0, float(id % 2)])
        even = [id for id, _ in index.search([1.0, 2.0, 3.0, 4.0, 0.0], 400)]
        assert even == [*range(0, 700, 2), *range(1, 100, 2)]
        assert [id for id, _ in index.search([1, 2, 3, 4, 1], 3, ids=[9, 699, 11, 4])] == [9, 11, 699]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_changes_against_a_plain_dict(precision: str) -> None:
    source = random.Random(11)
    index = VectorIndex(20, precision=precision)  # type: ignore[arg-type]  # a str from parametrize
    rows: dict[int, array[float]] = {}
    for step in range(3_000):
        id, vector = source.randrange(400), noise(step, 20)
        match source.randrange(4):
            case 0:
                assert index.remove(id) == (rows.pop(id, None) is not None)
            case 1 if id in rows:
                with pytest.raises(InvalidInputError, match=f"id {id} at position 0 is already in the index"):
                    index.add(id, vector)
            case 1:
                index.add(id, vector)
                rows[id] = vector
            case _:
                index.replace(id, vector)
                rows[id] = vector
        if step % 150 == 0:
            got = index.search(vector, 10)
            want = best(rows, vector, 10)
            assert [score for _, score in got] == pytest.approx([score for _, score in want], abs=2e-3)
        assert len(index) == len(rows)
        assert (id in index) == (id in rows)


def test_a_score_does_not_depend_on_the_path() -> None:
    rows = {i: noise(i, 100) for i in range(500)}
    index = VectorIndex(100)
    index.add_many(list(rows), [x for row in rows.values() for x in row])
    query = noise(-1, 100)
    everything = dict(index.search(query, 500))
    for id in range(0, 500, 37):
        assert index.search(query, 1, ids=[id]) == [(id, everything[id])]
    half = range(0, 500, 2)
    assert dict(index.search(query, 500, ids=half)) == {id: everything[id] for id in half}


def test_min_score_is_a_floor() -> None:
    index = VectorIndex(2)
    index.add_many([1, 2, 3], [1.0, 0.0, 0.0, 1.0, -1.0, 0.0])
    assert index.search([1.0, 0.0], 3, min_score=0.0) == [(1, 1.0), (2, 0.0)]
    assert index.search([1.0, 0.0], 3, min_score=0.5) == [(1, 1.0)]
    with pytest.raises(InvalidInputError, match="min_score is NaN"):
        index.search([1.0, 0.0], 3, min_score=float("nan"))


def test_zero_vectors_score_zero() -> None:
    index = VectorIndex(3)
    index.add_many([4, 2, 3], [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, -1.0, 0.0, -0.0])
    assert index.search([1.0, 0.0, 0.0], 3) == [(2, 1.0), (4, 0.0), (3, -1.0)]
    assert index.search([0.0, -0.0, 0.0], 3) == [(2, 0.0), (3, 0.0), (4, 0.0)]
    assert index.search([1e-45, 0.0, 0.0], 1) == [(2, 1.0)]
    assert index.search([3e38, 0.0, 0.0], 1) == [(2, 1.0)]


def test_every_kind_of_vector_is_the_same() -> None:
    values = [0.25, -0.5, 1.0, 2.0]
    index = VectorIndex(4)
    floats = array("f", values)
    kinds = [values, tuple(values), floats, array("d", values), memoryview(floats), floats.tobytes()]
    for id, kind in enumerate(kinds):
        index.add(id, kind)
        assert len(index.search(kind, 10)) == id + 1
    assert index.search(values, 10) == [(id, index.search(values, 1)[0][1]) for id in range(len(kinds))]
    index.add_many(
        memoryview(array("q", [100, 101])), memoryview(array("f", values * 2)).cast("B").cast("f", [2, 4])
    )
    assert len(index) == len(kinds) + 2


def test_memory_is_two_bytes_a_value() -> None:
    index = VectorIndex(384)
    assert index.memory_bytes() < 1_000
    flat = array("f", noise(1, 384)) * 5_000
    index.add_many(list(range(20_000)), flat * 4)
    raw = 20_000 * 384 * 2
    assert raw <= index.memory_bytes() < raw * 1.06 + 2 * 2**20  # a block is 2 MiB
