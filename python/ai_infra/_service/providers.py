"""Which services there are, and which one is meant.

The table holds what does not change from month to month: the address, the variable that holds the key, and a
model name only where the provider keeps an alias that moves with its line. Elsewhere the model is yours to
name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from ai_infra.errors import AuthenticationError, ConfigurationError


@dataclass(frozen=True)
class Provider:
    """One service that speaks the OpenAI protocol.

    Attributes:
        base_url: where it is.
        key_env: the variables that may hold the key, in order; empty for a local server that needs none.
        model: the default chat model, when the provider keeps a stable name.
        embedding_model: the same for embeddings.
        stream_usage: whether a stream may be asked for its usage (``stream_options``).
        reasoning: whether a message may carry what the model thought (:mod:`ai_infra.llm.reasoning`).
    """

    name: str
    base_url: str
    key_env: tuple[str, ...] = ()
    model: str | None = None
    embedding_model: str | None = None
    stream_usage: bool = True
    reasoning: bool = True


PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        Provider(
            "openai",
            "https://api.openai.com/v1",
            ("OPENAI_API_KEY",),
            "gpt-4o-mini",
            "text-embedding-3-small",
            reasoning=False,
        ),
        Provider("anthropic", "https://api.anthropic.com/v1", ("ANTHROPIC_API_KEY",), reasoning=False),
        Provider(
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta/openai",
            ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
            reasoning=False,
        ),
        Provider("openrouter", "https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",), "openrouter/auto"),
        Provider(
            "mistral",
            "https://api.mistral.ai/v1",
            ("MISTRAL_API_KEY",),
            "mistral-small-latest",
            "mistral-embed",
            stream_usage=False,  # sent without asking, and unknown fields are refused there
            reasoning=False,
        ),
        Provider("groq", "https://api.groq.com/openai/v1", ("GROQ_API_KEY",), reasoning=False),
        Provider("deepseek", "https://api.deepseek.com", ("DEEPSEEK_API_KEY",), "deepseek-flash"),
        Provider("together", "https://api.together.xyz/v1", ("TOGETHER_API_KEY",)),
        Provider("fireworks", "https://api.fireworks.ai/inference/v1", ("FIREWORKS_API_KEY",)),
        Provider("xai", "https://api.x.ai/v1", ("XAI_API_KEY",)),
        Provider("ollama", "http://localhost:11434/v1"),
        Provider("lmstudio", "http://localhost:1234/v1"),
        Provider("vllm", "http://localhost:8000/v1"),
    )
}

_LOOPBACK = ("localhost", "127.", "[::1]", "::1", "0.0.0.0", "host.docker.internal")


@dataclass(frozen=True)
class Endpoint:
    """Where to call and with what. The key is in no ``repr``, and the address holds no secret."""

    provider: Provider
    base_url: str
    api_key: str | None = field(default=None, repr=False)

    def require_key(self) -> str:
        """The key to send; a local server gets a placeholder.

        Raises:
            AuthenticationError: there is no key, and the service is not on this machine.
        """
        if self.api_key is not None:
            return self.api_key
        host = urlsplit(self.base_url).hostname or ""
        if not self.provider.key_env or host.startswith(_LOOPBACK):
            return "none"
        raise AuthenticationError(
            f"no API key for {self.provider.name} ({self.base_url}): set {self.provider.key_env[0]}, "
            "pass api_key=…, or name another provider with provider=…"
        )


def resolve(provider: str | None, base_url: str | None, api_key: str | None) -> Endpoint:
    """Find the endpoint that is meant.

    A named provider wins. A bare ``base_url`` is looked up in the table by its host, and is otherwise taken
    for a service that uses OpenAI's key and model names. With neither, the environment decides:
    ``OPENAI_API_KEY`` or ``OPENAI_BASE_URL`` first, then the first provider of the table whose key is set.

    Raises:
        ConfigurationError: an unknown provider, or an address that is none.
    """
    if provider is not None:
        found = PROVIDERS.get(provider.lower())
        if found is None:
            known = ", ".join(PROVIDERS)
            raise ConfigurationError(
                f"unknown provider {provider!r}: use one of {known}, or pass base_url=… for any other service"
            )
    elif base_url is not None:
        found = _by_host(base_url)
    else:
        found = _from_environment()
    configured = os.environ.get("OPENAI_BASE_URL") if found.name == "openai" else None
    address = base_url or configured or found.base_url
    return Endpoint(found, _checked_address(address), _checked_key(api_key or _key(found)))


def _checked_address(address: str) -> str:
    try:
        parts = urlsplit(address)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        # An address may carry a password, so it is not shown.
        raise ConfigurationError("base_url is no http:// or https:// address with a host; most end in /v1")
    if parts.username or parts.password:
        raise ConfigurationError(
            f"base_url for {parts.hostname} holds a user or password: use api_key=… instead"
        )
    if "?" in address or "#" in address:
        raise ConfigurationError(
            f"base_url for {parts.hostname} holds a query or a fragment, and the path of a call would come behind it: "
            "end it before the ? or #, and pass a key as api_key=…"
        )
    return address.rstrip("/")


def _checked_key(key: str | None) -> str | None:
    """``key`` without the line end that files leave behind; what no header can carry is refused unseen."""
    key = (key or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigurationError("the API key holds characters that no key has: was it copied whole?")
    return key or None


def _by_host(base_url: str) -> Provider:
    _checked_address(base_url)
    host = urlsplit(base_url).netloc
    for candidate in PROVIDERS.values():
        if candidate.key_env and urlsplit(candidate.base_url).netloc == host:
            return candidate
    return replace(PROVIDERS["openai"], name="openai-compatible", base_url=base_url, reasoning=True)


def _from_environment() -> Provider:
    if os.environ.get("OPENAI_BASE_URL"):
        return PROVIDERS["openai"]
    for candidate in PROVIDERS.values():
        if _key(candidate):
            return candidate
    return PROVIDERS["openai"]


def _key(provider: Provider) -> str | None:
    return next((value for name in provider.key_env if (value := os.environ.get(name))), None)
