"""Embeddings through a service: right, in batches, and all or nothing (trust row 13)."""

from __future__ import annotations

import asyncio
import traceback
from array import array

import pytest
from ai_infra.embeddings import OpenAIEmbeddings
from ai_infra.errors import (
    AuthenticationError,
    ConfigurationError,
    EmbeddingError,
    InvalidTextError,
    LLMError,
    QuotaExceededError,
)
from ai_infra.testing import vectors
from ai_infra.testing.openai_server import OpenAIServer, Reply
from ai_infra.testing.vectors import Change, vector

from .conftest import KEY, Embed

TEXTS = ["the first text", "the second", "ein dritter", "第四", "🙂 fifth"]


def exact(texts: list[str], dimensions: int = 64) -> list[array[float]]:
    return [array("f", vector(text, dimensions)) for text in texts]


def test_every_text_gets_its_vector_in_order(
    server: OpenAIServer, embedder: OpenAIEmbeddings, embed: Embed
) -> None:
    assert embed(embedder, TEXTS) == exact(TEXTS)
    (request,) = server.embeds
    assert request.body == {
        "model": "text-embedding-3-small",
        "input": TEXTS,
        "dimensions": 64,
        "encoding_format": "base64",
    }
    assert embed(embedder, []) == []
    assert len(server.embeds) == 1


def test_a_query_is_one_vector(embedder: OpenAIEmbeddings) -> None:
    assert embedder.embed_query("where?") == exact(["where?"])[0]
    assert asyncio.run(embedder.aembed_query("where?")) == exact(["where?"])[0]


def test_plain_lists_are_read_too(server: OpenAIServer, embedder: OpenAIEmbeddings, embed: Embed) -> None:
    server.fault(Reply.raw({"data": [{"index": 0, "embedding": [0.25] * 64}]}))
    assert embed(embedder, ["x"]) == [array("f", [0.25] * 64)]


def test_the_size_is_known_or_learned(server: OpenAIServer) -> None:
    def make(model: str, size: int | None = None) -> OpenAIEmbeddings:
        return OpenAIEmbeddings(model, size, base_url=server.base_url, api_key=KEY)

    assert make("text-embedding-3-large").dimensions == 3072
    assert make("text-embedding-3-large", 99).dimensions == 99
    assert make("text-embedding-3-large", 99).identity == "text-embedding-3-large@99"
    unknown = make("some-model")
    assert (unknown.dimensions, unknown.identity) == (None, "some-model")
    unknown.embed_query("x")
    assert (unknown.dimensions, unknown.identity) == (256, "some-model")
    assert "dimensions" not in server.embeds[-1].body
    with pytest.raises(EmbeddingError, match="1536"):  # the server sends 256 when nothing is asked for
        make("text-embedding-3-small").embed_query("x")


def test_no_request_is_over_a_limit(server: OpenAIServer, embed: Embed) -> None:
    embedder = OpenAIEmbeddings(
        "m", base_url=server.base_url, api_key=KEY, max_inputs=3, max_input_tokens=20, max_request_tokens=30
    )
    texts = [f"{'word ' * (n % 17)}{n}" for n in range(40)]
    assert embed(embedder, texts) == exact(texts, 256)
    sent = [request.body["input"] for request in server.embeds]
    assert [text for batch in sent for text in batch] == texts
    from ai_infra import _core

    count = _core.Encoding("cl100k_base").count
    assert all(len(batch) <= 3 and sum(map(count, batch)) <= 30 for batch in sent)
    assert [list(positions) for positions in embedder.plan(texts)] == [
        [texts.index(text) for text in batch] for batch in sent
    ]


def test_the_limits_of_the_real_service(server: OpenAIServer, embed: Embed) -> None:
    embedder = OpenAIEmbeddings("m", 8, base_url=server.base_url, api_key=KEY)
    texts = [f"number {n}" for n in range(2_100)]
    assert embed(embedder, texts) == exact(texts, 8)
    assert [len(request.body["input"]) for request in server.embeds] == [2_048, 52]
    server.clear()
    long = ["word " * 7_000] * 50  # 7,000 tokens each: 42 of them fit into 300,000
    assert len(embed(embedder, long)) == 50
    assert [len(request.body["input"]) for request in server.embeds] == [42, 8]


def test_a_text_that_is_too_long_is_refused_before_anything_is_sent(
    server: OpenAIServer, embedder: OpenAIEmbeddings, embed: Embed
) -> None:
    with pytest.raises(EmbeddingError, match=r"8,192 tokens.*\(input 1, 3\)") as caught:
        embed(embedder, ["fine", "word " * 9_000, "fine", "x y " * 5_000])
    assert caught.value.inputs == (1, 3)
    assert server.embeds == []


def test_or_cut_where_that_is_wanted(server: OpenAIServer, embed: Embed) -> None:
    embedder = OpenAIEmbeddings("m", base_url=server.base_url, api_key=KEY, max_input_tokens=5, truncate=True)
    embed(embedder, ["one two three four five six seven eight", "short"])
    assert server.embeds[0].body["input"] == ["one two three four five", "short"]


@pytest.mark.parametrize("texts", [[""], ["fine", "", "fine"], "one text"])
def test_what_cannot_be_embedded_is_refused(
    server: OpenAIServer, embedder: OpenAIEmbeddings, embed: Embed, texts: list[str]
) -> None:
    with pytest.raises(EmbeddingError):
        embed(embedder, texts)
    with pytest.raises(InvalidTextError):
        embed(embedder, ["a lone \udc80 surrogate"])
    assert server.embeds == []


WRONG: dict[str, tuple[Change, tuple[int, ...]]] = {
    "fewer": (vectors.fewer, (4,)),
    "doubled": (vectors.doubled, (4, 0)),
    "one more": (vectors.extra, (0, 1, 2, 3, 4)),
    "NaN": (vectors.nan, (4,)),
    "infinity": (vectors.infinite, (4,)),
    "null": (vectors.null, (4,)),
    "wrong size": (vectors.short, (4,)),
    "no numbers": (vectors.empty, (4,)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_an_error_that_names_the_inputs(
    server: OpenAIServer, embedder: OpenAIEmbeddings, embed: Embed, name: str
) -> None:
    change, inputs = WRONG[name]
    server.fault(change)
    with pytest.raises(EmbeddingError) as caught:
        embed(embedder, TEXTS)
    assert caught.value.inputs == inputs
    assert f"(input {', '.join(map(str, inputs))})" in str(caught.value)
    assert embed(embedder, TEXTS) == exact(TEXTS)


def test_reordered_vectors_find_their_place(
    server: OpenAIServer, embedder: OpenAIEmbeddings, embed: Embed
) -> None:
    server.fault(vectors.reordered)
    assert embed(embedder, TEXTS) == exact(TEXTS)


@pytest.mark.parametrize(
    "body", [None, [], {}, {"data": None}, {"data": [None] * 5}, {"data": [{"index": "0"}] * 5}]
)
def test_an_answer_of_another_shape_is_an_error(
    server: OpenAIServer, embedder: OpenAIEmbeddings, body: object
) -> None:
    server.fault(Reply.raw(body))
    with pytest.raises(EmbeddingError) as caught:
        embedder.embed_documents(TEXTS)
    assert set(caught.value.inputs) == set(range(5))


def test_base64_that_is_none_is_an_error(server: OpenAIServer, embedder: OpenAIEmbeddings) -> None:
    for text in ("%%%", "AAAA", "AAA"):  # no base64; three bytes; a broken end
        server.fault(Reply.raw({"data": [{"index": 0, "embedding": text}]}))
        with pytest.raises(EmbeddingError) as caught:
            embedder.embed_documents(["x"])
        assert caught.value.inputs == (0,)


def test_a_failure_half_way_returns_nothing_and_names_the_batch(server: OpenAIServer, embed: Embed) -> None:
    embedder = OpenAIEmbeddings(
        "m", base_url=server.base_url, api_key=KEY, max_inputs=2, max_retries=1, retry_wait=0.001
    )
    server.fault(None, Reply.error(500, f"broken, says {KEY}"), Reply.error(500))
    with pytest.raises(EmbeddingError, match=r"\(input 2, 3\)") as caught:
        embed(embedder, TEXTS)
    assert isinstance(caught.value.__cause__, LLMError)
    assert len(server.embeds) == 3
    assert KEY not in "".join(traceback.format_exception(caught.value))
    server.fault(None, Reply.rate_limit(0.01), None)
    assert embed(embedder, TEXTS) == exact(TEXTS, 256)


def test_quota_is_not_retried_and_a_refused_key_is_what_it_is(
    server: OpenAIServer, embedder: OpenAIEmbeddings, embed: Embed
) -> None:
    server.fault(Reply.quota(), Reply.error(401, f"bad key {KEY}"))
    with pytest.raises(EmbeddingError) as caught:
        embed(embedder, TEXTS)
    assert isinstance(caught.value.__cause__, QuotaExceededError)
    with pytest.raises(AuthenticationError) as refused:
        embed(embedder, TEXTS)
    assert KEY not in "".join(traceback.format_exception(refused.value)) + repr(embedder)
    assert len(server.embeds) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"dimensions": 0},
        {"max_inputs": 0},
        {"max_input_tokens": 0},
        {"max_input_tokens": 9, "max_request_tokens": 8},
        {"timeout": 0},
        {"model": None, "provider": "groq"},
    ],
)
def test_wrong_settings_are_refused_at_once(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        OpenAIEmbeddings(**{"model": "m", "api_key": KEY, **options})  # type: ignore[arg-type]  # that is the test
