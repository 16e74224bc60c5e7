"""Reading conversations from files: JSON Lines, or one JSON document."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ai_infra.errors import ConfigurationError, InvalidMessageError
from ai_infra.messages import fields_of

__all__ = ["json_lines", "read_messages", "read_text"]


def read_text(path: str) -> str:
    """The text of a file, or of standard input for ``-``.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text (byte {error.start}).") from error


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
        return [_message(row, f"{path}, line {number}") for number, row in json_lines(path, text)]
    if isinstance(document, dict) and isinstance(document.get("messages"), list):
        document = document["messages"]
    if isinstance(document, dict):
        document = [document]
    if not isinstance(document, list):
        raise InvalidMessageError(f"{path} holds {type(document).__name__}, not messages.")
    return [_message(message, f"{path}, message {at}") for at, message in enumerate(document)]


def json_lines(path: str, text: str) -> list[tuple[int, Any]]:
    """What each line holds, with its number.

    Raises:
        ConfigurationError: a line is not JSON.
    """
    # Not splitlines(): a message may hold U+2028 and its like unescaped.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return [(number, _line(path, number, line)) for number, line in lines]


def _line(path: str, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        shown = line if len(line) <= 60 else line[:57] + "..."
        raise ConfigurationError(
            f"{path}, line {number} is not JSON ({error}): {shown}\n"
            'Each line is one message, for example {"role": "user", "content": "Hi"}.'
        ) from error


def _message(message: Any, where: str) -> dict[str, Any]:
    try:
        return fields_of(message)
    except InvalidMessageError as error:
        raise InvalidMessageError(f"{where}: {error}") from error
