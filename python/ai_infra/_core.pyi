"""The native module: see the Rust sources under rust/."""

from collections.abc import Sequence
from typing import Literal, TypeAlias, final

from typing_extensions import Buffer

# A contiguous buffer of f32 or f64 (array, memoryview, numpy), bytes of f32, or floats.
_Vectors: TypeAlias = Buffer | Sequence[float]
# A contiguous buffer of u64 or i64, or ints.
_Ids: TypeAlias = Buffer | Sequence[int]

@final
class VectorIndex:
    """Vectors of one namespace, searched by cosine similarity.

    Any number of threads may search while others write. Ids are 0 to 2**64 - 1. Vectors are
    normalised when stored; a zero vector scores 0 against everything.
    """

    def __new__(cls, dimensions: int, *, precision: Literal["f16", "i8", "f32"] = "f16") -> VectorIndex:
        """An empty index for vectors of ``dimensions`` values.

        ``precision`` is how rows are stored: ``"f16"`` (2 bytes a value), ``"i8"`` (3 bytes: codes for the
        scan, halves to score its best again) or ``"f32"`` (4 bytes).
        """

    @property
    def dimensions(self) -> int:
        """How many values a vector has."""

    @property
    def precision(self) -> str:
        """How rows are stored."""

    def __len__(self) -> int: ...
    def __contains__(self, id: int, /) -> bool: ...
    def memory_bytes(self) -> int:
        """Bytes held in memory."""

    def add(self, id: int, vector: _Vectors) -> None:
        """Add a vector under a new id.

        Raises:
            InvalidInputError: the id is taken, the size is wrong, or a value is not finite.
        """

    def replace(self, id: int, vector: _Vectors) -> None:
        """Store a vector under ``id``, in the place of the one it had, if any."""

    def add_many(self, ids: _Ids, vectors: _Vectors) -> None:
        """Add ``len(ids)`` vectors lying one after the other in ``vectors``: all of them or none."""

    def replace_many(self, ids: _Ids, vectors: _Vectors) -> None:
        """As ``add_many``, replacing what is there; of a repeated id the last counts."""

    def remove(self, id: int) -> bool:
        """Remove a vector; False if there was none."""

    def search(
        self, query: _Vectors, k: int = 10, *, ids: _Ids | None = None, min_score: float | None = None
    ) -> list[tuple[int, float]]:
        """The best ``k`` as ``(id, cosine similarity)``: higher first, of equal scores the lower id first.

        ``ids`` limits the search to these ids (unknown and repeated ones do nothing).

        Raises:
            InvalidInputError: the query has the wrong size or a value that is not finite.
        """
