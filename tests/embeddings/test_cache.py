"""The same text is never paid for twice."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Mapping, Sequence

import pytest
from ai_infra.embeddings import CachedEmbedder, MemoryCache, OpenAIEmbeddings, resolve
from ai_infra.embeddings.base import checked, identity
from ai_infra.errors import ConfigurationError, EmbeddingError
from ai_infra.testing import vectors
from ai_infra.testing.openai_server import OpenAIServer, Reply
from ai_infra.testing.vectors import vector
from hypothesis import given
from hypothesis import strategies as st

from .conftest import KEY, Embed


class Shelf:
    """A lasting cache that notes how it was asked."""

    def __init__(self) -> None:
        self.items: dict[bytes, bytes] = {}
        self.calls: list[str] = []

    def get_many(self, keys: Sequence[bytes], /) -> Mapping[bytes, bytes]:
        self.calls.append("get")
        return {key: self.items[key] for key in keys if key in self.items}

    def put_many(self, items: Mapping[bytes, bytes], /) -> None:
        self.calls.append("put")
        self.items.update(items)


def exact(texts: list[str]) -> list[array[float]]:
    return [array("f", vector(text, 64)) for text in texts]


def test_only_new_texts_are_sent_and_each_once(
    server: OpenAIServer, embedder: OpenAIEmbeddings, embed: Embed
) -> None:
    cached = CachedEmbedder(embedder)
    assert embed(cached, ["a", "b", "a", "a"]) == exact(["a", "b", "a", "a"])
    assert embed(cached, ["c", "b", "a", "c"]) == exact(["c", "b", "a", "c"])
    assert embed(cached, ["a", "b"]) == exact(["a", "b"])
    assert embed(cached, []) == []
    assert [request.body["input"] for request in server.embeds] == [["a", "b"], ["c"]]


def test_a_lasting_cache_serves_a_new_process(
    server: OpenAIServer, embedder: OpenAIEmbeddings, embed: Embed
) -> None:
    shelf = Shelf()
    embed(CachedEmbedder(embedder, shelf), ["a", "b"])
    later = CachedEmbedder(embedder, shelf)
    assert embed(later, ["b", "c"]) == exact(["b", "c"])
    assert [request.body["input"] for request in server.embeds] == [["a", "b"], ["c"]]
    shelf.calls.clear()
    embed(later, ["b", "c"])
    assert shelf.calls == []  # memory goes first


def test_async_twins_of_a_cache_are_used(server: OpenAIServer, embedder: OpenAIEmbeddings) -> None:
    class AsyncShelf(Shelf):
        async def aget_many(self, keys: Sequence[bytes], /) -> Mapping[bytes, bytes]:
            self.calls.append("aget")
            return {key: self.items[key] for key in keys if key in self.items}

        async def aput_many(self, items: Mapping[bytes, bytes], /) -> None:
            self.calls.append("aput")
            self.items.update(items)

    shelf = AsyncShelf()
    asyncio.run(CachedEmbedder(embedder, shelf).aembed_documents(["a"]))
    assert shelf.calls == ["aget", "aput"]


def test_another_model_or_size_has_vectors_of_its_own(server: OpenAIServer) -> None:
    memory = MemoryCache()
    for model, size in (("m", 8), ("m", 9), ("n", 8)):
        inner = OpenAIEmbeddings(model, size, base_url=server.base_url, api_key=KEY)
        assert len(CachedEmbedder(inner, memory=memory).embed_documents(["same"])[0]) == size
    assert len(server.embeds) == 3


def test_questions_are_kept_apart_from_texts(server: OpenAIServer, embedder: OpenAIEmbeddings) -> None:
    cached = CachedEmbedder(embedder)
    cached.embed_documents(["same"])
    assert cached.embed_query("same") == exact(["same"])[0]
    assert asyncio.run(cached.aembed_query("same")) == exact(["same"])[0]
    assert len(server.embeds) == 2


def test_damaged_entries_are_made_anew(server: OpenAIServer, embedder: OpenAIEmbeddings) -> None:
    for damage in (b"", b"abc", b"\0" * 60):
        shelf = Shelf()
        CachedEmbedder(embedder, shelf).embed_documents(["a"])
        shelf.items = dict.fromkeys(shelf.items, damage)
        assert CachedEmbedder(embedder, shelf).embed_documents(["a"]) == exact(["a"])
        assert list(shelf.items.values()) == [exact(["a"])[0].tobytes()]


def test_a_failure_names_positions_in_the_callers_list_and_keeps_what_was_done(
    server: OpenAIServer, embed: Embed
) -> None:
    inner = OpenAIEmbeddings("m", 64, base_url=server.base_url, api_key=KEY, max_inputs=2, max_retries=0)
    cached = CachedEmbedder(inner)
    embed(cached, ["known"])
    texts = ["known", "a", "a", "b", "c", "d"]
    server.fault(None, vectors.nan)
    with pytest.raises(EmbeddingError) as caught:
        embed(cached, texts)
    assert caught.value.inputs == (5,)
    server.fault(Reply.error(500))
    with pytest.raises(EmbeddingError) as caught:
        embed(cached, texts)
    assert caught.value.inputs == (4, 5)
    with pytest.raises(EmbeddingError) as caught:
        embed(cached, ["known", ""])
    assert caught.value.inputs == (1,)
    assert embed(cached, texts) == exact(texts)
    sent = [request.body["input"] for request in server.embeds]
    assert sent == [["known"], ["a", "b"], ["c", "d"], ["c", "d"], ["c", "d"]]


def test_memory_forgets_what_was_unused_longest() -> None:
    memory = MemoryCache(max_bytes=12)
    memory.put_many({b"a": b"1234", b"b": b"1234", b"c": b"1234"})
    memory.get_many([b"a"])
    memory.put_many({b"d": b"12345678"})
    assert memory.get_many([b"a", b"b", b"c", b"d"]) == {b"a": b"1234", b"d": b"12345678"}
    memory.put_many({b"a": b"x" * 13})
    assert len(memory) == 0
    memory.put_many({b"a": b"1234"})
    memory.put_many({b"a": b"1234"})
    assert len(memory) == 1


# Other people's embedders


class Plain:
    """The least that an embedder can be; ``made`` is what it answers with."""

    def __init__(self, made: object) -> None:
        self.made = made

    def embed_documents(self, texts: list[str], /) -> object:
        return self.made

    def embed_query(self, text: str, /) -> object:
        return self.made


def test_numpy_lists_and_arrays_are_the_same_to_us() -> None:
    import numpy

    expected = [array("f", [0.5, 1.5]), array("f", [2.5, 3.5])]
    rows = [[0.5, 1.5], [2.5, 3.5]]
    matrix = numpy.array(rows, dtype="f4")
    for made in (rows, tuple(map(tuple, rows)), matrix, matrix.astype("f8"), matrix.T.copy().T, expected):
        assert checked(made, 2, None) == expected
        assert CachedEmbedder(Plain(made)).embed_documents(["x", "y"]) == expected


@pytest.mark.parametrize(
    ("made", "inputs"),
    [
        (None, (0, 1)),
        ([[1.0]], (1,)),
        ([[1.0], [1.0], [1.0]], ()),
        ([[1.0], [1.0, 2.0]], (1,)),
        ([[1.0], None], (1,)),
        ([[1.0], ["x"]], (1,)),
        (["ab", "cd"], (0, 1)),
        ([[], []], (0, 1)),
        ([[1e39], [1.0]], (0,)),  # more than a 32-bit float holds
        ([[float("nan")], [float("inf")]], (0, 1)),
    ],
)
def test_nonsense_of_any_embedder_is_named(made: object, inputs: tuple[int, ...]) -> None:
    with pytest.raises(EmbeddingError) as caught:
        CachedEmbedder(Plain(made)).embed_documents(["x", "y"])
    assert caught.value.inputs == inputs


@given(st.lists(st.floats(width=32), min_size=1, max_size=40))
def test_finite_is_found_exactly(numbers: list[float]) -> None:
    finite = all(number - number == 0 for number in numbers)
    try:
        checked([numbers], 1, None)
    except EmbeddingError:
        assert not finite
    else:
        assert finite


def test_async_callers_of_a_sync_embedder_do_not_block_the_loop() -> None:
    import threading

    seen: list[threading.Thread] = []

    class Where(Plain):
        def embed_documents(self, texts: list[str], /) -> object:
            seen.append(threading.current_thread())
            return self.made

    asyncio.run(CachedEmbedder(Where([[1.0]])).aembed_documents(["x"]))
    assert seen[0] is not threading.main_thread()


# Options


def test_options_make_the_embedder_they_name(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    made = resolve("openai", "text-embedding-3-large", 256, base_url=server.base_url)
    assert made is not None
    assert identity(made) == "text-embedding-3-large@256"
    assert len(made.embed_query("x")) == 256
    assert identity(resolve("openai")) == "text-embedding-3-small"
    assert identity(resolve(base_url=server.base_url)) == "text-embedding-3-small"
    own = Plain([1.0])
    assert resolve(embeddings=own) is own


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        resolve("openai", embeddings=Plain([1.0]))
    with pytest.raises(ConfigurationError, match="embed_documents"):
        resolve(embeddings=object())
    with pytest.raises(ConfigurationError, match="unknown provider"):
        resolve("nobody")


def test_what_came_instead_of_vectors_is_said() -> None:
    size = 65_537

    async def later() -> list[list[float]]:
        return [[1.0]]

    coroutine = later()
    for made, said in (
        (None, "returned None"),
        (coroutine, "returned coroutine"),
        ([5], "but something else"),
    ):
        with pytest.raises(EmbeddingError, match=said):
            CachedEmbedder(Plain(made)).embed_documents(["x"])
    coroutine.close()
    with pytest.raises(EmbeddingError, match="no vector of 1 numbers, but one of 2"):
        CachedEmbedder(Plain([[1.0], [1.0, 2.0]])).embed_documents(["x", "y"])
    # What no index would take is refused when it comes, not at the first search.
    with pytest.raises(EmbeddingError, match="a vector has 1 to 65536 dimensions"):
        CachedEmbedder(Plain([[0.5] * size])).embed_documents(["x"])
    with pytest.raises(EmbeddingError, match="a vector has 1 to 65536 dimensions"):
        CachedEmbedder(Plain([0.5] * size)).embed_query("x")
    assert len(CachedEmbedder(Plain([0.5] * (size - 1))).embed_query("x")) == size - 1


def test_bytes_of_another_order_and_complex_numbers_of_numpy() -> None:
    import numpy

    numbers = numpy.array([[3.0, 4.0]], dtype=">f8")
    assert CachedEmbedder(Plain(numbers)).embed_documents(["x"]) == [array("f", [3.0, 4.0])]
    for made in (numpy.array([[3.0, 4.0j]]), [list(numpy.array([3.0, 4.0j]))]):
        with pytest.raises(EmbeddingError, match="no vector"):
            CachedEmbedder(Plain(made)).embed_documents(["x"])
