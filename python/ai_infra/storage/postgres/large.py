"""Search of namespaces that no process should hold: in the database, ranked as a mirror would rank them.

What an index would hold lies in tables beside the items (``sql/0006_large.sql``). Writers know nothing of it: whoever
searches first brings it up to date, piece by piece under an advisory lock, by the same question that keeps mirrors up
to date. Then the words of all documents are scored as in memory, the nearest vectors are asked for, and the best of
both are put in order by the sum. Filter and expiry work on both before anything is left out.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ai_infra._core import (
    MemoryItem,
    Scores,
    array_cosines,
    array_literal,
    list_documents,
    local_dimensions,
    local_embed,
    needed_terms,
    wanted_terms,
)
from ai_infra._flow import Call, Flow
from ai_infra.errors import ConfigurationError, EmbeddingMismatchError, StorageTimeoutError
from ai_infra.storage.backend import Scored
from ai_infra.storage.postgres.mirror import ROOM
from ai_infra.storage.postgres.names import decode
from ai_infra.storage.postgres.nearest import COMPARED_DIMENSIONS, Distance, Nearest
from ai_infra.storage.postgres.statements import Statements
from ai_infra.storage.postgres.vectors import VectorBackend
from ai_infra.storage.postgres.work import Ask, Compute, Script

if TYPE_CHECKING:
    from psycopg import sql

PIECE = 4_096
"""Items that are taken in by one transaction."""
CANDIDATES = 200
"""Of the best by words, and of the nearest by vectors, so many at least are put in order together."""
REMOVED = 20_000
"""Documents that are removed by one transaction."""
SPARE = 10_000
"""Removed documents stay in the lists of words; with half as many of them as others, and these, all is made anew."""
FILTERED = 50_000
"""Of the best by words so many are held against a filter."""
TRIES = 20
"""A search that meets changes of what it reads begins anew."""
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

    def __init__(self, dsn: str, *, in_database_from: int = ROOM, **options: Any) -> None:
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

    def _search_large(self, place: Place, asked: Asked) -> Flow[list[Scored]]:
        """The best items of a large namespace."""
        if asked.vector is None:
            embedded: bytes = local_embed([asked.query])
            asked = asked._replace(vector=embedded)
        for _ in range(TRIES):
            state = yield from self._caught_up(place)
            if state.dimensions and len(asked.vector or b"") != 4 * state.dimensions:
                raise EmbeddingMismatchError(
                    f"the store holds vectors of {state.dimensions} dimensions, and the query's has "
                    f"{len(asked.vector or b'') // 4}; ask the embedder for {state.dimensions}, or call reembed()"
                )
            found: list[Scored] | None = yield from self._work(
                partial(self._rank, state, place, asked), atomic=True
            )
            if found is not None:
                self._nearest.keep_indexed(state.place, state.documents, state.dimensions)
                return found
        raise StorageTimeoutError("the namespace changed faster than it could be searched; try again")

    # Catching up ----------------------------------------------------------------------------------------------

    def _caught_up(self, place: Place) -> Flow[State]:
        """Bring the tables up to date with the items; their state."""
        key = {**place.parameters, "ns": place.ns, "recursive": place.recursive}
        behind = self._large_sql.fill("behind", kept=("behind", place.kind), where=place.where)
        while True:
            rows = yield from self._ask(self._large_sql["state"], dict(key))
            if rows:
                number, model, seen, unfinished, documents, words, held, size = rows[0]
                self._check_model(held)
                if model == self._model and seen is not None and not unfinished:
                    since = {**key, "seen": seen, "oldest": seen.split(":", 1)[0]}
                    unfinished = (yield from self._ask(behind, since))[0][0]
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
        """Keep what rows of (namespace, key, value, vector) hold, under numbers from ``first`` on; their lengths."""
        local = self._embedder is None
        values = [row[2] for row in rows]
        documents, lists = yield Compute(partial(list_documents, values, first, gone, local))
        vectors = [document[1] for document in documents]
        if not local:
            vectors = yield Compute(
                lambda: [None if row[3] is None else array_literal(row[3]) for row in rows]
            )
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

    # Ranking ----------------------------------------------------------------------------------------------------

    def _rank(self, state: State, place: Place, asked: Asked) -> Script[list[Scored] | None]:
        """The best items; None where something changed meanwhile."""
        statements = self._large_sql
        # Without dimensions nothing has a vector yet.
        vector = array_literal(asked.vector or b"") if state.dimensions else None
        distance: Distance | None = None
        if state.dimensions <= COMPARED_DIMENSIONS and vector is not None:
            extension = yield from self._nearest.extension()
            distance = Distance.of(extension, state.dimensions) if extension is not None else None
        scores = yield from self._score_words(state, asked.query)
        count = min(max(CANDIDATES, 4 * asked.limit), CANDIDATES + state.documents)
        shared = {
            "tenant": self._tenant,
            "now": place.parameters["now"],
            "vector": vector,
            "limit": count,
            **asked.operands,
        }
        cosine = _cosine(distance)
        parts: dict[str, Any] = {"place": _literal(state.place), "where": asked.filter}
        # The same text for all searches without a filter.
        parts["known"] = None if asked.operands else (state.place, state.dimensions, distance is None)
        best = scores.best(FILTERED if asked.operands else count)
        rows = yield Ask(_fill(statements, "among", cosine=cosine, **parts), {**shared, "numbers": best})
        cosines = dict(self._read(rows, distance, asked))
        if vector is not None:
            near = yield from self._ask_nearest(state, distance, parts, shared, asked)
            cosines.update(near)
        if len(cosines) < asked.limit:
            given = {**shared, "numbers": list(cosines)}
            rows = yield Ask(_fill(statements, "others", cosine=cosine, **parts), given)
            cosines.update(self._read(rows, distance, asked))
        pairs = sorted(cosines.items())
        ranked = sorted(zip(scores.fuse(pairs), pairs, strict=True), key=lambda each: (-each[0], each[1][0]))
        chosen = [
            (score, number)
            for score, (number, _) in ranked[: asked.limit]
            if asked.min_score is None or score >= asked.min_score
        ]
        fetched = {"place": state.place, "numbers": [number for _, number in chosen]}
        rows = yield Ask(statements["fetch"], {**shared, **fetched})
        if len(rows) < len(chosen):
            return None
        items = {row[0]: MemoryItem(decode(row[1]), *row[2:]) for row in rows}
        return [Scored(items[number], score) for score, number in chosen]

    def _score_words(self, state: State, query: str) -> Script[Scores]:
        terms, beginnings, parts = wanted_terms(query)
        asked = {
            "place": state.place,
            "terms": terms,
            "low": beginnings,
            "high": [_after(beginning) for beginning in beginnings],
            "parts": parts,
        }
        rows = yield Ask(self._large_sql["there"], asked)
        needed = needed_terms(query, [row[0] for row in rows])
        rows = yield Ask(self._large_sql["lists"], {"place": state.place, "terms": [*needed, GONE]})
        scores: Scores = yield Compute(partial(Scores, query, rows, state.documents, state.words))
        return scores

    def _ask_nearest(
        self,
        state: State,
        distance: Distance | None,
        parts: dict[str, Any],
        shared: dict[str, Any],
        asked: Asked,
    ) -> Script[list[tuple[int, float | None]]]:
        """The nearest documents with their cosines."""
        from psycopg import sql

        statements, count = self._large_sql, shared["limit"]
        if distance is None:
            yield Ask(_fill(statements, "stream", **parts), shared)
            best: list[tuple[float, int]] = []
            while rows := (yield Ask(statements["next_vectors"], {})):
                found = yield Compute(partial(self._read, rows, distance, asked))
                pairs = ((cosine, -number) for number, cosine in found if cosine is not None)
                best = heapq.nlargest(count, [*best, *pairs])
            yield Ask(statements["end_stream"], {})
            return [(-number, cosine) for cosine, number in best]
        yield Ask(statements["ask_more"], {"ef": str(min(1000, max(100, count)))})
        expression = distance.expression
        exactly = sql.SQL("{} + 0").format(expression)
        first = ("near_filtered", expression) if asked.operands else ("near", expression)
        for name, order in (first, ("near_filtered", exactly)):
            query = _fill(statements, name, distance=expression, order=order, **parts)
            rows = yield Ask(query, shared)
            if len(rows) == count or state.documents <= len(rows):
                break
        return [(row[0], row[1]) for row in rows]

    def _read(
        self, rows: Sequence[Any], distance: Distance | None, asked: Asked
    ) -> list[tuple[int, float | None]]:
        """Numbers and cosines; without pgvector the vectors come, and are compared here."""
        if distance is not None:
            return [(row[0], row[1]) for row in rows]
        cosines = array_cosines(asked.vector or b"", [row[1] for row in rows])
        return list(zip((row[0] for row in rows), cosines, strict=True))


def _fill(statements: Statements, name: str, *, known: Any, **parts: sql.Composable) -> bytes:
    return statements.fill(name, kept=known and (name, known), **parts)


def _cosine(distance: Distance | None) -> sql.Composable:
    from psycopg import sql

    if distance is None:
        return sql.SQL("array_send(held.vector)")
    return sql.SQL("1 - {}").format(distance.expression)


def _literal(number: int) -> sql.Composable:
    from psycopg import sql

    return sql.Literal(number)


def _after(beginning: str) -> str:
    """The first text after all that begin so, by code point."""
    for at in range(len(beginning) - 1, -1, -1):
        code = ord(beginning[at])
        if code < 0x10FFFF:
            return beginning[:at] + chr(0xE000 if code == 0xD7FF else code + 1)
    return beginning + "\U0010ffff" * 8
