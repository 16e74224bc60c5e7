"""Recordings and PDF files cost what services bill for them, not what their base64 would."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import pytest
from ai_infra import count_tokens, fit_context
from ai_infra.llm.memory._media import _MOST_PACKS, PER_PAGE, PER_SECOND


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def wav(seconds: float, rate: int = 48_000) -> bytes:
    sound = bytes(int(seconds * rate))
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate // 2, rate, 2, 16)
    return b"RIFF" + struct.pack("<I", 36 + len(sound)) + b"WAVEfmt " + form + b"data" + sound


def pdf(pages: int, *, packed: bool) -> bytes:
    inside = b"<</Type /Pages>>" + b"<</Type /Page /Parent 1 0 R>>" * pages
    if packed:
        inside = b"<</Type/ObjStm/Filter/FlateDecode>>\nstream\r\n" + zlib.compress(inside) + b"\nendstream"
    return b"%PDF-1.5\n" + inside


def cost(part: dict[str, Any]) -> int:
    empty = count_tokens([{"role": "user", "content": []}])
    return count_tokens([{"role": "user", "content": [part]}]) - empty


def shapes(data: bytes) -> list[dict[str, Any]]:
    return [
        {"type": "file", "file": {"filename": "a", "file_data": f"data:application/pdf;base64,{b64(data)}"}},
        {"type": "input_file", "file_data": f"data:application/pdf;base64,{b64(data)}"},
        {"type": "file", "base64": b64(data), "mime_type": "application/pdf"},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": b64(data)},
        },
    ]


def test_a_recording_counts_its_seconds() -> None:
    for part in (
        {"type": "input_audio", "input_audio": {"data": b64(wav(10)), "format": "wav"}},
        {"type": "audio", "base64": b64(wav(10)), "mime_type": "audio/wav"},
    ):
        assert cost(part) == PER_SECOND * 11
    # A minute at 128 kbit/s: taken for longer, and still no more than a page or two.
    mp3 = {"type": "input_audio", "input_audio": {"data": b64(b"\xff\xfb" + bytes(960_000)), "format": "mp3"}}
    assert 60 * PER_SECOND < cost(mp3) < 10_000
    assert fit_context([{"role": "user", "content": [mp3]}], max_tokens=10_000).action == "none"


@pytest.mark.parametrize("packed", [False, True])
def test_a_pdf_counts_its_pages(packed: bool) -> None:
    for part in shapes(pdf(7, packed=packed)):
        assert cost(part) == 7 * PER_PAGE


def test_a_pdf_that_shows_no_page_counts_its_size() -> None:
    assert cost(shapes(b"%PDF-1.7" + bytes(100_000))[0]) == 10 * PER_PAGE
    assert cost(shapes(b"%PDF-1.7")[0]) == PER_PAGE
    many = b"/ObjStm stream\nno endstream" * (_MOST_PACKS + 1)
    assert cost(shapes(pdf(1, packed=False) + many)[0]) == len(many) // 10_000 * PER_PAGE


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_id": "f-1"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,SGk="}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,é"}},
        {"type": "document", "source": {"type": "text", "data": "Hello"}},
        {"type": "audio", "audio": 5},
        {"type": "input_audio"},
    ],
)
def test_others_count_as_they_are_written(part: dict[str, Any]) -> None:
    assert 0 < cost(part) < 60
