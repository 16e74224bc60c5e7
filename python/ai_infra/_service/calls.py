"""Calling a service: one deadline over all attempts, and the only retries there are.

Retried are lost connections, silence, and the statuses 408, 409, 429 and 5xx; never an account without
credit. The wait doubles from ``retry_wait`` up to 8 seconds, shortened at random by up to half so that many
clients do not come back together. A ``Retry-After`` is obeyed instead, as far as the deadline allows.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any, TypeVar

from ai_infra import _flow
from ai_infra._service.body import refuse_unsendable
from ai_infra._service.failures import Failure
from ai_infra._service.providers import Endpoint, resolve
from ai_infra._service.sdk import Post, Source, Transport
from ai_infra.errors import AIInfraError, ConfigurationError, LLMTimeoutError

_LONGEST_WAIT = 8.0
_log = logging.getLogger("ai_infra.service")

T = TypeVar("T")


class Deadline:
    """The moment by which a call must be over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left, never under zero."""
        return max(0.0, self._end - time.monotonic())

    def passed(self) -> LLMTimeoutError | None:
        """The error to raise once it is over."""
        if self.left() > 0:
            return None
        return LLMTimeoutError(f"the call was not over after {self.seconds:,.6g} s (deadline=)")


class Service:
    """One service and the terms on which it is called.

    Args:
        timeout: seconds that the service may be silent, for each attempt.
        deadline: seconds for the whole call with all its attempts and waits.
        max_retries: attempts after the first.
        retry_wait: seconds before the first retry.
    """

    def __init__(
        self,
        provider: str | None,
        base_url: str | None,
        api_key: str | None,
        *,
        timeout: float,
        deadline: float,
        max_retries: int,
        retry_wait: float,
    ) -> None:
        for name, value in (("timeout", timeout), ("deadline", deadline)):
            if not _is_number(value, float | int) or not 0 < value < float("inf"):
                raise ConfigurationError(f"{name} must be a number of seconds above 0, not {value!r}")
        if not _is_number(retry_wait, float | int) or not 0 <= retry_wait < float("inf"):
            raise ConfigurationError(f"retry_wait must be a number of seconds from 0, not {retry_wait!r}")
        if not _is_number(max_retries, int) or max_retries < 0:
            raise ConfigurationError(f"max_retries must be a whole number from 0, not {max_retries!r}")
        for name, text in (("provider", provider), ("base_url", base_url), ("api_key", api_key)):
            if text is not None and not isinstance(text, str):
                raise ConfigurationError(f"{name} must be a string, not {type(text).__name__}")
        # A closure, so that no listing of this object's attributes shows the key.
        self._resolve: Callable[[], Endpoint] = lambda: resolve(provider, base_url, api_key)
        self.timeout = timeout
        self.deadline = deadline
        self.max_retries = max_retries
        self.retry_wait = retry_wait
        self._transport = Transport(self._resolve())

    @property
    def endpoint(self) -> Endpoint:
        """Where the calls go."""
        return self._transport.endpoint

    def post(self, path: str, body: Mapping[str, Any]) -> _flow.Flow[Any]:
        """Send ``body`` and return the parsed answer."""
        transport = self._ready(body)

        def attempt(deadline: Deadline) -> _flow.Flow[Any]:
            response = yield from _sent(transport, self._request(path, body, deadline))
            return response if isinstance(response, Failure) else transport.parsed(response)

        return (yield from self.retried(attempt, Deadline(self.deadline)))

    def open(self, path: str, body: Mapping[str, Any], deadline: Deadline) -> _flow.Flow[Source | Failure]:
        """Send ``body`` once and return the bytes of the answer as they will come."""
        transport, request = self._ready(body), self._request(path, body, deadline, stream=True)
        response = yield from _sent(transport, request)
        return response if isinstance(response, Failure) else transport.source(response, request)

    def retried(
        self, attempt: Callable[[Deadline], _flow.Flow[T | Failure]], deadline: Deadline
    ) -> Generator[_flow.Request, Any, T]:
        """Make attempts until one gives no :class:`Failure`, or raise what the last one failed with."""
        for number in range(self.max_retries + 1):
            self._within(deadline, None)
            result = yield from attempt(deadline)
            if not isinstance(result, Failure):
                return result
            if result.retry:
                self._within(deadline, result)
            if not result.retry or number == self.max_retries:
                raise result.error
            wait = result.wait
            if wait is None:
                wait = min(_LONGEST_WAIT, self.retry_wait * 2.0 ** min(number, 30)) * random.uniform(0.5, 1.0)
            if wait >= deadline.left():
                raise _out_of_time(result.error, wait, deadline)
            # Neither the message nor the request: they hold a user's words.
            _log.info("%s: next attempt in %.2f s", type(result.error).__name__, wait)
            yield _flow.Call(partial(time.sleep, wait), partial(asyncio.sleep, wait))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def close(self) -> None:
        """Close the connections of the threads."""
        self._transport.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop and of the threads."""
        await self._transport.aclose()

    def _request(
        self, path: str, body: Mapping[str, Any], deadline: Deadline, *, stream: bool = False
    ) -> Post:
        left = deadline.left()
        return Post(path, body, timeout=min(self.timeout, left), limit=left, stream=stream)

    def _ready(self, body: Mapping[str, Any]) -> Transport:
        """The transport for ``body``, once that is fit to be sent and there is a key to send it with."""
        refuse_unsendable(body)
        if self.endpoint.api_key is None:  # it may have been set after construction
            found = self._resolve()
            if found.api_key is not None:
                self._transport = Transport(found)
        self.endpoint.require_key()
        return self._transport

    @staticmethod
    def _within(deadline: Deadline, last: Failure | None) -> None:
        passed = deadline.passed()
        if passed is not None:
            raise passed if last is None or isinstance(last.error, LLMTimeoutError) else last.error


def _is_number(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _sent(transport: Transport, request: Post) -> _flow.Flow[Any]:
    response = yield _flow.Call(partial(transport.send, request), partial(transport.asend, request))
    return response


def _out_of_time(error: AIInfraError, wait: float, deadline: Deadline) -> AIInfraError:
    note = f"the next attempt was due in {round(wait, 2):,.8g} s, after the deadline of {deadline.seconds:,.6g} s"
    error.args = (f"{error} ({note})",)
    return error
