"""Search of items: by a mirror of the namespace in this process, caught up with the database first, or, where that
would be too large, in the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from typing import TYPE_CHECKING, Any, LiteralString, TypeVar

from ai_infra._checks import require_count
from ai_infra._core import check_namespace, check_query
from ai_infra._flow import Call, Flow
from ai_infra.storage.backend import Scored
from ai_infra.storage.local import INDEX_MEMORY
from ai_infra.storage.postgres.filters import compile_filter
from ai_infra.storage.postgres.large import Asked, Place
from ai_infra.storage.postgres.mirror import PIECE, Mirrors, Shown, state_of
from ai_infra.storage.postgres.names import encode, subtree
from ai_infra.storage.postgres.ranking import RankingBackend
from ai_infra.storage.postgres.work import Ask, Compute, Script

if TYPE_CHECKING:
    from psycopg import sql

T = TypeVar("T")
PLACES: dict[str, LiteralString] = {
    "everywhere": "true",
    "in": "ns = %(ns)s",
    "below": "ns >= %(ns)s AND ns < %(high)s",
}
"""The conditions of a namespace."""


class SearchBackend(RankingBackend):
    """What the items' backend knows of search.

    Args:
        dsn: a connection string.
        index_memory: bytes that the mirrors of namespaces may take together.
        options: as for ``RankingBackend``.
    """

    def __init__(self, dsn: str, *, index_memory: int = INDEX_MEMORY, **options: Any) -> None:
        room = require_count(index_memory, "index_memory", least=0)
        super().__init__(dsn, **options)
        self._mirrors = Mirrors(None if self._embedder is None else self._model, room)
        self._in_database: set[tuple[bytes, bool]] = set()

    def search(
        self,
        namespace: Any,
        query: Any,
        *,
        recursive: bool,
        filter: Any,
        limit: int,
        min_score: float | None,
        now: int,
    ) -> Flow[list[Scored]]:
        """The live items that answer ``query`` best, ranked as the local engine ranks them."""
        check_query(namespace, query, filter)
        yield from self._adopt()
        vector = None
        if self._embedder is not None:
            vector = yield from self._embedder.ask(query)
        parameters: dict[str, Any] = {"now": now}
        where, kind = self._where(namespace, recursive, None, parameters, needed=True)
        place = Place(parameters["ns"], recursive, where, kind or "", parameters)
        if place[:2] in self._in_database:
            return (
                yield from self._search_large(place, self._asked(query, vector, filter, limit, min_score))
            )
        mirror = self._mirrors.get(place[:2])
        arguments = (query, vector, filter, (limit, min_score))
        while True:
            base, loaded = mirror.base(), None
            if base is None:
                load = self._search_sql.fill("load", kept=("load", kind), where=where)
                rows = yield from self._ask(load, {**parameters, "limit": PIECE})
                enough = min(PIECE, self._in_database_from)
                least = _items(rows) if len(rows) > enough else 0
                if least >= enough and (yield from self._is_large(place, least)):
                    self._in_database.add(place[:2])
                    self._mirrors.drop(place[:2])
                    asked = self._asked(query, vector, filter, limit, min_score)
                    return (yield from self._search_large(place, asked))
                if least == PIECE:
                    del rows
                    load = self._search_sql.fill("load_all", kept=("load_all", kind), where=where)
                    loaded, rows = yield from self._work(partial(self._load, load, parameters), atomic=True)
            else:
                changes = self._search_sql.fill("changes", kept=("changes", kind), where=where)
                rows = yield from self._ask(
                    changes, {**parameters, "oldest": base.oldest, "seen": base.snapshot}
                )
            state = state_of(rows)
            self._check_model(state.model)
            found: list[Scored] | None = yield _off_loop(
                partial(mirror.answer, base, state, rows, arguments, loaded), len(mirror) + len(rows)
            )
            if found is not None:
                self._mirrors.weigh(mirror)
                if len(mirror) >= self._in_database_from:
                    # It has grown: from now on it is searched in the database.
                    self._in_database.add(place[:2])
                    self._mirrors.drop(place[:2])
                return found

    @staticmethod
    def _asked(query: str, vector: bytes | None, filter: Any, limit: int, min_score: float | None) -> Asked:
        from psycopg import sql

        operands: dict[str, Any] = {}
        conditions = compile_filter(filter, operands)
        where = sql.SQL(" AND ").join(conditions or [sql.SQL("true")])
        return Asked(query, vector, where, operands, limit, min_score)

    def _load(self, load: bytes, parameters: dict[str, Any]) -> Script[tuple[Shown, list[Any]]]:
        """Read a large namespace piece by piece; all of it, and the row with the database's state."""
        shown = self._mirrors.empty()
        yield Ask(load, {**parameters, "tenant": self._tenant})
        state: list[Any] = []
        # The next piece is read while one is taken in.
        with ThreadPoolExecutor(1, "ai_infra load") as thread:
            taking: Future[None] | None = None
            while rows := (yield Ask(self._search_sql["fetch"], {})):
                if taking is not None:
                    yield Compute(taking.result)
                state = state or [row for row in rows if row[0] is None]
                taking = thread.submit(shown.take, rows)
            if taking is not None:
                yield Compute(taking.result)
        return shown, state

    def _where(
        self,
        namespace: Any,
        recursive: bool,
        filter: Any,
        parameters: dict[str, Any],
        *,
        needed: bool = False,
    ) -> tuple[sql.Composable, str | None]:
        """The conditions, and what tells them from others; None where a filter is among them."""
        conditions = compile_filter(filter, parameters)
        kind = "everywhere"
        if namespace is not None or needed:
            ns = encode(check_namespace(namespace))
            kind = "below" if recursive else "in"
            if recursive:
                parameters["ns"], parameters["high"] = subtree(ns)
            else:
                parameters["ns"] = ns
        place = _place(kind)
        if not conditions:
            return place, kind
        from psycopg import sql

        return sql.SQL(" AND ").join([place, *conditions]), None


@cache
def _place(kind: str) -> sql.Composable:
    from psycopg import sql

    return sql.SQL(PLACES[kind])


def _items(rows: Sequence[Any]) -> int:
    """How many rows are items: those with a namespace and a value."""
    return sum(row[0] is not None and row[2] is not None for row in rows)


def _off_loop(call: Callable[[], T], items: int) -> Call:
    """A request to compute something: on a thread, where it would hold an event loop up."""

    async def here() -> T:
        return call()

    return Call(call, here if items < 500 else lambda: asyncio.to_thread(call))
