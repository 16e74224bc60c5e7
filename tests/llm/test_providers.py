"""Which service is meant, and that keys stay inside."""

from __future__ import annotations

import pytest
from ai_infra._service.providers import PROVIDERS, resolve
from ai_infra.embeddings.service import OpenAIEmbeddings
from ai_infra.errors import AuthenticationError, ConfigurationError
from ai_infra.llm import LLM


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    for provider in PROVIDERS.values():
        for name in provider.key_env:
            monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_row_of_the_table_resolves(name: str) -> None:
    endpoint = resolve(name, None, "k")
    assert endpoint.base_url.startswith(("https://", "http://localhost:"))
    assert endpoint.provider.name == name
    assert resolve(name.upper(), None, "k") == endpoint


@pytest.mark.parametrize("name", [name for name, provider in PROVIDERS.items() if provider.key_env])
def test_the_environment_decides(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROVIDERS[name].key_env[-1], "from-env")
    endpoint = resolve(None, None, None)
    assert (endpoint.provider.name, endpoint.require_key()) == (name, "from-env")


def test_openai_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "g")
    monkeypatch.setenv("OPENAI_API_KEY", "o")
    assert resolve(None, None, None).provider.name == "openai"
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:9/v1/")
    endpoint = resolve(None, None, None)
    assert (endpoint.base_url, endpoint.require_key()) == ("http://localhost:9/v1", "none")


def test_a_known_address_takes_its_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "g")
    monkeypatch.setenv("OPENAI_API_KEY", "o")
    assert resolve(None, "https://api.groq.com/openai/v1", None).require_key() == "g"
    assert resolve(None, "https://llm.example.com/v1", None).require_key() == "o"


def test_a_named_provider_never_gets_another_ones_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "o")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:9/v1")
    endpoint = resolve("groq", None, None)
    assert endpoint.base_url == "https://api.groq.com/openai/v1"
    with pytest.raises(AuthenticationError, match="GROQ_API_KEY"):
        endpoint.require_key()


def test_a_local_server_needs_no_key() -> None:
    for url in ("http://localhost:8000/v1", "http://127.0.0.1:1/v1", "http://[::1]:1/v1"):
        assert resolve(None, url, None).require_key() == "none"
    assert resolve("ollama", None, None).require_key() == "none"
    with pytest.raises(AuthenticationError):
        resolve(None, "http://127evil.example.com/v1", None).require_key()


def test_repr_shows_where_and_never_the_key() -> None:
    llm = LLM("openai", api_key="sk-secret")
    assert repr(llm) == "LLM(provider='openai', model='gpt-4o-mini', base_url='https://api.openai.com/v1')"
    assert "sk-secret" not in repr(resolve("openai", None, "sk-secret"))
    assert "sk-secret" not in repr(vars(llm._service))


def test_the_line_end_of_a_key_file_is_cut() -> None:
    assert resolve("openai", None, " sk-1\n").require_key() == "sk-1"


@pytest.mark.parametrize(
    "end", ["?", "?api_key=SECRET-0123456789", "#SECRET-0123456789", "/?a=SECRET-0123456789"]
)
def test_an_address_ends_with_its_path(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    url = f"http://example.com/v1{end}"
    said = []
    for make in (
        lambda: LLM(base_url=url, model="m"),
        lambda: LLM("groq", base_url=url),
        lambda: OpenAIEmbeddings("m", base_url=url),
    ):
        with pytest.raises(ConfigurationError, match=r"example\.com holds a query or a fragment") as refused:
            make()
        said.append(str(refused.value))
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(ConfigurationError, match="holds a query") as refused:
        LLM()
    assert "SECRET" not in "".join([*said, str(refused.value)])
