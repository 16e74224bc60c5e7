"""What models, tools and services may get wrong without any exception that is not ours."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from ai_infra import LLM, Agent, count_tokens, fit_context
from ai_infra.errors import (
    AIInfraError,
    ConfigurationError,
    InvalidInputError,
    InvalidMessageError,
    InvalidValueError,
)
from ai_infra.llm.agent import Middleware, ModelReply, ModelRequest, ToolResult
from ai_infra.llm.session import SessionStore, memory
from ai_infra.testing.openai_server import OpenAIServer, Reply

from tests.agent.conftest import Ask, assert_valid


def weather(city: str) -> str:
    """Look up the weather."""
    return f"{city}: rain"


class Speaks:
    """A model of the caller's own, which calls ``weather`` once."""

    def __init__(self, arguments: Any, *, whole: bool = False) -> None:
        self.arguments, self.whole = arguments, whole
        self.told: list[Any] = []

    def chat(self, messages: Any, tools: Any = None) -> Any:
        self.told = [dict(message) for message in messages]
        if any(message["role"] == "tool" for message in messages):
            return "done"
        call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": self.arguments}}
        if self.whole:
            return ModelReply("", [call])
        return {"role": "assistant", "content": None, "tool_calls": [call]}


@pytest.mark.parametrize("deep", ["[" * 5_000, '{"a":' * 1_500])
def test_arguments_nested_without_end_are_told_to_the_model(
    sessions: SessionStore, ask: Ask, deep: str
) -> None:
    model = Speaks(deep)
    assert ask(Agent(llm=model, tools=[weather], session=sessions), "Hi", session_id="s") == "done"
    assert "nested too deep" in model.told[-1]["content"]
    assert_valid(sessions.messages("s"))


def test_such_a_call_may_wait_for_a_person(sessions: SessionStore) -> None:
    agent = Agent(llm=Speaks("[" * 5_000), tools=[weather], session=sessions, pause_before=[weather])
    action = agent.run("Hi", session_id="s").pending_action
    assert action is not None
    assert action.arguments == {}
    assert agent.resume("s") == "done"


@pytest.mark.parametrize("whole", [False, True])
def test_arguments_may_come_as_an_object(sessions: SessionStore, ask: Ask, whole: bool) -> None:
    model = Speaks({"city": "Tromsø"}, whole=whole)
    ask(Agent(llm=model, tools=[weather], session=sessions), "Hi", session_id="s")
    assert model.told[-1]["content"] == "Tromsø: rain"
    call = sessions.messages("s")[1]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == {"city": "Tromsø"}


def test_middleware_may_give_them_so_too() -> None:
    class Calls(Middleware):
        def after_model(self, request: ModelRequest, reply: ModelReply) -> ModelReply | None:
            if request.step > 1:
                return None
            return ModelReply(
                "", [{"id": "c", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]
            )

    agent = Agent(llm=Speaks("{}"), tools=[weather], session=memory(), middleware=[Calls()])
    assert agent.run("Hi", session_id="s").messages[2]["content"] == "Oslo: rain"


@pytest.mark.parametrize("call", [5, {"function": 5}, {"id": "\ud800", "function": {"name": "\ud800"}}])
def test_a_call_that_is_none_is_told_to_the_model(sessions: SessionStore, call: Any) -> None:
    model = Speaks("{}", whole=True)
    answers = iter([{"role": "assistant", "tool_calls": [call]}, "done"])
    model.chat = lambda messages, tools=None: next(answers)  # type: ignore[method-assign]  # another answer
    assert Agent(llm=model, tools=[weather], session=sessions).run("Hi", session_id="s") == "done"
    assert "there is no tool" in sessions.messages("s")[2]["content"]


def test_calls_that_are_no_list_are_an_error_of_ours(sessions: SessionStore) -> None:
    model = Speaks("{}")
    model.chat = lambda messages, tools=None: {"role": "assistant", "tool_calls": 5}  # type: ignore[method-assign]
    with pytest.raises(AIInfraError, match="a list of calls, not 5"):
        Agent(llm=model, tools=[weather], session=sessions).run("Hi", session_id="s")


def test_an_error_that_cannot_be_told_is_named(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    def fail() -> str:
        """Fail."""
        raise Mute

    server.reply(Reply.tools(("fail", {})), "done")
    assert ask(Agent(llm=llm, tools=[fail]), "Hi") == "done"
    assert server.chats[-1].messages[-1]["content"] == "Error: Mute"


def test_tools_that_no_schema_can_be_made_of_are_refused() -> None:
    def later(thing: Absent) -> str:  # type: ignore[name-defined]  # noqa: F821 - the mistake
        """Look."""
        return ""

    for tool, words in ((later, "later"), (int, "int")):
        with pytest.raises(ConfigurationError, match=words):
            Agent(llm=Speaks("{}"), tools=[tool])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("-inf")]])
def test_numbers_that_json_has_not_are_not_sent(server: OpenAIServer, llm: LLM, value: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"temperature.*no number"):
        llm.chat("Hi", temperature=value)
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    with pytest.raises(InvalidValueError, match="contains itself"):
        llm.chat("Hi", stop=cyclic)
    assert server.chats == []


def test_calls_of_a_message_are_a_list() -> None:
    chat = [{"role": "assistant", "content": None, "tool_calls": 5}, {"role": "user", "content": "x"}]
    for wrong in (
        lambda: count_tokens(chat),
        lambda: fit_context(chat, max_tokens=100),
        lambda: memory().append("s", chat),
    ):
        with pytest.raises(InvalidMessageError, match="a list of calls, not 5"):
            wrong()


@pytest.mark.parametrize(
    "options",
    [
        {"pinned": 5},
        {"tools": 5},
        {"tools": "abc"},
        {"tools": {"type": "function"}},
        {"tools": [{"function": 5}]},
    ],
)
def test_options_of_fitting_are_lists(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        fit_context([{"role": "user", "content": "x"}], max_tokens=100, **options)
    if "tools" in options:
        with pytest.raises(InvalidInputError):
            count_tokens("x", **options)


CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "rain"}
USER = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("messages", "where"),
    [
        ([CALL], r"messages\[0\] is a tool call"),
        ([USER, CALL, USER], r"messages\[1\] is a tool call"),
        ([RESULT], r"messages\[0\] is a tool's result"),
        ([USER, RESULT, CALL], r"messages\[1\] is a tool's result"),
        ([CALL, RESULT, RESULT, USER], r"messages\[2\] is a tool's result"),
    ],
)
def test_half_a_call_is_not_stored(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask, messages: list[Any], where: str
) -> None:
    with pytest.raises(InvalidMessageError, match=where):
        sessions.append("s", messages)
    with pytest.raises(InvalidMessageError, match=where):
        ask(Agent(llm=llm, session=sessions), messages, session_id="s")
    assert sessions.get("s") is None
    assert server.chats == []


def test_whole_calls_are_stored(llm: LLM, sessions: SessionStore, ask: Ask) -> None:
    sessions.append("s", [USER, CALL, RESULT])
    ask(Agent(llm=llm, session=sessions), [CALL, RESULT, USER], session_id="s")
    assert len(sessions.messages("s")) == 7


@pytest.mark.parametrize(
    "message",
    [
        {"role": 5, "content": "x"},
        {"role": {"a": 1}, "content": "x"},
        {"role": "user", "content": 5},
        {"role": "user", "content": [5]},
        {"role": "user", "content": [{"type": []}]},
        {"role": "user", "content": [{"type": "document", "source": {}}]},
        {"type": "web_search_call", "id": "x"},
    ],
)
def test_what_no_turn_could_send_is_not_appended(sessions: SessionStore, message: Any) -> None:
    with pytest.raises(InvalidMessageError, match=r"messages\[1\]: "):
        sessions.append("s", [USER, message])
    with pytest.raises(InvalidMessageError, match=r"messages\[1\]: "):
        asyncio.run(sessions.aappend("s", [USER, message]))
    assert sessions.get("s") is None


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "narrator", "content": "x"}],
        [{"role": "user", "content": ["Hi", {"type": "text", "text": "there"}]}],
        [{"role": "assistant", "content": None}],
        [{"type": "reasoning", "summary": []}],
        [
            {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "rain"},
        ],
        [
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "c", "name": "weather", "input": {}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "rain"}]},
        ],
    ],
)
def test_what_can_be_sent_is_appended(llm: LLM, sessions: SessionStore, ask: Ask, messages: Any) -> None:
    sessions.append("s", messages)
    assert ask(Agent(llm=llm, session=sessions), "Hi", session_id="s").steps == 1


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (None, "around_tool of Around returned NoneType"),
        (ToolResult(None), "around_tool of Around returned a ToolResult of NoneType"),  # type: ignore[arg-type]
        (ToolResult({"a": 1}), "a ToolResult of dict; it returns a ToolResult of text"),  # type: ignore[arg-type]
    ],
)
def test_around_tool_returns_text(server: OpenAIServer, llm: LLM, ask: Ask, returned: Any, told: str) -> None:
    class Around(Middleware):
        def around_tool(self, call: Any, run: Any) -> Any:
            return returned

    server.reply(Reply.tools(("weather", {"city": "Oslo"})), "done")
    with pytest.raises(ConfigurationError, match=told):
        ask(Agent(llm=llm, tools=[weather], middleware=[Around()]), "Oslo?")


def test_half_a_character_from_around_a_tool_is_replaced(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    class Around(Middleware):
        def around_tool(self, call: Any, run: Any) -> ToolResult:
            return ToolResult("a\ud800", failed=True)

    server.reply(Reply.tools(("weather", {"city": "Oslo"})), "done")
    assert (
        ask(Agent(llm=llm, tools=[weather], middleware=[Around()]), "Oslo?").messages[2].content == "a\ufffd"
    )


def test_a_request_returned_before_the_model_is_refused(llm: LLM, ask: Ask) -> None:
    class Another(Middleware):
        def before_model(self, request: ModelRequest) -> Any:
            return ModelRequest([], [], {}, "", 1)

    class Same(Middleware):
        def before_model(self, request: ModelRequest) -> Any:
            return request

    assert ask(Agent(llm=llm, middleware=[Same()]), "Hi").steps == 1
    with pytest.raises(ConfigurationError, match="before_model of Another returned ModelRequest; it changes"):
        ask(Agent(llm=llm, middleware=[Another()]), "Hi")


def test_a_reply_of_middleware_with_none_in_it_is_refused(llm: LLM, ask: Ask) -> None:
    class After(Middleware):
        def after_model(self, request: ModelRequest, reply: ModelReply) -> ModelReply:
            return ModelReply(None, None)  # type: ignore[arg-type]

    with pytest.raises(ConfigurationError, match="text of a ModelReply is NoneType"):
        ask(Agent(llm=llm, middleware=[After()]), "Hi")


def test_a_call_in_langchains_shape_keeps_its_name(llm: LLM, ask: Ask) -> None:
    class After(Middleware):
        def after_model(self, request: ModelRequest, reply: ModelReply) -> ModelReply | None:
            call = {"id": "c", "name": "weather", "args": {"city": "Oslo"}, "type": "tool_call"}
            return ModelReply("", [call]) if request.step == 1 else None

    result = ask(Agent(llm=llm, tools=[weather], middleware=[After()]), "Oslo?")
    assert result.messages[2].content == "Oslo: rain"


SIGNATURE = {"extra_content": {"google": {"thought_signature": "c2ln"}}}


def test_what_a_service_put_beside_a_call_comes_back_with_it(
    server: OpenAIServer, llm: LLM, sessions: SessionStore, ask: Ask
) -> None:
    function = {"name": "weather", "arguments": '{"city": "Oslo"}', "provider_specific_fields": {"a": 1}}
    call = {"id": "c", "type": "function", "function": function, "index": 0, **SIGNATURE}
    choice = {"delta" if "stream" in ask.__name__ else "message": {"role": "assistant", "tool_calls": [call]}}
    answer = {"choices": [{**choice, "finish_reason": "tool_calls"}]}
    if "stream" in ask.__name__:
        body = f"data: {json.dumps(answer)}\n\ndata: [DONE]\n\n".encode()
        server.reply(Reply(body=body, headers={"content-type": "text/event-stream"}))
    else:
        server.reply(Reply.raw(answer))
    server.reply("rain", "still")
    agent = Agent(llm=llm, tools=[weather], session=sessions)
    assert ask(agent, "Hi", session_id="s") == "rain"
    assert ask(agent, "And now?", session_id="s") == "still"
    for request in server.requests[-2:]:
        [sent] = request.messages[1]["tool_calls"]
        assert sent == {"id": "c", "type": "function", "function": function, **SIGNATURE}


def test_what_no_session_can_keep_beside_a_call_is_left_out(sessions: SessionStore) -> None:
    class Odd(Speaks):
        def chat(self, messages: Any, tools: Any = None) -> Any:
            answer = super().chat(messages, tools)
            for call in () if answer == "done" else answer["tool_calls"]:
                call.update(raw=object(), score=float("nan"), half="\ud800", none=None)
            return answer

    agent = Agent(llm=Odd('{"city": "Oslo"}'), tools=[weather], session=sessions)
    assert agent.run("Hi", session_id="s") == "done"
    [call] = sessions.messages("s")[1]["tool_calls"]
    assert set(call) == {"id", "type", "function", "half"}
    assert call["half"] == "\ufffd"
