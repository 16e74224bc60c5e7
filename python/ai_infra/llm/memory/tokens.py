"""Counting tokens: exact and offline, for texts, messages and tool schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ai_infra import _core
from ai_infra.llm.memory._parts import PER_MESSAGE, REPLY_PRIMING, parts, tool_schema_parts
from ai_infra.llm.memory.models import ModelInfo, model_info
from ai_infra.messages import AnyMessage, as_list, fields_of

__all__ = ["DEFAULT_ENCODING", "Counter", "count_tokens", "count_tokens_approximate", "counter_for"]

DEFAULT_ENCODING = "o200k_base"

Countable = str | Mapping[str, Any] | Iterable[AnyMessage]


class Counter:
    """Counts by the rules of one model. Made once for each model; safe to share between threads."""

    __slots__ = ("_encoding", "_name", "_per_function", "_roles", "exact", "priming", "text_exact")

    def __init__(self, encoding: str | None, *, exact: bool) -> None:
        self._name = encoding
        self._encoding = None if encoding is None else _core.Encoding(encoding)
        self._per_function = 10 if encoding in ("cl100k_base", "p50k_base", "r50k_base") else 7
        self._roles: dict[str, int] = {}
        self.priming = REPLY_PRIMING
        """The tokens that a prompt costs on top of its messages."""
        self.text_exact = encoding is not None
        """Whether the tokens of a text are exact."""
        self.exact = exact and encoding is not None
        """Whether the tokens of a chat message are exact too."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _counter, (self._name, self.exact)

    def text(self, text: str) -> int:
        """The tokens of one text."""
        if self._encoding is None:
            return _core.count_approximate(text)
        return self._encoding.count(text)

    def texts(self, texts: list[str]) -> list[int]:
        """The tokens of each text, in one call."""
        if self._encoding is None:
            return [_core.count_approximate(text) for text in texts]
        return self._encoding.count_batch(texts)

    def prefix(self, text: str, limit: int) -> int:
        """The length, in characters, of a prefix of ``text`` that has at most ``limit`` tokens."""
        if self._encoding is not None:
            return self._encoding.prefix_within(text, limit)
        # The estimate grows with every character, so the longest prefix is found by halving.
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if _core.count_approximate(text[:middle]) <= limit:
                low = middle
            else:
                high = middle - 1
        return low

    def message(self, message: AnyMessage) -> int:
        """The tokens of one chat message, without the reply's priming."""
        fixed, texts = parts(fields_of(message))
        return fixed + sum(self.texts(texts))

    def messages(self, messages: Sequence[AnyMessage]) -> list[int]:
        """The tokens of each chat message, all texts counted in one call."""
        roles = self._roles
        costs: list[int] = []
        texts: list[str] = []
        several: list[tuple[int, int, int]] = []
        for at, message in enumerate(messages):
            fields = fields_of(message)
            if len(fields) == 2:
                role, content = fields.get("role"), fields.get("content")
                if type(content) is str and isinstance(role, str) and role in roles:
                    costs.append(PER_MESSAGE + roles[role])
                    texts.append(content)
                    continue
            fixed, own = parts(fields)
            role = fields.get("role")
            if isinstance(role, str) and role not in roles and len(roles) < 64:
                roles[role] = self.text(role)
            costs.append(fixed)
            if len(own) == 1:
                texts.append(own[0])
            else:
                several.append((at, len(texts), len(own)))
                texts.extend(own)
        counts = self.texts(texts)
        if not several:
            return [cost + count for cost, count in zip(costs, counts, strict=True)]
        taken = 0
        following = iter([*several, (len(costs), len(counts), 0)])
        special, start, length = next(following)
        for at in range(len(costs)):
            if at == special:
                costs[at] += sum(counts[start : start + length])
                taken = start + length
                special, start, length = next(following)
            else:
                costs[at] += counts[taken]
                taken += 1
        return costs

    def total(self, messages: Sequence[AnyMessage]) -> int:
        """The tokens of a list of texts and messages; a chat message among them adds the reply's priming."""
        if self._encoding is not None and type(messages) is list:
            total, others = self._encoding.count_messages(messages, PER_MESSAGE)
            if len(others) == len(messages):
                rest: Sequence[AnyMessage] = messages
            else:
                total += REPLY_PRIMING
                rest = [messages[at] for at in others]
            return total + self._mixed(rest, primed=len(others) < len(messages))
        return self._mixed(messages, primed=False)

    def _mixed(self, messages: Sequence[AnyMessage], *, primed: bool) -> int:
        texts = [message for message in messages if isinstance(message, str)]
        chat = [message for message in messages if not isinstance(message, str)] if texts else messages
        total = sum(self.texts(texts)) + sum(self.messages(chat))
        return total + (REPLY_PRIMING if chat and not primed else 0)

    def tools(self, tools: Iterable[Any] | None) -> int:
        """The tokens of tool schemas."""
        if not tools:
            return 0
        functions, fixed, texts = tool_schema_parts(tools)
        return functions * self._per_function + fixed + sum(self.texts(texts))


@lru_cache(maxsize=64)
def _counter(encoding: str | None, exact: bool) -> Counter:
    return Counter(encoding, exact=exact)


def counter_for(model: str | None) -> Counter:
    """The counter for a model; for None the one of the newest public encoding."""
    info = ModelInfo("", 0, DEFAULT_ENCODING, exact=True) if model is None else model_info(model)
    return _counter(info.encoding, info.exact)


def count_tokens(messages: Countable, *, model: str | None = None, tools: Iterable[Any] | None = None) -> int:
    """The tokens of a text, of one message, or of a list of both: exact, offline, in one call.

    A text counts as it is. A chat message counts by OpenAI's published rule: 3 tokens, its role and its
    content, a name with 1 more, and 3 once for the reply. Special tokens written in a text
    (``<|endoftext|>``) are ordinary text. Every string has a count, also one with lone surrogates.

    Args:
        messages: a string; a message; or a list of strings and messages (dicts, LangChain messages,
            objects of the OpenAI SDK).
        model: whose tokenizer to use; ``o200k_base`` (gpt-4o and later) when None. A model without a
            public tokenizer is estimated; :func:`model_info` tells.
        tools: tool schemas that go with the prompt.

    Raises:
        InvalidMessageError: something in the list is no message.

    Example:
        >>> from ai_infra import count_tokens
        >>> count_tokens("Hello, world!")
        4
        >>> count_tokens([{"role": "user", "content": "Hello, world!"}], model="gpt-4o")
        11
    """
    counter = counter_for(model)
    if isinstance(messages, str):
        total = counter.text(messages)
    elif isinstance(messages, Mapping) or hasattr(messages, "content"):
        total = counter.message(messages) + REPLY_PRIMING
    else:
        total = counter.total(as_list(messages))
    return total + counter.tools(tools) if tools else total


def count_tokens_approximate(messages: Countable) -> int:
    """An estimate of :func:`count_tokens` from the kinds of characters alone, for any model.

    It knows no vocabulary, only how many characters of each script tend to make a token, and rounds up
    rather than down; ``docs/tokens.md`` has its measured error.

    Raises:
        InvalidMessageError: something in the list is no message.

    Example:
        >>> from ai_infra import count_tokens_approximate
        >>> count_tokens_approximate("The quick brown fox jumps over the lazy dog.")
        10
    """
    counter = _counter(None, False)
    if isinstance(messages, str):
        return counter.text(messages)
    if isinstance(messages, Mapping) or hasattr(messages, "content"):
        return counter.message(messages) + REPLY_PRIMING
    return counter.total(as_list(messages))
