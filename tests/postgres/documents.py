"""The database that the code in ``docs/postgres.md`` runs on."""

from __future__ import annotations

import os

import psycopg
from psycopg import sql

from tests.postgres.server import FAST, Databases, Server


class DocumentServer:
    """Sets DATABASE_URL until :meth:`end`."""

    def __init__(self) -> None:
        self._given = os.environ.get("DATABASE_URL")
        self._server = None if self._given else Server(*FAST)
        self._databases = Databases(self._given or (self._server.url if self._server else ""))
        self._owner = os.environ["DATABASE_URL"] = self._databases.new()
        self._role = ""

    def add_role(self, name: str) -> None:
        """Make a role that can log in; DATABASE_URL is then for it, OWNER_DATABASE_URL for the owner."""
        with psycopg.connect(self._owner, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(name)))
        self._role = name
        os.environ["OWNER_DATABASE_URL"] = self._owner
        os.environ["DATABASE_URL"] = psycopg.conninfo.make_conninfo(self._owner, user=name, password="x")

    def end(self) -> None:
        """Leave everything as it was."""
        os.environ.pop("OWNER_DATABASE_URL", None)
        os.environ.pop("DATABASE_URL")
        if self._given:
            os.environ["DATABASE_URL"] = self._given
        with psycopg.connect(self._owner, autocommit=True) as connection:
            role = sql.Identifier(self._role)
            connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))
        self._databases.drop()
        if self._server is not None:
            self._server.end()
