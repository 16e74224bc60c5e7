"""From what a user passes to what is stored and searched: checked, as canonical JSON, with each message's words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ai_infra._core import canonical_json, check_key
from ai_infra.errors import InvalidInputError, InvalidMessageError
from ai_infra.llm.conversation.dates import Span, conversation_span
from ai_infra.llm.memory._groups import Groups, links_of
from ai_infra.messages import as_list, calls_in, fields_of, json_of, kind_of, texts_of

MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class Words(NamedTuple):
    """What the index is told of the messages of one conversation, a list entry each."""

    texts: list[str]
    roles: list[str]
    names: list[str | None]
    joined: list[bool]


class Prepared(NamedTuple):
    """A conversation that was checked, ready to be stored."""

    user_id: str
    session_id: str
    messages: list[str]
    metadata: str
    span: Span | None
    fields: list[dict[str, Any]]


def check_id(name: str, value: object) -> str:
    """The text of an id that a user passed, as a plain string: not empty, without NUL and lone surrogates.

    Raises:
        InvalidInputError: it is not; one of its subclasses says what is wrong.
    """
    return check_key(value, name)


def prepare(user_id: object, session_id: object, messages: Iterable[Any], metadata: object) -> Prepared:
    """Check everything, before anything is written or paid for.

    Raises:
        InvalidInputError: one of its subclasses says what was wrong, and where.
    """
    user, session = check_id("user_id", user_id), check_id("session_id", session_id)
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, Mapping):
        raise InvalidInputError(f"metadata is {type(metadata).__name__}; pass a dict or None")
    stored = _json(dict(metadata), "metadata")
    rows: list[str] = []
    fields: list[dict[str, Any]] = []
    for at, message in enumerate(as_list(messages)):
        try:
            one = fields_of(message)
            calls_in(one)
        except InvalidMessageError as error:
            raise InvalidMessageError(f"message {at}: {error}") from None
        rows.append(_json(one, f"message {at}"))
        fields.append(one)
    if not rows:
        raise InvalidInputError(
            f"conversation {session!r} has no messages; to remove one, call delete_conversation()"
        )
    return Prepared(user, session, rows, stored, conversation_span(metadata, fields), fields)


def _json(value: dict[str, Any], where: str) -> str:
    try:
        return canonical_json(value, MAX_MESSAGE_BYTES)
    except InvalidInputError as error:
        raise type(error)(f"{where}: {error}; nothing was written") from None


def words_of(messages: Sequence[Mapping[str, Any]]) -> Words:
    """The words, roles and names of messages, and which of them must not be parted from the one before."""
    texts: list[str] = []
    roles: list[str] = []
    names: list[str | None] = []
    joined = [False] * len(messages)
    groups = Groups(messages)
    for at, fields in enumerate(messages):
        said = said_of(fields)
        texts.append(said.text)
        roles.append(said.role)
        names.append(said.name)
        group = groups.of(at, links_of(fields))
        if group is not None:
            for member in range(group.members[0] + 1, group.members[-1] + 1):
                joined[member] = True
    return Words(texts, roles, names, joined)


class Said(NamedTuple):
    """What the index is told of one message."""

    text: str
    role: str
    name: str | None


def said_of(fields: Mapping[str, Any]) -> Said:
    """The words of a message, and whose they are."""
    kind = kind_of(fields)
    name = fields.get("name")
    return Said(
        _text(fields),
        "user" if kind == "user" else str(fields.get("role") or kind),
        name if isinstance(name, str) and name and kind in ("user", "assistant") else None,
    )


def _text(fields: Mapping[str, Any]) -> str:
    """What was said, and what was called with which arguments."""
    said = texts_of(fields.get("content"))
    if isinstance(fields.get("refusal"), str):
        said.append(fields["refusal"])
    for call in calls_in(fields):
        function = call.get("function", call) if isinstance(call, Mapping) else {}
        if isinstance(function, Mapping):
            said.append(_call(function.get("name"), function.get("arguments", function.get("args"))))
    legacy = fields.get("function_call")
    if isinstance(legacy, Mapping):
        said.append(_call(legacy.get("name"), legacy.get("arguments")))
    content = fields.get("content")
    if isinstance(content, list | tuple):
        said.extend(
            _call(part.get("name"), part.get("input"))
            for part in content
            if isinstance(part, Mapping) and part.get("type") == "tool_use"
        )
    if fields.get("type") == "function_call":
        said.append(_call(fields.get("name"), fields.get("arguments")))
    if fields.get("type") == "function_call_output":
        said.extend(texts_of(fields.get("output")))
    return "\n".join(said)


def _call(name: object, arguments: object) -> str:
    if arguments is not None and not isinstance(arguments, str):
        arguments = json_of(arguments)
    return f"[{name} {arguments or ''}]"


def digest(model: str, text: str) -> bytes:
    """What tells one model's vector of a text from every other."""
    return hashlib.sha256(f"{len(model)} {model} {text}".encode()).digest()
