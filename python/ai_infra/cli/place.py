"""Where the commands keep conversations, and whose they are."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ai_infra.errors import ConfigurationError
from ai_infra.llm.conversation.memory import ConversationMemory

VARIABLE = "AI_INFRA_DB"
USER = "me"


def add_place(parser: argparse.ArgumentParser, *, user: bool = True) -> None:
    """Adds the options that all commands on conversations share."""
    parser.add_argument(
        "--db",
        metavar="FILE",
        help=f"where conversations are kept (default: ${VARIABLE}, else a file of yours)",
    )
    if user:
        parser.add_argument("--user", default=USER, help=f"whose conversations (default: {USER})")


def default_path() -> Path:
    """The file of this person on this machine."""
    home = Path.home()
    if sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "ai-infra" / "conversations.db"


def open_memory(options: argparse.Namespace, *, must_exist: bool = True) -> ConversationMemory:
    """The memory that the options name.

    Raises:
        ConfigurationError: there is no file yet, for a command that only reads.
    """
    named = options.db or os.environ.get(VARIABLE)
    path = Path(named) if named else default_path()
    if must_exist and not path.exists():
        raise ConfigurationError(
            f"there is no {path} yet; index something first: ai-infra index FILE"
            + ("" if named else f" (or name another file with --db or ${VARIABLE})")
        )
    if not named:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"cannot make {path.parent}: {error.strerror or error}") from error
    return ConversationMemory(backend="sqlite", path=path)
