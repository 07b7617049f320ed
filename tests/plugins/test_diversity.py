"""Diversity against sacreBLEU, distinct-n and entropy against counts by hand."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from harness import Batch, Completion, Generation, PluginError, Sample, Whole
from harness_plugins.diversity import diversity

CORPUS = ["distinct1", "distinct2", "distinct3", "entropy"]


def group(*texts, name="1", language=None):
    return Generation(Sample(name, language=language), "m", tuple(Completion(text) for text in texts))


def segment(*texts, **options):
    return diversity(**options)(Batch((group(*texts),)))["diversity"].segment


def over(*texts, wanted=(), **options):
    batches = [Batch((group(*texts),), frozenset(wanted))] if texts else []
    return {name: scores.corpus for name, scores in diversity(**options).over(batches).items()}


def expected(texts, **options):
    bleu = BLEU(effective_order=True, **options)
    rest = [[t for j, t in enumerate(texts) if j != i] for i in range(len(texts))]
    return [1 - bleu.sentence_score(t, r).score / 100 for t, r in zip(texts, rest, strict=True)]


@pytest.mark.parametrize(
    "texts",
    [
        ["the cat sat on the mat", "a cat sat on a mat", "dogs, however, ran."],
        ["a a a b", "a b", "a a c"],
        ["one two three four five", "five four three two one"],
        ["x", "y z", "x y z"],
        ["Grüße!", "Grüße aus Köln", "你好 Köln"],
    ],
)
@pytest.mark.parametrize("options", [{}, {"lowercase": True}, {"tokenize": "char"}, {"max_ngram_order": 2}])
def test_it_is_one_minus_sacrebleus_bleu_against_the_rest(texts, options):
    assert segment(*texts, **options) == pytest.approx(expected(texts, **options), abs=1e-12)


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        # 1 of 2 unigrams, no bigram (smoothed 1/2): BLEU 50
        (["a b", "a c"], [0.5, 0.5]),
        (["a b", "c d"], [1.0, 1.0]),
        # of the second, all n-grams are in the first, and it is as long as the third: exp(1 - 2/2)
        (["a b c", "a b", "c d"], [None, 0.0, None]),
    ],
)
def test_values_worked_by_hand(texts, values):
    found = segment(*texts)
    for value, right in zip(found, values, strict=True):
        assert right is None or value == pytest.approx(right)


@pytest.mark.parametrize("text", ["x", "a b", "a b c", "the cat sat on the mat.", "😀", "!?", "a " * 50, "", " \n "])
def test_copies_have_no_diversity_at_all(text):
    assert segment(text, text) == [0.0, 0.0]
    assert segment(text, "something else entirely, and longer", text)[::2] == [0.0, 0.0]


def test_silence_is_not_diverse():
    assert segment("", "a b c", "a b d") == [0.0, *segment("a b c", "a b d", "")[:2]]
    assert segment("", "a b c")[1] == 1.0


def test_a_group_of_one_abstains_and_does_not_touch_its_neighbours():
    batch = Batch((group("a b", name="1"), group("a b", "a c", name="2")))
    scores = diversity()(batch)["diversity"]
    assert scores.segment == [None, 0.5, 0.5]
    assert scores.status_of(0) == "abstain"
    assert "one completion" in scores.reasons[0]


def test_a_repeated_text_lowers_only_its_own_value():
    alone = segment("a b c d", "e f g h", "i j k l")
    doubled = segment("a b c d", "e f g h", "a b c d")
    assert alone == [1.0, 1.0, 1.0]
    assert doubled == [0.0, 1.0, 0.0]


def test_distinct_and_entropy_by_hand():
    found = over("a b a", "a b", entropy_order=1)
    assert found["distinct1"] == 2 / 5
    assert found["distinct2"] == 2 / 3  # ab, ba, ab
    assert found["distinct3"] == 1.0
    assert found["entropy"] == pytest.approx(-(0.6 * math.log(0.6) + 0.4 * math.log(0.4)), abs=1e-15)
    assert over("a b c d e", "a b c d f")["entropy"] == pytest.approx(0.5 * math.log(2) + 2 * 0.25 * math.log(4))


def test_ngrams_do_not_cross_completions():
    assert over("a", "b", "c") == {"distinct1": 1.0, "distinct2": None, "distinct3": None, "entropy": None}


@pytest.mark.parametrize("texts", [[], ["", " "]])
def test_without_ngrams_there_is_no_value(texts):
    assert over(*texts) == dict.fromkeys(CORPUS)


def test_entropy_of_one_repeated_ngram_is_zero_and_of_n_different_ones_log_n():
    assert over(*["a b c d"] * 7)["entropy"] == 0.0
    assert over(" ".join(map(str, range(103))))["entropy"] == pytest.approx(math.log(100), abs=1e-13)


def test_only_wanted_scores_are_computed():
    assert set(over("a b", wanted=["distinct2"])) == {"distinct2"}
    assert set(over("a b", wanted=["entropy", "diversity"])) == {"entropy"}
    assert diversity()(Batch((group("a", "b"),), frozenset(["distinct1"]))) == {}


def test_corpus_scope_does_not_depend_on_batches_or_order():
    rng = random.Random(3)
    groups = [
        group(*(" ".join(rng.choices("abcdefg", k=rng.randrange(12))) for _ in range(4)), name=str(i))
        for i in range(20)
    ]
    metric = diversity()
    whole = {name: s.corpus for name, s in metric.over([Batch(tuple(groups))]).items()}
    rng.shuffle(groups)
    for size in (1, 7):
        batches = (Batch(tuple(groups[i : i + size])) for i in range(0, 20, size))
        assert {name: s.corpus for name, s in metric.over(batches).items()} == whole
    assert None not in whole.values()


def test_signatures_and_scopes():
    metric = diversity(tokenize="zh", lowercase=True, max_ngram_order=3, entropy_order=2)
    scores = metric(Batch((group("a", "b"),)))["diversity"]
    assert scores.signature == "diversity|case:lc|eff:yes|tok:zh|smooth:exp|n:3"
    assert diversity()(Batch(()))["diversity"].signature == "diversity|case:mixed|eff:yes|tok:13a|smooth:exp"
    corpus = metric.over([])
    assert corpus["distinct2"].corpus_signature == "distinct2|case:lc|tok:zh"
    assert corpus["entropy"].corpus_signature == "entropy|case:lc|tok:zh|n:2|unit:nats"
    assert [(i.name, i.scope, i.corpus) for i in metric.infos] == [
        ("diversity", "group", "mean"),
        *((name, "corpus", "none") for name in CORPUS),
    ]
    assert metric.infos[-1].high == math.inf


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokenize": "13b"}, "13b.*13a"),
        ({"max_ngram_order": 0}, "max_ngram_order"),
        ({"entropy_order": 0}, "entropy_order"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        diversity(**options)


def test_a_tokenizer_that_cannot_be_made_is_tried_once(monkeypatch):
    tries = []

    def fails(name):
        tries.append(name)
        raise SystemExit(1)

    monkeypatch.setattr("sacrebleu.metrics.bleu._get_tokenizer", fails)
    metric = diversity()
    for _ in range(2):
        with pytest.raises(PluginError, match=r"13a.*SACREBLEU"):
            metric(Batch((group("a", "b"),)))
    assert tries == ["13a"]


words = st.lists(st.sampled_from(["a", "b", "c", "d", ",", "."]), max_size=10).map(" ".join)


@settings(max_examples=100, deadline=None)
@given(st.lists(words, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_any_group_stays_in_range_and_does_not_depend_on_order(texts, rng):
    found = segment(*texts)
    for text, value, right in zip(texts, found, expected(texts), strict=True):
        assert 0.0 <= value <= 1.0
        assert value == pytest.approx(right if text else 0.0, abs=1e-12)
    order = list(range(len(texts)))
    rng.shuffle(order)
    assert segment(*(texts[i] for i in order)) == [found[i] for i in order]


@pytest.mark.parametrize(
    ("language", "tokenize"), [("zh", "zh"), ("cmn-Hans", "zh"), ("ja", "char"), ("de", "13a"), (None, "13a")]
)
def test_the_sample_s_language_chooses_sacrebleus_tokenizer(language, tokenize):
    texts = ["我爱北京的长城。", "我爱南京的长江 (river).", "他去长城，坐车。"]
    batch = Batch((group(*texts, language=language),))
    scores = diversity()(batch)["diversity"]
    assert scores.segment == pytest.approx(expected(texts, tokenize=tokenize), abs=1e-12)
    assert scores.signature == f"diversity|case:mixed|eff:yes|tok:{tokenize}|smooth:exp"
    corpus = diversity().over([batch])
    named = diversity(tokenize=tokenize).over([batch])
    assert {n: s.corpus for n, s in corpus.items()} == {n: s.corpus for n, s in named.items()}
    assert {n: s.corpus_signature for n, s in corpus.items()} == {n: s.corpus_signature for n, s in named.items()}


def test_chinese_worked_by_hand():
    batch = Batch((group("我爱北京", "我爱南京", language="zh"),))
    # characters 3/4, pairs 1/3, none of 2 and of 1, smoothed to 1/4 each
    assert diversity()(batch)["diversity"].segment == pytest.approx([1 - (1 / 64) ** 0.25] * 2)
    found = diversity(entropy_order=2).over([batch])
    assert found["distinct1"].corpus == 5 / 8
    assert found["distinct2"].corpus == 5 / 6
    # of six pairs, one twice and four once
    assert found["entropy"].corpus == pytest.approx(2 / 6 * math.log(3) + 4 / 6 * math.log(6))
    assert found["entropy"].corpus_signature == "entropy|case:mixed|tok:zh|n:2|unit:nats"


def test_languages_in_one_batch_do_not_mix_and_the_signature_names_those_of_the_task():
    groups = [group("我爱北京", "我爱南京", name=str(i), language=tag) for i, tag in enumerate(["zh", None, "zh"])]
    whole = Whole.of(g.sample for g in groups)
    alone = [value for g in groups for value in diversity()(Batch((g,)))["diversity"].segment]
    assert diversity()(Batch(tuple(groups)))["diversity"].segment == alone
    assert alone[2:4] == [1.0, 1.0] != alone[:2]
    for g in groups:
        part = Batch((g,), whole=whole)
        assert diversity()(part)["diversity"].signature == "diversity|case:mixed|eff:yes|tok:13a+zh|smooth:exp"
        assert diversity().over([part])["distinct1"].corpus_signature == "distinct1|case:mixed|tok:13a+zh"
    assert (
        diversity().over([Batch((g,), whole=whole) for g in groups])["distinct1"].corpus == 7 / 18
    )  # 16 characters, 2 words


def test_jieba_counts_words():
    pytest.importorskip("jieba")
    found = diversity(tokenize="jieba").over([Batch((group("我来到北京清华大学", "他来到清华大学", language="zh"),))])
    assert found["distinct1"].corpus == 5 / 7
    assert found["distinct1"].corpus_signature == "distinct1|case:mixed|tok:jieba"
