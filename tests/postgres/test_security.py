"""Row-level security: what a connection of one tenant can do, even with SQL written by hand."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import psycopg
import pytest
from ai_infra.errors import ConfigurationError
from ai_infra.llm.memory.store import MemoryStore
from ai_infra.storage.postgres import secure

TABLES = (
    *("items", "vectors", "removals", "embedders", "sessions", "session_messages", "session_turns"),
    *("conversation_users", "conversations", "conversation_messages", "conversation_vectors"),
    "conversation_embedders",
)
ROLE = (
    f"ai_infra_app_{os.getpid()}"  # roles belong to the server, which other processes of this run may share
)


@pytest.fixture
def app(url: str) -> Iterator[str]:
    """The connection string of a role that is not the owner, in a protected schema."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {ROLE}")
        connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'x'")
    secure(url, role=ROLE)
    yield psycopg.conninfo.make_conninfo(url, user=ROLE, password="x")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {ROLE}")
        connection.execute(f"DROP ROLE {ROLE}")


def test_tenants_are_apart_for_hand_written_sql_too(app: str, url: str) -> None:
    stores = [MemoryStore.postgres(app, tenant=name, row_level_security=True) for name in ("acme", "bolt")]
    for store in stores:
        store.put_many([("facts", str(n), {"n": n}) for n in range(5)])
        asyncio.run(store.aput("facts", "k", {}, ttl=100))
    a, b = stores
    assert a.clear("facts", recursive=True) == 6
    assert (a.count(), b.count()) == (0, 6)
    with psycopg.connect(app, autocommit=True) as connection:
        for setting in (None, "", "acme", "nobody"):
            with connection.transaction():
                if setting is not None:
                    connection.execute("SELECT set_config('ai_infra.tenant', %s, true)", (setting,))
                for table in TABLES:
                    seen = connection.execute(f"SELECT DISTINCT tenant FROM ai_infra.{table}").fetchall()
                    assert seen in ([], [("acme",)] if setting == "acme" else [])
                assert connection.execute("DELETE FROM ai_infra.items").rowcount == 0
                assert connection.execute("UPDATE ai_infra.items SET version = 9").rowcount == 0
        # Neither can anybody write for another tenant, or for none.
        for setting, tenant in (("acme", "bolt"), ("", ""), ("acme", "")):
            write = (
                "WITH setting AS (SELECT set_config('ai_infra.tenant', %s, true)) INSERT INTO ai_infra.items "
                "(tenant, ns, key, value, doc, created_at, updated_at, version, write) "
                r"SELECT %s, '\x6100', 'k', '{}', '{}', 1, 1, 1, gen_random_uuid() FROM setting"
            )
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(write, (setting, tenant))
        # The setting ends with the transaction.
        assert connection.execute(
            "SELECT nullif(current_setting('ai_infra.tenant', true), '')"
        ).fetchone() == (None,)
    assert b.count() == 6
    for store in stores:
        store.close()


def test_the_owner_obeys_too(app: str, url: str) -> None:
    with MemoryStore.postgres(app, tenant="acme", row_level_security=True) as store:
        store.put("facts", "k", {})
    with psycopg.connect(url, autocommit=True) as connection:
        for table in TABLES:
            forced = connection.execute(
                "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %s::regclass",
                (f"ai_infra.{table}",),
            ).fetchone()
            assert forced == (True, True)
        connection.execute("CREATE ROLE ai_infra_owner")
        connection.execute("GRANT USAGE ON SCHEMA ai_infra TO ai_infra_owner")
        connection.execute("ALTER TABLE ai_infra.items OWNER TO ai_infra_owner")
        connection.execute("SET ROLE ai_infra_owner")
        assert connection.execute("SELECT * FROM ai_infra.items").fetchall() == []
        connection.execute("RESET ROLE")
        connection.execute("REASSIGN OWNED BY ai_infra_owner TO current_user")
        connection.execute("DROP OWNED BY ai_infra_owner")
        connection.execute("DROP ROLE ai_infra_owner")


def test_a_pooled_connection_carries_no_tenant_over(app: str) -> None:
    with (
        MemoryStore.postgres(app, tenant="acme", row_level_security=True, pool_size=1) as a,
        MemoryStore.postgres(app, tenant="bolt", row_level_security=True, pool_size=1) as b,
    ):
        for turn in range(20):
            a.put("facts", str(turn), {"owner": "acme"})
            b.put("facts", str(turn), {"owner": "bolt"})
            assert {item.value["owner"] for item in a.list("facts")} == {"acme"}
            assert {item.value["owner"] for item in b.list("facts")} == {"bolt"}


def test_a_role_that_sees_everything_is_refused(app: str, url: str) -> None:
    with (
        MemoryStore.postgres(url, tenant="acme", row_level_security=True) as store,
        pytest.raises(ConfigurationError, match="sees through row-level security"),
    ):
        store.get("facts", "k")


@pytest.mark.parametrize("kind", ["SUPERUSER", "BYPASSRLS", ""])
def test_no_role_is_granted_what_it_could_see_through(url: str, kind: str) -> None:
    role = f"{ROLE}_seer"
    with psycopg.connect(url, autocommit=True) as connection:
        if kind:
            connection.execute(f"CREATE ROLE {role} {kind}")
        try:
            said = (
                "sees through row-level security; take a role" if kind else "there is no role .* CREATE ROLE"
            )
            with pytest.raises(ConfigurationError, match=f"{role}.*{said}" if kind else said):
                secure(url, role=role)
            made = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'ai_infra'").fetchone()
            assert made is None
        finally:
            connection.execute(f"DROP ROLE IF EXISTS {role}")


def test_an_unprotected_schema_is_refused(url: str) -> None:
    with (
        MemoryStore.postgres(url, tenant="acme", row_level_security=True) as store,
        pytest.raises(ConfigurationError, match=r"row-level security is not on for .*\bitems\b"),
    ):
        store.get("facts", "k")


def test_tenants_without_row_level_security_are_apart(url: str) -> None:
    with (
        MemoryStore.postgres(url, tenant="a") as a,
        MemoryStore.postgres(url, tenant="b") as b,
        MemoryStore.postgres(url) as none,
    ):
        a.put(("facts", "x"), "k", {"owner": "a"})
        b.put(("facts", "x"), "k", {"owner": "b"})
        for store in (a, b):
            assert len(store.list("facts", recursive=True)) == store.count() == 1
            assert store.list_namespaces() == [("facts", "x")]
        assert none.count() == 0
        assert none.clear("facts", recursive=True) == 0
        assert none.sweep() == 0
        assert a.delete(("facts", "x"), "k")
        assert b.count() == 1
