"""What an embedder is, how one is asked in both worlds, and what is believed of its answer."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias, runtime_checkable

from ai_infra import _flow
from ai_infra._core import all_finite
from ai_infra.errors import EmbeddingError

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
    if not texts:
        return []
    raw = yield call(embedder, "embed_documents", list(texts))
    return checked(raw, len(texts), getattr(embedder, "dimensions", None))


def embed_query(embedder: Embedder, text: str) -> _flow.Flow[Vector]:
    """Embed one question; checked as :func:`embed` does."""
    raw = yield call(embedder, "embed_query", text)
    return checked([raw], 1, getattr(embedder, "dimensions", None))[0]


def checked(raw: Any, count: int, dimensions: int | None) -> list[Vector]:
    """``raw`` as vectors: ``count`` of them, all finite and of one size (``dimensions`` where it is known).

    Raises:
        EmbeddingError: they are not.
    """
    try:
        given = list(raw)
    except TypeError:
        given = []
    if len(given) != count:
        missing = range(len(given), count)
        raise EmbeddingError(f"the embedder returned {len(given)} vectors for {count} texts", inputs=missing)
    vectors = [_vector(value) for value in given]
    size = dimensions or next((len(vector) for vector in vectors if vector), 0)
    wrong = [n for n, vector in enumerate(vectors) if vector is None or len(vector) != size or not size]
    if wrong:
        raise EmbeddingError(f"the embedder returned no vector of {size or 'any'} numbers", inputs=wrong)
    odd = [n for n, vector in enumerate(vectors) if vector is not None and not all_finite(vector)]
    if odd:
        raise EmbeddingError(
            "the embedder returned numbers that are not finite (NaN or infinity)", inputs=odd
        )
    return [vector for vector in vectors if vector is not None]


def _vector(value: Any) -> Vector | None:
    if isinstance(value, array) and value.typecode == "f":
        return value
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return None
    try:
        raw = memoryview(value)  # type: ignore[arg-type]  # numpy's arrays have a buffer, lists have none
    except TypeError:
        raw = None
    try:
        if raw is not None and raw.format == "f" and raw.contiguous:
            vector = array("f")
            vector.frombytes(raw.cast("B"))
            return vector
        if raw is not None and raw.format == "d" and raw.ndim == 1:
            # One number object after the other would be numpy's, ten times slower.
            return array("f", raw.tolist())
        return array("f", value)
    except (TypeError, OverflowError, ValueError):
        return None


def call(target: object, name: str, argument: Any) -> _flow.Call:
    """Ask ``target.name(argument)``; async through ``target.aname``, or on a thread where there is none."""
    sync: Callable[[Any], Any] = getattr(target, name)
    native: Callable[[Any], Awaitable[Any]] | None = getattr(target, f"a{name}", None)
    if native is None:
        return _flow.threaded(partial(sync, argument))
    return _flow.Call(partial(sync, argument), partial(native, argument))
