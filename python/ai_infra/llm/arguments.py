"""The arguments of a model's tool calls, as every service takes them back.

A call goes back to the service with every later request, and many services parse its arguments then, for the
template of their model. What is no JSON object makes them refuse that request and all after it. So it goes back
wrapped into one, where the model still sees what it wrote; the tool's result tells it what was wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from ai_infra.llm.response import clean
from ai_infra.messages import calls_in

NOT_JSON = "__not_json__"
"""The one key of an object that holds what a model wrote in place of a JSON object."""

_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""Half a character, written as JSON can: some parsers take it for no JSON."""


def sound_arguments(text: str) -> str:
    """``text`` where it is a JSON object; else one that stands for it.

    Nothing and ``null`` are no arguments. A string with raw line ends in it, as models write, is meant as it stands.
    """
    if text.strip() in ("", "null"):
        return "{}"
    value = _parsed(text, strict=True)
    if isinstance(value, dict) and not _HALF.search(text):
        return text
    if value is None:
        value = _parsed(text, strict=False)
    if isinstance(value, dict):
        return clean(json.dumps(value, ensure_ascii=False))
    return json.dumps({NOT_JSON: clean(text)}, ensure_ascii=False)


def _parsed(text: str, *, strict: bool) -> Any:
    """The value; None where it is no JSON, to which NaN and Infinity do not belong."""
    try:
        return json.loads(text, strict=strict, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return None


def _no_json(constant: str) -> NoReturn:
    raise ValueError(constant)


def as_written(arguments: Any) -> Any:
    """The arguments of a call; where they stand for something else, that."""
    if isinstance(arguments, Mapping) and list(arguments) == [NOT_JSON]:
        written = arguments[NOT_JSON]
        return written if isinstance(written, str) else arguments
    return arguments


def with_sound_calls(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message with calls that every service takes back; itself where they are so already."""
    calls = calls_in(fields)
    sound = [_sound(call) for call in calls]
    if all(made is call for made, call in zip(sound, calls, strict=True)):
        return fields
    return {**fields, "tool_calls": sound}


def _sound(call: Any) -> Any:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(text := function.get("arguments"), str):
        return call
    made = sound_arguments(text)
    return call if made is text else {**call, "function": {**function, "arguments": made}}
