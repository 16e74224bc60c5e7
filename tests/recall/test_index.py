"""The conversation index: equal to a fresh one after any history, safe on any text and from any thread."""

from __future__ import annotations

import struct
import threading
from typing import Any

import pytest
from ai_infra._core import (
    ConversationIndex,
    RecallHit,
    TextIndex,
    local_dimensions,
    local_embed,
    message_chunks,
    message_passages,
    search_terms,
)
from ai_infra.errors import InvalidInputError
from hypothesis import given, settings
from hypothesis import strategies as st

# Any text that can be UTF-8: lone surrogates are refused before they come here.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
PHRASES = st.sampled_from(
    [
        "the violin lesson",
        "auth token expired",
        "Anna: hi there",
        "книги и картины",
        "猫が好き",
        "7 cats in May 2023",
        "",
        "ok?",
    ]
)
TALK = st.lists(PHRASES | TEXT, max_size=25)
QUESTIONS = [
    "When was the violin lesson?",
    "How many cats?",
    "книга",
    "猫",
    "what did Anna say about the token",
    "",
]


def seen(hit: RecallHit) -> tuple[Any, ...]:
    """All that a result shows."""
    return (
        *(hit.session, hit.chunk, hit.start, hit.end, hit.best, hit.score, hit.similarity),
        *(hit.context, hit.words, sorted(hit.parts.items())),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcde"), st.none() | TALK), max_size=12))
def test_any_history_gives_the_ranking_of_a_fresh_index(writes: list[tuple[str, list[str] | None]]) -> None:
    index = ConversationIndex()
    held: dict[str, list[str]] = {}
    for key, talk in writes:
        if talk is None:
            assert index.remove(key) is (held.pop(key, None) is not None)
        else:
            index.put(key, talk)
            held[key] = talk
    fresh = ConversationIndex()
    for key in sorted(held, reverse=True):
        fresh.put(key, held[key])
    assert index.sessions() == fresh.sessions() == sorted(held)
    assert len(index) == sum(map(len, held.values()))
    for question in QUESTIONS:
        assert [seen(h) for h in index.search(question)] == [seen(h) for h in fresh.search(question)]


@settings(max_examples=150, deadline=None)
@given(TALK, TEXT)
def test_results_point_into_the_session_whatever_the_text(talk: list[str], question: str) -> None:
    index = ConversationIndex(chunk_size=4, chunk_overlap=1)
    chunks = index.put("s", talk)
    hits = index.search(question, limit=50)
    scores = [h.score for h in hits]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= s <= 1 for s in scores)
    assert all(h.start <= m < h.end for h in hits[:1] for m, _, _ in h.context)
    shown = [c[0] for h in hits for c in h.context]
    assert len(shown) == len(set(shown))
    for hit in hits:
        assert chunks[hit.chunk] == (hit.start, hit.end)
        for message, start, end in hit.context:
            assert 0 <= message < len(talk)
            assert 0 <= start < end <= len(talk[message])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.booleans(), max_size=80), st.integers(1, 12), st.integers(0, 11))
def test_chunks_never_split_a_tool_call_from_its_result(joined: list[bool], size: int, overlap: int) -> None:
    if overlap >= size:
        with pytest.raises(InvalidInputError, match="chunk_overlap"):
            message_chunks(joined, size, overlap)
        return
    chunks = message_chunks(joined, size, overlap)
    assert {i for a, z in chunks for i in range(a, z)} == set(range(len(joined)))
    for a, z in chunks:
        assert a == 0 or not joined[a]
        assert z == len(joined) or not joined[z]
        assert z - a <= size or all(joined[a + 1 : z])
    assert chunks == sorted(set(chunks))


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXT | st.builds(lambda t, n: t * n, TEXT, st.integers(1, 60)), max_size=6))
def test_passages_cover_every_message(texts: list[str]) -> None:
    parts: dict[int, str] = dict.fromkeys(range(len(texts)), "")
    for message, start, end in message_passages(texts):
        assert start == len(parts[message])
        parts[message] += texts[message][start:end]
    assert list(parts.values()) == texts


HOSTILE = [
    "a" * 1_000_000,
    " " * 1_000_000,
    "\u0301" * 100_000,
    "👨‍👩‍👧‍👦" * 20_000,
    "漢" * 200_000,
    "'" * 100_000 + "s" * 10,
    "a'" * 100_000,
    "\x00\u202e\ufeff\u200d",
    "x: " * 1000,
    "ﷺ" * 1000 + "ß" * 1000 + "İ" * 1000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_are_texts(text: str) -> None:
    index = ConversationIndex()
    index.put("s", [text, "the violin"])
    assert index.search("violin")[0].session == "s"
    index.search(text)
    search_terms(text)
    assert len(local_embed([text])) == 4 * local_dimensions()


def test_who_said_it_and_when_decide_between_equal_words() -> None:
    index = ConversationIndex(chunk_size=1, chunk_overlap=0)
    talk = ["Anna: I went swimming", "Boris: I went swimming", "Anna: nice weather", "Boris: it is"]
    index.put("march", talk, date="2024-03-02")
    index.put("july", talk, date="7:10 pm on 9 July, 2024")
    first = [(h.session, h.best) for h in index.search("Where did Boris go swimming in July 2024?", limit=1)]
    assert first == [("july", 1)]
    assert index.search("Where did Boris go swimming?", limit=1)[0].parts["speaker"] > 0


def test_a_session_filter_works_before_the_limit() -> None:
    index = ConversationIndex()
    for i in range(50):
        index.put(f"s{i:02}", ["violin lesson"] * 3)
    index.put("far", ["we spoke of a violin once, among many other things of no interest"])
    assert [h.session for h in index.search("violin", limit=1, sessions=["far"])] == ["far"]
    assert index.search("violin", sessions=[]) == []
    assert index.search("violin", sessions=["nobody"]) == []


def test_an_explanation_names_words_and_similarity() -> None:
    index = ConversationIndex()
    index.put("s", ["my violin lesson", "the plumber came"])
    hit = index.search("Which instrument do I play?")[0]
    assert ("instrument", "violin") in {(asked, found) for asked, found, _ in hit.words}
    assert hit.similarity is not None
    assert hit.similarity > 0
    assert "words" in hit.parts


def test_vectors_from_outside() -> None:
    index = ConversationIndex(embedding="external", dimensions=3)
    long = "word " * 400
    rows = len(message_passages(["alpha", long]))
    assert rows > 2
    vectors = [(1.0, 0.0, 0.0)] * (rows - 1) + [(0.0, 0.0, 1.0)]
    packed = b"".join(struct.pack("<3f", *v) for v in vectors)
    index.put("a", ["alpha", long], vectors=packed)
    index.put("b", ["beta"], vectors=struct.pack("<3f", 0, 1, 0))
    index.put("c", ["without a vector"])
    assert index.search("zz", vector=struct.pack("<3f", 0, 9, 0))[0].session == "b"
    found = index.search("zz", vector=struct.pack("<3f", 0, 0, 1))[0]
    assert (found.session, found.best) == ("a", 1)
    assert index.search("vector")[0].session == "c"
    for bad in (packed[:-4], packed + b"\0", struct.pack("<3f", float("nan"), 0, 0)):
        with pytest.raises(InvalidInputError):
            index.put("b", ["beta"], vectors=bad)
    assert index.search("beta")[0].session == "b"


def test_many_threads_search_while_others_write() -> None:
    index = ConversationIndex()
    index.put("fixed", ["the violin lesson was on Tuesday", "and the plumber came"])
    expected = [seen(h) for h in index.search("violin lesson", sessions=["fixed"])]
    failures: list[object] = []
    stop = threading.Event()

    def write(n: int) -> None:
        for i in range(60):
            index.put(f"w{n}", [f"note {i} of writer {n} on violins"] * (i % 7))
            index.remove(f"w{n}")
        stop.set()

    def read() -> None:
        while True:
            got = [seen(h) for h in index.search("violin lesson", sessions=["fixed"])]
            if got != expected:
                failures.append(got)
            if stop.is_set():
                return

    threads = [threading.Thread(target=read) for _ in range(32)]
    threads += [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
    assert index.sessions() == ["fixed"]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.none() | PHRASES | TEXT), max_size=30))
def test_a_text_index_equals_a_fresh_one(writes: list[tuple[int, str | None]]) -> None:
    index, held = TextIndex(), dict[int, str]()
    for key, text in writes:
        if text is None:
            assert index.remove([key]) == (held.pop(key, None) is not None)
        else:
            index.add([(key, text)])
            held[key] = text
    fresh = TextIndex()
    fresh.add(sorted(held.items(), reverse=True))
    assert len(index) == len(fresh) == len(held)
    for question in QUESTIONS:
        assert index.search(question) == fresh.search(question)
        few = [k for k in held if k % 2]
        assert {k for k, _, _ in index.search(question, allowed=few)} <= set(few)
