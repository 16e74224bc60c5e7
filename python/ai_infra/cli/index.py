"""``ai-infra index``: makes chats searchable, offline."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ai_infra._checks import short
from ai_infra.cli.chats import Chat, LeftOut, one_each, read_chats
from ai_infra.cli.place import add_place, open_memory
from ai_infra.cli.terminal import count_of, plain, say
from ai_infra.errors import ConfigurationError, InvalidInputError
from ai_infra.llm.conversation.memory import ConversationMemory
from ai_infra.llm.conversation.prepare import check_id
from ai_infra.llm.conversation.result import Indexed

_WIDTH = 24
_TOGETHER = 64
"""Conversations in a transaction: the disk is waited for once."""
IN_PART = 3
"""The exit code when some conversations or lines were left out, and the others indexed."""


def register(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "index",
        help="make chats searchable: JSON Lines, a ChatGPT export, a Claude export",
        description="Indexes conversations, offline. Reads JSON Lines of messages (session_id parts them into "
        "conversations), one JSON document, and the conversations.json or .zip of a ChatGPT or Claude export. "
        "Indexing a file again only writes what changed. A conversation that cannot be kept, or a line that is not "
        f"JSON, is named and left out; the exit code is then {IN_PART}. Of one id there is one conversation: all its "
        "messages go into one file.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file; - for standard input")
    add_place(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Indexes, with a progress bar on a terminal; answers the exit code."""
    check_id("user", options.user)
    found = one_each([(path, chat) for path in options.files for chat in read_chats(path)])
    chats = [(path, chat) for path, chat in found if isinstance(chat, Chat)]
    left = [(path, chat) for path, chat in found if isinstance(chat, LeftOut)]
    total, count = len(found), len(chats)
    if not found:
        raise ConfigurationError(f"no conversation in {', '.join(options.files)}")
    for path, one in left:
        _tell(f"{path}, {one.name}", one.reason)
    del found
    start = time.perf_counter()
    indexed = changed = messages = 0
    with open_memory(options, must_exist=False) as memory:
        bar = _Bar(count)
        try:
            while chats:
                bar.show(count - len(chats))
                together = chats[:_TOGETHER]
                del chats[:_TOGETHER]  # their words are in the database then, and need not be here, too
                for done in _store(memory, options.user, together, bar):
                    indexed += 1
                    messages += done.messages
                    changed += done.changed > 0
            bar.show(count)
            memory.warm(options.user)
        finally:
            bar.clear()
    if not indexed:
        raise ConfigurationError("no conversation could be indexed")
    seconds = time.perf_counter() - start
    say(
        f"{count_of(indexed, 'conversation')} with {count_of(messages, 'message')}, "
        f"{changed:,} of them new or changed, in {seconds:.1f} s"
    )
    if indexed == total:
        return 0
    lines = sum(one.kind == "line" for _, one in left)
    parts = ((lines, "line"), (total - indexed - lines, "conversation"))
    _say_error(f"{' and '.join(count_of(*part) for part in parts if part[0])} left out, as said above")
    return IN_PART


def _store(
    memory: ConversationMemory, user: str, chats: Sequence[tuple[str, Chat]], bar: _Bar
) -> Iterator[Indexed]:
    try:
        yield from memory.index_conversations(user, [chat for _, chat in chats])
        return
    except InvalidInputError:
        pass  # one of them: the others are kept, and it is named
    for path, chat in chats:
        try:
            yield memory.index_conversation(user, *chat)
        except InvalidInputError as error:
            bar.clear()
            _tell(f"{path}, conversation {short(repr(chat.session_id))}", str(error))


def _tell(what: str, reason: str) -> None:
    _say_error(f"{what} was left out: {reason}")


def _say_error(text: str) -> None:
    print(f"ai-infra: {plain(text)}", file=sys.stderr)


class _Bar:
    """Progress on standard error, where that is a terminal."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._on = sys.stderr.isatty()
        self._shown = -1

    def show(self, done: int) -> None:
        total = max(1, self._total)
        filled = done * _WIDTH // total
        percent = done * 100 // total
        if self._on and percent != self._shown:
            self._shown = percent
            bar = "█" * filled + "░" * (_WIDTH - filled)
            print(f"\r{bar} {percent:>3}%  {done:,} of {self._total:,}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._on:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
