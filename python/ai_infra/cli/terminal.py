"""What the commands print for people: no text of a message may steer their terminal."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["count_of", "plain", "say", "warnings_on_one_line"]

# Escape sequences and everything else that moves, colours or hides; the marks that turn the direction of writing too,
# for they make a line read as another one. Line ends and tabs stay.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """``text`` with its control characters written out, as in ``\\x1b``."""
    return _STEERING.sub(_written_out, text.replace("\r\n", "\n"))


def _written_out(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def say(text: str = "") -> None:
    """Prints for people."""
    print(plain(text))


def count_of(number: int, thing: str) -> str:
    """``1 message``, ``1,200 messages``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


@contextmanager
def warnings_on_one_line() -> Iterator[None]:
    """A warning is one line of its words, without the place in our sources."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(
            f"ai-infra: {plain(str(message))}", file=sys.stderr
        )
        yield
