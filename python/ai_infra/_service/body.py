"""What a request may hold, checked before anything is sent."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from ai_infra.errors import InvalidInputError, InvalidTextError, InvalidValueError

_PLAIN = frozenset({int, bool, type(None)})
_TEXT = {str}
_LARGE = 1 << 2_000
"""Integers under this are written whatever Python's limit of digits is, which is 640 at least."""


def refuse_unsendable(body: Mapping[str, Any]) -> None:
    """Raise for what no JSON request can carry; the message says where it stands.

    Raises:
        InvalidTextError: a lone surrogate. Some versions of the SDK would send it, others break on it.
        InvalidValueError: a value that JSON has not, such as NaN; an integer that Python writes no digits of; or a
            value that contains itself.
    """
    try:
        error = _problem(body)
    except RecursionError:
        raise InvalidValueError(
            "the request holds something that contains itself, or is nested too deep"
        ) from None
    if error is not None:
        raise type(error)(error.args[0].removeprefix("."))


def _problem(value: object) -> InvalidInputError | None:
    """The error for the first bad value inside; its place is put in front of it on the way out."""
    if isinstance(value, str):
        return None if value.isascii() else _surrogate(value)
    items: Iterable[tuple[object, object]]
    if isinstance(value, dict | Mapping):  # dict first: asking an abstract class is slow
        if set(map(type, value)) - _TEXT and (error := next(filter(None, map(_key, value)), None)):
            return error
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    elif isinstance(value, float):
        return None if isfinite(value) else InvalidValueError(f": {value} is no number that JSON can hold")
    elif type(value) is int and not -_LARGE < value < _LARGE:
        return _unwritten(value)
    elif isinstance(value, type):
        return InvalidValueError(
            f": the class {value.__name__} is nothing that JSON can hold; of a pydantic model send the schema, as "
            '{"type": "json_schema", "json_schema": {"name": …, "schema": Model.model_json_schema()}}'
        )
    elif type(value) in _PLAIN or hasattr(value, "isoformat") or hasattr(value, "model_dump"):
        return None
    else:
        return InvalidValueError(f": a {type(value).__name__} is nothing that JSON can hold")
    for place, item in items:
        if isinstance(item, str) and item.isascii():
            continue
        error = _problem(item)
        if error is not None:
            step = f"[{place}]" if isinstance(place, int) else f".{place}"
            return type(error)(f"{step}{error.args[0]}")
    return None


def _key(key: object) -> InvalidInputError | None:
    """The error for a key that JSON cannot make a text of."""
    if isinstance(key, str | float) or type(key) in _PLAIN:
        return _unwritten(key) if type(key) is int else None
    return InvalidValueError(f": a {type(key).__name__} is no key that JSON can hold")


def _unwritten(value: int) -> InvalidInputError | None:
    try:
        str(value)
    except ValueError:
        most = sys.get_int_max_str_digits()
        return InvalidValueError(f": an integer of more than {most:,} digits is not sent; send it as text")
    return None


def _surrogate(text: str) -> InvalidTextError | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        found = f": the lone surrogate {text[error.start]!a} at character {error.start}"
    else:
        return None
    return InvalidTextError(f"{found} is no text that a request can carry; remove it")
