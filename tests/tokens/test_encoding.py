"""The faces of the engine: names, batches, messages, limits, cuts, threads, linear time."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ai_infra._core import Encoding
from ai_infra.errors import InvalidInputError
from hypothesis import given
from hypothesis import strategies as st

from .corpus import mixed_texts, random_strings

O200K = Encoding("o200k_base")
ANY_TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from(" \n'aA1!日"), max_size=300)


def test_an_unknown_name_names_the_known_ones() -> None:
    with pytest.raises(
        InvalidInputError, match=r"gpt-9.*o200k_base, cl100k_base, p50k_base, r50k_base, o200k_harmony"
    ):
        Encoding("gpt-9")


def test_a_name_is_kept() -> None:
    assert Encoding("cl100k_base").name == "cl100k_base"
    assert repr(Encoding("cl100k_base")) == 'Encoding("cl100k_base")'


def test_empty_text_has_no_tokens() -> None:
    assert O200K.count("") == 0
    assert O200K.count_batch([]) == []
    assert O200K.count_messages([], 3) == (0, [])


def test_batches_equal_single_counts() -> None:
    texts = list(mixed_texts(500, 3))
    counts = [O200K.count(text) for text in texts]
    assert O200K.count_batch(texts) == counts
    assert O200K.count_total(texts) == sum(counts)


def test_only_strings_are_counted() -> None:
    bad: Any = b"bytes"
    with pytest.raises(TypeError):
        O200K.count(bad)
    with pytest.raises(TypeError):
        O200K.count_batch(["a", bad])


class Text(str):
    """A subclass of str, as some libraries hand out."""


class Message(dict[str, Any]):
    """A subclass of dict, which may override what it gives out."""


def test_messages_are_read_where_they_are_plain() -> None:
    plain = [
        {"role": "user", "content": "Hello, world"},
        {"content": "", "role": "assistant"},
        {"role": "tool", "content": Text("a subclass")},
        {"role": "developer", "content": "\ud83d\ude00 and a lone \ud800"},
    ]
    other: list[Any] = [
        {"role": "user", "content": None},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "user", "content": "x", "name": "sam"},
        {"role": "user"},
        {},
        {"role": 1, "content": "x"},
        {"role": "user", "text": "x"},
        Message(role="user", content="x"),
        "text",
        None,
    ]
    expected = sum(3 + O200K.count(m["role"]) + O200K.count(m["content"]) for m in plain)
    mixed = [*plain[:2], *other, *plain[2:]]
    assert O200K.count_messages(plain, 3) == (expected, [])
    assert O200K.count_messages(mixed, 3) == (expected, list(range(2, 2 + len(other))))
    assert O200K.count_messages(plain, 0) == (expected - 3 * len(plain), [])


def test_many_different_roles() -> None:
    messages = [{"role": f"role number {i % 7}", "content": str(i)} for i in range(1000)]
    expected = sum(3 + O200K.count(m["role"]) + O200K.count(m["content"]) for m in messages)
    assert O200K.count_messages(messages, 3) == (expected, [])


@given(ANY_TEXT, st.integers(0, 100))
def test_limits_agree_with_full_counts(text: str, limit: int) -> None:
    for name in ("o200k_base", "cl100k_base", "r50k_base"):
        check_limits(Encoding(name), text, limit)


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base", "p50k_base"])
def test_limits_on_hard_texts(name: str) -> None:
    rng = random.Random(4)
    runs = [
        "a" * 1000,
        "日A" * 300,
        " \n" * 500,
        "😀" * 300,
        "x" * 70 + "日A," * 40,
        "don't" * 90,
        "\u3000" * 200,
    ]
    for text in [*runs, *random_strings(4_000, 5, longest=120), *mixed_texts(1_000, 6)]:
        check_limits(Encoding(name), text, rng.randint(0, 2 + len(text) // 2))


def check_limits(encoding: Encoding, text: str, limit: int) -> None:
    count = encoding.count(text)
    assert encoding.count_up_to(text, limit) == (count if count <= limit else None)
    prefix, suffix = encoding.prefix_within(text, limit), encoding.suffix_within(text, limit)
    assert encoding.count(text[:prefix]) <= limit
    assert encoding.count(text[suffix:]) <= limit
    if count <= limit:
        assert (prefix, suffix) == (len(text), 0)
    elif (
        limit > 64 + 16
    ):  # a cut wastes at most what one pre-token of 64 bytes, or a few tokens around it, can hold
        assert encoding.count(text[:prefix]) > limit - 64 - 16
        assert encoding.count(text[suffix:]) > limit - 64 - 16


def test_cuts_of_text_with_surrogates_count_characters_as_python_does() -> None:
    text = "\ud83d\ude00 hello \ud800 world " * 20
    for limit in range(0, O200K.count(text), 7):
        assert O200K.count(text[: O200K.prefix_within(text, limit)]) <= limit
        assert O200K.count(text[O200K.suffix_within(text, limit) :]) <= limit


def test_words_stay_whole_in_cuts() -> None:
    text = "The quick brown fox jumps over the lazy dog and runs away. " * 20
    for limit in range(1, O200K.count(text)):
        prefix, suffix = O200K.prefix_within(text, limit), O200K.suffix_within(text, limit)
        assert O200K.count(text[:prefix]) == limit
        assert O200K.count(text[suffix:]) == limit
        assert not (text[prefix - 1].isalpha() and text[prefix].isalpha())


def test_other_threads_run_during_a_large_count() -> None:
    text = "some words that are counted for a while, " * 400_000
    advanced = 0
    stop = threading.Event()

    def advance() -> None:
        nonlocal advanced
        while not stop.is_set():
            advanced += 1
            time.sleep(0)

    thread = threading.Thread(target=advance)
    thread.start()
    try:
        # Without the GIL released nothing could move between these two reads but by chance, once.
        before, _, after = advanced, O200K.count(text), advanced
    finally:
        stop.set()
        thread.join()
    assert after - before > 10


def test_32_threads_give_the_same_numbers() -> None:
    texts = list(mixed_texts(400, 11)) + list(random_strings(2_000, 12))
    encodings = [Encoding(name) for name in ("o200k_base", "cl100k_base", "p50k_base", "r50k_base")]
    expected = [encoding.count_batch(texts) for encoding in encodings]
    gate = threading.Barrier(32)

    def work(seed: int) -> bool:
        order = list(range(len(texts)))
        random.Random(seed).shuffle(order)
        gate.wait()
        return all(
            encoding.count(texts[i]) == counts[i]
            for i in order
            for encoding, counts in zip(encodings, expected, strict=True)
        )

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(work, range(32)))


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base", "p50k_base"])
@pytest.mark.parametrize(
    "unit", ["a", " ", "\n", "é", "日", "👩\u200d👧", "!", "0", "ab", "aB", "\u0301", "\x00"]
)
def test_a_megabyte_of_one_thing_is_a_number(name: str, unit: str) -> None:
    """That this ends at all is the test; tiktoken overflows or takes minutes. Two halves bound the count."""
    encoding = Encoding(name)
    half = unit * (500_000 // len(unit.encode()))
    whole = encoding.count(half + half)
    assert abs(whole - 2 * encoding.count(half)) <= 2
