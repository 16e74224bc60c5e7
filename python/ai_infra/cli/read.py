"""Reading conversations from files: JSON Lines, or one JSON document."""

from __future__ import annotations

import io
import json
import re
import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ai_infra.errors import ConfigurationError, InvalidMessageError
from ai_infra.messages import fields_of

__all__ = [
    "NotJson",
    "decoded",
    "each_entry",
    "each_line",
    "not_json",
    "read_bytes",
    "read_messages",
    "read_text",
    "text_lines",
]

_PIECE = 2**20
"""Characters of a document that are decoded at a time."""
_SPACE = re.compile(r"[ \t\n\r]*")


def read_bytes(path: str) -> bytes:
    """The bytes of a file, or of standard input for ``-``.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}.") from error


def read_text(path: str) -> str:
    """The text of a file, or of standard input for ``-``.

    Raises:
        ConfigurationError: the file cannot be read, or is not text.
    """
    return decoded(path, read_bytes(path))


def decoded(path: str, data: bytes) -> str:
    """The text of a file's bytes: UTF-8, or the UTF-16 that PowerShell writes, which its first two bytes tell.

    Raises:
        ConfigurationError: they are neither.
    """
    try:
        return data.decode(_encoding(data))
    except UnicodeDecodeError as error:
        name = _encoding(data).removesuffix("-sig").upper()
        raise ConfigurationError(
            f"{path} is not {name} text (byte {error.start}); save it as UTF-8."
        ) from error


def text_lines(path: str) -> Iterator[str]:
    """The lines of a file, or of standard input for ``-``; a large one is not text as a whole.

    Raises:
        ConfigurationError: the file cannot be read, or is not text.
    """
    data = read_bytes(path)
    try:
        yield from _text(data, newline="\n")
    except UnicodeDecodeError:
        decoded(path, data)  # tells where in the file
        raise


def _text(data: bytes, newline: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), encoding=_encoding(data), newline=newline)


def _encoding(data: bytes) -> str:
    return "utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"


def each_entry(data: bytes) -> Iterator[Any]:
    """The entries of a document that is one JSON list, one after the other.

    An export may have hundreds of megabytes, which take many times that when all is text and objects at once.

    Raises:
        ValueError: it is not one JSON list, or not text. What came before that may have been yielded.
        RecursionError: nested too deep.
    """
    text = _text(data, newline="")
    decode = json.JSONDecoder().raw_decode
    held, at, first = text.read(_PIECE), 0, True
    at = _after_space(held, at)
    if held[at : at + 1] != "[":
        raise ValueError("no list")
    at += 1
    while True:
        start = _after_space(held, at)
        if first and held[start : start + 1] == "]":
            break
        try:
            entry, end = decode(held, start)
            end = _after_space(held, end)
        except ValueError:
            end = len(held)  # cut here, or no JSON
        if held[end : end + 1] not in (",", "]"):  # a number, too, may go on: "0." is cut in two
            more = text.read(max(_PIECE, end - at))
            if not more:
                raise ValueError("it ends too early, or is no JSON")
            held, at = held[at:] + more, 0
            continue
        yield entry
        at, first, start = end + 1, False, end
        if held[end] == "]":
            break
    if _after_space(held, start + 1) < len(held) or text.read().strip(" \t\n\r"):
        raise ValueError("something behind the list")


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def read_messages(path: str) -> list[dict[str, Any]]:
    """The messages of a file: one JSON object a line, or a JSON list, or an object with ``messages``.

    Raises:
        ConfigurationError: the file cannot be read, or is not JSON.
        InvalidMessageError: something in it is no message; says in which line or at which index.
    """
    text = read_text(path)
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ConfigurationError(f"{path}: nested too deep.") from error
    except ValueError:
        return [_message(row, f"{path}, line {number}") for number, row in _json_lines(path, text)]
    if isinstance(document, dict) and isinstance(document.get("messages"), list):
        document = document["messages"]
    if isinstance(document, dict):
        document = [document]
    if not isinstance(document, list):
        raise InvalidMessageError(f"{path} holds {type(document).__name__}, not messages.")
    return [_message(message, f"{path}, message {at}") for at, message in enumerate(document)]


def _json_lines(path: str, text: str) -> list[tuple[int, Any]]:
    """What each line holds, with its number.

    Raises:
        ConfigurationError: a line is not JSON.
    """
    rows = list(each_line(text))
    for number, row in rows:
        if isinstance(row, NotJson):
            raise not_json(path, number, row)
    return rows


class NotJson(NamedTuple):
    """What a line holds that is not JSON, and why it is not."""

    reason: str


def each_line(text: str) -> Iterator[tuple[int, Any]]:
    """What each line holds that is not blank, with its number; :class:`NotJson` where it is none."""
    # Not splitlines(): a message may hold U+2028 and its like unescaped.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, _line(line)


def not_json(path: str, number: int, row: NotJson) -> ConfigurationError:
    """The error for a line that is not JSON."""
    return ConfigurationError(
        f"{path}, line {number} is not JSON {row.reason}\n"
        'Each line is one message, for example {"role": "user", "content": "Hi"}.'
    )


def _line(line: str) -> Any:
    try:
        return json.loads(line)
    except RecursionError:
        why = "nested too deep"
    except ValueError as error:
        why = str(error)
    return NotJson(f"({why}): {line if len(line) <= 60 else line[:57] + '...'}")


def _message(message: Any, where: str) -> dict[str, Any]:
    try:
        return fields_of(message)
    except InvalidMessageError as error:
        raise InvalidMessageError(f"{where}: {error}") from error
