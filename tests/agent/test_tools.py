"""Tools: schemas, arguments, failures, and calls that run together, in both worlds."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal, get_type_hints

import pytest
from ai_infra import LLM, Agent
from ai_infra.errors import ConfigurationError, InvalidInputError, MaxStepsError
from ai_infra.llm.tools import Tool
from ai_infra.testing.openai_server import OpenAIServer, Reply

from tests.agent.conftest import Ask, assert_valid


def weather(city: str, unit: Literal["C", "F"] = "C", days: Annotated[int, "how many days"] = 1) -> str:
    """Look up the weather.

    It is made up.

    Args:
        city: the city's name,
            in English
        unit: of the temperature

    Returns:
        A sentence.
    """
    return f"{city}: 7 {unit}, {days} day(s)"


async def population(city: str) -> dict[str, Any]:
    """How many people live there."""
    await asyncio.sleep(0)
    return {"city": city, "people": 717_710}


def test_a_function_becomes_a_schema() -> None:
    assert Tool(weather).to_openai() == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Look up the weather.\n\nIt is made up.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "the city's name, in English"},
                    "unit": {
                        "type": "string",
                        "enum": ["C", "F"],
                        "default": "C",
                        "description": "of the temperature",
                    },
                    "days": {"type": "integer", "default": 1, "description": "how many days"},
                },
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }


def test_a_tool_is_still_its_function() -> None:
    tool = Tool(weather, name="forecast", description="Other words.")
    assert tool("Oslo", days=2) == "Oslo: 7 C, 2 day(s)"
    assert (tool.name, tool.__name__, tool.__doc__) == ("forecast", "forecast", "Other words.")
    assert inspect.signature(tool) == inspect.signature(weather)
    assert get_type_hints(tool) == get_type_hints(weather)
    assert Tool(population).is_async
    assert inspect.iscoroutinefunction(Tool(population))
    assert not inspect.iscoroutinefunction(tool)
    assert asyncio.run(Tool(population)("Oslo"))["people"] == 717_710


def test_names_that_pydantic_keeps_for_itself_are_arguments_like_others() -> None:
    def odd(schema: str, json: int, _id: list[int], model_config: bool = True, /, **rest: Any) -> Any:
        return schema, json, _id, model_config, rest

    tool = Tool(odd)
    assert set(tool.parameters["properties"]) == {"schema", "json", "_id", "model_config"}
    arguments = {"schema": "s", "json": "3", "_id": [1], "title": "t"}
    assert tool.run(json.dumps(arguments)) == ("s", 3, [1], True, {"title": "t"})


def test_arguments_are_converted_and_wrong_ones_named() -> None:
    tool = Tool(weather)
    assert tool.run('{"city": "Oslo", "days": "3"}') == "Oslo: 7 C, 3 day(s)"
    for arguments, match in (
        ('{"town": "Oslo"}', "city: Field required; town: Extra inputs"),
        ('{"city": "Oslo", "unit": "K"}', "unit: Input should be 'C' or 'F'"),
        ("[1]", "no JSON object"),
        ('{"city": ', "no JSON"),
    ):
        with pytest.raises(InvalidInputError, match=match):
            tool.run(arguments)


def test_what_cannot_be_a_tool_is_refused() -> None:
    def many(*cities: str) -> str:
        return ""

    def odd(connection: threading.Thread) -> str:
        return ""

    for bad in (3, "weather", lambda: 1, many, odd):
        with pytest.raises(ConfigurationError):
            Agent(tools=[bad])
    with pytest.raises(ConfigurationError, match="two tools"):
        Agent(tools=[weather, weather])


def test_the_model_is_told_what_tools_answer(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    def broken(text: str) -> str:
        """Fails."""
        raise KeyError(text)

    server.reply(
        Reply.tools(
            ("weather", {"city": "Oslo"}),
            ("population", {"city": "Oslo"}),
            ("weather", {"town": "Oslo"}),
            ("broken", {"text": "x"}),
            ("nonsense", {}),
        ),
        "Seven degrees.",
    )
    result = ask(Agent(tools=[weather, population, broken], llm=llm), "Oslo?")
    assert result == "Seven degrees."
    assert result.steps == 2
    told = [message["content"] for message in server.chats[1].messages if message["role"] == "tool"]
    assert told == [
        "Oslo: 7 C, 1 day(s)",
        '{"city": "Oslo", "people": 717710}',
        "Error: wrong arguments for weather: city: Field required; town: Extra inputs are not permitted",
        "Error: KeyError: 'x'",
        "Error: there is no tool 'nonsense'. The tools are: broken, population, weather.",
    ]
    assert_valid(server.chats[1].messages)
    assert [message.role for message in result.messages] == ["user", "assistant", *["tool"] * 5, "assistant"]
    assert result.usage.total == result.usage.prompt + result.usage.completion > 0


def test_calls_of_one_step_run_together(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    both = threading.Barrier(2, timeout=10)

    def first() -> str:
        """Waits for the other."""
        both.wait()
        return "1"

    async def second() -> str:
        """Waits for the other."""
        await asyncio.to_thread(both.wait)
        return "2"

    server.reply(Reply.tools(("first", {}), ("second", {})), "both")
    result = ask(Agent(tools=[first, second], llm=llm), "go")
    assert [message.content for message in result.messages[2:4]] == ["1", "2"]


def test_a_coroutine_that_is_no_coroutine_function(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    async def answer(text: str) -> str:
        return text.upper()

    def hidden(text: str) -> Any:
        """Returns something to wait for."""
        return answer(text)

    server.reply(Reply.tools(("hidden", {"text": "a"})), "done")
    assert ask(Agent(tools=[hidden], llm=llm), "go").messages[2].content == "A"


def test_the_model_that_never_stops_calling(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    server.responder = lambda request: Reply.tools(("weather", {"city": "Oslo"}))
    with pytest.raises(MaxStepsError, match="max_steps=3"):
        ask(Agent(tools=[weather], llm=llm, max_steps=3), "Oslo?")
    assert len(server.chats) == 3


def test_ids_that_a_server_leaves_out_or_repeats(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    def call(id_: str) -> dict[str, Any]:
        return {
            "id": id_,
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
        }

    server.reply(Reply(tool_calls=[call("x"), call("x"), call("")]), "done")
    ask(Agent(tools=[weather], llm=llm), "Oslo?")
    assert_valid(server.chats[1].messages)
    assert len([message for message in server.chats[1].messages if message["role"] == "tool"]) == 3


def test_half_a_character_from_a_tool_does_not_end_the_turn(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    def odd() -> str:
        """Half a smile."""
        return "a\ud83d b \ud83d\ude42"

    server.reply(Reply.tools(("odd", {})), "done")
    result = ask(Agent(tools=[odd], llm=llm), "go")
    assert result.messages[2].content == "a\ufffd b 🙂"


def test_langchain_tools_and_back(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    from langchain_core.tools import tool as langchain_tool

    @langchain_tool
    def double(number: int) -> int:
        """Twice the number."""
        return 2 * number

    server.reply(Reply.tools(("double", {"number": 21})), "done")
    assert ask(Agent(tools=[double], llm=llm), "go").messages[2].content == "42"
    there = Tool(weather).to_langchain()
    assert there.invoke({"city": "Oslo"}) == "Oslo: 7 C, 1 day(s)"
    assert asyncio.run(Tool(population).to_langchain().ainvoke({"city": "Oslo"}))["people"] == 717_710


def test_closures_share_a_schema_and_nothing_else() -> None:
    def make(user: str, most: int) -> Tool:
        def recall(query: str, limit: int = most) -> str:
            """Recall."""
            return f"{user}: {query} {limit}"

        return Tool(recall)

    ann, bob, cy = make("Ann", 1), make("Bob", 1), make("Cy", 2)
    assert ann.arguments is bob.arguments
    assert cy.arguments is not ann.arguments
    assert [tool.run({"query": "x"}) for tool in (ann, bob, cy)] == ["Ann: x 1", "Bob: x 1", "Cy: x 2"]
    one, true = make("one", 1), make("true", True)
    assert (
        one.parameters["properties"]["limit"]["default"]
        is not true.parameters["properties"]["limit"]["default"]
    )


def test_a_generator_answers_with_all_that_it_yields(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    def pages(number: int) -> Iterator[str]:
        """Read pages."""
        for page in range(number):
            yield f"page {page}"
        if number > 2:
            raise ValueError("there are two")

    server.reply(Reply.tools(("pages", {"number": 2}), ("pages", {"number": 3})), "done")
    ask(Agent(llm=llm, tools=[pages]), "Read")
    told = [message["content"] for message in server.chats[-1].messages[-2:]]
    assert told == ['["page 0", "page 1"]', "Error: ValueError: there are two"]


def test_all_that_an_iterator_yields_reaches_the_model(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    def mapped() -> Any:
        """An iterator that is no generator."""
        return map(str, [1, 2])

    async def yielded() -> Any:
        """An async generator."""
        yield "a"
        await asyncio.sleep(0)
        yield "b"

    async def later() -> Any:
        """Gives an iterator once it is awaited."""
        return iter([1, 2])

    def within() -> Any:
        """Holds an iterator."""
        return {"rows": zip("ab", [1, 2], strict=True)}

    tools = [mapped, yielded, later, within]
    server.reply(Reply.tools(*[(tool.__name__, {}) for tool in tools]), "done")
    told = [message.content for message in ask(Agent(tools=tools, llm=llm), "go").messages[2:6]]
    assert told == ['["1", "2"]', '["a", "b"]', "[1, 2]", '{"rows": [["a", 1], ["b", 2]]}']


def test_a_call_whose_result_json_cannot_hold_has_not_failed(
    server: OpenAIServer, llm: LLM, ask: Ask
) -> None:
    def by_place() -> Any:
        """Keys that are tuples."""
        return {(1, 2): 3}

    def circle() -> Any:
        """A list that holds itself."""
        found: list[Any] = []
        found.append(found)
        return found

    def unknown() -> Any:
        """Not a number."""
        return {"value": float("nan")}

    class Dumb:
        def __str__(self) -> str:
            raise OSError("no words")

        __repr__ = __str__

    def dumb() -> Any:
        """Nothing that could be written."""
        return Dumb()

    tools = [by_place, circle, unknown, dumb]
    server.reply(Reply.tools(*[(tool.__name__, {}) for tool in tools]), "done")
    told = [message.content for message in ask(Agent(tools=tools, llm=llm), "go").messages[2:6]]
    assert told == [
        "{(1, 2): 3}",
        "[[...]]",
        "{'value': nan}",
        "The call was made. What it returned, a Dumb, could not be written as text.",
    ]


def test_partials_and_objects_are_tools_with_hints_words_and_names() -> None:
    class Search:
        def __call__(self, query: str, most: int = 3) -> str:
            """Search the web.

            Args:
                query: what for
            """
            return f"{query} {most}"

    soon = Tool(partial(partial(weather, "Oslo"), days=3))
    assert (soon.name, soon.description) == ("weather", Tool(weather).description)
    assert soon.parameters["properties"]["days"] == {
        "type": "integer",
        "default": 3,
        "description": "how many days",
    }
    assert "city" not in soon.parameters["properties"]
    assert soon.run({"unit": "F"}) == "Oslo: 7 F, 3 day(s)"
    assert get_type_hints(soon)["unit"] == Literal["C", "F"]
    assert Tool(partial(population)).is_async

    for search in (Tool(Search()), Tool(partial(Search(), most=4))):
        assert (search.name, search.description) == ("Search", "Search the web.")
        assert search.parameters["properties"]["query"] == {"type": "string", "description": "what for"}
        assert search.parameters["properties"]["most"]["type"] == "integer"
    assert Tool(Search()).run({"query": "x"}) == "x 3"


def test_a_default_that_json_cannot_hold_is_not_told(server: OpenAIServer, llm: LLM, ask: Ask) -> None:
    def prices(top: float = float("inf"), labels: dict[str, str] = {"title": "all"}) -> str:  # noqa: B006
        return f"{top} {labels}"

    server.reply(Reply.tools(("prices", {})), "done")
    assert ask(Agent(llm=llm, tools=[prices]), "Hi") == "done"
    [schema] = server.requests[0].body["tools"]
    properties = schema["function"]["parameters"]["properties"]
    assert properties["top"] == {"type": "number"}
    assert properties["labels"]["default"] == {"title": "all"}
    assert server.requests[1].messages[-1]["content"] == "inf {'title': 'all'}"


def test_a_tool_that_exits_ends_no_server(server: OpenAIServer, llm: LLM) -> None:
    """In an event loop, and on the threads of calls that run together; alone in the main thread it is obeyed."""

    def leave() -> None:
        """Leave."""
        raise SystemExit(2)

    agent = Agent(llm=llm, tools=[leave, weather])
    server.reply(Reply.tools(("leave", {})), "on")
    assert asyncio.run(agent.arun("go")) == "on"
    assert "sys.exit(2)" in server.chats[-1].messages[-1]["content"]
    server.reply(Reply.tools(("leave", {}), ("weather", {"city": "Oslo"})), "on")
    assert agent.run("go") == "on"
    server.reply(Reply.tools(("leave", {})))
    with pytest.raises(SystemExit):
        agent.run("go")
