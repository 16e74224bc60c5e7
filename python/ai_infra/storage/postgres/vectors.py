"""Vectors of an embedder that must be asked: made before anything is written, kept beside the items.

A schema records for each tenant whose vectors its items have; another embedder is refused until ``reembed``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from ai_infra._core import LocalStore, pack_vectors
from ai_infra._flow import Flow
from ai_infra.embeddings.base import Embedder, Vector, embed, text_hash
from ai_infra.embeddings.cache import cached
from ai_infra.errors import ConflictError, EmbeddingMismatchError
from ai_infra.storage.backend import Write
from ai_infra.storage.postgres.base import PostgresBase
from ai_infra.storage.postgres.names import decode
from ai_infra.storage.postgres.statements import Statements
from ai_infra.storage.postgres.work import Ask, Script

LOCAL = "local"
REEMBED_ROUNDS = 10
"""Items that changed while everything was embedded need another round, which only pays for those."""

StoredVector = tuple[bytes, bytes]
"""The hash of a text, and its vector as ``pack_vectors`` makes it."""


class VectorBackend(PostgresBase):
    """What the items' backend knows of vectors.

    Args:
        dsn: a connection string.
        embedder: asked for vectors; None for the built-in one, which runs in the core.
        switch: do not refuse items that have another embedder's vectors; :meth:`reembed` follows.
        options: as for ``PostgresBase``.
    """

    def __init__(
        self, dsn: str, *, embedder: Embedder | None = None, switch: bool = False, **options: Any
    ) -> None:
        super().__init__(dsn, "items.sql", **options)
        self._embedder = None if embedder is None else cached(embedder)
        self._model = LOCAL if self._embedder is None else self._embedder.identity
        self._adopted = switch
        self._search_sql = Statements("search.sql", self._schema, caller_clock=self._caller_clock)
        self._large_sql = Statements("large.sql", self._schema, caller_clock=self._caller_clock)
        self._forgotten: list[int] = []
        # Only to turn rows into texts, as the local engine does.
        self._texts = LocalStore(
            None, 30.0, 1 << 40, 0, None if self._embedder is None else self._embedder.identity
        )

    def _adopt(self) -> Flow[None]:
        """Take this embedder for items that have none yet; refuse those that have another one's.

        Raises:
            EmbeddingMismatchError: the items have another embedder's vectors.
        """
        if self._adopted:
            return
        parameters = {"tenant": self._tenant, "model": self._model}

        def script() -> Script[str]:
            rows = yield Ask(self._search_sql["held"], parameters)
            if not rows or rows[0][0] != self._model:
                yield Ask(self._search_sql["adopt"], parameters)
                rows = yield Ask(self._search_sql["held"], parameters)
            return str(rows[0][0]) if rows else LOCAL

        held = yield from self._work(script)
        self._check_model(held)
        self._adopted = True

    def _check_model(self, held: str | None) -> None:
        if held is not None and held != self._model:
            self._adopted = False
            raise EmbeddingMismatchError(
                f"the store holds vectors of the embedder {held!r}, and {self._model!r} was asked "
                "for; open it "
                "with the one it holds, or give it to the new one with reembed() (or by opening it with "
                "reembed=True)"
            )

    def _write_vectors(self, places: Sequence[tuple[bytes, str]], vectors: Sequence[Any]) -> Script[None]:
        """The part of a transaction that keeps the vectors of items; None: the text is empty."""
        sizes = {len(vector[1]) // 2 for vector in vectors if vector is not None}
        parameters: dict[str, Any] = {"tenant": self._tenant, "model": self._model, "size": None}
        rows = yield Ask(self._search_sql["held"], parameters)
        self._check_model(rows[0][0] if rows else LOCAL)
        for size in sizes:
            if rows[0][1] is None:
                yield Ask(self._search_sql["set_dimensions"], {**parameters, "size": size})
                rows = yield Ask(self._search_sql["held"], parameters)
            if rows[0][1] != size:
                raise EmbeddingMismatchError(
                    f"the store holds vectors of {rows[0][1]} dimensions, and the embedder made one "
                    f"of {size}; "
                    f"nothing was written. Ask for {rows[0][1]} dimensions, or call reembed()"
                )
        last = dict(zip(places, vectors, strict=True))
        for name, some in (("put_vectors", True), ("drop_vectors", False)):
            chosen = sorted(place for place, vector in last.items() if (vector is not None) is some)
            if chosen:
                yield Ask(self._search_sql[name], {"tenant": self._tenant, **_columns(chosen, last, some)})

    def _put_embedded(self, put: Ask, vectors: Sequence[StoredVector]) -> Flow[list[Any]]:
        """Run the statement ``put`` and keep the vectors of its rows, in one statement; no rows: not done."""
        assert put.parameters is not None
        sizes = {len(vector) // 2 for _, vector in vectors}
        if len(sizes) != 1:
            return []
        parameters = {
            **put.parameters,
            "model": self._model,
            "size": sizes.pop(),
            "hash": [digest for digest, _ in vectors],
            "vector": [vector for _, vector in vectors],
        }
        return (yield from self._ask(self._search_sql["put_embedded"], parameters))

    def _vectors(self, texts: Sequence[str], *, anew: bool = False) -> Flow[list[StoredVector | None]]:
        """The hash and the vector of each text; None for an empty one. Asks the embedder for new texts only."""
        embedder = self._embedder
        assert embedder is not None
        hashes = [text_hash(embedder.identity, text) for text in texts]
        wanted = {digest: text for digest, text in zip(hashes, texts, strict=True) if text}
        known: dict[bytes, bytes] = {}
        size = embedder.dimensions
        if wanted and not (anew and size is None):
            rows = yield from self._ask(self._search_sql["known"], {"hash": list(wanted)})
            known.update(_packed([row for row in rows if size in (None, row[2])]))
        new = [digest for digest in wanted if digest not in known]
        made: list[Vector] = yield from embed(embedder, [wanted[digest] for digest in new])
        known.update(zip(new, pack_vectors([vector.tobytes() for vector in made]), strict=True))
        return [(digest, known[digest]) if text else None for digest, text in zip(hashes, texts, strict=True)]

    def _texts_of(self, writes: Sequence[Write]) -> list[str]:
        return self._texts.prepare(writes).texts()

    def _forget_large(self, place: int | None = None) -> Script[None]:
        """Drop what was made of this tenant's items for searches in the database; the next one makes it anew."""
        rows = yield Ask(self._large_sql["forget"], {"tenant": self._tenant, "place": place})
        self._forgotten.extend(row[0] for row in rows)

    def reembed(self) -> Flow[int]:
        """Embed everything anew; readers see the old vectors until all new ones are there."""
        for _ in range(REEMBED_ROUNDS):
            rows = yield from self._ask(self._search_sql["everything"], {})
            vectors: list[StoredVector | None] = [None] * len(rows)
            if self._embedder is not None and rows:
                writes = [Write(decode(row[0]), row[1], json.loads(row[3])) for row in rows]
                vectors = yield from self._vectors(self._texts_of(writes), anew=True)
            if (yield from self._work(partial(self._give, rows, vectors), atomic=True)):
                self._adopted = True
                return len(rows)
        raise ConflictError(
            "the store kept changing while it was embedded anew; call reembed() when it is quiet"
        )

    def _give(self, rows: list[Any], vectors: list[StoredVector | None]) -> Script[bool]:
        """Replace all vectors, if nothing has changed since ``rows`` were read."""
        seen = {
            "tenant": self._tenant,
            "ns": [row[0] for row in rows],
            "key": [row[1] for row in rows],
            "change": [row[2] for row in rows],
        }
        yield Ask(self._search_sql["quiet"], {})
        same = yield Ask(self._search_sql["unchanged"], seen)
        if not same[0][0]:
            return False
        yield Ask(self._search_sql["clear_vectors"], {"tenant": self._tenant})
        yield Ask(self._search_sql["give"], {"tenant": self._tenant, "model": self._model, "size": None})
        if self._embedder is not None:
            yield from self._write_vectors([(row[0], row[1]) for row in rows], vectors)
        yield Ask(self._search_sql["touch"], {"tenant": self._tenant})
        yield from self._forget_large()
        return True


def _packed(rows: Sequence[tuple[bytes, bytes, int]]) -> dict[bytes, bytes]:
    """Hashes and vectors of rows of (hash, vector, dimensions); earlier versions have stored f32 values.

    What is neither is left out: it is made anew.
    """
    known = {digest: vector for digest, vector, size in rows if size and len(vector) in (2 * size, 4 * size)}
    old = [digest for digest, vector, size in rows if size and len(vector) == 4 * size]
    known.update(zip(old, pack_vectors([known[digest] for digest in old]), strict=True))
    return known


def _columns(
    places: list[tuple[bytes, str]], vectors: dict[tuple[bytes, str], Any], some: bool
) -> dict[str, Any]:
    columns: dict[str, Any] = {"ns": [ns for ns, _ in places], "key": [key for _, key in places]}
    if some:
        columns["hash"] = [vectors[place][0] for place in places]
        columns["vector"] = [vectors[place][1] for place in places]
    return columns
