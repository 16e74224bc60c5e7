"""What a model answers: :class:`ChatResponse`, and the pieces it is streamed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Usage:
    """Tokens as the service billed them.

    Attributes:
        prompt: tokens sent.
        completion: tokens of the answer, with hidden reasoning where the service counts it.
        total: both.
        cached: the part of ``prompt`` that came from the provider's prompt cache.
    """

    prompt: int = 0
    completion: int = 0
    total: int = 0
    cached: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.total + other.total,
            self.cached + other.cached,
        )

    @classmethod
    def read(cls, block: object) -> Usage | None:
        """From the ``usage`` of the protocol; ``None`` when there is none."""
        if not isinstance(block, Mapping):
            return None
        details = block.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
        prompt, completion = _count(block.get("prompt_tokens")), _count(block.get("completion_tokens"))
        total = _count(block.get("total_tokens")) or prompt + completion
        return cls(prompt, completion, total, _count(cached))


class ChatResponse(str):
    """The model's answer. It *is* its text, so it prints, compares, joins and serializes as a string.

    Append it to a conversation as it is, ``{"role": "assistant", "content": response}``, or go on with
    ``response.messages``, which also keeps tool calls.

    Attributes:
        tool_calls: in OpenAI's shape, ``[]`` when there are none.
        usage: :class:`Usage`, or ``None`` when the service told nothing.
        model: the model that answered, by the service's own word.
        finish_reason: ``"stop"``, ``"tool_calls"``, ``"length"`` …
        messages: what was sent, and the assistant's answer: ready to be continued.
        reasoning: the fields with which the service told the model's reasoning; see :func:`assistant_message`.
    """

    tool_calls: list[dict[str, Any]]
    usage: Usage | None
    model: str
    finish_reason: str | None
    messages: list[dict[str, Any]]
    reasoning: dict[str, Any]

    def __new__(
        cls,
        text: str = "",
        *,
        tool_calls: Sequence[Mapping[str, Any]] = (),
        usage: Usage | None = None,
        model: str = "",
        finish_reason: str | None = None,
        messages: Sequence[Mapping[str, Any]] = (),
        reasoning: Mapping[str, Any] | None = None,
    ) -> ChatResponse:
        """A response with this text; the model's answers come from :class:`~ai_infra.llm.client.LLM`."""
        self = super().__new__(cls, text)
        self.tool_calls = [dict(call) for call in tool_calls]
        self.usage = usage
        self.model = model
        self.finish_reason = finish_reason
        self.messages = [dict(message) for message in messages]
        self.reasoning = dict(reasoning or {})
        return self

    @property
    def content(self) -> str:
        """The text as a plain ``str``; ``""`` when the model only called tools."""
        return str(self)


class ChatDelta(str):
    """A piece of a streamed answer: a string."""

    __slots__ = ()

    @property
    def content(self) -> str:
        """The text as a plain ``str``."""
        return str(self)


def assistant_message(
    text: str | None,
    tool_calls: Sequence[Mapping[str, Any]],
    reasoning: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The answer as a message that the service takes back.

    Reasoning goes back where tools are called, in every later request; see :mod:`ai_infra.llm.reasoning`.

    Args:
        text, tool_calls, reasoning: the answer.
        before: the message that it answers.
    """
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if tool_calls or (before is not None and before.get("role") == "tool"):
        message.update(reasoning or {})
    if tool_calls:
        message["tool_calls"] = [dict(call) for call in tool_calls]
    elif text is None:
        message["content"] = ""
    return message


def clean(text: str) -> str:
    """``text`` with every half of a character replaced: what neither a file nor a service takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
