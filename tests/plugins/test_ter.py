"""TER against sacreBLEU's published values, sacreBLEU itself, and counts by hand."""

from __future__ import annotations

import gzip
import json
import math
import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.lib_ter import translation_edit_rate
from sacrebleu.metrics.ter import TER

from harness import Batch, Completion, Generation, Sample, Scores, Whole
from harness_plugins.ter import ter
from harness_plugins.ter_search import edits


def scored(completions, references, language=None, **options) -> tuple[Scores, float]:
    """Scores of one completion per sample, and the corpus score from their summed statistics."""
    generations = [
        Generation(Sample(str(i), references=tuple(refs), language=language), "m", (Completion(text),))
        for i, (text, refs) in enumerate(zip(completions, references, strict=True))
    ]
    metric = ter(**options)
    scores = metric(Batch(tuple(generations)))["ter"]
    rows = scores.statistics[np.isfinite(scores.statistics).all(axis=1)]
    (corpus,) = metric.corpus_from("ter", rows.sum(axis=0, keepdims=True))
    return scores, float(corpus)


def streams(references):
    return [[r[i] if i < len(r) else None for r in references] for i in range(max(map(len, references)))]


@pytest.mark.data
def test_corpus_values_of_sacrebleus_own_tests(shared_data):
    path = shared_data / "metric_oracles/sacrebleu/expected.json"
    cases = json.loads(path.read_text(encoding="utf-8"))["ter"]["test_cases"]
    assert len(cases) == 7
    for hypotheses, references, expected in cases:
        _, corpus = scored(hypotheses, [[r] for r in references])
        assert corpus == pytest.approx(100 * expected, abs=0.05), hypotheses  # given with three digits


@pytest.mark.data
def test_real_translations_equal_sacrebleu(shared_data):
    path = shared_data / "metric_oracles/sacrebleu/wmt17_en_de_systems.json.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        systems = dict(json.load(file))
    hypotheses = systems["newstest2017.LIUM-NMT.4900.en-de"][:150]
    reference = systems["reference"][0][:150]
    for options in ({}, {"normalized": True, "no_punct": True, "case_sensitive": True}):
        oracle = TER(**options)
        scores, corpus = scored(hypotheses, [[line] for line in reference], **options)
        pairs = zip(hypotheses, reference, strict=True)
        assert scores.segment == [oracle.sentence_score(h, [r]).score for h, r in pairs]
        assert corpus == oracle.corpus_score(hypotheses, [reference]).score


@pytest.mark.parametrize(
    ("completion", "references", "options", "expected"),
    [
        ("a b c d", ["a b c d"], {}, 0.0),
        ("a x c d", ["a b c d"], {}, 25.0),
        ("A B", ["a b"], {}, 0.0),
        ("A B", ["a b"], {"case_sensitive": True}, 100.0),
        ("d e f g h a b c", ["a b c d e f g h"], {}, 12.5),  # one phrase moved
        ("a b c d e f", ["a b"], {}, 200.0),  # more edits than reference words
        # 1 edit to the closest reference, over the average of 4 and 2 words
        ("a b x", ["a b c d", "a b"], {}, 100 / 3),
        ("", ["a b"], {}, 100.0),
        ("a b", [""], {}, 100.0),
        ("", [""], {}, 0.0),
        ("", ["", "a b"], {}, 0.0),
        ("Hello, world.", ["hello world"], {}, 100.0),
        ("Hello, world.", ["hello world"], {"no_punct": True}, 0.0),
        ("it is 3.5, ok", ["it is 3.5 , ok"], {"normalized": True}, 0.0),
        ("it's.", ["it's."], {"normalized": True}, 200 / 3),  # sacreBLEU reads references twice
    ],
)
def test_segments_worked_by_hand(completion, references, options, expected):
    scores, _ = scored([completion], [references], **options)
    assert scores.segment == pytest.approx([expected], abs=1e-9)


def test_corpus_is_of_summed_statistics_and_is_not_the_mean():
    texts, references = ["a b c", "x", "p q r s"], [["a b d", "a"], ["y", "x y z", "x"], ["q p r s"]]
    scores, corpus = scored(texts, references)
    assert corpus == pytest.approx(TER().corpus_score(texts, streams(references)).score, abs=1e-12)
    # edits 1, 0, 1 over 2, 5/3 and 4 words
    assert corpus == pytest.approx(100 * 2 / (2 + 5 / 3 + 4), abs=1e-12)
    assert abs(corpus - np.mean(scores.segment)) > 1
    assert (scores.statistics == np.round(scores.statistics)).all()


@pytest.mark.parametrize("language", ["zh", "zh-Hans", "yue", "ja"])
def test_chinese_is_compared_character_by_character(language):
    assert scored(["我爱北京"], [["我爱南京"]], language)[0].segment == [25.0]
    assert scored(["我爱北京"], [["我爱南京"]])[0].segment == [100.0]  # one word, since nobody said what it is
    texts = ["《红楼梦》是清代小说，作者曹雪芹。", "长城很长 and old", "東京へ行きます。"]
    references = [["《红楼梦》是曹雪芹写的小说。"], ["长城 is 很长"], ["明日東京へ行きました。"]]
    oracle = TER(normalized=True, asian_support=True)
    scores, corpus = scored(texts, references, language)
    assert scores.segment == [oracle.sentence_score(t, r).score for t, r in zip(texts, references, strict=True)]
    assert corpus == oracle.corpus_score(texts, streams(references)).score


def test_options_that_are_given_hold_for_every_language():
    for normalized, asian in ((True, False), (False, True), (True, True), (False, False)):
        oracle = TER(normalized=normalized, asian_support=asian, no_punct=True)
        scores, _ = scored(
            ["我爱，北京。ok."], [["我爱南京 ok"]], "zh", normalized=normalized, asian_support=asian, no_punct=True
        )
        assert scores.segment == [oracle.sentence_score("我爱，北京。ok.", ["我爱南京 ok"]).score]


@pytest.mark.parametrize("language", ["th", "lo", "km", "my", "bo"])
def test_languages_whose_words_the_tokenizer_does_not_find_abstain(language):
    scores, _ = scored(["a b"], [["a c"]], language)
    assert (scores.segment, scores.status_of(0)) == ([None], "abstain")
    assert language in scores.reasons[0]
    assert scored(["a b"], [["a c"]], language, normalized=False)[0].segment == [50.0]


@pytest.mark.parametrize(
    ("options", "languages", "signature"),
    [
        ({}, [None, "en", "de"], "ter|case:lc|tok:tercom|norm:no|punct:yes|asian:no"),
        ({}, [], "ter|case:lc|tok:tercom|norm:no|punct:yes|asian:no"),
        ({}, ["zh", "ja"], "ter|case:lc|tok:tercom|norm:yes|punct:yes|asian:yes"),
        ({}, ["zh", "en", "th"], "ter|case:lc|tok:tercom|norm:no+yes|punct:yes|asian:no+yes"),
        ({}, ["th"], "ter|case:lc|tok:tercom|norm:no|punct:yes|asian:no"),
        ({"normalized": False}, ["zh"], "ter|case:lc|tok:tercom|norm:no|punct:yes|asian:no"),
        ({"normalized": False, "no_punct": True}, ["zh"], "ter|case:lc|tok:tercom|norm:no|punct:no|asian:yes"),
        (
            {"normalized": True, "asian_support": True, "case_sensitive": True},
            ["en"],
            "ter|case:mixed|tok:tercom|norm:yes|punct:yes|asian:yes",
        ),
    ],
)
def test_signatures_follow_the_languages_of_the_task(options, languages, signature):
    whole = Whole.of(Sample(str(i), references=("a",), language=tag) for i, tag in enumerate(languages))
    for sample in whole.samples:
        batch = Batch((Generation(sample, "m", (Completion("a"),)),), whole=whole)
        assert ter(**options)(batch)["ter"].signature == signature
    assert ter(**options)(Batch((), whole=whole))["ter"].signature == signature


def test_texts_too_long_to_search_abstain():
    long, most = "w " * 1001, "w " * 1000
    scores, corpus = scored([long, "a", most, "a b"], [["a"], ["a", long], [most], ["a c"]])
    assert scores.segment == [None, None, 0.0, 50.0]
    assert "the completion has 1,001 words" in scores.reasons[0]
    assert "a reference has 1,001 words" in scores.reasons[1]
    assert np.isnan(scores.statistics[:2]).all()
    assert corpus == pytest.approx(100 / 1002)


@pytest.mark.parametrize("kind", ["shuffled", "few words", "repeated", "pairs swapped", "stray words"])
def test_the_longest_texts_it_takes_cost_a_second(kind):
    rng = random.Random(1)
    words = [f"w{i}" for i in range(1000)]
    if kind == "shuffled":
        pair = rng.sample(words, 1000), words
    elif kind == "few words":
        pair = rng.choices("abcdefgh", k=1000), rng.choices("abcdefgh", k=1000)
    elif kind == "repeated":
        pair = ["a"] * 1000, ["a"] * 999 + ["b"]
    elif kind == "pairs swapped":
        pair = [word for i in range(0, 1000, 2) for word in (words[i + 1], words[i])], words
    else:
        pair = tuple([f"d{i}" if i % 31 == shift else "a" for i in range(1000)] for shift in (3, 11))
    start = time.perf_counter()
    edits(*pair)
    assert time.perf_counter() - start < 15  # below 1 s when nothing else runs; sacreBLEU takes up to 30 s


def test_resampling_is_fast_and_row_wise():
    scores, _ = scored(["a b c", "x", "p q"], [["a b"], ["x y"], ["q p", "p"]])
    sums = np.random.default_rng(0).multinomial(300, [1 / 3] * 3, size=1000) @ scores.statistics
    metric = ter()
    start = time.perf_counter()
    values = metric.corpus_from("ter", sums)
    assert time.perf_counter() - start < 0.25
    assert values.shape == (1000,)
    assert all(metric.corpus_from("ter", sums[i : i + 1])[0] == values[i] for i in (0, 500, 999))


def test_it_is_declared_as_an_error_rate():
    (info,) = ter().infos
    assert (info.low, info.high, info.higher_is_better, info.corpus) == (0.0, math.inf, False, "statistics")


def disturbed(words: list[str], rng: random.Random) -> list[str]:
    """The words with phrases moved, put in and taken out: what shifts and the band along the diagonal are for."""
    found = list(words)
    for _ in range(rng.randrange(6)):
        start, size = rng.randrange(len(found) + 1), rng.randrange(1, 40)
        phrase = found[start : start + size]
        if rng.random() < 0.7:
            del found[start : start + size]
        place = rng.randrange(len(found) + 1)
        found[place:place] = phrase
    return found


@pytest.mark.parametrize("kinds", [2, 5, 40, 1000])
@pytest.mark.parametrize("size", [6, 30, 100])
def test_the_search_equals_sacrebleus(size, kinds):
    rng = random.Random(size * kinds)
    for _ in range(300 // size if size < 100 else 1):
        reference = [str(rng.randrange(kinds)) for _ in range(rng.randrange(1, size + 1))]
        other = [str(rng.randrange(kinds)) for _ in range(rng.randrange(1, size + 1))]
        for words in (other, disturbed(reference, rng)):
            assert edits(words, reference) == translation_edit_rate(words, reference)[0]


@pytest.mark.parametrize(("here", "there"), [(1, 60), (2, 101), (3, 150), (3, 157), (60, 1), (300, 2), (8, 410)])
def test_texts_of_very_different_length_equal_sacrebleus(here, there):
    for kinds in (2, 9, 500):
        rng = random.Random(kinds)
        words, reference = (rng.choices([str(i) for i in range(kinds)], k=k) for k in (here, there))
        assert edits(words, reference) == translation_edit_rate(words, reference)[0]


@pytest.mark.parametrize("seed", range(4))
def test_the_thousandth_candidate_is_the_last(seed):
    rng = random.Random(seed)
    words, reference = (rng.choices("012", k=k) for k in (60, 90))
    assert edits(words, reference) == translation_edit_rate(words, reference)[0]


@pytest.mark.parametrize(("distance", "expected"), [(49, 1), (50, 1), (51, 2), (58, 2)])
def test_words_are_shifted_by_fifty_places_at_most(distance, expected):
    reference = [f"w{i}" for i in range(70)]
    words = [*reference[1 : distance + 1], reference[0], *reference[distance + 1 :]]
    assert edits(words, reference) == translation_edit_rate(words, reference)[0] == expected


texts = st.lists(st.sampled_from(["a", "b", "c", "D", "d", ".", ",", "我", "是", "&amp;", "it's"]), max_size=14)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(texts.map(" ".join), st.lists(texts.map("".join), min_size=1, max_size=3)), min_size=1, max_size=4
    ),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_any_text_equals_sacrebleu(pairs, normalized, no_punct, asian_support, case_sensitive):
    options = {
        "normalized": normalized, "no_punct": no_punct, "asian_support": asian_support, "case_sensitive": case_sensitive,
    }  # fmt: skip
    completions, references = [p[0] for p in pairs], [p[1] for p in pairs]
    oracle = TER(**options)
    scores, corpus = scored(completions, references, **options)
    assert scores.segment == [oracle.sentence_score(t, r).score for t, r in zip(completions, references, strict=True)]
    assert corpus == pytest.approx(oracle.corpus_score(completions, streams(references)).score, abs=1e-12)
