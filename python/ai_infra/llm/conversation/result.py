"""What a memory hands out: chunks, results, conversations. Values are copies."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from ai_infra.llm.conversation.dates import as_datetime
from ai_infra.messages import to_messages


class Indexed(NamedTuple):
    """What :meth:`ConversationMemory.index_conversation` did."""

    session_id: str
    chunks: int
    """How many chunks the conversation has now."""
    messages: int
    """How many messages it has."""
    changed: int
    """How many messages were new, different or gone since it was indexed last."""
    embedded: int
    """How many passages the embedding service was asked for; the built-in embedder is not asked."""


class Stats(NamedTuple):
    """What a memory holds, for one user or for all."""

    users: int
    conversations: int
    messages: int
    embedder: str
    """The name of the embedding model."""


@dataclass(frozen=True)
class ConversationChunk:
    """A piece of a conversation: a few messages in a row, no tool call parted from its results.

    Attributes:
        user_id: whose.
        session_id: the conversation.
        index: which chunk of the conversation this is, from 0.
        start: the position of its first message in the conversation.
        end: one past the position of its last.
        date: when the conversation began (UTC), where that is known.
        summary: the summary of the whole conversation, where there is one.
    """

    user_id: str
    session_id: str
    index: int
    start: int
    end: int
    date: datetime | None
    summary: str | None
    _lines: tuple[str, ...] = field(repr=False)
    _messages: tuple[str, ...] = field(repr=False)
    _metadata: str = field(repr=False)

    @cached_property
    def text(self) -> str:
        """Its messages as text, each after the name or the role of who said it; before them the summary, if any."""
        lines = "\n".join(self._lines)
        return f"[Summary of the conversation] {self.summary}\n{lines}" if self.summary else lines

    @property
    def messages(self) -> list[Any]:
        """Its messages, as they were given (LangChain's as dicts)."""
        return to_messages([json.loads(message) for message in self._messages])

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the conversation."""
        found: dict[str, Any] = json.loads(self._metadata)
        return found


@dataclass(frozen=True)
class Evidence:
    """Why a chunk was found.

    Attributes:
        message: the position of the message that brought it.
        text: that message.
        words: word of the question, term found for it, share of the question that it answers.
        similarity: cosine of the question and that message; None where there are no vectors.
        parts: what each view of the message added to its score; see ``docs/recall.md``.
    """

    message: int
    text: str
    words: tuple[tuple[str, str, float], ...]
    similarity: float | None
    parts: dict[str, float]


@dataclass(frozen=True)
class SearchResult:
    """A chunk that answers the question.

    Attributes:
        chunk: where it stands in its conversation.
        score: 0 to 1, never rising with rank.
        context: what to read: the messages that brought the chunk here, whole, or the best passage of long ones.
            No message stands in two results.
        lines: the same, a ``(who, text)`` for each message; ``who`` is a name or a role, or empty where
            something is left out.
        evidence: why it was found; :meth:`explain` says it in words.
    """

    chunk: ConversationChunk
    score: float
    context: str
    lines: tuple[tuple[str, str], ...] = field(repr=False)
    evidence: Evidence = field(repr=False)

    def explain(self) -> str:
        """Why this was found, a few lines: the words, the similarity, and what each view added."""
        chunk, found = self.chunk, self.evidence
        when = f"{chunk.date:%Y-%m-%d} " if chunk.date else ""
        out = [f"{self.score:.3f}  {when}{chunk.session_id}, messages {chunk.start} to {chunk.end - 1}"]
        out.append(f"  brought by message {found.message}: {shorten(found.text, 90)}")
        if found.words:
            shown = [
                f"{asked!r} {share:.0%}" if asked == term else f"{asked!r} as {term!r} {share:.0%}"
                for asked, term, share in sorted(found.words, key=lambda word: -word[2])
            ]
            out.append(f"  words: {', '.join(shown)} of the question")
        else:
            out.append("  words: none of the question's")
        if found.similarity is not None:
            out.append(f"  similarity of meaning: {found.similarity:.2f}")
        parts = sorted(found.parts.items(), key=lambda part: -part[1])
        out.append("  added: " + ", ".join(f"{name} {value:+.2f}" for name, value in parts))
        return "\n".join(out)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON takes it."""
        chunk, found = self.chunk, self.evidence
        return {
            "user_id": chunk.user_id,
            "session_id": chunk.session_id,
            "chunk": chunk.index,
            "start": chunk.start,
            "end": chunk.end,
            "date": chunk.date.isoformat() if chunk.date else None,
            "metadata": chunk.metadata,
            "score": round(self.score, 6),
            "context": self.context,
            "text": chunk.text,
            "words": [list(word) for word in found.words],
            "similarity": found.similarity,
            "parts": found.parts,
        }


@dataclass(frozen=True)
class Conversation:
    """A stored conversation.

    Attributes:
        user_id: whose.
        session_id: its id.
        length: how many messages.
        date: when it began (UTC), where that is known.
        ended: when it ended.
        summary: the summary, where one was made.
        created_at, updated_at: when it was indexed first, and changed last.
    """

    user_id: str
    session_id: str
    length: int
    date: datetime | None
    ended: datetime | None
    summary: str | None
    created_at: datetime
    updated_at: datetime
    _metadata: str = field(repr=False)
    _messages: tuple[str, ...] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, head: Any, messages: list[str] | None = None) -> Conversation:
        """From what a backend stores."""
        return cls(
            head.user_id,
            head.session_id,
            head.length,
            None if head.starts is None else as_datetime(head.starts),
            None if head.ends is None else as_datetime(head.ends),
            head.summary,
            as_datetime(head.created_at),
            as_datetime(head.updated_at),
            head.metadata,
            None if messages is None else tuple(messages),
        )

    @property
    def messages(self) -> list[Any]:
        """The messages as they were given; none in what ``list_conversations`` returns, which reads heads only."""
        return to_messages([json.loads(message) for message in self._messages or ()])

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata it was indexed with."""
        found: dict[str, Any] = json.loads(self._metadata)
        return found


def shorten(text: str, width: int) -> str:
    """A text on one line of at most ``width`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
