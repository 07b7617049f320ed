"""What holds for every bundled metric of text: any batching, any order, any text."""

from __future__ import annotations

import importlib
import importlib.metadata
import math
import random
import subprocess
import sys
import typing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import STATUSES, Batch, Completion, Generation, Sample

OPTIONS = {
    "bleu": [{}, {"tokenize": "intl", "smooth_method": "add-k", "lowercase": True, "max_ngram_order": 2}],
    "chrf": [{}, {"word_order": 2, "eps_smoothing": True, "whitespace": True}],
    "rouge": [{}, {"use_stemmer": True, "multi": "mean", "measure": "recall"}],
    "diversity": [{}, {"tokenize": "char", "lowercase": True, "max_ngram_order": 2, "entropy_order": 1}],
    "sentiment": [{}, {"against": "references"}, {"against": "target"}],
    "length": [{}],
    "exact": [{}, {"labels": ["good", "bad"], "extract": "first", "average": "weighted"}],
}
CASES = [(name, options) for name, some in OPTIONS.items() for options in some]
WORDS = [
    "good",
    "bad",
    "the",
    "a",
    "cat,",
    "dog!",
    "runs",
    "running",
    "3.5",
    "naïve",
    "你好",
    "😀",
    "but",
    "not",
    "very",
    "&",
    "-\n",
]
AWKWARD = [
    "",
    " ",
    "\n\n\t",
    "\u3000",
    "?!…。",
    "a",
    "0",
    "x" * 100_000,
    "word " * 20_000,
    "😀👨‍👩‍👧🇩🇪",
    "\0\x1b[31m\r",
    "\u202eabc\u2066",
    "Z\u0351\u0343\u0329a\u0300\u0301l",
    "-\n",
    "<skipped> &quot;&amp;lt;",
    "我喜欢读书",
    "İstanbul ſ ﬁ ẞ",
    *(chr(0x10000 * plane + 0x42) + "b" + chr(0x10000 * plane + 0x6A5) for plane in range(17)),
    "".join(chr(point) for point in range(0x2F00)),
]


def make(name, options):
    return getattr(importlib.import_module(f"harness_plugins.{name}"), name)(**options)


def groups_of(seed, count=15):
    rng = random.Random(seed)

    def text():
        return " ".join(rng.choices(WORDS, k=rng.randrange(14)))

    return [
        Generation(
            Sample(
                str(i),
                prompt=text(),
                references=tuple(text() for _ in range(rng.randrange(1, 4))),
                language=rng.choice([None, "en", "de"]),
                metadata={"sentiment": rng.choice(["positive", -0.5, "?", None])},
            ),
            "m",
            tuple(Completion(text(), tokens=rng.choice([None, 5])) for _ in range(rng.randrange(1, 5))),
        )
        for i in range(count)
    ]


def columns(metric, groups, size):
    """(value, status, reason, statistics) of each completion by (sample, index), scored in batches of `size` groups."""
    found = {}
    for start in range(0, len(groups), size):
        batch = Batch(tuple(groups[start : start + size]))
        places = [(g.sample.id, i) for g in batch.generations for i in range(len(g.completions))]
        for name, scores in metric(batch).items():
            for row, place in enumerate(places):
                statistics = None if scores.statistics is None else scores.statistics[row].tolist()
                found[name, place] = (
                    scores.segment[row],
                    scores.status_of(row),
                    scores.reasons.get(row),
                    repr(statistics),
                )
    return found


def corpus(metric, groups, size):
    """Corpus scores of rule `statistics`, from sums taken batch by batch."""
    sums = {}
    for start in range(0, len(groups), size):
        for name, scores in metric(Batch(tuple(groups[start : start + size]))).items():
            if scores.statistics is not None:
                rows = scores.statistics[np.isfinite(scores.statistics).all(axis=1)]
                sums[name] = sums.get(name, 0) + rows.sum(axis=0, keepdims=True)
    return {name: metric.corpus_from(name, total).tolist() for name, total in sums.items()}


def check(scores, size):
    info = scores.info
    assert scores.values.shape == scores.status.shape == (size,)
    assert (np.isnan(scores.values) == (scores.status != 0)).all()
    assert set(scores.reasons) == set(np.flatnonzero(scores.status).tolist())
    assert all(reason.strip() for reason in scores.reasons.values())
    values = scores.values[scores.status == 0]
    assert np.isfinite(values).all()
    assert ((values >= info.low) & (values <= info.high)).all()
    assert (scores.statistics is not None) == (info.corpus == "statistics")
    assert {STATUSES[code] for code in scores.status.tolist()} <= {"ok", "abstain", "invalid"}


@pytest.mark.parametrize(("name", "options"), CASES)
def test_batches_and_order_change_no_bit(name, options):
    groups = groups_of(11)
    metric = make(name, options)
    whole, total = columns(metric, groups, len(groups)), corpus(metric, groups, len(groups))
    shuffled = random.Random(5).sample(groups, len(groups))
    for some in (groups, shuffled):
        for size in (1, 7, len(groups)):
            assert columns(make(name, options), some, size) == whole
            assert corpus(make(name, options), some, size) == total
    assert any(value is not None for value, *_ in whole.values())


@pytest.mark.parametrize(("name", "options"), CASES)
def test_awkward_texts_give_a_value_in_range_or_a_reason(name, options):
    metric = make(name, options)
    pairs = [(text, "The cat sat, good.") for text in AWKWARD]
    pairs += [("The cat sat, good.", text) for text in AWKWARD]
    pairs += [(text, text) for text in AWKWARD if len(text) < 50_000]
    groups = tuple(
        Generation(
            Sample(str(i), prompt=other, references=(other, "bad"), metadata={"sentiment": 0}),
            "m",
            (Completion(text), Completion("a good dog")),
        )
        for i, (text, other) in enumerate(pairs)
    )
    for scores in metric(Batch(groups)).values():
        check(scores, 2 * len(groups))
    if hasattr(metric, "over"):
        for scores in metric.over([Batch(groups)]).values():
            assert scores.info.low <= scores.corpus <= scores.info.high


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=40, deadline=None)
@given(texts, texts, texts)
def test_any_text_gives_a_value_in_range_or_a_reason(one, two, other):
    sample = Sample("1", prompt=other, references=(other,), metadata={"sentiment": 1})
    batch = Batch((Generation(sample, "m", (Completion(one), Completion(two))),))
    for name, options in CASES:
        for scores in make(name, options)(batch).values():
            check(scores, 2)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_wanted_names_are_answered_and_no_others(name, options):
    metric = make(name, options)
    groups = tuple(groups_of(2, count=3))
    everything = metric(Batch(groups))
    for own in everything:
        (scores,) = metric(Batch(groups, frozenset([own]))).values()
        assert scores.info.name == own
        assert scores.segment == everything[own].segment
    assert metric(Batch(groups, frozenset(["something else"]))) == {}


@pytest.mark.parametrize(("name", "options"), CASES)
def test_an_empty_batch_is_no_error(name, options):
    for scores in make(name, options)(Batch(())).values():
        check(scores, 0)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_infos_are_what_comes_back(name, options):
    metric = make(name, options)
    scores = metric(Batch(tuple(groups_of(4, count=2))))
    corpus_scope = set(metric.over([])) if hasattr(metric, "over") else set()
    assert [info.name for info in metric.infos if info.name not in corpus_scope] == list(scores)
    for info in metric.infos:
        assert info.low < info.high
        assert math.isfinite(info.low)
        assert info.tolerance == 0
        assert (info.corpus == "statistics") <= hasattr(metric, "corpus_from")
        if info.name in scores:
            assert scores[info.name].info == info
            assert scores[info.name].signature.startswith(f"{info.name}|")


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_registration_names_all_scores(name):
    registered = {}
    module = importlib.import_module(f"harness_plugins.{name}")
    module.register_metrics(lambda own, factory, scores: registered.update({own: (factory, scores)}))
    factory, scores = registered[name]
    assert list(registered) == [name]
    most = max((factory(**options).infos for options in OPTIONS[name]), key=len)
    assert list(scores) == [info.name for info in most]


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_a_host_can_read_the_types_of_the_options(name):
    factory = getattr(importlib.import_module(f"harness_plugins.{name}"), name)
    hints = typing.get_type_hints(factory)
    used = {option for options in OPTIONS[name] for option in options}
    assert used <= set(hints) - {"return"}


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_each_is_an_entry_point(name):
    (point,) = importlib.metadata.entry_points(group="harness", name=name)
    assert point.value == f"harness_plugins.{name}"


def test_module_docstrings_say_what_the_numbers_are():
    for name in OPTIONS:
        text = importlib.import_module(f"harness_plugins.{name}").__doc__
        for word in ("Signature", "Corpus", "igher"):
            assert word in text, (name, word)
        assert "https://" in text or name == "length"


def test_importing_the_plugins_imports_no_heavy_package():
    code = f"""
import sys
for name in {sorted(OPTIONS)!r}:
    __import__("harness_plugins." + name)
heavy = "torch transformers pandas pyarrow sacrebleu rouge_score nltk vaderSentiment scipy".split()
sys.exit(" ".join(name for name in heavy if name in sys.modules) or None)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
