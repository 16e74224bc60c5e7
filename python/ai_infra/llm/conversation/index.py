"""The search index of one user, made of what the database holds, and the room where such indexes are kept.

Any number of threads search one index while another catches it up. Results point into conversations by position,
so a search has to read the words of exactly what it searched: a counter that is odd while the index changes tells it
to search again (a sequence lock). No lock is held while a backend is asked.
"""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ai_infra._core import ConversationIndex, message_passages
from ai_infra.llm.conversation.dates import as_datetime
from ai_infra.llm.conversation.prepare import Words, digest, words_of
from ai_infra.llm.conversation.result import ConversationChunk, Evidence, SearchResult
from ai_infra.storage.conversations import Changes, Head, Stored

_TRIES = 3
"""Searches beside a writer before one waits for it."""


class Held(NamedTuple):
    """A conversation as the index holds it."""

    key: str
    head: Head
    messages: list[str]
    words: Words
    size: int


class UserIndex:
    """One user's conversations, searchable."""

    def __init__(self, chunk_size: int, chunk_overlap: int, model: str | None) -> None:
        self._chunks = (chunk_size, chunk_overlap)
        self._model = model
        self._lock = threading.Lock()
        self._changing = 0
        self.size = 0
        self._reset(0)

    def _reset(self, dimensions: int) -> None:
        self.dimensions = dimensions
        kind = "local" if self._model is None else "external" if dimensions else "none"
        self._index = ConversationIndex(*self._chunks, embedding=kind, dimensions=dimensions)
        self._held: dict[int, Held] = {}
        self._keys: dict[str, Held] = {}
        self.mark = (0, 0)
        self.size = 0

    def held(self) -> tuple[tuple[int, int], dict[int, int]]:
        """Up to where the index is, and what it holds."""
        with self._lock:
            return self.mark, {ref: one.head.seq for ref, one in self._held.items()}

    def apply(self, base: tuple[int, int], changes: Changes) -> bool:
        """Take over what was read for an index that stood at ``base``; False where that must be read again."""
        mark = changes.state[:2]
        size = next((len(v) // 4 for stored in changes.loaded for v in stored.vectors.values()), 0)
        made = [(stored, _hold(stored)) for stored in changes.loaded]
        with self._lock:
            if self.mark != base:
                return False
            self._changing += 1
            try:
                if size and size != self.dimensions:
                    fresh = len(made) == len(changes.live)
                    self._reset(size)
                    if not fresh:
                        return False
                live = set(changes.live)
                for ref in [ref for ref in self._held if ref not in live]:
                    self._drop(ref)
                for stored, held in made:
                    self._drop(stored.head.ref)
                    self._put(held, stored)
                self.mark = mark
            finally:
                self._changing += 1
        return True

    def _drop(self, ref: int) -> None:
        old = self._held.pop(ref, None)
        if old is not None:
            self._index.remove(old.key)
            del self._keys[old.key]
            self.size -= old.size

    def _put(self, held: Held, stored: Stored) -> None:
        words, head = held.words, held.head
        vectors = None
        if self.dimensions and self._model is not None:
            empty = bytes(4 * self.dimensions)
            vectors = b"".join(
                stored.vectors.get(digest(self._model, words.texts[message][start:end]), empty)
                for message, start, end in message_passages(words.texts)
            )
        date = as_datetime(head.starts).isoformat() if head.starts is not None else None
        self._index.put(
            held.key,
            words.texts,
            roles=words.roles,
            speakers=words.names,
            joined=words.joined,
            date=date,
            vectors=vectors,
        )
        self._held[head.ref] = self._keys[held.key] = held
        self.size += held.size

    def search(
        self,
        query: str,
        vector: bytes | None,
        limit: int,
        context: int,
        accept: Callable[[list[Head]], Sequence[bool]] | None,
    ) -> list[SearchResult]:
        """The chunks that answer the question best, among the conversations that are accepted."""
        for _ in range(_TRIES):
            before = self._changing
            if before % 2 == 0:
                found = self._search(query, vector, limit, context, accept)
                if found is not None and self._changing == before:
                    return found
        with self._lock:
            return self._search(query, vector, limit, context, accept) or []

    def _search(
        self,
        query: str,
        vector: bytes | None,
        limit: int,
        context: int,
        accept: Callable[[list[Head]], Sequence[bool]] | None,
    ) -> list[SearchResult] | None:
        keys, only = self._keys, None
        if accept is not None:
            candidates = list(keys.values())
            answers = accept([held.head for held in candidates])
            only = [held.key for held, good in zip(candidates, answers, strict=True) if good]
            if not only:
                return []
        hits = self._index.search(query, limit=limit, vector=vector, sessions=only, context=context)
        results = []
        for hit in hits:
            held = keys.get(hit.session)
            if held is None:
                return None  # it went while we searched
            results.append(_result(held, hit))
        return results


def _hold(stored: Stored) -> Held:
    words = words_of([json.loads(message) for message in stored.messages])
    if stored.head.summary:
        # The summary is searched as one more message behind the last; results show it on every chunk.
        words.texts.append(stored.head.summary)
        words.roles.append("summary")
        words.names.append(None)
        words.joined.append(True)
    # Our copies of the text, and about twice that for terms and postings in the core.
    size = (
        sum(map(len, stored.messages))
        + 4 * sum(map(len, words.texts))
        + sum(map(len, stored.vectors.values()))
    )
    key = f"{stored.head.ref}:{stored.head.seq}"
    return Held(key, stored.head, stored.messages, words, size + 2_000)


def _who(held: Held, at: int) -> str:
    return held.words.names[at] or held.words.roles[at]


def _result(held: Held, hit: Any) -> SearchResult:
    head, texts, names = held.head, held.words.texts, held.words.names
    end = min(hit.end, head.length)
    lines: list[tuple[str, str]] = []
    plain: list[str] = []
    last = None
    for message, begin, stop in hit.context:
        if message >= head.length:
            who, text = "summary", texts[message][begin:stop]
        else:
            who, text = _who(held, message), texts[message][begin:stop]
        if last is not None and message != last + 1:
            lines.append(("", "…"))
            plain.append("…")
        lines.append((who, text))
        plain.append(f"{names[message]}: {text}" if names[message] else text)
        last = message
    chunk = ConversationChunk(
        head.user_id,
        head.session_id,
        hit.chunk,
        hit.start,
        end,
        None if head.starts is None else as_datetime(head.starts),
        head.summary,
        tuple(f"{_who(held, at)}: {texts[at]}" for at in range(hit.start, end) if texts[at]),
        tuple(held.messages[hit.start : end]),
        head.metadata,
    )
    evidence = Evidence(hit.best, texts[hit.best], tuple(hit.words), hit.similarity, dict(hit.parts))
    return SearchResult(chunk, hit.score, "\n".join(plain), tuple(lines), evidence)


class Indexes:
    """The indexes of the users searched lately, as many as fit in ``max_bytes`` (the newest always)."""

    def __init__(self, make: Callable[[], UserIndex], max_bytes: int) -> None:
        self._make = make
        self._max_bytes = max_bytes
        self._start()

    def _start(self) -> None:
        # A fork may have copied a lock that a thread of the parent holds; the child begins anew.
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._users: OrderedDict[str, UserIndex] = OrderedDict()

    def of(self, user_id: str) -> UserIndex:
        """The user's index; an empty one to be caught up where there is none."""
        if self._pid != os.getpid():
            self._start()
        with self._lock:
            index = self._users.get(user_id)
            if index is None:
                index = self._users[user_id] = self._make()
            else:
                self._users.move_to_end(user_id)
            return index

    def shrink(self) -> None:
        """Forget what was unused longest until the rest fits."""
        with self._lock:
            total = sum(index.size for index in self._users.values())
            while total > self._max_bytes and len(self._users) > 1:
                total -= self._users.popitem(last=False)[1].size

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._users.clear()
