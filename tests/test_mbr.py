"""Minimum Bayes risk: what a metric is shown, and what becomes of its answers. Against sacreBLEU see test_selection."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

import harness
from harness.errors import PluginError
from harness.loaded import load_metrics
from harness.mbr import Told, utilities
from harness.types import Batch, Completion, Generation, Sample, ScoreInfo, Scores, Spec, Whole

from .metrics_for_tests import metric_of, registry_of, values_metric

REFERENCES = frozenset({"references"})
WORDS = "the a cat dog sat ran on under mat hat".split()


def generation(id: str, *texts: str | None) -> Generation:
    completions = tuple(Completion(t) if t is not None else Completion(None, "error", "gone") for t in texts)
    return Generation(Sample(id, "p", ("its own reference",), "t"), "m", completions)


def compared(found: Sequence[Generation], metric: Any, told: Told | None = None, pairs: int = 4096) -> list[Any]:
    (loaded,) = load_metrics([Spec("metric", "x")], registry_of(x=lambda: metric))
    whole = Whole.of(g.sample for g in found)
    return list(utilities(loaded, found, whole, told or Told(), pairs=pairs))


def recorded(batches: list[Batch]) -> Any:
    def value(batch: Batch) -> list[Any]:
        batches.append(batch)
        return [
            float(len(c.text or "") >= len(g.sample.references[0])) for g in batch.generations for c in g.completions
        ]

    return values_metric(value, needs=REFERENCES)


LONE = "only one has a text, so there is none to compare it with"
GROUPS = [
    (("a",), (None,), LONE),
    (("a", None), (None, None), LONE),
    ((None, None), (None, None), "none has a text"),
    (("a", "a"), (1.0, 1.0), None),
    (("a", "bb"), (0.0, 1.0), None),
    (("a", "a", "bb"), (0.5, 0.5, 1.0), None),
    (("bb", None, "", "a"), (1.0, None, 0.0, 0.5), "some have no text"),
]


@pytest.mark.parametrize(("texts", "values", "reason"), GROUPS)
def test_utilities_of_a_group(texts: tuple[str | None, ...], values: tuple[float | None, ...], reason: str | None):
    (found,) = compared([generation("1", *texts)], recorded([]))
    assert (found.values, found.reason) == (values, reason)


def test_what_the_metric_sees_is_other_texts_as_only_references_under_ids_that_differ():
    batches: list[Batch] = []
    compared([generation("1", "a", "b", "a", "c"), generation("2", "x", "y")], recorded(batches))
    (batch,) = batches
    seen = [(g.sample.id, g.sample.references, [c.text for c in g.completions]) for g in batch.generations]
    assert seen == [
        ("1#0", ("a",), ["a", "b", "c"]),  # said twice, so it meets itself
        ("1#1", ("b",), ["a", "c"]),
        ("1#2", ("c",), ["a", "b"]),
        ("2#0", ("x",), ["y"]),
        ("2#1", ("y",), ["x"]),
    ]
    assert batch.wanted == {"x"}
    assert {s.references for s in batch.whole.samples} == {("its own reference",)}


@pytest.mark.parametrize("pairs", [1, 2, 7, 50])
def test_the_size_of_batches_changes_nothing_and_is_kept(pairs: int):
    dice = random.Random(5)
    found = [generation(str(i), *(" ".join(dice.choices(WORDS, k=2)) for _ in range(2 + i % 5))) for i in range(12)]
    batches: list[Batch] = []
    assert compared(found, recorded(batches), pairs=pairs) == compared(found, recorded([]))
    assert max(b.size for b in batches) < pairs + 6  # at most one reference's texts beyond it


def shaky(batch: Batch) -> dict[str, Scores]:
    """Raises on one reference and abstains on another."""
    if any(g.sample.references == ("bad",) for g in batch.generations):
        raise ZeroDivisionError("cannot stand it")
    info = ScoreInfo("x", needs=REFERENCES)
    values = [
        harness.NoValue("abstain", "a blank reference") if not g.sample.references[0] else 0.5
        for g in batch.generations
        for _ in g.completions
    ]
    return {"x": harness.scores_from(info, "x", values)}


def test_a_pair_without_a_value_is_left_out_and_told_if_it_is_a_failure():
    told = Told()
    found = compared(
        [generation("1", "a", "bad", ""), generation("2", "bad", ""), generation("3", "a", "b")],
        metric_of(shaky, ScoreInfo("x", needs=REFERENCES)),
        told,
    )
    assert [v.values for v in found] == [(None, 0.5, 0.5), (None, None), (0.5, 0.5)]
    assert found[0].reason == "x: ZeroDivisionError: cannot stand it"
    assert found[1].reason == "x: ZeroDivisionError: cannot stand it"
    assert told.statuses == {"ok": 4, "abstain": 3, "error": 3}


def test_each_task_has_a_way_of_its_own():
    """One may be in another language."""
    info = ScoreInfo("x", needs=REFERENCES)

    def by_task(batch: Batch) -> dict[str, Scores]:
        return {"x": harness.scores_from(info, f"x|{batch.generations[0].sample.task}", [0.5] * batch.size)}

    told = Told()
    for task in ("en", "zh"):
        found = generation("1", "a", "b")
        compared([replace(found, sample=replace(found.sample, task=task))], metric_of(by_task, info), told)
    assert told.signatures == {"en": "x|en|nrefs:1", "zh": "x|zh|nrefs:1"}


def test_one_column_is_made_in_one_way():
    info = ScoreInfo("x", needs=REFERENCES)

    def changing(batch: Batch) -> dict[str, Scores]:
        return {"x": harness.scores_from(info, f"x|{batch.generations[0].sample.id}", [0.5] * batch.size)}

    with pytest.raises(PluginError, match="was made in 2 ways"):
        compared([generation("1", "a", "b"), generation("2", "a", "b")], metric_of(changing, info), pairs=1)
