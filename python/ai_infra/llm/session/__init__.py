"""Sessions: one conversation, continued across requests, processes and machines.

::

    from ai_infra import Agent
    from ai_infra.llm.session import memory, sqlite

    agent = Agent(session=sqlite("./sessions.db"))
    agent.run("Hi, I'm Bob", session_id="thread_123")
    agent.run("What's my name?", session_id="thread_123")

What a session keeps is told in ``docs/sessions.md``; the options are those of :class:`SessionStore`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable
from typing import Any, TypedDict, Unpack

from ai_infra._checks import closest, path_of
from ai_infra.errors import ConfigurationError
from ai_infra.llm.session.store import SessionInfo, SessionStore

__all__ = ["SessionInfo", "SessionStore", "memory", "postgres", "sqlite"]


class _Options(TypedDict, total=False):
    """The options of :class:`SessionStore`, for type checkers."""

    max_tokens: int | None
    trim_to: int | None
    summarize: bool
    keep: int
    llm: Any
    max_summary_tokens: int | None
    wait: float
    clock: Callable[[], float]


class _PostgresOptions(_Options, total=False):
    """The same with those of the backend."""

    schema: str
    tenant: str
    row_level_security: bool
    pool_size: int
    timeout: float
    prepare: bool


def memory(**options: Unpack[_Options]) -> SessionStore:
    """Sessions in memory, gone with the process. Options as for :class:`SessionStore`."""
    from ai_infra.storage.local_sessions import LocalSessionBackend

    _refuse_unknown(options, _STORE_OPTIONS)
    return SessionStore(LocalSessionBackend(), **options)


def sqlite(
    path: str | os.PathLike[str], *, timeout: float = 30.0, **options: Unpack[_Options]
) -> SessionStore:
    """Sessions in the SQLite file at ``path``, shared by threads and processes. What a turn returned for is
    on disk.

    Args:
        path: the file, made (mode 0600) if there is none; its folder must exist. It may be the file of a
            :class:`~ai_infra.llm.memory.MemoryStore`. ``":memory:"`` is memory, as in SQLite.
        timeout: seconds an operation waits for other writers of the file.
        options: as for :class:`SessionStore`.

    Raises:
        ConfigurationError: a directory, a folder that does not exist, or an unknown option.
        StorageCorruptError: the file is foreign, damaged or written by a newer version; it is left untouched.
        StorageError: the file is read-only or cannot be opened.
    """
    from ai_infra.storage.local_sessions import LocalSessionBackend

    _refuse_unknown(options, _STORE_OPTIONS)
    return SessionStore(LocalSessionBackend(path_of(path), timeout=timeout), **options)


def postgres(dsn: str, **options: Unpack[_PostgresOptions]) -> SessionStore:
    """Sessions in PostgreSQL, shared by any number of machines.

    Args:
        dsn: a connection string of PostgreSQL.
        options: as for :class:`SessionStore`, and those of the backend.
    """
    from ai_infra.storage.postgres.sessions import PostgresSessionBackend

    _refuse_unknown(options, (*_STORE_OPTIONS, *_PostgresOptions.__annotations__))
    # Time stamps follow the database's clock, unless a test brings one.
    backend: dict[str, Any] = {"caller_clock": "clock" in options}
    store: dict[str, Any] = {}
    for name, value in options.items():
        (store if name in _STORE_OPTIONS else backend)[name] = value
    return SessionStore(PostgresSessionBackend(dsn, **backend), **store)


_STORE_OPTIONS = tuple(inspect.signature(SessionStore).parameters)[1:]


def _refuse_unknown(given: Iterable[str], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            meant = closest(name, known)
            there = ", ".join(sorted(set(known)))
            raise ConfigurationError(
                f"{name} is no option of a session store: "
                + (f"did you mean {meant}?" if meant else f"the options are {there}.")
            )
