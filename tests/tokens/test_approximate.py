"""The estimate: how far from the exact count, and that it never shrinks when text is added."""

from __future__ import annotations

import json
from pathlib import Path

import ai_infra
import pytest
from ai_infra._core import Encoding, count_approximate
from hypothesis import given, settings
from hypothesis import strategies as st

from .corpus import ALPHABETS, SENTENCES

USUAL = (-0.15, 0.30)
"""The error of one sentence; `docs/tokens.md` states the same bands."""
BANDS = {"numbers": (-0.25, 0.25), "special": (-0.25, 0.25)}


@pytest.mark.parametrize("kind", SENTENCES)
def test_a_sentence_is_within_its_band(kind: str) -> None:
    exact = Encoding("o200k_base").count(SENTENCES[kind])
    low, high = BANDS.get(kind, USUAL)
    assert low <= count_approximate(SENTENCES[kind]) / exact - 1 <= high


def test_the_shipped_conversation_is_within_a_tenth() -> None:
    files = sorted((Path(ai_infra.__file__).parent / "demo").glob("2*.jsonl"))
    rows = [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [row["content"] for row in rows if isinstance(row.get("content"), str)]
    assert len(texts) > 100
    exact = Encoding("o200k_base").count_total(texts)
    assert sum(map(count_approximate, texts)) == pytest.approx(exact, rel=0.1)


@settings(max_examples=500)
@given(
    text=st.text(st.sampled_from(sorted(set("".join(ALPHABETS.values())))) | st.characters(codec="utf-8")),
    more=st.text(st.sampled_from(sorted(set("".join(ALPHABETS.values())))) | st.characters(codec="utf-8")),
)
def test_it_never_shrinks_when_text_is_added(text: str, more: str) -> None:
    assert count_approximate(text) <= count_approximate(text + more)


def test_nothing_costs_nothing_and_anything_costs_something() -> None:
    assert count_approximate("") == 0
    assert all(count_approximate(letter) > 0 for letter in "a1.é日한ж")
