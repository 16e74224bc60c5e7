"""A plain conversation memory over the core index, for the recall scorer: no persistence, one index a user.

python eval_recall.py memory:factory            # with this folder on the path
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from ai_infra._core import ConversationIndex, RecallHit


@dataclass
class Chunk:
    text: str
    session_id: str


@dataclass
class Result:
    chunk: Chunk
    score: float
    context: str
    hit: RecallHit


@dataclass
class Memory:
    """One index a user. `override`: weights of the views, and whether words are widened (default: the
    core's own)."""

    embedding: str = "local"
    override: tuple[list[float], bool] | None = None
    indexes: dict[str, ConversationIndex] = field(default_factory=dict)
    texts: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def index_conversation(
        self,
        user_id: str,
        session_id: str,
        messages: list[dict[str, str]],
        metadata: dict[str, str] | None = None,
    ) -> None:
        index = self.indexes.get(user_id)
        if index is None:
            index = self.indexes[user_id] = ConversationIndex(embedding=self.embedding)
            if self.override:
                index.set_weights(self.override[0], related=self.override[1])
        texts = [m["content"] for m in messages]
        self.texts[user_id, session_id] = texts
        index.put(
            session_id,
            texts,
            roles=[m["role"] for m in messages],
            speakers=[m.get("name") for m in messages],
            date=(metadata or {}).get("date"),
        )

    def search(self, user_id: str, query: str, limit: int = 5) -> list[Result]:
        out = []
        for hit in self.indexes[user_id].search(query, limit=limit):
            texts = self.texts[user_id, hit.session]
            chunk = Chunk("\n".join(texts[hit.start : hit.end]), hit.session)
            out.append(Result(chunk, hit.score, read(texts, hit.context), hit))
        return out


def read(texts: list[str], spans: list[tuple[int, int, int]]) -> str:
    """The text of spans, a line each, "…" where something between them is left out."""
    parts: list[str] = []
    last = None
    for message, start, end in spans:
        if last is not None and message != last + 1:
            parts.append("…")
        parts.append(texts[message][start:end])
        last = message
    return "\n".join(parts)


# Set by ablation.py before each run of the scorer.
OVERRIDE: tuple[list[float], bool] | None = None


def factory() -> Memory:
    return Memory(os.environ.get("RECALL_EMBEDDING", "local"), OVERRIDE)
