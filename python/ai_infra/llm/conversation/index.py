"""The search index of one user, made of what the database holds, and the room where such indexes are kept.

Any number of threads search one index while another catches it up. A counter that is odd while the index changes tells
a search that it saw half of a change, and has to search again (a sequence lock). No lock is held while a backend is
asked. The words of what was found are read afterwards (:mod:`.lately`).
"""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from ai_infra._core import ConversationIndex, message_passages
from ai_infra.llm.conversation.dates import as_datetime
from ai_infra.llm.conversation.lately import Found, Lately, Line, Lines, key_of, place_of
from ai_infra.llm.conversation.prepare import Words, digest, words_of
from ai_infra.storage.conversations import Changes, Head, Stored

_TRIES = 3
"""Searches beside a writer before one waits for it."""
_FEW = 8
"""Changed conversations whose words are kept: they are likely to be found, and to change again."""

_WORTH = 1_000
"""Messages that are worth a file: reading it takes a few milliseconds less than making their index anew."""

Accept = Callable[[list[Head]], Sequence[bool]]


class UserIndex:
    """One user's conversations, searchable."""

    def __init__(self, chunk_size: int, chunk_overlap: int, model: str | None) -> None:
        self._chunks = (chunk_size, chunk_overlap)
        self._model = model
        self._lock = threading.Lock()
        self._changing = 0
        self._version = 0
        self._reset(self.blank())

    def blank(self, dimensions: int = 0) -> ConversationIndex:
        """An empty index for the core."""
        kind = "local" if self._model is None else "external" if dimensions else "none"
        return ConversationIndex(*self._chunks, embedding=kind, dimensions=dimensions)

    def _reset(self, index: ConversationIndex) -> None:
        self._index = index
        self.dimensions = index.dimensions
        self._seqs: dict[int, int] | None = None
        self._heads: dict[int, Head] | None = None
        self._lately = Lately()
        self._changed = 0
        self._patience = 0
        self.mark = (0, 0)
        """Up to where the index is: the user's ``ref`` and generation."""

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return self._index.footprint + 1_000 * len(self._heads or ()) + self._lately.size

    def held(self) -> tuple[int, dict[int, int]]:
        """A number that changes with the index, and what it holds: ``ref`` to ``seq``."""
        with self._lock:
            return self._version, dict(self._refs())

    def _refs(self) -> dict[int, int]:
        if self._seqs is None:
            self._seqs = dict(map(place_of, self._index.sessions()))
        return self._seqs

    @property
    def untouched(self) -> bool:
        """Whether nothing has been put into it yet."""
        return self._version == 0

    def adopt(self, index: ConversationIndex, mark: tuple[int, int]) -> None:
        """Begin with an index that was kept, unless somebody has begun already."""
        with self._lock:
            if self._version == 0:
                self._version = 1
                self._changing += 1
                self._reset(index)
                self.mark = mark
                self._changing += 1

    def due(self, share: int) -> bool:
        """Whether to keep it: a part of it (the whole divided by ``share``) is not in what was kept last."""
        return self._changed >= _WORTH and self._changed >= len(self._index) // share + self._patience

    def to_keep(self) -> tuple[int, tuple[int, int], ConversationIndex]:
        """How much has changed, up to where the index is, and the index.

        Should it change while it is being kept, it is behind the database, and a backend keeps none that is.
        """
        with self._lock:
            return self._changed, self.mark, self._index

    def kept(self, changed: int, done: bool) -> None:
        """Note that it was kept, or that another try has time until as much again has changed."""
        with self._lock:
            if done:
                self._changed = max(0, self._changed - changed)
            self._patience = 0 if done else self._changed

    def apply(self, version: int, changes: Changes) -> bool:
        """Take over what was read for the index at ``version``; False where that must be read again."""
        size = next((len(v) // 4 for stored in changes.loaded for v in stored.vectors.values()), 0)
        made = [(stored, _words(stored)) for stored in changes.loaded]
        with self._lock:
            if self._version != version:
                return False
            self._changing += 1
            try:
                self._version += 1
                if size and size != self.dimensions:
                    empty = not self._refs()
                    self._reset(self.blank(size))
                    if not empty:
                        return False
                live = set(changes.live)
                for ref in [ref for ref in self._refs() if ref not in live]:
                    self._drop(ref)
                for stored, words in made:
                    self._drop(stored.head.ref)
                    self._put(stored, words)
                if len(made) <= _FEW:
                    self._lately.keep([_lines(stored, words) for stored, words in made])
                if changes.whole:
                    self.mark = changes.state[:2]
            finally:
                self._changing += 1
        return True

    def _drop(self, ref: int) -> None:
        seq = self._refs().pop(ref, None)
        if seq is not None:
            key = key_of(ref, seq)
            self._index.remove(key)
            self._lately.drop(key)
            if self._heads is not None:
                self._heads.pop(ref, None)

    def _put(self, stored: Stored, words: Words) -> None:
        head = stored.head
        vectors = None
        if self.dimensions and self._model is not None:
            empty = bytes(4 * self.dimensions)
            vectors = b"".join(
                stored.vectors.get(digest(self._model, words.texts[message][start:end]), empty)
                for message, start, end in message_passages(words.texts)
            )
        self._index.put(
            key_of(head.ref, head.seq),
            words.texts,
            roles=words.roles,
            speakers=words.names,
            joined=words.joined,
            date=as_datetime(head.starts).isoformat() if head.starts is not None else None,
            vectors=vectors,
        )
        self._refs()[head.ref] = head.seq
        self._changed += len(words.texts)
        if self._heads is not None:
            self._heads[head.ref] = head

    def heads(self) -> dict[int, Head] | None:
        """The heads of all conversations, once they were needed."""
        return self._heads

    def know(self, heads: Sequence[Head]) -> bool:
        """Keep heads just read, and from then on with the index; False where one is not as the index has it."""
        with self._lock:
            found = {head.ref: head for head in heads}
            same = {ref: head.seq for ref, head in found.items()} == self._refs()
            if same:
                self._heads = found
            return same

    def search(
        self,
        query: str,
        vector: bytes | None,
        limit: int,
        context: int,
        accept: Accept | None,
        heads: Mapping[int, Head] | None,
    ) -> Found:
        """Where the question is answered best, among the conversations that are accepted.

        ``accept`` is asked about the ``heads`` that are as the index has them.
        """
        for _ in range(_TRIES):
            before = self._changing
            if before % 2 == 0:
                found = self._search(query, vector, limit, context, accept, heads)
                if self._changing == before:
                    return found
        with self._lock:
            return self._search(query, vector, limit, context, accept, heads)

    def _search(
        self,
        query: str,
        vector: bytes | None,
        limit: int,
        context: int,
        accept: Accept | None,
        heads: Mapping[int, Head] | None,
    ) -> Found:
        only = None
        if accept is not None:
            held = self._refs()
            candidates = [head for head in list((heads or {}).values()) if held.get(head.ref) == head.seq]
            answers = accept(candidates)
            only = [
                key_of(head.ref, head.seq) for head, good in zip(candidates, answers, strict=True) if good
            ]
            if not only:
                return Found([], self._lately)
        hits = self._index.search(query, limit=limit, vector=vector, sessions=only, context=context)
        return Found(hits, self._lately)


def _words(stored: Stored) -> Words:
    words = words_of([json.loads(message) for message in stored.messages])
    if stored.head.summary:
        # The summary is searched as one more message behind the last; results show it on every chunk.
        words.texts.append(stored.head.summary)
        words.roles.append("summary")
        words.names.append(None)
        words.joined.append(True)
    return words


def _lines(stored: Stored, words: Words) -> tuple[str, Lines]:
    lines = Lines(stored.head)
    for at, message in enumerate(stored.messages):
        name = words.names[at]
        lines.add(at, Line(message, words.texts[at], name or words.roles[at], name))
    return key_of(stored.head.ref, stored.head.seq), lines


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

    def all(self) -> list[tuple[str, UserIndex]]:
        """The users, and their indexes."""
        with self._lock:
            return list(self._users.items())

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
