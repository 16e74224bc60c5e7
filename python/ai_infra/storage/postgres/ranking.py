"""The best items of a namespace that is searched in the database.

Its words are scored as in memory, the nearest vectors are asked for, and the best of both are put in order by the sum.
Filter and expiry never cut a result short.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ai_infra._core import (
    MemoryItem,
    Scores,
    array_cosines,
    array_literal,
    local_embed,
    needed_terms,
    wanted_terms,
)
from ai_infra._flow import Flow
from ai_infra.errors import EmbeddingMismatchError, StorageTimeoutError
from ai_infra.storage.backend import Scored
from ai_infra.storage.postgres.database import NEAREST
from ai_infra.storage.postgres.large import GONE, Asked, LargeBackend, Place, State
from ai_infra.storage.postgres.names import decode
from ai_infra.storage.postgres.nearest import COMPARED_DIMENSIONS, Distance
from ai_infra.storage.postgres.statements import Statements
from ai_infra.storage.postgres.work import Ask, Compute, Script

if TYPE_CHECKING:
    from psycopg import sql

CANDIDATES = NEAREST
"""Of the best by words, and of the nearest by vectors, so many at least are put in order together."""
FILTERED = 50_000
"""Of the best by words so many are held against a filter."""
SPARE_ITEMS = 10
"""Fetched beyond the limit, for those that have expired."""
TRIES = 20
"""A search that meets changes of what it reads begins anew."""


class RankingBackend(LargeBackend):
    """What the items' backend knows of searching large namespaces; arguments as for ``LargeBackend``."""

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
            found: list[Scored] | None = None
            if not asked.operands and state.dimensions <= COMPARED_DIMENSIONS:
                usual = self._database.prepares and _nearest(asked) == NEAREST
                found = yield from self._work(
                    partial(self._rank_at_once, state, place, asked, usual), atomic=not usual
                )
            if found is None:
                found = yield from self._work(partial(self._rank, state, place, asked), atomic=True)
            if found is not None:
                self._nearest.keep_indexed(state.place, state.documents, state.dimensions)
                return found
        raise StorageTimeoutError("the namespace changed faster than it could be searched; try again")

    def _rank_at_once(
        self, state: State, place: Place, asked: Asked, usual: bool
    ) -> Script[list[Scored] | None]:
        """The best items, by candidates that are held against their items at the end.

        No document that is not among the nearest has a larger cosine than the last of these. So of the others only
        those are looked at to which words give so much that they could still be among the best.

        None where that left too few, or the database cannot compare vectors. Without ``usual`` the connection has to be
        told how many vectors are asked for.
        """
        statements = self._large_sql
        vector = array_literal(asked.vector or b"") if state.dimensions else None
        extension = yield from self._nearest.extension()
        if extension is None or vector is None:
            return None
        scores = yield from self._score_words(state, asked.query)
        distance = Distance.of(extension, state.dimensions)
        count = _nearest(asked)
        parts: dict[str, Any] = {
            "place": _literal(state.place),
            "known": (state.place, state.dimensions, count),
        }
        if not usual:
            yield self._ask_more(count)
        query = _fill(statements, "near", distance=distance.expression, count=_literal(count), **parts)
        rows = yield Ask(query, {"vector": vector})
        wanted = asked.limit + SPARE_ITEMS
        if not rows or len(rows) < min(count, state.documents):
            return None
        cosines = dict(self._read(rows, distance, asked))
        bar = heapq.nlargest(wanted, scores.fuse(list(cosines.items())))[-1]
        best = scores.best(max(CANDIDATES, 10 * wanted))
        most = scores.fuse([(number, rows[-1][1]) for number in best])
        likely = [
            number
            for turn, (number, score) in enumerate(zip(best, most, strict=True))
            if number not in cosines and (score >= bar or turn < wanted)
        ]
        query = _fill(statements, "among", cosine=_cosine(distance), **parts)
        rows = yield Ask(query, {"vector": vector, "numbers": likely})
        cosines.update(self._read(rows, distance, asked))
        ranked = _ranked(scores, cosines, asked.min_score)[:wanted]
        found = yield from self._fetch(state, place, ranked)
        # What is left out by its score is not missing.
        if len(found) < asked.limit and (len(ranked) == wanted or len(cosines) < wanted):
            return None
        return found[: asked.limit]

    def _rank(self, state: State, place: Place, asked: Asked) -> Script[list[Scored] | None]:
        """The best items, by candidates that are held against their items first; None where something changed."""
        statements = self._large_sql
        # Without dimensions nothing has a vector yet.
        vector = array_literal(asked.vector or b"") if state.dimensions else None
        distance: Distance | None = None
        if state.dimensions <= COMPARED_DIMENSIONS and vector is not None:
            extension = yield from self._nearest.extension()
            distance = Distance.of(extension, state.dimensions) if extension is not None else None
        scores = yield from self._score_words(state, asked.query)
        count = _candidates(state, asked)
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
        query = _fill(statements, "among_filtered", cosine=cosine, **parts)
        rows = yield Ask(query, {**shared, "numbers": best})
        cosines = dict(self._read(rows, distance, asked))
        if vector is not None:
            near = yield from self._ask_nearest(state, distance, parts, shared, asked)
            cosines.update(near)
        if len(cosines) < asked.limit:
            given = {**shared, "numbers": list(cosines)}
            rows = yield Ask(_fill(statements, "others", cosine=cosine, **parts), given)
            cosines.update(self._read(rows, distance, asked))
        chosen = _ranked(scores, cosines, asked.min_score)[: asked.limit]
        found = yield from self._fetch(state, place, chosen)
        return None if len(found) < len(chosen) else found

    def _fetch(self, state: State, place: Place, chosen: Sequence[tuple[float, int]]) -> Script[list[Scored]]:
        """The items of some documents, in this order, as far as there are any."""
        asked = {
            "tenant": self._tenant,
            "now": place.parameters["now"],
            "place": state.place,
            "numbers": [number for _, number in chosen],
        }
        rows = yield Ask(self._large_sql["fetch"], asked)
        items = {row[0]: MemoryItem(decode(row[1]), *row[2:]) for row in rows}
        return [Scored(items[number], score) for score, number in chosen if number in items]

    def _ask_more(self, count: int) -> Ask:
        return Ask(self._large_sql["ask_more"], {"ef": str(min(1000, count))})

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
        yield self._ask_more(count)
        expression = distance.expression
        for exactly, order in ((False, expression), (True, sql.SQL("{} + 0").format(expression))):
            known = parts["known"] and (*parts["known"], exactly)
            given = {**parts, "known": known, "distance": expression, "order": order}
            rows = yield Ask(_fill(statements, "near_filtered", **given), shared)
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


def _nearest(asked: Asked) -> int:
    return max(NEAREST, 4 * asked.limit)


def _candidates(state: State, asked: Asked) -> int:
    return min(max(CANDIDATES, 4 * asked.limit), CANDIDATES + state.documents)


def _ranked(
    scores: Scores, cosines: dict[int, float | None], min_score: float | None
) -> list[tuple[float, int]]:
    """Scores and numbers, best first, equal ones by number."""
    pairs = sorted(cosines.items())
    ranked = zip(scores.fuse(pairs), (number for number, _ in pairs), strict=True)
    wanted = (each for each in ranked if min_score is None or each[0] >= min_score)
    return sorted(wanted, key=lambda each: (-each[0], each[1]))


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
