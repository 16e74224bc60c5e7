"""The embeddings endpoint of the local server: deterministic vectors, the API's limits, and faults."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from array import array
from collections.abc import Callable
from typing import Any

from ai_infra.testing.replies import Reply, Request

Change = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]

MAX_INPUTS = 2048
MAX_TOKENS_EACH = 8192
MAX_TOKENS = 300_000


def vector(text: str, dimensions: int) -> list[float]:
    """A unit vector for ``text``: every word adds one signed component chosen by its hash.

    The same words give the same vector and shared words give similar vectors, so search results can be told
    in advance. It knows nothing of meaning.
    """
    sums = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()) or [text]:
        digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
        sums[int.from_bytes(digest[:4], "little") % dimensions] += 1.0 if digest[4] & 1 else -1.0
    norm = math.sqrt(math.fsum(value * value for value in sums))
    if norm == 0.0:  # two words may cancel each other; a zero vector is never sent
        sums[0] = norm = 1.0
    return [value / norm for value in sums]


def embed(request: Request, fault: Reply | Change | None, dimensions: int) -> Reply:
    """Answer one embedding request, or refuse it as the real service does."""
    if isinstance(fault, Reply):
        return fault
    body = request.body
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        return _refused("'$.input' is invalid: it must be a non-empty string or a list of them.")
    if len(texts) > MAX_INPUTS:
        return _refused(f"'$.input' is invalid: {len(texts)} inputs, at most {MAX_INPUTS}.")
    counts = [_tokens(text) for text in texts]
    if max(counts) > MAX_TOKENS_EACH:
        return _refused(f"This model's maximum context length is {MAX_TOKENS_EACH} tokens.")
    if sum(counts) > MAX_TOKENS:
        return _refused(f"Requested {sum(counts)} tokens, max {MAX_TOKENS} tokens per request.")
    size = body.get("dimensions") or dimensions
    packed = body.get("encoding_format") == "base64"
    data: list[dict[str, Any]] = [
        {"object": "embedding", "index": index, "embedding": vector(text, size)}
        for index, text in enumerate(texts)
    ]
    if fault is not None:
        data = fault(data)
    if packed:
        data = [{**item, "embedding": _pack(item["embedding"])} for item in data]
    total = sum(counts)
    return Reply.raw(
        {
            "object": "list",
            "data": data,
            "model": body.get("model"),
            "usage": {"prompt_tokens": total, "total_tokens": total},
        }
    )


def fewer(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last vector is missing."""
    return data[:-1]


def reordered(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All there, in reverse order; their indices are right."""
    return data[::-1]


def doubled(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The right number, but the first index comes twice and the last not at all."""
    return [*data[:-1], data[0]]


def extra(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One vector more than was asked for."""
    return [*data, {**data[0], "index": len(data)}]


def nan(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last vector holds a NaN."""
    return [*data[:-1], {**data[-1], "embedding": [math.nan, *data[-1]["embedding"][1:]]}]


def infinite(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last vector holds an infinity."""
    return [*data[:-1], {**data[-1], "embedding": [math.inf, *data[-1]["embedding"][1:]]}]


def null(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last vector is null."""
    return [*data[:-1], {**data[-1], "embedding": None}]


def short(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last vector is one number too short."""
    return [*data[:-1], {**data[-1], "embedding": data[-1]["embedding"][1:]}]


def empty(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last vector has no numbers."""
    return [*data[:-1], {**data[-1], "embedding": []}]


def _pack(value: Any) -> Any:
    return base64.b64encode(array("f", value).tobytes()).decode() if isinstance(value, list) else value


def _tokens(text: str) -> int:
    # Words and marks: near the real count for English, and cheap. Long words count by their bytes.
    return sum(1 + len(piece.encode("utf-8", "replace")) // 8 for piece in re.findall(r"\w+|[^\w\s]", text))


def _refused(message: str) -> Reply:
    return Reply.error(400, message, type="invalid_request_error")
