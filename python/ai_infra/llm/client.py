"""``LLM``: a thin face over the ``openai`` SDK, for every service that speaks the OpenAI protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ai_infra import _flow
from ai_infra._checks import refuse_misspelled, require_text
from ai_infra._flow import Closing
from ai_infra._service.calls import Service
from ai_infra._service.failures import Failure
from ai_infra.errors import ConfigurationError, InvalidInputError
from ai_infra.llm.reading import completion
from ai_infra.llm.reasoning import without_reasoning
from ai_infra.llm.response import ChatResponse
from ai_infra.llm.sending import chat_messages
from ai_infra.llm.streaming import AsyncChatStream, ChatStream

_PATH = "/chat/completions"

_SETTINGS = ("base_url", "api_key", "timeout", "deadline", "max_retries", "retry_wait")
"""What belongs to the client. Sent along with a call it would do nothing, silently, and a key would be told."""

_OWN = (*_SETTINGS, "provider", "model", "messages", "tools")


class LLM(Closing):
    """A model behind an OpenAI-compatible endpoint.

    Nothing is sent, and the SDK is not imported, before the first call. One object serves all threads and any
    number of event loops. A call that fails is repeated as :mod:`ai_infra._service.calls` says, under one
    deadline.

    Args:
        provider: ``"openai"``, ``"groq"``, ``"ollama"`` …, from the table in
            :mod:`ai_infra._service.providers`. With neither provider nor ``base_url`` the environment decides
            (``OPENAI_API_KEY`` first).
        model: the model's name; the provider's default when it has one.
        base_url: any other service's address, ending in ``/v1`` as a rule.
        api_key: the key; from the provider's environment variable when not given. It shows up nowhere.
        timeout: seconds that the service may be silent: until the answer comes, or between two pieces of a
            stream.
        deadline: seconds for the whole call with all its retries. A stream must be read to its end within it.
            Async calls stop at that moment. Sync calls notice it when data comes or the silence ends.
        max_retries: attempts after the first; a stream is retried only before its first piece.
        retry_wait: seconds before the first retry; the wait doubles up to 8 seconds.
        params: sent with every request: ``temperature=0``, ``max_tokens=500``, ``seed=1`` … Those of a call
            win; ``None`` takes one away.

    Example::

        llm = LLM()
        answer = llm.chat("What is the capital of France?")
        print(answer, answer.usage)
    """

    def __init__(
        self,
        provider: str | None = None,
        model: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 300.0,
        deadline: float = 600.0,
        max_retries: int = 3,
        retry_wait: float = 0.5,
        **params: Any,
    ) -> None:
        self._service = Service(
            provider,
            base_url,
            api_key,
            timeout=timeout,
            deadline=deadline,
            max_retries=max_retries,
            retry_wait=retry_wait,
        )
        require_text(model, "model")
        if params.get("stream"):
            raise ConfigurationError("stream is no parameter: iterate over llm.stream(...).")
        refuse_foreign(params)
        self._model = model
        self._params = params

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self._service.endpoint.provider.name

    @property
    def model(self) -> str | None:
        """The model that a call without ``model=`` goes to; ``None`` when one must be named."""
        return self._model or self._service.endpoint.provider.model

    @property
    def base_url(self) -> str:
        """Where calls go."""
        return self._service.endpoint.base_url

    def __repr__(self) -> str:
        return f"LLM(provider={self.provider!r}, model={self.model!r}, base_url={self.base_url!r})"

    def chat(
        self,
        messages: str | Iterable[Any],
        *,
        tools: Iterable[Any] | None = None,
        model: str | None = None,
        **params: Any,
    ) -> ChatResponse:
        """Ask the model and wait for its whole answer.

        Args:
            messages: a string (one user message), or messages of any kind :mod:`ai_infra.messages` reads;
                those in another API's shape are rewritten.
            tools: tool schemas in OpenAI's shape, or what an :class:`~ai_infra.Agent` takes: typed functions,
                :class:`~ai_infra.llm.tools.Tool` objects, LangChain tools.
            model: another model than the client's.
            params: sent along: ``temperature=0`` …

        Raises:
            InvalidMessageError, InvalidInputError: something that no request can hold; nothing was sent.
            ConfigurationError: a setting of the client, or a misspelled name of ours, among ``params``.
            AuthenticationError: no key, or the service refuses it.
            ContextLengthError: the prompt is longer than the model's window.
            QuotaExceededError, RateLimitError: no credit; too many requests, also after the retries.
            LLMTimeoutError, LLMConnectionError: silence, the deadline; no connection.
            LLMResponseError: no usable answer. Also one that was filtered, and one cut at the model's own
                limit: a cut answer is returned only to who set ``max_tokens`` (``finish_reason`` tells).
            LLMError: the service failed or refused the request in another way.
        """
        return _flow.run(self._chat(messages, tools, model, params))

    async def achat(
        self,
        messages: str | Iterable[Any],
        *,
        tools: Iterable[Any] | None = None,
        model: str | None = None,
        **params: Any,
    ) -> ChatResponse:
        """:meth:`chat` without blocking the event loop."""
        return await _flow.arun(self._chat(messages, tools, model, params))

    def stream(
        self,
        messages: str | Iterable[Any],
        *,
        tools: Iterable[Any] | None = None,
        model: str | None = None,
        **params: Any,
    ) -> ChatStream:
        """Ask the model and iterate over the pieces of its answer as they come.

        The iterator's ``.response`` is the whole answer, with tool calls and usage, once it has been read to
        the end. Raises as :meth:`chat`, from the iteration; a connection that breaks in mid-answer, or an end
        without the protocol's marks of completeness (a finish reason and ``[DONE]``), is a
        :class:`~ai_infra.errors.StreamInterruptedError`.
        """
        return ChatStream(self._service, self._body(messages, tools, model, params, stream=True))

    def astream(
        self,
        messages: str | Iterable[Any],
        *,
        tools: Iterable[Any] | None = None,
        model: str | None = None,
        **params: Any,
    ) -> AsyncChatStream:
        """:meth:`stream` for ``async for``."""
        return AsyncChatStream(self._service, self._body(messages, tools, model, params, stream=True))

    def close(self) -> None:
        """Close the connections. Later calls open new ones."""
        self._service.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop, and those of the sync calls."""
        await self._service.aclose()

    def _chat(
        self,
        messages: str | Iterable[Any],
        tools: Iterable[Any] | None,
        model: str | None,
        params: Mapping[str, Any],
    ) -> _flow.Flow[ChatResponse]:
        body = self._body(messages, tools, model, params)
        answer = yield from self._service.post(_PATH, body)
        response = completion(self._service.endpoint, body, answer)
        if isinstance(response, Failure):
            raise response.error
        return response

    def _body(
        self,
        messages: str | Iterable[Any],
        tools: Iterable[Any] | None,
        model: str | None,
        params: Mapping[str, Any],
        *,
        stream: bool = False,
    ) -> dict[str, Any]:
        require_text(model, "model")
        refuse_settings(params)
        name = model or self.model
        if not name:
            raise ConfigurationError(f"{self.provider} has no default model: pass model=…")
        if params.get("stream"):
            raise InvalidInputError("stream is no parameter: iterate over stream(...) or astream(...).")
        given = chat_messages(
            [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        )
        if not given:
            raise InvalidInputError("there are no messages to send")
        if not self._service.endpoint.provider.reasoning:
            given = [without_reasoning(message) for message in given]
        body: dict[str, Any] = {"model": name, "messages": [_plain(message) for message in given]}
        if stream:
            body["stream"] = True
            if self._service.endpoint.provider.stream_usage:
                body["stream_options"] = {"include_usage": True}
        if tools is not None and (schemas := _schemas(tools)):
            body["tools"] = schemas
        for given_params in (self._params, params):
            body.update(given_params)
            # The SDK's name for what it does not know itself; here everything goes into the body as it is.
            extra = body.pop("extra_body", None)
            body.update(extra if isinstance(extra, Mapping) else {})
        return {key: value for key, value in body.items() if value is not None}


def refuse_settings(params: Iterable[str]) -> None:
    """Raise for names among a call's parameters that are the client's, or that :func:`refuse_foreign` refuses."""
    for name in params:
        if name in _SETTINGS:
            raise ConfigurationError(f"{name} is no parameter of a call: it goes to LLM({name}=...).")
    refuse_foreign(params)


def refuse_foreign(params: Iterable[str]) -> None:
    """Raise for names that are the SDK's, or a misspelling of ours: the service would get them as its own."""
    for name in params:
        if name in ("extra_headers", "extra_query"):
            raise ConfigurationError(
                f"{name} is no parameter here: parameters go into the body of a request."
            )
    refuse_misspelled(params, _OWN)


def _plain(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """``message`` without the :class:`ChatResponse` that may be its content.

    A response keeps the messages before it; a history of them would keep every earlier history alive.
    """
    content = message.get("content")
    return {**message, "content": str(content)} if isinstance(content, ChatResponse) else message


def _schemas(tools: Iterable[Any]) -> list[Any]:
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Iterable):
        raise InvalidInputError(f"tools is a list of tools, not {type(tools).__name__}.")
    return [_schema(tool) for tool in tools]


def _schema(tool: Any) -> Any:
    if hasattr(tool, "to_openai"):
        return tool.to_openai()
    if not isinstance(tool, Mapping):
        from ai_infra.llm.tools.tool import as_tool

        return as_tool(tool).to_openai()
    if not isinstance(tool.get("type"), str):
        raise InvalidInputError(
            'a tool\'s schema is {"type": "function", "function": {"name": …, "parameters": …}}; '
            f"this one has no type: its keys are {list(tool)}."
        )
    return tool
