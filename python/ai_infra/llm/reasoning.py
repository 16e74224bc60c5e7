"""What a model thought before it called a tool, where its service wants that back.

DeepSeek and Kimi refuse every later request in which a call stands without the ``reasoning_content`` it came with;
OpenRouter asks for its ``reasoning_details``, which hold the signatures of Gemini and Claude. Elsewhere in a
conversation nobody needs them. Services that never send them refuse them, so they get none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ai_infra.llm.response import clean

REASONING = ("reasoning_content", "reasoning_details")


def reasoning_of(pieces: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The fields of reasoning in an answer, or in the pieces of one, as they go back."""
    texts: list[str] = []
    details: list[Any] = []
    there = set()
    for piece in pieces:
        text, more = (piece.get(name) for name in REASONING)
        if isinstance(text, str):
            there.add(REASONING[0])
            texts.append(text)
        if isinstance(more, list):
            there.add(REASONING[1])
            for detail in more:
                _add(details, detail)
    # Also where it is empty: services look whether the field is there.
    found: dict[str, Any] = dict(zip(REASONING, ("".join(texts), details), strict=True))
    kept = {name: found[name] for name in REASONING if name in there}
    if not kept:
        return {}
    result: dict[str, Any] = json.loads(clean(json.dumps(kept, ensure_ascii=False, default=str)))
    return result


def _add(details: list[Any], detail: Any) -> None:
    """Add a detail; the next piece of the one before it goes into that."""
    last = details[-1] if details else None
    if (
        isinstance(last, dict)
        and isinstance(detail, dict)
        and all(last.get(name) == detail.get(name) for name in ("type", "index"))
        and isinstance(last.get("index"), int)
    ):
        for name, value in detail.items():
            if name in ("text", "summary", "data") and isinstance(last.get(name), str):
                last[name] += value if isinstance(value, str) else ""
            elif value is not None:
                last[name] = value
    else:
        details.append(dict(detail) if isinstance(detail, dict) else detail)


def without_reasoning(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message for a service that knows no such fields."""
    if any(name in message for name in REASONING):
        return {name: value for name, value in message.items() if name not in REASONING}
    return message
