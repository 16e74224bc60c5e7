"""Where a local backend keeps its data: a file, or memory."""

from __future__ import annotations

from ai_infra._checks import path_of, seconds_of


def local_place(path: object, timeout: object) -> tuple[str | None, float]:
    """The path to open (None for memory, also by the name SQLite has for it) and the seconds to wait, checked.

    Raises:
        ConfigurationError: it is no path, or no number of seconds.
    """
    where = None if path is None else path_of(path)
    return None if where == ":memory:" else where, seconds_of(timeout, "timeout")
