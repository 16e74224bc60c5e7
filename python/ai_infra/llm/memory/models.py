"""What is known of each model: its window, its tokenizer, and how sure a count can be.

The table goes by the longest matching prefix of the model's name. A provider's prefix
(``openai/gpt-4o``), a fine-tune's wrapping (``ft:gpt-4o-mini:acme::id``) and upper case do not matter.
Windows are the providers' published figures, in tokens, input and output together.
"""

from __future__ import annotations

import threading
import warnings
from functools import lru_cache
from typing import Literal, NamedTuple

from ai_infra._checks import users_line
from ai_infra.errors import ConfigurationError

__all__ = ["ModelInfo", "UnknownModelWarning", "get_context_limit", "model_info", "register_model"]

Encoding = Literal["o200k_base", "cl100k_base", "p50k_base", "r50k_base", "o200k_harmony"]
ENCODINGS: tuple[str, ...] = ("o200k_base", "cl100k_base", "p50k_base", "r50k_base", "o200k_harmony")


class UnknownModelWarning(UserWarning):
    """A model that is in no table; the message says what was assumed of it."""


class ModelInfo(NamedTuple):
    """What is known of a model.

    Attributes:
        name: the name, or the prefix of names, that this entry is for.
        context: its window in tokens.
        encoding: its tokenizer, or None where it has not been published; then counts are estimated.
        exact: whether the rule by which chat messages are wrapped has been published as well. Where it
            has not, text is counted exactly and the few tokens around each message are estimated.
    """

    name: str
    context: int
    encoding: str | None = None
    exact: bool = False


UNKNOWN_CONTEXT = 8_192
"""The window assumed of an unknown model: small, so that a prompt made for it breaks nowhere."""

# prefix: (window, encoding, is the chat rule published)
_TABLE: dict[str, tuple[int, str | None, bool]] = {
    # OpenAI
    "gpt-5": (400_000, "o200k_base", False),
    "gpt-5-chat": (128_000, "o200k_base", False),
    "gpt-4.1": (1_047_576, "o200k_base", True),
    "gpt-4.5": (128_000, "o200k_base", True),
    "gpt-4o": (128_000, "o200k_base", True),
    "chatgpt-4o": (128_000, "o200k_base", True),
    "gpt-4-turbo": (128_000, "cl100k_base", True),
    "gpt-4-1106": (128_000, "cl100k_base", True),
    "gpt-4-0125": (128_000, "cl100k_base", True),
    "gpt-4-vision": (128_000, "cl100k_base", True),
    "gpt-4-32k": (32_768, "cl100k_base", True),
    "gpt-4": (8_192, "cl100k_base", True),
    "gpt-3.5-turbo-instruct": (4_096, "cl100k_base", True),
    "gpt-3.5": (16_385, "cl100k_base", True),
    "gpt-35": (16_385, "cl100k_base", True),  # Azure's spelling
    "gpt-oss": (131_072, "o200k_harmony", False),
    "o1-mini": (128_000, "o200k_base", False),
    "o1-preview": (128_000, "o200k_base", False),
    "o1": (200_000, "o200k_base", False),
    "o3": (200_000, "o200k_base", False),
    "o4-mini": (200_000, "o200k_base", False),
    "text-embedding-3": (8_192, "cl100k_base", True),
    "text-embedding-ada-002": (8_192, "cl100k_base", True),
    "davinci-002": (16_384, "cl100k_base", True),
    "babbage-002": (16_384, "cl100k_base", True),
    "text-davinci-003": (4_097, "p50k_base", True),
    "text-davinci-002": (4_097, "p50k_base", True),
    "code-davinci": (8_001, "p50k_base", True),
    "davinci": (2_049, "r50k_base", True),
    "curie": (2_049, "r50k_base", True),
    "babbage": (2_049, "r50k_base", True),
    "ada": (2_049, "r50k_base", True),
    # Tokenizers that are not public, or not shipped here
    "claude": (200_000, None, False),
    "gemini-1.5-pro": (2_097_152, None, False),
    "gemini": (1_048_576, None, False),
    "gemma-3": (131_072, None, False),
    "gemma": (8_192, None, False),
    "llama-4": (1_048_576, None, False),
    "llama-3.1": (131_072, None, False),
    "llama-3.2": (131_072, None, False),
    "llama-3.3": (131_072, None, False),
    "llama3.1": (131_072, None, False),
    "llama3.2": (131_072, None, False),
    "llama3.3": (131_072, None, False),
    "llama-3": (8_192, None, False),
    "llama3": (8_192, None, False),
    "meta-llama-3.1": (131_072, None, False),
    "meta-llama-3": (8_192, None, False),
    "mistral": (32_768, None, False),
    "mistral-large": (131_072, None, False),
    "mistral-medium": (131_072, None, False),
    "mistral-small": (32_768, None, False),
    "mistral-nemo": (131_072, None, False),
    "ministral": (131_072, None, False),
    "open-mistral-nemo": (131_072, None, False),
    "mixtral": (32_768, None, False),
    "codestral": (32_768, None, False),
    "deepseek": (65_536, None, False),
    "deepseek-flash": (1_000_000, None, False),
    "deepseek-v4": (1_000_000, None, False),
    "qwen3": (32_768, None, False),
    "qwen2.5": (32_768, None, False),
    "qwen": (32_768, None, False),
    "grok-4": (256_000, None, False),
    "grok": (131_072, None, False),
    "command-a": (256_000, None, False),
    "command-r": (128_000, None, False),
    "phi-4": (16_384, None, False),
    "phi-3": (4_096, None, False),
    "kimi-k2": (131_072, None, False),
    "glm-4": (131_072, None, False),
}

_models = {name: ModelInfo(name, *facts) for name, facts in _TABLE.items()}
_warned: set[str] = set()
_lock = threading.Lock()


def register_model(
    name: str, *, context: int, encoding: str | None = None, exact: bool | None = None
) -> None:
    """Adds a model, or replaces what is known of one.

    Args:
        name: the model's name, or the prefix that a family of names begins with.
        context: its window in tokens.
        encoding: one of ``o200k_base``, ``cl100k_base``, ``p50k_base``, ``r50k_base``, ``o200k_harmony``;
            None when its tokenizer is another one, and counts are to be estimated.
        exact: whether OpenAI's published chat rule holds for it. Default: when there is an encoding.

    Raises:
        ConfigurationError: an empty name, a window below 1, or an unknown encoding.

    Example:
        >>> from ai_infra.llm.memory import get_context_limit, register_model
        >>> register_model("my-model", context=16_384, encoding="cl100k_base")
        >>> get_context_limit("my-model-v2")
        16384
    """
    key = _normalize(name) if isinstance(name, str) else ""
    if not key:
        raise ConfigurationError(f"a model's name is a non-empty string, not {name!r}.")
    if isinstance(context, bool) or not isinstance(context, int) or context < 1:
        raise ConfigurationError(
            f"context is the window of {name!r} in tokens, a whole number from 1, not {context!r}."
        )
    if encoding is not None and encoding not in ENCODINGS:
        raise ConfigurationError(
            f"unknown encoding {encoding!r}: it is one of {', '.join(ENCODINGS)}, or None."
        )
    with _lock:
        _models[key] = ModelInfo(key, context, encoding, encoding is not None if exact is None else exact)
        _lookup.cache_clear()


def model_info(model: str) -> ModelInfo:
    """What is known of ``model``. An unknown one warns once and is assumed to be small and OpenAI-like.

    Raises:
        ConfigurationError: the name is not a string, or empty.
    """
    if not isinstance(model, str) or not model.strip():
        raise ConfigurationError(f"model is a name such as 'gpt-4o', not {model!r}.")
    info = _lookup(model)
    if info is not None:
        return info
    with _lock:
        new = model not in _warned
        _warned.add(model)
    if new:
        warnings.warn(
            f"unknown model {model!r}: assuming a window of {UNKNOWN_CONTEXT:,} tokens and estimating counts. "
            f"Say what it is with register_model({model!r}, context=..., encoding=...).",
            UnknownModelWarning,
            stacklevel=users_line(),
        )
    return ModelInfo(model, UNKNOWN_CONTEXT)


def known_model(model: str) -> ModelInfo | None:
    """What is known of ``model``; None, without a warning, when it is in no table."""
    return _lookup(model)


def get_context_limit(model: str) -> int:
    """The window of ``model`` in tokens, input and output together.

    An unknown model warns once (:class:`UnknownModelWarning`) and gets 8,192.

    Example:
        >>> from ai_infra.llm.memory import get_context_limit
        >>> get_context_limit("gpt-4o-mini")
        128000
    """
    return model_info(model).context


@lru_cache(maxsize=1024)
def _lookup(model: str) -> ModelInfo | None:
    name = _normalize(model)
    while name:
        for end in range(len(name), 0, -1):
            info = _models.get(name[:end])
            if info is not None and _at_boundary(name, end):
                return info
        # `provider/model`, `region.provider.model`: what stands before may be anybody's name.
        _, _, name = name.partition("/") if "/" in name else name.partition(".")
    return None


def _at_boundary(name: str, end: int) -> bool:
    """Whether the prefix ends where a word ends: ``o1`` is not in ``o1x``, ``ada`` not in ``adam``."""
    return end == len(name) or not (name[end - 1].isalnum() and name[end].isalpha())


def _normalize(model: str) -> str:
    return model.strip().lower().removeprefix("ft:")
