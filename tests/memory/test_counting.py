"""Chat messages and tool schemas, counted by OpenAI's published rules."""

from __future__ import annotations

import asyncio
import base64
import math
import struct
import warnings
from typing import Any

import pytest
from ai_infra import afit_context, count_tokens, count_tokens_approximate, fit_context
from ai_infra._core import Encoding
from ai_infra.errors import ConfigurationError, InvalidMessageError
from ai_infra.llm.memory import UnknownModelWarning, get_context_limit, model_info, register_model

O200K = Encoding("o200k_base")
CL100K = Encoding("cl100k_base")


def cookbook(messages: list[dict[str, str]], encoding: Encoding) -> int:
    """The recipe as it is published: 3 a message, every value, 1 for a name, 3 for the reply."""
    total = 3
    for message in messages:
        total += 3
        for key, value in message.items():
            total += encoding.count(value) + (key == "name")
    return total


CHAT = [
    {"role": "system", "content": "You are a helpful, pattern-following assistant."},
    {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
    {"role": "user", "content": "Ünïcödé 漢字 🙂 <|endoftext|>"},
    {"role": "assistant", "content": ""},
]


@pytest.mark.parametrize(
    ("model", "encoding"),
    [("gpt-4o", O200K), ("gpt-4", CL100K), ("gpt-3.5-turbo-0125", CL100K), (None, O200K)],
)
def test_messages_count_by_the_published_recipe(model: str | None, encoding: Encoding) -> None:
    assert count_tokens(CHAT, model=model) == cookbook(CHAT, encoding)


def test_texts_have_no_overhead() -> None:
    assert count_tokens("Hello, world!") == O200K.count("Hello, world!")
    assert count_tokens(["Hello,", " world!"]) == O200K.count("Hello,") + O200K.count(" world!")
    assert count_tokens([]) == count_tokens("") == 0
    assert count_tokens(["a", CHAT[2]]) == 1 + cookbook([CHAT[2]], O200K)
    assert count_tokens(CHAT[2]) == cookbook([CHAT[2]], O200K)


def test_the_fast_lane_and_the_slow_one_agree() -> None:
    messages: list[Any] = [{"role": "user", "content": f"text {n}"} for n in range(50)]
    odd = [{**m, "cache_control": {"type": "ephemeral"}} for m in messages]
    assert count_tokens(messages) == count_tokens(odd) == count_tokens(tuple(messages))
    assert count_tokens([*messages, *odd]) == 2 * count_tokens(messages) - 3


def test_tools_count_by_the_published_recipe() -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "get_current_weather",
            "description": "Get the current weather in a given location.",
            "parameters": {
                "type": "object",
                "properties": {
                    "location": {
                        "type": "string",
                        "description": "The city and state, e.g. San Francisco, CA",
                    },
                    "unit": {
                        "type": "string",
                        "description": "The unit of temperature.",
                        "enum": ["celsius", "fahrenheit"],
                    },
                },
                "required": ["location"],
            },
        },
    }
    texts = [
        "get_current_weather:Get the current weather in a given location",
        "location:string:The city and state, e.g. San Francisco, CA",
        "unit:string:The unit of temperature",
        "celsius",
        "fahrenheit",
    ]
    for model, encoding, start in (("gpt-4o", O200K, 7), ("gpt-4", CL100K, 10)):
        expected = start + 3 + 3 + 3 + (-3 + 2 * 3) + 12 + sum(map(encoding.count, texts))
        assert count_tokens(CHAT, model=model, tools=[tool]) == cookbook(CHAT, encoding) + expected


def test_the_published_totals_of_the_weather_example() -> None:
    """The cookbook prints what the API billed for this conversation and its two tools: 105 and 101."""
    tools = [
        {
            "type": "function",
            "function": {
                "name": "get_current_weather",
                "description": "Get the current weather in a given location",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "location": {
                            "type": "string",
                            "description": "The city and state, e.g. San Francisco, CA",
                        },
                        "unit": {
                            "type": "string",
                            "description": "The unit of temperature to return",
                            "enum": ["celsius", "fahrenheit"],
                        },
                    },
                    "required": ["location"],
                },
            },
        }
    ]
    messages = [
        {
            "role": "system",
            "content": "You are a helpful assistant that can answer to questions about the weather.",
        },
        {"role": "user", "content": "What's the weather like in San Francisco?"},
    ]
    assert count_tokens(messages, model="gpt-4", tools=tools) == 105
    assert count_tokens(messages, model="gpt-4o", tools=tools) == 101


def png(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">II", width, height)
    return "data:image/png;base64," + base64.b64encode(head + bytes(100)).decode()


@pytest.mark.parametrize(
    ("image", "tokens"),
    [
        ({"url": png(1024, 1024)}, 85 + 4 * 170),
        ({"url": png(2048, 4096)}, 85 + 6 * 170),
        ({"url": png(512, 512)}, 85 + 170),
        ({"url": png(4096, 8192), "detail": "low"}, 85),
        ({"url": "https://example.com/x.png", "detail": "low"}, 85),
        ({"url": "https://example.com/x.png"}, 85 + 8 * 170),
        ({"url": "data:image/png;base64,!!!"}, 85 + 8 * 170),
    ],
)
def test_images_count_by_the_tile_rule(image: dict[str, str], tokens: int) -> None:
    message = {
        "role": "user",
        "content": [{"type": "text", "text": "See."}, {"type": "image_url", "image_url": image}],
    }
    assert count_tokens([message]) == cookbook([{"role": "user", "content": "See."}], O200K) + tokens


def test_tool_calls_count_their_names_and_arguments() -> None:
    call = {
        "id": "x",
        "type": "function",
        "function": {"name": "look_up", "arguments": '{"query": "weather"}'},
    }
    bare = count_tokens([{"role": "assistant", "content": None}])
    with_call = count_tokens([{"role": "assistant", "content": None, "tool_calls": [call]}])
    assert with_call == bare + 3 + O200K.count("look_up") + O200K.count('{"query": "weather"}')


@pytest.mark.parametrize(
    "text", ["\ud800", "a\x00b", "\udfff\ud800 both", "x" * 1_000_000, "<|endoftext|>" * 3]
)
def test_every_string_has_a_count(text: str) -> None:
    assert count_tokens(text) > 0
    assert count_tokens([{"role": "user", "content": text}]) > 3
    assert count_tokens_approximate(text) > 0


@pytest.mark.parametrize("bad", [[7], [{"content": "no role"}], [None], 7, [["user", "hi"]]])
def test_what_is_no_message_is_refused_with_its_remedy(bad: Any) -> None:
    with pytest.raises(InvalidMessageError, match="role"):
        count_tokens(bad)


def test_a_message_that_contains_itself_is_refused() -> None:
    part: dict[str, Any] = {"type": "strange"}
    part["self"] = part
    with pytest.raises(InvalidMessageError, match="contains itself"):
        count_tokens([{"role": "user", "content": [part]}])


@pytest.mark.parametrize(
    ("model", "encoding", "context"),
    [
        ("gpt-4o-2024-08-06", "o200k_base", 128_000),
        ("openai/gpt-4o", "o200k_base", 128_000),
        ("ft:gpt-4.1-mini:acme::abc", "o200k_base", 1_047_576),
        ("gpt-4.1", "o200k_base", 1_047_576),
        ("gpt-5", "o200k_base", 400_000),
        ("o3", "o200k_base", 200_000),
        ("gpt-4-turbo", "cl100k_base", 128_000),
        ("gpt-4", "cl100k_base", 8_192),
        ("claude-sonnet-4-5", None, 200_000),
        ("gpt-oss-120b", "o200k_harmony", 131_072),
    ],
)
def test_the_longest_prefix_decides(model: str, encoding: str | None, context: int) -> None:
    info = model_info(model)
    assert (info.encoding, info.context) == (encoding, context)
    assert get_context_limit(model) == context


def test_an_unknown_model_warns_once() -> None:
    with pytest.warns(UnknownModelWarning, match="register_model"):
        assert get_context_limit("never-heard-of-it") == 8_192
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert get_context_limit("never-heard-of-it") == 8_192


@pytest.mark.parametrize("way", ["limit", "count", "fit", "afit", "task"])
def test_the_warning_points_at_the_line_of_the_user(way: str) -> None:
    model = f"unheard-{way}"

    def call() -> object:
        if way == "limit":
            return get_context_limit(model)
        if way == "count":
            return count_tokens("x", model=model)
        if way == "fit":
            return fit_context([{"role": "user", "content": "x"}], 100, model=model)

        async def fit() -> object:
            return await afit_context([{"role": "user", "content": "x"}], 100, model=model)

        async def task() -> object:
            return await asyncio.create_task(fit())

        return asyncio.run(fit() if way == "afit" else task())

    with pytest.warns(UnknownModelWarning, match=model) as caught:
        call()
    assert [warning.filename for warning in caught] == [__file__]


def test_models_can_be_registered() -> None:
    register_model("house-model", context=5_000, encoding="cl100k_base")
    assert count_tokens("Grüße aus Köln", model="house-model-v2") == CL100K.count("Grüße aus Köln")
    assert get_context_limit("house-model-v2") == 5_000
    with pytest.raises(ConfigurationError, match="o200k_base"):
        register_model("house-model", context=5_000, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="whole number"):
        register_model("house-model", context=0)


def test_estimates_say_so_and_are_near() -> None:
    from ai_infra import fit_context

    messages = [{"role": "user", "content": "The quick brown fox jumps over the lazy dog. " * 20}]
    assert fit_context(messages, 4000, model="claude-sonnet-4-5").counting == "estimated"
    assert fit_context(messages, 4000, model="o3").counting == "estimated"
    assert fit_context(messages, 4000).counting == "exact"
    exact, near = count_tokens(messages), count_tokens_approximate(messages)
    assert math.isclose(exact, near, rel_tol=0.35)
