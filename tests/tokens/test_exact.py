"""Counts equal Python tiktoken's, on everything. ``referee`` also proves that the vocabulary is OpenAI's."""

from __future__ import annotations

import pytest
from ai_infra._core import Encoding

from .corpus import SENTENCES, code_points, library_files, mixed_texts, random_strings
from .referee import NAMES, differences, expected, ranks, referee

BOTH = ("o200k_base", "cl100k_base")


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("frame", ["{}", "a{}b", "A{} 1", " {}!"])
def test_every_code_point(name: str, frame: str) -> None:
    assert differences(name, [frame.format(char) for char in code_points()]) == []


@pytest.mark.parametrize("name", ["p50k_base", "r50k_base"])
def test_every_code_point_in_the_older_encodings(name: str) -> None:
    assert differences(name, [f"a{char} b" for char in code_points()]) == []


@pytest.mark.parametrize("seed", range(10))
def test_a_million_random_strings(seed: int) -> None:
    texts = list(random_strings(100_000, seed))
    for name in BOTH:
        assert differences(name, texts) == []


@pytest.mark.parametrize("name", NAMES)
def test_random_strings_of_several_windows(name: str) -> None:
    """Long enough that pre-tokens meet the edges of the 64-byte windows in every way."""
    assert differences(name, list(random_strings(15_000, 1000, longest=300))) == []


@pytest.mark.parametrize("name", NAMES)
def test_mixed_languages_code_and_json(name: str) -> None:
    assert differences(name, [*SENTENCES.values(), *mixed_texts(6_000, 7)]) == []


@pytest.mark.parametrize(
    ("name", "characters"),
    [
        ("o200k_base", 12_000_000),
        ("cl100k_base", 6_000_000),
        ("p50k_base", 2_000_000),
        ("r50k_base", 2_000_000),
    ],
)
def test_files_of_this_installation(name: str, characters: int) -> None:
    texts = list(library_files(characters))
    assert sum(map(len, texts)) > 1_000_000
    assert differences(name, texts) == []


@pytest.mark.parametrize("name", BOTH)
def test_every_position_of_a_window(name: str) -> None:
    """Each tricky piece at each offset from 0 to 70, so that it is cut by a window's edge at every point."""
    pieces = [
        "don't",
        "'ll",
        "THEY'RE.",
        "x'ſy",
        "  \n\n ",
        " \t x",
        "\n//a",
        ";\n//",
        "1234567",
        "é",
        "aB'sC",
        "!!\r\n",
        "''d",
    ]
    texts = [
        "a b"[: i % 4] + "word " * (i // 5) + "." * (i % 5) + piece + end
        for i in range(71)
        for piece in pieces
        for end in ("", "a", " ", "\n", "'s", "x y z " * 12)
    ]
    assert differences(name, texts) == []


@pytest.mark.parametrize("name", BOTH)
def test_long_runs(name: str) -> None:
    """Lengths around every power of two; tiktoken itself is quadratic here, so they end at 1,025."""
    lengths = [n + d for n in (8, 16, 32, 64, 128, 256, 512, 1024) for d in (-1, 0, 1)]
    units = [
        "a",
        "A",
        "aB",
        " ",
        "\n",
        " \n",
        "\t",
        "!",
        "/",
        "1",
        "é",
        "日",
        "日A",
        "👍🏽",
        "👩\u200d",
        "\u0301",
        "ab",
        "=-",
        "\x00",
    ]
    assert (
        differences(
            name, [before + unit * n for n in lengths for unit in units for before in ("", " ", "x ")]
        )
        == []
    )


@pytest.mark.parametrize("name", NAMES)
def test_text_like_special_tokens_is_ordinary(name: str) -> None:
    texts = [
        "<|endoftext|>",
        "a<|im_start|>b",
        "<|start|>user<|message|>",
        "<|fim_prefix|><|endofprompt|>",
        "<|reserved_200042|>",
    ]
    assert differences(name, texts) == []
    assert Encoding(name).count("<|endoftext|>") > 1


@pytest.mark.parametrize("name", NAMES)
def test_surrogates_count_as_in_tiktoken(name: str) -> None:
    texts = [
        "\ud800",
        "a\udfffb",
        "\ud83d\ude00",
        "\ude00\ud83d",
        "\ud83d\ud83d\ude00 x",
        "\ufeff\ud800",
        "日\udc80本" * 50,
    ]
    assert [Encoding(name).count(text) for text in texts] == expected(name, texts)


def test_nul_and_control_characters() -> None:
    texts = ["\0", "a\0b", "\0" * 50, "".join(map(chr, range(32))), "\x1c\x1d\x1e\x1f \x85"]
    assert differences("o200k_base", texts) == []


def test_every_token_of_the_vocabulary_is_one_token_or_its_pieces() -> None:
    for name in BOTH:
        texts = [text for token in ranks(name) if "\ufffd" not in (text := token.decode("utf-8", "replace"))]
        assert len(texts) > 90_000
        assert differences(name, texts) == []


def test_harmony_has_the_ordinary_vocabulary_of_o200k() -> None:
    assert ranks("o200k_harmony") == ranks("o200k_base")
    assert referee("o200k_harmony").encode_ordinary("a b") == referee("o200k_base").encode_ordinary("a b")
