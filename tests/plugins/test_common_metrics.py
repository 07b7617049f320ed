"""What holds for every bundled metric, whatever the text: any batching, any order, a value in range or a reason.

`test_common_plugins.py` has what holds for them as plugins, and in the hands of the host.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import Batch, Completion, Generation, Memo, Message, Sample

from . import common_metrics as common
from .common_metrics import CASES, SHARED, batches, check, columns, differences, groups_of

MINILM = ("bertscore", "relevance")
SHUFFLED, AWKWARD = Memo(), Memo()
"""Of a batch that every metric gets: as in a run, each finds what those before it left in the memo."""


@pytest.fixture(params=CASES, ids=lambda case: case[0])
def case(request):
    """Makes a metric anew, each time with the same options."""
    name, options = request.param
    options = common.resolved(name, options, request)
    return lambda: common.make(name, options)


def test_batches_and_order_change_nothing_beyond_the_tolerance(case):
    groups, metric = groups_of(11, count=70), case()
    if metric.__module__.endswith(MINILM):
        groups = groups[:10]  # what takes a minute with all of them has a test of its own
    expected = columns(metric, groups, len(groups))
    shuffled = random.Random(5).sample(groups, len(groups))
    for some, size in ((groups, 1), (shuffled, 8), (shuffled, 64)):
        assert differences(columns(case(), some, size), expected, metric.infos) == []
    assert differences(columns(metric, groups, 8, backwards=True), expected, metric.infos) == []
    assert differences(columns(metric, shuffled, len(groups), memo=SHUFFLED), expected, metric.infos) == []
    for info in metric.infos:
        values = {value for (name, *place), (value, *_) in expected.items() if name == info.name and place}
        assert len(values - {None}) > 1 or info.scope == "corpus", f"{info.name}: nothing here that could differ"
        assert (info.name,) in expected or info.corpus == "mean"


class Together:
    """Several metrics on the same batch, so that their encoder sees each text once."""

    def __init__(self, metrics):
        self._metrics = metrics
        self.infos = [replace(info, name=f"{n} {info.name}") for n, m in enumerate(metrics) for info in m.infos]

    def __call__(self, batch):
        return {f"{n} {name}": scores for n, m in enumerate(self._metrics) for name, scores in m(batch).items()}


def test_scores_by_minilm_hold_their_tolerance_in_batches_of_1_8_and_64(request):
    """Texts of 0 to 28 words, so that every batch is padded."""
    cases = [(n, common.resolved(n, options, request)) for n in MINILM for options in common.OPTIONS[n]]
    metric = Together([common.make(*case) for case in cases])
    assert {info.tolerance for info in metric.infos} == {1e-5}
    rng = random.Random(3)
    lengths = rng.sample(range(200), 200)

    def text():
        return " ".join(rng.choices(common.WORDS, k=lengths.pop() // 7))

    groups = [
        Generation(Sample(str(i), prompt=text(), references=(text(),)), "m", (Completion(text()),)) for i in range(66)
    ]
    alone = columns(metric, groups, 1)
    assert len({value for value, *_ in alone.values()}) > 300
    for size in (8, 64):
        assert differences(columns(metric, groups, size), alone, metric.infos) == []


def test_awkward_texts_give_a_value_in_range_or_a_reason(case):
    metric, groups = case(), common.awkward_groups()
    for scores in metric(*batches(groups, len(groups), AWKWARD)).values():
        check(scores, 2 * len(groups))
    if hasattr(metric, "over"):
        for scores in metric.over(batches(groups, 8)).values():
            assert scores.corpus is None or scores.info.low <= scores.corpus <= scores.info.high


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts, texts, texts)
def test_any_text_gives_a_value_in_range_or_a_reason(case, one, two, other):
    sample = Sample("1", prompt=other, references=(other,), metadata={"sentiment": 1})
    batch = Batch((Generation(sample, "m", (Completion(one), Completion(two))),), shared=SHARED)
    for scores in case()(batch).values():
        check(scores, 2)


@pytest.mark.parametrize("prompt", [(), (Message("assistant", "good"),), (Message("", ""), Message("user", "\0"))])
def test_any_chat_is_a_prompt(case, prompt):
    group = Generation(Sample("1", prompt=prompt, references=("ba",)), "m", (Completion("ba"), Completion("be ba")))
    for scores in case()(Batch((group,), shared=SHARED)).values():
        check(scores, 2)


def test_wanted_names_are_answered_and_no_others(case):
    metric, (batch,) = case(), batches(groups_of(2, count=12), 12)
    everything = metric(batch)
    for own in everything:
        (scores,) = metric(Batch(batch.generations, frozenset([own]), shared=SHARED)).values()
        assert scores.info.name == own
        both = zip(scores.segment, everything[own].segment, strict=True)
        assert all(common.same(*pair, scores.info) for pair in both)
        assert scores.signature == everything[own].signature
    assert metric(Batch(batch.generations, frozenset(["something else"]), shared=SHARED)) == {}


def test_an_empty_batch_is_no_error(case):
    metric = case()
    for scores in metric(Batch((), shared=SHARED)).values():
        check(scores, 0)
    if hasattr(metric, "over"):
        assert {scores.corpus for scores in metric.over([]).values()} == {None}


def test_rows_of_sums_are_resampled_at_once_as_one_by_one(case):
    """The bootstrap hands over many rows of summed statistics: each has the value that it has alone."""
    metric, (batch,) = case(), batches(groups_of(4, count=20), 20)
    for name, scores in metric(batch).items():
        if scores.statistics is not None:
            rows = scores.statistics[np.isfinite(scores.statistics).all(axis=1)]
            sums = np.stack([rows[start : start + 5].sum(axis=0) for start in range(len(rows) - 5)])
            together = metric.corpus_from(name, sums)
            assert together.shape == (len(sums),)
            assert together.tolist() == [metric.corpus_from(name, row[None])[0] for row in sums]
