"""Checks of arguments that many functions share."""

from __future__ import annotations

from ai_infra.errors import InvalidInputError


def require_count(value: object, name: str, *, least: int = 1) -> int:
    """``value`` as a whole number from ``least``, or a clear error.

    Raises:
        InvalidInputError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidInputError(f"{name} is a whole number from {least}, not {value!r}.")
    return value
