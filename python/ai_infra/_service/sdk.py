"""The one place that touches the ``openai`` package: its clients, and single attempts through them.

Answers are read as bytes and parsed here, not by the SDK's models: a web page with status 200, an answer
without choices or a stream without its end pass through those unnoticed. The SDK's own retries are off;
:mod:`ai_infra._service.calls` owns them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ai_infra._service import failures
from ai_infra._service.failures import Failure
from ai_infra._service.providers import Endpoint
from ai_infra.errors import MissingDependencyError

_CONNECT = 10.0  # seconds for a connection; an address that does not answer is known sooner than a slow model


@dataclass(frozen=True)
class Post:
    """One request: where, what, how long the service may be silent, and how long all of it may take."""

    path: str
    body: Mapping[str, Any]
    timeout: float
    limit: float
    stream: bool = False


@dataclass(frozen=True)
class Whole:
    """A whole answer, read."""

    raw: bytes
    content_type: str


class Transport:
    """The SDK's clients for one endpoint: one for all threads, and one for each event loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._sync: Any = None
        self._async: dict[asyncio.AbstractEventLoop, tuple[Any, AsyncGenerator[None, None]]] = {}

    def send(self, request: Post) -> Any | Failure:
        """One attempt; a :class:`Whole`, or the HTTP library's response, unread, when a stream was asked for."""
        sdk = _Sdk.load()
        end = _ends.at = time.monotonic() + request.limit
        try:
            # Unread in both cases: the HTTP library bounds each silence, and who sends a byte now and then could
            # go on for ever.
            response = self._client(sdk).post(
                request.path, cast_to=sdk.response, **_options(sdk, request, stream=True)
            )
            return response if request.stream else _read(response, end)
        except sdk.errors as error:
            failure = self._failed(sdk, error, request)
        return failure  # outside the handler: nothing that is raised later has the SDK's error behind it

    async def asend(self, request: Post) -> Any | Failure:
        """:meth:`send` without blocking the loop."""
        # The SDK takes half a second to import: not on the loop's time.
        sdk = _Sdk.loaded
        if sdk is None:
            sdk = await asyncio.to_thread(_Sdk.load)
        try:
            async with asyncio.timeout(request.limit):
                client = await self._aclient(sdk)
                options = _options(sdk, request, stream=request.stream)
                response = await client.post(request.path, cast_to=sdk.response, **options)
                return response if request.stream else Whole(response.content, _content_type(response))
        except sdk.errors as error:
            failure = self._failed(sdk, error, request)
        return failure

    def parsed(self, answer: Whole) -> Any | Failure:
        """The JSON of a whole answer."""
        return failures.whole(self.endpoint, answer.raw, answer.content_type)

    def source(self, response: Any, request: Post) -> Source:
        """The bytes of a streamed answer."""
        return Source(self, response, request)

    def close(self) -> None:
        """Close the client of the threads. It opens again when it is used again."""
        with self._lock:
            client, self._sync = self._sync, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the client of this event loop, and that of the threads."""
        with self._lock:
            held = self._async.pop(asyncio.get_running_loop(), None)
        if held is not None:
            client, keeper = held
            await keeper.aclose()
            await client.close()  # for a keeper that had not begun
        self.close()

    def _client(self, sdk: _Sdk) -> Any:
        self._forget_parent()
        with self._lock:
            if self._sync is None:
                web = sdk.module.DefaultHttpxClient(event_hooks={"response": [sdk.bounded]})
                self._sync = sdk.module.OpenAI(**self._arguments(), http_client=web)
                # As it is with a client that the SDK makes.
                weakref.finalize(self._sync, web.close).atexit = False
            return self._sync

    async def _aclient(self, sdk: _Sdk) -> Any:
        loop = asyncio.get_running_loop()
        self._forget_parent()
        with self._lock:
            held = self._async.get(loop)
            if held is not None:
                return held[0]
            for other in [other for other in self._async if other.is_closed()]:
                del self._async[other]
            client = sdk.module.AsyncOpenAI(**self._arguments())
            keeper = _closed_with_loop(client)
            self._async[loop] = (client, keeper)
        await anext(keeper)
        return client

    def _arguments(self) -> dict[str, Any]:
        return {"base_url": self.endpoint.base_url, "api_key": self.endpoint.require_key(), "max_retries": 0}

    def _forget_parent(self) -> None:
        """After a fork the parent's connections are not ours to use or to close, and its lock may be held."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._lock = threading.Lock()
            self._sync = None
            self._async = {}

    def _failed(self, sdk: _Sdk, error: BaseException, request: Post) -> Failure:
        if isinstance(error, sdk.timeouts):
            return failures.silent(self.endpoint, request.timeout)
        if isinstance(error, sdk.module.APIStatusError):
            return failures.refused(
                self.endpoint, error.status_code, error.response.headers, error.body or error.response.text
            )
        return failures.unreachable(self.endpoint, error)


class Source:
    """The bytes of one streamed answer; it is read in one of the two worlds.

    Attributes:
        content_type: what the header says that it is.
    """

    def __init__(self, transport: Transport, response: Any, request: Post) -> None:
        self.content_type = _content_type(response)
        self._transport = transport
        self._response = response
        self._request = request
        self._pieces: Generator[bytes, None, None] | None = None
        self._apieces: AsyncGenerator[bytes, None] | None = None

    def read(self) -> bytes | Failure:
        """The next bytes, ``b""`` at the end."""
        sdk = _Sdk.load()
        if self._pieces is None:
            self._pieces = _pieces(self._response)
        try:
            return next(self._pieces, b"")
        except sdk.errors as error:
            failure = self._transport._failed(sdk, error, self._request)
        return failure

    async def aread(self, limit: float) -> bytes | Failure:
        """:meth:`read` without blocking the loop, and for ``limit`` seconds at most."""
        sdk = _Sdk.load()
        if self._apieces is None:
            self._apieces = _apieces(self._response)
        try:
            async with asyncio.timeout(limit):
                return await anext(self._apieces, b"")
        except sdk.errors as error:
            failure = self._transport._failed(sdk, error, self._request)
        return failure

    def close(self) -> None:
        """Give the connection back."""
        if self._pieces is not None:
            self._pieces.close()
        self._response.close()

    async def aclose(self) -> None:
        """:meth:`close` without blocking the loop."""
        if self._apieces is not None:
            await self._apieces.aclose()
        await self._response.aclose()


class _Sdk:
    """The ``openai`` module and the exceptions that can come out of it and of its HTTP library."""

    loaded: _Sdk | None = None

    def __init__(self) -> None:
        try:
            import openai
        except ImportError:
            missing = True
        else:
            missing = False
        if missing:
            raise MissingDependencyError(
                'services are called through the openai package: pip install "ai-infra-memory[openai]"'
            )
        self.module: Any = openai
        # Which HTTP library is behind it depends on the SDK's version; what its client is made of tells.
        base = next(kind for kind in openai.DefaultHttpxClient.__mro__ if kind.__name__ == "Client")
        http = sys.modules[base.__module__.partition(".")[0]]
        self.timeout: Any = openai.Timeout
        self.response: Any = http.Response
        self._stream = type("_Stream", (_Stream, http.SyncByteStream), {"late": http.ReadTimeout})
        self.timeouts: tuple[type[Exception], ...] = (
            openai.APITimeoutError,
            http.TimeoutException,
            TimeoutError,
        )
        broken = getattr(sys.modules.get("anyio"), "EndOfStream", None)
        self.errors: tuple[type[Exception], ...] = (
            openai.OpenAIError,
            http.RequestError,
            http.StreamError,
            OSError,
            *((broken,) if broken else ()),
        )

    def bounded(self, response: Any) -> None:
        """Has what is no success end by the deadline: the SDK reads that whole, and each silence alone is bounded."""
        if not response.is_success:
            response.stream = self._stream(response.stream, _ends.at)

    @classmethod
    def load(cls) -> _Sdk:
        if cls.loaded is None:
            cls.loaded = cls()
        return cls.loaded


class _Ends(threading.local):
    """When the attempt of this thread has to be over, on the monotonic clock."""

    at = float("inf")


_ends = _Ends()


class _Stream:
    """The bytes of an answer, up to a moment."""

    late: Any

    def __init__(self, stream: Any, end: float) -> None:
        self._stream = stream
        self._end = end

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            yield piece
            if time.monotonic() >= self._end:
                raise self.late("the answer was not over in time")

    def close(self) -> None:
        self._stream.close()


def _options(sdk: _Sdk, request: Post, *, stream: bool) -> dict[str, Any]:
    limit = sdk.timeout(request.timeout, connect=min(_CONNECT, request.timeout))
    return {"body": request.body, "stream": stream, "options": {"timeout": limit}}


def _content_type(response: Any) -> str:
    found: str = response.headers.get("content-type", "")
    return found


def _read(response: Any, end: float) -> Whole:
    """The whole answer, if it is there by ``end`` on the monotonic clock."""
    raw = bytearray()
    with contextlib.closing(_pieces(response)) as pieces:
        for piece in pieces:
            raw += piece
            if time.monotonic() >= end:
                raise TimeoutError
    return Whole(bytes(raw), _content_type(response))


def _pieces(response: Any) -> Generator[bytes, None, None]:
    # A generator, so that a stream nobody finishes gives its connection back when it is collected.
    try:
        yield from response.iter_bytes()
    finally:
        response.close()


async def _apieces(response: Any) -> AsyncGenerator[bytes, None]:
    # The same; for an abandoned one the event loop's own hook for async generators does the closing.
    try:
        async for piece in response.aiter_bytes():
            yield piece
    finally:
        await response.aclose()


async def _closed_with_loop(client: Any) -> AsyncGenerator[None, None]:
    """Close ``client`` with its loop: ``asyncio.run`` finishes every async generator before it ends."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError, RuntimeError):
            await client.close()
