"""Migrations, names and rights."""

from __future__ import annotations

import random
import string
import subprocess
import sys
from typing import Any

import psycopg
import pytest
from ai_infra._flow import run
from ai_infra.errors import (
    ConfigurationError,
    InvalidNamespaceError,
    InvalidTextError,
    StorageCorruptError,
)
from ai_infra.llm.conversation.memory import ConversationMemory
from ai_infra.llm.memory.store import MemoryStore
from ai_infra.llm.session import postgres
from ai_infra.storage.postgres import PostgresBackend, migrate, secure
from ai_infra.storage.postgres.conversations import PostgresConversationBackend
from ai_infra.storage.postgres.statements import MIGRATIONS, read
from psycopg import sql


class Embedder:
    """A vector of one number."""

    def embed_query(self, text: str) -> list[float]:
        return [1.0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[1.0] for _ in texts]


FIRST_START = """
import sys
from ai_infra.llm.memory.store import MemoryStore
sys.stdin.readline()
with MemoryStore.postgres(sys.argv[1]) as store:
    store.put("workers", sys.argv[2], {})
"""


def test_twenty_first_starts_migrate_once(url: str) -> None:
    workers = [
        subprocess.Popen([sys.executable, "-c", FIRST_START, url, str(n)], stdin=subprocess.PIPE)
        for n in range(20)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"\n")
        worker.stdin.close()
    assert [worker.wait(60) for worker in workers] == [0] * 20
    with MemoryStore.postgres(url) as store:
        assert store.count("workers") == 20
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT value FROM ai_infra.meta").fetchall() == [(str(len(MIGRATIONS)),)]


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_an_older_schema_is_upgraded_with_its_data_and_equals_a_fresh_one(url: str, version: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA old")
        for file in MIGRATIONS[:version]:
            connection.execute(sql.SQL(read(file)).format(schema=sql.Identifier("old")))
        connection.execute("INSERT INTO old.meta VALUES ('version', %s)", (str(version),))
        connection.execute(
            "INSERT INTO old.items (tenant, ns, key, value, doc, created_at, updated_at, version, write) "
            r"""VALUES ('', '\x6100', 'k', '{"v":1}', '{"v":1}', 1, 2, 3, gen_random_uuid())"""
        )
        with (
            MemoryStore.postgres(url, schema="old") as old,
            MemoryStore.postgres(url, schema="fresh") as fresh,
        ):
            item = old.get("a", "k")
            assert item is not None
            assert (item.value, item.version) == ({"v": 1}, 3)
            assert fresh.get("a", "k") is None
        assert shape(connection, "old") == shape(connection, "fresh")


def shape(connection: psycopg.Connection[Any], schema: str) -> list[Any]:
    """Everything that a schema consists of."""
    columns = connection.execute(
        "SELECT table_name, column_name, ordinal_position, data_type, collation_name, is_nullable, "
        "column_default, is_identity FROM information_schema.columns WHERE table_schema = %s ORDER BY 1, 3",
        (schema,),
    ).fetchall()
    indexes = connection.execute(
        "SELECT tablename, indexname, replace(indexdef, schemaname || '.', '') FROM pg_indexes "
        "WHERE schemaname = %s ORDER BY 1, 2",
        (schema,),
    ).fetchall()
    assert columns
    assert indexes
    return [columns, indexes]


def test_a_newer_schema_is_refused_and_left_alone(url: str) -> None:
    with MemoryStore.postgres(url) as store:
        store.put("a", "k", {})
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE ai_infra.meta SET value = '99'")
        for _ in range(2):
            with (
                MemoryStore.postgres(url) as store,
                pytest.raises(StorageCorruptError, match=r"version 99.*upgrade the package"),
            ):
                store.put("a", "k2", {})
        assert connection.execute("SELECT count(*) FROM ai_infra.items").fetchone() == (1,)


def test_schemas_are_apart(url: str) -> None:
    with MemoryStore.postgres(url, schema="one") as one, MemoryStore.postgres(url, schema="two") as two:
        one.put("a", "k", {"v": 1})
        assert two.get("a", "k") is None
        assert two.count() == 0


def test_the_longest_names_fit_together(url: str) -> None:
    # Nothing in here compresses, and each part costs a separator.
    dice = random.Random(1024)
    letters = string.ascii_letters + string.digits

    def text(size: int) -> str:
        return "".join(dice.choice(letters) for _ in range(size))

    longest: list[tuple[str, ...]] = [(text(1024),), tuple(text(4) for _ in range(256))]
    refused: list[tuple[str, ...]] = [(text(1025),), (*longest[0], "x"), (*longest[1], "x"), tuple(text(257))]
    with (
        MemoryStore.postgres(url, tenant=text(128), embeddings=Embedder()) as store,
        MemoryStore(embeddings=Embedder()) as local,
        postgres(url, tenant=text(128)) as sessions,
    ):
        for namespace in longest:
            key = text(1024)
            for each in (store, local):
                each.put(namespace, key, {"text": "found"})
                assert each.search(namespace, "found")[0].key == key
                assert each.delete(namespace, key)
        for namespace in refused:
            for each in (store, local):
                with pytest.raises(
                    InvalidNamespaceError, match=r"longer than 1024 bytes|more than 256 parts"
                ):
                    each.put(namespace, "k", {})
        name = text(1024)
        sessions.append(name, [{"role": "user", "content": "hi"}], turn_id=text(200))
        assert len(sessions.messages(name)) == 1


def test_an_upgrade_is_for_the_owner_and_keeps_what_was_secured(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = "ai_infra_older"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {role}")
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        with monkeypatch.context() as older:
            older.setattr(migrate, "MIGRATIONS", MIGRATIONS[:3])
            secure(url, role=role)
        app = psycopg.conninfo.make_conninfo(url, user=role, password="x")
        with (
            MemoryStore.postgres(app, tenant="acme", row_level_security=True) as store,
            pytest.raises(ConfigurationError, match=r"does not own its tables; upgrade it as .*secure"),
        ):
            store.count()
        with MemoryStore.postgres(url) as owner:
            owner.count()
        with (
            MemoryStore.postgres(app, tenant="acme", row_level_security=True) as store,
            ConversationMemory(
                PostgresConversationBackend(app, tenant="acme", row_level_security=True)
            ) as memory,
        ):
            store.put("facts", "k", {})
            memory.index_conversation("user", "one", [{"role": "user", "content": "a piano"}])
            assert memory.search("user", "piano")
        connection.execute("SET ROLE " + role)
        assert connection.execute("SELECT * FROM ai_infra.conversations").fetchall() == []
        connection.execute("RESET ROLE")
        connection.execute(f"DROP OWNED BY {role}")
        connection.execute(f"DROP ROLE {role}")


def test_a_role_without_rights_is_told_what_to_run(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS ai_infra_poor")
        connection.execute("CREATE ROLE ai_infra_poor LOGIN PASSWORD 'x'")
        poor = psycopg.conninfo.make_conninfo(url, user="ai_infra_poor", password="x")
        with MemoryStore.postgres(poor) as store:
            with pytest.raises(ConfigurationError, match="CREATE SCHEMA ai_infra AUTHORIZATION"):
                store.put("a", "k", {})
            connection.execute("CREATE SCHEMA ai_infra")
            with pytest.raises(ConfigurationError, match="GRANT USAGE, CREATE ON SCHEMA ai_infra TO"):
                store.put("a", "k", {})
            connection.execute("GRANT USAGE, CREATE ON SCHEMA ai_infra TO ai_infra_poor")
            store.put("a", "k", {})
            assert store.count() == 1
        connection.execute("DROP OWNED BY ai_infra_poor")
        connection.execute("DROP ROLE ai_infra_poor")


def test_a_database_that_cannot_hold_every_text_is_refused(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE ai_infra_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        latin = psycopg.conninfo.make_conninfo(url, dbname="ai_infra_latin")
        with MemoryStore.postgres(latin) as store, pytest.raises(ConfigurationError, match="UTF8"):
            store.put("a", "k", {})
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP DATABASE ai_infra_latin WITH (FORCE)")


def test_bad_text_is_refused_before_the_database_sees_it() -> None:
    # Nobody listens there: what raises InvalidTextError has not connected.
    store = MemoryStore.postgres("postgresql://127.0.0.1:1/db", timeout=0.2)
    for call in (
        lambda: store.put("a", "\ud800", {}),
        lambda: store.put("a", "k\x00", {}),
        lambda: store.get("a\x00", "k"),
        lambda: store.list("a", filter={"x": "\ud800"}),
    ):
        with pytest.raises(InvalidTextError):
            call()
    store.close()


def test_a_subtree_is_read_from_the_index(url: str) -> None:
    with MemoryStore.postgres(url) as store:
        store.put_many([(("user", str(n)), str(k), {"n": k}) for n in range(300) for k in range(20)])
    backend = PostgresBackend(url)
    parameters: dict[str, Any] = {"tenant": "", "now": 0, "limit": 10, "offset": 0}
    query = backend._sql.fill("select", where=backend._where(("user", "7"), True, None, parameters)[0])
    with psycopg.connect(url) as connection:
        connection.execute("ANALYZE ai_infra.items")
        plan = "\n".join(row[0] for row in connection.execute(b"EXPLAIN " + query, parameters).fetchall())
    assert "Index Scan using items_pkey" in plan
    assert "Sort" not in plan
    run(backend.close())
