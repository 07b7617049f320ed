"""Small metrics with known habits, and a registry that holds just them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

import harness
from harness import Batch, NoValue, ScoreInfo, Scores, corpus_score, scores_from
from harness.registry import Entry, Plugin, Registry

PLUGIN = Plugin("tests", "tests", "tests", "0", "ok")


class Words:
    """The number of words, with what it was called with; the corpus score is a ratio of sums."""

    infos = (
        ScoreInfo("words", 0, math.inf, corpus="statistics"),
        ScoreInfo("overlap", needs=frozenset(["references"])),
        ScoreInfo("variety", scope="corpus", corpus="none"),
        ScoreInfo("rivals", 0, math.inf, scope="group"),
    )

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        self.batches.append(batch)
        counts = [float(len(t.split())) for t in batch.texts]
        statistics = np.array([[c, 1.0] for c in counts]).reshape(-1, 2)
        groups = [float(len(g.completions) - 1) for g in batch.generations for _ in g.completions]
        shared = [float(c.text in g.sample.references) for g in batch.generations for c in g.completions]
        made = {
            "words": scores_from(self.infos[0], "words", counts, statistics=statistics, corpus_signature="words|ratio"),
            "overlap": scores_from(self.infos[1], "overlap", shared),
            "rivals": scores_from(self.infos[3], "rivals", groups),
        }
        return {n: s for n, s in made.items() if n in batch.wanted}

    def corpus_from(self, name: str, sums: Any) -> Any:
        return sums[:, 0] / sums[:, 1]

    def over(self, batches: Iterable[Batch]) -> Mapping[str, Scores]:
        words = [w for b in batches for t in b.texts for w in t.split()]
        return {"variety": corpus_score(self.infos[2], "variety", len(set(words)) / len(words) if words else None)}


def metric_of(answer: Callable[[Batch], Any], info: ScoreInfo) -> Any:
    """A metric whose answer is `answer(batch)`, right or wrong."""

    class Metric:
        infos = (info,)

        def __call__(self, batch: Batch) -> Any:
            return answer(batch)

    return Metric()


def values_metric(values: Callable[[Batch], list[float | NoValue | None]], **info: Any) -> Any:
    declared = ScoreInfo("x", **info)
    return metric_of(lambda batch: {"x": scores_from(declared, "x", values(batch))}, declared)


def registry_of(**metrics: Callable[..., Any]) -> Registry:
    """A registry of factories by metric name; the scores are those of a metric made with default options."""
    entries = [
        Entry("metric", name, factory, tuple(i.name for i in factory().infos), PLUGIN)
        for name, factory in metrics.items()
    ]
    return Registry([PLUGIN], entries)


def generation(
    id: str, *texts: str | None, references: tuple[str, ...] = ("r",), model: str = "m", task: str = "t"
) -> Any:
    completions = tuple(
        harness.Completion(t) if t is not None else harness.Completion(None, "timeout", "too slow") for t in texts
    )
    return harness.Generation(harness.Sample(id, "p", references, task=task), model, completions)
