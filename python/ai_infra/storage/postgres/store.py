"""``MemoryStore`` on PostgreSQL: items. See ``sql/items.sql`` for the statements."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from ai_infra._checks import require_count
from ai_infra._core import canonical_json, check_key, check_namespace
from ai_infra._flow import Flow
from ai_infra.errors import (
    ConflictError,
    InvalidInputError,
    InvalidNamespaceError,
    InvalidTextError,
    InvalidValueError,
)
from ai_infra.storage.backend import MemoryItem, Place, Write
from ai_infra.storage.local import MAX_VALUE_BYTES
from ai_infra.storage.postgres.documents import document
from ai_infra.storage.postgres.names import ALL, decode, encode, subtree
from ai_infra.storage.postgres.search import SearchBackend
from ai_infra.storage.postgres.work import Ask, Script, work


class Ready(NamedTuple):
    """A write that was checked."""

    ns: bytes
    key: str
    json: str
    document: str | None
    write: Write


Run = list[Ready]
"""Writes to one place, in order, that one row of a statement does: the last one, counting all."""


class PostgresBackend(SearchBackend):
    """Items in a PostgreSQL database; further arguments as for ``SearchBackend``.

    Args:
        dsn: a URL or a libpq connection string.
        max_value_bytes: the largest value, as JSON.
    """

    def __init__(self, dsn: str, *, max_value_bytes: int = MAX_VALUE_BYTES, **options: Any) -> None:
        super().__init__(dsn, **options)
        self._max_value_bytes = require_count(max_value_bytes, "max_value_bytes")

    # Writing ------------------------------------------------------------------------------------------------

    def put(self, writes: Sequence[Write], now: int) -> Flow[list[MemoryItem]]:
        """Write all or none."""
        ready = self._check(writes)
        asks = [
            (name, runs, self._ask_put(name, runs, now))
            for wave in _waves(ready)
            for name, runs in _kinds(wave).items()
        ]
        vectors: list[Any] = []
        yield from self._adopt()
        if self._embedder is not None:
            vectors = yield from self._vectors(self._texts_of(writes))
        atomic = bool(vectors) or len(asks) > 1 or (len(ready) > 1 and asks[0][0] in ("put_new", "put_over"))

        def script() -> Script[list[Any]]:
            answers = []
            for _, runs, statement in asks:
                rows = yield statement
                if len(rows) < len(runs):
                    yield from self._conflict(runs, rows, now)
                answers.append((runs, rows))
            if vectors:
                yield from self._write_vectors([(item.ns, item.key) for item in ready], vectors)
            return answers

        answers: list[Any] = []
        once = len(asks) == 1 and asks[0][0] == "put" and len(asks[0][1]) == len(ready)
        if vectors and once and None not in vectors:
            # The usual case in one statement; it writes nothing where the schema holds other vectors, or none yet.
            rows = yield from self._put_embedded(asks[0][2], vectors)
            answers = [(asks[0][1], rows)] if rows else []
        if not answers:
            answers = yield from self._work(script, atomic=atomic)
        done: dict[int, MemoryItem] = {}
        for runs, rows in answers:
            stamps = {(ns, key): stamp for ns, key, *stamp in rows}
            for run in runs:
                last = stamps[run[-1].ns, run[-1].key]
                for after, item in enumerate(reversed(run)):
                    times = _stamp(item, last, after, now)
                    done[id(item)] = MemoryItem(decode(item.ns), item.key, item.json, *times)
        return [done[id(item)] for item in ready]

    def _check(self, writes: Sequence[Write]) -> list[Ready]:
        ready = []
        for index, write in enumerate(writes):
            try:
                ns = encode(check_namespace(write.namespace))
                key = check_key(write.key)
                json = canonical_json(write.value, self._max_value_bytes)
            except (InvalidTextError, InvalidValueError, InvalidNamespaceError, InvalidInputError) as error:
                if len(writes) == 1:
                    raise
                raise type(error)(f"item {index} of the batch (nothing was written): {error}") from None
            ready.append(Ready(ns, key, json, document(json), write))
        return ready

    def _ask_put(self, name: str, runs: list[Run], now: int) -> Ask:
        group = [run[-1] for run in runs]
        writes = [item.write for item in group]
        parameters: dict[str, Any] = {
            "tenant": self._tenant,
            "write": uuid.uuid4(),
            "ns": [item.ns for item in group],
            "key": [item.key for item in group],
            "value": [item.json for item in group],
            "doc": [item.document for item in group],
            "until": [write.expires_at if name == "restore" else None for write in writes],
        }
        if name == "restore":
            kept = [write.restored or (now, now, 1) for write in writes]
            parameters["created"], parameters["updated"], parameters["version"] = (
                list(column) for column in zip(*kept, strict=True)
            )
        else:
            # How long it lives, not until when: only the database's clock knows what time it is.
            parameters["life"] = [_life(write, now) for write in writes]
            parameters["now"] = now
        if name == "put":
            parameters["times"] = [len(run) for run in runs]
        if name == "put_over":
            parameters["expected"] = [write.expected for write in writes]
        return Ask(self._sql[name], parameters)

    def _conflict(self, runs: list[Run], rows: list[Any], now: int) -> Script[None]:
        written = {(row[0], row[1]) for row in rows}
        item = next(run[-1] for run in runs if (run[-1].ns, run[-1].key) not in written)
        found = yield Ask(
            self._sql["get"], {"tenant": self._tenant, "ns": item.ns, "key": item.key, "now": now}
        )
        there = f"it has version {found[0][6]}" if found else "there is no such item"
        raise ConflictError(
            f"the item {item.key!r} was expected at version {item.write.expected}, and {there}; "
            "read it again, then retry"
        )

    def delete(self, places: Sequence[Place], now: int) -> Flow[list[bool]]:
        """Delete all in one transaction."""
        wanted = self._places(places)
        rows = yield from self._ask(self._sql["delete"], self._many(wanted, now))
        live = {(ns, key): alive for ns, key, alive in rows}
        return [live.pop(place, False) for place in wanted]

    def clear(self, namespace: Any, *, recursive: bool, now: int) -> Flow[int]:
        """Delete a namespace's items."""
        parameters: dict[str, Any] = {"now": now}
        where, kind = self._where(namespace, recursive, None, parameters, needed=True)
        query = self._sql.fill("clear", kept=("clear", kind), where=where)
        rows = yield from self._ask(query, parameters)
        return int(rows[0][0])

    def sweep(self, until: int, limit: int) -> Flow[int]:
        """Delete a batch of expired items."""
        # With the database's clock only the distance to now is taken from the caller.
        age = 0 if self._caller_clock else max(0, round(time.time() * 1_000_000) - until)
        parameters = {"now": until, "age": age, "limit": limit}
        rows = yield from self._ask(self._sql["sweep"], parameters)
        yield from self._ask(self._search_sql["forget_removals"], {})
        return int(rows[0][0])

    def purge(self, now: int) -> Flow[int]:
        """Delete what expired, and have the space of deleted rows reused.

        What the server keeps elsewhere (its log, replicas, backups) is the server's: see
        ``docs/postgres.md``.
        """
        total = 0
        while True:
            parameters = {"now": now, "age": 0, "limit": 10_000}
            rows = yield from self._ask(self._sql["sweep"], parameters)
            total += int(rows[0][0])
            if rows[0][0] < 10_000:
                break
        self._mirrors.forget()
        yield from self._work(self._forget_large)
        yield from work(self._database, self._vacuum)
        return total

    def _vacuum(self) -> Script[None]:
        for table in ("vacuum", "vacuum_documents", "vacuum_words"):
            yield Ask(self._sql[table], {})

    # Reading ------------------------------------------------------------------------------------------------

    def get(self, places: Sequence[Place], now: int) -> Flow[list[MemoryItem | None]]:
        """Read items at one moment."""
        wanted = self._places(places)
        if len(wanted) == 1:
            ns, key = wanted[0]
            parameters = {"ns": ns, "key": key, "now": now}
            rows = yield from self._ask(self._sql["get"], parameters)
        else:
            rows = yield from self._ask(self._sql["get_many"], self._many(wanted, now))
        found = {(row[0], row[1]): _item(row) for row in rows}
        return [found.get(place) for place in wanted]

    def select(
        self, namespace: Any, *, recursive: bool, filter: Any, limit: int | None, offset: int, now: int
    ) -> Flow[list[MemoryItem]]:
        """The live items in order."""
        parameters: dict[str, Any] = {"now": now, "limit": limit, "offset": offset}
        where, kind = self._where(namespace, recursive, filter, parameters)
        query = self._sql.fill("select", kept=kind and ("select", kind), where=where)
        rows = yield from self._ask(query, parameters)
        return [_item(row) for row in rows]

    def count(self, namespace: Any, *, recursive: bool, filter: Any, now: int) -> Flow[int]:
        """How many live items."""
        parameters: dict[str, Any] = {"now": now}
        where, kind = self._where(namespace, recursive, filter, parameters)
        query = self._sql.fill("count", kept=kind and ("count", kind), where=where)
        rows = yield from self._ask(query, parameters)
        return int(rows[0][0])

    def namespaces(self, root: Any, now: int) -> Flow[list[tuple[str, ...]]]:
        """The namespaces with a live item."""
        low, high = ALL if root is None else subtree(encode(check_namespace(root)))
        parameters = {"now": now, "low": low, "high": high}
        rows = yield from self._ask(self._sql["namespaces"], parameters)
        return [decode(row[0]) for row in rows]

    # Parts --------------------------------------------------------------------------------

    def _places(self, places: Sequence[Place]) -> list[tuple[bytes, str]]:
        wanted = []
        for namespace, key in places:
            ns = encode(check_namespace(namespace))
            wanted.append((ns, check_key(key)))
        return wanted

    def _many(self, wanted: list[tuple[bytes, str]], now: int) -> dict[str, Any]:
        unique = sorted(set(wanted))
        return {
            "now": now,
            "ns": [ns for ns, _ in unique],
            "key": [key for _, key in unique],
        }


def _item(row: Sequence[Any]) -> MemoryItem:
    return MemoryItem(decode(row[0]), *row[1:])


def _waves(ready: list[Ready]) -> list[list[tuple[str, Run]]]:
    """Parts in which no place comes twice, for one statement writes a row once; each run with the kind of its writes.

    Writes to one place that follow each other without a condition are one run: each of them in a statement of its own
    would have to step over the versions of the row that all before it have left.
    """
    last: dict[tuple[bytes, str], tuple[int, str, Run]] = {}
    waves: list[list[tuple[str, Run]]] = []
    for item in ready:
        kind = _kind(item.write)
        turn, before, run = last.get((item.ns, item.key), (-1, "", []))
        if kind == before and kind in ("put", "restore"):
            run.append(item)
            continue
        run = [item]
        last[item.ns, item.key] = (turn + 1, kind, run)
        if turn + 1 == len(waves):
            waves.append([])
        waves[turn + 1].append((kind, run))
    return waves


def _kind(write: Write) -> str:
    """The statement of a write."""
    if write.restored is not None:
        return "restore"
    if write.expected is None:
        return "put"
    return "put_over" if write.expected else "put_new"


def _kinds(wave: list[tuple[str, Run]]) -> dict[str, list[Run]]:
    """The statements a wave needs, and what each writes."""
    kinds: dict[str, list[Run]] = {}
    for name, run in wave:
        kinds.setdefault(name, []).append(run)
    return kinds


def _life(write: Write, now: int) -> int | None:
    """How long it lives, in microseconds."""
    return None if write.expires_at is None else write.expires_at - now


def _stamp(item: Ready, last: Sequence[Any], after: int, now: int) -> tuple[int, int, int | None, int]:
    """Times and version of a write that ``after`` others of its run followed; ``last`` are those of the last one."""
    created, updated, expires, version = last
    if not after:
        return created, updated, expires, version
    if item.write.restored is not None:
        kept_created, kept_updated, kept_version = item.write.restored
        return kept_created, kept_updated, item.write.expires_at, kept_version
    life = _life(item.write, now)
    return created, updated, None if life is None else updated + life, version - after
