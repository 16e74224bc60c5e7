"""The connections to one server, shared by every store of one connection string in this process.

Sync callers share one pool; each event loop has one of its own. Connections are in autocommit mode: one
statement is one transaction and one round trip, and none is ever left "idle in transaction". A forked child
leaves the parent's connections alone and opens its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

from ai_infra.errors import ConfigurationError, StorageClosedError
from ai_infra.storage.postgres.dsn import Dsn
from ai_infra.storage.postgres.failures import Failure, judge_connecting

if TYPE_CHECKING:
    from psycopg import AsyncConnection, Connection
    from psycopg_pool import AsyncConnectionPool, ConnectionPool

NEAREST = 200
"""Vectors that the usual question to an index over vectors asks for."""
SETTINGS = (
    b"SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; "
    b"SET hnsw.ef_search = 200; SET hnsw.iterative_scan = strict_order; SET hnsw.max_scan_tuples = 2000000; "
)
"""Plans are made once: every statement finds its rows by a key or an index, whatever its parameters, and making a plan
takes longer than most of them run. A plan may be made while a table is empty: so that it is right when it is full,
tables are not read from end to end where an index would do. Those of ``hnsw`` are pgvector's, and mean nothing where it
is not."""
_shared: dict[Any, Database] = {}
_guard = threading.Lock()
# What the pool logs of a server that is away is in our errors as well: where nobody has set logging up, it is not
# printed a second time.
logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())
_left_behind: list[Any] = []
"""Pools of a parent process. They are kept for ever: to collect them would be to use them."""


def share(dsn: Dsn, pool_size: int, timeout: float, prepare: bool) -> Database:
    """The database of this connection string; every call needs one :meth:`Database.release`."""
    if isinstance(pool_size, bool) or not isinstance(pool_size, int) or not 1 <= pool_size <= 1000:
        raise ConfigurationError(f"pool_size={pool_size!r} is no number of connections; pass 1 to 1000")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= 86_400:
        raise ConfigurationError(
            f"timeout={timeout!r} is no number of seconds; pass more than 0, up to a day"
        )
    with _guard:
        key = (dsn.identity, timeout, prepare)
        database = _shared.get(key)
        if database is None:
            database = _shared[key] = Database(key, dsn, pool_size, timeout, prepare)
        database.hold(pool_size)
        return database


def _forget_all() -> None:
    global _guard
    _guard = threading.Lock()
    for database in _shared.values():
        database.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


class Database:
    """Pools for one connection string."""

    def __init__(self, key: Any, dsn: Dsn, pool_size: int, timeout: float, prepare: bool) -> None:
        self._key = key
        self._users = 0
        self.prepares = prepare
        self.dsn = dsn
        self.size = pool_size
        self.timeout = float(timeout)
        self.refusal: Failure | None = None
        """Why the last attempt to connect failed; None once one succeeded."""
        self.closed = False
        self.ready: set[Any] = set()
        """The schemas that were found, or brought, up to date."""
        self.forget()

    def forget(self) -> None:
        """In a forked child: start anew, without a word to the parent's connections."""
        if getattr(self, "_pool", None) is not None or getattr(self, "_pools", None):
            _left_behind.append((self._pool, list(self._pools.items()), list(self._open)))
        self._lock = threading.Lock()
        self._pool: ConnectionPool[Connection[Any]] | None = None
        self._pools: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, AsyncConnectionPool[AsyncConnection[Any]]
        ] = weakref.WeakKeyDictionary()
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()

    def hold(self, pool_size: int) -> None:
        """Count one more user, who wants so many connections."""
        self._users += 1
        if pool_size > self.size:
            self.size = pool_size
            if self._pool is not None:
                self._pool.resize(0, pool_size)

    # Pools --------------------------------------------------------------------------------------------------

    def pool(self) -> ConnectionPool[Connection[Any]]:
        """The pool of the sync callers, opened at the first call."""
        pool = self._pool
        if pool is None:
            with self._lock:
                pool = self._pool
                if pool is None:
                    self._check_open()
                    from psycopg_pool import ConnectionPool

                    pool = ConnectionPool(
                        connection_class=self._watched(False),
                        configure=self._configure,
                        open=False,
                        **self._options(),
                    )
                    pool.open()
                    self._pool = pool
        return pool

    async def apool(self) -> AsyncConnectionPool[AsyncConnection[Any]]:
        """The pool of the running event loop, opened at the first call."""
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            self._check_open()
            from psycopg_pool import AsyncConnectionPool

            async def opened(connection: AsyncConnection[Any]) -> None:
                self._open.add(connection)
                if self.prepares:
                    try:
                        await connection.execute(self._settings())
                    except BaseException as error:
                        connection.pgconn.finish()  # the pool does not close what it could not configure
                        if isinstance(error, asyncio.CancelledError):
                            _insist_later()
                        raise

            self._bury()
            pool = AsyncConnectionPool(
                connection_class=self._watched(True), configure=opened, open=False, **self._options()
            )
            self._pools[loop] = pool
            await pool.open()
        return pool

    def _configure(self, connection: Connection[Any]) -> None:
        self._open.add(connection)
        if self.prepares:
            try:
                connection.execute(self._settings())
            except BaseException:
                connection.pgconn.finish()  # the pool does not close what it could not configure
                raise

    def _settings(self) -> bytes:
        """What holds for a connection. Behind a pooler it would stay with it, for others.

        No statement outlives the operation it belongs to.
        """
        return SETTINGS + b"SET statement_timeout = %d" % max(1, round(self.timeout * 1000))

    def _options(self) -> dict[str, Any]:
        given = self.dsn.parameters
        milliseconds = str(round(self.timeout * 1000))
        wanted = {
            "application_name": "ai_infra",
            "connect_timeout": "10",
            "keepalives_idle": "30",
            "keepalives_interval": "10",
            "keepalives_count": "3",
            "tcp_user_timeout": milliseconds,
        }
        # In the database's own encoding nothing could be lost, but not everything could be said.
        fixed = {"client_encoding": "utf8", "autocommit": True}
        if not self.prepares:
            fixed["prepare_threshold"] = None
        return {
            "kwargs": {**wanted, **given, **fixed},
            "min_size": 0,
            "max_size": self.size,
            "timeout": self.timeout,
            "max_idle": 600,
            # The pool's own attempts back off for seconds; ours, in work.py, look again sooner.
            "reconnect_timeout": 0.05,
        }

    def _watched(self, is_async: bool) -> Any:
        """A connection class that remembers why a connection could not be made."""
        import psycopg

        database = self
        if is_async:

            class Watched(psycopg.AsyncConnection[Any]):
                @classmethod
                async def connect(cls, *args: Any, **options: Any) -> Any:
                    try:
                        connection = await super().connect(*args, **options)
                    except psycopg.Error as error:
                        database.refusal = judge_connecting(error, database.dsn)
                        raise
                    except asyncio.CancelledError as error:
                        _insist_later()
                        # The pool logs it. Whoever keeps what was logged would keep, in the frames behind it, a
                        # connection that is half made, which stays open as long.
                        raise error.with_traceback(None) from None
                    database.refusal = None
                    return connection

            return Watched

        class WatchedSync(psycopg.Connection[Any]):
            @classmethod
            def connect(cls, *args: Any, **options: Any) -> Any:
                try:
                    connection = super().connect(*args, **options)
                except psycopg.Error as error:
                    database.refusal = judge_connecting(error, database.dsn)
                    raise
                database.refusal = None
                return connection

        return WatchedSync

    # Closing ------------------------------------------------------------------------------------------------

    def release(self) -> bool:
        """Count one user less; True for the last, who has to close."""
        with _guard:
            self._users -= 1
            if self._users > 0:
                return False
            if _shared.get(self._key) is self:
                del _shared[self._key]
            return True

    def _check_open(self) -> None:
        if self.closed:
            raise StorageClosedError("the connections were closed; open a new store")

    def close(self) -> None:
        """Close all pools that can be closed from a thread."""
        with self._lock:
            self.closed = True
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()
        for loop, other in list(self._pools.items()):
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(other.close(), loop)
            else:
                self._finish(other)
        self._pools.clear()

    async def aclose(self) -> None:
        """Close all pools from a running loop."""
        self.closed = True
        own = self._pools.pop(asyncio.get_running_loop(), None)
        if own is not None:
            await own.close()
        await asyncio.to_thread(self.close)

    def _bury(self) -> None:
        """Close what is left of loops that have ended."""
        for loop, pool in list(self._pools.items()):
            if loop.is_closed():
                self._finish(pool)
                del self._pools[loop]

    def _finish(self, pool: Any) -> None:
        """Close the idle connections of a pool whose loop does not run: nobody can await for it."""
        for connection in list(self._open):
            if getattr(connection, "_pool", None) in (None, pool) and connection in getattr(
                pool, "_pool", ()
            ):
                connection.pgconn.finish()


def _insist_later() -> None:
    """From a worker of a pool that was cancelled while it made a connection: cancel until all the pool's tasks end.

    The worker takes it for a failure to connect and goes on, and before Python 3.12 what it tells the pool's scheduler
    then may make that one lose its cancellation, too. The end of a loop cancels each task only once, and waits for it.
    """
    worker = asyncio.current_task()
    if worker is not None:
        pool = worker.get_name().rpartition("-worker")[0]
        asyncio.get_running_loop().call_later(0.05, _insist, f"{pool}-")


def _insist(pool: str) -> None:
    loop = asyncio.get_running_loop()
    left = [task for task in asyncio.all_tasks() if task.get_name().startswith(pool) and task.cancelling()]
    for task in left:
        task.cancel()
    if left:
        loop.call_later(0.05, _insist, pool)
