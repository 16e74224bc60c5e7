"""What of a message counts: its texts, and the tokens around them.

The rule for chat messages is OpenAI's (cookbook, "How to count tokens with tiktoken"): 3 tokens a message,
its role, its content, and a name with 1 more; 3 tokens once that prime the reply. Tool schemas follow the
same source. Images follow the published tile rule; recordings and PDF files are in
:mod:`ai_infra.llm.memory._media`. What has no published rule is counted so that it is rather too much than too
little: a tool call as its name and arguments with 3 tokens around them, a part of an unknown kind as its JSON
text.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ai_infra.errors import InvalidInputError
from ai_infra.llm.memory._media import media_tokens
from ai_infra.messages import calls_in, json_of

PER_MESSAGE = 3
PER_NAME = 1
PER_CALL = 3
REPLY_PRIMING = 3

IMAGE_LOW = 85
IMAGE_TILE = 170
IMAGE_UNKNOWN = IMAGE_LOW + 8 * IMAGE_TILE
"""An image whose size cannot be seen from here, at most: 768 × 2048 pixels are 2 × 4 tiles."""


def parts(fields: Mapping[str, Any]) -> tuple[int, list[str]]:
    """The fixed tokens of a message, and the texts whose tokens come on top (the role first)."""
    fixed = PER_MESSAGE
    role = fields.get("role")
    texts = [role] if isinstance(role, str) else []
    content = fields.get("content")
    if isinstance(content, str):
        texts.append(content)
    elif content is not None:
        fixed += _content(content, texts)
    name = fields.get("name")
    if isinstance(name, str):
        fixed += PER_NAME
        texts.append(name)
    for call in calls_in(fields):
        fixed += PER_CALL + _call(call, texts)
    if fields.get("function_call"):
        fixed += PER_CALL + _call({"function": fields["function_call"]}, texts)
    for key in ("refusal", "reasoning_content"):
        if isinstance(text := fields.get(key), str):
            texts.append(text)
    if fields.get("reasoning_details"):
        texts.append(json_of(fields["reasoning_details"], skipkeys=True))
    if "role" not in fields:  # an item of the Responses API
        fixed += _call(fields, texts)
        if "output" in fields:
            fixed += _content(fields["output"], texts)
    return fixed, texts


def tool_schema_parts(tools: Iterable[Any]) -> tuple[int, int, list[str]]:
    """Tool schemas: the tokens per function for newer and for older models' rule, and the texts.

    Answers ``(functions, fixed, texts)``: the number of functions (each costs 7 tokens on gpt-4o and
    later, 10 before), the other fixed tokens, and the texts.

    Raises:
        InvalidInputError: no list, or a tool is neither an OpenAI schema nor an object with ``to_openai()``.
    """
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Iterable):
        raise InvalidInputError(f"tools is a list of tools, not {type(tools).__name__}.")
    functions, fixed, texts = 0, 0, []
    for tool in tools:
        schema = tool.to_openai() if hasattr(tool, "to_openai") else tool
        if not isinstance(schema, Mapping):
            raise InvalidInputError(
                f"a tool is a dict in OpenAI's shape or has to_openai(), not {type(tool).__name__}."
            )
        function = schema.get("function", schema)
        if not isinstance(function, Mapping):
            raise InvalidInputError(
                f"the function of a tool's schema is a dict, not {type(function).__name__}."
            )
        functions += 1
        texts.append(f"{function.get('name', '')}:{str(function.get('description') or '').removesuffix('.')}")
        parameters = function.get("parameters") or function.get("input_schema") or {}
        fixed += _properties(parameters, texts)
    if functions:
        fixed += 12
    return functions, fixed, texts


def _properties(parameters: object, texts: list[str]) -> int:
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    if not isinstance(properties, Mapping) or not properties:
        return 0
    fixed = 3
    for key, property_ in properties.items():
        fixed += 3
        if not isinstance(property_, Mapping):
            continue
        kind = property_.get("type", "")
        description = str(property_.get("description") or "").removesuffix(".")
        texts.append(f"{key}:{kind if isinstance(kind, str) else json_of(kind, skipkeys=True)}:{description}")
        enum = property_.get("enum")
        if isinstance(enum, Sequence) and not isinstance(enum, str):
            fixed += 3 * len(enum) - 3
            texts.extend(str(item) for item in enum)
        # Nested objects are beyond the published rule; each level is counted as the one above it.
        fixed += _properties(property_, texts)
        fixed += _properties(property_.get("items"), texts)
    return fixed


def _content(content: object, texts: list[str]) -> int:
    if isinstance(content, str):
        texts.append(content)
        return 0
    if not isinstance(content, list | tuple):
        texts.append(json_of(content, skipkeys=True))
        return 0
    fixed = 0
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            fixed += _part(part, texts)
        elif part is not None:
            texts.append(json_of(part, skipkeys=True))
    return fixed


def _part(part: Mapping[str, Any], texts: list[str]) -> int:
    kind = part.get("type")
    for key in ("text", "thinking", "refusal"):
        if isinstance(part.get(key), str):
            texts.append(part[key])
            return 0
    if kind == "tool_use":
        return PER_CALL + _call(part, texts)
    if kind == "tool_result":
        return PER_CALL + _content(part.get("content") or "", texts)
    if kind in ("image_url", "input_image", "image"):
        return image_tokens(part)
    if (media := media_tokens(part)) is not None:
        return media
    texts.append(json_of(part, skipkeys=True))
    return 0


def _call(call: object, texts: list[str]) -> int:
    """The name and arguments of a call, wherever the shape at hand keeps them."""
    if not isinstance(call, Mapping):
        texts.append(json_of(call, skipkeys=True))
        return 0
    function = call.get("function")
    holder = function if isinstance(function, Mapping) else call
    for key in ("name", "arguments", "input", "args"):
        value = holder.get(key)
        if isinstance(value, str):
            texts.append(value)
        elif value is not None:
            texts.append(json_of(value, skipkeys=True))
    return 0


def image_tokens(part: Mapping[str, Any]) -> int:
    """The tokens of an image part, by OpenAI's tile rule for gpt-4o (Anthropic's: width x height / 750).

    ``detail: low`` is 85. Otherwise the image is shrunk to fit 2048 x 2048, then to 768 on its short side,
    and costs 85 + 170 for each tile of 512 pixels. The size is read from PNG, GIF, JPEG and WebP data; an
    image behind a link is taken for the largest there is.
    """
    source = part.get("source")
    if isinstance(source, Mapping):  # Anthropic
        size = _image_size(source.get("data")) if source.get("type") == "base64" else None
        return 1_600 if size is None else min(1_600, max(1, round(size[0] * size[1] / 750)))
    image = part.get("image_url")
    url, detail = image, part.get("detail")
    if isinstance(image, Mapping):
        url, detail = image.get("url"), image.get("detail", detail)
    if detail == "low":
        return IMAGE_LOW
    data = url.partition("base64,")[2] if isinstance(url, str) and url.startswith("data:") else None
    size = _image_size(data)
    if size is None:
        return IMAGE_UNKNOWN
    width, height = size
    shrink = min(1.0, 2048 / max(width, height))
    shrink *= min(1.0, 768 / (min(width, height) * shrink))
    across, down = (-(-int(side * shrink) // 512) or 1 for side in (width, height))
    return IMAGE_LOW + IMAGE_TILE * across * down


def _image_size(data: object) -> tuple[int, int] | None:
    """Width and height from the first bytes of base64 image data, if it is a format we know."""
    if not isinstance(data, str) or not data:
        return None
    try:
        head = binascii.a2b_base64(data[:65_536])
    except ValueError:
        return None
    size: tuple[int, int] | None = None
    if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) >= 24:
        size = int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    elif head[:4] == b"GIF8" and len(head) >= 10:
        size = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    elif head[:2] == b"\xff\xd8":
        size = _jpeg_size(head)
    elif head[:4] == b"RIFF" and head[12:16] == b"VP8X" and len(head) >= 30:
        size = int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    return size if size and size[0] > 0 and size[1] > 0 else None


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    """The frame header of a JPEG: segments are walked until a start-of-frame (C0 to CF, not C4, C8, CC)."""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(head[at + 7 : at + 9]), int.from_bytes(head[at + 5 : at + 7])
        at += 2 + int.from_bytes(head[at + 2 : at + 4])
    return None
