"""Brings a schema up to date: numbered files, under an advisory lock, in one transaction."""

from __future__ import annotations

from typing import Any

from ai_infra._flow import Flow
from ai_infra.errors import ConfigurationError, StorageCorruptError
from ai_infra.storage.postgres.database import Database
from ai_infra.storage.postgres.policies import extend
from ai_infra.storage.postgres.statements import MIGRATIONS, Statements, read
from ai_infra.storage.postgres.work import Ask, Script, work


def ensure_ready(database: Database, schema: str) -> Flow[None]:
    """Make the schema, or upgrade it, if this process has not seen it up to date yet.

    Raises:
        StorageCorruptError: a newer version of this library made it.
        ConfigurationError: the role may not do what is needed; the message has the statement for somebody who
            may.
    """
    if schema in database.ready:
        return
    statements = Statements("migrate.sql", schema)
    version = yield from work(database, lambda: _version(statements, schema))
    if version < len(MIGRATIONS):
        yield from work(database, lambda: _upgrade(statements, schema), atomic=True)
    database.ready.add(schema)


def _version(statements: Statements, schema: str) -> Script[int]:
    rows = yield Ask(statements["exists"], {"schema": schema})
    if not rows[0][0]:
        return 0
    rows = yield Ask(statements["version"], {})
    version = int(rows[0][0]) if rows else 0
    if version > len(MIGRATIONS):
        raise StorageCorruptError(
            f"schema {schema!r} has version {version}, and this version of ai-infra-memory knows "
            f"{len(MIGRATIONS)}; upgrade the package. Nothing was changed"
        )
    return version


def _upgrade(statements: Statements, schema: str) -> Script[None]:
    from psycopg import sql

    yield Ask(statements["take_time"], {})
    yield Ask(statements["lock"], {"name": f"ai_infra migration of {schema}"})
    # Somebody else may have done it while we waited for the lock.
    version = yield from _version(statements, schema)
    if version == len(MIGRATIONS):
        return
    if version == 0:
        yield from _create(statements, schema)
    else:
        yield from _check_owner(statements, schema, version)
    for number, file in enumerate(MIGRATIONS[version:], version + 1):
        text = sql.SQL(read(file))
        yield Ask(text.format(schema=sql.Identifier(schema)).as_bytes(None), None)
        yield Ask(statements["set_version"], {"version": str(number)})
    yield from extend(schema)


def _check_owner(statements: Statements, schema: str, version: int) -> Script[None]:
    rows: list[Any] = yield Ask(statements["owner"], {"schema": schema})
    owner, owns, role = rows[0]
    if not owns:
        raise ConfigurationError(
            f"schema {schema!r} has version {version} and needs {len(MIGRATIONS)}, and the role {role!r} does not own "
            f"its tables; upgrade it as {owner!r}: open a store with that role, or run "
            "ai_infra.storage.postgres.secure(dsn, role=…) again"
        )


def _create(statements: Statements, schema: str) -> Script[None]:
    rows: list[Any] = yield Ask(statements["rights"], {"schema": schema})
    there, may_use, may_create, role, name, encoding = rows[0]
    if encoding != "UTF8":
        raise ConfigurationError(
            f"the database {name!r} has the encoding {encoding}, which cannot hold every text; "
            "use one made with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    if there and not may_use:
        raise ConfigurationError(
            f"the role {role!r} may not create tables in schema {schema!r}; as its owner run: "
            f'GRANT USAGE, CREATE ON SCHEMA {schema} TO "{role}"'
        )
    if not there and not may_create:
        raise ConfigurationError(
            f"the role {role!r} may not create schema {schema!r} in database {name!r}; as a role that "
            "may, run: "
            f'CREATE SCHEMA {schema} AUTHORIZATION "{role}"'
        )
    if not there:
        yield Ask(statements["create"], {})
