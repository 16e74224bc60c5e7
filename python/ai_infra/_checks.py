"""Checks of arguments that many functions share."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from operator import index
from typing import SupportsIndex

from ai_infra.errors import ConfigurationError, InvalidInputError

_MOST = 2**62  # what the core counts in, with room to add
_LATEST = 2.0**37
"""Seconds since 1970: the year 6325. With a hundred years added it is still a date."""


def shown(value: object) -> str:
    """A value for a message: short, and whatever its own code does when it is printed."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - any code may run here, and the message is about something else
        return f"this {type(value).__name__}"
    return short(text)


def short(text: str) -> str:
    """A text for a message: cut where it is long."""
    return text if len(text) <= 200 else f"{text[:190]}… ({len(text):,} characters)"


_PASSED_BY = ("ai_infra", "asyncio")


def users_line() -> int:
    """The ``stacklevel`` with which the caller's warning points at the line that called into this package.

    Where our coroutine is a task of its own, that is the line which runs the event loop.
    """
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".", 1)[0] in _PASSED_BY:
        frame, level = frame.f_back, level + 1
    return level


def require_count(value: object, name: str, *, least: int = 1) -> int:
    """``value`` as a whole number from ``least``, or a clear error.

    Raises:
        InvalidInputError: it is not.
    """
    number = least - 1 if isinstance(value, bool) or not isinstance(value, SupportsIndex) else index(value)
    if not least <= number <= _MOST:
        raise InvalidInputError(f"{name} is a whole number from {least} to 2**62, not {shown(value)}.")
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


def path_of(value: object) -> str:
    """The text of a path that a user passed.

    Raises:
        ConfigurationError: it is no path, or one that no file can have.
    """
    if not isinstance(value, str | os.PathLike):
        raise ConfigurationError(f"path={shown(value)} is no path; pass a str or a Path")
    try:
        path = os.fsdecode(value)
        os.fsencode(path)
    except (TypeError, UnicodeError):
        raise ConfigurationError(
            f"path={shown(value)} is no path; a text with half a character (a lone surrogate) names no file"
        ) from None
    return path


def seconds_of(value: object, name: str) -> float:
    """A span of time that a user passed, in seconds.

    Raises:
        ConfigurationError: it is no number of 0 or more.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise ConfigurationError(f"{name}={shown(value)} is no number of seconds; pass 0 or more")
    return float(value)


def check_score(value: object) -> float | None:
    """A least score that a user passed, or None.

    Raises:
        InvalidInputError: it is no number.
    """
    if value is None:
        return None
    if not isinstance(value, bool) and isinstance(value, int | float):
        try:
            score = float(value)
        except OverflowError:  # an integer beyond every float
            score = math.nan
        if not math.isnan(score):
            return score
    raise InvalidInputError(f"min_score={shown(value)} is no number; scores go from 0 to 1")


def micros_of(clock: Callable[[], float]) -> int:
    """What a clock says, in whole microseconds since 1970 UTC.

    Raises:
        ConfigurationError: it says no time, or is no function.
    """
    if not callable(clock):
        raise ConfigurationError(
            f"clock={shown(clock)} is nothing to call; pass a function such as time.time"
        )
    seconds = clock()
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _LATEST:
        raise ConfigurationError(
            f"clock= said {shown(seconds)}; it has to return seconds since 1970 UTC, as time.time does"
        )
    return round(seconds * 1_000_000)
