"""Streams: order, the moment of the first piece, and being left half-read."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import threading

import pytest
from ai_infra.errors import LLMError
from ai_infra.llm import LLM, ChatDelta
from ai_infra.llm.reading import Events
from ai_infra.testing.openai_server import Hold, OpenAIServer, Reply
from hypothesis import given, settings
from hypothesis import strategies as st


def test_a_piece_is_there_before_the_server_sends_the_next(server: OpenAIServer, llm: LLM) -> None:
    going_on = threading.Event()
    server.reply(Reply("one two three", hold=Hold(1, going_on)))
    pieces = llm.stream("Hi")
    first = next(pieces)  # the server is still holding the second
    assert not going_on.is_set()
    going_on.set()
    assert [first, *pieces] == ["one", " two", " three"]
    assert type(first) is ChatDelta
    assert type(first.content) is str
    assert pieces.response == "one two three"
    assert pieces.response.usage is not None


def test_the_same_for_async(server: OpenAIServer, llm: LLM) -> None:
    going_on = threading.Event()
    server.reply(Reply("one two three", hold=Hold(1, going_on)))

    async def read() -> list[str]:
        async with llm, llm.astream("Hi") as pieces:
            first = await anext(pieces)
            assert not going_on.is_set()
            going_on.set()
            return [first, *[piece async for piece in pieces]]

    assert asyncio.run(read()) == ["one", " two", " three"]


def test_a_stream_left_half_read_gives_its_connection_back(server: OpenAIServer, llm: LLM) -> None:
    server.responder = lambda request: Reply("a b c d")
    for _ in range(3):
        for _piece in llm.stream("Hi"):
            break
    with llm.stream("Hi") as pieces:
        next(pieces)
    gc.collect()
    connections = llm._service._transport._sync._client._transport._pool.connections
    assert all(connection.is_idle() or connection.is_closed() for connection in connections)


def test_async_the_same(server: OpenAIServer, llm: LLM) -> None:
    server.responder = lambda request: Reply("a b c d")

    async def read() -> None:
        for _ in range(3):
            async for _piece in llm.astream("Hi"):
                break
        gc.collect()
        await asyncio.sleep(0.05)
        ((client, _keeper),) = llm._service._transport._async.values()
        connections = client._client._transport._pool.connections
        assert all(connection.is_idle() or connection.is_closed() for connection in connections)

    asyncio.run(read())


def test_closing_while_another_reads_is_refused(server: OpenAIServer, llm: LLM) -> None:
    going_on = threading.Event()
    server.responder = lambda request: Reply("one two three", hold=Hold(1, going_on))
    pieces = llm.stream("Hi")
    heard = [next(pieces)]
    reader = threading.Thread(target=lambda: heard.extend(pieces))
    reader.start()
    try:
        while not pieces._user._lock.locked():
            pass
        with pytest.raises(LLMError, match="another task or thread reads this stream"):
            pieces.close()
    finally:
        going_on.set()
        reader.join(10)
    assert heard == ["one", " two", " three"]

    async def go() -> list[str]:
        going_on.clear()
        pieces = llm.astream("Hi")
        heard = [await anext(pieces)]
        reader = asyncio.create_task(anext(pieces))
        await asyncio.sleep(0)
        try:
            with pytest.raises(LLMError, match="cancel the task that reads"):
                await pieces.aclose()
        finally:
            going_on.set()
        return [*heard, await reader, *[piece async for piece in pieces]]

    assert asyncio.run(asyncio.wait_for(go(), 20)) == ["one", " two", " three"]


def test_nothing_is_sent_before_the_first_piece_is_asked_for(server: OpenAIServer, llm: LLM) -> None:
    pieces = llm.stream("Hi")
    assert server.chats == []
    pieces.close()
    assert list(pieces) == []
    assert server.chats == []


def test_usage_is_asked_for_where_the_provider_takes_it(server: OpenAIServer, llm: LLM) -> None:
    list(llm.stream("Hi"))
    list(llm.stream("Hi", stream_options=None))
    with LLM("mistral", base_url=server.base_url, api_key="k") as mistral:
        list(mistral.stream("Hi"))
    options = [request.body.get("stream_options") for request in server.chats]
    assert options == [{"include_usage": True}, None, None]


@pytest.mark.parametrize("separator", ["\n", "\r\n"])
@settings(max_examples=200, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=6),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
def test_events_survive_any_cut(separator: str, texts: list[str], cuts: list[int]) -> None:
    lines = [f"data: {json.dumps(text, ensure_ascii=False)}" for text in texts]
    raw = "".join(f": comment{separator}event: x{separator}{line}{separator * 2}" for line in lines).encode()
    edges = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    events = Events()
    pieces = [raw[a:b] for a, b in itertools.pairwise(edges)]
    assert [json.loads(data) for piece in pieces for data in events.feed(piece)] == texts
