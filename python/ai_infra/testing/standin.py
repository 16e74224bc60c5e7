"""The fixed rules by which the local server answers when nobody scripted it.

There is no model here, and every answer says so. It quotes sentences of what it was sent: the ones that share
most words with the question, or, asked for a summary, the ones that hold the most facts. The same request
always gets the same answer.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ai_infra.testing.replies import Reply, Request
from ai_infra.testing.wire import estimate

LABEL = "[local stand-in, no model]"
_SHORT = 40  # characters: what is shorter is a greeting as a rule, in scripts that spell words out
_LONG = 240  # characters: what is longer is data, not a sentence
SUMMARY_TOKENS = 256  # the bound of a summary when the request names none

_SENTENCE = re.compile(r"[^.!?。！？\n]+(?:[.!?。！？]+(?=\s|$)|[。！？]|[.!?](?=\S)[^\s]*)*")
_SUMMARY = re.compile(r"\bsummari[sz]|\bsummary of\b|\b(?:write|give|make|keep)\b.{0,30}\bsummary\b", re.I)
_FRAME = re.compile(r"^<?/?\w+>$|^Write at most|\bsummar", re.I)  # of the request, not of the conversation
_WORD = re.compile(r"\w+")
_COMMON = frozenset(
    re.findall(
        r"\w+",
        """
        a about am an and are as at be been but by can could did do does for from had has have he her his how
        i if in is it its last me my no not of on or our out please she so tell than that the their them then
        there they this to up us was we were what when where which who why will with would you your
        """,
    )
)
_PAST = frozenset(
    {"ago", "before", "earlier", "last", "past", "previous", "previously", "recall", "remember", "yesterday"}
)


def respond(request: Request) -> Reply:
    """Answer ``request``: a summary, a call of a fitting tool, or a quotation."""
    messages = request.messages
    texts = [(str(message.get("role")), _text(message)) for message in messages]
    if _wants_summary(texts):
        return Reply(text=summarize(texts, _bound(request)))
    call = _tool_call(request.body, messages, texts)
    if call is not None:
        return Reply.tools(call)
    return Reply(text=answer(texts))


def answer(texts: Sequence[tuple[str, str]]) -> str:
    """The sentences sent before that share most words with the last user message."""
    last = max((n for n, (role, _) in enumerate(texts) if role == "user"), default=-1)
    if last < 0:
        return f"{LABEL} Nothing was asked."
    question = texts[last][1]
    wanted = _words(question)
    rest = [text for n, (_, text) in enumerate(texts) if n != last]
    sentences = [s for text in rest for s in _sentences(text) if LABEL not in s and not s.endswith("?")]
    scored = [(len(wanted & _words(sentence)), n) for n, sentence in enumerate(sentences)]
    best = sorted((pair for pair in scored if pair[0]), key=lambda pair: (-pair[0], -pair[1]))[:2]
    if best:
        quoted = " ".join(f"“{sentences[n]}”" for _, n in sorted(best, key=lambda pair: pair[1]))
        return f"{LABEL} What I was sent says: {quoted}"
    first = next(iter(_sentences(question)), question.strip()) or "nothing"
    return f"{LABEL} I was sent: “{first}”"


def summarize(texts: Sequence[tuple[str, str]], tokens: int) -> str:
    """The sentences with the most facts, in their order, within ``tokens``.

    Facts are numbers and words that few sentences have. Sentences
    that only ask for the summary are left out, and what is too long to be one.
    """
    content = [text for role, text in texts if role != "system"]
    seen: dict[str, None] = {}
    for text in content:
        for sentence in _sentences(text):
            if len(sentence) <= _LONG and LABEL not in sentence and not _FRAME.search(sentence):
                seen.setdefault(sentence)
    sentences = list(seen)
    spread = Counter(word for sentence in sentences for word in _words(sentence))
    ranked = sorted(range(len(sentences)), key=lambda n: (-_facts(sentences[n], spread), n))
    kept: list[int] = []
    left = tokens - estimate(LABEL) - 1
    for n in ranked:
        cost = estimate(sentences[n]) + 1
        if cost <= left:
            kept.append(n)
            left -= cost
    return "\n".join([LABEL, *(sentences[n] for n in sorted(kept))])


def _wants_summary(texts: Sequence[tuple[str, str]]) -> bool:
    asked = [text for role, text in texts if role in {"system", "developer"}][:1]
    asked += [text for role, text in texts[-1:] if role == "user"]
    # The recap that a fitted prompt carries is no request for one.
    return any(_SUMMARY.search(text) and not text.startswith("[Conversation summary]") for text in asked)


def _bound(request: Request) -> int:
    for name in ("max_completion_tokens", "max_tokens"):
        value = request.body.get(name)
        if isinstance(value, int) and value > 0:
            return value
    # The last one named: the request's own words come after what is to be summarized.
    named = re.findall(r"(\d[\d,]*)\s+tokens", " ".join(_text(message) for message in request.messages))
    return int(named[-1].replace(",", "")) if named else SUMMARY_TOKENS


def _tool_call(
    body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], texts: Sequence[tuple[str, str]]
) -> tuple[str, dict[str, Any]] | None:
    """Call a tool that takes one text, when the last message asks for what the tool may know."""
    if not messages or messages[-1].get("role") != "user" or body.get("tool_choice") == "none":
        return None
    question = texts[-1][1]
    words = set(_WORD.findall(question.lower()))
    for tool in body.get("tools") or ():
        function = tool.get("function") or {}
        parameters = function.get("parameters") or {}
        properties = parameters.get("properties") or {}
        needed = parameters.get("required") or []
        name = str(function.get("name"))
        about = _words(f"{name.replace('_', ' ')} {function.get('description') or ''}")
        fits = words & _PAST if re.search("recall|search|memor", name) else _words(question) & about
        if fits and len(needed) == 1 and (properties.get(needed[0]) or {}).get("type") == "string":
            return name, {needed[0]: question}
    return None


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(part for part in parts if isinstance(part, str))
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def _sentences(text: str) -> Iterable[str]:
    return [found for found in (match.strip() for match in _SENTENCE.findall(text)) if _WORD.search(found)]


def _words(text: str) -> set[str]:
    # A trailing "s" is cut so that "bugs" meets "bug": enough for a stand-in.
    return {word.removesuffix("s") for word in _WORD.findall(text.lower())} - _COMMON


def _facts(sentence: str, spread: Mapping[str, int]) -> float:
    """How much a sentence tells: its words, rare ones more, and its numbers; greetings come to little."""
    words = _words(sentence)
    if len(sentence) < _SHORT and sentence.isascii():
        return 0.0
    rare = sum(1 / math.sqrt(spread[word]) for word in words if len(word) > 3 or not word.isascii())
    numbers = min(3, len(re.findall(r"\d[\d.,:/-]*", sentence)))
    return (rare + numbers) / math.sqrt(max(1, len(words)))
