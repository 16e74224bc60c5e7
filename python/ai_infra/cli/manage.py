"""``ai-infra list``, ``stats``, ``forget``, ``export`` and ``import``: what is kept, and what is not."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from ai_infra.cli.place import add_place, open_memory
from ai_infra.cli.read import text_lines
from ai_infra.cli.terminal import count_of, say
from ai_infra.errors import ConfigurationError, StorageError


def register(commands: Any) -> None:
    """Adds the commands to the parser."""
    parser = commands.add_parser("list", help="list the indexed conversations, newest first")
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    add_place(parser)
    parser.set_defaults(run=list_)

    parser = commands.add_parser("stats", help="say how much is indexed")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_place(parser, user=False)
    parser.set_defaults(run=stats)

    parser = commands.add_parser(
        "forget",
        help="delete conversations, with every trace on the disk",
        description="Deletes conversations and rewrites the file, so that no copy of their text is left in it.",
    )
    parser.add_argument(
        "sessions", nargs="*", metavar="SESSION", help="the conversation's id, as list shows it"
    )
    parser.add_argument("--all", action="store_true", help="all conversations of the user")
    add_place(parser)
    parser.set_defaults(run=forget)

    parser = commands.add_parser("export", help="write conversations as JSON Lines")
    parser.add_argument(
        "file", nargs="?", default="-", metavar="FILE", help="where to (default: standard output)"
    )
    parser.add_argument("--everybody", action="store_true", help="the conversations of all users")
    add_place(parser)
    parser.set_defaults(run=export)

    parser = commands.add_parser("import", help="read what export wrote")
    parser.add_argument("file", metavar="FILE", help="the file; - for standard input")
    add_place(parser, user=False)
    parser.set_defaults(run=import_)


def list_(options: argparse.Namespace) -> None:
    """Prints a line for each conversation."""
    with open_memory(options) as memory:
        found = memory.list_conversations(options.user, limit=options.limit)
    for one in found:
        if options.json:
            date = one.date.isoformat() if one.date else None
            row = {
                "session_id": one.session_id,
                "date": date,
                "messages": one.length,
                "metadata": one.metadata,
            }
            print(json.dumps(row))
            continue
        title = one.metadata.get("title")
        when = f"{one.date:%Y-%m-%d}" if one.date else " " * 10
        say(
            f"{when}  {count_of(one.length, 'message'):>15}  {one.session_id}"
            + (f"  {title}" if title else "")
        )


def stats(options: argparse.Namespace) -> None:
    """Prints how much there is."""
    with open_memory(options) as memory:
        found = memory.stats()
    if options.json:
        print(json.dumps(found._asdict()))
    else:
        say(
            f"{count_of(found.conversations, 'conversation')} of {count_of(found.users, 'user')}, "
            f"{count_of(found.messages, 'message')}; embedder {found.embedder}"
        )


def forget(options: argparse.Namespace) -> None:
    """Deletes, and leaves no trace."""
    if bool(options.sessions) == options.all:
        raise ConfigurationError("name the conversations to forget, or pass --all")
    with open_memory(options) as memory:
        if options.all:
            count = memory.delete_user_conversations(options.user)
        else:
            missing = [s for s in options.sessions if memory.get_conversation(options.user, s) is None]
            if missing:
                memory.purge()  # it may have been deleted by a command that came no further
                raise ConfigurationError(
                    f"there is no conversation {missing[0]!r}; nothing was forgotten, and no trace is left of what "
                    "was deleted before"
                )
            count = sum(memory.delete_conversation(options.user, session) for session in options.sessions)
        try:
            memory.purge()
        except StorageError as error:
            raise type(error)(
                f"{count_of(count, 'conversation')} deleted, but traces may be left in the file: {error}. The same "
                "command again removes them"
            ) from error
    say(f"{count_of(count, 'conversation')} forgotten")


def export(options: argparse.Namespace) -> None:
    """Writes JSON Lines."""
    user = None if options.everybody else options.user
    with open_memory(options) as memory:
        if options.file == "-":
            memory.export(sys.stdout, user)
        else:
            say(f"{count_of(memory.export(options.file, user), 'conversation')} written to {options.file}")


def import_(options: argparse.Namespace) -> None:
    """Reads JSON Lines."""
    with open_memory(options, must_exist=False) as memory:
        count = memory.import_(text_lines(options.file))
    say(f"{count_of(count, 'conversation')} imported")
