"""Tenant isolation inside the database: row-level security, set up by the owner and checked by every user."""

from __future__ import annotations

from typing import Any

from ai_infra._flow import Flow, run
from ai_infra.errors import ConfigurationError
from ai_infra.storage.postgres.database import Database, share
from ai_infra.storage.postgres.dsn import Dsn
from ai_infra.storage.postgres.migrate import ensure_ready
from ai_infra.storage.postgres.policies import protect
from ai_infra.storage.postgres.statements import Statements, check_schema
from ai_infra.storage.postgres.work import Ask, Script, work


def secure(dsn: str, *, role: str, schema: str = "ai_infra") -> None:
    """Make the schema, or upgrade it, and protect its tables so that ``role`` sees one tenant at a time.

    Run it as the owner of the schema, once and again after an upgrade of this package, which may bring new tables.
    Stores then connect as ``role`` (no superuser, no owner of the schema) with ``tenant="…"`` and
    ``row_level_security=True``.

    Args:
        dsn: the connection string of the owner.
        role: an existing role, which is granted what stores need.
        schema: where the tables are.

    Raises:
        ConfigurationError: the role can see through row-level security or is not there, or an argument is wrong.
    """
    name = check_schema(schema)
    if not isinstance(role, str) or not 0 < len(role.encode("utf-8", "replace")) < 64 or "\0" in role:
        raise ConfigurationError(f"role={role!r} is no name of a role")
    database = share(Dsn(dsn), 1, 30.0, True)
    try:
        run(_check_role(database, Statements("security.sql", name), role))
        run(ensure_ready(database, name))
        run(work(database, lambda: protect(name, role), atomic=True))
    finally:
        if database.release():
            database.close()


def ensure_protected(database: Database, schema: str) -> Flow[None]:
    """Check that row-level security is on, and that this role obeys it.

    Raises:
        ConfigurationError: it does not.
    """
    statements = Statements("security.sql", schema)

    def script() -> Script[list[Any]]:
        found: list[Any] = yield Ask(statements["tables"], {"schema": schema})
        return found

    tables = yield from work(database, script)
    open_tables = [table for table, protected in tables if not protected]
    if open_tables:
        raise ConfigurationError(
            f"row-level security is not on for {', '.join(open_tables)} in schema {schema!r}; as the "
            "owner run "
            "ai_infra.storage.postgres.secure(dsn, role=…)"
        )
    yield from _check_role(database, statements, None)
    database.ready.add((schema, "secured"))


def _check_role(database: Database, statements: Statements, role: str | None) -> Flow[None]:
    """Refuse a role that row-level security does not hold for; None is the one that is connected."""

    def script() -> Script[list[Any]]:
        found: list[Any] = yield Ask(statements["role"], {"role": role})
        return found

    found = yield from work(database, script)
    if not found:
        raise ConfigurationError(
            f"there is no role {role!r} on the server; make it first: CREATE ROLE … LOGIN"
        )
    name, sees_all = found[0]
    if sees_all:
        raise ConfigurationError(
            f"the role {name!r} is a superuser or has BYPASSRLS, so it sees through row-level security; "
            "take a role that is neither"
        )
