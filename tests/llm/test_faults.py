"""Every way in which a service fails, each as an error of ours (trust row 14)."""

from __future__ import annotations

import re
import socket
import time
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
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
    StreamInterruptedError,
)
from ai_infra.llm import LLM
from ai_infra.testing.openai_server import OpenAIServer, Reply

from .conftest import KEY, Ask, achat, chat

# reply, error, attempts with max_retries=2
FAULTS: dict[str, tuple[Reply, type[AIInfraError], int]] = {
    "401": (Reply.error(401, f"Incorrect API key provided: {KEY}"), AuthenticationError, 1),
    "403": (Reply.error(403, "no access"), AuthenticationError, 1),
    "404 model": (Reply.error(404, "no such model", code="model_not_found"), LLMError, 1),
    "400": (Reply.error(400, f"bad request by {KEY}"), LLMError, 1),
    "rate limit": (Reply.rate_limit(0.01), RateLimitError, 3),
    "rate limit, no Retry-After": (Reply.rate_limit(), RateLimitError, 3),
    "quota": (Reply.quota(), QuotaExceededError, 1),
    "402": (Reply.error(402, "Insufficient Balance"), QuotaExceededError, 1),
    "500": (Reply.error(500), LLMError, 3),
    "503 page": (Reply.html(503), LLMError, 3),
    "529 overloaded": (Reply.error(529, "Overloaded"), LLMError, 3),
    "500, told not to retry": (Reply.error(500, headers={"x-should-retry": "false"}), LLMError, 1),
    "408": (Reply.error(408), LLMTimeoutError, 3),
    "409": (Reply.error(409), LLMError, 3),
    "context length": (Reply.context_length(8192, 9001), ContextLengthError, 1),
    "context length in words": (
        Reply.error(400, "prompt is too long: 210000 tokens > 200000 maximum"),
        ContextLengthError,
        1,
    ),
    "page with status 200": (Reply.html(), LLMResponseError, 1),
    "error with status 200": (Reply.raw({"error": {"message": "upstream", "code": 502}}), LLMError, 3),
    "no choices": (Reply(choices=False), LLMResponseError, 1),
    "null": (Reply.raw(None), LLMResponseError, 1),
    "a list": (Reply.raw([1, 2]), LLMResponseError, 1),
    "length": (Reply("cut of", finish_reason="length"), LLMResponseError, 1),
    "content filter": (Reply("", finish_reason="content_filter"), LLMResponseError, 1),
    "hung up": (Reply(status=200, body=b"{}", cut_after=0), LLMConnectionError, 3),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_its_error_after_its_attempts(server: OpenAIServer, ask: Ask, name: str) -> None:
    reply, kind, attempts = FAULTS[name]
    server.responder = lambda request: reply
    with LLM(base_url=server.base_url, api_key=KEY, model="m", max_retries=2, retry_wait=0.005) as llm:
        with pytest.raises(AIInfraError) as caught:
            ask(llm, "Hi")
        assert type(caught.value) is kind
        assert len(server.chats) == attempts
        shown = "".join(traceback.format_exception(caught.value))
        assert KEY not in shown + str(caught.value) + repr(caught.value) + repr(vars(caught.value)) + repr(
            llm
        )
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


@pytest.mark.parametrize("name", [name for name, (*_, attempts) in FAULTS.items() if attempts > 1])
def test_what_passes_is_survived(server: OpenAIServer, llm: LLM, ask: Ask, name: str) -> None:
    server.reply(FAULTS[name][0], "There.")
    assert ask(llm, "Hi") == "There."
    assert len(server.chats) == 2


def test_context_length_tells_the_numbers(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    server.reply(Reply.context_length(8192, 9001))
    with pytest.raises(ContextLengthError) as caught:
        ask(llm, "Hi")
    assert (caught.value.budget, caught.value.needed) == (8192, 9001)


def test_a_refused_key_may_have_come_from_two_places(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    server.reply(Reply.error(401, "no"))
    with pytest.raises(AuthenticationError, match="Check api_key= or OPENAI_API_KEY"):
        ask(llm, "Hi")


def test_an_answer_cut_by_the_callers_own_bound_is_returned(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    for bound in ("max_tokens", "max_completion_tokens"):
        server.reply(Reply("cut of", finish_reason="length"))
        response = ask(llm, "Hi", **{bound: 2})
        assert response == "cut of"
        assert response.finish_reason == "length"


def test_nobody_there_is_a_connection_error(ask: Ask) -> None:
    with socket.socket() as reserved:  # bound and not listening: refuses
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/v1"
        llm = LLM(base_url=url, api_key=KEY, max_retries=1, retry_wait=0.001)
        with pytest.raises(LLMConnectionError, match="no answer from"):
            ask(llm, "Hi")


def test_silence_is_a_timeout_and_is_retried(server: OpenAIServer, ask: Ask) -> None:
    server.reply(Reply("late", delay=0.3), "in time")
    with LLM(base_url=server.base_url, api_key=KEY, timeout=0.1, retry_wait=0.001) as llm:
        assert ask(llm, "Hi") == "in time"
        server.reply(*[Reply("late", delay=0.3)] * 2)
        with pytest.raises(LLMTimeoutError, match="timeout="):
            ask(LLM(base_url=server.base_url, api_key=KEY, timeout=0.1, max_retries=0), "Hi")


def test_one_deadline_covers_all_attempts(server: OpenAIServer, ask: Ask) -> None:
    # Each attempt takes a tenth of a second or, on a busy machine, longer: never all of them, never only one.
    server.responder = lambda request: Reply("late", delay=0.25)
    llm = LLM(
        base_url=server.base_url, api_key=KEY, timeout=0.1, deadline=2.0, max_retries=50, retry_wait=0.0
    )
    with pytest.raises(LLMTimeoutError, match="deadline="):
        ask(llm, "Hi")
    assert 2 <= len(server.chats) <= 21


def test_a_wait_past_the_deadline_is_not_begun(server: OpenAIServer, ask: Ask) -> None:
    server.reply(Reply.rate_limit(3600))
    llm = LLM(base_url=server.base_url, api_key=KEY, deadline=30)
    with pytest.raises(RateLimitError, match="due in 3,600 s, after the deadline of 30 s"):
        ask(llm, "Hi")
    assert len(server.chats) == 1


@pytest.mark.parametrize("header", [{"retry-after": "0.2"}, {"retry-after-ms": "200", "retry-after": "9999"}])
def test_retry_after_is_obeyed(server: OpenAIServer, ask: Ask, header: dict[str, str]) -> None:
    server.reply(Reply.error(429, headers=header), "There.")
    # Our own wait would be past the deadline.
    llm = LLM(base_url=server.base_url, api_key=KEY, retry_wait=60, deadline=20)
    assert ask(llm, "Hi") == "There."
    first, second = server.chats
    assert second.at - first.at >= 0.2  # by the server's clock


def test_retry_after_may_be_a_date(server: OpenAIServer, ask: Ask) -> None:
    past = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    future = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    server.reply(
        Reply.error(429, headers={"retry-after": past}),
        "There.",
        Reply.error(429, headers={"retry-after": future}),
    )
    llm = LLM(base_url=server.base_url, api_key=KEY, retry_wait=60, deadline=20)
    assert ask(llm, "Hi") == "There."
    with pytest.raises(RateLimitError, match="due in 3"):
        ask(llm, "Hi")


@pytest.mark.parametrize("value", ["soon", "-5", "nan", "inf", ""])
def test_a_retry_after_that_makes_no_sense_is_ignored(server: OpenAIServer, llm: LLM, value: str) -> None:
    server.reply(Reply.error(429, headers={"retry-after": value}), "There.")
    assert llm.chat("Hi") == "There."


# Streams

BROKEN: dict[str, Reply] = {
    "cut after the first token": Reply("one two three", cut_after=1),
    "cut before the end": Reply("one two three", cut_after=3),
    "no [DONE]": Reply("one two three", done=False),
    "no finish reason": Reply("one two three", finish_reason=""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_that_ends_early_is_an_error_and_is_not_asked_twice(
    server: OpenAIServer, llm: LLM, name: str
) -> None:
    server.reply(BROKEN[name])
    pieces = llm.stream("Hi")
    seen: list[str] = []
    with pytest.raises(StreamInterruptedError):
        seen.extend(pieces)  # extend takes each piece before the error
    assert "one two three".startswith("".join(seen))
    assert seen
    assert len(server.chats) == 1
    with pytest.raises(LLMError, match="not been read to its end"):
        _ = pieces.response
    assert list(pieces) == []  # over is over


@pytest.mark.parametrize("name", BROKEN)
def test_the_same_for_an_async_stream(server: OpenAIServer, llm: LLM, ask_stream: Ask, name: str) -> None:
    server.reply(BROKEN[name])
    with pytest.raises(StreamInterruptedError) as caught:
        ask_stream(llm, "Hi")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert len(server.chats) == 1


def test_a_stream_cut_before_its_first_token_is_retried(
    server: OpenAIServer, llm: LLM, ask_stream: Ask
) -> None:
    server.reply(Reply("lost", cut_after=0), Reply("found"))
    assert ask_stream(llm, "Hi") == "found"
    server.reply(*[Reply("lost", cut_after=0)] * 4)
    with pytest.raises(StreamInterruptedError):
        ask_stream(llm, "Hi")
    assert len(server.chats) == 6


def test_an_error_event_inside_a_stream_is_that_error(
    server: OpenAIServer, llm: LLM, ask_stream: Ask
) -> None:
    def events(*data: str) -> Reply:
        body = "".join(f"data: {item}\n\n" for item in data)
        return Reply(body=body.encode(), headers={"content-type": "text/event-stream"})

    piece = '{"choices": [{"index": 0, "delta": {"content": "par"}}]}'
    limit = '{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}'
    server.reply(events(limit), "after a retry", events(piece, limit), events(piece, "{oops"))
    assert ask_stream(llm, "Hi") == "after a retry"
    llm = LLM(base_url=server.base_url, api_key=KEY, max_retries=0)
    with pytest.raises(RateLimitError):
        ask_stream(llm, "Hi")
    with pytest.raises(LLMResponseError, match="no JSON"):
        ask_stream(llm, "Hi")


@pytest.mark.parametrize(
    ("error", "kind", "said", "status"),
    [
        (
            {"message": "upstream"},
            LLMError,
            "failed (an error inside an answer of status 200): upstream",
            200,
        ),
        (
            {"message": "no", "code": 1234},
            LLMError,
            "failed (an error inside an answer of status 200): no",
            200,
        ),
        (
            {"message": "bad", "code": 502},
            LLMError,
            "failed (an error inside an answer of status 200, with code 502)",
            502,
        ),
        (
            {"message": "who", "code": "401"},
            AuthenticationError,
            "key (an error inside an answer of status 200, with",
            401,
        ),
        ("down", LLMError, "failed (an error inside an answer of status 200): down", 200),
    ],
)
def test_an_error_inside_an_answer_is_told_as_it_came(
    server: OpenAIServer, ask: Ask, error: object, kind: type[LLMError], said: str, status: int
) -> None:
    server.responder = lambda request: Reply.raw({"error": error})
    llm = LLM(base_url=server.base_url, api_key=KEY, max_retries=0)
    with pytest.raises(kind, match=re.escape(said)) as caught:
        ask(llm, "Hi")
    assert caught.value.status == status


def test_a_silent_stream_times_out(server: OpenAIServer, ask_stream: Ask) -> None:
    server.reply(Reply("one two", token_delay=0.3))
    llm = LLM(base_url=server.base_url, api_key=KEY, timeout=0.1)
    with pytest.raises(LLMTimeoutError, match="timeout="):
        ask_stream(llm, "Hi")
    assert len(server.chats) == 1


@pytest.mark.parametrize("status", [200, 302, 400, 401, 500])
@pytest.mark.parametrize("attempts", [0, 3])
@pytest.mark.parametrize("ask", [chat, achat], indirect=True)
def test_an_answer_that_drips_on_meets_the_deadline(
    server: OpenAIServer, ask: Ask, attempts: int, status: int
) -> None:
    server.reply(Reply("x" * 10_000, byte_delay=0.02, status=status), "Hello")
    llm = LLM(base_url=server.base_url, api_key=KEY, timeout=5, deadline=0.3, max_retries=attempts)
    with pytest.raises(LLMTimeoutError, match="deadline="):
        ask(llm, "Hi")
    assert len(server.chats) == 1
    assert ask(llm, "Hi") == "Hello"  # the client is usable


def test_a_slow_answer_within_the_deadline_is_whole(server: OpenAIServer, llm: LLM) -> None:
    server.reply(Reply("Grüße", byte_delay=0.001))
    assert llm.chat("Hi") == "Grüße"


def test_a_stream_that_drips_on_meets_the_deadline(server: OpenAIServer, ask_stream: Ask) -> None:
    server.reply(Reply("x " * 200, token_delay=0.02))
    started = time.monotonic()
    llm = LLM(base_url=server.base_url, api_key=KEY, timeout=5, deadline=0.2)
    with pytest.raises(LLMTimeoutError, match="deadline="):
        ask_stream(llm, "Hi")
    assert time.monotonic() - started >= 0.2  # not before its time; how long after is not asserted
