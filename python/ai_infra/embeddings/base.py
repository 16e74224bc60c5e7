"""What an embedder is, how one is asked in both worlds, and what is believed of its answer."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias, runtime_checkable

from ai_infra import _flow
from ai_infra._core import float_rows
from ai_infra.errors import EmbeddingError

MAX_DIMENSIONS = 65_536
"""The largest vector that an index takes."""

Vector: TypeAlias = "array[float]"
"""One embedding: an ``array('f')``. It is a sequence of floats, ``.tobytes()`` is its float32 form, and numpy
reads it without copying (``numpy.asarray``)."""


@runtime_checkable
class Embedder(Protocol):
    """Any object that embeds. Vectors may come as lists or arrays, numpy's among them; they are checked.

    Used when present: ``aembed_documents`` and ``aembed_query`` (otherwise async callers run the sync ones on
    a thread), ``model`` (a name) and ``dimensions`` (the size of a vector, ``None`` while it is unknown).
    """

    def embed_documents(self, texts: list[str], /) -> Any:
        """One vector for each text, in order."""

    def embed_query(self, text: str, /) -> Any:
        """The vector of a question; some models embed questions in another way than texts."""


def identity(embedder: object) -> str:
    """The name under which vectors may be mixed: the model, and the size where one was asked for."""
    name = getattr(embedder, "identity", None) or getattr(embedder, "model", None)
    return str(name or type(embedder).__qualname__)


def text_hash(model: str, text: str) -> bytes:
    """What tells one model's vector of a text from every other; backends store it beside the vector."""
    return hashlib.sha256(f"{len(model)} {model} {text}".encode()).digest()


def embed(embedder: Embedder, texts: Sequence[str]) -> _flow.Flow[list[Vector]]:
    """Embed ``texts`` and check what came back.

    Raises:
        EmbeddingError: not one finite vector of one size for each text; names the inputs.
    """
    rows = yield from embed_rows(embedder, texts)
    return [vector(row) for row in rows]


def embed_rows(embedder: Embedder, texts: Sequence[str]) -> _flow.Flow[list[bytes]]:
    """:func:`embed`, with each vector as the bytes of its float32 values."""
    if not texts:
        return []
    raw = yield call(embedder, "embed_documents", list(texts))
    return checked_rows(raw, len(texts), getattr(embedder, "dimensions", None))


def embed_query(embedder: Embedder, text: str) -> _flow.Flow[Vector]:
    """Embed one question; checked as :func:`embed` does."""
    raw = yield call(embedder, "embed_query", text)
    return vector(checked_row(raw, getattr(embedder, "dimensions", None)))


def checked(raw: Any, count: int, dimensions: int | None) -> list[Vector]:
    """``raw`` as vectors: ``count`` of them, all finite and of one size (``dimensions`` where it is known).

    Raises:
        EmbeddingError: they are not.
    """
    return [vector(row) for row in checked_rows(raw, count, dimensions)]


def checked_row(raw: Any, dimensions: int | None) -> bytes:
    """:func:`checked_rows` of a single vector."""
    (row,), odd = float_rows((raw,))
    if row and not odd and len(row) == 4 * (dimensions or min(len(row) // 4, MAX_DIMENSIONS)):
        return row
    return checked_rows([raw], 1, dimensions)[0]  # says what is wrong with it


def checked_rows(raw: Any, count: int, dimensions: int | None) -> list[bytes]:
    """:func:`checked`, with each vector as the bytes of its float32 values."""
    try:
        given = list(raw)
    except TypeError:
        if raw is None or hasattr(raw, "__await__"):
            kind = "None" if raw is None else f"{type(raw).__name__}, which nobody awaited"
            raise EmbeddingError(
                f"the embedder returned {kind}, not a vector for each text; a coroutine belongs in aembed_documents",
                inputs=range(count),
            ) from None
        given = []
    if len(given) != count:
        missing = range(len(given), count)
        raise EmbeddingError(f"the embedder returned {len(given)} vectors for {count} texts", inputs=missing)
    rows, odd = float_rows(given)
    size = 4 * dimensions if dimensions else next((len(row) for row in rows if row), 0)
    good = [row for row in rows if row is not None and len(row) == size]
    if len(good) != count or not size:
        wrong = [n for n, row in enumerate(rows) if row is None or len(row) != size or not size]
        odd_one = rows[wrong[0]]
        came = "something else" if odd_one is None else f"one of {len(odd_one) // 4}"
        raise EmbeddingError(
            f"the embedder returned no vector of {size // 4 or 'any'} numbers, but {came}", inputs=wrong
        )
    if size > 4 * MAX_DIMENSIONS:
        raise EmbeddingError(f"dimensions is {size // 4}; a vector has 1 to {MAX_DIMENSIONS} dimensions")
    if odd:
        raise EmbeddingError(
            "the embedder returned numbers that are not finite (NaN or infinity)", inputs=odd
        )
    return good


def vector(row: bytes) -> Vector:
    """The vector of these float32 bytes."""
    made = array("f")
    made.frombytes(row)
    return made


def call(target: object, name: str, argument: Any) -> _flow.Request:
    """Ask ``target.name(argument)``; async through ``target.aname``, or on a thread where there is none."""
    sync = partial(_travelling, getattr(target, name), argument)
    native: Callable[[Any], Awaitable[Any]] | None = getattr(target, f"a{name}", None)
    if native is None:
        return _flow.Apart(sync)
    return _flow.Call(sync, partial(native, argument))


def _travelling(function: Callable[[Any], Any], argument: Any) -> Any:
    """``function(argument)``; no flow and no coroutine lets a ``StopIteration`` out as what it is."""
    try:
        return function(argument)
    except StopIteration as stop:
        raise EmbeddingError(
            f"{getattr(function, '__qualname__', type(function).__name__)} of the embedder or its cache let out a "
            "StopIteration; give next() a default"
        ) from stop
