"""``ai-infra search``: finds the moment in all indexed chats."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ai_infra.cli.place import add_place, open_memory
from ai_infra.cli.terminal import say


def register(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "search",
        help="search the indexed chats",
        description="Finds the moments in the indexed chats that answer a question, best first. Offline.",
    )
    parser.add_argument("query", metavar="QUESTION", help="a question or a few words, in any language")
    parser.add_argument("--limit", type=int, default=5, metavar="N", help="at most so many results (5)")
    parser.add_argument("--session", metavar="ID", help="only this conversation")
    parser.add_argument("--after", metavar="DATE", help="only conversations from this day on")
    parser.add_argument("--before", metavar="DATE", help="only conversations begun before this day")
    parser.add_argument("--explain", action="store_true", help="say why each was found")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    add_place(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Searches and prints."""
    with open_memory(options) as memory:
        results = memory.search(
            options.user,
            options.query,
            limit=options.limit,
            session_id=options.session,
            after=options.after,
            before=options.before,
        )
    if options.json:
        for result in results:
            print(json.dumps(result.to_dict()))
        return
    if not results:
        say("nothing found")
    for number, result in enumerate(results, 1):
        chunk = result.chunk
        when = f"{chunk.date:%Y-%m-%d}  " if chunk.date else ""
        title = chunk.metadata.get("title")
        name = f"{title}  ({chunk.session_id})" if isinstance(title, str) else chunk.session_id
        say(f"{number}. {when}{name}  score {result.score:.2f}")
        if options.explain:
            say("\n".join(f"   {line}" for line in result.explain().splitlines()[1:]))
        for who, text in result.lines:
            say("\n".join(f"   {line}" for line in f"{who + ': ' if who else ''}{text}".split("\n")))
        say()
