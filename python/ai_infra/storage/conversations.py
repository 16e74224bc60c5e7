"""What a backend of :class:`~ai_infra.llm.tools.custom.ConversationMemory` has to do: keep, never rank.

Ranking is the core's, in an index that each process makes from what a backend holds: the database is the truth, an
index is caught up from it. So a backend stores conversations, counts their changes, and hands out what an index
lacks.

Each method returns a :data:`~ai_infra._flow.Flow`, so that one body serves the sync and the async face. Times are
whole microseconds since 1970 UTC. What comes in was checked by the core's validator already: ids are non-empty
text without NUL or lone surrogates, messages and metadata canonical JSON. Ids are compared byte for byte, never by
``LIKE`` and never normalized.

Every user has a *generation*, which grows with each change of one of their conversations in the transaction that
makes it. Every stored conversation has a ``ref``, never used twice in a database, and a ``seq``, the generation at
its last change. :mod:`ai_infra.testing.contract.conversations` holds a backend to all of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from ai_infra._core import ConversationIndex
from ai_infra._flow import Flow


class Write(NamedTuple):
    """A conversation to be stored in place of what is there under the same user and session."""

    user_id: str
    session_id: str
    messages: Sequence[str]
    """Each as canonical JSON."""
    metadata: str
    """A dict as canonical JSON."""
    starts: int | None
    """When the conversation began, where that is known."""
    ends: int | None
    """When it ended."""
    summary: str | None
    summarized: int
    """How many leading messages the summary stands for."""
    vectors: Mapping[bytes, bytes]
    """The vector of each passage by the hash of its text: little-endian f32. Empty for the built-in embedder."""
    restored: tuple[int, int] | None = None
    """``(created_at, updated_at)`` of a conversation that an import brings back."""


class Head(NamedTuple):
    """A stored conversation without its messages."""

    ref: int
    seq: int
    user_id: str
    session_id: str
    length: int
    """How many messages."""
    metadata: str
    starts: int | None
    ends: int | None
    summary: str | None
    summarized: int
    created_at: int
    updated_at: int


class Stored(NamedTuple):
    """A stored conversation."""

    head: Head
    messages: list[str]
    vectors: dict[bytes, bytes]


class State(NamedTuple):
    """Where a user's conversations stand, and whose vectors the database holds."""

    ref: int
    """The user's own ``ref``; 0 where nothing is stored for them."""
    generation: int
    model: str | None
    """The embedder; None before the first conversation."""


class Changes(NamedTuple):
    """What an index of one user lacks, as of one moment."""

    state: State
    live: list[int]
    """The ``ref`` of every conversation the user has."""
    loaded: list[Stored]
    """Those that the caller does not hold in their present ``seq``; some of them where they are many."""
    whole: bool
    """Whether these are all of them."""


class Picked(NamedTuple):
    """Some messages of a conversation, of one moment."""

    head: Head
    messages: dict[int, str]
    """Canonical JSON by position."""


class Put(NamedTuple):
    """What a write made."""

    head: Head
    changed: int
    """Messages that were new, different or gone; 0 with nothing else different: nothing was written."""


class Totals(NamedTuple):
    """What a database holds, for one user or for all."""

    users: int
    conversations: int
    messages: int


class ConversationBackend(Protocol):
    """Conversations of users, each a list of messages with metadata, and vectors of their passages."""

    def put(self, writes: Sequence[Write], model: str, now: int) -> Flow[list[Put]]:
        """Store all or none, in one transaction; durable when it returns.

        Rows of messages that are the same stay as they are; vectors of passages that are gone go. A conversation
        that is there exactly so already is not touched: same ``seq``, same ``updated_at``.

        Raises:
            EmbeddingMismatchError: the database holds conversations embedded by another model than ``model``, or
                vectors of another size. The message names ``reembed()``.
        """

    def state(self, user_id: str) -> Flow[State]:
        """Where a user stands: one cheap read, made before every search."""

    def changes(self, user_id: str, held: Mapping[int, int], most: int) -> Flow[Changes]:
        """What an index that holds ``held`` (``ref`` to ``seq``) lacks, read in one snapshot.

        Conversations are loaded in the order of ``ref`` until they have ``most`` messages together, one at least.
        """

    def pick(self, user_id: str, wanted: Mapping[int, Sequence[int]]) -> Flow[list[Picked]]:
        """These messages (``ref`` to positions) of the user's conversations, read in one snapshot.

        What is not there, and what is another user's, is left out. Read by index, in one round trip: it is asked for
        the results of a search.
        """

    def restore(self, user_id: str, model: str, index: ConversationIndex) -> Flow[tuple[int, int] | None]:
        """Fill an empty index with what :meth:`keep` has kept of the user; the ``ref`` and generation that it shows.

        None, with the index as it was, for a backend that keeps none, and wherever there is doubt that what was kept
        is whole, of ``model``, and of a state that this very database was in before. Never fails.
        """

    def keep(self, user_id: str, model: str, mark: tuple[int, int], index: ConversationIndex) -> Flow[bool]:
        """Keep an index that shows ``mark`` (``ref`` and generation), so that another process need not make it.

        It is disposable, and :meth:`purge` disposes of it. False where it was not kept: the user's conversations have
        changed since, another is being kept, or there is no place for it. Never fails.
        """

    def known(self, user_id: str, hashes: Sequence[bytes]) -> Flow[dict[bytes, bytes]]:
        """The vectors of these hashes that some conversation of the user has. Never another user's."""

    def get(self, user_id: str, session_id: str) -> Flow[Stored | None]:
        """One conversation, without its vectors."""

    def delete(self, user_id: str, session_id: str | None) -> Flow[int]:
        """Delete a conversation, or all of a user; returns how many there were."""

    def totals(self, user_id: str | None) -> Flow[Totals]:
        """Counts."""

    def pending(self) -> Flow[list[Stored]]:
        """Every conversation without its vectors, in the order of ``ref``: what :meth:`reembed` embeds."""

    def reembed(self, model: str, rows: Sequence[tuple[int, int, Mapping[bytes, bytes]]]) -> Flow[bool]:
        """Give the database to ``model`` with these vectors (``ref``, ``seq``, vectors by hash), in one
        transaction, and count every user's generation up. False, with nothing changed, where a conversation came,
        changed or went since :meth:`pending`."""

    def purge(self) -> Flow[None]:
        """Leave no trace of anything deleted."""

    def close(self) -> Flow[None]:
        """Let running operations finish, then close. Later calls raise ``StorageClosedError``."""

    def list(self, user_id: str | None) -> Flow[list[Head]]:
        """The conversations of a user (of all for None), the newest first: by ``starts`` (``created_at`` where
        there is none), then ``user_id`` and ``session_id`` by code point."""
