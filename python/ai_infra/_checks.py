"""Checks of arguments that many functions share."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
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


_ELSEWHERE = frozenset({"mode", "models", "providers", "reasoning", "timeout_ms"})
"""Parameters of services that look like ours, and are their own."""


def refuse_misspelled(given: Iterable[str], own: tuple[str, ...]) -> None:
    """Raise for names that are nearly, and not quite, among ``own``, where other names are passed on.

    Raises:
        ConfigurationError: a name that is meant for us, in all likelihood; says which it is.
    """
    for name in given:
        meant = None if name in own or name in _ELSEWHERE else closest(name, own)
        if meant is not None:
            raise ConfigurationError(f"{name} is no parameter here: did you mean {meant}?")


@lru_cache(maxsize=1024)
def closest(name: str, own: tuple[str, ...]) -> str | None:
    """The one of ``own`` that ``name`` is a misspelling of, or None."""
    from difflib import get_close_matches  # here, because few need it and importing it is felt

    return next(iter(get_close_matches(name.lower(), own, 1, 0.8)), None)
