"""Exact match against SQuAD's own normalisation; label scores against tables worked by hand."""

from __future__ import annotations

import math
import re
import string
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Batch, Completion, Generation, Sample
from harness_plugins.exact import exact

LABELS = ["ant", "bee", "cat"]
# (true label, completion): true positives 2, 1, 3; false positives 1, 1, 1; false negatives 2, 1, 1
TABLE = [
    ("ant", "ant"), ("ant", "Ant."), ("ant", "bee"), ("ant", "I cannot say"),
    ("bee", "BEE"), ("bee", "cat"),
    ("cat", "cat"), ("cat", " cat\n"), ("cat", "**cat**"), ("cat", "ant"),
]  # fmt: skip


def scored(completion, references, wanted=(), **options):
    sample = Sample("1", references=tuple(references))
    batch = Batch((Generation(sample, "m", (Completion(completion),)),), frozenset(wanted))
    return exact(**options)(batch)


def matches(completion, references, **options):
    found = scored(completion, references, **options)
    return found["exact"].segment[0], found["exact_normalised"].segment[0]


def table(rows, **options):
    """Each label score over rows of (true label, completion), the counted ones from summed statistics."""
    generations = tuple(
        Generation(Sample(str(i), references=(true,)), "m", (Completion(text),)) for i, (true, text) in enumerate(rows)
    )
    metric = exact(**options)
    scores = metric(Batch(generations))
    found = {"accuracy": np.nanmean(scores["accuracy"].values)}
    for name in ("precision", "recall", "f1"):
        statistics = scores[name].statistics
        sums = statistics[np.isfinite(statistics).all(axis=1)].sum(axis=0, keepdims=True)
        found[name] = float(metric.corpus_from(name, sums)[0])
    return found


@pytest.mark.parametrize(
    ("completion", "references", "expected"),
    [
        ("Paris", ["Paris"], (1, 1)),
        ("Paris", ["London", "Paris"], (1, 1)),
        ("paris", ["Paris"], (0, 1)),
        (" Paris", ["Paris"], (0, 1)),
        ("The Eiffel Tower!", ["eiffel  tower"], (0, 1)),
        ("an answer", ["answer"], (0, 1)),
        ("banana", ["ban"], (0, 0)),
        ("STRASSE", ["Straße"], (0, 1)),
        ("ﬁne", ["fine"], (0, 1)),
        ("１２", ["12"], (0, 1)),
        ("cafe\u0301", ["café"], (0, 1)),
        ("«да»", ["ДА"], (0, 1)),
        ("答案。", ["答案"], (0, 1)),
        ("", [""], (1, 1)),
        ("", ["a"], (0, 0)),
        ("!!!", ["???"], (0, 0)),  # nothing is left of either, and they differ
        ("!!!", ["!!!"], (1, 1)),
        ("the", ["THE"], (0, 1)),
        ("the", ["a"], (0, 0)),
        ("👍", ["🎉"], (0, 0)),
        ("-5", ["5"], (0, 1)),  # as SQuAD has it
    ],
)
def test_matches(completion, references, expected):
    assert matches(completion, references) == expected


@pytest.mark.parametrize(
    ("completion", "reference", "options", "expected"),
    [
        (" Paris\n", "Paris", {"strip_whitespace": True}, (1, 1)),
        ("paris", "Paris", {"lowercase": False}, (0, 0)),
        ("The Paris", "Paris", {"lowercase": False}, (0, 1)),
        ("a.b", "ab", {"strip_punctuation": False}, (0, 0)),
        ("the end", "end", {"strip_articles": False}, (0, 0)),
    ],
)
def test_options_of_the_matches(completion, reference, options, expected):
    assert matches(completion, [reference], **options) == expected


def squad(text):
    """The normalisation of SQuAD's evaluation script, as its description reads."""
    text = "".join(char for char in text.lower() if char not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


ascii_texts = st.lists(
    st.sampled_from(["The", "a", "an", "cat", "Cat", "cats", "u.s.", "-", "!", "theatre", "A"]), max_size=4
).map(" ".join)


@given(ascii_texts, ascii_texts)
def test_normalised_matches_are_squads_wherever_anything_is_left(completion, reference):
    if squad(completion) or squad(reference):
        expected = squad(completion) == squad(reference)
        assert matches(completion, [reference])[1] == expected
    assert matches(completion, [completion]) == (1, 1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"average": "macro"}, {"precision": 23 / 36, "recall": 7 / 12, "f1": 17 / 28}),
        ({"average": "micro"}, {"precision": 6 / 9, "recall": 6 / 10, "f1": 12 / 19}),
        ({"average": "weighted"}, {"precision": 2 / 3, "recall": 6 / 10, "f1": 22 / 35}),
        ({"average": "binary", "positive": "ant"}, {"precision": 2 / 3, "recall": 1 / 2, "f1": 4 / 7}),
        ({"average": "binary", "positive": "cat"}, {"precision": 3 / 4, "recall": 3 / 4, "f1": 3 / 4}),
    ],
)
def test_label_scores_worked_by_hand(options, expected):
    assert table(TABLE, labels=LABELS, **options) == pytest.approx({"accuracy": 0.6, **expected})


def test_a_label_that_never_occurs_counts_as_zero_in_macro():
    rows = [("ant", "ant"), ("bee", "bee")]
    assert table(rows, labels=["ant", "bee"])["f1"] == 1.0
    assert table(rows, labels=LABELS)["f1"] == pytest.approx(2 / 3)
    assert table(rows, labels=LABELS, average="weighted")["f1"] == 1.0


def test_the_unparsable_is_missed_but_accuses_no_label():
    rows = [("ant", "ant"), ("ant", "dunno"), ("bee", "bee")]
    found = table(rows, labels=LABELS, average="micro")
    assert (found["precision"], found["recall"]) == (1.0, pytest.approx(2 / 3))


def test_references_that_are_no_label_abstain_and_are_left_out():
    rows = [*TABLE, ("wasp", "ant"), ("", "bee")]
    assert table(rows, labels=LABELS) == pytest.approx(table(TABLE, labels=LABELS))
    found = scored("ant", ["wasp"], labels=LABELS)
    for name in ("accuracy", "precision", "recall", "f1"):
        assert found[name].status_of(0) == "abstain"
        assert "no reference is one of the labels ant, bee, cat" in found[name].reasons[0]


def test_of_several_true_labels_any_is_right():
    found = scored("bee", ["ant", "bee", "a wasp"], labels=LABELS)
    assert found["accuracy"].segment == [1.0]
    assert found["f1"].statistics.tolist() == [[0, 1, 0, 0, 0, 0, 0, 0, 0]]
    assert scored("cat", ["bee", "ant"], labels=LABELS)["f1"].statistics.tolist() == [[0, 0, 0, 0, 0, 1, 0, 1, 0]]


def test_segments_of_counted_scores_abstain_with_statistics():
    found = scored("ant", ["ant"], labels=LABELS)["f1"]
    assert found.segment == [None]
    assert found.status_of(0) == "abstain"
    assert found.statistics.tolist() == [[1, 0, 0, 0, 0, 0, 0, 0, 0]]
    assert (found.info.scope, found.info.corpus) == ("corpus", "statistics")


def finds(text, labels, extract="whole"):
    return {label for label in labels if scored(text, [label], labels=labels, extract=extract)["accuracy"].segment[0]}


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("(B)", ["A", "B"], "B"),
        ("A.", ["A", "B"], "A"),  # an article elsewhere, a label here
        ("C#", ["C", "C#", "C++"], "C#"),
        ("C++.", ["C", "C#", "C++"], "C++"),
        ("+", ["+", "-"], "+"),
        ("ＹＥＳ", ["yes", "no"], "yes"),
        ("New  York", ["new york", "york"], "new york"),
        ("yes no", ["yes", "no"], None),
        ("-5", ["5", "6"], None),
        ("- 5", ["5", "6"], "5"),
        ("-5", ["5", "-5"], "-5"),
        ("5", ["5", "-5"], "5"),
        ("", ["yes", "no"], None),
        ("...", ["yes", "no"], None),
        ("积极。", ["积极", "消极"], "积极"),
    ],
)
def test_whole_labels(text, labels, expected):
    assert finds(text, labels) == ({expected} if expected else set())


@pytest.mark.parametrize(
    ("text", "labels", "first", "last"),
    [
        ("The answer is B, not A.", ["A", "B"], "B", "A"),
        ("yesterday, no", ["yes", "no"], "no", "no"),
        ("New York is not York", ["York", "New York"], "New York", "York"),
        ("a new yorker", ["new", "new york"], "new", "new"),
        ("I rate it 3.5, so 4", ["3", "4", "5"], "4", "4"),
        ("-5 or 3-4", ["4", "5"], "4", "4"),
        ("C# or C", ["C", "C#"], "C#", "C"),
        ("这是积极的，不是消极的", ["积极", "消极"], "积极", "消极"),
        ("कमी", ["कम", "ज़्यादा"], None, None),  # the vowel sign makes it another word
        ("positive_negative", ["positive", "negative"], None, None),
        ("nothing", ["yes", "no"], None, None),
        ("", ["yes", "no"], None, None),
    ],
)
def test_mentioned_labels(text, labels, first, last):
    assert finds(text, labels, "first") == ({first} if first else set())
    assert finds(text, labels, "last") == ({last} if last else set())


def test_only_wanted_scores_are_computed_and_labels_bring_theirs():
    assert [i.name for i in exact().infos] == ["exact", "exact_normalised"]
    assert set(scored("a", ["a"])) == {"exact", "exact_normalised"}
    assert set(scored("ant", ["ant"], wanted=["recall"], labels=LABELS)) == {"recall"}
    assert len(scored("ant", ["ant"], labels=LABELS)) == 6


def test_signatures():
    found = scored("a", ["a"], labels=["no", "ÿes"], average="binary", positive="ÿes", extract="last")
    assert {name: scores.signature for name, scores in found.items()} == {
        "exact": "exact|strip:no",
        "exact_normalised": "exact_normalised|nfkc|case:lc|punct:no|articles:no",
        "accuracy": 'accuracy|labels:["no","ÿes"]|extract:last',
        **{
            name: f'{name}|labels:["no","ÿes"]|extract:last|average:binary|positive:"ÿes"'
            for name in ("precision", "recall", "f1")
        },
    }
    options = {"strip_whitespace": True, "lowercase": False, "strip_punctuation": False, "strip_articles": False}
    found = scored("a", ["a"], **options)
    assert found["exact"].signature == "exact|strip:yes"
    assert found["exact_normalised"].signature == "exact_normalised|nfkc|case:mixed|punct:yes|articles:yes"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": []}, "at least two"),
        ({"labels": ["a"]}, "at least two"),
        ({"labels": ["yes", " "]}, "is empty"),
        ({"labels": ["yes", "YES"]}, "'YES' and 'yes' are the same"),
        ({"labels": LABELS, "average": "samples"}, "samples.*macro"),
        ({"labels": LABELS, "average": "binary"}, "needs one of the labels ant, bee, cat"),
        ({"labels": LABELS, "average": "binary", "positive": "wasp"}, "wasp"),
        ({"labels": LABELS, "positive": "ant"}, "average: binary"),
        ({"labels": LABELS, "extract": "any"}, "any.*first"),
        ({"average": "micro"}, "only with labels"),
        ({"positive": "ant"}, "only with labels"),
        ({"extract": "last"}, "only with labels"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        exact(**options)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_resampled_rows_do_not_depend_on_one_another(average):
    labels = [f"label{i}" for i in range(11)]
    metric = exact(labels=labels, average=average)
    sums = np.random.default_rng(1).integers(0, 9, size=(1000, 33)).astype(float)
    sums[7] = 0
    for name in ("precision", "recall", "f1"):
        values = metric.corpus_from(name, sums)
        assert values.shape == (1000,)
        assert math.isnan(values[7])  # no completion at all
        assert np.nanmin(values) >= 0
        assert np.nanmax(values) <= 1
        for layout in (sums[5:6], np.asfortranarray(sums)[:6], sums[:6]):
            assert metric.corpus_from(name, layout)[-1] == values[5]
        assert np.array_equal(metric.corpus_from(name, np.asfortranarray(sums)), values, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from([*LABELS, "?"])), min_size=1, max_size=30))
def test_micro_recall_is_accuracy(rows):
    found = table(rows, labels=LABELS, average="micro")
    assert found["recall"] == pytest.approx(found["accuracy"])
    weighted = table(rows, labels=LABELS, average="weighted")
    assert weighted["recall"] == pytest.approx(found["accuracy"])


@pytest.mark.parametrize("text", ["+" * 100_000, "yes no " * 14_000, "no" * 50_000, "a the " * 16_000, "(" * 100_000])
@pytest.mark.parametrize("extract", ["whole", "last"])
def test_a_long_text_takes_linear_time(text, extract):
    start = time.perf_counter()
    scored(text, ["yes"], labels=["yes", "no", "+", "(a)"], extract=extract)
    assert time.perf_counter() - start < 3  # 0.1 s when nothing else runs
