"""The contract of session backends, on every backend of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ai_infra.llm.session import SessionStore, memory, sqlite
from ai_infra.testing.sessions import SessionContract


class TestMemory(SessionContract):
    durable = False

    def open_sessions(self, place: Path, **options: Any) -> SessionStore:
        return memory(**options)


class TestSqlite(SessionContract):
    def open_sessions(self, place: Path, **options: Any) -> SessionStore:
        return sqlite(place / "sessions.db", **options)
