"""What every backend on PostgreSQL has: its connections, its schema, its tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ai_infra._checks import shown
from ai_infra._core import check_key
from ai_infra._flow import Call, Flow
from ai_infra.errors import ConfigurationError, StorageClosedError
from ai_infra.storage.postgres.database import share
from ai_infra.storage.postgres.dsn import Dsn
from ai_infra.storage.postgres.migrate import ensure_ready
from ai_infra.storage.postgres.security import ensure_protected
from ai_infra.storage.postgres.statements import Statements, check_schema
from ai_infra.storage.postgres.work import Ask, Script, Work

T = TypeVar("T")


class PostgresBase:
    """A backend in one schema of a PostgreSQL database that any number of processes share.

    Nothing is connected before the first operation, which also brings the schema up to date.

    Args:
        dsn: a URL or a libpq connection string.
        file: the SQL file of this backend.
        schema: where the tables are; made if there is none.
        tenant: whose rows these are; a backend sees no other tenant's. Empty: without tenants.
        row_level_security: tell the database, too, whose rows these are, in every transaction; the schema
            must have been prepared with :func:`~ai_infra.storage.postgres.secure`.
        pool_size: connections at most, for the sync callers and for each event loop; backends of one
            connection string share them, and the largest size counts.
        timeout: seconds for a whole operation, with waiting for a connection and with new attempts after the
            server went away.
        prepare: prepare statements that are run often; False behind a pooler that cannot (PgBouncer before
            1.21).
        caller_clock: follow the clock of the caller in place of the database's; for tests.
    """

    def __init__(
        self,
        dsn: str,
        file: str,
        *,
        schema: str = "ai_infra",
        tenant: str = "",
        row_level_security: bool = False,
        pool_size: int = 10,
        timeout: float = 30.0,
        prepare: bool = True,
        caller_clock: bool = False,
    ) -> None:
        parsed = Dsn(dsn)
        self._schema = check_schema(schema)
        self._tenant = _check_tenant(tenant)
        if row_level_security and not tenant:
            raise ConfigurationError(
                "row_level_security=True needs a tenant: pass tenant='…', and not an empty one"
            )
        self._secured = row_level_security
        self._caller_clock = caller_clock
        self._sql = Statements(file, self._schema, caller_clock=caller_clock)
        self._database = share(parsed, pool_size, timeout, prepare)
        self._closed = False

    def close(self) -> Flow[None]:
        """Close; the connections go with the last backend that shares them."""
        if self._closed:
            return
        self._closed = True
        if self._database.release():
            yield Call(self._database.close, self._database.aclose)

    def _ask(self, query: bytes, parameters: dict[str, Any]) -> Flow[list[Any]]:
        """Run one statement; its rows."""
        parameters["tenant"] = self._tenant

        def script() -> Script[list[Any]]:
            rows: list[Any] = yield Ask(query, parameters)
            return rows

        return self._work(script)

    def _work(self, script: Callable[[], Script[T]], *, atomic: bool = False) -> Flow[T]:
        """Run a script, in a transaction of its own if it is ``atomic``."""
        yield from self._open()
        tenant = self._tenant if self._secured else None
        answer: T = yield Work(self._database, script, atomic=atomic, tenant=tenant)
        return answer

    def _open(self) -> Flow[None]:
        if self._closed:
            raise StorageClosedError("the store was closed; open a new one")
        if self._schema not in self._database.ready:
            yield from ensure_ready(self._database, self._schema)
        if self._secured and (self._schema, "secured") not in self._database.ready:
            yield from ensure_protected(self._database, self._schema)


def _check_tenant(tenant: Any) -> str:
    if isinstance(tenant, str) and not tenant:
        return ""
    if not isinstance(tenant, str) or len(tenant.encode("utf-8", "replace")) > 128:
        raise ConfigurationError(f"tenant={shown(tenant)} is no name of up to 128 bytes")
    return check_key(tenant, "tenant")
