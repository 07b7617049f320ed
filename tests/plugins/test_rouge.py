"""ROUGE against ROUGE-1.5.5's printed values and rouge-score itself."""

from __future__ import annotations

import json
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from harness import Batch, Completion, Generation, Sample
from harness_plugins.rouge import rouge

NAMES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]


def scored(completion, references, wanted=(), **options):
    sample = Sample("1", references=tuple(references))
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
        assert scores.reasons[0].endswith(what)


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
    [({"measure": "f1"}, "f1.*fmeasure"), ({"multi": "max"}, "max.*best")],
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


texts = st.lists(st.sampled_from(["a", "b", "c", "d", "runs", "running", ".", "\n", "é"]), max_size=24).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(texts, st.lists(texts, min_size=1, max_size=3), st.booleans())
def test_any_text_equals_rouge_score(completion, references, use_stemmer):
    expected = RougeScorer(NAMES, use_stemmer=use_stemmer).score_multi(references, completion)
    found = scored(completion, references, use_stemmer=use_stemmer)
    lost = any("é" in t and not set(t) & set("abcdrun") for t in [completion, *references])
    for name in NAMES:
        assert found[name].segment == [None if lost else expected[name].fmeasure]
