"""What the contract's tests stand on: a clock that only moves when told, and both faces of a store."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from ai_infra.llm.memory.store import MemoryStore


class Name(str, Enum):  # noqa: UP042 - a StrEnum prints as its text
    """Names that print as something else than their text."""

    ALICE = "alice"
    KEY = "k"


class Masked(str):
    """A text that never prints."""

    __slots__ = ()

    def __str__(self) -> str:
        return "***"


class Clock:
    """Seconds since 1970 that stand still until :meth:`forward`."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        """Let time pass (or, below zero, go back)."""
        self.now += seconds


def refused(error: type[Exception], match: str, *calls: Callable[[], Any]) -> None:
    """Each call must raise ``error`` with a message that matches, if that is not empty."""
    for call in calls:
        with pytest.raises(error, match=match or None):
            call()


class Face:
    """Calls a store's methods through its sync or its async twins; the answers must be the same."""

    def __init__(self, store: MemoryStore, kind: str) -> None:
        self.store = store
        self.kind = kind
        self._runner = asyncio.Runner() if kind == "async" else None

    def __getattr__(self, name: str) -> Any:
        if self._runner is None:
            return getattr(self.store, name)
        twin = getattr(self.store, "a" + name)
        runner = self._runner

        def call(*args: Any, **options: Any) -> Any:
            return runner.run(twin(*args, **options))

        return call

    def shut(self) -> None:
        """Close the store and the event loop."""
        self.close()
        if self._runner is not None:
            self._runner.close()


class StoreHarness(ABC):
    """Opens the stores under test."""

    @abstractmethod
    def open_store(self, clock: Clock, place: Path) -> MemoryStore:
        """A store whose data lives at ``place``, which is empty at first."""

    @pytest.fixture
    def clock(self) -> Clock:
        """The clock of the store under test."""
        return Clock()

    @pytest.fixture(params=["sync", "async"])
    def face(self, request: pytest.FixtureRequest) -> str:
        """Which methods this run goes through."""
        kind: str = request.param
        return kind

    @pytest.fixture
    def store(self, clock: Clock, face: str, tmp_path: Path) -> Iterator[Any]:
        """An empty store, closed at the end."""
        opened = Face(self.open_store(clock, tmp_path), face)
        yield opened
        opened.shut()
