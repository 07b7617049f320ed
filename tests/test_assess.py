"""Tables of a stored run: corpus rows, intervals, and what happens when a plugin fails at the corpus."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from harness.assess import assess
from harness.loaded import load_metrics
from harness.stats import bootstrap, percentile_interval

from .metrics_for_tests import Words, generation, registry_of

GENERATIONS = [generation(str(i), *("w " * (1 + (i * j) % 5) for j in range(1, 4))) for i in range(12)]


def table_of(factory, generations=GENERATIONS, **options):
    from harness.types import Spec, Whole

    scorers = load_metrics([Spec("metric", "words")], registry_of(words=factory))
    return assess(("t", "m"), lambda: iter(generations), scorers, None, Whole(), **options)


def row(table, score):
    return next(r for r in table.corpus if r.score == score)


def test_corpus_rows_by_rule():
    table = table_of(Words)
    words = [len(c.text.split()) for g in GENERATIONS for c in g.completions]
    assert row(table, "words").value == sum(words) / len(words)
    assert row(table, "words").n == len(words) == table.size
    assert row(table, "rivals").value == 2.0
    assert (row(table, "rivals").ci_low, row(table, "rivals").ci_high) == (2.0, 2.0)
    assert row(table, "variety").value == 1 / sum(words)
    assert row(table, "variety").ci_low is None  # no resampling reaches a score of the whole corpus


def test_intervals_resample_samples_not_completions():
    """Against a plain bootstrap over the samples' sums."""
    import zlib

    table = table_of(Words, seed=9)
    order = sorted(range(12), key=lambda i: f"sample {i}")
    sums = np.array([[sum(len(c.text.split()) for c in GENERATIONS[i].completions), 3.0] for i in order])
    draws = bootstrap(sums, lambda s: s[:, 0] / s[:, 1], seed=zlib.crc32(b"t\0m") ^ 9)
    assert percentile_interval(draws) == (row(table, "words").ci_low, row(table, "words").ci_high)


def test_a_cluster_key_joins_samples():
    from dataclasses import replace

    joined = [replace(g, sample=replace(g.sample, cluster="one")) for g in GENERATIONS]
    assert row(table_of(Words, joined), "words").ci_low is None  # one cluster shows no spread


def test_one_sample_has_no_interval():
    assert row(table_of(Words, GENERATIONS[:1]), "words").ci_low is None


def test_neither_chunks_nor_the_order_of_samples_change_a_row():
    whole = table_of(Words).corpus
    assert table_of(Words, chunk=1).corpus == table_of(Words, chunk=7).corpus == whole
    shuffled = list(GENERATIONS)
    random.Random(1).shuffle(shuffled)
    assert table_of(Words, shuffled).corpus == whole


class FailsAtTheCorpus(Words):
    def corpus_from(self, name, sums):
        raise ZeroDivisionError("no")

    def over(self, batches):
        raise SystemExit(3)


class WrongShape(Words):
    def corpus_from(self, name, sums):
        return sums


@pytest.mark.parametrize(
    ("factory", "reason"), [(FailsAtTheCorpus, "ZeroDivisionError"), (WrongShape, "corpus_from gave")]
)
def test_a_fault_at_the_corpus_costs_that_value_alone(factory, reason):
    table = table_of(factory)
    assert row(table, "words").value is None
    assert reason in table.faults["words"]
    assert table.scores["words"].segment == table_of(Words).scores["words"].segment
    assert row(table, "rivals").value == 2.0
    assert ("variety" in table.faults) == (factory is FailsAtTheCorpus)


def test_nothing_to_score():
    table = table_of(Words, [generation("1", None), generation("2", None)])
    assert row(table, "words").value is None
    assert row(table, "words").n == 0
    assert table.statuses("words") == {"ok": 0, "abstain": 0, "error": 0, "timeout": 2, "invalid": 0}
    assert all(math.isnan(v) for v in table.scores["words"].values)
