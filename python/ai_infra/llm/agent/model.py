"""Asking any kind of model object: ours, LangChain's, or anything with ``chat``."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
import uuid
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from ai_infra._flow import apart
from ai_infra.errors import ConfigurationError
from ai_infra.llm.arguments import sound_arguments, with_sound_calls
from ai_infra.llm.reasoning import reasoning_of
from ai_infra.llm.response import Usage, assistant_message, clean
from ai_infra.messages import calls_in, fields_of, message_text, to_message

_END = object()
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")
"""What no name of a tool holds, and no service takes in one."""


@dataclass
class ModelReply:
    """What a model answered.

    Attributes:
        text: its text, ``""`` when it only calls tools.
        tool_calls: in OpenAI's shape, each with an id that no other call of the reply has.
        usage: tokens, or None when the service told nothing.
        model: the model that answered, by the service's own word.
        reasoning: what the model thought, in the fields in which some services want it back beside tool calls
            (``reasoning_content``).
    """

    text: str
    tool_calls: list[dict[str, Any]]
    usage: Usage | None = None
    model: str = ""
    reasoning: dict[str, Any] = field(default_factory=dict)

    @property
    def message(self) -> Any:
        """The reply as a message."""
        return self.after(None)

    def after(self, before: Any) -> Any:
        """The reply as a message that stands behind ``before``."""
        return to_message(assistant_message(self.text or None, self.tool_calls, self.reasoning, before))


class Model:
    """A model object, with one face for all kinds.

    Args:
        llm: an :class:`~ai_infra.LLM`, a LangChain chat model, or anything with ``chat(messages,
            tools=...)``.
        name: the model that a call names; the object's own when None.
    """

    def __init__(self, llm: Any, name: str | None) -> None:
        self._llm = llm
        self._name = name
        self._langchain = not hasattr(llm, "chat") and hasattr(llm, "invoke")
        if isinstance(llm, type) or not (self._langchain or callable(getattr(llm, "chat", None))):
            raise ConfigurationError(
                "llm is an LLM, a LangChain chat model, or an object with chat(messages, tools=...), "
                f"not {f'the class {llm.__name__}' if isinstance(llm, type) else type(llm).__name__}."
            )

    @property
    def name(self) -> str | None:
        """The model that will answer, where that is known."""
        found = self._name or getattr(self._llm, "model", None) or getattr(self._llm, "model_name", None)
        return found if isinstance(found, str) else None

    @property
    def provider(self) -> str:
        """The provider's name, for telemetry."""
        found = getattr(self._llm, "provider", None)
        return found if isinstance(found, str) else type(self._llm).__name__

    def options(self, tools: Sequence[Any], params: Mapping[str, Any]) -> dict[str, Any]:
        """The keyword arguments of one call."""
        options = dict(params)
        if tools:
            options["tools"] = list(tools)
        if self._name and not self._langchain:
            options["model"] = self._name
        return options

    def chat(self, messages: list[Any], options: Mapping[str, Any]) -> Any:
        """Ask and wait."""
        if self._langchain:
            return self._bound(options).invoke(_for_langchain(messages))
        answer = self._llm.chat(messages, **options)
        if inspect.iscoroutine(answer):
            answer.close()
            raise ConfigurationError(
                f"chat of {type(self._llm).__name__} is async def, and run and stream do not await it: call arun or "
                "astream, or write a plain chat and put the async one in achat."
            )
        return answer

    async def achat(self, messages: list[Any], options: Mapping[str, Any]) -> Any:
        """Ask without blocking the event loop."""
        if self._langchain:
            return await self._bound(options).ainvoke(_for_langchain(messages))
        if hasattr(self._llm, "achat"):
            return await self._llm.achat(messages, **options)
        answer = await apart(lambda: self._llm.chat(messages, **options))
        return await answer if inspect.isawaitable(answer) else answer

    def pieces(self, messages: list[Any], options: Mapping[str, Any]) -> Pieces:
        """Ask, and read the answer in pieces."""
        return Pieces(self, self._llm, messages, options)

    def _bound(self, options: Mapping[str, Any]) -> Any:
        params = {name: value for name, value in options.items() if name != "tools"}
        bound = self._llm.bind_tools(options["tools"]) if options.get("tools") else self._llm
        return bound.bind(**params) if params else bound


class Pieces:
    """One streamed answer; a request that is repeated until it answers None. Then ``answer`` is the whole.

    That is the ``response`` of the stream; of one that has none, as a generator of the caller's, its text.
    """

    def __init__(self, model: Model, llm: Any, messages: list[Any], options: Mapping[str, Any]) -> None:
        self.answer: Any = None
        self._model = model
        self._llm = llm
        self._messages = messages
        self._options = options
        self._text = ""
        self._stream: Any = None
        self._astream: Any = None

    def run(self) -> str | None:
        """The next piece."""
        if self._stream is None:
            if self.answer is not None:
                return None
            if not hasattr(self._llm, "stream") or not hasattr(self._llm, "chat"):
                self.answer = self._model.chat(self._messages, self._options)
                return reply_of(self.answer).text or None
            stream = self._llm.stream(self._messages, **self._options)
            self._stream = self._checked("stream", stream, "__next__")
        return self._piece(next(self._stream, _END), self._stream)

    async def arun(self) -> str | None:
        """The next piece, without blocking the event loop."""
        if self._astream is None:
            if self.answer is not None:
                return None
            if not hasattr(self._llm, "astream") or not hasattr(self._llm, "chat"):
                self.answer = await self._model.achat(self._messages, self._options)
                return reply_of(self.answer).text or None
            stream = self._llm.astream(self._messages, **self._options)
            self._astream = self._checked(
                "astream", await stream if inspect.isawaitable(stream) else stream, "__anext__"
            )
        return self._piece(await anext(self._astream, _END), self._astream)

    def _piece(self, piece: Any, stream: Any) -> str | None:
        if piece is _END:
            self.answer = stream.response if hasattr(stream, "response") else self._text
            return None
        if not isinstance(piece, str):
            raise ConfigurationError(
                f"a stream of {type(self._llm).__name__} gave {type(piece).__name__}; it gives strings."
            )
        self._text += piece
        return str(piece)

    def _checked(self, name: str, stream: Any, needs: str) -> Any:
        if hasattr(stream, needs):
            return stream
        if inspect.iscoroutine(stream):
            stream.close()
        raise ConfigurationError(
            f"{name} of {type(self._llm).__name__} returned {type(stream).__name__}; it returns "
            f"{'an async iterator' if name == 'astream' else 'an iterator'} of strings (a generator does), "
            "whose response, if it has one, is the whole answer."
        )

    def close(self) -> None:
        """Give the connection back."""
        if self._stream is not None and hasattr(self._stream, "close"):
            self._stream.close()

    async def aclose(self) -> None:
        """:meth:`close` for asyncio."""
        if self._astream is not None and hasattr(self._astream, "aclose"):
            await self._astream.aclose()


def reply_of(answer: Any) -> ModelReply:
    """Whatever a model object gave, as a :class:`ModelReply`."""
    if isinstance(answer, ModelReply):
        for name, kind in (("text", str), ("tool_calls", list | tuple)):
            if not isinstance(given := getattr(answer, name), kind):
                raise ConfigurationError(
                    f"{name} of a ModelReply is {type(given).__name__}: text is a string and tool_calls a list, empty "
                    "where there is none."
                )
        return replace(
            answer,
            text=clean(answer.text),
            tool_calls=_distinct(answer.tool_calls),
            reasoning=reasoning_of([answer.reasoning] if isinstance(answer.reasoning, Mapping) else []),
        )
    if isinstance(answer, str):
        thought = getattr(answer, "reasoning", None)
        calls = calls_in({"tool_calls": getattr(answer, "tool_calls", None)})
        usage, model = getattr(answer, "usage", None), getattr(answer, "model", "")
        text = str(answer)
    else:
        fields = fields_of(answer)
        thought = getattr(answer, "additional_kwargs", fields)  # where LangChain keeps it
        text, calls = message_text(fields), calls_in(fields)
        usage, model = _langchain_usage(answer), ""
    return ModelReply(
        clean(text),
        _distinct(calls),
        usage if isinstance(usage, Usage) else None,
        model if isinstance(model, str) else "",
        reasoning_of([thought] if isinstance(thought, Mapping) else []),
    )


def _distinct(calls: Sequence[Any]) -> list[dict[str, Any]]:
    """The calls in OpenAI's shape, with ids.

    Some servers leave ids out or use one twice, and then no result finds its call; others send arguments as an
    object instead of JSON. What is no call at all is one of a tool without a name, and the model is told so. Names
    and arguments become what every service takes back: one that does not would refuse the session for ever.
    """
    seen: set[str] = set()
    distinct = []
    for call in calls:
        call = call if isinstance(call, Mapping) else {}
        function = call.get("function", call)  # LangChain writes the name and the args into the call itself
        function = function if isinstance(function, Mapping) else {}
        id_ = call.get("id")
        if not isinstance(id_, str) or not id_ or id_ in seen:
            id_ = f"call_{uuid.uuid4().hex[:24]}"
        id_ = clean(id_)
        seen.add(id_)
        arguments = function.get("arguments", function.get("args"))
        if arguments and not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False, default=str)
        written = {
            **_besides(function, {"name", "arguments", "args", "id", "type"}),
            "name": _NO_NAME.sub("_", str(function.get("name") or "unnamed"))[:64],
            "arguments": sound_arguments(clean(arguments or "")),
        }
        # LangChain's calls have no function: there everything is in the call, and nothing besides.
        more = _besides(call, {"id", "type", "function", "index"}) if function is not call else {}
        distinct.append({**more, "id": id_, "type": "function", "function": written})
    return distinct


def _besides(given: Mapping[str, Any], known: Set[str]) -> dict[str, Any]:
    """What a service put beside the parts of a call, as Gemini its thought signature: it refuses a call without.

    Only what a session can keep: as JSON, with halves of characters replaced.
    """
    found = {}
    for key, value in given.items():
        if key not in known and value is not None:
            with contextlib.suppress(TypeError, ValueError, RecursionError):
                text = json.dumps({key: value}, ensure_ascii=False, allow_nan=False)
                found.update(json.loads(clean(text)))
    return found


def _for_langchain(messages: list[Any]) -> Any:
    from langchain_core.messages.utils import convert_to_messages

    return convert_to_messages([dict(with_sound_calls(fields_of(message))) for message in messages])


def _langchain_usage(answer: Any) -> Usage | None:
    found = getattr(answer, "usage_metadata", None)
    if not isinstance(found, Mapping):
        return None
    cached = (found.get("input_token_details") or {}).get("cache_read") or 0
    return Usage(
        found.get("input_tokens", 0), found.get("output_tokens", 0), found.get("total_tokens", 0), cached
    )
