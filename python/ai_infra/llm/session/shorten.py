"""Results of tools that are too long for a prompt: the model is shown their beginning, and told so.

The log keeps them whole. A call must never be left out of the turn that made it: the model would not know that it
called, and would call again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ai_infra.llm.memory.tokens import Counter
from ai_infra.messages import fields_of, kind_of, to_message

NOTICE = (
    "\n[Cut here, because it is too long: these were the first {shown:,} of {whole:,} characters of the result. "
    "The call was made; made again, it would be cut again.]"
)


def shortened(messages: Sequence[Any], counter: Counter, over: int) -> list[Any]:
    """The messages with ``over`` tokens less, or as many as cutting results can save; the longest are cut first.

    All that are cut keep about the same number of tokens. The input is not changed.
    """
    kept = list(messages)
    texts = {at: text for at, message in enumerate(messages) if (text := _result(message)) is not None}
    if over <= 0 or not texts:
        return kept
    sizes = dict(zip(texts, counter.texts(list(texts.values())), strict=True))
    level = _level(sizes.values(), sum(sizes.values()) - over)
    for at, text in texts.items():
        if sizes[at] > level:
            cut = _cut(text, counter, level)
            if counter.text(cut) < sizes[at]:
                kept[at] = to_message({**fields_of(messages[at]), "content": cut})
    return kept


def _result(message: Any) -> str | None:
    """The text of a tool's result. One made of parts may hold images, and is left alone."""
    fields = fields_of(message)
    content = fields.get("content")
    return content if kind_of(fields) == "tool" and isinstance(content, str) else None


def _level(sizes: Iterable[int], room: int) -> int:
    """How many tokens each may have so that all together have ``room``; the short ones stay whole."""
    waiting = sorted(sizes)
    for at, size in enumerate(waiting):
        level = max(0, room) // (len(waiting) - at)
        if size > level:
            return level
        room -= size
    return waiting[-1]


def _cut(text: str, counter: Counter, level: int) -> str:
    """The beginning of ``text`` and the notice, in ``level`` tokens; the notice alone where that is more."""
    whole = len(text)
    room = level - counter.text(NOTICE.format(shown=whole, whole=whole))
    while room > 0:
        shown = counter.prefix(text, room)
        cut = text[:shown] + NOTICE.format(shown=shown, whole=whole)
        spare = level - counter.text(cut)
        if spare >= 0:
            return cut
        room += spare  # tokens may form otherwise where the two meet
    return NOTICE.format(shown=0, whole=whole).lstrip()
