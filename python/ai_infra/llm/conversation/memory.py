"""``ConversationMemory``: every past conversation of a user, and the moment in it that answers a question.

The operations are in :mod:`.flows` and :mod:`.files`; here are their two faces, ``name`` and ``aname``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import IO, Any, Literal

from ai_infra._flow import Closing, arun, run
from ai_infra.llm.conversation.files import ConversationFiles
from ai_infra.llm.conversation.open import check_sizes, open_backend, open_embedder
from ai_infra.llm.conversation.result import Conversation, Indexed, SearchResult, Stats
from ai_infra.llm.conversation.summary import Summaries
from ai_infra.storage.conversations import ConversationBackend

__all__ = ["ConversationMemory"]

When = datetime | date | str | float
Metadata = Mapping[str, Any]


class ConversationMemory(ConversationFiles, Closing):
    """Indexes conversations and finds the moment that answers a question, over all a user ever had.

    Without options everything is in memory and search works offline, by words and by the meaning of words. Every
    method has an ``a…`` twin for asyncio. What ``index_conversation`` returned for is durable on SQLite, and whole: one
    transaction, whatever dies when. Any number of threads, and of processes on one file, may index and search; a search
    sees everything that was indexed before it began. Use it as a context manager, or call :meth:`close`.

    No user ever sees another's: ids are compared byte for byte.

    Args:
        backend: ``"memory"``, ``"sqlite"`` (with ``path``), ``"postgres"`` (with ``connection_string``), or a
            :class:`~ai_infra.storage.conversations.ConversationBackend`.
        path: the file; it may also hold a ``MemoryStore`` and sessions. ``":memory:"`` is memory, as in SQLite.
        connection_string: of the server.
        schema: with ``"postgres"``: where the tables are (``"ai_infra"``).
        tenant: with ``"postgres"``: whose conversations these are; a memory sees no other tenant's.
        row_level_security: with ``"postgres"``: let the database isolate the tenant, too; see ``docs/postgres.md``.
        embedding_provider: ``"openai"`` or another provider's name, ``"local"`` for the built-in embedder (default).
        embedding_model: a model of the provider.
        embedding_dimensions: the size of its vectors, where the model lets one choose.
        embeddings: any object with ``embed_documents`` and ``embed_query`` instead.
        base_url, api_key: any other OpenAI-compatible service.
        chunk_size: messages in a chunk, at most; a tool call and its results always stay together.
        chunk_overlap: messages that a chunk shares with the one before.
        include_summary: have an LLM summarize each conversation; the summary is searched, and stands in each chunk.
        llm: who summarizes; ``LLM()`` when not given.
        timeout: seconds an operation waits for other writers before ``StorageTimeoutError``.
        index_memory: bytes that search indexes may take; those unused longest are made again when needed.

    Raises:
        ConfigurationError: options that contradict each other, a directory, or a folder that does not exist.
        StorageCorruptError: the file is foreign, damaged or written by a newer version; it is untouched.
        InvalidInputError: sizes that make no chunks, or are no whole numbers.
    """

    def __init__(
        self,
        backend: Literal["memory", "sqlite", "postgres"] | ConversationBackend = "memory",
        *,
        path: str | os.PathLike[str] | None = None,
        connection_string: str | None = None,
        schema: str | None = None,
        tenant: str | None = None,
        row_level_security: bool | None = None,
        embedding_provider: str | None = None,
        embedding_model: str | None = None,
        embedding_dimensions: int | None = None,
        embeddings: object | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        chunk_size: int = 10,
        chunk_overlap: int = 2,
        include_summary: bool = False,
        llm: Any = None,
        timeout: float = 30.0,
        index_memory: int = 512 * 2**20,
    ) -> None:
        check_sizes(chunk_size, chunk_overlap, index_memory)
        embedder = open_embedder(
            embedding_provider, embedding_model, embedding_dimensions, embeddings, base_url, api_key
        )
        super().__init__(
            open_backend(
                backend,
                path,
                connection_string,
                timeout,
                schema=schema,
                tenant=tenant,
                row_level_security=row_level_security,
            ),
            embedder,
            chunk_size=chunk_size,
            chunk_overlap=chunk_overlap,
            summaries=Summaries(llm) if include_summary else None,
            index_memory=index_memory,
            owns_embedder=embeddings is None,
        )

    def index_conversation(
        self,
        user_id: str,
        session_id: str,
        messages: Iterable[Any],
        metadata: Metadata | None = None,
    ) -> Indexed:
        """Store a conversation and make it findable, in place of what is there under this id.

        Call it again when the conversation has grown: only messages that are new or different are written, and only
        their text is embedded.

        Args:
            user_id: whose; text.
            session_id: its id among the user's; text.
            messages: dicts, LangChain messages (kept as dicts) or objects of the OpenAI SDK, at least one.
            metadata: a dict that JSON can hold; ``date`` (or ``timestamp``) says when it was. Without one, time
                stamps of the messages do.

        Raises:
            InvalidInputError: one of its subclasses says what was wrong; nothing was written.
            EmbeddingError: the embedding service failed; nothing was written.
            EmbeddingMismatchError: the memory holds another model's vectors; see :meth:`reembed`.
            SummarizationError: the summary failed; nothing was written.
        """
        return run(self._index(user_id, session_id, messages, metadata))

    async def aindex_conversation(
        self,
        user_id: str,
        session_id: str,
        messages: Iterable[Any],
        metadata: Metadata | None = None,
    ) -> Indexed:
        """:meth:`index_conversation` for asyncio. Cancelled half-way, it is stored whole or not at all."""
        return await arun(self._index(user_id, session_id, messages, metadata))

    def index_conversations(
        self, user_id: str, conversations: Iterable[tuple[str, Iterable[Any], Metadata | None]]
    ) -> list[Indexed]:
        """:meth:`index_conversation` for several, each ``(session_id, messages, metadata)``, in one transaction.

        All or none. A disk has to be waited for once, so a hundred at a time are many times as fast.
        """
        return run(self._index_all(user_id, conversations))

    async def aindex_conversations(
        self, user_id: str, conversations: Iterable[tuple[str, Iterable[Any], Metadata | None]]
    ) -> list[Indexed]:
        """:meth:`index_conversations` for asyncio."""
        return await arun(self._index_all(user_id, conversations))

    def search(
        self,
        user_id: str,
        query: str,
        *,
        limit: int = 5,
        min_score: float | None = None,
        session_id: str | None = None,
        after: When | None = None,
        before: When | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> list[SearchResult]:
        """The chunks that answer the question best, best first.

        Session, time and metadata choose the conversations that are searched, before the limit.

        Args:
            user_id: whose conversations.
            query: a question or a few words, in any language.
            limit: at most so many.
            min_score: leave out what scores less (0 to 1).
            session_id: only this conversation.
            after: only conversations that were still going on at this time or later.
            before: only those that began before it. Those without a date are left out by either.
            metadata: a filter on metadata fields, such as ``{"topic": "auth"}`` or ``{"year": {"$gte": 2024}}``.

        Raises:
            EmbeddingError: the embedding service failed.
            EmbeddingMismatchError: the memory holds another model's vectors; see :meth:`reembed`.
        """
        return run(self._search(user_id, query, limit, min_score, session_id, after, before, metadata))

    async def asearch(
        self,
        user_id: str,
        query: str,
        *,
        limit: int = 5,
        min_score: float | None = None,
        session_id: str | None = None,
        after: When | None = None,
        before: When | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> list[SearchResult]:
        """:meth:`search` for asyncio."""
        return await arun(self._search(user_id, query, limit, min_score, session_id, after, before, metadata))

    def warm(self, user_id: str) -> None:
        """Make the user's search index now, where it is not there yet: the next search need not.

        On SQLite an index of a thousand messages or more is also kept beside the file, for other processes.

        Raises:
            EmbeddingMismatchError: the memory holds another model's vectors; see :meth:`reembed`.
        """
        run(self._warm(user_id))

    async def awarm(self, user_id: str) -> None:
        """:meth:`warm` for asyncio."""
        await arun(self._warm(user_id))

    def get_conversation(self, user_id: str, session_id: str) -> Conversation | None:
        """A conversation with its messages; None where there is none."""
        return run(self._get(user_id, session_id))

    async def aget_conversation(self, user_id: str, session_id: str) -> Conversation | None:
        """:meth:`get_conversation` for asyncio."""
        return await arun(self._get(user_id, session_id))

    def list_conversations(
        self,
        user_id: str | None = None,
        *,
        limit: int | None = None,
        offset: int = 0,
        after: When | None = None,
        before: When | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> list[Conversation]:
        """The conversations of a user (of all users for None) without their messages, the newest first.

        Filters as in :meth:`search`; they work before offset and limit.
        """
        return run(self._list(user_id, limit, offset, after, before, metadata))

    async def alist_conversations(
        self,
        user_id: str | None = None,
        *,
        limit: int | None = None,
        offset: int = 0,
        after: When | None = None,
        before: When | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> list[Conversation]:
        """:meth:`list_conversations` for asyncio."""
        return await arun(self._list(user_id, limit, offset, after, before, metadata))

    def delete_conversation(self, user_id: str, session_id: str) -> bool:
        """Delete a conversation; True if there was one. :meth:`purge` also removes its traces on the disk."""
        return run(self._delete(user_id, session_id))

    async def adelete_conversation(self, user_id: str, session_id: str) -> bool:
        """:meth:`delete_conversation` for asyncio."""
        return await arun(self._delete(user_id, session_id))

    def delete_user_conversations(self, user_id: str) -> int:
        """Delete all conversations of a user; returns how many there were."""
        return run(self._delete_user(user_id))

    async def adelete_user_conversations(self, user_id: str) -> int:
        """:meth:`delete_user_conversations` for asyncio."""
        return await arun(self._delete_user(user_id))

    def count(self, user_id: str | None = None) -> int:
        """How many conversations a user has; all users for None."""
        return run(self._stats(user_id)).conversations

    async def acount(self, user_id: str | None = None) -> int:
        """:meth:`count` for asyncio."""
        return (await arun(self._stats(user_id))).conversations

    def stats(self, user_id: str | None = None) -> Stats:
        """How many users, conversations and messages there are, and the embedder."""
        return run(self._stats(user_id))

    async def astats(self, user_id: str | None = None) -> Stats:
        """:meth:`stats` for asyncio."""
        return await arun(self._stats(user_id))

    def export(self, target: str | os.PathLike[str] | IO[str], user_id: str | None = None) -> int:
        """Write the conversations of a user, or of all, as JSON Lines to a path or an open text file.

        Returns how many there were. Messages, metadata, summaries and times are kept; vectors are not in it.
        """
        return run(self._export(target, user_id))

    async def aexport(self, target: str | os.PathLike[str] | IO[str], user_id: str | None = None) -> int:
        """:meth:`export` for asyncio."""
        return await arun(self._export(target, user_id))

    def import_(self, source: str | os.PathLike[str] | Iterable[str]) -> int:
        """Read what :meth:`export` wrote, from a path or from lines; returns how many conversations came in.

        All in one transaction: a line that is wrong is named, and nothing is written. Conversations that are there
        under the same ids are replaced.
        """
        return run(self._import(source))

    async def aimport_(self, source: str | os.PathLike[str] | Iterable[str]) -> int:
        """:meth:`import_` for asyncio."""
        return await arun(self._import(source))

    def reembed(self) -> int:
        """Embed everything anew with this memory's embedder, in one transaction; returns how many conversations.

        For a memory that holds another model's vectors. Others read the old ones until all new ones are there.
        """
        return run(self._reembed())

    async def areembed(self) -> int:
        """:meth:`reembed` for asyncio."""
        return await arun(self._reembed())

    def purge(self) -> None:
        """Remove every trace of what was deleted: afterwards its text is nowhere in the file, its log or our
        caches. The file is rewritten, so it takes time and the space of a second copy.

        Raises:
            StorageTimeoutError: another process keeps reading an old state of the file.
        """
        run(self._purge())

    async def apurge(self) -> None:
        """:meth:`purge` for asyncio."""
        await arun(self._purge())

    def close(self) -> None:
        """Let running operations finish, then close, with the embedder and the LLM that were made here.

        Closing twice is fine.
        """
        run(self._close())

    async def aclose(self) -> None:
        """:meth:`close` for asyncio."""
        await arun(self._close())
