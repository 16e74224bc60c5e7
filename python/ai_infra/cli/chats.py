"""Reading conversations from files: our JSON Lines, one JSON document, a ChatGPT export, a Claude export."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from ai_infra._checks import short
from ai_infra.cli.exports import Chat, chatgpt, claude, id_of
from ai_infra.cli.read import NotJson, decoded, each_entry, each_line, not_json, read_bytes
from ai_infra.errors import ConfigurationError, InvalidMessageError
from ai_infra.llm.conversation.prepare import said_of
from ai_infra.messages import fields_of

__all__ = ["Chat", "LeftOut", "one_each", "read_chats"]


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
        return [chat for name, data in _members(path) for chat in _chats(f"{path}/{name}", data)]
    return _chats(path, read_bytes(path))


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


def _members(path: str) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if re.search(r"(^|/)conversations[^/]*\.json$", n)]
            if not names:
                raise ConfigurationError(
                    f"{path} holds no conversations.json; is it a ChatGPT or Claude export?"
                )
            for name in sorted(names):
                yield name, archive.read(name)
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


def _chats(path: str, data: bytes) -> list[Chat | LeftOut]:
    name = _name(path, data)
    try:
        return _made(name, each_entry(data))
    except (ValueError, RecursionError):
        return _made(name, _document(path, decoded(path, data)))


def _document(path: str, text: str) -> list[Any]:
    """The rows of what is not one list in JSON: one object, or lines."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = _lines(path, text)
    if isinstance(document, dict) and isinstance(document.get("conversations"), list):
        document = document["conversations"]
    return document if isinstance(document, list) else [document]


def _made(name: str, entries: Iterable[Any]) -> list[Chat | LeftOut]:
    """The conversations that rows make; of an export only one row is held at a time."""
    rows = iter(entries)
    first = list(islice(rows, 2))
    alone = len(first) == 1
    loose: dict[str, Chat] = {}
    chats: list[Chat | LeftOut] = []
    for at, row in enumerate(chain(first, rows)):
        if isinstance(row, LeftOut):
            chats.append(row)
        elif not isinstance(row, dict):
            reason = f"it is {type(row).__name__}, not a conversation or a message"
            chats.append(LeftOut(f"entry {at}", reason))
        elif isinstance(row.get("mapping"), dict):
            chats.append(chatgpt(row, f"{name}-{at}"))
        elif isinstance(row.get("chat_messages"), list):
            chats.append(claude(row, f"{name}-{at}"))
        elif isinstance(row.get("messages"), list):
            chats.append(_plain(row, name if alone else f"{name}-{at}"))
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


def _name(path: str, data: bytes) -> str:
    """An id for a conversation that has none: the same for the same file, another for every other file."""
    if path == "-":
        stem, source = "stdin", decoded(path, data).encode("utf-8", "surrogatepass")
    else:
        stem, source = Path(path).stem, str(Path(path).absolute()).encode("utf-8", "surrogatepass")
    return f"{stem}-{blake2b(source, digest_size=4).hexdigest()}"


def _add(chats: dict[str, Chat], row: Mapping[str, Any], name: str) -> None:
    session = id_of(row, ("session_id",), name)
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
    return Chat(id_of(row, ("session_id", "id"), name), list(row["messages"]), metadata)
