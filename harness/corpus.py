"""Corpus scores: means, functions of summed statistics, and values that only the whole corpus has.

Decision 1 holds here too: what is not a finite number in the declared range is no value, and is said to be a fault.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from harness.columns import in_range
from harness.errors import PluginError
from harness.grouping import chunks, lacking, with_texts
from harness.types import Batch, Generation, Memo, Need, ScoreInfo, Scores, Whole

if TYPE_CHECKING:
    from harness.interfaces import CorpusMetric, CorpusScopeMetric
    from harness.loaded import LoadedMetric
    from harness.types import F64, Bool

Table = Iterable[Generation]
"""Generations of one task and one model, which may be gone through more than once."""


def counted(scores: Scores) -> Bool:
    """Which completions enter the corpus score: those with a value, or with statistics where only these exist."""
    if scores.info.scope == "corpus" and scores.statistics is not None:
        return np.asarray(np.isfinite(scores.statistics).all(axis=1))
    return np.asarray(scores.status == 0)


def mean_value(scores: Scores) -> float | None:
    """The mean of the values there are, exactly rounded whatever their order; None where there are none."""
    values = scores.values[scores.status == 0].tolist()
    if not values:
        return None
    try:
        return math.fsum(values) / len(values)
    except OverflowError:  # the sum is no float, their mean is
        return math.fsum(value / len(values) for value in values)


def corpus_from(metric: LoadedMetric, own_name: str, sums: F64) -> F64:
    """Corpus scores of rows of summed statistics. Raises PluginError for anything but one number per row."""
    with metric.blamed():
        values = np.asarray(cast("CorpusMetric", metric.metric).corpus_from(own_name, sums), np.float64)
    if values.shape != (len(sums),):
        raise PluginError(f"{metric.spec.label}: corpus_from gave {values.shape} for {len(sums)} rows")
    return values


def corpus_value(metric: LoadedMetric, own_name: str, scores: Scores) -> float | None:
    """The corpus score by its rule. None where nothing was scored. Raises PluginError where the metric fails on it."""
    info = metric.own[own_name]
    rows = counted(scores)
    if info.corpus == "none" or not rows.any():
        return None
    if info.corpus == "mean":
        return mean_value(scores)
    if scores.statistics is None:
        return None
    sums = np.array([[math.fsum(column) for column in scores.statistics[rows].T.tolist()]])
    return _valid(float(corpus_from(metric, own_name, sums)[0]), info, metric)


def _valid(value: float, info: ScoreInfo, metric: LoadedMetric) -> float:
    if in_range(np.array([value]), info).all():
        return value
    bounds = f"outside the declared range [{info.low:g}, {info.high:g}]" if math.isfinite(value) else "no finite number"
    raise PluginError(f"{metric.spec.label}: the corpus value {value!r} of {info.name} is {bounds}")


def corpus_scope(metric: LoadedMetric, tables: Sequence[Table], whole: Whole, chunk: int = 64) -> dict[str, Scores]:
    """Scores of corpus scope that no statistics carry, over all generations of the tables.

    Raises PluginError where the metric fails. Generations that lack what a score needs are left out of it.
    """
    found: dict[str, Scores] = {}
    for needs, names in metric.by_needs(by_over=True).items():
        batches = (
            Batch(tuple(some), frozenset(names), Memo(), whole, metric.shared)
            for table in tables
            for some in chunks(_fit(table, needs), chunk)
        )
        with metric.blamed():
            answer = cast("CorpusScopeMetric", metric.metric).over(batches)
        found |= {metric.name(n): _taken(answer, n, metric) for n in names}
    return found


def _fit(table: Table, needs: frozenset[Need]) -> Iterator[Generation]:
    for generation in table:
        kept = with_texts(generation)
        if kept.completions and not lacking(generation, needs):
            yield kept


def _taken(answer: object, name: str, metric: LoadedMetric) -> Scores:
    scores = answer.get(name) if isinstance(answer, Mapping) else None
    if not isinstance(scores, Scores):
        raise PluginError(f"{metric.spec.label}: over() gave no Scores for {name}")
    if scores.corpus is not None:
        _valid(float(scores.corpus), metric.own[name], metric)
    return replace(scores, info=metric.infos[metric.name(name)])


def finished(scores: Scores, references: frozenset[int]) -> Scores:
    """With both signatures as they are shown. `references` are the numbers of references that samples have."""
    corpus = scores.corpus_signature or scores.signature
    statistics = scores.statistics
    if statistics is not None and not np.isfinite(statistics).any():
        statistics = None  # of nothing scored, as where no batch had any
    return replace(
        scores,
        statistics=statistics,
        signature=_with_references(scores.info, scores.signature, references),
        corpus_signature=_with_references(scores.info, corpus, references),
    )


def _with_references(info: ScoreInfo, signature: str, references: frozenset[int]) -> str:
    """The number of references as sacreBLEU gives it: it belongs to the data, not to the metric."""
    counts = references - {0}
    if "references" not in info.needs or not signature or not counts:
        return signature
    number = str(*counts) if len(counts) == 1 else "var"
    return f"{signature}|nrefs:{number}"
