"""Nearest vectors of a large namespace: by pgvector where the database has it, by reading them all where not.

The index is pgvector's HNSW over half-precision numbers, one for each namespace, so that no namespace is searched
through the vectors of others. It is made in the background by one process; until then, and wherever it finds too few,
the comparison is exact.
"""

from __future__ import annotations

import os
import threading
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ai_infra._checks import users_line
from ai_infra.storage.postgres.database import Database
from ai_infra.storage.postgres.statements import Statements
from ai_infra.storage.postgres.work import Ask, Script

if TYPE_CHECKING:
    from psycopg import Connection, sql

INDEXED_FROM = 10_000
"""Documents from which an index over vectors pays; fewer are compared one by one in a few milliseconds."""
INDEXED_DIMENSIONS = 4_000
"""pgvector's limit for an index over half-precision numbers."""
COMPARED_DIMENSIONS = 16_000
"""pgvector's limit for a vector."""
SOUND = (0, 8, 4)
"""Older versions of pgvector may damage an HNSW index, and have CVE-2026-3172."""


class Extension(NamedTuple):
    """pgvector in a database."""

    schema: str


class Distance(NamedTuple):
    """How a statement compares vectors."""

    type: sql.Composable
    operators: sql.Composable
    expression: sql.Composable

    @classmethod
    def of(cls, extension: Extension, dimensions: int) -> Distance:
        """The distance for vectors of a size."""
        from psycopg import sql

        half = dimensions <= INDEXED_DIMENSIONS
        parts = {"schema": sql.Identifier(extension.schema), "size": sql.Literal(dimensions)}
        kind = sql.SQL("{schema}.halfvec({size})" if half else "{schema}.vector({size})").format(**parts)
        operators = sql.SQL("{schema}.halfvec_cosine_ops").format(**parts)
        expression = sql.SQL(
            "(held.vector::{type} OPERATOR({schema}.<=>) (SELECT %(vector)s::text::real[]::{type}))"
        ).format(type=kind, **parts)
        return cls(kind, operators, expression)


class Nearest:
    """What one store knows of pgvector, and the indexes that it makes.

    Args:
        database: where.
        statements: of ``sql/large.sql``.
        schema: where the tables are.
        forgotten: places whose indexes nobody needs; others add to it.
    """

    def __init__(self, database: Database, statements: Statements, schema: str, forgotten: list[int]) -> None:
        self._pid = os.getpid()
        self._forgotten = forgotten
        self._database = database
        self._sql = statements
        self._schema = schema
        self._known = False
        self._extension: Extension | None = None
        self._asked: set[int] = set()
        self._warned: set[str] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._connections: set[Connection[Any]] = set()
        self._closed = False

    def extension(self) -> Script[Extension | None]:
        """pgvector, if the database has it; warns once where it has not, or an old one."""
        if not self._known:
            rows = yield Ask(self._sql["extension"], {})
            version, schema, available, database = rows[0]
            self._known = True
            if version is None:
                install = "" if available else "install the package of pgvector on the server, then "
                self._warn(
                    "the extension pgvector is missing, so a search of a large namespace reads all its vectors; "
                    f"{install}as the owner of the database {database!r}, or a superuser, run in it: "
                    "CREATE EXTENSION vector;"
                )
            else:
                self._extension = Extension(schema)
                if _numbers(version) < SOUND:
                    self._warn(
                        f"pgvector {version} may damage HNSW indexes and has a known vulnerability (CVE-2026-3172); "
                        "install 0.8.4 or newer on the server, then run: ALTER EXTENSION vector UPDATE;"
                    )
        return self._extension

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            warnings.warn(text, stacklevel=users_line())

    def keep_indexed(self, place: int, documents: int, dimensions: int) -> None:
        """See to it that a namespace's vectors get their index, if they shall have one; returns at once."""
        if (
            self._extension is None
            or documents < INDEXED_FROM
            or dimensions > INDEXED_DIMENSIONS
            or place in self._asked
        ):
            return
        with self._lock:
            if self._closed or place in self._asked:
                return
            self._asked.add(place)
            arguments = (place, Distance.of(self._extension, dimensions))
            thread = threading.Thread(target=self._build, args=arguments, name="ai_infra index", daemon=True)
            self._threads = [each for each in self._threads if each.is_alive()] + [thread]
            thread.start()

    def _build(self, place: int, distance: Distance) -> None:
        import psycopg

        try:
            with psycopg.connect(**self._database.dsn.parameters, autocommit=True) as connection:
                with self._lock:
                    if self._closed:
                        return
                    self._connections.add(connection)
                try:
                    self._build_on(connection, place, distance)
                finally:
                    with self._lock:
                        self._connections.discard(connection)
        except psycopg.Error:
            # Stopped, or the server went away. Searches compare exactly until another process makes the index.
            return

    def _build_on(self, connection: Connection[Any], place: int, distance: Distance) -> None:
        from psycopg import sql

        name = f"large_vectors_{place}"
        connection.execute(self._sql["take_time"])
        if not _first(connection, self._sql["try_lock"], {"name": f"ai_infra {self._schema}.{name}"})[0]:
            return
        while self._forgotten:
            old = sql.Identifier(f"large_vectors_{self._forgotten.pop()}")
            connection.execute(self._sql.fill("drop_index", index=old))
        asked = {"index": name, "schema": self._schema}
        valid, may = _first(connection, self._sql["index_state"], asked)
        if valid:
            return
        parts = {"index": sql.Identifier(name), "type": distance.type, "place": sql.Literal(place)}
        build = self._sql.fill("build", operators=distance.operators, **parts)
        if not may:
            self._warn(
                "a large namespace has no index over its vectors, and this role may not make one; as the owner of "
                f"the tables run: {' '.join(build.decode().split())};"
            )
            return
        if valid is not None:  # somebody was stopped while making it
            connection.execute(self._sql.fill("drop_index", index=sql.Identifier(name)))
        connection.execute(build)
        connection.execute(self._sql["analyze"])

    def settle(self) -> None:
        """Wait until the indexes that are being made are there."""
        for thread in list(self._threads):
            thread.join()

    def is_busy(self) -> bool:
        """Whether this process is making an index."""
        return self._pid == os.getpid() and any(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Stop what is being made."""
        import psycopg

        with self._lock:
            self._closed = True
            connections = list(self._connections)
        for connection in connections:
            with suppress(psycopg.Error):
                connection.cancel_safe()
        self.settle()


def _first(connection: Connection[Any], query: bytes, parameters: dict[str, Any]) -> Any:
    return connection.execute(query, parameters).fetchone()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
