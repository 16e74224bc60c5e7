"""Random conversations, mean ones included, for the property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Message = dict[str, Any]

# A small pool, so that ids are used again, and calls and results get lost.
ids = st.sampled_from(["a", "b", "c", "d"])
texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", "hello", "Ünïcödé 漢字 🙂", "<|endoftext|>", "x" * 300, "word " * 60, "\ud800 broken"]
    ),
)
image = st.sampled_from(
    [
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]
)
part = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, texts),
    image,
    st.just({"type": "mystery", "payload": [1, 2, {"deep": True}]}),
)
content = st.one_of(texts, st.none(), st.lists(part, max_size=3))
extras = st.dictionaries(
    st.sampled_from(["name", "cache_control", "metadata", "custom"]),
    st.one_of(st.text(max_size=8), st.just({"type": "ephemeral"}), st.none()),
    max_size=2,
)


def call(id_: str) -> Message:
    return {"id": id_, "type": "function", "function": {"name": "look_up", "arguments": '{"q": "x"}'}}


plain = st.builds(
    lambda role, content, extra: {**extra, "role": role, "content": content},
    st.sampled_from(["user", "assistant", "user", "assistant", "system", "developer", "critic"]),
    content,
    extras,
)
calling = st.builds(
    lambda found, content: {"role": "assistant", "content": content, "tool_calls": [call(i) for i in found]},
    st.lists(ids, min_size=1, max_size=3, unique=True),
    st.one_of(st.none(), texts),
)
answering = st.builds(lambda i, text: {"role": "tool", "tool_call_id": i, "content": text}, ids, texts)
tool_use = st.builds(
    lambda found: {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": i, "name": "look_up", "input": {"q": 1}} for i in found],
    },
    st.lists(ids, min_size=1, max_size=2, unique=True),
)
tool_result = st.builds(
    lambda found, said: {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": i, "content": "42"} for i in found]
        + ([{"type": "text", "text": said}] if said else []),
    },
    st.lists(ids, min_size=1, max_size=2, unique=True),
    st.sampled_from(["", "and now?"]),
)
legacy_call = st.just(
    {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
)
legacy_answer = st.just({"role": "function", "name": "f", "content": "7"})


@st.composite
def rounds(draw: st.DrawFn) -> list[Message]:
    """A call with all its results, in any order: what a healthy agent writes."""
    message = draw(calling)
    answers = draw(st.permutations([c["id"] for c in message["tool_calls"]]))
    return [message, *({"role": "tool", "tool_call_id": i, "content": draw(texts)} for i in answers)]


single = st.one_of(plain, plain, plain, calling, answering, tool_use, tool_result, legacy_call, legacy_answer)
piece = st.one_of(st.lists(single, min_size=1, max_size=2), rounds())
prompts = st.lists(st.builds(lambda t: {"role": "system", "content": t}, texts), max_size=2)


@st.composite
def conversations(draw: st.DrawFn, max_pieces: int = 14) -> list[Message]:
    """Any list of messages, valid or not, with or without a system prompt."""
    pieces = draw(st.lists(piece, max_size=max_pieces))
    return draw(prompts) + [message for part_ in pieces for message in part_]


def links(message: Message) -> tuple[set[str], set[str]]:
    """Ids that a message calls with and answers: written anew here, so that the test is no mirror."""
    calls = {c["id"] for c in message.get("tool_calls") or []}
    answers = set()
    if message["role"] == "tool":
        answers.add(message["tool_call_id"])
    if "function_call" in message:
        calls.add("fn " + message["function_call"]["name"])
    if message["role"] == "function":
        answers.add("fn " + message["name"])
    if isinstance(message.get("content"), list):
        for p in message["content"]:
            if p.get("type") == "tool_use":
                calls.add(p["id"])
            if p.get("type") == "tool_result":
                answers.add(p["tool_use_id"])
    return calls, answers


def orphans(messages: list[Message]) -> list[str]:
    """What an API would refuse: results without a call before them, calls without a result after them."""
    problems = []
    open_calls: dict[str, int] = {}
    for at, message in enumerate(messages):
        calls, answers = links(message)
        for i in answers:
            if i in open_calls:
                del open_calls[i]
            else:
                problems.append(f"result {i!r} at {at} answers nothing")
        for i in calls:
            if i in open_calls:
                problems.append(f"call {i!r} at {open_calls[i]} is never answered")
            open_calls[i] = at
    problems.extend(f"call {i!r} at {at} is never answered" for i, at in open_calls.items())
    return problems
