"""One piece of work on a database, in both worlds: a script of statements, run as a transaction, and again.

A script is a generator that yields :class:`Ask` and receives the rows, or :class:`Compute` and receives the
answer. It is made anew for each attempt, so it must hold no state; what it writes must be recognisable to a second
attempt (the ``write`` column), because a connection that breaks during COMMIT leaves open whether the transaction
happened.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Generator
from typing import Any, Generic, NamedTuple, TypeVar

from ai_infra._flow import Flow
from ai_infra.errors import AIInfraError, StorageTimeoutError
from ai_infra.storage.postgres.database import Database
from ai_infra.storage.postgres.failures import Cure, judge
from ai_infra.storage.postgres.statements import Statements

T = TypeVar("T")
SLICE = 0.25
"""Seconds to wait for a connection before looking whether the server is there at all."""


class Ask(NamedTuple):
    """A statement, and what it is run with."""

    query: bytes
    parameters: dict[str, Any] | None
    """None for a file of several statements."""


class Compute(NamedTuple):
    """Something to be done between two statements; on a thread, where it would hold an event loop up."""

    call: Callable[[], Any]


Script = Generator[Ask | Compute, Any, T]


class Attempts:
    """When to try again: at once after a lost connection, then ever more slowly, until the deadline."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._start = time.monotonic()
        self._deadline = self._start + database.timeout
        self._pause = 0.0

    def patience(self) -> float:
        """Seconds to wait for a connection this time."""
        return max(0.001, min(SLICE, self._deadline - time.monotonic()))

    def after(self, error: BaseException) -> float | AIInfraError:
        """Seconds to wait before the next attempt, or the error to raise."""
        import psycopg_pool

        late = time.monotonic() >= self._deadline
        if isinstance(error, psycopg_pool.PoolTimeout):
            refusal = self._database.refusal
            if refusal is None:
                return self._exhausted() if late else 0.0
            return refusal.error if late or refusal.cure is Cure.NOTHING else 0.02
        failure = judge(error, self._database.dsn)
        if late or failure.cure is Cure.NOTHING:
            return failure.error
        pause = self._pause
        self._pause = min(0.25, pause * 2 + 0.01)
        return pause * random.uniform(0.5, 1.0)

    def _exhausted(self) -> AIInfraError:
        waited = time.monotonic() - self._start
        return StorageTimeoutError(
            f"all {self._database.size} connections of the pool to {self._database.dsn.name} were in use for "
            f"{waited:.1f} s; raise pool_size, or run fewer operations at the same time"
        )


class Work(Generic[T]):
    """A request of a flow: run a script to its end.

    Args:
        database: where.
        script: makes the script of one attempt.
        atomic: wrap its statements in one transaction; a script of one statement needs none.
        tenant: what row-level security lets through, set for the length of the transaction.
    """

    __slots__ = ("_atomic", "_database", "_script")

    def __init__(
        self,
        database: Database,
        script: Callable[[], Script[T]],
        *,
        atomic: bool = False,
        tenant: str | None = None,
    ) -> None:
        self._database = database
        self._script = script if tenant is None else lambda: _for_tenant(tenant, script)
        self._atomic = atomic or tenant is not None

    def run(self) -> T:
        """Run it, blocking."""
        import psycopg

        attempts = Attempts(self._database)
        while True:
            try:
                with self._database.pool().connection(attempts.patience()) as connection:
                    try:
                        if self._atomic:
                            with connection.transaction():
                                return self._drive(connection)
                        return self._drive(connection)
                    except psycopg.errors.ReadOnlySqlTransaction:
                        # What was the primary when this was opened need not be it now: the next attempt looks again.
                        connection.close()
                        raise
            except psycopg.Error as error:
                verdict = attempts.after(error)
            if isinstance(verdict, AIInfraError):
                raise verdict
            time.sleep(verdict)

    async def arun(self) -> T:
        """Run it, without blocking the event loop."""
        import psycopg

        attempts = Attempts(self._database)
        while True:
            try:
                pool = await self._database.apool()
                async with pool.connection(attempts.patience()) as connection:
                    try:
                        if self._atomic:
                            async with connection.transaction():
                                return await self._adrive(connection)
                        return await self._adrive(connection)
                    except psycopg.errors.ReadOnlySqlTransaction:
                        await connection.close()
                        raise
            except psycopg.Error as error:
                verdict = attempts.after(error)
            if isinstance(verdict, AIInfraError):
                raise verdict
            await asyncio.sleep(verdict)

    def _drive(self, connection: Any) -> T:
        script = self._script()
        try:
            ask = next(script)
            while True:
                if isinstance(ask, Compute):
                    ask = script.send(ask.call())
                    continue
                cursor = connection.execute(ask.query, ask.parameters, binary=ask.parameters is not None)
                ask = script.send(cursor.fetchall() if _has_rows(cursor) else [])
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            script.close()

    async def _adrive(self, connection: Any) -> T:
        script = self._script()
        try:
            ask = next(script)
            while True:
                if isinstance(ask, Compute):
                    ask = script.send(await asyncio.to_thread(ask.call))
                    continue
                cursor = await connection.execute(
                    ask.query, ask.parameters, binary=ask.parameters is not None
                )
                ask = script.send(await cursor.fetchall() if _has_rows(cursor) else [])
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            script.close()


def _has_rows(cursor: Any) -> bool:
    """Whether a statement answers with rows; ``cursor.description`` would describe every column to say so."""
    result = cursor.pgresult
    return result is not None and result.nfields > 0


def work(database: Database, script: Callable[[], Script[T]], *, atomic: bool = False) -> Flow[T]:
    """The flow of one :class:`Work`."""
    answer: T = yield Work(database, script, atomic=atomic)
    return answer


def _for_tenant(tenant: str, script: Callable[[], Script[T]]) -> Script[T]:
    yield Ask(Statements("security.sql", "unused")["set_tenant"], {"tenant": tenant})
    return (yield from script())
