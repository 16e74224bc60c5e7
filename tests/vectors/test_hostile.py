"""What a caller may get wrong: refused by one class, with nothing changed."""

from __future__ import annotations

import contextlib
import ctypes
from array import array
from typing import Any

import pytest
from ai_infra._core import VectorIndex, float_rows
from ai_infra.errors import InvalidInputError
from hypothesis import given, settings
from hypothesis import strategies as st

NAN, INF = float("nan"), float("inf")


def filled() -> VectorIndex:
    index = VectorIndex(3)
    index.add_many([1, 2], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    return index


BAD = [
    ([1.0, 2.0], "2 dimensions, this index has 3"),
    ([1.0, 2.0, 3.0, 4.0], "4 dimensions, this index has 3"),
    ([], "0 dimensions, this index has 3"),
    ([1.0, NAN, 0.0], "NaN at dimension 1"),
    ([1.0, 0.0, INF], "inf at dimension 2"),
    ([-INF, INF, NAN], "-inf at dimension 0"),
    ([1e300, 0.0, 0.0], "inf at dimension 0"),  # beyond f32
    (b"1234567", "7 bytes are no whole number"),
    ("abc", "got str"),
    ([None, 1.0, 2.0], "got list"),
    (["1", "2", "3"], "got list"),
    (None, "got NoneType"),
    (1.0, "got float"),
    ({1: 2}, "got dict"),
    (array("i", [1, 2, 3]).tobytes()[:3], "3 bytes"),
    (memoryview(array("f", range(6)))[::2], "not C-contiguous"),
]


@pytest.mark.parametrize(("vector", "message"), BAD)
def test_a_bad_vector_is_refused_on_entry_and_on_query(vector: Any, message: str) -> None:
    index = filled()
    for call in (
        lambda: index.add(7, vector),
        lambda: index.replace(1, vector),
        lambda: index.search(vector),
    ):
        with pytest.raises(InvalidInputError, match=message):
            call()
    assert index.search([1.0, 0.0, 0.0]) == [(1, 1.0), (2, 0.0)]


def test_a_batch_is_all_or_nothing_and_names_the_vector() -> None:
    index = filled()
    good = [0.0, 0.0, 1.0]
    for ids, vectors, message in [
        ([5, 6, 7], good * 2 + [0.0, NAN, 0.0], "vector 2 holds NaN at dimension 1"),
        ([5, 2], good * 2, "id 2 at position 1 is already in the index"),
        ([5, 6, 5], good * 3, "id 5 is given twice"),
        ([5, 6], good, "2 ids with 3 values"),
        ([5], good * 2, "vector 0 has 6 dimensions"),
        ([], good, "0 ids with 3 values"),
        ([-1], good, "ids are"),
        ([2**64], good, "ids are"),
        (["a"], good, "ids are"),
        (array("q", [-1]), good, "id -1 is negative"),
    ]:
        with pytest.raises(InvalidInputError, match=message):
            index.add_many(ids, vectors)  # type: ignore[arg-type]  # wrong on purpose
    assert len(index) == 2
    index.add_many([], [])
    index.replace_many([2, 9, 9], good * 2 + [1.0, 1.0, 0.0])
    assert index.search(good, 1) == [(2, 1.0)]
    assert index.search([1.0, 1.0, 0.0], 1)[0][0] == 9


@pytest.mark.parametrize("dimensions", [0, 65_537, 2**62])
def test_dimensions_have_limits(dimensions: int) -> None:
    with pytest.raises(InvalidInputError, match=f"dimensions is {dimensions}"):
        VectorIndex(dimensions)


def test_the_largest_vectors_work_in_every_precision() -> None:
    for precision in ("f16", "i8", "f32"):
        index = VectorIndex(65_536, precision=precision)
        index.add_many(
            range(3),
            array("f", [1.0]) * 65_536 + array("f", [-1.0]) * 65_536 + array("f", [1.0, -1.0]) * 32_768,
        )
        assert [id for id, _ in index.search([1.0] * 65_536, 3)] == [0, 2, 1]


def test_an_unknown_precision_is_named() -> None:
    with pytest.raises(InvalidInputError, match='precision is "f64"'):
        VectorIndex(3, precision="f64")  # type: ignore[arg-type]  # wrong on purpose


def test_a_huge_k_is_no_allocation() -> None:
    assert len(filled().search([1.0, 0.0, 0.0], 2**63 - 1)) == 2


wild = st.floats(width=32) | st.integers(-(2**70), 2**70) | st.none() | st.text(max_size=2)


@given(
    dimensions=st.integers(1, 5),
    calls=st.lists(
        st.tuples(st.lists(st.integers(0, 6), max_size=4), st.lists(wild, max_size=12)), max_size=8
    ),
)
@settings(max_examples=300, deadline=None)
def test_no_input_does_more_than_raise(dimensions: int, calls: list[tuple[list[int], list[Any]]]) -> None:
    index = VectorIndex(dimensions, precision="i8")
    for ids, values in calls:
        for call in (index.replace_many, index.add_many, lambda i, v: index.search(v, 3, ids=i)):
            with contextlib.suppress(InvalidInputError):
                call(ids, values)
    for _, score in index.search([1.0] * dimensions, 99):
        assert -1.0 <= score <= 1.0


class Half:
    """A complex number of numpy: as a float it loses its imaginary part."""

    imag = 1.0

    def __float__(self) -> float:
        return 1.0


def test_the_order_of_bytes_is_that_of_the_numbers() -> None:
    for kind in (ctypes.c_double, ctypes.c_float):
        for order in ("__ctype_be__", "__ctype_le__"):
            numbers = (getattr(kind, order) * 3)(0.0, 2.0, 0.0)
            assert float_rows([numbers]) == ([array("f", [0.0, 2.0, 0.0]).tobytes()], [])
            index = VectorIndex(3)
            index.add(1, numbers)
            assert index.search(numbers) == [(1, 1.0)]


def test_a_complex_number_is_no_component() -> None:
    odd: list[Any] = [Half(), 1j]
    for number in odd:
        assert float_rows([[number, 1.0, 1.0], (number,), iter([number])]) == ([None] * 3, [])
        with pytest.raises(InvalidInputError, match="got list"):
            filled().add(7, [number, 1.0, 1.0])
