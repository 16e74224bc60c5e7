"""Connections: shared, returned, replaced, never left in a transaction."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from ai_infra.errors import StorageClosedError, StorageError, StorageTimeoutError, StorageUnavailableError
from ai_infra.llm.memory.store import MemoryStore
from ai_infra.storage.postgres import PostgresBackend

NS = ("user", "1")


def states(url: str) -> list[str]:
    """What our connections to this database do."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT state FROM pg_stat_activity "
            "WHERE application_name = 'ai_infra' AND datname = current_database()"
        ).fetchall()
    return [row[0] for row in rows]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_idle_means_idle_and_closed_means_gone(url: str) -> None:
    async def use(store: MemoryStore) -> None:
        await store.aput(NS, "b", {})
        await asyncio.gather(*(store.aget(NS, "b") for _ in range(20)))
        assert set(states(url)) == {"idle"}
        await store.aclose()

    store = MemoryStore.postgres(url)
    store.put(NS, "a", {})
    store.get(NS, "a")
    store.list(NS)
    with pytest.raises(StorageError):
        _wrong_statement(store)
    assert set(states(url)) == {"idle"}
    asyncio.run(use(store))
    wait_until(lambda: states(url) == [])


def _wrong_statement(store: MemoryStore) -> None:
    from ai_infra._flow import run

    backend: Any = store._backend
    run(backend._ask(b"SELECT 1 / 0", {}))


def test_a_failed_statement_poisons_nothing(url: str) -> None:
    with MemoryStore.postgres(url, pool_size=1) as store:
        store.put(NS, "k", {"v": 1})
        for _ in range(5):
            with pytest.raises(StorageError, match="division by zero"):
                _wrong_statement(store)
            item = store.get(NS, "k")
            assert item is not None
            assert item.value == {"v": 1}
        assert set(states(url)) == {"idle"}


def test_killed_connections_are_replaced(url: str) -> None:
    async def use(store: MemoryStore) -> None:
        for _ in range(5):
            await asyncio.gather(*(store.aget(NS, "k") for _ in range(8)))
            kill(url)
            found = await asyncio.gather(*(store.aget(NS, "k") for _ in range(8)))
            assert all(item is not None for item in found)
        await store.aclose()

    with MemoryStore.postgres(url) as store:
        store.put(NS, "k", {})
        for _ in range(5):
            kill(url)
            assert store.get(NS, "k") is not None
        asyncio.run(use(store))


def kill(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'ai_infra' AND datname = current_database()"
        )


def test_a_connection_to_what_takes_no_writes_any_more_is_replaced(url: str) -> None:
    async def change(store: MemoryStore) -> None:
        await store.aput(NS, "k", {"v": 2})
        backend: Any = store._backend
        pool = await backend._database.apool()
        async with pool.connection() as connection:
            await connection.execute("SET default_transaction_read_only = on")
        await store.aput(NS, "k", {"v": 3})
        await store.aput_many([(NS, "k", {"v": 4}), (NS, "other", {"v": 4})])

    with MemoryStore.postgres(url, pool_size=1) as store:
        store.put(NS, "k", {"v": 0})
        backend: Any = store._backend
        with backend._database.pool().connection() as connection:
            connection.execute("SET default_transaction_read_only = on")
        store.put(NS, "k", {"v": 1})
        asyncio.run(change(store))
        item = store.get(NS, "k")
        assert item is not None
        assert item.value == {"v": 4}


def test_a_database_that_takes_no_writes_says_what_to_do(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', "
            "current_database()); END $$"
        )
    with (
        MemoryStore.postgres(url, timeout=0.3) as store,
        pytest.raises(StorageUnavailableError, match="takes no writes"),
    ):
        store.put(NS, "k", {})


def test_stores_of_one_string_share_a_pool(url: str) -> None:
    stores = [MemoryStore.postgres(url, schema=f"s{n % 3}", pool_size=3) for n in range(9)]
    threads = [threading.Thread(target=store.put, args=(NS, "k", {})) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(states(url)) <= 3
    for store in stores[1:]:
        store.close()
    with pytest.raises(StorageClosedError):
        stores[1].get(NS, "k")
    assert stores[0].get(NS, "k") is not None
    stores[0].close()
    wait_until(lambda: states(url) == [])


def test_a_pool_that_runs_out_says_so(url: str) -> None:
    with MemoryStore.postgres(url, pool_size=2, timeout=0.6) as store:
        store.put(NS, "k", {})
        backend: Any = store._backend
        pool = backend._database.pool()
        refusal = pytest.raises(
            StorageTimeoutError, match=r"all 2 connections of the pool .* raise pool_size"
        )
        with pool.connection(), pool.connection(), refusal:
            store.get(NS, "k")
        assert store.get(NS, "k") is not None


def test_a_cancelled_statement_leaves_nothing_half_written(url: str) -> None:
    with MemoryStore.postgres(url) as store, psycopg.connect(url, autocommit=True) as other:
        store.put(NS, "0", {"v": "before"})
        # The batch must wait for this row, after it has written the ones before it.
        other.execute("BEGIN")
        other.execute("UPDATE ai_infra.items SET version = version WHERE key = '0'")
        failures: list[BaseException] = []

        def write() -> None:
            try:
                store.put_many(
                    [(("user", "0"), str(n), {"v": n}) for n in range(500)] + [(NS, "0", {"v": "after"})]
                )
            except StorageError as error:
                failures.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        with psycopg.connect(url, autocommit=True) as third:
            waiting = "FROM pg_stat_activity WHERE application_name = 'ai_infra' AND wait_event_type = 'Lock'"
            wait_until(lambda: third.execute(f"SELECT 1 {waiting}").fetchone() is not None)
            third.execute(f"SELECT pg_cancel_backend(pid) {waiting}")
        thread.join()
        other.execute("ROLLBACK")
        assert isinstance(failures[0], StorageTimeoutError)
        assert "cancelled" in str(failures[0])
        assert store.count() == 1
        item = store.get(NS, "0")
        assert item is not None
        assert item.value == {"v": "before"}


@pytest.mark.parametrize("face", ["sync", "async"])
def test_no_statement_outlives_its_operation(url: str, face: str) -> None:
    with psycopg.connect(url) as other, MemoryStore.postgres(url, timeout=1) as store:
        store.put(NS, "k", {"v": 1})
        # Nobody waits for this lock longer than the operation may take.
        other.execute("LOCK TABLE ai_infra.items")
        get = store.get if face == "sync" else lambda *place: asyncio.run(store.aget(*place))
        with pytest.raises(StorageTimeoutError, match=r"statement timeout.*Raise timeout"):
            get(NS, "k")
        other.rollback()
        assert store.get(NS, "k") is not None


def test_a_cancelled_task_leaves_all_or_nothing(url: str) -> None:
    dice = random.Random(26)

    async def use(store: MemoryStore) -> None:
        for turn in range(30):
            space = ("turn", str(turn))
            task = asyncio.create_task(store.aput_many([(space, str(n), {}) for n in range(400)]))
            await asyncio.sleep(dice.random() * 0.03)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await store.acount(space) in (0, 400)
        assert set(states(url)) == {"idle"}
        await store.aclose()

    store = MemoryStore.postgres(url)
    asyncio.run(use(store))


def test_event_loops_come_and_go(url: str) -> None:
    store = MemoryStore.postgres(url)
    for turn in range(4):
        asyncio.run(store.aput(NS, str(turn), {}))
    assert store.count(NS) == 4
    store.close()
    wait_until(lambda: states(url) == [])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_uses_connections_of_its_own(url: str) -> None:
    with MemoryStore.postgres(url) as store:
        store.put(NS, "parent", {})
        asyncio.run(store.aput(NS, "loop", {}))
        children = []
        for number in range(3):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    for turn in range(20):
                        store.put(NS, f"{number}-{turn}", {})
                    status = 0 if store.get(NS, "parent") is not None else 2
                finally:
                    os._exit(status)
            children.append(child)
            store.put(NS, f"parent-{number}", {})
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
        assert store.count(NS) == 2 + 3 * 21


def test_only_the_databases_clock_counts(url: str) -> None:
    behind = MemoryStore(backend=PostgresBackend(url), clock=lambda: time.time() - 7200)
    ahead = MemoryStore(backend=PostgresBackend(url), clock=lambda: time.time() + 7200)
    for writer in (behind, ahead):
        writer.put(NS, "k", {"v": 1}, ttl=3600)
        for store in (behind, ahead):
            assert store.get(NS, "k") is not None
            assert store.sweep() == 0
            store.purge()
            assert len(store.list(NS)) == 1
        item = behind.get(NS, "k")
        assert item is not None
        assert item.expires_at is not None
        assert abs(item.expires_at.timestamp() - time.time() - 3600) < 300
    behind.put(NS, "gone", {}, ttl=0.001)
    time.sleep(0.05)
    assert ahead.get(NS, "gone") is None
    with MemoryStore.postgres(url) as store:
        assert (store.sweep(), store.count()) == (1, 1)
    behind.close()
    ahead.close()


def test_a_loop_ends_while_a_connection_is_being_made(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore.postgres(url)
    store.put("facts", "k", {"v": 1})

    async def main() -> None:
        connecting = asyncio.Event()

        async def connect(cls: Any, *args: Any, **options: Any) -> Any:
            connecting.set()
            await asyncio.sleep(3600)

        monkeypatch.setattr(psycopg.AsyncConnection, "connect", classmethod(connect))
        waiting = asyncio.create_task(store.aget("facts", "k"))
        await connecting.wait()
        waiting.cancel()

    loop = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    loop.start()
    loop.join(60)
    assert not loop.is_alive()
    store.close()


def test_a_cancelled_attempt_leaves_no_connection_to_whoever_keeps_the_error(url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, MemoryStore.postgres(url) as store:
        backend: Any = store._backend
        watched = backend._database._watched(True)
        server.settimeout(20)

        async def connect() -> None:
            try:
                await watched.connect(f"host=127.0.0.1 port={server.getsockname()[1]} sslmode=disable")
            except asyncio.CancelledError as error:
                kept.append(error)

        async def main() -> None:
            attempt = asyncio.create_task(connect())
            peer, _ = await asyncio.to_thread(server.accept)
            peers.append(peer)
            assert await asyncio.to_thread(peer.recv, 1_000)
            attempt.cancel()
            await attempt

        kept: list[BaseException] = []
        peers: list[socket.socket] = []
        asyncio.run(main())
        with peers[0] as peer:
            peer.settimeout(5)
            assert peer.recv(1_000) == b""  # closed, though the error is still here
        assert len(kept) == 1
