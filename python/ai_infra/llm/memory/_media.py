"""The tokens of recordings and of PDF files inside a message.

Nobody publishes an exact rule. A recording costs 10 tokens a second at OpenAI and 32 at Gemini, a page of a PDF up to
3,000 at Anthropic; the larger number counts. Their base64 as text would be a hundred times that.
"""

from __future__ import annotations

import binascii
import re
import zlib
from collections.abc import Mapping
from typing import Any

PER_SECOND = 32
PER_PAGE = 3_000

_BYTES_A_SECOND = 4_000
"""Of compressed speech: 32 kbit/s. Better recordings are taken for longer ones."""
_BYTES_A_PAGE = 10_000
"""Of a PDF that does not show its pages."""
_MOST_UNPACKED = 32 * 1024 * 1024
_MOST_PACKED = 256 * 1024
_MOST_PACKS = 4_096
"""What is looked into of the compressed objects of a PDF: bytes in all, bytes of one before, and how many."""

_PAGE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_PACK = re.compile(rb"/ObjStm")


def media_tokens(part: Mapping[str, Any]) -> int | None:
    """The tokens of a part that is a recording or a PDF, with its data in it; None for any other part."""
    kind = part.get("type")
    if kind in ("input_audio", "audio"):
        inner = part.get("input_audio")
        data = inner.get("data") if isinstance(inner, Mapping) else part.get("base64")
        return _audio(data) if isinstance(data, str) and data else None
    if kind in ("file", "input_file", "document"):
        return _pdf(_file_data(part))
    return None


def _file_data(part: Mapping[str, Any]) -> str:
    """The base64 of a file as OpenAI, Anthropic and LangChain have it; nothing where it is no PDF."""
    source = part.get("source")
    if isinstance(source, Mapping):  # Anthropic
        kind, data = source.get("media_type"), source.get("data")
    elif isinstance(part.get("base64"), str):  # LangChain
        kind, data = part.get("mime_type"), part["base64"]
    else:
        inner = part.get("file")
        data = (inner if isinstance(inner, Mapping) else part).get("file_data")
        head, _, data = data.partition("base64,") if isinstance(data, str) else ("", "", "")
        kind = head.removeprefix("data:").partition(";")[0]
    return data if kind == "application/pdf" and isinstance(data, str) else ""


def _audio(data: str) -> int:
    size, rate = len(data) * 3 // 4, 0
    try:
        head = binascii.a2b_base64(data[:64])
    except ValueError:
        head = b""
    if head[:4] == b"RIFF" and head[8:16] == b"WAVEfmt ":
        rate = int.from_bytes(head[28:32], "little")
    return PER_SECOND * (1 + size // (rate if rate >= _BYTES_A_SECOND else _BYTES_A_SECOND))


def _pdf(data: str) -> int | None:
    if not data:
        return None
    try:
        raw = binascii.a2b_base64(data)
    except ValueError:
        return None
    return PER_PAGE * max(1, _pages(raw) or len(raw) // _BYTES_A_PAGE)


def _pages(raw: bytes) -> int:
    """How many pages there are; 0 where they cannot be seen."""
    found = len(_PAGE.findall(raw))
    left = _MOST_UNPACKED
    for number, pack in enumerate(_PACK.finditer(raw)):
        if left <= 0 or number == _MOST_PACKS:
            return 0
        start = raw.find(b"stream", pack.end(), pack.end() + 400) + len(b"stream")
        end = raw.find(b"endstream", start, start + _MOST_PACKED)
        if start < pack.end() or end < 0:
            continue
        try:
            text = zlib.decompressobj().decompress(raw[start:end].lstrip(b"\r\n"), left)
        except zlib.error:
            continue
        found += len(_PAGE.findall(text))
        left -= len(text)
    return found
