"""From psycopg's errors to ours, and which of them a new attempt can mend. No message holds a secret."""

from __future__ import annotations

import enum
from typing import NamedTuple

from ai_infra.errors import (
    AIInfraError,
    ConfigurationError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StorageTimeoutError,
    StorageUnavailableError,
)
from ai_infra.storage.postgres.dsn import Dsn


class Cure(enum.Enum):
    """What helps against a failure."""

    NOTHING = enum.auto()
    AGAIN = enum.auto()
    """The transaction was undone for another's sake: run it again."""
    CONNECT = enum.auto()
    """The connection is gone: run it again on a new one, once the server is there."""


class Failure(NamedTuple):
    """A judged error."""

    error: AIInfraError
    cure: Cure


_LOST = ("08", "57P01", "57P02", "57P03", "57P05", "53300")
"""SQLSTATEs of a server that went, comes, or is full of connections."""

_COMING = (
    "refused",
    "no such file or directory",
    "starting up",
    "shutting down",
    "recovery mode",
    "not yet accepting",
    "too many",
    "remaining connection slots",
    "timeout",
    "timed out",
    "unexpectedly",
    "reset by peer",
    "broken pipe",
    "unreachable",
    "temporary failure in name resolution",
    "server closed",
    "connection is closed",
)
"""What libpq says of a failed attempt to connect that may succeed later. It gives no SQLSTATE then."""


def judge(error: BaseException, dsn: Dsn) -> Failure:
    """Our error for one of psycopg's, and its cure."""
    import psycopg

    state = getattr(error, "sqlstate", None)
    text = _text(error, dsn)
    if state is None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        lost = StorageUnavailableError(f"the connection to PostgreSQL at {dsn.name} was lost ({text})")
        return Failure(lost, Cure.CONNECT)
    state = state or ""
    if state.startswith(_LOST):
        return Failure(StorageUnavailableError(f"PostgreSQL at {dsn.name} went away ({text})"), Cure.CONNECT)
    if state == "25006":
        # Until then it may have been the primary, and another server may be it now.
        read_only = (
            f"PostgreSQL at {dsn.name} takes no writes ({text}); connect to the primary (several hosts with "
            "target_session_attrs=read-write find it), or turn default_transaction_read_only off"
        )
        return Failure(StorageUnavailableError(read_only), Cure.CONNECT)
    if state in ("40001", "40P01"):
        return Failure(
            StorageTimeoutError(
                f"other transactions kept this one from finishing ({text}); nothing of it was kept. Raise timeout=…, "
                "or run fewer writes at the same time"
            ),
            Cure.AGAIN,
        )
    if state == "57014":
        timeout = f"PostgreSQL cancelled the statement ({text}); nothing of it was kept"
        if "statement timeout" in text:
            timeout += ". Raise timeout=…, or do less in one operation"
        return Failure(StorageTimeoutError(timeout), Cure.NOTHING)
    if state == "55P03":
        timeout = (
            f"a lock was not free in time ({text}); look for a long transaction in pg_stat_activity, or raise"
            " the server's lock_timeout"
        )
        return Failure(StorageTimeoutError(timeout), Cure.NOTHING)
    if state in ("53100", "53200", "53400"):
        full = f"PostgreSQL at {dsn.name} ran out of room ({text}); everything acknowledged before is safe"
        return Failure(StorageFullError(full), Cure.NOTHING)
    if state in ("XX001", "XX002"):
        return Failure(StorageCorruptError(f"the database is damaged ({text}); restore it"), Cure.NOTHING)
    if state in ("42P01", "3F000", "42703"):
        gone = (
            f"a table of ours is missing or altered ({text}); restore the schema, or use another schema name"
        )
        return Failure(StorageCorruptError(gone), Cure.NOTHING)
    if state == "42501":
        role = f"the database role lacks a right ({text}); see docs/postgres.md for the rights it needs"
        return Failure(StorageError(role), Cure.NOTHING)
    return Failure(StorageError(f"PostgreSQL refused the statement ({state} {text})"), Cure.NOTHING)


def judge_connecting(error: BaseException, dsn: Dsn) -> Failure:
    """The same for an attempt to connect."""
    text = _text(error, dsn)
    cure = Cure.CONNECT if any(sign in text.lower() for sign in _COMING) else Cure.NOTHING
    message = (
        f"PostgreSQL at {dsn.name} cannot be reached ({text}); check the connection string and the server"
    )
    if "password authentication" in text or "no password supplied" in text:
        message = f"PostgreSQL at {dsn.name} refused the user or the password of the connection string"
        return Failure(ConfigurationError(message), Cure.NOTHING)
    return Failure(StorageUnavailableError(message), cure)


def _text(error: BaseException, dsn: Dsn) -> str:
    diag = getattr(error, "diag", None)
    primary = getattr(diag, "message_primary", None)
    lines = (primary or str(error)).strip().splitlines()
    return dsn.scrub(" ".join(line.strip() for line in lines[:3]))
