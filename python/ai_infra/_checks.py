"""Checks of arguments that many functions share."""

from __future__ import annotations

from operator import index
from typing import SupportsIndex

from ai_infra.errors import ConfigurationError, InvalidInputError

_MOST = 2**62  # what the core counts in, with room to add


def require_count(value: object, name: str, *, least: int = 1) -> int:
    """``value`` as a whole number from ``least``, or a clear error.

    Raises:
        InvalidInputError: it is not.
    """
    number = least - 1 if isinstance(value, bool) or not isinstance(value, SupportsIndex) else index(value)
    if not least <= number <= _MOST:
        raise InvalidInputError(f"{name} is a whole number from {least} to 2**62, not {value!r}.")
    return number


def require_text(value: object, name: str) -> None:
    """Raise unless ``value`` is a string or None.

    Raises:
        ConfigurationError: it is not.
    """
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{name} is a text, not {value!r}.")
