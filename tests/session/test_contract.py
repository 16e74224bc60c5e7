"""The contract of session backends, on every backend of this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ai_infra.errors import ConfigurationError
from ai_infra.llm.session import SessionStore, memory, sqlite
from ai_infra.testing.sessions import SessionContract
from ai_infra.testing.sessions_machine import machine
from hypothesis import settings


class TestMemory(SessionContract):
    durable = False

    def open_sessions(self, place: Path, **options: Any) -> SessionStore:
        return memory(**options)


class TestSqlite(SessionContract):
    def open_sessions(self, place: Path, **options: Any) -> SessionStore:
        return sqlite(place / "sessions.db", **options)


def test_a_path_that_is_none_is_not_memory() -> None:
    with pytest.raises(ConfigurationError, match="path=None is no path"):
        sqlite(None)  # type: ignore[arg-type]


NIGHTLY = bool(os.environ.get("AI_INFRA_NIGHTLY"))


def _settings(examples: int) -> settings:
    # 50 steps an example; the nightly run does ten times as many, from other seeds.
    return settings(
        max_examples=examples * (10 if NIGHTLY else 1),
        stateful_step_count=50,
        deadline=None,
        derandomize=not NIGHTLY,
    )


TestMemoryMachine = machine(lambda place: memory(), durable=False).TestCase
TestMemoryMachine.settings = _settings(150)
TestSqliteMachine = machine(lambda place: sqlite(place / "sessions.db"), durable=True).TestCase
TestSqliteMachine.settings = _settings(30)
