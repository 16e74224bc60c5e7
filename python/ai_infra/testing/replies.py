"""What the local OpenAI-compatible server can be told to answer, good and bad."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Request:
    """One request as the server received it.

    Attributes:
        path: the path, ``/v1/chat/completions`` for instance.
        headers: names in lower case.
        raw: the body as it came.
        body: the parsed body, ``{}`` when there was none.
        at: ``time.monotonic()`` when the body had been read.
    """

    method: str
    path: str
    headers: Headers
    raw: bytes
    body: dict[str, Any]
    at: float

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The chat messages of the body."""
        found = self.body.get("messages")
        return found if isinstance(found, list) else []

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return bool(self.body.get("stream"))


@dataclass(frozen=True)
class Hold:
    """Wait for ``event`` before the token ``before`` of a stream is sent (5 seconds at most)."""

    before: int
    event: threading.Event


@dataclass(frozen=True)
class Reply:
    """One scripted answer of the chat endpoint.

    Attributes:
        text: the assistant's text; ``None`` for none.
        tool_calls: in the shape of the protocol; :meth:`tools` builds them.
        reasoning: what the model thought, sent as ``reasoning_content``; ``None`` for no such field.
        finish_reason: ``stop`` or ``tool_calls`` when not given; ``""`` sends none.
        usage: the usage block; estimated when not given.
        choices: ``False`` leaves the choices empty.
        status, body, headers: anything but a 200 with a completion; ``body`` is sent as it is.
        delay: seconds before the first byte.
        token_delay: seconds before every token of a stream but the first.
        byte_delay: seconds before every byte of a body that is no stream but the first.
        hold: see :class:`Hold`.
        cut_after: in a stream, close the connection after this many tokens; outside a stream, close it
            without an answer when 0, or after that many bytes of the body.
        done: ``False`` ends a stream without ``[DONE]``.
    """

    text: str | None = None
    tool_calls: Sequence[Mapping[str, Any]] = ()
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    choices: bool = True
    status: int = 200
    body: bytes | None = None
    headers: Headers = field(default_factory=dict)
    delay: float = 0.0
    token_delay: float = 0.0
    byte_delay: float = 0.0
    hold: Hold | None = None
    cut_after: int | None = None
    done: bool = True
    reasoning: str | None = None

    @classmethod
    def tools(cls, *calls: tuple[str, Mapping[str, Any]], text: str | None = None) -> Reply:
        """An answer that calls tools: ``Reply.tools(("weather", {"city": "Oslo"}))``."""
        return cls(
            text=text,
            tool_calls=[
                {
                    "id": f"call_{number}",
                    "type": "function",
                    "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
                }
                for number, (name, arguments) in enumerate(calls)
            ],
        )

    @classmethod
    def error(
        cls,
        status: int,
        message: str = "",
        *,
        code: str | int | None = None,
        type: str | None = None,
        headers: Headers | None = None,
    ) -> Reply:
        """An error answer in the shape of the protocol."""
        block = {"message": message or f"status {status}", "type": type, "param": None, "code": code}
        return cls(
            status=status,
            body=json.dumps({"error": block}).encode(),
            headers={"content-type": "application/json", **(headers or {})},
        )

    @classmethod
    def rate_limit(cls, retry_after: float | str | None = None) -> Reply:
        """429, too many requests, with or without a ``Retry-After``."""
        headers = {} if retry_after is None else {"retry-after": str(retry_after)}
        message = "Rate limit reached for requests"
        return cls.error(429, message, code="rate_limit_exceeded", type="requests", headers=headers)

    @classmethod
    def quota(cls) -> Reply:
        """429, the account is out of credit."""
        return cls.error(
            429,
            "You exceeded your current quota, please check your plan and billing details.",
            code="insufficient_quota",
            type="insufficient_quota",
        )

    @classmethod
    def context_length(cls, limit: int = 8192, needed: int = 9001) -> Reply:
        """400, the prompt is longer than the model's window."""
        return cls.error(
            400,
            f"This model's maximum context length is {limit} tokens. However, your messages resulted in "
            f"{needed} tokens. Please reduce the length of the messages.",
            code="context_length_exceeded",
            type="invalid_request_error",
        )

    @classmethod
    def html(cls, status: int = 200) -> Reply:
        """A web page where JSON was expected, as a proxy or a wrong address answers."""
        return cls(
            status=status,
            body=b"<!DOCTYPE html><html><body><h1>Welcome</h1></body></html>",
            headers={"content-type": "text/html; charset=utf-8"},
        )

    @classmethod
    def raw(cls, value: object, status: int = 200) -> Reply:
        """Any JSON value as the body."""
        return cls(
            status=status,
            body=json.dumps(value).encode(),
            headers={"content-type": "application/json"},
        )


def malformed(request: Request) -> str | None:
    """What a service says of a chat request that is not of the protocol; None of one that is."""
    messages, tools = request.body.get("messages"), request.body.get("tools")
    if not isinstance(messages, list) or not messages:
        return "Invalid type for 'messages': expected an array of objects."
    for name, items in (("messages", messages), ("tools", [] if tools is None else tools)):
        if not isinstance(items, list):
            return f"Invalid type for '{name}': expected an array of objects."
        for at, item in enumerate(items):
            if not isinstance(item, dict):
                return f"Invalid type for '{name}[{at}]': expected an object."
            if not isinstance(item.get("function", {}), dict):
                return f"Invalid type for '{name}[{at}].function': expected an object."
    return None
