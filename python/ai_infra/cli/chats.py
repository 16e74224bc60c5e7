"""Reading conversations from files: our JSON Lines, one JSON document, a ChatGPT export, a Claude export."""

from __future__ import annotations

import json
import math
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from ai_infra._checks import short
from ai_infra.cli.read import NotJson, decoded, each_line, not_json, read_text
from ai_infra.errors import ConfigurationError, InvalidMessageError
from ai_infra.llm.conversation.prepare import said_of
from ai_infra.messages import fields_of

__all__ = ["Chat", "LeftOut", "one_each", "read_chats"]

_HALF = re.compile("[\ud800-\udfff]")
"""What JSON can write and no text can hold: half of a character."""


class Chat(NamedTuple):
    """One conversation of a file."""

    session_id: str
    messages: list[dict[str, Any]]
    metadata: dict[str, Any]


class LeftOut(NamedTuple):
    """An entry of a file that is no conversation, or a line that is not JSON."""

    name: str
    reason: str
    kind: str = "conversation"


def read_chats(path: str) -> list[Chat | LeftOut]:
    """The conversations of a file, and what in it is none; conversations without a message are passed over.

    Read are: JSON Lines of messages (``session_id`` parts them into conversations, ``date`` says when), JSON Lines of
    conversations (``session_id`` and ``messages``), the same as one JSON list, a single conversation, the
    ``conversations.json`` of a ChatGPT or Claude export, and the ``.zip`` such an export comes in. Exports hold what
    their services let through: half a character becomes U+FFFD, and a time that is none is left away. Of JSON Lines the
    lines that are not JSON are left out, unless none is an object.

    Raises:
        ConfigurationError: the file cannot be read, or holds nothing of these.
    """
    if path.lower().endswith(".zip"):
        return [chat for name, text in _members(path) for chat in _chats(f"{path}/{name}", text)]
    return _chats(path, read_text(path))


def one_each(found: Sequence[tuple[str, Chat | LeftOut]]) -> list[tuple[str, Chat | LeftOut]]:
    """What was found in files, each conversation once, and only those in which something is said.

    A conversation that comes again, or goes on in a later export, takes the place of the shorter one. If two of one id
    are different conversations, the last is kept; the others, and those without a word, become what is left out.
    """
    kept: list[tuple[str, Chat | LeftOut]] = []
    places: dict[str, int] = {}
    for path, chat in found:
        if isinstance(chat, LeftOut):
            kept.append((path, chat))
            continue
        name = f"conversation {short(repr(chat.session_id))}"
        if not _says_something(chat):
            reason = 'none of its messages holds text. A message is {"role": "user", "content": "..."}'
            kept.append((path, LeftOut(name, reason)))
            continue
        at = places.get(chat.session_id)
        if at is not None:
            before, held = kept[at]
            assert isinstance(held, Chat)
            if held.messages[: len(chat.messages)] == chat.messages and len(held.messages) > len(
                chat.messages
            ):
                continue
            if chat.messages[: len(held.messages)] == held.messages:
                kept[at] = path, chat
                continue
            where = "a later entry of the file" if path == before else path
            reason = (
                f"{where} has another conversation of this id, which is kept; put all messages of a conversation into "
                "one file, or give each conversation an id of its own"
            )
            kept[at] = before, LeftOut(name, reason)
        places[chat.session_id] = len(kept)
        kept.append((path, chat))
    return kept


def _says_something(chat: Chat) -> bool:
    try:
        return any(said_of(fields_of(message)).text.strip() for message in chat.messages)
    except InvalidMessageError:
        return True  # what cannot be read is named when it is to be stored


def _members(path: str) -> Iterator[tuple[str, str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if re.search(r"(^|/)conversations[^/]*\.json$", n)]
            if not names:
                raise ConfigurationError(
                    f"{path} holds no conversations.json; is it a ChatGPT or Claude export?"
                )
            for name in sorted(names):
                yield name, decoded(f"{path}/{name}", archive.read(name))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ConfigurationError(
            f"cannot read {path}: it is no zip file, or damaged ({error}); download it again."
        ) from error
    except (RuntimeError, NotImplementedError) as error:  # a password, a compression that Python has not
        raise ConfigurationError(
            f"cannot read {path}: {error}; unpack it, and index the conversations.json inside."
        ) from error


def _chats(path: str, text: str) -> list[Chat | LeftOut]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = _lines(path, text)
    name = _name(path, text)
    if isinstance(document, dict) and isinstance(document.get("conversations"), list):
        document = document["conversations"]
    rows = document if isinstance(document, list) else [document]
    loose: dict[str, Chat] = {}
    chats: list[Chat | LeftOut] = []
    for at, row in enumerate(rows):
        if isinstance(row, LeftOut):
            chats.append(row)
        elif not isinstance(row, dict):
            reason = f"it is {type(row).__name__}, not a conversation or a message"
            chats.append(LeftOut(f"entry {at}", reason))
        elif isinstance(row.get("mapping"), dict):
            chats.append(_chatgpt(row, f"{name}-{at}"))
        elif isinstance(row.get("chat_messages"), list):
            chats.append(_claude(row, f"{name}-{at}"))
        elif isinstance(row.get("messages"), list):
            chats.append(_plain(row, name if len(rows) == 1 else f"{name}-{at}"))
        elif "role" in row or "type" in row:
            _add(loose, row, name)
        else:
            reason = (
                "it is no conversation and no message: it has none of 'role', 'messages', 'mapping' (ChatGPT) and "
                "'chat_messages' (Claude), or what it has there is no list"
            )
            chats.append(LeftOut(f"entry {at}", reason))
    return [chat for chat in [*chats, *loose.values()] if isinstance(chat, LeftOut) or chat.messages]


def _lines(path: str, text: str) -> list[Any]:
    """The rows of JSON Lines; in the place of a bad line, so that the ids made from places stay, what is left out."""
    lines = list(each_line(text))
    if not any(isinstance(row, dict) for _, row in lines):  # one broken document, say, not lines
        for number, row in lines:
            if isinstance(row, NotJson):
                raise not_json(path, number, row)
    return [
        LeftOut(f"line {number}", f"it is not JSON {row.reason}", "line") if isinstance(row, NotJson) else row
        for number, row in lines
    ]


def _name(path: str, text: str) -> str:
    """An id for a conversation that has none: the same for the same file, another for every other file."""
    stem, source = ("stdin", text) if path == "-" else (Path(path).stem, str(Path(path).absolute()))
    return f"{stem}-{blake2b(source.encode('utf-8', 'surrogatepass'), digest_size=4).hexdigest()}"


def _add(chats: dict[str, Chat], row: Mapping[str, Any], name: str) -> None:
    session = _id(row, ("session_id",), name)
    chat = chats.setdefault(session, Chat(session, [], {}))
    left = {"session_id"}
    if "date" in row and chat.metadata.setdefault("date", row["date"]) == row["date"]:
        left.add("date")  # of a conversation that went on, the later messages keep their own
    chat.messages.append({key: value for key, value in row.items() if key not in left})


def _plain(row: Mapping[str, Any], name: str) -> Chat:
    metadata = dict(row["metadata"]) if isinstance(row.get("metadata"), dict) else {}
    for key in ("date", "title"):
        if row.get(key) is not None:
            metadata.setdefault(key, row[key])
    return Chat(_id(row, ("session_id", "id"), name), list(row["messages"]), metadata)


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


def _id(row: Mapping[str, Any], keys: Iterable[str], name: str) -> str:
    """The first of these fields that is an id; 0 is one."""
    return str(next((row[key] for key in keys if row.get(key) not in (None, "")), name))


def _chatgpt(row: Mapping[str, Any], name: str) -> Chat:
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
    return Chat(_whole(_id(row, ("conversation_id", "id"), name)), messages, metadata)


def _chatgpt_message(found: Any) -> dict[str, Any] | None:
    if not isinstance(found, dict):
        return None
    content, role = _dict(found.get("content")), _dict(found.get("author")).get("role")
    hidden = _dict(found.get("metadata")).get("is_visually_hidden_from_conversation")
    if not isinstance(role, str) or hidden:
        return None
    parts = _list(content.get("parts")) or [content.get("text") or content.get("result")]
    text = "\n".join(_texts(parts)).strip()
    if not text:
        return None
    return _known(role=role, content=text, timestamp=found.get("create_time"))


def _texts(parts: Iterable[Any]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]
        elif isinstance(part, dict) and "asset_pointer" in part:
            yield "[image]"


def _claude(row: Mapping[str, Any], name: str) -> Chat:
    messages = []
    for found in row["chat_messages"]:
        if not isinstance(found, dict):
            continue
        # ``text`` says of what it cannot show that it "is not supported on your current device".
        text = "\n".join(_texts(p for p in _list(found.get("content")) if isinstance(p, dict))).strip()
        files = [
            f"[{file['file_name']}]\n{file.get('extracted_content') or ''}".strip()
            for file in _list(found.get("attachments"))
            if isinstance(file, dict) and file.get("file_name")
        ]
        role = {"human": "user", "assistant": "assistant"}.get(
            str(found.get("sender")), str(found.get("sender"))
        )
        said = "\n".join([str(text or found.get("text") or "").strip(), *files]).strip()
        if said:
            messages.append(_known(role=role, content=said, timestamp=found.get("created_at")))
    metadata = _known(title=row.get("name"), date=row.get("created_at"), source="claude")
    return Chat(_whole(_id(row, ("uuid",), name)), messages, metadata)
