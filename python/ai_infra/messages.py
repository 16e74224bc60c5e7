"""Chat messages: our own types, and the one place that reads everybody else's.

What goes into the library comes out of it unchanged. A plain dict comes back as one of the classes here,
each a ``dict`` that is equal to the one that went in, with every key kept; a LangChain message comes back
as the same object. Nothing here imports LangChain: its messages are recognised only when the caller has
imported it already.

Shapes that are read: OpenAI chat messages (also the SDK's own objects), Anthropic content blocks
(``tool_use``, ``tool_result``), items of OpenAI's Responses API (``function_call`` and its output), and
LangChain messages; these also as the dicts that LangChain makes of them, which come back in OpenAI's shape.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, TypeAlias

from ai_infra.errors import InvalidMessageError

__all__ = [
    "AIMessage",
    "AnyMessage",
    "BaseMessage",
    "HumanMessage",
    "SystemMessage",
    "ToolMessage",
    "message_text",
    "to_messages",
    "to_openai",
]

Kind: TypeAlias = Literal["system", "user", "assistant", "tool", "other"]

KINDS: dict[str, Kind] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}
"""What part a role plays; a role that is not here plays none (``other``)."""

_LANGCHAIN = frozenset({"human", "ai", "system", "tool", "function", "chat"})
"""The types of LangChain's messages, which have no role once they are dicts."""

AnyMessage: TypeAlias = Any
"""A message of any shape this module reads. ``Any``, because other people's classes are among them."""


class BaseMessage(dict[str, Any]):
    """A chat message: a dict in OpenAI's shape, with its usual fields also as attributes.

    ``HumanMessage("hi") == {"role": "user", "content": "hi"}`` holds, it serializes as that dict, and the
    OpenAI SDK takes it as it is.
    """

    __slots__ = ()

    default_role: ClassVar[str] = "user"
    type_name: ClassVar[str] = "chat"

    def __init__(self, content: Any = None, /, **fields: Any) -> None:
        if isinstance(content, Mapping):
            super().__init__(content, **fields)
            return
        super().__init__()
        self["role"] = fields.pop("role", self.default_role)
        self["content"] = fields.pop("content", content)
        self.update(fields)

    @property
    def role(self) -> str:
        """The role as it is written in the message, or that of its class where it has none."""
        role = self.get("role")
        return role if isinstance(role, str) else self.default_role

    @property
    def content(self) -> Any:
        """The content as it is: a string, a list of parts, or None."""
        return self.get("content")

    @property
    def type(self) -> str:
        """LangChain's word for the role: ``human``, ``ai``, ``system``, ``tool`` or ``chat``."""
        return self.type_name

    @property
    def name(self) -> str | None:
        """The speaker's name, where there is one."""
        return self.get("name")

    @property
    def tool_calls(self) -> list[Any]:
        """The tool calls in the message's own shape; empty when there are none."""
        return self.get("tool_calls") or []

    @property
    def tool_call_id(self) -> str | None:
        """The id of the call that this message answers, where it answers one."""
        return self.get("tool_call_id")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({super().__repr__()})"

    def copy(self) -> BaseMessage:
        """A shallow copy of the same class."""
        return wrap(self, type(self))


class HumanMessage(BaseMessage):
    """What a person said."""

    __slots__ = ()
    default_role = "user"
    type_name = "human"


class AIMessage(BaseMessage):
    """What the model said, with the tool calls it made."""

    __slots__ = ()
    default_role = "assistant"
    type_name = "ai"


class SystemMessage(BaseMessage):
    """Instructions (``system`` or ``developer``)."""

    __slots__ = ()
    default_role = "system"
    type_name = "system"


class ToolMessage(BaseMessage):
    """The result of one tool call."""

    __slots__ = ()
    default_role = "tool"
    type_name = "tool"


CLASSES: dict[Kind, type[BaseMessage]] = {
    "system": SystemMessage,
    "user": HumanMessage,
    "assistant": AIMessage,
    "tool": ToolMessage,
    "other": BaseMessage,
}


def wrap(fields: Mapping[str, Any], cls: type[BaseMessage]) -> BaseMessage:
    """``fields`` as a message of ``cls``: a shallow copy with exactly the same keys."""
    message = cls.__new__(cls)
    message.update(fields)
    return message


def is_langchain(message: object) -> bool:
    """Whether this is a LangChain message; False at once when LangChain was never imported."""
    module = sys.modules.get("langchain_core.messages.base")
    return module is not None and isinstance(message, module.BaseMessage)


def fields_of(message: object) -> dict[str, Any]:
    """The message as a dict in OpenAI's or Anthropic's shape, not copied where it is one already.

    Raises:
        InvalidMessageError: it is nothing we can read.
    """
    if isinstance(message, dict):
        if "role" in message:
            return message
        if "type" in message:
            return _from_dump(message) or message
        raise InvalidMessageError(
            f"this message has no 'role': {_show(message)}. Write it as "
            '{"role": "user", "content": "..."}.'
        )
    if is_langchain(message):
        return _from_langchain(message)
    if isinstance(message, Mapping):
        return fields_of(dict(message))
    dump = getattr(message, "model_dump", None)
    if callable(dump) and (hasattr(message, "role") or hasattr(message, "type")):
        return fields_of(dump(exclude_none=True))
    raise InvalidMessageError(
        f"a chat message is a dict, a LangChain message or an object of the OpenAI SDK, not "
        f'{type(message).__name__} ({_show(message)}). Write it as {{"role": "user", "content": "..."}}.'
    )


def kind_of(fields: Mapping[str, Any]) -> Kind:
    """What part the message plays."""
    role = fields.get("role")
    if isinstance(role, str):
        return KINDS.get(role, "other")
    return {"function_call": "assistant", "function_call_output": "tool"}.get(
        str(fields.get("type")), "other"
    )  # type: ignore[return-value]  # both are kinds


def calls_in(fields: Mapping[str, Any]) -> Sequence[Any]:
    """The tool calls of a message in OpenAI's shape.

    Raises:
        InvalidMessageError: they are no list.
    """
    calls = fields.get("tool_calls")
    if not calls:
        return ()
    if isinstance(calls, list | tuple):
        return calls
    raise InvalidMessageError(f"the tool_calls of a message are a list of calls, not {_show(calls)}.")


def to_message(message: AnyMessage) -> AnyMessage:
    """The message as the library hands it out: LangChain's as the same object, all others as ours."""
    if isinstance(message, BaseMessage) or is_langchain(message):
        return message
    fields = fields_of(message)
    return wrap(fields, CLASSES[kind_of(fields)])


def to_messages(messages: Iterable[AnyMessage]) -> list[Any]:
    """Every message as the library hands it out; see :func:`to_message`.

    Raises:
        InvalidMessageError: one of them is nothing we can read; says which.
    """
    return [to_message(message) for message in as_list(messages)]


def as_list(messages: Iterable[AnyMessage]) -> Sequence[Any]:
    """The messages as a sequence, not copied where they are one; refuses what is not a list of messages."""
    if isinstance(messages, list | tuple):
        return messages
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Iterable):
        raise InvalidMessageError(
            f"messages must be a list of messages, not {type(messages).__name__} ({_show(messages)}). "
            'For one message write [{"role": "user", "content": "..."}].'
        )
    return messages if isinstance(messages, Sequence) else list(messages)


def to_openai(messages: Iterable[AnyMessage]) -> list[dict[str, Any]]:
    """The messages as OpenAI chat dicts, for a request. Dicts are passed on as they are.

    A LangChain message is rewritten (its ``tool_calls`` have another shape); an object of the OpenAI SDK
    becomes its dict.
    """
    return [fields_of(message) for message in as_list(messages)]


def message_text(message: AnyMessage) -> str:
    """The words of a message: its text parts joined by newlines, without images, calls or reasoning."""
    return "\n".join(texts_of(fields_of(message).get("content")))


def texts_of(content: object) -> list[str]:
    """The texts inside a message's content, in order; those of tool results too."""
    if isinstance(content, str):
        return [content] if content else []
    texts: list[str] = []
    if isinstance(content, list | tuple):
        for part in content:
            if isinstance(part, str):
                texts.append(part)
            elif isinstance(part, Mapping):
                text = part.get("text")
                if isinstance(text, str):
                    texts.append(text)
                elif part.get("type") == "tool_result":
                    texts.extend(texts_of(part.get("content")))
    return texts


def _from_dump(message: dict[str, Any]) -> dict[str, Any] | None:
    """A LangChain message that was made a dict (``messages_to_dict``, ``model_dump``) as an OpenAI dict; None where it
    is none.

    Raises:
        InvalidMessageError: its tool calls are not as LangChain has them.
    """
    kind, data = message["type"], message.get("data", message)
    if not isinstance(kind, str) or not (kind in _LANGCHAIN or kind.endswith("MessageChunk")):
        return None
    if not isinstance(data, Mapping) or "content" not in data:
        return None
    blank: dict[str, Any] = {"name": None, "additional_kwargs": {}, "tool_call_id": None}
    known = {key: value for key, value in data.items() if value is not None}
    try:
        return _from_langchain(SimpleNamespace(**{**blank, "content": None, **known, "type": kind}))
    except (AttributeError, KeyError, TypeError) as error:
        raise InvalidMessageError(
            f"this looks like a LangChain message made a dict, and cannot be read ({type(error).__name__}: {error}): "
            f"{_show(message)}"
        ) from error


def _from_langchain(message: Any) -> dict[str, Any]:
    """A LangChain message as an OpenAI dict."""
    kind: str = message.type
    role = getattr(message, "role", None) or {"human": "user", "ai": "assistant"}.get(kind, kind)
    if kind.endswith("MessageChunk"):
        role = "assistant" if kind.startswith("AI") else kind.removesuffix("MessageChunk").lower()
    fields: dict[str, Any] = {"role": role, "content": message.content}
    if message.name:
        fields["name"] = message.name
    # Arguments that were no JSON are calls all the same: a tool message answers them.
    calls = [
        *(getattr(message, "tool_calls", None) or ()),
        *(getattr(message, "invalid_tool_calls", None) or ()),
    ]
    if calls:
        fields["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {
                    "name": call["name"],
                    "arguments": call["args"] if isinstance(call["args"], str) else json_of(call["args"]),
                },
            }
            for call in calls
        ]
        # Anthropic's models put the same calls into the content as well; the API wants them once.
        if isinstance(message.content, list):
            fields["content"] = [
                part
                for part in message.content
                if not (isinstance(part, dict) and part.get("type") == "tool_use")
            ]
    elif message.additional_kwargs.get("function_call"):
        fields["function_call"] = message.additional_kwargs["function_call"]
    if kind == "tool":
        fields["tool_call_id"] = message.tool_call_id
    return fields


def json_of(value: object, *, skipkeys: bool = False) -> str:
    """What stands inside a message as JSON; what JSON has not is written as its text.

    Raises:
        InvalidMessageError: it cannot be written; says why.
    """
    import json  # here, because most messages do not need it and importing it is felt

    try:
        return json.dumps(value, ensure_ascii=False, default=str, skipkeys=skipkeys)
    except (ValueError, RecursionError, TypeError) as error:
        raise InvalidMessageError(
            f"a {type(value).__name__} inside a message cannot be written as JSON: it contains itself, is nested too "
            f"deep, or holds what JSON has not ({error})"
        ) from error


def _show(value: object) -> str:
    """A value, short enough for an error message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
