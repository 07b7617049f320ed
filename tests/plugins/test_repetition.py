"""Repetition by hand and by definition."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Batch, Completion, Generation, Message, NoValue, Sample, Scores
from harness_plugins.repetition import repetition
from harness_plugins.words import words

NAMES = ("repetition", "repetition_lines", "repetition_prompt")


def scored(*texts: str, prompt: Any = "Say something", **options: Any) -> dict[str, Scores]:
    generation = Generation(Sample("1", prompt=prompt), "m", tuple(map(Completion, texts)))
    return dict(repetition(**options)(Batch((generation,))))


def of(name: str, text: str, **options: Any) -> float | NoValue:
    scores = scored(text, **options)[name]
    (value,) = scores.segment
    return NoValue(scores.status_of(0), scores.reasons[0]) if value is None else value  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "n", "expected"),
    [
        ("a b c d e f g", 4, 0.0),
        ("a b c d a b c d", 4, 1 / 5),  # abcd bcda cdab dabc abcd
        ("a a a a a a a a a a a", 4, 7 / 8),
        ("a b c d", 4, 0.0),
        ("the cat, the cat; the cat!", 2, 3 / 5),  # the-cat cat-the the-cat cat-the the-cat: 2 of 5 are distinct
        ("The cat the cat", 2, 0.0),
        ("x x x x", 1, 3 / 4),
        ("don't stop, don't stop", 2, 1 / 3),
        ("好好好好好好", 4, 2 / 3),
        ("我爱你我爱你", 3, 1 / 4),
    ],
)
def test_share_of_ngrams_that_stood_before(text: str, n: int, expected: float) -> None:
    assert of("repetition", text, n=n) == expected


def test_case_is_an_option() -> None:
    assert of("repetition", "The cat the cat", n=2, lowercase=True) == 1 / 3
    assert of("repetition_lines", "Ho\nho") == 0.0
    assert of("repetition_lines", "Ho\nho", lowercase=True) == 0.5
    assert of("repetition_prompt", "say SOMETHING", n=2) == 0.0
    assert of("repetition_prompt", "say SOMETHING", n=2, lowercase=True) == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one", 0.0),
        ("one\ntwo\none", 1 / 3),
        ("one\n\n\n  one \r\n\none", 2 / 3),
        ("- \n-", 0.5),
        ("一行\n一行", 0.5),
    ],
)
def test_share_of_lines_that_stood_before(text: str, expected: float) -> None:
    assert of("repetition_lines", text) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("text", "prompt", "expected"),
    [
        ("a b c", "x a b c y", 1.0),
        ("a b x a b", "a b!", 0.5),  # ab bx xa ab
        ("a b c", "c b a", 0.0),
        ("a b c", "", 0.0),
        ("a b c", (Message("system", "a b c"), Message("user", "b c"), Message("assistant", "a b")), 0.5),
    ],
)
def test_share_of_ngrams_that_stand_in_the_prompt(text: str, prompt: Any, expected: float) -> None:
    assert of("repetition_prompt", text, prompt=prompt, n=2) == expected


@pytest.mark.parametrize("text", ["", " \n", "?!…", "a b c", "好好好"])
def test_short_texts_abstain(text: str) -> None:
    for name in ("repetition", "repetition_prompt"):
        assert of(name, text) == NoValue("abstain", "the completion has fewer than 4 words")
    assert of("repetition", "", n=1) == NoValue("abstain", "the completion has fewer than 1 word")


@pytest.mark.parametrize("text", ["", " \n\t\n", "\u3000"])
def test_without_lines_it_abstains(text: str) -> None:
    assert of("repetition_lines", text) == NoValue("abstain", "the completion has no line with anything in it")


def test_each_completion_has_its_own_value() -> None:
    scores = scored("a a a a a", "a b c d e", "", prompt="a b c d")
    assert scores["repetition"].segment == [0.5, 0.0, None]
    assert scores["repetition_lines"].segment == [0.0, 0.0, None]
    assert scores["repetition_prompt"].segment == [0.0, 0.5, None]


def test_signatures_and_infos() -> None:
    assert [s.signature for s in scored("a").values()] == [
        "repetition|n:4|case:mixed|words:unicode",
        "repetition_lines|case:mixed",
        "repetition_prompt|n:4|case:mixed|words:unicode",
    ]
    assert [s.signature for s in scored("a", n=2, lowercase=True).values()] == [
        "repetition|n:2|case:lc|words:unicode",
        "repetition_lines|case:lc",
        "repetition_prompt|n:2|case:lc|words:unicode",
    ]
    for info in repetition().infos:
        assert (info.low, info.high, info.higher_is_better, info.scope, info.corpus) == (0, 1, False, "segment", "mean")
    assert [sorted(info.needs) for info in repetition().infos] == [[], [], ["prompt"]]
    assert tuple(info.name for info in repetition().infos) == NAMES


@pytest.mark.parametrize("n", [0, -1, 21])
def test_bad_options(n: int) -> None:
    with pytest.raises(ValueError, match=f"n: {n} is not from 1 to 20"):
        repetition(n=n)


def test_a_long_text_is_no_trouble() -> None:
    start = time.perf_counter()
    assert of("repetition", "word " * 20_000) == 19_996 / 19_997
    assert of("repetition", "字" * 100_000, n=20) == 99_980 / 99_981
    assert of("repetition_lines", "x\n" * 50_000) == 49_999 / 50_000
    assert time.perf_counter() - start < 5


some_words = st.lists(st.sampled_from(["a", "b", "c", "你", "好"]), max_size=20)


@settings(max_examples=200, deadline=None)
@given(some_words, some_words, st.integers(1, 5))
def test_by_definition(text: list[str], prompt: list[str], n: int) -> None:
    scores = scored(" ".join(text), prompt=" ".join(prompt), n=n)
    grams = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
    given_grams = [tuple(prompt[i : i + n]) for i in range(len(prompt) - n + 1)]
    assert words(" ".join(text)) == text
    if not grams:
        assert scores["repetition"].segment == scores["repetition_prompt"].segment == [None]
        return
    repeats = sum(1 for i, gram in enumerate(grams) if gram in grams[:i])
    assert scores["repetition"].segment[0] == pytest.approx(repeats / len(grams), abs=1e-12)
    assert scores["repetition_prompt"].segment == [sum(1 for gram in grams if gram in given_grams) / len(grams)]
