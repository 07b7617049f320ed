"""Scores, rewards and corpus values of stored generations: columns in memory, never a million records at once."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from harness.authoring import corpus_score
from harness.corpus import corpus_from, corpus_scope, corpus_value, counted, finished, mean_value
from harness.errors import PluginError
from harness.grouping import chunks, has_text
from harness.scoring import CHUNK, joined, score_batch
from harness.stats import bootstrap, mean_of, percentile_interval, sum_by
from harness.text import clean_text
from harness.types import STATUSES, ScoreInfo, Scores

if TYPE_CHECKING:
    from harness.loaded import LoadedMetric
    from harness.rewards import Composite
    from harness.types import F64, Bool, Generation, Whole

TableKey = tuple[str, str]
"""(task, model)"""
Read = Callable[[], Iterator["Generation"]]
"""The generations of one table, from disk, each time it is called."""


@dataclass(frozen=True, slots=True)
class CorpusRow:
    """One corpus score with its bootstrap interval over samples; `n` is how many completions entered it."""

    task: str
    model: str
    score: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    signature: str


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """All scores of one task and one model: columns of equal length, in the order of the samples.

    `faults` says of corpus scores why the plugin that makes them failed, `renormalised` counts the rewards that were
    made without an optional term, `guarded` those that are 0 because the guard of a score failed.
    """

    task: str
    model: str
    size: int
    scores: Mapping[str, Scores]
    corpus: tuple[CorpusRow, ...]
    faults: Mapping[str, str]
    renormalised: int = 0
    guarded: Mapping[str, int] = field(default_factory=dict)

    def statuses(self, name: str) -> dict[str, int]:
        counts = np.bincount(self.scores[name].status, minlength=len(STATUSES)).tolist()
        return dict(zip(STATUSES, counts, strict=True))


def assess(
    key: TableKey,
    read: Read,
    metrics: Sequence[LoadedMetric],
    composite: Composite | None,
    whole: Whole,
    *,
    seed: int = 0,
    chunk: int = CHUNK,
) -> Table:
    """The table of one task and one model. Neither `chunk` nor the order of batches changes a value.

    `whole` is all samples of the task.
    """
    parts: list[dict[str, Scores]] = []
    groups = _Groups()
    renormalised, guarded = 0, Counter[str]()
    for generations in chunks(read(), chunk):
        scores = score_batch(metrics, generations, whole)
        if composite is not None:
            rewards = composite.rewards(scores)
            renormalised += sum(bool(r.left_out) for r in rewards)
            guarded.update(r.guard for r in rewards if r.guard)
            scores |= composite.columns(rewards, scores)
        parts.append(scores)
        groups.add(generations)
    columns = joined(parts) if parts else score_batch(metrics, [], whole)
    if composite is not None:
        columns |= composite.signed(columns)
    faults: dict[str, str] = {}
    for metric in metrics:
        columns |= _corpus_scope(metric, read, whole, faults)
    columns = {n: finished(s, frozenset(groups.references)) for n, s in columns.items()}
    level = _Level(key, groups.numbers(), groups.texts, zlib.crc32("\0".join(key).encode()) ^ seed)
    order = list(infos_of(metrics, composite))
    rows = tuple(_row(level, n, columns[n], metrics, faults) for n in order)
    with_corpus = {n: replace(columns[n], corpus=row.value) for n, row in zip(order, rows, strict=True)}
    return Table(*key, groups.completions, with_corpus, rows, faults, renormalised, dict(guarded))


class _Groups:
    """What is kept of the generations themselves: which cluster each completion is of, and a few counts."""

    def __init__(self) -> None:
        self.references: set[int] = set()
        self.texts = self.completions = 0
        self._clusters: list[tuple[str, str]] = []
        self._sizes: list[int] = []

    def add(self, generations: Iterable[Generation]) -> None:
        for g in generations:
            self.references.add(len(g.sample.references))
            self.completions += len(g.completions)
            self.texts += sum(map(has_text, g.completions))
            self._clusters.append(("cluster", g.sample.cluster) if g.sample.cluster else ("sample", g.sample.id))
            self._sizes.append(len(g.completions))

    def numbers(self) -> F64:
        """The cluster number of each completion, in the order of the names: that of samples changes no interval."""
        order = {name: i for i, name in enumerate(sorted(set(self._clusters)))}
        return np.repeat(np.array([order[c] for c in self._clusters], np.float64), self._sizes)


def _corpus_scope(metric: LoadedMetric, read: Read, whole: Whole, faults: dict[str, str]) -> dict[str, Scores]:
    try:
        return corpus_scope(metric, [_Rereading(read)], whole)
    except PluginError as error:
        lost = {n: i for n, i in metric.infos.items() if i.by_over}
        faults.update(dict.fromkeys(lost, clean_text(str(error))))
        return {n: corpus_score(i, "", None) for n, i in lost.items()}


class _Rereading:
    """A table that can be gone through more than once without being held."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def __iter__(self) -> Iterator[Generation]:
        return self._read()


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    key: TableKey
    clusters: F64
    texts: int
    seed: int

    def interval(self, rows: F64, counted_rows: Bool, value_of: Callable[[F64], F64]) -> tuple[float, float] | None:
        there, numbers = np.unique(self.clusters[counted_rows], return_inverse=True)
        if len(there) < 2:  # one cluster shows no spread
            return None
        sums = sum_by(numbers.astype(np.float64), rows, len(there))
        return percentile_interval(bootstrap(sums, value_of, seed=self.seed))


def _row(
    level: _Level, name: str, scores: Scores, metrics: Sequence[LoadedMetric], faults: dict[str, str]
) -> CorpusRow:
    """The corpus score; where its plugin fails on it, the row has no value and `faults` the reason."""
    try:
        return _computed_row(level, name, scores, metrics)
    except PluginError as error:
        faults[name] = clean_text(str(error))
        return CorpusRow(*level.key, name, None, None, None, int(counted(scores).sum()), scores.corpus_signature)


def _computed_row(level: _Level, name: str, scores: Scores, metrics: Sequence[LoadedMetric]) -> CorpusRow:
    if scores.info.by_over:
        return CorpusRow(*level.key, name, scores.corpus, None, None, level.texts, scores.corpus_signature)
    rows = counted(scores)
    n = int(rows.sum())
    found = _owner(name, metrics)
    value = corpus_value(*found, scores) if found else mean_value(scores)  # none owns the reward and its terms
    matrix = _moments(scores, rows)
    value_of: Callable[[F64], F64] = mean_of
    if found and scores.info.corpus == "statistics" and scores.statistics is not None:
        matrix, value_of = scores.statistics[rows], partial(corpus_from, *found)
    interval = level.interval(matrix, rows, value_of) if value is not None else None
    low, high = interval or (None, None)
    return CorpusRow(*level.key, name, value, low, high, n, scores.corpus_signature)


def _moments(scores: Scores, rows: Bool) -> F64:
    values = scores.values[rows]
    return np.stack([values, np.ones(len(values))], axis=1)


def _owner(name: str, metrics: Sequence[LoadedMetric]) -> tuple[LoadedMetric, str] | None:
    for metric in metrics:
        for own_name in metric.own:
            if metric.name(own_name) == name:
                return metric, own_name
    return None


def infos_of(metrics: Sequence[LoadedMetric], composite: Composite | None) -> dict[str, ScoreInfo]:
    """Every score of a run by its name, in the order of the columns."""
    infos = {n: i for m in metrics for n, i in m.infos.items()}
    return infos | (composite.infos() if composite is not None else {})
