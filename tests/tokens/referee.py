"""Python tiktoken, fed the vocabulary that the wheel ships: the referee of every count.

The patterns are tiktoken's own; only its download is replaced. The SHA-256 that tiktoken expects of the file
it would have downloaded is checked too, so the vocabulary is OpenAI's, byte for byte.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterable
from typing import Any
from unittest import mock

import tiktoken
from ai_infra._core import Encoding
from tiktoken_ext import openai_public

NAMES = ("o200k_base", "cl100k_base", "p50k_base", "r50k_base", "o200k_harmony")


def ranks(name: str) -> dict[bytes, int]:
    """Token bytes to rank, as tiktoken numbers them (p50k_base leaves 50256 to its special token)."""
    gap = 50256 if name == "p50k_base" else 1 << 30
    return {token: i + (i >= gap) for i, token in enumerate(Encoding(name).vocabulary())}


@functools.cache
def referee(name: str) -> tiktoken.Encoding:
    """Python tiktoken's encoding ``name`` without special tokens."""

    def load(_url: str, expected_hash: str) -> dict[bytes, int]:
        table = ranks(name)
        file = b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in table.items())
        assert hashlib.sha256(file).hexdigest() == expected_hash, f"{name} is not OpenAI's vocabulary"
        return table

    with mock.patch.object(openai_public, "load_tiktoken_bpe", load):
        definition: dict[str, Any] = openai_public.ENCODING_CONSTRUCTORS[name]()
    return tiktoken.Encoding(
        name, pat_str=definition["pat_str"], mergeable_ranks=definition["mergeable_ranks"], special_tokens={}
    )


def expected(name: str, texts: Iterable[str]) -> list[int]:
    """The counts that tiktoken gives."""
    encode = referee(name).encode_ordinary
    return [len(encode(text)) for text in texts]


def differences(name: str, texts: list[str]) -> list[tuple[str, int, int]]:
    """The texts that we count otherwise than tiktoken: text, ours, tiktoken's; the first ten."""
    ours = Encoding(name).count_batch(texts)
    theirs = expected(name, texts)
    return [row for row in zip(texts, ours, theirs, strict=True) if row[1] != row[2]][:10]
