"""Files of JSON Lines: written whole or not at all, never over a database, and read line by line."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import IO, Any

from ai_infra._checks import path_of, short, shown
from ai_infra._core import is_database
from ai_infra.errors import AIInfraError, ConfigurationError, InvalidInputError

Target = str | os.PathLike[str] | IO[str]
Source = str | os.PathLike[str] | Iterable[str]

_COMPANIONS = ("-wal", "-shm", "-journal")
_DEVICES = ("/dev/", "/proc/")
"""Names of what is open already: a file behind ``/dev/stdout`` is an output to be written on, and not replaced."""
_LINE_BREAKERS = (("\x85", "\\u0085"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


def one_line(json: str) -> str:
    """JSON with its line end, and without the characters that end a line for some readers (``str.splitlines``); inside
    JSON they can only be in strings."""
    for breaker, escape in _LINE_BREAKERS:
        json = json.replace(breaker, escape)
    return f"{json}\n"


def write_lines(target: Target, lines: Iterable[str]) -> None:
    """Write lines to a path or an open text file.

    A file is written beside its place, brought to the disk and renamed (mode 0600 where there was none): whatever
    happens, there is the old one or the new one. What is no file, such as a pipe, is written as it is.

    Raises:
        ConfigurationError: the path is a database or belongs to one, or cannot be written; nothing was changed.
    """
    if not isinstance(target, str | os.PathLike):
        if not hasattr(target, "write"):
            raise ConfigurationError(f"cannot write to {shown(target)}; pass a path or an open text file")
        for line in lines:
            target.write(line)
        return
    name = path_of(target)
    try:
        # What a link points at is written, and the link stays.
        path = os.path.realpath(name)
        for suffix in ("", *_COMPANIONS):
            if path.endswith(suffix) and is_database(path.removesuffix(suffix)):
                raise ConfigurationError(
                    f"{short(name)} is a database or belongs to one, and would be destroyed; pass another path"
                )
        if name.startswith(_DEVICES) or (os.path.exists(path) and not os.path.isfile(path)):
            with open(name, "w", encoding="utf-8", newline="\n") as file:
                file.writelines(lines)
        else:
            _replace(path, lines)
    except ConfigurationError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot write {short(name)}: {_reason(error)}") from error


def _replace(path: str, lines: Iterable[str]) -> None:
    import tempfile  # not needed to import the library

    folder = os.path.dirname(path)
    descriptor, beside = tempfile.mkstemp(prefix=".ai-infra-", suffix=".part", dir=folder)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(path):
            os.chmod(beside, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise
    if os.name == "posix":
        # The new name, too, is on the disk.
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_lines(source: Source) -> Iterator[tuple[int, str]]:
    """The lines of a file, or those given, with their numbers from 1; without the empty ones.

    Raises:
        ConfigurationError: the path cannot be read, or is no UTF-8 text.
        InvalidInputError: it is no path and no lines of text.
    """
    if isinstance(source, bytes | bytearray | memoryview) or not isinstance(
        source, str | os.PathLike | Iterable
    ):
        raise InvalidInputError(f"pass a path or lines to import, not {type(source).__name__}")
    if not isinstance(source, str | os.PathLike):
        return _numbered(source)
    if isinstance(source, str) and ("\n" in source or source.lstrip().startswith("{")):
        raise InvalidInputError(
            "a text to import is taken for a path, and this one looks like JSON; pass its lines: text.splitlines()"
        )
    return _read(path_of(source))


def _read(path: str) -> Iterator[tuple[int, str]]:
    try:
        with open(path, encoding="utf-8") as file:
            yield from _numbered(file)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{short(path)} is not UTF-8 text (byte {error.start})") from error
    except AIInfraError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {short(path)}: {_reason(error)}") from error


def _numbered(lines: Iterable[Any]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, 1):
        if isinstance(line, bytes):
            try:
                line = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise InvalidInputError(
                    f"line {number} is not UTF-8 text (byte {error.start}); nothing was imported"
                ) from error
        if not isinstance(line, str):
            raise InvalidInputError(
                f"line {number} is {type(line).__name__}, not text; nothing was imported. Pass a path, an open text "
                "file or a list of lines"
            )
        if line.strip():
            yield number, line


def _reason(error: Exception) -> str:
    return str((error.strerror if isinstance(error, OSError) else None) or error)
