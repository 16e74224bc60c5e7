"""A misspelled option is an error, never something that is passed on to a model and does nothing."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from ai_infra import LLM, Agent
from ai_infra.errors import ConfigurationError
from ai_infra.llm.session import SessionStore, _Options, memory, sqlite
from ai_infra.testing.openai_server import OpenAIServer, Reply

from tests.agent.conftest import Ask

REAL = """
    temperature top_p top_k min_p n seed stop max_tokens max_completion_tokens logprobs top_logprobs presence_penalty
    frequency_penalty repetition_penalty response_format tool_choice parallel_tool_calls user metadata store service_tier
    reasoning_effort reasoning logit_bias modalities audio prediction verbosity web_search_options prompt_cache_key
    safety_identifier functions function_call num_ctx keep_alive options format think thinking safe_prompt random_seed
    prompt_mode models route transforms plugins trace include_reasoning search_mode documents guided_json best_of
    chat_template priority mirostat cache_prompt mcp_servers truncation include text
    safety_settings speculation tool_resources timeout_ms request_id cache_control mode
"""


def unsafe() -> str:
    """Do what cannot be undone."""
    raise AssertionError("it was called")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("pause_befor", "pause_before"),
        ("max_step", "max_steps"),
        ("midleware", "middleware"),
        ("tool", "tools"),
    ],
)
def test_of_an_agent(llm: LLM, name: str, meant: str) -> None:
    options: dict[str, Any] = {name: [unsafe]}
    with pytest.raises(ConfigurationError, match=f"{name} is no parameter here: did you mean {meant}"):
        Agent(llm=llm, tools=[unsafe], session=memory(), **options)


@pytest.mark.parametrize("name", ["sesion_id", "sessionId", "session_ids"])
def test_of_a_run(server: OpenAIServer, llm: LLM, ask: Ask, name: str) -> None:
    with pytest.raises(ConfigurationError, match="did you mean session_id"):
        ask(Agent(llm=llm, session=memory()), "Hi", **{name: "abc"})
    assert server.chats == []


@pytest.mark.parametrize("options", [{"approve": False}, {"aproved": False}, {"modified_arg": {}}])
def test_of_a_decision(server: OpenAIServer, llm: LLM, options: dict[str, Any]) -> None:
    server.reply(Reply.tools(("unsafe", {})))
    agent = Agent(llm=llm, tools=[unsafe], session=memory(), pause_before=[unsafe])
    assert agent.run("Do it", session_id="s").paused
    with pytest.raises(ConfigurationError, match="did you mean"):
        agent.resume("s", **options)
    with pytest.raises(ConfigurationError, match="resume"):
        agent.run("Do it", session_id="t", approved=False)


@pytest.mark.parametrize("name", ["time_out", "dead_line", "baseurl", "apikey", "max_retry", "modell"])
def test_of_a_client(server: OpenAIServer, llm: LLM, name: str) -> None:
    options: dict[str, Any] = {name: "x"}
    with pytest.raises(ConfigurationError, match=f"{name} is no parameter here"):
        LLM(**options)
    with pytest.raises(ConfigurationError, match=f"{name} is no parameter here"):
        llm.chat("Hi", **options)
    assert server.chats == []


def test_what_belongs_to_the_client_is_not_sent(
    server: OpenAIServer, llm: LLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match=r"it goes to LLM\(timeout=...\)"):
        llm.chat("Hi", timeout=5)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with pytest.raises(ConfigurationError, match=r"it goes to LLM\(api_key=...\)") as caught:
        Agent(api_key="sk-secret")
    assert "sk-secret" not in str(caught.value)
    assert server.chats == []


def test_what_models_take_is_passed_on(server: OpenAIServer, llm: LLM) -> None:
    params: dict[str, Any] = dict.fromkeys(REAL.split(), 1)
    Agent(llm=llm, **params).run("Hi", **params)
    with LLM(base_url=server.base_url, api_key="k", model="m", **params) as other:
        other.chat("Hi", **params)
    for request in server.chats:
        assert params.items() <= request.body.items()


def test_of_a_session_store(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match="max_token is no option of a session store: did you mean max_tokens"
    ):
        memory(max_token=5)  # type: ignore[call-arg]  # the mistake
    with pytest.raises(ConfigurationError, match="the options are clock, keep"):
        sqlite(tmp_path / "s.db", colour="red")  # type: ignore[call-arg]  # the mistake
    assert not (tmp_path / "s.db").exists()
    assert list(_Options.__annotations__) == list(inspect.signature(SessionStore).parameters)[1:]
