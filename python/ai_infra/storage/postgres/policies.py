"""The grants and policies of row-level security, given by :func:`.secure` and kept by every migration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ai_infra.storage.postgres.statements import Statements
from ai_infra.storage.postgres.work import Ask, Script

if TYPE_CHECKING:
    from psycopg import sql


def protect(schema: str, role: str) -> Script[None]:
    """Protect every table of ours, and grant ``role`` what a store needs."""
    from psycopg import sql

    statements = Statements("security.sql", schema)
    grantee = sql.Identifier(role)
    yield Ask(statements.fill("grant", role=grantee), None)
    yield Ask(statements.fill("grant_sequences", role=grantee), None)
    tables: list[Any] = yield Ask(statements["tables"], {"schema": schema})
    for table, _ in tables:
        part: dict[str, sql.Composable] = {"table": sql.Identifier(table)}
        yield Ask(statements.fill("protect", **part), None)
        yield Ask(statements.fill("grant_table", role=grantee, **part), None)


def extend(schema: str) -> Script[None]:
    """After a migration: what holds for the tables that were there before holds for the new ones."""
    statements = Statements("security.sql", schema)
    tables: list[Any] = yield Ask(statements["tables"], {"schema": schema})
    if not any(protected for _, protected in tables):
        return
    roles: list[Any] = yield Ask(statements["roles"], {"schema": schema})
    for (role,) in roles:
        yield from protect(schema, role)
