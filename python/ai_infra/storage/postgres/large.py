"""Search of namespaces that no process should hold: in the database, ranked as a mirror would rank them.

What an index would hold lies in tables beside the items (``sql/0006_large.sql``). Writers know nothing of it: whoever
searches first brings it up to date, piece by piece under an advisory lock, by the same question that keeps mirrors up
to date. How the best are found then is in ``ranking.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ai_infra._core import (
    array_literal,
    list_documents,
    local_dimensions,
    unpack_vectors,
)
from ai_infra._flow import Call, Flow
from ai_infra.errors import ConfigurationError
from ai_infra.storage.postgres.nearest import Nearest
from ai_infra.storage.postgres.vectors import VectorBackend
from ai_infra.storage.postgres.work import Ask, Compute, Script

if TYPE_CHECKING:
    from psycopg import sql

PIECE = 4_096
"""Items that are taken in by one transaction."""
REMOVED = 20_000
"""Documents that are removed by one transaction."""
SPARE = 10_000
"""Removed documents stay in the lists of words; with half as many of them as others, and these, all is made anew."""
GONE = ""
"""The term of the lists of removed documents."""


class Place(NamedTuple):
    """A namespace, or one with everything below it, and how statements find its items."""

    ns: bytes
    recursive: bool
    where: sql.Composable
    kind: str
    parameters: dict[str, Any]


class Asked(NamedTuple):
    """What is searched for."""

    query: str
    vector: bytes | None
    filter: sql.Composable
    operands: dict[str, Any]
    limit: int
    min_score: float | None


IN_DATABASE_FROM = 250_000


class State(NamedTuple):
    """A row of the table ``large``."""

    place: int
    documents: int
    words: int
    dimensions: int


class LargeBackend(VectorBackend):
    """What the items' backend knows of large namespaces.

    Args:
        dsn: a connection string.
        in_database_from: namespaces with so many items are searched in the database.
        options: as for ``VectorBackend``.
    """

    def __init__(self, dsn: str, *, in_database_from: int = IN_DATABASE_FROM, **options: Any) -> None:
        if (
            isinstance(in_database_from, bool)
            or not isinstance(in_database_from, int)
            or in_database_from < 1
        ):
            raise ConfigurationError(
                f"in_database_from={in_database_from!r} is no number of items; pass 1 or more"
            )
        super().__init__(dsn, **options)
        self._in_database_from = in_database_from
        self._nearest = Nearest(self._database, self._large_sql, self._schema, self._forgotten)

    def close(self) -> Flow[None]:
        """Close; an index that is being made is left to another process."""
        if self._nearest.is_busy():
            yield Call(self._nearest.close, lambda: asyncio.to_thread(self._nearest.close))
        yield from super().close()

    def _is_large(self, place: Place, least: int) -> Flow[bool]:
        """Whether a namespace is one to be searched in the database; ``least``: so many items were found in it."""
        if least >= self._in_database_from:
            return True
        query = self._large_sql.fill("how_many", kept=("how_many", place.kind), where=place.where)
        rows = yield from self._ask(query, {**place.parameters, "enough": self._in_database_from})
        return bool(rows[0][0] >= self._in_database_from)

    # Catching up ----------------------------------------------------------------------------------------------

    def _caught_up(self, place: Place) -> Flow[State]:
        """Bring the tables up to date with the items; their state."""
        key = {**place.parameters, "ns": place.ns, "recursive": place.recursive}
        query = self._large_sql.fill("state", kept=("state", place.kind), where=place.where)
        while True:
            asked = {**place.parameters, "place_ns": place.ns, "recursive": place.recursive}
            rows = yield from self._ask(query, asked)
            if rows:
                number, model, documents, words, held, size, unfinished = rows[0]
                self._check_model(held)
                if model == self._model and not unfinished:
                    dimensions = local_dimensions() if self._embedder is None else size or 0
                    return State(number, documents, words, dimensions)
            while not (yield from self._work(partial(self._take_piece, place, key), atomic=True)):
                pass

    def _take_piece(self, place: Place, key: dict[str, Any]) -> Script[bool]:
        """Take in the next items that changed; True when those were the last."""
        statements = self._large_sql
        key = {**key, "tenant": self._tenant, "model": self._model, "limit": PIECE, "removed": REMOVED}
        name = f"ai_infra large {self._schema} {self._tenant!r} {place.ns.hex()} {place.recursive}"
        yield Ask(statements["lock"], {"name": name})
        (row,) = yield Ask(statements["begin"], key)
        number, model, seen, after_ns, after_key, following, documents, stale = row
        if model != self._model or following - documents > documents // 2 + SPARE:
            yield from self._forget_large(number)
            return False
        key.update(place=number, seen=seen, after_ns=after_ns, after_key=after_key)
        which = "piece" if seen is None else "changed_piece"
        rows = yield Ask(statements.fill(which, kept=(which, place.kind), where=place.where), key)
        columns = {"place": number, "ns": [row[0] for row in rows], "key": [row[1] for row in rows]}
        gone = (yield Ask(statements["drop_old"], columns)) if rows else []
        done = len(rows) < PIECE
        if done and seen is not None:
            drop = "drop_missing" if stale else "drop_removed"
            removed = yield Ask(statements.fill(drop, kept=(drop, place.kind), where=place.where), key)
            gone += removed
            done = len(removed) < REMOVED
        lengths: list[int] = []
        if rows or gone:
            lengths = yield from self._write_documents(number, following, rows, [each[0] for each in gone])
        last = rows[-1] if rows else (after_ns, after_key)
        yield Ask(
            statements["advance"],
            {
                "place": number,
                "done": done,
                "after_ns": b"" if done else last[0],
                "after_key": "" if done else last[1],
                "next": following + len(rows),
                "documents": len(rows) - len(gone),
                "words": sum(lengths) - sum(each[1] for each in gone),
            },
        )
        if done and seen is None:
            # New tables have no statistics, and without them PostgreSQL would look items up by the wrong index. Where
            # this role may not, it does nothing.
            yield Ask(statements["learn"], {})
        return done

    def _write_documents(
        self, place: int, first: int, rows: Sequence[Any], gone: Sequence[int]
    ) -> Script[list[int]]:
        """Keep what rows of (namespace, key, value, vector, dimensions) hold, under numbers from ``first`` on; their
        lengths."""
        local = self._embedder is None
        values = [row[2] for row in rows]
        documents, lists = yield Compute(partial(list_documents, values, first, gone, local))
        vectors = [document[1] for document in documents]
        if not local:
            vectors = yield Compute(partial(_literals, rows))
        lengths = [length for length, _ in documents]
        shared = {"tenant": self._tenant, "place": place}
        if rows:
            columns = {
                "ns": [row[0] for row in rows],
                "key": [row[1] for row in rows],
                "number": list(range(first, first + len(rows))),
                "length": lengths,
                "vector": vectors,
            }
            yield Ask(self._large_sql["put_documents"], {**shared, **columns})
        terms, blocks, packed = lists
        yield Ask(self._large_sql["put_words"], {**shared, "term": terms, "block": blocks, "list": packed})
        return lengths


def _literals(rows: Sequence[Any]) -> list[str | None]:
    with_vector = [row for row in rows if row[3] is not None]
    size = (with_vector[0][4] or 0) if with_vector else 0
    vectors = iter(unpack_vectors([row[3] for row in with_vector], size))
    return [None if row[3] is None else array_literal(next(vectors)) for row in rows]
