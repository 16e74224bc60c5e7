"""The contract of a storage backend, on PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from ai_infra.llm.memory.store import MemoryStore
from ai_infra.testing.contract import Clock, StoreContract, machine
from hypothesis import settings

from tests.postgres.server import Databases

NIGHTLY = bool(os.environ.get("AI_INFRA_NIGHTLY"))

makers: list[Databases] = []


@pytest.fixture(autouse=True, scope="module")
def _maker(databases: Databases) -> Iterator[None]:
    makers.append(databases)
    yield
    makers.clear()


def in_postgres(clock: Clock, place: Path) -> MemoryStore:
    return MemoryStore.postgres(**makers[0].schema(place), clock=clock, pool_size=4)


def in_the_database(clock: Clock, place: Path) -> MemoryStore:
    """Every namespace as if it were too large for a process."""
    given = makers[0].schema(place)
    with psycopg.connect(given["dsn"], autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    return MemoryStore.postgres(**given, clock=clock, pool_size=4, in_database_from=1)


class TestPostgresInTheDatabase(StoreContract):
    def open_store(self, clock: Clock, place: Path) -> MemoryStore:
        return in_the_database(clock, place)

    if not NIGHTLY:  # a hundred thousand searches
        test_look_alike_tenants_never_meet = None  # type: ignore[assignment]


class TestPostgres(StoreContract):
    def open_store(self, clock: Clock, place: Path) -> MemoryStore:
        return in_postgres(clock, place)


TestPostgresInTheDatabaseMachine = machine(in_the_database, durable=True).TestCase
TestPostgresInTheDatabaseMachine.settings = settings(
    max_examples=20 * (10 if NIGHTLY else 1),
    stateful_step_count=50,
    deadline=None,
    derandomize=not NIGHTLY,
)

TestPostgresMachine = machine(in_postgres, durable=True).TestCase
TestPostgresMachine.settings = settings(
    max_examples=100 * (10 if NIGHTLY else 1),
    stateful_step_count=50,
    deadline=None,
    derandomize=not NIGHTLY,
)
