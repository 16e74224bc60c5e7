"""The built-in embedder as an object: offline, on the CPU, microseconds a message."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from ai_infra._core import local_dimensions, local_embed, local_model
from ai_infra.embeddings.base import Vector
from ai_infra.errors import ConfigurationError


class LocalEmbeddings:
    """Vectors of the word table that ships with the library; see ``docs/recall.md``.

    Args:
        model: the table's name, or None; there is one.
        dimensions: the size of its vectors, or None.

    Raises:
        ConfigurationError: another model or size.
    """

    def __init__(self, model: str | None = None, dimensions: int | None = None) -> None:
        if model not in (None, local_model()) or dimensions not in (None, local_dimensions()):
            raise ConfigurationError(
                f"the built-in embedder is {local_model()!r} with {local_dimensions()} dimensions, "
                f"not {model!r} with {dimensions}; leave both out, or name a provider"
            )
        self.model = local_model()
        self.dimensions = local_dimensions()

    def __repr__(self) -> str:
        return f"LocalEmbeddings({self.model!r})"

    def embed_documents(self, texts: Sequence[str]) -> list[Vector]:
        """A unit vector for each text; zeros for one without words."""
        numbers = array("f")
        numbers.frombytes(local_embed(list(texts)))
        return [numbers[at : at + self.dimensions] for at in range(0, len(numbers), self.dimensions)]

    def embed_query(self, text: str) -> Vector:
        """The vector of a question: as of any text."""
        return self.embed_documents([text])[0]
