"""BLEU against sacreBLEU's published values and sacreBLEU itself."""

from __future__ import annotations

import gzip
import importlib.util
import json
import logging
import sys
import time

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from harness import Batch, Completion, Generation, PluginError, Sample, Scores, Whole
from harness_plugins.bleu import bleu

SIX = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
REFS = [
    ["The dog bit the man.", "It was not unexpected.", "The man bit him first."],
    ["The dog had bit the man.", "No one was surprised.", "The man had bitten the dog."],
]


def scored(completions, references, language=None, **options) -> tuple[Scores, float]:
    """Scores of one completion per sample, and the corpus score from their summed statistics."""
    generations = [
        Generation(Sample(str(i), references=tuple(refs), language=language), "m", (Completion(text),))
        for i, (text, refs) in enumerate(zip(completions, references, strict=True))
    ]
    metric = bleu(**options)
    scores = metric(Batch(tuple(generations)))["bleu"]
    (corpus,) = metric.corpus_from("bleu", scores.statistics.sum(axis=0, keepdims=True))
    return scores, float(corpus)


def oracle(shared_data):
    return json.loads((shared_data / "metric_oracles/sacrebleu/expected.json").read_text(encoding="utf-8"))


@pytest.mark.data
def test_corpus_values_of_sacrebleus_own_tests(shared_data):
    cases = oracle(shared_data)["bleu"]["test_corpus_bleu_cases"]
    assert len(cases) == 6
    for hypotheses, streams, options, expected in cases:
        _, corpus = scored(hypotheses, zip(*streams, strict=True), **options)
        assert corpus == pytest.approx(expected, abs=1e-6)


@pytest.mark.data
def test_effective_order_and_raw_values_of_sacrebleus_own_tests(shared_data):
    cases = oracle(shared_data)["bleu"]
    for hypotheses, streams, expected in cases["test_case_effective_order"] + cases["test_raw_bleu_cases"]:
        references = zip(*streams, strict=True)
        options = {"tokenize": "none", "smooth_method": "floor", "smooth_value": 0.01}  # those of its tests
        scores, _ = scored(hypotheses, references, **options)
        assert scores.segment == pytest.approx([100 * expected] * len(hypotheses), abs=1e-6)


@pytest.mark.data
def test_sentence_values_of_sacrebleus_own_tests(shared_data):
    cases = oracle(shared_data)["sentence_bleu"]
    tables = [
        (cases["SYS"], cases["REF"], cases["test_cases"]),
        (cases["SYS_0"], cases["REF_0"], cases["test_cases_zero_bleu"]),
    ]
    for hypothesis, reference, table in tables:
        for method, value, lowercase, tokenize, expected in table:
            options = {"smooth_method": method, "smooth_value": value}
            scores, _ = scored([hypothesis], [[reference]], lowercase=lowercase, tokenize=tokenize, **options)
            assert scores.segment == pytest.approx([expected], abs=1e-3), (method, value, tokenize)


@pytest.mark.data
def test_real_translations_equal_sacrebleu(shared_data):
    path = shared_data / "metric_oracles/sacrebleu/wmt17_en_de_systems.json.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        systems = dict(json.load(file))
    hypotheses = systems["newstest2017.LIUM-NMT.4900.en-de"][:200]
    reference = systems["reference"][0][:200]
    references = [[line] for line in reference]
    scores, corpus = scored(hypotheses, references)
    assert corpus == sacrebleu.corpus_bleu(hypotheses, [reference]).score
    segment = [sacrebleu.sentence_bleu(h, r).score for h, r in zip(hypotheses, references, strict=True)]
    assert scores.segment == [min(value, 100.0) for value in segment]


@pytest.mark.parametrize(
    ("completion", "references", "options", "expected"),
    [
        # 1 of 2 unigrams, 0 of 1 bigrams smoothed to 1/2: sqrt(0.5 * 0.5), no brevity penalty
        ("a b", ["a c"], {}, 50.0),
        # 3/3, 2/2, 1/1 matched and no 4-gram: effective order 3; length 3 against 4: exp(1 - 4/3)
        ("a b c", ["a b c d"], {}, 100 * np.exp(-1 / 3)),
        # the reference of the closest length counts, the shorter one on a tie; clipping: "a" twice at most
        ("a a a", ["a a b c", "a b"], {"max_ngram_order": 1, "smooth_method": "none"}, 100 * 2 / 3),
        ("A B", ["a b"], {"lowercase": True}, 100.0),
        ("A B", ["a b"], {}, 0.0),
        ("", ["a b"], {}, 0.0),
        ("a", [""], {}, 0.0),
        ("", [""], {}, 0.0),
        # add-k leaves order 1 alone: sqrt(1/2 * (0+1)/(1+1))
        ("a b", ["a c"], {"smooth_method": "add-k", "max_ngram_order": 2}, 100 * np.sqrt(0.25)),
    ],
)
def test_segments_worked_by_hand(completion, references, options, expected):
    scores, _ = scored([completion], [references], **options)
    assert scores.segment == pytest.approx([expected], abs=1e-9)


def test_a_perfect_match_does_not_leave_the_range():
    texts = [" ".join("word"[: 1 + i % 4] + str(j) for j in range(i)) for i in range(1, 30)]
    scores, corpus = scored(texts, [[text] for text in texts])
    assert max(scores.segment) <= 100.0
    assert min(scores.segment) == pytest.approx(100.0, abs=1e-9)
    assert 100.0 - 1e-9 < corpus <= 100.0


def test_corpus_is_of_summed_statistics_and_is_not_the_mean():
    scores, corpus = scored(SIX, zip(*REFS, strict=True))
    assert corpus == sacrebleu.corpus_bleu(SIX, REFS).score == pytest.approx(48.530827, abs=1e-6)
    assert abs(corpus - np.mean(scores.segment)) > 0.5
    assert scores.statistics.shape == (3, 10)
    assert (scores.statistics == np.round(scores.statistics)).all()


def test_references_may_differ_in_number():
    references = [[REFS[0][0], REFS[1][0]], [REFS[0][1]], [REFS[0][2], REFS[1][2], "He had."]]
    streams = [[r[i] if i < len(r) else None for r in references] for i in range(3)]
    scores, corpus = scored(SIX, references)
    assert corpus == sacrebleu.corpus_bleu(SIX, streams).score
    for value, text, refs in zip(scores.segment, SIX, references, strict=True):
        assert value == min(sacrebleu.sentence_bleu(text, refs).score, 100.0)


@pytest.mark.parametrize("tokenize", ["none", "13a", "intl", "char", "zh"])
@pytest.mark.parametrize("smooth_method", ["exp", "none", "floor", "add-k"])
def test_every_tokenizer_and_smoothing_equals_sacrebleu(tokenize, smooth_method, caplog):
    texts = ["Größe: 3,5 kg (ca.)", "我喜欢 reading 书。", "naïve—“quoted” text…", "a a a a a b"]
    references = [["Größe 3,5 kg"], ["我喜欢读书。", "我爱读书"], ["naive quoted text"], ["a b a b a"]]
    streams = [[r[i] if i < len(r) else None for r in references] for i in range(2)]
    options = {"tokenize": tokenize, "smooth_method": smooth_method}
    with caplog.at_level(logging.WARNING):
        scores, corpus = scored(texts, references, **options)
    assert not caplog.records
    assert corpus == pytest.approx(BLEU(**options).corpus_score(texts, streams).score, abs=1e-12)
    sentence = BLEU(effective_order=True, **options)
    expected = [sentence.sentence_score(t, r).score for t, r in zip(texts, references, strict=True)]
    assert scores.segment == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("options", "segment", "corpus"),
    [
        ({}, "bleu|case:mixed|eff:yes|tok:13a|smooth:exp", "bleu|case:mixed|eff:no|tok:13a|smooth:exp"),
        (
            {"lowercase": True, "tokenize": "zh", "smooth_method": "floor", "max_ngram_order": 2},
            "bleu|case:lc|eff:yes|tok:zh|smooth:floor[0.10]|n:2",
            "bleu|case:lc|eff:no|tok:zh|smooth:floor[0.10]|n:2",
        ),
        (
            {"smooth_method": "add-k", "smooth_value": 0.125},
            "bleu|case:mixed|eff:yes|tok:13a|smooth:add-k[0.125]",
            "bleu|case:mixed|eff:no|tok:13a|smooth:add-k[0.125]",
        ),
    ],
)
def test_signatures(options, segment, corpus):
    scores, _ = scored(["a"], [["a"]], **options)
    assert (scores.signature, scores.corpus_signature) == (segment, corpus)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokenize": "13b"}, "13b.*auto.*jieba.*13a"),
        ({"smooth_method": "exponential"}, "exponential.*add-k"),
        ({"smooth_value": 0.1}, "floor and add-k"),
        ({"smooth_method": "floor", "smooth_value": 0}, "above 0"),
        ({"smooth_method": "floor", "smooth_value": 1.5}, "at most 1"),
        ({"smooth_method": "add-k", "smooth_value": float("inf")}, "above 0"),
        ({"max_ngram_order": 0}, "at least 1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        bleu(**options)


@pytest.mark.parametrize(
    ("tokenize", "install"),
    [("ja-mecab", r"sacrebleu\[ja\]"), ("ko-mecab", r"sacrebleu\[ko\]"), ("flores200", "sentencepiece")],
)
def test_a_missing_package_is_named_with_its_install_line(tokenize, install, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=f"{tokenize}.*pip install.*{install}"):
        bleu(tokenize=tokenize)


def test_a_tokenizer_that_cannot_be_made_is_tried_once(monkeypatch):
    tries = []

    def fails(name):
        tries.append(name)
        raise SystemExit(1)

    monkeypatch.setattr("sacrebleu.metrics.bleu._get_tokenizer", fails)
    metric = bleu()
    batch = Batch((Generation(Sample("1", references=("a",)), "m", (Completion("a"),)),))
    for _ in range(2):
        with pytest.raises(PluginError, match=r"13a.*SACREBLEU"):
            metric(batch)
    assert tries == ["13a"]


def test_resampling_is_fast_and_row_wise():
    scores, _ = scored(SIX, zip(*REFS, strict=True))
    weights = np.random.default_rng(0).multinomial(300, [1 / 3] * 3, size=1000)
    sums = weights @ scores.statistics
    metric = bleu()
    metric.corpus_from("bleu", sums[:10])
    start = time.perf_counter()
    values = metric.corpus_from("bleu", sums)
    assert time.perf_counter() - start < 0.25  # 0.02 s when nothing else runs
    assert values.shape == (1000,)
    assert all(metric.corpus_from("bleu", sums[i : i + 1])[0] == values[i] for i in (0, 500, 999))


def test_add_k_leaves_the_sums_as_they_were():
    metric = bleu(smooth_method="add-k")
    sums = np.array([[6.0, 6, 3, 2, 1, 0, 6, 5, 4, 3]])
    before = sums.copy()
    metric.corpus_from("bleu", sums)
    assert (sums == before).all()


words = st.lists(st.sampled_from(["a", "b", "c", "d", "e", ",", "."]), max_size=12).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=3)), min_size=1, max_size=5))
def test_any_text_equals_sacrebleu_and_stays_in_range(pairs):
    texts, references = [p[0] for p in pairs], [p[1] for p in pairs]
    streams = [[r[i] if i < len(r) else None for r in references] for i in range(max(map(len, references)))]
    scores, corpus = scored(texts, references)
    assert all(0.0 <= value <= 100.0 for value in scores.segment)
    assert corpus == min(sacrebleu.corpus_bleu(texts, streams).score, 100.0)


CHINESE = ["北京的长城很长，我喜欢。", "他买了3.5公斤苹果 (Apple)", "我爱北京", ""]
CHINESE_REFS = [["北京的长城非常长，我很喜欢。", "长城很长"], ["他买了 3.5 公斤苹果。"], ["我爱南京"], ["无"]]


@pytest.mark.parametrize(
    ("language", "tokenize"),
    [("zh", "zh"), ("zh-Hant", "zh"), ("yue", "zh"), ("zho_Hans", "zh"), ("ja", "char"), ("th", "char"), ("lo", "char"),
     ("en", "13a"), ("de", "13a"), ("ko", "13a"), (None, "13a"), ("", "13a")],
)  # fmt: skip
def test_the_sample_s_language_chooses_sacrebleus_tokenizer(language, tokenize):
    streams = [[r[i] if i < len(r) else None for r in CHINESE_REFS] for i in range(2)]
    scores, corpus = scored(CHINESE, CHINESE_REFS, language)
    sentence = BLEU(effective_order=True, tokenize=tokenize)
    pairs = zip(CHINESE, CHINESE_REFS, strict=True)
    assert scores.segment == [min(sentence.sentence_score(t, r).score, 100.0) for t, r in pairs]
    assert corpus == BLEU(tokenize=tokenize).corpus_score(CHINESE, streams).score
    assert scores.signature == f"bleu|case:mixed|eff:yes|tok:{tokenize}|smooth:exp"
    assert scores.corpus_signature == f"bleu|case:mixed|eff:no|tok:{tokenize}|smooth:exp"


def test_chinese_worked_by_hand():
    # 3 of 4 characters, 1 of 3 pairs, and of 2 and of 1 none, smoothed to 1/2 and 1/4 of one
    expected = 100 * (3 / 4 * 1 / 3 * 1 / 4 * 1 / 4) ** 0.25
    assert scored(["我爱北京"], [["我爱南京"]], "zh")[0].segment == pytest.approx([expected])
    assert scored(["我爱北京"], [["我爱南京"]])[0].segment == [0.0]  # one word, since nobody said what it is


def test_a_name_holds_for_every_language():
    for name in ("13a", "char", "none"):
        expected = [BLEU(tokenize=name, effective_order=True).sentence_score(CHINESE[0], CHINESE_REFS[0]).score]
        assert scored(CHINESE[:1], CHINESE_REFS[:1], "zh", tokenize=name)[0].segment == expected


def test_languages_in_one_batch_do_not_mix_and_the_signature_names_those_of_the_task():
    languages = ["en", "zh", None, "ja", "zh"]
    samples = [Sample(str(i), references=("我爱南京 ok.",), language=tag) for i, tag in enumerate(languages)]
    groups = [Generation(sample, "m", (Completion("我爱北京 ok."),)) for sample in samples]
    alone = [bleu()(Batch((group,)))["bleu"].segment[0] for group in groups]
    assert len(set(alone)) == 3
    assert bleu()(Batch(tuple(groups)))["bleu"].segment == alone
    whole = Whole.of(samples)
    for some in ((), *((group,) for group in groups), tuple(groups)):
        scores = bleu()(Batch(some, whole=whole))["bleu"]
        assert scores.signature == "bleu|case:mixed|eff:yes|tok:13a+char+zh|smooth:exp"
        assert scores.corpus_signature == "bleu|case:mixed|eff:no|tok:13a+char+zh|smooth:exp"
    assert bleu(tokenize="intl")(Batch((), whole=whole))["bleu"].signature.split("|")[3] == "tok:intl"


def test_jieba_counts_words():
    pytest.importorskip("jieba")
    texts, references = ["我来到北京清华大学。", "Ａ 我"], [["他来到清华大学。"], ["B"]]
    for language in ("zh", None):
        scores, corpus = scored(texts, references, language, tokenize="jieba")
        cut = ["我 来到 北京 清华大学 。", "Ａ 我"], [["他 来到 清华大学 。", "B"]]
        sentence = BLEU(effective_order=True, tokenize="none")
        assert scores.segment == [sentence.sentence_score(t, [r]).score for t, r in zip(cut[0], cut[1][0], strict=True)]
        assert corpus == BLEU(tokenize="none").corpus_score(*cut).score
        assert scores.signature == "bleu|case:mixed|eff:yes|tok:jieba|smooth:exp"
    assert scored(["清华大学ABC"], [["清华大学abc"]], tokenize="jieba", lowercase=True)[0].segment == pytest.approx(
        [100.0]
    )


def test_without_jieba_the_message_has_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(PluginError, match=r"jieba.*pip install 'reward-harness\[zh\]'"):
        bleu(tokenize="jieba")
