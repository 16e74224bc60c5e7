"""From places in conversations to results: the messages of a search, and those of the searches before it.

An index knows no words. What it finds are places: ``(ref, seq)`` of a conversation, and positions in it. The messages
there are read from the database, and those read lately are kept, so that asking again reads nothing. A conversation
under one ``seq`` never changes, so what is kept can be old but never wrong.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ai_infra._core import RecallHit
from ai_infra.llm.conversation.dates import as_datetime
from ai_infra.llm.conversation.prepare import said_of
from ai_infra.llm.conversation.result import ConversationChunk, Evidence, SearchResult
from ai_infra.storage.conversations import Head, Picked

KEPT = 4 * 2**20
"""Bytes of messages that are kept for a user, about."""
_OVERHEAD = 500
"""Of a message's objects."""


def key_of(ref: int, seq: int) -> str:
    """A conversation as it was at one moment."""
    return f"{ref}:{seq}"


def place_of(key: str) -> tuple[int, int]:
    """``ref`` and ``seq`` of what :func:`key_of` named."""
    ref, _, seq = key.partition(":")
    return int(ref), int(seq)


class Line(NamedTuple):
    """A message, ready to be shown."""

    message: str
    """As canonical JSON; empty for the summary."""
    text: str
    who: str
    name: str | None


class Lines:
    """The messages known of a conversation as it was at one moment."""

    __slots__ = ("at", "head", "size")

    def __init__(self, head: Head) -> None:
        self.head = head
        self.at: dict[int, Line] = {}
        self.size = _OVERHEAD + len(head.metadata)
        if head.summary:
            # It is searched as one more message behind the last.
            self.at[head.length] = Line("", head.summary, "summary", None)
            self.size += len(head.summary)

    def add(self, position: int, line: Line) -> None:
        """Keep a message; threads that add the same one agree."""
        if position not in self.at:
            self.size += _OVERHEAD + len(line.message) + len(line.text)
            self.at[position] = line


class Lately:
    """The messages that were read last, a few megabytes of them. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[Lines, int]] = OrderedDict()
        self.size = 0

    def of(self, key: str) -> Lines | None:
        """What is known of a conversation."""
        with self._lock:
            found = self._known.get(key)
            if found is None:
                return None
            self._known.move_to_end(key)
            return found[0]

    def keep(self, lines: Iterable[tuple[str, Lines]]) -> None:
        """Keep these, and forget what was used longest ago."""
        with self._lock:
            for key, one in lines:
                self._forget(key)
                size = one.size
                self._known[key] = (one, size)
                self.size += size
            while self.size > KEPT and len(self._known) > 1:
                self._forget(next(iter(self._known)))

    def drop(self, key: str) -> None:
        """Forget a conversation that is gone."""
        with self._lock:
            self._forget(key)

    def _forget(self, key: str) -> None:
        old = self._known.pop(key, None)
        if old is not None:
            self.size -= old[1]


class Found:
    """What a search found: places, and as much of their words as is known."""

    def __init__(self, hits: Sequence[RecallHit], lately: Lately) -> None:
        self._lately = lately
        self._hits = [(hit, hit.context) for hit in hits]
        keys = {hit.session for hit in hits}
        # Held from here on, whatever others make the cache forget.
        self._known = {key: lines for key in keys if (lines := lately.of(key)) is not None}
        self.missing = self._missing()

    def _missing(self) -> dict[int, list[int]]:
        wanted: dict[int, set[int]] = {}
        for hit, context in self._hits:
            lines = self._known.get(hit.session)
            known = lines.at if lines is not None else {}
            places = {*range(hit.start, hit.end), *(message for message, _, _ in context), hit.best}
            lacking = [at for at in places if at not in known]
            if lacking:
                wanted.setdefault(place_of(hit.session)[0], set()).update(lacking)
        return {ref: sorted(places) for ref, places in wanted.items()}

    def learn(self, picked: Iterable[Picked]) -> bool:
        """Take the messages that were missing; False where a conversation is another one by now."""
        for one in picked:
            key = key_of(one.head.ref, one.head.seq)
            lines = self._known.get(key)
            if lines is None:
                lines = self._known[key] = Lines(one.head)
            for at, message in one.messages.items():
                said = said_of(json.loads(message))
                lines.add(at, Line(message, said.text, said.name or said.role, said.name))
        self.missing = self._missing()
        self._lately.keep(self._known.items())
        return not self.missing

    def results(self) -> list[SearchResult]:
        """The results whose words are known, in order."""
        return [
            _result(lines, hit, context)
            for hit, context in self._hits
            if (lines := self._known.get(hit.session)) is not None
            and place_of(hit.session)[0] not in self.missing
        ]


def _result(known: Lines, hit: RecallHit, context: list[tuple[int, int, int]]) -> SearchResult:
    head, at = known.head, known.at
    lines: list[tuple[str, str]] = []
    plain: list[str] = []
    last = None
    for message, begin, stop in context:
        line = at[message]
        text = line.text[begin:stop]
        if last is not None and message != last + 1:
            lines.append(("", "…"))
            plain.append("…")
        lines.append((line.who, text))
        plain.append(f"{line.name}: {text}" if line.name else text)
        last = message
    inside = [at[message] for message in range(hit.start, min(hit.end, head.length))]
    chunk = ConversationChunk(
        head.user_id,
        head.session_id,
        hit.chunk,
        hit.start,
        hit.start + len(inside),
        None if head.starts is None else as_datetime(head.starts),
        head.summary,
        tuple(f"{line.who}: {line.text}" for line in inside if line.text),
        tuple(line.message for line in inside),
        head.metadata,
    )
    best = hit.best
    evidence = Evidence(best, at[best].text, tuple(hit.words), hit.similarity, hit.parts)
    return SearchResult(chunk, hit.score, "\n".join(plain), tuple(lines), evidence)
