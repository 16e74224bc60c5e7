"""The operations of a conversation memory, each written once; :mod:`.memory` gives them their two faces."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from ai_infra._checks import check_score, micros_of, shown
from ai_infra._core import (
    canonical_filter,
    check_query,
    filter_matches,
    local_model,
    message_chunks,
    message_passages,
)
from ai_infra._flow import Apart, Call, Flow, on_thread
from ai_infra.embeddings.base import Embedder
from ai_infra.embeddings.cache import CachedEmbedder
from ai_infra.errors import ConflictError, EmbeddingMismatchError, InvalidInputError
from ai_infra.llm.conversation.dates import bound
from ai_infra.llm.conversation.index import Accept, Indexes, UserIndex
from ai_infra.llm.conversation.lately import Found
from ai_infra.llm.conversation.prepare import Prepared, check_id, digest, prepare, words_of
from ai_infra.llm.conversation.result import Conversation, Indexed, SearchResult, Stats
from ai_infra.llm.conversation.summary import Summaries
from ai_infra.storage.conversations import ConversationBackend, Head, State, Write

_ROUNDS = 10
"""Conversations that change while everything is embedded anew, or while they are searched, need another round."""
_PAGE = 20_000
"""Messages read at a time for an index: what is not there yet takes memory only once."""
_AGAIN = 5
"""An index is kept again when a fifth of it is new, and at the end when a fiftieth is."""
_AT_LAST = 50
CONTEXT = 2_000
"""Characters that the contexts of the first results hold together."""


class ConversationFlows:
    """State and operations; every method returns a flow."""

    def __init__(
        self,
        backend: ConversationBackend,
        embedder: Embedder | None,
        *,
        chunk_size: int,
        chunk_overlap: int,
        summaries: Summaries | None,
        index_memory: int,
        owns_embedder: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._backend = backend
        self._embedder = None if embedder is None else CachedEmbedder(embedder)
        self._chunks = (chunk_size, chunk_overlap)
        self._summaries = summaries
        self._owned: list[Any] = [embedder] if owns_embedder else []
        self._clock = clock
        name = None if self._embedder is None else self._embedder.identity
        self._indexes = Indexes(lambda: UserIndex(chunk_size, chunk_overlap, name), index_memory)

    @property
    def _model(self) -> str:
        return local_model() if self._embedder is None else self._embedder.identity

    def _now(self) -> int:
        return micros_of(self._clock)

    # Writing ------------------------------------------------------------------------------------------------

    def _index(self, user_id: Any, session_id: Any, messages: Iterable[Any], metadata: Any) -> Flow[Indexed]:
        # The messages may be a generator of the caller's.
        ready: Prepared = yield Apart(lambda: prepare(user_id, session_id, messages, metadata))
        (done,) = yield from self._store([ready])
        return done

    def _index_all(self, user_id: Any, conversations: Iterable[Any]) -> Flow[list[Indexed]]:
        ready: list[Prepared] = yield Apart(lambda: list(_prepared(user_id, conversations)))
        return (yield from self._store(ready))

    def _store(self, ready: Sequence[Prepared]) -> Flow[list[Indexed]]:
        """Store conversations of one user in one transaction."""
        if not ready:
            return []
        state = yield from self._backend.state(ready[0].user_id)
        self._check_model(state)
        writes: list[Write] = []
        paid: list[int] = []
        for one in ready:
            summary, summarized = None, 0
            if self._summaries is not None:
                held = yield from self._backend.get(one.user_id, one.session_id)
                summary, summarized = yield from self._summaries.of(one, held)
            write, embedded = yield from self._write(one, summary, summarized, None)
            writes.append(write)
            paid.append(embedded)
        stored = yield from self._backend.put(writes, self._model, self._now())
        done = []
        for one, write, put, embedded in zip(ready, writes, stored, paid, strict=True):
            joined = words_of(one.fields).joined + ([True] if write.summary else [])
            chunks = len(message_chunks(joined, *self._chunks))
            done.append(Indexed(one.session_id, chunks, len(one.messages), put.changed, embedded))
        return done

    def _write(
        self, ready: Prepared, summary: str | None, summarized: int, restored: tuple[int, int] | None
    ) -> Flow[tuple[Write, int]]:
        vectors: dict[bytes, bytes] = {}
        embedded = 0
        if self._embedder is not None:
            texts = _passages(ready.fields, summary)
            vectors, embedded = yield from self._vectors(ready.user_id, texts)
        span = ready.span
        write = Write(
            ready.user_id,
            ready.session_id,
            ready.messages,
            ready.metadata,
            span and span.start,
            span and span.end,
            summary,
            summarized,
            vectors,
            restored,
        )
        return write, embedded

    def _vectors(self, user_id: str | None, texts: Sequence[str]) -> Flow[tuple[dict[bytes, bytes], int]]:
        """The vectors of these texts by hash, and how many had to be asked for."""
        embedder = self._embedder
        assert embedder is not None
        wanted = {digest(embedder.identity, text): text for text in texts if text.strip()}
        known: dict[bytes, bytes] = {}
        if wanted and user_id is not None:
            known = yield from self._backend.known(user_id, list(wanted))
            if embedder.dimensions is not None:
                size = 4 * embedder.dimensions
                known = {key: vector for key, vector in known.items() if len(vector) == size}
        new = [key for key in wanted if key not in known]
        made = yield from embedder.rows([wanted[key] for key in new])
        return {**known, **dict(zip(new, made, strict=True))}, len(new)

    def _check_model(self, state: State) -> None:
        if state.model is not None and state.model != self._model and state.ref:
            raise EmbeddingMismatchError(
                f"the conversations are embedded by {state.model!r}, and this memory embeds by {self._model!r}; "
                "open it with the embedder it holds, or give it to the new one with reembed()"
            )

    def _delete(self, user_id: Any, session_id: Any) -> Flow[bool]:
        user, session = check_id("user_id", user_id), check_id("session_id", session_id)
        return (yield from self._backend.delete(user, session)) > 0

    def _delete_user(self, user_id: Any) -> Flow[int]:
        return (yield from self._backend.delete(check_id("user_id", user_id), None))

    # Searching ----------------------------------------------------------------------------------------------

    def _search(
        self,
        user_id: Any,
        query: Any,
        limit: Any,
        min_score: Any,
        session_id: Any,
        after: Any,
        before: Any,
        metadata: Any,
    ) -> Flow[list[SearchResult]]:
        user = check_id("user_id", user_id)
        session = None if session_id is None else check_id("session_id", session_id)
        check_query("q", query, metadata)
        count = check_count("limit", limit)
        least = check_score(min_score)
        accept = _accept(session, bound("after", after), bound("before", before), metadata)
        state = yield from self._backend.state(user)
        if not state.ref or not count:
            return []
        self._check_model(state)
        vector: bytes | None = None
        if self._embedder is not None and query.strip():
            vector = yield from self._embedder.ask(query)
        results: list[SearchResult] = []
        for _ in range(_ROUNDS):
            results, same = yield from self._found(user, state, query, vector, count, accept)
            if same:
                break
            # A conversation changed between the search and the reading of its words. What remains so to the last
            # round is left out.
            state = yield from self._backend.state(user)
            if not state.ref:
                return []
        return results if least is None else [result for result in results if result.score >= least]

    def _found(
        self, user: str, state: State, query: str, vector: bytes | None, limit: int, accept: Accept | None
    ) -> Flow[tuple[list[SearchResult], bool]]:
        """Results with their words, and whether all were as the index has them."""
        index = yield from self._caught_up(user, state)
        if vector is not None and index.dimensions not in (0, len(vector) // 4):
            raise EmbeddingMismatchError(
                f"the conversations have vectors of {index.dimensions} dimensions, and that of the question has "
                f"{len(vector) // 4}; ask for {index.dimensions}, or call reembed()"
            )
        if not index.dimensions:
            vector = None
        same, heads = True, index.heads()
        if accept is not None and heads is None:
            listed = yield from self._backend.list(user)
            heads = {head.ref: head for head in listed}
            same = index.know(listed)

        def search() -> tuple[Found, list[SearchResult]]:
            found = index.search(query, vector, limit, CONTEXT, accept, heads)
            return found, [] if found.missing else found.results()

        found, results = yield from on_thread(search)
        if found.missing:
            picked = yield from self._backend.pick(user, found.missing)

            def read() -> tuple[bool, list[SearchResult]]:
                return found.learn(picked), found.results()

            whole, results = yield from on_thread(read)
            same = same and whole
        return results, same

    def _caught_up(self, user_id: str, state: State) -> Flow[UserIndex]:
        """The user's index, with everything in it that was stored when ``state`` was read."""
        index = self._indexes.of(user_id)
        while True:
            ref, generation = index.mark
            if ref == state.ref and generation >= state.generation:
                return index
            if ref > state.ref:  # the user was forgotten and came back since `state` was read
                return index
            if index.untouched:
                blank = index.blank()
                kept = yield from self._backend.restore(user_id, self._model, blank)
                if kept is not None:
                    index.adopt(blank, kept)
                    continue
            version, held = index.held()
            changes = yield from self._backend.changes(user_id, held, _PAGE)
            applied = yield from on_thread(partial(index.apply, version, changes))
            self._indexes.shrink()
            if not changes.state.ref:
                return index
            if applied and changes.whole and index.due(_AGAIN):
                yield from self._keep(user_id, index)

    def _keep(self, user_id: str, index: UserIndex) -> Flow[None]:
        changed, mark, core = index.to_keep()
        done = yield from self._backend.keep(user_id, self._model, mark, core)
        index.kept(changed, done)

    def _warm(self, user_id: Any) -> Flow[None]:
        user = check_id("user_id", user_id)
        state = yield from self._backend.state(user)
        if state.ref:
            self._check_model(state)
            yield from self._caught_up(user, state)

    # Reading ------------------------------------------------------------------------------------------------

    def _get(self, user_id: Any, session_id: Any) -> Flow[Conversation | None]:
        user, session = check_id("user_id", user_id), check_id("session_id", session_id)
        stored = yield from self._backend.get(user, session)
        return None if stored is None else Conversation.of(stored.head, stored.messages)

    def _list(
        self, user_id: Any, limit: Any, offset: Any, after: Any, before: Any, metadata: Any
    ) -> Flow[list[Conversation]]:
        user = None if user_id is None else check_id("user_id", user_id)
        most = None if limit is None else check_count("limit", limit)
        first = check_count("offset", offset)
        accept = _accept(None, bound("after", after), bound("before", before), metadata)
        heads = yield from self._backend.list(user)
        if accept is not None:
            heads = [head for head, good in zip(heads, accept(heads), strict=True) if good]
        return [Conversation.of(head) for head in heads[first : None if most is None else first + most]]

    def _stats(self, user_id: Any) -> Flow[Stats]:
        user = None if user_id is None else check_id("user_id", user_id)
        totals = yield from self._backend.totals(user)
        return Stats(*totals, self._model)

    # The whole memory ---------------------------------------------------------------------------------------

    def _reembed(self) -> Flow[int]:
        for _ in range(_ROUNDS):
            pending = yield from self._backend.pending()
            rows: list[tuple[int, int, Mapping[bytes, bytes]]] = []
            for stored in pending:
                vectors: dict[bytes, bytes] = {}
                if self._embedder is not None:
                    fields = [_loads(message) for message in stored.messages]
                    vectors, _ = yield from self._vectors(None, _passages(fields, stored.head.summary))
                rows.append((stored.head.ref, stored.head.seq, vectors))
            if (yield from self._backend.reembed(self._model, rows)):
                return len(rows)
        raise ConflictError(
            "the memory kept changing while it was embedded anew; call reembed() when it is quiet"
        )

    def _purge(self) -> Flow[None]:
        self._indexes.clear()
        yield from self._backend.purge()

    def _close(self) -> Flow[None]:
        for user_id, index in self._indexes.all():
            if index.due(_AT_LAST):
                yield from self._keep(user_id, index)
        self._indexes.clear()
        yield from self._backend.close()
        if self._summaries is not None:
            self._owned.append(self._summaries.owned)
        for made in self._owned:
            if hasattr(made, "aclose"):
                yield Call(made.close, made.aclose)


def _prepared(user_id: Any, conversations: Iterable[Any]) -> Iterator[Prepared]:
    for at, conversation in enumerate(conversations):
        try:
            session, messages, metadata = conversation
        except (TypeError, ValueError):
            raise InvalidInputError(
                f"conversation {at} is no (session_id, messages, metadata); nothing was written"
            ) from None
        try:
            yield prepare(user_id, session, messages, metadata)
        except InvalidInputError as error:
            raise type(error)(f"conversation {at}: {error}") from None


def _loads(message: str) -> dict[str, Any]:
    import json

    found: dict[str, Any] = json.loads(message)
    return found


def _passages(fields: Sequence[Mapping[str, Any]], summary: str | None) -> list[str]:
    """The texts whose vectors the index needs."""
    texts = words_of(fields).texts
    if summary:
        texts.append(summary)
    return [texts[message][start:end] for message, start, end in message_passages(texts)]


def _accept(session_id: str | None, after: int | None, before: int | None, metadata: Any) -> Accept | None:
    """Which conversations are searched; None for all."""
    wanted = None if metadata is None else canonical_filter(metadata)
    if session_id is None and after is None and before is None and wanted is None:
        return None

    def accept(heads: list[Head]) -> list[bool]:
        good = [
            (session_id is None or head.session_id == session_id)
            and (after is None or (head.ends is not None and head.ends >= after))
            and (before is None or (head.starts is not None and head.starts < before))
            for head in heads
        ]
        if wanted is not None:
            matched = filter_matches(wanted, [head.metadata for head in heads])
            good = [one and other for one, other in zip(good, matched, strict=True)]
        return good

    return accept


def check_count(name: str, value: Any) -> int:
    """A count that a user passed.

    Raises:
        InvalidInputError: it is no whole number of 0 or more.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise InvalidInputError(f"{name}={shown(value)} is no whole number from 0 to {2**31 - 1}")
    return int(value)
