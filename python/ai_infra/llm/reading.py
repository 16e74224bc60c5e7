"""From the bytes of the protocol to a :class:`ChatResponse`. No I/O: what is odd comes back as a failure."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ai_infra._service import failures
from ai_infra._service.failures import Failure
from ai_infra._service.providers import Endpoint
from ai_infra.errors import LLMResponseError, StreamInterruptedError
from ai_infra.llm.reasoning import REASONING, reasoning_of
from ai_infra.llm.response import ChatResponse, Usage, assistant_message, clean

# Only an answer that the caller himself asked to be short may end at its length.
_BOUNDS = ("max_tokens", "max_completion_tokens")
_MARK = b"\xef\xbb\xbf"  # may stand before the first line, and nowhere else before a field
_DONE = b"[DONE]"
_OF_CALL = frozenset({"id", "index", "type", "function"})
_OF_FUNCTION = frozenset({"name", "arguments"})

Messages = Sequence[Mapping[str, Any]]


def completion(endpoint: Endpoint, body: Mapping[str, Any], answer: object) -> ChatResponse | Failure:
    """Read a whole answer to the request ``body``."""
    if not isinstance(answer, Mapping):
        return _senseless("an answer that is no JSON object")
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        return _senseless("an answer without choices")
    if (failure := _shapeless(message)) is not None:
        return failure
    return finished(
        body,
        _text(message.get("content")) or _refusal(message),
        [call for call in message.get("tool_calls") or () if isinstance(call, Mapping)],
        finish=choice.get("finish_reason"),
        usage=Usage.read(answer.get("usage")),
        model=str(answer.get("model") or body.get("model") or ""),
        reasoning=reasoning_of([message]),
    )


def finished(
    body: Mapping[str, Any],
    text: str | None,
    tool_calls: Messages,
    *,
    finish: str | None,
    usage: Usage | None,
    model: str,
    reasoning: Mapping[str, Any],
) -> ChatResponse | Failure:
    """Make the response, unless the answer was filtered, or cut by a limit that the caller did not set.

    Halves of characters are replaced: no request could carry them, and the answer goes into the next one.
    """
    if finish == "content_filter":
        return _senseless("an answer that its content filter withheld (finish_reason content_filter)")
    if finish == "length" and not any(body.get(name) for name in _BOUNDS):
        return _senseless(
            f"an answer cut at the model's own limit after {len(text or ''):,} characters (finish_reason "
            "length): shorten the prompt, or set max_tokens to accept cut answers"
        )
    text = None if text is None else clean(text)
    tool_calls = [_call(call) for call in tool_calls]
    sent: list[Mapping[str, Any]] = body["messages"]
    return ChatResponse(
        text or "",
        tool_calls=tool_calls,
        usage=usage,
        model=model,
        finish_reason=finish,
        messages=[*sent, assistant_message(text, tool_calls, reasoning, sent[-1] if sent else None)],
        reasoning=reasoning,
    )


class Events:
    """Server-sent events, cut out of bytes that may break anywhere.

    Only ``data`` lines matter to this protocol. Lines end at ``\\n`` or ``\\r\\n`` and nowhere else: a text
    may hold U+2028 and other characters that Python would split at.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The data of each event that ``piece`` completes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r").removeprefix(_MARK)
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                yield b"\n".join(self._data)
                self._data = []

    def end(self) -> Iterator[bytes]:
        """The last event, where the stream ends without the blank line behind it; not half of one."""
        for data in self.feed(b"\n\n"):
            with contextlib.suppress(ValueError, RecursionError):
                if data.strip() != _DONE:
                    json.loads(data)
                yield data


class Assembly:
    """A streamed answer, put together from its chunks."""

    def __init__(self, endpoint: Endpoint, body: Mapping[str, Any]) -> None:
        self.done = False
        self._endpoint = endpoint
        self._body = body
        self._text: list[str] = []
        self._calls: list[dict[str, Any]] = []
        self._latest: dict[int, dict[str, Any]] = {}  # by the index that the service gives
        self._finish: str | None = None
        self._usage: Usage | None = None
        self._model = str(body.get("model") or "")
        self._chunks = 0
        self._half = ""
        self._thoughts: list[Mapping[str, Any]] = []
        self._choice: object = None

    def take(self, data: bytes) -> str | Failure:
        """Take one event in; returns the text it adds, which may be empty."""
        data = data.strip()
        if not data:  # a sign of life
            return ""
        if data == _DONE:
            self.done = True
            return self._add_text("", last=True)
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            return _senseless("a stream with an event that is no JSON")
        if not isinstance(chunk, Mapping):
            return _senseless("a stream with an event that is no JSON object")
        if (failure := failures.in_body(self._endpoint, chunk)) is not None:
            return failure
        self._chunks += 1
        self._model = str(chunk.get("model") or self._model)
        self._usage = Usage.read(chunk.get("usage")) or self._usage
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, Mapping) or not self._is_ours(choice.get("index")):
            return ""
        self._finish = choice.get("finish_reason") or self._finish
        delta = choice.get("delta") or choice.get("message")  # some services send the whole in one event
        if not isinstance(delta, Mapping):
            return ""
        if (failure := _shapeless(delta)) is not None:
            return failure
        if any(name in delta for name in REASONING):
            self._thoughts.append(delta)
        for part in delta.get("tool_calls") or ():
            if isinstance(part, Mapping):
                self._add_call(part)
        return self._add_text(_text(delta.get("content")) or _refusal(delta) or "")

    def response(self) -> ChatResponse | Failure:
        """The whole answer, once the stream has ended."""
        if not self._chunks:
            return _senseless("a stream without a single chunk", retry=not self.done)
        if not self._finish and not self._text and not self._calls and self.done:
            return _senseless("a stream without choices")
        if not self.done or not self._finish:
            return self.interrupted()
        return finished(
            self._body,
            "".join(self._text) or None,
            self._calls,
            finish=self._finish,
            usage=self._usage,
            model=self._model,
            reasoning=reasoning_of(self._thoughts),
        )

    def interrupted(self) -> Failure:
        """The stream ended, but not with the end of the answer."""
        seen = sum(map(len, self._text))
        message = f"the stream ended after {seen:,} characters, before the answer did: ask again"
        return Failure(StreamInterruptedError(message), retry=True)

    def _is_ours(self, index: object) -> bool:
        """Whether a choice is the one that is read, the first that came: with ``n=2`` two come in turn."""
        if self._choice is None:
            self._choice = index
        return index is None or index == self._choice

    def _add_text(self, text: str, *, last: bool = False) -> str:
        """Add a piece. One that ends in half a character leaves it to the next, which may bring the other."""
        text, self._half = self._half + text, ""
        if text and not last and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        text = clean(text)
        if text:
            self._text.append(text)
        return text

    def _add_call(self, part: Mapping[str, Any]) -> None:
        """Add a fragment: the first of a call brings id and name, the others pieces of the arguments."""
        function = part.get("function")
        function = function if isinstance(function, Mapping) else {}
        name, ident = _written(function.get("name")), part.get("id") or ""
        call = self._begun(part.get("index"), ident, name)
        same = ident and ident == call["id"]
        if not (same and name == call["function"]["name"]):  # some services repeat both with every fragment
            call["function"]["name"] += name
        call["id"] = call["id"] or ident
        call["function"]["arguments"] += _written(function.get("arguments"))
        # Gemini's thought signatures must come back with the call.
        for into, given, ours in ((call, part, _OF_CALL), (call["function"], function, _OF_FUNCTION)):
            into.update({key: value for key, value in given.items() if key not in ours and value is not None})

    def _begun(self, index: object, ident: str, name: str) -> dict[str, Any]:
        """The call that a fragment belongs to, which may be a new one.

        The protocol tells by the index. Some services give none, some 0 to every call, and some an id of its own to
        every fragment: there a call begins with a name that comes with a new id or, without ids, behind arguments.
        """
        if isinstance(index, int):
            call = self._latest.get(index)
        else:
            named = (call for call in self._calls if ident and call["id"] == ident)
            call = next(named, self._calls[-1] if self._calls else None)
        if call is not None and name:
            if ident and call["id"]:
                call = call if call["id"] == ident else None
            elif call["function"]["arguments"] or not isinstance(index, int):
                call = None
        if call is None:
            call = {"id": ident, "type": "function", "function": {"name": "", "arguments": ""}}
            self._calls.append(call)
            if isinstance(index, int):
                self._latest[index] = call
        return call


def _senseless(what: str, *, retry: bool = False) -> Failure:
    return Failure(LLMResponseError(f"the service sent {what}"), retry)


def _shapeless(message: Mapping[str, Any]) -> Failure | None:
    """The failure of an answer whose content or calls are nothing that can be read; empty is not so."""
    if (content := message.get("content")) and not isinstance(content, str | list):
        return _senseless(f"an answer whose content is no text but {type(content).__name__}")
    if (calls := message.get("tool_calls")) and not isinstance(calls, list):
        return _senseless(f"an answer whose tool_calls are no list but {type(calls).__name__}")
    return None


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call as it can be sent back, with its arguments as JSON text (some services send an object)."""
    found = {key: clean(value) if isinstance(value, str) else value for key, value in call.items()}
    function = found.get("function")
    if isinstance(function, Mapping):
        written = {key: clean(_written(function[key])) for key in ("name", "arguments") if key in function}
        found["function"] = {**function, **written}
    return found


def _written(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False) if value else ""
    except RecursionError:  # nothing that a tool takes: whoever reads it as arguments says so
        return "null"


def _refusal(said: Mapping[str, Any]) -> str | None:
    """What a model says that will not answer: that is its answer, and would be lost beside an empty content."""
    refusal = said.get("refusal")
    return refusal if isinstance(refusal, str) else None


def _text(content: object) -> str | None:
    if isinstance(content, list):  # some services answer in parts
        texts = (part for part in content if isinstance(part, Mapping) and part.get("type") == "text")
        parts = [part.get("text") for part in texts]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else None
