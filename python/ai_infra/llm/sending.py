"""From messages of any shape to those that the chat completions endpoint takes.

What is in OpenAI's shape already goes as it is, keys of other services included. Anthropic's content blocks and
the items of OpenAI's Responses API are rewritten: calls and results become calls and tool messages. What has no
counterpart is refused rather than sent to be misread; a model's private reasoning is left out, and arguments of calls
that are no JSON object are wrapped into one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ai_infra.errors import InvalidMessageError
from ai_infra.llm.arguments import sound_arguments, with_sound_calls
from ai_infra.messages import AnyMessage, as_list, calls_in, fields_of, json_of, message_text, texts_of

_ROLES = {"human": "user", "ai": "assistant", "model": "assistant"}
_REASONING = frozenset({"thinking", "redacted_thinking", "reasoning"})
_TEXT = frozenset({"input_text", "output_text"})
_FOREIGN = _REASONING | _TEXT | frozenset({"tool_use", "tool_result", "image", "input_image", "tool_call"})
_MEDIA = frozenset({"file", "audio"})
"""Parts that LangChain names as the endpoint, or nearly so, and shapes otherwise."""
_ELSEWHERE = frozenset(
    {
        *("document", "search_result", "container_upload", "server_tool_use", "web_search_tool_result"),
        *("mcp_tool_use", "mcp_tool_result", "code_execution_tool_result", "input_file"),
    }
)
"""Parts that only one other API knows."""

Fields = Mapping[str, Any]


def chat_messages(messages: Iterable[AnyMessage]) -> list[Fields]:
    """The messages as the endpoint takes them; those that it takes already are not copied.

    Raises:
        InvalidMessageError: one is nothing that can be read, or that this endpoint can be told; says which.
    """
    sent: list[Fields] = []
    for at, message in enumerate(as_list(messages)):
        fields: Fields = fields_of(message)
        content = fields.get("content")
        role = fields.get("role")
        known = isinstance(role, str) and role in _KNOWN and "type" not in fields
        if fields.get("tool_calls"):
            fields = _with_calls(fields)
        if not known or not isinstance(content, str | None):
            try:
                _rewrite(fields, sent)
            except InvalidMessageError as error:
                raise InvalidMessageError(f"messages[{at}]: {error}") from None
        else:
            sent.append(fields)
    return sent


def _with_calls(fields: Fields) -> Fields:
    """The message with its calls as the endpoint has them: LangChain's have no function, some a dict of arguments."""
    calls = calls_in(fields)
    if not any(isinstance(_arguments(call), Mapping) for call in calls):
        return with_sound_calls(fields)
    made = [
        _call(call.get("id"), _function(call).get("name"), _arguments(call))
        if isinstance(_arguments(call), Mapping)
        else call
        for call in calls
    ]
    return with_sound_calls({**fields, "tool_calls": made})


def _function(call: Any) -> Fields:
    function = call.get("function", call) if isinstance(call, Mapping) else {}
    return function if isinstance(function, Mapping) else {}


def _arguments(call: Any) -> Any:
    function = _function(call)
    return function.get("arguments", function.get("args"))


_KNOWN = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


def _rewrite(fields: Fields, sent: list[Fields]) -> None:
    role = fields.get("role")
    if role is None:
        _item(fields, sent)
        return
    if not isinstance(role, str):
        raise InvalidMessageError(f"its role is a string, not {role!r}.")
    content = fields.get("content")
    if fields.get("type") == "message":  # of the Responses API
        fields = {key: value for key, value in fields.items() if key not in ("type", "id", "status")}
    if role in _ROLES:
        fields = {**fields, "role": _ROLES[role]}
    if isinstance(content, list | tuple):
        kinds = {_kind(part) for part in content}
        if kinds & _ELSEWHERE:
            raise InvalidMessageError(_no_place(min(map(str, kinds & _ELSEWHERE))))
        if None in kinds or kinds & _FOREIGN or (kinds & _MEDIA and any(map(_is_media, content))):
            _parts(fields, sent)
            return
        if not content and role == "assistant":
            fields = {**fields, "content": None}
    elif not isinstance(content, str | None):
        raise InvalidMessageError(
            f"its content is a string or a list of parts, not {type(content).__name__}."
        )
    sent.append(fields)


def _item(item: Fields, sent: list[Fields]) -> None:
    """One item of the Responses API that is no message."""
    kind = _kind(item)
    if kind == "function_call":
        made = _call(item.get("call_id"), item.get("name"), item.get("arguments"))
        last = sent[-1] if sent else {}
        if last.get("role") == "assistant":  # what one answer calls belongs into one message
            sent[-1] = {**last, "tool_calls": [*calls_in(last), made]}
        else:
            sent.append({"role": "assistant", "content": None, "tool_calls": [made]})
    elif kind == "function_call_output":
        sent.append(_result(item.get("call_id"), item.get("output")))
    elif kind not in _REASONING:
        raise InvalidMessageError(_no_place(kind))


def _parts(fields: Fields, sent: list[Fields]) -> None:
    """A message with parts of other APIs: results first, then what is said, with the calls."""
    parts: list[Fields] = []
    calls: list[Fields] = list(calls_in(fields))
    for part in fields["content"]:
        kind = _kind(part)
        if isinstance(part, str):
            parts.append({"type": "text", "text": part})
        elif kind is None:
            raise InvalidMessageError(f"a part of its content is {part!r}, and no dict with a type.")
        elif kind == "tool_use":
            calls.append(_call(part.get("id"), part.get("name"), part.get("input")))
        elif kind == "tool_result":
            sent.append(_result(part.get("tool_use_id"), part.get("content")))
        elif kind in _TEXT:
            parts.append({"type": "text", "text": part.get("text")})
        elif kind in ("image", "input_image"):
            parts.append(_image(part))
        elif _is_media(part):
            parts.append(_media(part))
        elif kind == "tool_call":
            if not any(isinstance(call, Mapping) and call.get("id") == part.get("id") for call in calls):
                calls.append(_call(part.get("id"), part.get("name"), part.get("args")))
        elif kind not in _REASONING:
            parts.append(part)
    if calls and fields["role"] != "assistant":
        raise InvalidMessageError(
            f"it calls a tool, and its role is {fields['role']!r} instead of 'assistant'."
        )
    rest = {**fields, "content": parts}
    if fields["role"] == "assistant":  # several services take no parts from it
        said = "".join(texts_of(parts))  # one text, wherever it was cut
        rest["content"] = said or None if calls or not parts else said
    if calls:
        rest["tool_calls"] = calls
    if parts or calls:
        sent.append(rest)


def _kind(part: Any) -> str | None:
    kind = part.get("type") if isinstance(part, Mapping) else None
    return kind if isinstance(kind, str) else None


def _call(id_: Any, name: Any, arguments: Any) -> Fields:
    text = sound_arguments(arguments) if isinstance(arguments, str) else json_of(arguments or {})
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": text}}


def _result(id_: Any, output: Any) -> Fields:
    if isinstance(output, list | tuple):
        for part in output:
            kind = _kind(part)
            if not isinstance(part, str) and kind != "text" and kind not in _TEXT:
                raise InvalidMessageError(f"a tool's result is text here; it holds a part of type {kind!r}.")
        output = message_text({"role": "tool", "content": output})
    text = output if isinstance(output, str) else "" if output is None else json_of(output)
    return {"role": "tool", "tool_call_id": id_, "content": text}


def _image(part: Fields) -> Fields:
    source, url = part.get("source"), part.get("image_url") or part.get("url")
    if isinstance(url, Mapping):
        url = url.get("url")
    if isinstance(part.get("base64"), str):
        url = f"data:{part.get('mime_type') or 'image/png'};base64,{part['base64']}"
    if isinstance(source, Mapping) and source.get("type") == "base64":
        url = f"data:{source.get('media_type')};base64,{source.get('data')}"
    elif isinstance(source, Mapping) and source.get("type") == "url":
        url = source.get("url")
    if not isinstance(url, str):
        raise InvalidMessageError(
            f"an image is sent as its data or its address here; this one has neither: its keys are {sorted(part)}."
        )
    detail = {"detail": part["detail"]} if part.get("detail") else {}
    return {"type": "image_url", "image_url": {"url": url, **detail}}


def _is_media(part: Any) -> bool:
    return _kind(part) in _MEDIA and not isinstance(part.get("file"), Mapping)


def _media(part: Fields) -> Fields:
    """A file or a recording as LangChain describes it."""
    data = part.get("base64")
    kind = str(part.get("mime_type") or "")
    if part["type"] == "audio" and isinstance(data, str):
        form = {"audio/mpeg": "mp3"}.get(kind, kind.rpartition("/")[2].removeprefix("x-") or "wav")
        return {"type": "input_audio", "input_audio": {"data": data, "format": form}}
    if part["type"] == "file" and isinstance(data, str):
        file = {"filename": part.get("filename") or "file", "file_data": f"data:{kind};base64,{data}"}
        return {"type": "file", "file": file}
    if part["type"] == "file" and isinstance(part.get("file_id"), str):
        return {"type": "file", "file": {"file_id": part["file_id"]}}
    raise InvalidMessageError(
        f"a part of type {part['type']!r} is sent as its data here (base64); its keys are {sorted(part)}."
    )


def _no_place(kind: Any) -> str:
    return f"an item of type {kind!r} has no counterpart in a chat request: leave it out, or say in words what it held."
