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
from typing import Any

from ai_infra.llm.session.store import SessionInfo, SessionStore

__all__ = ["SessionInfo", "SessionStore", "memory", "postgres", "sqlite"]


def memory(**options: Any) -> SessionStore:
    """Sessions in memory, gone with the process. Options as for :class:`SessionStore`."""
    from ai_infra.storage.local_sessions import LocalSessionBackend

    return SessionStore(LocalSessionBackend(), **options)


def sqlite(path: str | os.PathLike[str], *, timeout: float = 30.0, **options: Any) -> SessionStore:
    """Sessions in the SQLite file at ``path``, shared by threads and processes. What a turn returned for is
    on disk.

    Args:
        path: the file, made (mode 0600) if there is none; its folder must exist. It may be the file of a
            :class:`~ai_infra.llm.memory.MemoryStore`.
        timeout: seconds an operation waits for other writers of the file.
        options: as for :class:`SessionStore`.

    Raises:
        ConfigurationError: a directory, or a folder that does not exist.
        StorageCorruptError: the file is foreign, damaged or written by a newer version; it is left untouched.
        StorageError: the file is read-only or cannot be opened.
    """
    from ai_infra.storage.local_sessions import LocalSessionBackend

    return SessionStore(LocalSessionBackend(path, timeout=timeout), **options)


def postgres(dsn: str, **options: Any) -> SessionStore:
    """Sessions in PostgreSQL, shared by any number of machines.

    Args:
        dsn: a connection string of PostgreSQL.
        options: as for :class:`SessionStore`, and those of the backend.
    """
    from ai_infra.storage.postgres.sessions import PostgresSessionBackend

    # Time stamps follow the database's clock, unless a test brings one.
    backend: dict[str, Any] = {"caller_clock": "clock" in options}
    store: dict[str, Any] = {}
    for name, value in options.items():
        (store if name in _STORE_OPTIONS else backend)[name] = value
    return SessionStore(PostgresSessionBackend(dsn, **backend), **store)


_STORE_OPTIONS = frozenset(inspect.signature(SessionStore).parameters)
