"""``ai-infra index``: makes chats searchable, offline."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ai_infra.cli.chats import Chat, read_chats
from ai_infra.cli.place import add_place, open_memory
from ai_infra.cli.terminal import count_of, say
from ai_infra.errors import AIInfraError, ConfigurationError
from ai_infra.llm.conversation.memory import ConversationMemory
from ai_infra.llm.conversation.result import Indexed

_WIDTH = 24
_TOGETHER = 64
"""Conversations in a transaction: the disk is waited for once."""


def register(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "index",
        help="make chats searchable: JSON Lines, a ChatGPT export, a Claude export",
        description="Indexes conversations, offline. Reads JSON Lines of messages (session_id parts them into "
        "conversations), one JSON document, and the conversations.json or .zip of a ChatGPT or Claude export. "
        "Indexing a file again only writes what changed.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file; - for standard input")
    add_place(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Indexes, with a progress bar on a terminal."""
    chats = [(path, chat) for path in options.files for chat in read_chats(path)]
    if not chats:
        raise ConfigurationError(f"no conversation in {', '.join(options.files)}")
    start = time.perf_counter()
    changed = messages = 0
    with open_memory(options, must_exist=False) as memory:
        bar = _Bar(len(chats))
        try:
            for number in range(0, len(chats), _TOGETHER):
                bar.show(number)
                for done in _store(memory, options.user, chats[number : number + _TOGETHER]):
                    messages += done.messages
                    changed += done.changed > 0
            bar.show(len(chats))
            memory.warm(options.user)
        finally:
            bar.clear()
    seconds = time.perf_counter() - start
    say(
        f"{count_of(len(chats), 'conversation')} with {count_of(messages, 'message')}, "
        f"{changed:,} of them new or changed, in {seconds:.1f} s"
    )


def _store(memory: ConversationMemory, user: str, chats: Sequence[tuple[str, Chat]]) -> Iterator[Indexed]:
    try:
        yield from memory.index_conversations(user, [chat for _, chat in chats])
        return
    except AIInfraError:
        pass  # one of them: those before it are kept, and it is named
    for path, chat in chats:
        try:
            yield memory.index_conversation(user, *chat)
        except AIInfraError as error:
            raise type(error)(f"{path}, conversation {chat.session_id!r}: {error}") from error


class _Bar:
    """Progress on standard error, where that is a terminal."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._on = sys.stderr.isatty()
        self._shown = -1

    def show(self, done: int) -> None:
        filled = done * _WIDTH // self._total
        percent = done * 100 // self._total
        if self._on and percent != self._shown:
            self._shown = percent
            bar = "█" * filled + "░" * (_WIDTH - filled)
            print(f"\r{bar} {percent:>3}%  {done:,} of {self._total:,}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._on:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
