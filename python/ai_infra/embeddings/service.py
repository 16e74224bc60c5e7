"""Embeddings from a service that speaks the OpenAI protocol."""

from __future__ import annotations

import base64
import binascii
import sys
from array import array
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from ai_infra import _core, _flow
from ai_infra._service.calls import Service
from ai_infra.embeddings.base import Vector, checked
from ai_infra.errors import (
    AuthenticationError,
    ConfigurationError,
    ContextLengthError,
    EmbeddingError,
    LLMError,
)

# The limits of OpenAI's API; where a provider has narrower ones the parameters say so.
MAX_INPUTS = 2_048
MAX_INPUT_TOKENS = 8_192
MAX_REQUEST_TOKENS = 300_000

_SIZES = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
    "mistral-embed": 1024,
}
_UTF8 = 4  # bytes a character may take; a token is at least one byte


class OpenAIEmbeddings:
    """An embedder over the ``openai`` SDK: batched, retried, checked; everything or nothing.

    Args:
        model: the model; the provider's default when it has one.
        dimensions: the size to ask for, for models that can shorten their vectors.
        provider, base_url, api_key, timeout, max_retries, retry_wait: as for ``LLM``.
        deadline: seconds for each request with its retries; a long list takes several requests.
        max_inputs, max_input_tokens, max_request_tokens: the service's limits for one request, counted with
            OpenAI's ``cl100k_base``.
        truncate: cut a text that is too long instead of refusing it.

    Example::

        embedder = OpenAIEmbeddings("text-embedding-3-small", dimensions=512)
        vectors = embedder.embed_documents(["one text", "another"])
    """

    def __init__(
        self,
        model: str | None = None,
        dimensions: int | None = None,
        *,
        provider: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 60.0,
        deadline: float = 300.0,
        max_retries: int = 5,
        retry_wait: float = 0.5,
        max_inputs: int = MAX_INPUTS,
        max_input_tokens: int = MAX_INPUT_TOKENS,
        max_request_tokens: int = MAX_REQUEST_TOKENS,
        truncate: bool = False,
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
        chosen = model or self._service.endpoint.provider.embedding_model
        if not chosen:
            raise ConfigurationError(
                f"{self._service.endpoint.provider.name} has no default embedding model: name one"
            )
        limits = {
            "max_inputs": max_inputs,
            "max_request_tokens": max_request_tokens,
            "dimensions": dimensions,
        }
        for name, value in limits.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigurationError(f"{name} must be an integer of 1 or more, not {value!r}")
        if not 1 <= max_input_tokens <= max_request_tokens:
            raise ConfigurationError(
                f"max_input_tokens must be 1 to max_request_tokens, not {max_input_tokens!r}"
            )
        self.model = chosen
        self._asked = dimensions
        self._learned = _SIZES.get(chosen)
        self._max_inputs = max_inputs
        self._max_input_tokens = max_input_tokens
        self._max_request_tokens = max_request_tokens
        self._truncate = truncate

    @property
    def dimensions(self) -> int | None:
        """The size of a vector; for a model we do not know, known after the first answer."""
        return self._asked or self._learned

    @property
    def identity(self) -> str:
        """The model, and the size where one was asked for: what vectors must share to be compared."""
        return self.model if self._asked is None else f"{self.model}@{self._asked}"

    def __repr__(self) -> str:
        url = self._service.endpoint.base_url
        return f"OpenAIEmbeddings({self.model!r}, dimensions={self._asked}, base_url={url!r})"

    def embed_documents(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text, in order.

        Raises:
            EmbeddingError: a text is empty or too long, or the service failed, or it answered with anything
                but one finite vector of the right size for each text. ``inputs`` has the positions. Nothing
                is returned then.
            AuthenticationError: no key, or the service refuses it.
        """
        return _flow.run(self._embed(texts))

    async def aembed_documents(self, texts: Sequence[str]) -> list[Vector]:
        """:meth:`embed_documents` without blocking the event loop."""
        return await _flow.arun(self._embed(texts))

    def embed_query(self, text: str) -> Vector:
        """The vector of one text."""
        return _flow.run(self._embed([text]))[0]

    async def aembed_query(self, text: str) -> Vector:
        """:meth:`embed_query` without blocking the event loop."""
        return (await _flow.arun(self._embed([text])))[0]

    def plan(self, texts: Sequence[str]) -> list[range]:
        """The positions that go into each request, within the service's limits."""
        return self._plan(self._fitted(texts))

    def close(self) -> None:
        """Close the connections. Later calls open new ones."""
        self._service.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop, and those of the sync calls."""
        await self._service.aclose()

    def __enter__(self) -> OpenAIEmbeddings:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _embed(self, texts: Sequence[str]) -> _flow.Flow[list[Vector]]:
        fitted = self._fitted(texts)
        vectors: list[Vector] = []
        for positions in self._plan(fitted):
            vectors += yield from self._request(fitted, positions)
        sizes = {len(vector) for vector in vectors}
        if len(sizes) > 1:
            raise EmbeddingError(f"{self.model} answered with vectors of several sizes: {sorted(sizes)}")
        if vectors and self.dimensions is None:
            self._learned = len(vectors[0])
        return vectors

    def _request(self, texts: Sequence[str], positions: range) -> _flow.Flow[list[Vector]]:
        body: dict[str, Any] = {
            "model": self.model,
            "input": [texts[n] for n in positions],
            "encoding_format": "base64",
        }
        if self._asked is not None:
            body["dimensions"] = self._asked
        try:
            answer = yield from self._service.post("/embeddings", body)
            return checked(_in_order(answer, len(positions)), len(positions), self.dimensions)
        except AuthenticationError:
            raise
        except EmbeddingError as error:
            inputs = [positions[n] for n in error.inputs if n < len(positions)]
            failure = EmbeddingError(f"{self.model}: {error.args[0]}", inputs=inputs)
        except (LLMError, ContextLengthError) as error:
            failure = EmbeddingError(f"{self.model} could not embed: {error}", inputs=positions)
            failure.__cause__ = error
        raise failure

    def _fitted(self, texts: Sequence[str]) -> Sequence[str]:
        """The texts that can be sent: none empty, none too long."""
        if isinstance(texts, str):
            raise EmbeddingError(
                "embed_documents takes a list of texts, not one text: use embed_query for one"
            )
        empty = [n for n, text in enumerate(texts) if not text]
        if empty:
            raise EmbeddingError("an empty text cannot be embedded", inputs=empty)
        limit = self._max_input_tokens
        doubtful = [n for n, text in enumerate(texts) if len(text) * _UTF8 > limit]
        if not doubtful:
            return texts
        encoding = _core.Encoding("cl100k_base")
        long = [n for n in doubtful if encoding.count_up_to(texts[n], limit) is None]
        if long and not self._truncate:
            raise EmbeddingError(
                f"longer than the {limit:,} tokens that {self.model} takes: split it, or pass truncate=True",
                inputs=long,
            )
        fitted = list(texts)
        for n in long:
            fitted[n] = fitted[n][: encoding.prefix_within(fitted[n], limit)]
        return fitted

    def _plan(self, texts: Sequence[str]) -> list[range]:
        if len(texts) <= self._max_inputs and sum(map(len, texts)) * _UTF8 <= self._max_request_tokens:
            return [range(len(texts))] if texts else []
        plan: list[range] = []
        start = tokens = 0
        for n, cost in enumerate(_core.Encoding("cl100k_base").count_batch(list(texts))):
            if n > start and (n - start == self._max_inputs or tokens + cost > self._max_request_tokens):
                plan.append(range(start, n))
                start, tokens = n, 0
            tokens += cost
        return [*plan, range(start, len(texts))]


def _in_order(answer: object, count: int) -> list[Any]:
    """The vectors of an answer in the order of the inputs, unchecked but each in its place.

    Raises:
        EmbeddingError: a position is missing, comes twice or was never asked for.
    """
    data = answer.get("data") if isinstance(answer, Mapping) else None
    if not isinstance(data, list):
        raise EmbeddingError("the service sent an answer without vectors", inputs=range(count))
    places: dict[int, Any] = {}
    doubled: list[int] = []
    for position, item in enumerate(data):
        block = item if isinstance(item, Mapping) else {}
        index = block.get("index", position)
        if not isinstance(index, int) or not 0 <= index < count:
            raise EmbeddingError(
                f"the service sent a vector for input {index!r} of {count}", inputs=range(count)
            )
        if index in places:
            doubled.append(index)
        places[index] = _decoded(block.get("embedding"))
    missing = [index for index in range(count) if index not in places]
    if missing or doubled:
        twice = f" and {len(doubled)} twice" if doubled else ""
        raise EmbeddingError(
            f"the service sent vectors for {len(places)} of {count} texts{twice}", inputs=[*missing, *doubled]
        )
    return [places[index] for index in range(count)]


def _decoded(value: object) -> Any:
    """A vector from base64 of little-endian float32; a service that ignores the format sends a list."""
    if not isinstance(value, str):
        return value
    vector = array("f")
    try:
        vector.frombytes(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        return None
    if sys.byteorder == "big":
        vector.byteswap()
    return vector
