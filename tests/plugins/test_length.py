"""Lengths in words, code points and tokens."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import Batch, Completion, Generation, Sample
from harness_plugins.length import length

NAMES = ["length", "length_chars", "length_tokens"]


def scored(*completions, wanted=()):
    return length()(Batch((Generation(Sample("1"), "m", completions),), frozenset(wanted)))


def words(text):
    return scored(Completion(text))["length"].segment[0]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        (" \n\t ", 0),
        ("?! … — 😀 👨‍👩‍👧", 0),
        ("one", 1),
        ("The cat sat.", 3),
        ("don't can’t l'eau", 3),
        ("well-known", 2),
        ("3.14 1,000,000 2.", 3),
        ("e.g.", 2),
        ("snake_case x2", 2),
        ("naïve cafe\u0301", 2),  # the accent as a mark of its own
        ("नमस्ते दुनिया", 2),  # vowel signs and virama are marks
        ("می‌خواهم", 1),  # joined by a zero-width non-joiner
        ("a\u200bb", 2),  # parted by a zero-width space
        ("我喜欢 reading", 4),
        ("こんにちは", 5),
        ("カタカナ", 1),
        ("한국어 텍스트", 2),
        ("𠀀𠀁", 2),
        ("'quoted'", 1),
    ],
)
def test_words(text, count):
    assert words(text) == count


@pytest.mark.parametrize(("text", "count"), [("", 0), ("a b\n", 4), ("é", 1), ("e\u0301", 2), ("👨‍👩‍👧", 5), ("𠀀", 1)])
def test_chars_are_code_points(text, count):
    assert scored(Completion(text))["length_chars"].segment == [count]


def test_tokens_are_those_recorded():
    scores = scored(Completion("a b", tokens=7), Completion("a"), Completion("", tokens=0))["length_tokens"]
    assert scores.segment == [7.0, None, 0.0]
    assert scores.status_of(1) == "abstain"
    assert "not recorded" in scores.reasons[1]


def test_infos_and_signatures():
    found = scored(Completion("a", tokens=1))
    assert list(found) == NAMES == [info.name for info in length().infos]
    assert [s.signature for s in found.values()] == [
        "length|unit:words",
        "length_chars|unit:codepoints",
        "length_tokens|unit:tokens",
    ]
    assert all((i.low, i.high, i.corpus, i.needs) == (0.0, math.inf, "mean", frozenset()) for i in length().infos)


def test_only_wanted_scores_are_computed():
    assert set(scored(Completion("a"), wanted=["length_chars"])) == {"length_chars"}


@given(st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True), max_size=20))
def test_plain_words_are_counted_once_each(found):
    assert words(" ".join(found)) == words(", ".join(found)) == words("\n\n".join(found)) == len(found)
