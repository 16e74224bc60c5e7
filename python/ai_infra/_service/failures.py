"""What went wrong at the service, as one of our errors, and whether asking again may help.

Nothing here raises and nothing keeps the SDK's exception: its request holds the key. A failure is a value;
the caller raises ``failure.error``, so that no other exception stands behind it in a traceback.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from ai_infra._secrets import without_secrets
from ai_infra._service.providers import Endpoint
from ai_infra.errors import (
    AIInfraError,
    AuthenticationError,
    ContextLengthError,
    LLMConnectionError,
    LLMError,
    LLMResponseError,
    LLMTimeoutError,
    QuotaExceededError,
    RateLimitError,
)

_SHOWN = 300  # characters of the service's own words that a message of ours repeats

# OpenAI and those that copy it send the code; others only say it in words.
_TOO_LONG = re.compile(
    r"context[ _](?:length|window|size)|maximum context|prompt is too long|too many (?:input )?tokens|"
    r"input (?:is|token count).{0,40}(?:too long|exceeds)",
    re.IGNORECASE,
)
_LIMIT = re.compile(r"(?:maximum context length is|limit of|maximum of|max(?:imum)?:?)\s*(\d[\d,]*)", re.I)
_NEEDED = re.compile(r"(?:resulted in|requested|contains?)(?: about)?\s*(\d[\d,]*)\s*(?:input )?tokens", re.I)
_NO_CREDIT = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "insufficient_balance", "billing_not_active"}
)
_RETRIED = frozenset({408, 409, 429})


@dataclass(frozen=True)
class Failure:
    """One failed attempt.

    Attributes:
        error: what to raise when there is no further attempt.
        retry: whether another attempt may succeed.
        wait: the seconds the service asked to wait, if it did.
    """

    error: AIInfraError
    retry: bool = False
    wait: float | None = None


def refused(
    endpoint: Endpoint, status: int, headers: Mapping[str, str], body: object, came: str | None = None
) -> Failure:
    """The service answered with an error status, or with an error inside a 200, of which ``came`` tells."""
    came = came or f"status {status}"
    block = _error_block(body)
    code, kind = str(block.get("code") or ""), str(block.get("type") or "")
    said = _said(endpoint, block.get("message") if block else body)
    where = _where(endpoint)
    if status in {401, 403}:
        places = " or ".join(["api_key=", *endpoint.provider.key_env])
        message = f"{where} refused the API key ({came}): {said} Check {places}, wherever it came from."
        return Failure(AuthenticationError(message, status=status))
    if status == 402 or _NO_CREDIT & {code, kind}:
        return Failure(
            QuotaExceededError(
                f"the account at {where} has no credit left: {said} Add credit or raise its limit; "
                "a retry cannot help.",
                status=status,
            )
        )
    if code == "context_length_exceeded" or (status in {400, 413, 422} and _TOO_LONG.search(said)):
        return Failure(
            ContextLengthError(
                f"the prompt does not fit the model's window: {said} "
                "Fit it with fit_context(messages, max_tokens=…).",
                budget=_number(_LIMIT, said),
                needed=_number(_NEEDED, said),
            )
        )
    wait = _retry_after(headers)
    retry = (status in _RETRIED or status >= 500) and headers.get("x-should-retry") != "false"
    if status == 429:
        return Failure(RateLimitError(f"too many requests to {where}: {said}", status=status), retry, wait)
    if status == 408:
        late = f"{where} gave up waiting ({came}): {said}"
        return Failure(LLMTimeoutError(late, status=status), retry, wait)
    if status == 404:
        unknown = f"{where} knows no such model or path ({came}): {said} Check model= and base_url=."
        return Failure(LLMError(unknown, status=status))
    what = "failed" if status >= 500 else "refused the request"
    return Failure(LLMError(f"{where} {what} ({came}): {said}", status=status), retry, wait)


def unreachable(endpoint: Endpoint, error: BaseException) -> Failure:
    """No connection, or it broke before there was an answer."""
    reason = _said(endpoint, _reason(error))
    return Failure(LLMConnectionError(f"no answer from {_where(endpoint)}: {reason}"), True)


def silent(endpoint: Endpoint, seconds: float) -> Failure:
    """The service said nothing for longer than ``timeout``."""
    return Failure(LLMTimeoutError(f"{_where(endpoint)} said nothing for {seconds:,.6g} s (timeout=)"), True)


def whole(endpoint: Endpoint, raw: bytes, content_type: str) -> Any | Failure:
    """The JSON of a whole answer."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return nonsense(endpoint, content_type, raw)
    failure = in_body(endpoint, value) if isinstance(value, dict) else None
    return value if failure is None else failure


def nonsense(endpoint: Endpoint, content_type: str, raw: bytes) -> Failure:
    """Status 200 with something that is no answer of the protocol, such as a web page."""
    start = _said(endpoint, raw[:80].decode("utf-8", "replace"))
    return Failure(
        LLMResponseError(
            f"{_where(endpoint)} answered with {content_type or 'no content type'} that is no answer of the "
            f"protocol: {start} Is base_url right? Most end in /v1.",
            status=200,
        )
    )


def in_body(endpoint: Endpoint, body: Mapping[str, Any]) -> Failure | None:
    """An error that a gateway put into a 200 or into a stream."""
    error = body.get("error")
    if not error:
        return None
    code = str(_error_block(body).get("code") or "")
    kind = str(_error_block(body).get("type") or "") + code
    named = int(code) if re.fullmatch(r"[45]\d\d", code) else None
    status = 429 if "rate_limit" in kind else named
    came = "an error inside an answer of status 200" + ("" if named is None else f", with code {named}")
    failure = refused(endpoint, status or 500, {}, body, came)
    if status is None and isinstance(failure.error, LLMError):
        failure.error.status = 200  # nothing else came
    return failure


def _where(endpoint: Endpoint) -> str:
    return f"{endpoint.provider.name} ({endpoint.base_url})"


def _error_block(body: object) -> Mapping[str, Any]:
    if isinstance(body, list) and body:  # Gemini wraps its errors in a list
        body = body[0]
    if not isinstance(body, Mapping):
        return {}
    inner = body.get("error", body)
    if isinstance(inner, Mapping):
        return inner
    return {"message": inner}


def _said(endpoint: Endpoint, words: object) -> str:
    """The service's words on one line, short, and without the key, should it have repeated it."""
    text = words if isinstance(words, str) else ("" if words is None else str(words))
    text = without_secrets(text, [endpoint.api_key] if endpoint.api_key else [], "[key]")
    text = " ".join(text.split())
    if len(text) > _SHOWN:
        text = text[:_SHOWN] + "…"
    if not text:
        return "it gave no reason."
    return text if text[-1] in ".!?…" else text + "."


def _reason(error: BaseException) -> str:
    """The innermost cause: the SDK only says "Connection error"."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: ``retry-after-ms``, or ``Retry-After`` as seconds or as a date (RFC 9110, 10.2.3)."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name) or "") * unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        date = parsedate_to_datetime(headers.get("retry-after") or "")
    except (ValueError, TypeError):
        return None
    return max(0.0, date.timestamp() - time.time())


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    return int(found.group(1).replace(",", "")) if found else None
