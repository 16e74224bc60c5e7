"""The conversation that ships with the library: one user, one assistant, thirty sessions.

It was written for this project and is under the project's licence. A backend developer asks for help
with a gateway, a migration, an outage and a leak, and with bread, a landlord, a half marathon and a
trip to Japan, from September 2025 to April 2026; mostly in English, with German, Spanish, French,
Russian, Arabic, Hindi, Chinese and Japanese. Facts change on the way, as they do: a port moves twice,
a race is swapped for another. ``questions()`` has forty questions about it with the messages that answer
them.

The data are JSON Lines, one message a line and one file a month, in the shape of OpenAI's chat API plus
``session_id`` and ``date`` (when the session began)::

    from ai_infra import demo

    messages = demo.load()                  # every message in order, as the API takes them
    for session in demo.sessions():
        print(session.id, session.date, len(session.messages))

Every call reads the files again, so that nobody else sees what a caller changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any

__all__ = ["Question", "Session", "load", "questions", "sessions"]

_QUESTIONS = "questions.jsonl"
_SESSION_FIELDS = ("session_id", "date")


@dataclass(frozen=True, slots=True)
class Session:
    """One sitting with the assistant.

    Attributes:
        id: day and topic, as in ``2025-09-03-auth``; unique.
        date: when it began, in UTC.
        messages: plain dicts in the shape of OpenAI's chat API, in order.
    """

    id: str
    date: datetime
    messages: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody might ask about the conversation later, and where the answer stands.

    Attributes:
        id: ``q01`` to ``q40``.
        language: ISO 639-1 code of the question; the evidence may be in another language.
        kind: ``single`` (one fact), ``corrected`` (the fact changed, the newest counts), ``preference``,
            ``near-duplicate`` (a sibling fact must not be taken for it), ``temporal``, ``multi-hop``
            (several sessions together) or ``cross-language``.
        question: the words, chosen to differ from those of the evidence.
        answer: what a right answer says, in short.
        evidence: ids of the messages that hold the answer, ``SESSION:INDEX`` with the index counted from 0
            within the session. Any of them will do; ``multi-hop`` needs one from each session named.
        positions: the same messages as indices into ``load()``.
        demo: true for the three that ``ai-infra demo`` asks.
    """

    id: str
    language: str
    kind: str
    question: str
    answer: str
    evidence: tuple[str, ...]
    positions: tuple[int, ...]
    demo: bool


def _rows(name: str) -> Iterator[dict[str, Any]]:
    text = resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
    # Not splitlines(): it also splits at U+2028 and others, which JSON allows inside a string.
    return (json.loads(line) for line in text.split("\n") if line)


def _messages() -> Iterator[dict[str, Any]]:
    """Every row with its session fields, oldest first: the names of the files are months."""
    names = sorted(entry.name for entry in resources.files(__name__).iterdir())
    for name in names:
        if name.endswith(".jsonl") and name != _QUESTIONS:
            yield from _rows(name)


def _without_session(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in _SESSION_FIELDS}


def load(*, session_fields: bool = False) -> list[dict[str, Any]]:
    """All messages of all sessions, oldest first, as fresh plain dicts.

    Args:
        session_fields: keep ``session_id`` and ``date`` (ISO 8601, UTC) on each message. Without them,
            which is the default, the dicts are exactly what OpenAI's chat API takes.
    """
    rows = _messages()
    return list(rows) if session_fields else [_without_session(row) for row in rows]


def sessions() -> list[Session]:
    """The sessions, oldest first."""
    found: dict[str, Session] = {}
    for row in _messages():
        key = row["session_id"]
        if key not in found:
            found[key] = Session(key, datetime.fromisoformat(row["date"]), [])
        found[key].messages.append(_without_session(row))
    return list(found.values())


def questions(*, demo: bool = False) -> list[Question]:
    """The forty labelled questions; with ``demo=True`` the three that the demo asks."""
    position: dict[str, int] = {}
    counts: dict[str, int] = {}
    for at, row in enumerate(_messages()):
        key = row["session_id"]
        counts[key] = counts.get(key, -1) + 1
        position[f"{key}:{counts[key]}"] = at
    return [
        Question(
            id=row["id"],
            language=row["language"],
            kind=row["kind"],
            question=row["question"],
            answer=row["answer"],
            evidence=tuple(row["evidence"]),
            positions=tuple(position[at] for at in row["evidence"]),
            demo=row["demo"],
        )
        for row in _rows(_QUESTIONS)
        if row["demo"] or not demo
    ]
