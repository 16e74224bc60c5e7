"""The bytes of the chat protocol: a completion, or the events of a stream."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ai_infra import _core
from ai_infra.testing.replies import Reply, Request

_CREATED = 1_700_000_000
_FRAGMENT = 7  # characters of a tool's arguments in one event: small, so that assembling is tested
_ENCODING = _core.Encoding("o200k_base")


def estimate(text: str) -> int:
    """Tokens of ``text`` in o200k_base: exact for the text, an estimate for what a service makes of it."""
    return _ENCODING.count(text)


def completed(request: Request, reply: Reply) -> Reply:
    """``reply`` with the body of a whole chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.reasoning is not None:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = list(reply.tool_calls)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(reply)}
    body = {
        **_frame(request, "chat.completion"),
        "choices": [choice] if reply.choices else [],
        "usage": _usage(request, reply),
    }
    return replace(reply, body=_json(body), headers={"content-type": "application/json", **reply.headers})


def events(request: Request, reply: Reply) -> Iterator[tuple[bool, bytes]]:
    """The events of a stream; the flag says which of them carry a token."""
    frame = _frame(request, "chat.completion.chunk")

    def event(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b"data: " + _json({**frame, "choices": [choice] if reply.choices else []}) + b"\n\n"

    yield False, event({"role": "assistant", "content": ""})
    if reply.reasoning is not None:
        for token in re.findall(r"\s*\S+|\s+", reply.reasoning) or [""]:
            yield False, event({"reasoning_content": token})
    for token in re.findall(r"\s*\S+|\s+", reply.text or ""):
        yield True, event({"content": token})
    for number, call in enumerate(reply.tool_calls):
        function = call["function"]
        opening = {"index": number, "id": call["id"], "type": "function"}
        opening["function"] = {"name": function["name"], "arguments": ""}
        yield True, event({"tool_calls": [opening]})
        arguments = function["arguments"]
        for start in range(0, len(arguments), _FRAGMENT):
            part = {"index": number, "function": {"arguments": arguments[start : start + _FRAGMENT]}}
            yield True, event({"tool_calls": [part]})
    finish = _finish(reply)
    if finish is not None:
        yield False, event({}, finish)
    options = request.body.get("stream_options")
    if isinstance(options, dict) and options.get("include_usage"):
        yield False, b"data: " + _json({**frame, "choices": [], "usage": _usage(request, reply)}) + b"\n\n"
    if reply.done:
        yield False, b"data: [DONE]\n\n"


def _frame(request: Request, kind: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-local",
        "object": kind,
        "created": _CREATED,
        "model": str(request.body.get("model") or "local-stand-in"),
    }


def _finish(reply: Reply) -> str | None:
    if reply.finish_reason is not None:
        return reply.finish_reason or None
    return "tool_calls" if reply.tool_calls else "stop"


def _usage(request: Request, reply: Reply) -> Mapping[str, Any]:
    if reply.usage is not None:
        return reply.usage
    prompt = estimate(json.dumps(request.messages, ensure_ascii=False))
    answer = estimate(reply.text or "")
    answer += sum(estimate(call["function"]["arguments"]) for call in reply.tool_calls)
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
