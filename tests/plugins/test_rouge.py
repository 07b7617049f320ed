"""ROUGE against ROUGE-1.5.5's printed values and rouge-score itself."""

from __future__ import annotations

import json
import math
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from harness import Batch, Completion, Generation, PluginError, Sample, Whole
from harness_plugins.rouge import rouge

NAMES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]


def scored(completion, references, wanted=(), language=None, **options):
    sample = Sample("1", references=tuple(references), language=language)
    batch = Batch((Generation(sample, "m", (Completion(completion),)),), frozenset(wanted))
    return rouge(**options)(batch)


def values(completion, references, **options):
    return {name: scores.segment[0] for name, scores in scored(completion, references, **options).items()}


@pytest.mark.data
def test_values_printed_by_rouge_155(shared_data):
    folder = shared_data / "metric_oracles/rouge"
    cases = json.loads((folder / "expected_rouge155.json").read_text(encoding="utf-8"))["cases"]
    assert len(cases) == 11
    for case in cases:
        target, prediction = case.get("files", ["target.txt", "prediction.txt"])
        texts = [(folder / name).read_text(encoding="utf-8").rstrip("\n") for name in (target, prediction)]
        if "line" in case:
            texts = [text.split("\n")[case["line"]] for text in texts]
        for measure, expected in zip(("recall", "precision", "fmeasure"), case["rpf"], strict=True):
            found = values(texts[1], [texts[0]], use_stemmer=case["stem"], measure=measure)
            assert found[case["type"]] == pytest.approx(expected, abs=5.1e-6), (case, measure)


@pytest.mark.parametrize(
    ("completion", "reference", "expected"),
    [
        # 3 of 3 and 3 of 6 unigrams; 1 of 2 and 1 of 5 bigrams; longest common subsequence "the cat mat"
        ("the cat mat", "the cat sat on the mat", {"rouge1": 2 / 3, "rouge2": 2 / 7, "rougeL": 2 / 3}),
        ("a b", "b a", {"rouge1": 1.0, "rouge2": 0.0, "rougeL": 0.5}),
        # the longest common subsequence of the whole is 2 of 4; line by line "a b" and "c d" are found in full
        ("c d\na b", "a b\nc d", {"rouge1": 1.0, "rougeL": 0.5, "rougeLsum": 1.0}),
        ("Running, RUNS!", "running runs", dict.fromkeys(NAMES, 1.0)),
        ("one", "one", {"rouge1": 1.0, "rouge2": 0.0, "rougeL": 1.0, "rougeLsum": 1.0}),
        ("", "one", dict.fromkeys(NAMES, 0.0)),
        ("one", "", dict.fromkeys(NAMES, 0.0)),
        ("", "", dict.fromkeys(NAMES, 0.0)),
        ("?!…", "😀", dict.fromkeys(NAMES, 0.0)),
    ],
)
def test_values_worked_by_hand(completion, reference, expected):
    found = values(completion, [reference])
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_the_stemmer_joins_what_porter_joins():
    assert values("running", ["runs"])["rouge1"] == 0.0
    assert values("the cats running", ["the cat runs"], use_stemmer=True)["rouge1"] == 1.0


REFERENCES = ["the cat sat on the mat", "a cat", "the dog"]


def test_best_takes_the_reference_of_the_highest_f_measure_for_each_score():
    completion = "the cat dog"
    scorer = RougeScorer(NAMES)
    best = scorer.score_multi(REFERENCES, completion)
    for measure in ("fmeasure", "precision", "recall"):
        found = values(completion, REFERENCES, measure=measure)
        assert found == {name: getattr(best[name], measure) for name in NAMES}
    # "the dog" has the highest F, 4/5, and so its recall counts, 2 of 2
    assert values(completion, REFERENCES, measure="recall")["rouge1"] == 1.0


def test_mean_is_over_references():
    completion = "the cat dog"
    scorer = RougeScorer(NAMES)
    each = [scorer.score(reference, completion) for reference in REFERENCES]
    found = values(completion, REFERENCES, multi="mean")
    assert found == {n: math.fsum(score[n].fmeasure for score in each) / 3 for n in NAMES}
    # rouge1: 4/9, 2/5, 4/5
    assert found["rouge1"] == pytest.approx((4 / 9 + 2 / 5 + 4 / 5) / 3)


@pytest.mark.parametrize(
    ("completion", "references", "what"),
    [
        ("我喜欢读书", ["I like books"], "the completion"),
        ("I like books", ["fine", "我喜欢读书"], "reference 2"),
        ("в 2020 году", ["in 2020"], "the completion"),  # the digits alone would compare
        ("καλημέρα", ["καλημέρα"], "the completion"),
    ],
)
def test_a_script_the_tokenizer_drops_abstains(completion, references, what):
    for scores in scored(completion, references).values():
        assert scores.status_of(0) == "abstain"
        assert math.isnan(scores.values[0])
        assert f"none of the letters of {what};" in scores.reasons[0]
        assert "`language`" in scores.reasons[0]


@pytest.mark.parametrize("text", ["naïve café", "Ünï", "我 like", "2020", "…", "İ"])
def test_a_text_that_keeps_some_letters_or_has_none_is_scored(text):
    expected = RougeScorer(NAMES).score(text, text)
    assert values(text, [text]) == {name: expected[name].fmeasure for name in NAMES}


@pytest.mark.parametrize("wanted", [{"rouge2"}, {"rougeL", "rougeLsum"}, set()])
def test_only_wanted_scores_are_computed(wanted):
    assert set(scored("a", ["a"], wanted=wanted)) == (wanted or set(NAMES))


def test_signatures():
    found = scored("a", ["a"], use_stemmer=True, multi="mean", measure="recall")
    assert found["rouge1"].signature == "rouge1|stem:yes|measure:recall|multi:mean"
    assert found["rougeLsum"].signature == "rougeLsum|stem:yes|measure:recall|multi:mean|split:newline"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"measure": "f1"}, "f1.*fmeasure"),
        ({"multi": "max"}, "max.*best"),
        ({"tokenize": "13a"}, "13a.*auto.*words"),
        ({"tokenize": "words", "use_stemmer": True}, "use_stemmer.*words"),
        ({"tokenize": "jieba", "use_stemmer": True}, "use_stemmer.*jieba"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        rouge(**options)


@pytest.mark.parametrize(
    "text",
    [
        "many words " * 9_000,
        " ".join(str(i) for i in range(17_000)),
        "a\n" * 50_000,
        "\n".join(str(i) for i in range(17_000)),
    ],
    ids=["repeated", "distinct", "short lines", "distinct lines"],
)
def test_a_long_text_against_itself_takes_seconds_not_minutes(text):
    start = time.perf_counter()
    found = values(text, [text])
    assert time.perf_counter() - start < 20  # 1 s when nothing else runs; a table would hold 300M cells
    assert found["rouge1"] == found["rougeL"] == found["rougeLsum"] == 1.0


def test_one_line_of_many_words_takes_as_long_as_it_is():
    """It is kept with each of its words: to hash all of it for each word took a minute."""
    start = time.perf_counter()
    found = values("word " * 100_000, ["word"])
    assert time.perf_counter() - start < 10  # 0.1 s when nothing else runs
    assert found["rougeLsum"] == pytest.approx(2 / 100_001)


texts = st.lists(st.sampled_from(["a", "b", "c", "d", "runs", "running", ".", "\n", "é"]), max_size=24).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(texts, st.lists(texts, min_size=1, max_size=3), st.booleans())
def test_any_text_equals_rouge_score(completion, references, use_stemmer):
    expected = RougeScorer(NAMES, use_stemmer=use_stemmer).score_multi(references, completion)
    found = scored(completion, references, use_stemmer=use_stemmer)
    lost = any("é" in t and not set(t) & set("abcdrun") for t in [completion, *references])
    for name in NAMES:
        assert found[name].segment == [None if lost else expected[name].fmeasure]


@pytest.mark.parametrize(
    ("language", "completion", "reference", "expected"),
    [
        # 3 of 4 characters, 1 of 3 pairs, a common subsequence of 3
        ("zh", "我爱北京", "我爱南京", {"rouge1": 3 / 4, "rouge2": 1 / 3, "rougeL": 3 / 4, "rougeLsum": 3 / 4}),
        ("zh-TW", "我愛北京！", "《我愛北京》", dict.fromkeys(NAMES, 1.0)),
        ("zh", "我用PYTHON", "他用Python", {"rouge1": 2 / 3, "rouge2": 1 / 2, "rougeL": 2 / 3}),
        ("zh", "后来下雨\n先去长城", "先去长城\n后来下雨", {"rouge1": 1.0, "rougeL": 0.5, "rougeLsum": 1.0}),
        ("de", "Größe zählt", "größe zahlt", {"rouge1": 1 / 2, "rouge2": 0.0, "rougeL": 1 / 2}),
        ("fr", "e\u0301te\u0301", "Été", {"rouge1": 1.0}),
        ("ru", "я люблю книги", "Я читаю книги", {"rouge1": 2 / 3, "rouge2": 0.0, "rougeL": 2 / 3}),
        ("ja", "東京へ", "東京に", {"rouge1": 2 / 3, "rouge2": 1 / 2, "rougeL": 2 / 3}),
        ("ja", "ﾄｳｷｮｳ１", "トウキョウ1", {"rouge1": 1.0}),
        ("el", "", "καλημέρα", dict.fromkeys(NAMES, 0.0)),
    ],
)
def test_other_languages_count_unicode_words(language, completion, reference, expected):
    found = values(completion, [reference], language=language)
    assert {name: found[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("language", [None, "", "en", "en-GB", "eng"])
@pytest.mark.parametrize("text", ["naïve café, don't", "Running dogs 你"])
def test_english_is_read_as_rouge_score_reads_it(language, text):
    expected = RougeScorer(NAMES, use_stemmer=True).score("naive running dogs don't", text)
    found = scored(text, ["naive running dogs don't"], language=language, use_stemmer=True)
    assert {n: s.segment[0] for n, s in found.items()} == {n: expected[n].fmeasure for n in NAMES}
    assert found["rouge1"].signature == "rouge1|stem:yes|measure:fmeasure|multi:best"


def test_a_name_holds_for_every_language():
    assert values("naïve", ["na ve"], language="de", tokenize="rouge")["rouge1"] == 1.0
    assert values("naïve", ["na ve"], language="en", tokenize="words")["rouge1"] == 0.0
    (found,) = scored("我爱", ["我爱"], {"rouge1"}, "zh", tokenize="rouge").values()
    assert found.status_of(0) == "abstain"


def test_words_are_not_stemmed():
    assert values("running dogs", ["run dog"], language="de", use_stemmer=True)["rouge1"] == 0.0
    assert values("running dogs", ["run dog"], language="en", use_stemmer=True)["rouge1"] == 1.0


@pytest.mark.parametrize(
    ("languages", "options", "made"),
    [
        ([], {}, "stem:no"),
        ([None, "en"], {"use_stemmer": True}, "stem:yes"),
        (["zh", "de"], {}, "stem:no|tok:words"),
        (["zh"], {"use_stemmer": True}, "stem:no|tok:words"),
        (["zh", "en"], {"use_stemmer": True}, "stem:yes|tok:rouge+words"),
        (["zh"], {"tokenize": "rouge"}, "stem:no"),
        (["en"], {"tokenize": "words"}, "stem:no|tok:words"),
    ],
)
def test_signatures_follow_the_languages_of_the_task(languages, options, made):
    whole = Whole.of(Sample(str(i), references=("a",), language=tag) for i, tag in enumerate(languages))
    for some in ((), *((Generation(sample, "m", (Completion("a"),)),) for sample in whole.samples)):
        found = rouge(**options)(Batch(tuple(some), whole=whole))
        assert found["rouge2"].signature == f"rouge2|{made}|measure:fmeasure|multi:best"
        assert found["rougeLsum"].signature == f"rougeLsum|{made}|measure:fmeasure|multi:best|split:newline"


def test_languages_in_one_batch_do_not_mix():
    samples = [Sample(str(i), references=("naïve ve",), language=tag) for i, tag in enumerate(["en", "de", None])]
    batch = Batch(tuple(Generation(sample, "m", (Completion("ve"),)) for sample in samples))
    # "na ve ve" and one of its three words; "naïve ve" and one of its two
    assert rouge()(batch)["rouge1"].segment == pytest.approx([1 / 2, 2 / 3, 1 / 2])


def test_jieba_counts_words():
    pytest.importorskip("jieba")
    found = scored("我来到北京清华大学。", ["他来到清华大学！"], language="zh", tokenize="jieba")
    assert found["rouge1"].segment == pytest.approx([2 * 2 / (4 + 3)])  # signs are no words
    assert found["rouge1"].signature == "rouge1|stem:no|tok:jieba|measure:fmeasure|multi:best"


def test_without_jieba_the_message_has_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(PluginError, match=r"jieba.*pip install 'reward-harness\[zh\]'"):
        rouge(tokenize="jieba")


def test_a_long_chinese_text_against_itself_takes_seconds():
    text = "".join(chr(0x4E00 + i % 20_000) for i in range(20_000))
    start = time.perf_counter()
    assert set(values(text, [text], language="zh").values()) == {1.0}
    assert time.perf_counter() - start < 20
