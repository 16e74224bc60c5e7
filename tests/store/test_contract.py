"""The backend contract, on every backend there is."""

from __future__ import annotations

import os
from pathlib import Path

from ai_infra.llm.memory.store import MemoryStore
from ai_infra.testing.contract import Clock, StoreContract, machine
from hypothesis import settings

NIGHTLY = bool(os.environ.get("AI_INFRA_NIGHTLY"))


def in_memory(clock: Clock, place: Path) -> MemoryStore:
    return MemoryStore(clock=clock)


def in_sqlite(clock: Clock, place: Path) -> MemoryStore:
    return MemoryStore.sqlite(place / "store.db", clock=clock)


class TestMemory(StoreContract):
    def open_store(self, clock: Clock, place: Path) -> MemoryStore:
        return in_memory(clock, place)


class TestSqlite(StoreContract):
    def open_store(self, clock: Clock, place: Path) -> MemoryStore:
        return in_sqlite(clock, place)


def _settings(examples: int) -> settings:
    # 50 steps an example; the nightly run does ten times as many, from other seeds.
    return settings(
        max_examples=examples * (10 if NIGHTLY else 1),
        stateful_step_count=50,
        deadline=None,
        derandomize=not NIGHTLY,
    )


TestMemoryMachine = machine(in_memory, durable=False).TestCase
TestMemoryMachine.settings = _settings(300)
TestSqliteMachine = machine(in_sqlite, durable=True).TestCase
TestSqliteMachine.settings = _settings(300)
