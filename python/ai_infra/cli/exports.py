"""What ChatGPT and Claude export, as conversations: what was on the screen, and nothing else."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["Chat", "chatgpt", "claude", "id_of"]

_HALF = re.compile("[\ud800-\udfff]")
"""What JSON can write and no text can hold: half of a character."""
_CITED = re.compile("\ue200(?:file)?cite\ue202[^\ue200\ue201]*\ue201")
"""What stands in a text of ChatGPT where a button with a source was shown."""
_SHOWING = ("canmore", "dalle")
"""Tools of ChatGPT whose input is shown: the canvas, and pictures."""
_SHOWN = {"name", "content", "replacement", "comment", "prompt"}
"""What of it: a document's name and text, what was changed in it, the prompt of a picture."""
_WRITTEN = {
    "artifacts": ("title", "content", "new_str"),
    "create_file": ("path", "file_text"),
    "str_replace": ("path", "new_str"),
}
"""Claude's tools whose input is a document that was shown, and where in it."""


class Chat(NamedTuple):
    """One conversation of a file."""

    session_id: str
    messages: list[dict[str, Any]]
    metadata: dict[str, Any]


def _known(**fields: Any) -> dict[str, Any]:
    """The fields of an export that say something."""
    return {
        key: _whole(value) if isinstance(value, str) else value
        for key, value in fields.items()
        if value not in (None, "") and not (isinstance(value, float) and not math.isfinite(value))
    }


def _whole(text: str) -> str:
    return _HALF.sub("\ufffd", text)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def id_of(row: Mapping[str, Any], keys: Iterable[str], name: str) -> str:
    """The first of these fields that is an id; 0 is one."""
    return str(next((row[key] for key in keys if row.get(key) not in (None, "")), name))


def chatgpt(row: Mapping[str, Any], name: str) -> Chat:
    """A tree of messages; the conversation is the way from the present leaf up to the root."""
    mapping = {key: _dict(node) for key, node in row["mapping"].items()}
    at = row.get("current_node")
    if not isinstance(at, str) or at not in mapping:
        parents = [node.get("parent") for node in mapping.values()]
        named = {parent for parent in parents if isinstance(parent, str)}
        at = next((key for key in reversed(list(mapping)) if key not in named), None)
    path: list[Any] = []
    seen: set[str] = set()
    while isinstance(at, str) and at in mapping and at not in seen:
        seen.add(at)
        path.append(mapping[at].get("message"))
        at = mapping[at].get("parent")
    messages = [message for found in reversed(path) if (message := _chatgpt_message(found))]
    metadata = _known(title=row.get("title"), date=row.get("create_time"), source="chatgpt")
    return Chat(_whole(id_of(row, ("conversation_id", "id"), name)), messages, metadata)


def _chatgpt_message(found: Any) -> dict[str, Any] | None:
    if not isinstance(found, dict):
        return None
    content, role = _dict(found.get("content")), _dict(found.get("author")).get("role")
    metadata = _dict(found.get("metadata"))
    if not isinstance(role, str) or role == "system" or metadata.get("is_visually_hidden_from_conversation"):
        return None
    # A page that was opened in the background has its words in ``result``, which nobody was shown.
    parts = _list(content.get("parts")) or [content.get("text")]
    text = _CITED.sub("", "\n".join(_texts(parts))).strip()
    if str(found.get("recipient")).startswith(_SHOWING):
        text = _call(text)
    said = "\n".join([text, *_names(metadata.get("attachments"), "name")]).strip()
    return _known(role=role, content=said, timestamp=found.get("create_time")) if said else None


def _call(text: str) -> str:
    """What of a call was shown: in JSON the text of a canvas has no lines of its own, and its words are not whole."""
    try:
        return "\n".join(_shown(json.loads(text))).strip() or text
    except (ValueError, RecursionError):
        return text


def _shown(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, str) and key in _SHOWN:
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _shown(one, name)
    elif isinstance(value, list):
        for one in value:
            yield from _shown(one)


def _texts(parts: Iterable[Any]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]
        elif isinstance(part, dict) and "asset_pointer" in part and not _is_voice(part):
            yield "[image]"


def _is_voice(part: Mapping[str, Any]) -> bool:
    return "audio" in str(part.get("content_type"))  # its words are in another part


def _names(files: Any, key: str) -> list[str]:
    """The names of files that came with a message; pictures have a part of their own."""
    return [
        f"[{file[key]}]"
        for file in map(_dict, _list(files))
        if isinstance(file.get(key), str)
        and file[key]
        and not str(file.get("mime_type") or file.get("mimeType")).startswith("image/")
    ]


def claude(row: Mapping[str, Any], name: str) -> Chat:
    """A list of messages; documents that were written or attached are part of what was said."""
    messages = []
    for found in row["chat_messages"]:
        if not isinstance(found, dict):
            continue
        # ``text`` says of what it cannot show that it "is not supported on your current device".
        text = "\n".join(_claude_texts(found.get("content"))).strip()
        said = [str(text or found.get("text") or "").strip()]
        for file in map(_dict, _list(found.get("attachments"))):
            # What was pasted is a file without a name.
            said += [*_names([file], "file_name"), str(file.get("extracted_content") or "").strip()]
        said += [one for one in _names(found.get("files"), "file_name") if one not in said]
        whole = "\n".join(filter(None, said))
        sender = str(found.get("sender"))
        role = {"human": "user", "assistant": "assistant"}.get(sender, sender)
        if whole:
            messages.append(_known(role=role, content=whole, timestamp=found.get("created_at")))
    metadata = _known(title=row.get("name"), date=row.get("created_at"), source="claude")
    return Chat(_whole(id_of(row, ("uuid",), name)), messages, metadata)


def _claude_texts(content: Any) -> Iterator[str]:
    for part in _list(content):
        if not isinstance(part, dict):
            continue
        if part.get("type") == "tool_use":
            given = _dict(part.get("input"))
            for key in _WRITTEN.get(str(part.get("name")), ()):
                if isinstance(given.get(key), str):
                    yield given[key]
        else:
            yield from _texts([part])
