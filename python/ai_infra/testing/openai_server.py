"""A real HTTP server on the loopback interface that speaks the OpenAI protocol.

Tests script it; ``make demo`` uses it as a clearly labelled stand-in when no key is set. It never talks to
anybody else, and it holds no model: without a script it answers by the fixed rules of
:mod:`ai_infra.testing.standin`.

::

    with OpenAIServer() as server:
        server.reply("Hello", Reply.rate_limit(0.1), Reply.tools(("now", {})))
        llm = LLM(base_url=server.base_url, api_key="test")
        llm.chat("Hi")
        server.requests[0].messages
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, cast

from ai_infra.testing import vectors, wire
from ai_infra.testing.replies import Hold, Reply, Request, malformed
from ai_infra.testing.standin import respond

__all__ = ["Hold", "OpenAIServer", "Reply", "Request"]

Answer = Reply | str
Responder = Callable[[Request], Answer]
Scripted = Answer | Responder
Fault = Reply | vectors.Change | None


class OpenAIServer:
    """The server. It listens from construction until :meth:`close`.

    Args:
        responder: a function from a :class:`Request` to a :class:`Reply` or a string, asked when no scripted
            reply is left. The default is the stand-in of :func:`ai_infra.testing.standin.respond`.
        api_key: when given, any other key is answered with 401.
        dimensions: the size of an embedding when the request names none.
    """

    def __init__(
        self,
        responder: Responder | None = None,
        *,
        api_key: str | None = None,
        dimensions: int = 256,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.responder: Responder = responder or respond
        self.api_key = api_key
        self.dimensions = dimensions
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._replies: deque[Scripted] = deque()
        self._faults: deque[Fault] = deque()
        self._http = _Server((host, port), self)
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, name="openai-server", daemon=True
        )
        self._thread.start()

    @property
    def base_url(self) -> str:
        """What to pass as ``base_url``."""
        host, port = self._http.server_address[:2]
        return f"http://{host!s}:{port}/v1"

    @property
    def requests(self) -> list[Request]:
        """Everything received so far, in order of arrival; a copy."""
        with self._lock:
            return list(self._requests)

    @property
    def chats(self) -> list[Request]:
        """The chat requests among :attr:`requests`."""
        return [request for request in self.requests if request.path.endswith("/chat/completions")]

    @property
    def embeds(self) -> list[Request]:
        """The embedding requests among :attr:`requests`."""
        return [request for request in self.requests if request.path.endswith("/embeddings")]

    def clear(self) -> None:
        """Forget the requests received and whatever is left of the script."""
        with self._lock:
            self._requests.clear()
            self._replies.clear()
            self._faults.clear()

    def reply(self, *replies: Scripted) -> None:
        """Queue answers for the next chat requests: strings, :class:`Reply`, or functions of the request."""
        with self._lock:
            self._replies.extend(replies)

    def fault(self, *faults: Fault) -> None:
        """Queue what goes wrong with the next embedding requests.

        A :class:`Reply` is sent instead of vectors, a function of :mod:`ai_infra.testing.vectors` changes the
        list of vectors, ``None`` lets one request pass.
        """
        with self._lock:
            self._faults.extend(faults)

    def close(self) -> None:
        """Stop listening, close every connection, and wait for the threads."""
        self._http.shutdown()
        self._thread.join()
        self._http.close_connections()
        self._http.server_close()

    def __enter__(self) -> OpenAIServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def answer(self, request: Request) -> Reply:
        """Record ``request`` and say what to answer; called by the connection's thread."""
        with self._lock:
            self._requests.append(request)
            chat = request.path.endswith("/chat/completions")
            embed = request.path.endswith("/embeddings")
            scripted = self._replies.popleft() if chat and self._replies else None
            fault = self._faults.popleft() if embed and self._faults else None
        if self.api_key is not None and request.headers.get("authorization") != f"Bearer {self.api_key}":
            return Reply.error(401, "Incorrect API key provided.", code="invalid_api_key")
        if chat:
            wrong = malformed(request)
            if wrong is not None:
                return Reply.error(400, wrong, type="invalid_request_error")
            found = self.responder if scripted is None else scripted
            answer = found(request) if callable(found) else found
            return Reply(text=answer) if isinstance(answer, str) else answer
        if embed:
            return vectors.embed(request, fault, self.dimensions)
        if request.path.endswith("/models"):
            return Reply.raw({"object": "list", "data": [{"id": "local-stand-in", "object": "model"}]})
        return Reply.error(404, f"Unknown path {request.path}")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], owner: OpenAIServer) -> None:
        self.owner = owner
        self._guard = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        super().__init__(address, _Handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open[request] = threading.current_thread()
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._guard:
                self._open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of the server's."""

    def close_connections(self) -> None:
        with self._guard:
            pending = list(self._open.items())
        for connection, thread in pending:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=6)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 0

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing on the terminal."""

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("content-length") or 0)))

    def _serve(self, raw: bytes) -> None:
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            body = None
        request = Request(
            method=self.command,
            path=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            raw=raw,
            body=body if isinstance(body, dict) else {},
            at=time.monotonic(),
        )
        if body is None:
            self._send(Reply.error(400, "The body is not JSON.", type="invalid_request_error"))
            return
        reply = cast("_Server", self.server).owner.answer(request)
        if reply.delay:
            time.sleep(reply.delay)
        if reply.status == 200 and reply.body is None and request.stream:
            self._stream(request, reply)
        else:
            self._send(reply if reply.body is not None else wire.completed(request, reply))

    def _send(self, reply: Reply) -> None:
        body = reply.body or b""
        head = self._head(reply.status, {**reply.headers, "content-length": str(len(body))})
        if reply.cut_after is None and reply.byte_delay:
            self.wfile.write(head)
            for at in range(len(body)):
                self.wfile.write(body[at : at + 1])
                time.sleep(reply.byte_delay)
            return
        if reply.cut_after is None:
            self.wfile.write(head + body)
            return
        if reply.cut_after:
            self.wfile.write(head + body[: reply.cut_after])
        self._hang_up()

    def _stream(self, request: Request, reply: Reply) -> None:
        headers = {"content-type": "text/event-stream", "transfer-encoding": "chunked", **reply.headers}
        pending = self._head(200, headers)
        sent = 0
        for is_token, event in wire.events(request, reply):
            if is_token and reply.cut_after == 0:
                break
            if is_token:
                if reply.hold is not None and reply.hold.before == sent:
                    self.wfile.write(pending)
                    pending = b""
                    reply.hold.event.wait(5)
                if reply.token_delay and sent:
                    time.sleep(reply.token_delay)
                sent += 1
            # One write for each event: every token leaves when it is there, with the head before the first.
            self.wfile.write(pending + b"%x\r\n%b\r\n" % (len(event), event))
            pending = b""
            if sent and sent == reply.cut_after:
                break
        if reply.cut_after is None:
            self.wfile.write(pending + b"0\r\n\r\n")
        else:
            self._hang_up()

    def _head(self, status: int, headers: dict[str, str]) -> bytes:
        lines = [f"HTTP/1.1 {status} {self.responses.get(status, ('Unknown',))[0]}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
