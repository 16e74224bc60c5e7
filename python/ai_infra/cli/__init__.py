"""The command line: ``ai-infra``.

Exit codes: 0 done, 1 an error that the message explains, 2 wrong usage, 3 done in part (``index``: what was left out is
named), 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from ai_infra.cli.terminal import plain, warnings_on_one_line
from ai_infra.errors import AIInfraError

__all__ = ["main"]

_COMMANDS = {
    "demo": ("demo",),
    "count": ("count",),
    "fit": ("fit",),
    "index": ("index",),
    "search": ("search",),
    "manage": ("list", "stats", "forget", "export", "import"),
}
"""The modules, and what they register."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; answers its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A message may hold what the terminal cannot show; that is no reason to stop.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run(arguments)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        if sys.stdout is not None:
            # What is left in the buffer has nowhere to go; Python would try again at exit, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # else the reader of our output has seen enough
            where = "cannot write the output: " if error.filename is None else f"{error.filename}: "
            print(f"ai-infra: {plain(where)}{error.strerror or error}", file=sys.stderr)
        return 1


def _run(arguments: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser(given[0] if given else None).parse_args(given)
    try:
        with warnings_on_one_line():
            code: int | None = options.run(options)
    except AIInfraError as error:
        print(f"ai-infra: {plain(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ai-infra: interrupted", file=sys.stderr)
        return 130
    return code or 0


def _parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser of one command, whose module alone is loaded; of all where that names none."""
    from ai_infra import __version__

    parser = argparse.ArgumentParser(
        prog="ai-infra",
        description="Conversation memory on the command line: count, fit and search chats, offline.",
    )
    parser.add_argument("--version", action="version", version=f"ai-infra {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module, names in _COMMANDS.items():
        if command in names or not any(command in names for names in _COMMANDS.values()):
            import_module(f"ai_infra.cli.{module}").register(commands)
    return parser
