"""SQL from named files, compiled once for a schema; no statement is built from a text that a user passed."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from ai_infra._checks import shown
from ai_infra.errors import ConfigurationError

if TYPE_CHECKING:
    from psycopg import sql

CLOCK = "(SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::bigint)"
"""The database's clock, in microseconds."""
CALLER_CLOCK = "(SELECT %(now)s::bigint)"
"""The clock that the caller passes; for tests."""

MIGRATIONS = (
    "0001_items.sql",
    "0002_sessions.sql",
    "0003_search.sql",
    "0004_conversations.sql",
    "0005_vectors.sql",
    "0006_large.sql",
    "0007_halves.sql",
)


@cache
def read(file: str) -> str:
    """The text of a file in ``sql/``."""
    return (resources.files(__package__) / "sql" / file).read_text("utf-8")


@cache
def named(file: str) -> dict[str, str]:
    """The statements of a file by name: each begins with a line ``-- name: …``."""
    blocks = re.split(r"^-- name: (\w+)\n", read(file), flags=re.MULTILINE)
    return dict(zip(blocks[1::2], (block.strip() for block in blocks[2::2]), strict=True))


def check_schema(name: Any) -> str:
    """A schema name, checked: a plain lower-case identifier, so that it means the same quoted and unquoted.

    Raises:
        ConfigurationError: it is not.
    """
    if (
        not isinstance(name, str)
        or not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name)
        or name.startswith("pg_")
        or name == "information_schema"
    ):
        raise ConfigurationError(
            f"schema={shown(name)} is no schema name; use up to 63 of a-z, 0-9 and _, not beginning with a "
            "digit or pg_, and not information_schema"
        )
    return str.__str__(name)


class Statements:
    """The statements of one file for one schema and clock."""

    def __init__(self, file: str, schema: str, *, caller_clock: bool = False) -> None:
        from psycopg import sql

        self._blocks = named(file)
        self._schema = sql.Identifier(schema)
        self._now = sql.SQL(CALLER_CLOCK if caller_clock else CLOCK)
        self._ready: dict[Any, bytes] = {}

    def __getitem__(self, name: str) -> bytes:
        return self.fill(name, kept=name)

    def fill(self, name: str, *, kept: Any = None, **parts: sql.Composable) -> bytes:
        """A statement with more parts, such as a ``WHERE`` made of :mod:`.filters`.

        Args:
            name: which.
            kept: what tells these parts from others, where they come often: then the text is made once.
            parts: fragments of SQL for the names in braces.
        """
        ready = self._ready.get(kept) if kept is not None else None
        if ready is None:
            from psycopg import sql

            # The files are ours: psycopg asks for a literal only to make sure that nobody passes a user's text.
            ready = (
                sql.SQL(self._blocks[name]).format(schema=self._schema, now=self._now, **parts).as_bytes(None)
            )
            if kept is not None:
                self._ready[kept] = ready
        return ready
