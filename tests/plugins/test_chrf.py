"""chrF and chrF++ against sacreBLEU's published values and sacreBLEU itself."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.chrf import CHRF

from harness import Batch, Completion, Generation, Sample, Scores
from harness_plugins.chrf import chrf


def scored(completions, references, **options) -> tuple[Scores, float]:
    """Scores of one completion per sample, and the corpus score from their summed statistics."""
    generations = [
        Generation(Sample(str(i), references=tuple(refs)), "m", (Completion(text),))
        for i, (text, refs) in enumerate(zip(completions, references, strict=True))
    ]
    metric = chrf(**options)
    scores = metric(Batch(tuple(generations)))["chrf"]
    (corpus,) = metric.corpus_from("chrf", scores.statistics.sum(axis=0, keepdims=True))
    return scores, float(corpus)


def streams(references):
    return [[r[i] if i < len(r) else None for r in references] for i in range(max(map(len, references)))]


@pytest.mark.data
@pytest.mark.parametrize(
    ("table", "options"),
    [
        ("test_cases", {"eps_smoothing": True}),
        ("test_cases_effective_order", {}),
        ("test_cases_keep_whitespace", {"whitespace": True}),
    ],
)
def test_corpus_values_of_sacrebleus_own_tests(shared_data, table, options):
    path = shared_data / "metric_oracles/sacrebleu/expected.json"
    cases = json.loads(path.read_text(encoding="utf-8"))["chrf"][table]
    assert cases
    for hypotheses, references, expected in cases:
        _, corpus = scored(hypotheses, [[r] for r in references], beta=3.0, **options)
        assert corpus == pytest.approx(expected, abs=1e-4), hypotheses


@pytest.mark.data
def test_sentence_values_of_sacrebleus_own_tests(shared_data):
    path = shared_data / "metric_oracles/sacrebleu/expected.json"
    cases = json.loads(path.read_text(encoding="utf-8"))["chrf"]["test_sentence_level_chrf"]
    for hypothesis, references, expected in cases:
        scores, _ = scored([hypothesis], [references], eps_smoothing=True)
        assert scores.segment == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize(
    ("completion", "references", "options", "expected"),
    [
        ("ab", ["ab"], {}, 100.0),
        ("ab", ["cd"], {}, 0.0),
        ("", ["ab"], {}, 0.0),
        ("ab", [""], {}, 0.0),
        ("AB", ["ab"], {"lowercase": True}, 100.0),
        # unigrams 1/2 and 1/2, bigrams 0: average precision and recall 1/4 over 2 orders that exist
        ("ab", ["ac"], {}, 25.0),
        # the better of two references
        ("ab", ["cd", "ac", "xy"], {}, 25.0),
        # character orders 1, 2 and word order 1: (2/3 + 1/2 + 0) / 3 on both sides
        ("abc", ["abd"], {"char_order": 2, "word_order": 1}, 100 * (2 / 3 + 1 / 2) / 3),
        # precision 1, recall 1/2, beta 1: F = 2/3
        ("a", ["ab"], {"char_order": 1, "beta": 1}, 100 * 2 / 3),
        # beta 2: 5 * 1 * 0.5 / (4 * 1 + 0.5)
        ("a", ["ab"], {"char_order": 1}, 100 * 2.5 / 4.5),
    ],
)
def test_segments_worked_by_hand(completion, references, options, expected):
    scores, _ = scored([completion], [references], **options)
    assert scores.segment == pytest.approx([expected], abs=1e-9)


def test_the_best_reference_of_each_segment_enters_the_corpus_score():
    texts, references = ["abcd", "efgh"], [["abcx", "zzzz"], ["zzzz", "efgx", "xx"]]
    scores, corpus = scored(texts, references)
    assert corpus == CHRF().corpus_score(texts, streams(references)).score
    assert corpus == scored(texts, [["abcx"], ["efgx"]])[1]
    assert scores.statistics.shape == (2, 18)


@pytest.mark.parametrize(
    ("options", "signature"),
    [
        ({}, "chrf|case:mixed|eff:yes|nc:6|nw:0|space:no|beta:2"),
        ({"word_order": 2}, "chrf|case:mixed|eff:yes|nc:6|nw:2|space:no|beta:2"),
        (
            {"lowercase": True, "whitespace": True, "eps_smoothing": True, "char_order": 4, "beta": 0.5},
            "chrf|case:lc|eff:no|nc:4|nw:0|space:yes|beta:0.5",
        ),
    ],
)
def test_signatures(options, signature):
    assert scored(["a"], [["a"]], **options)[0].signature == signature


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"char_order": -1}, "char_order"),
        ({"char_order": 0}, "not both 0"),
        ({"word_order": -2}, "word_order"),
        ({"beta": 0}, "beta"),
        ({"beta": float("nan")}, "beta"),
        ({"beta": float("inf")}, "beta"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        chrf(**options)


def test_resampling_is_fast_and_row_wise():
    texts, references = ["a dog bit", "the man", "it was"], [["the dog bit"], ["a man", "men"], ["it is"]]
    metric = chrf(word_order=2)
    scores, _ = scored(texts, references, word_order=2)
    sums = np.random.default_rng(0).multinomial(300, [1 / 3] * 3, size=1000) @ scores.statistics
    start = time.perf_counter()
    values = metric.corpus_from("chrf", sums)
    assert time.perf_counter() - start < 0.25  # 0.01 s when nothing else runs
    assert values.shape == (1000,)
    assert all(metric.corpus_from("chrf", sums[i : i + 1])[0] == values[i] for i in (0, 500, 999))


texts = st.text(alphabet="ab c.é你", max_size=20)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=1, max_size=4),
    st.sampled_from([{}, {"word_order": 2}, {"eps_smoothing": True}, {"whitespace": True}, {"lowercase": True}]),
)
def test_any_text_equals_sacrebleu_and_stays_in_range(pairs, options):
    completions, references = [p[0] for p in pairs], [p[1] for p in pairs]
    oracle = CHRF(**options)
    scores, corpus = scored(completions, references, **options)
    assert all(0.0 <= value <= 100.0 for value in scores.segment)
    assert scores.segment == [oracle.sentence_score(t, r).score for t, r in zip(completions, references, strict=True)]
    assert corpus == oracle.corpus_score(completions, streams(references)).score


def test_chinese_needs_no_words():
    # characters 3/4, pairs 1/3, none of 2 and of 1; the orders of length 5 and 6 do not exist
    scores, corpus = scored(["我爱北京"], [["我爱南京"]])
    assert scores.segment == pytest.approx([100 * (3 / 4 + 1 / 3) / 4])
    assert corpus == CHRF().corpus_score(["我爱北京"], [["我爱南京"]]).score
