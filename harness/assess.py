"""Scores, rewards and corpus values of stored generations: columns in memory, never a million records at once."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from harness.authoring import corpus_score
from harness.errors import PluginError
from harness.scoring import (
    Scorer,
    chunks,
    corpus_from,
    corpus_scope,
    corpus_value,
    counted,
    finished,
    joined,
    mean_value,
    score_batch,
)
from harness.stats import bootstrap, mean_of, percentile_interval, sum_by
from harness.types import STATUSES, Sample, ScoreInfo, Scores

if TYPE_CHECKING:
    from harness.rewards import Composite
    from harness.types import F64, Bool, Generation

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

    `faults` says of corpus scores why the plugin that makes them failed.
    """

    task: str
    model: str
    size: int
    scores: Mapping[str, Scores]
    corpus: tuple[CorpusRow, ...]
    faults: Mapping[str, str]

    def statuses(self, name: str) -> dict[str, int]:
        counts = np.bincount(self.scores[name].status, minlength=len(STATUSES)).tolist()
        return dict(zip(STATUSES, counts, strict=True))


def assess(
    key: TableKey, read: Read, scorers: Sequence[Scorer], composite: Composite | None, *, seed: int = 0, chunk: int = 64
) -> Table:
    """The table of one task and one model. Neither `chunk` nor the order of batches changes a value."""
    parts: list[dict[str, Scores]] = []
    samples: list[Sample] = []
    clusters: list[str] = []
    texts = 0
    for generations in chunks(read(), chunk):
        scores = score_batch(scorers, generations)
        if composite is not None:
            scores |= composite.columns(composite.rewards(scores), scores)
        parts.append(scores)
        samples += [replace(g.sample, prompt=None, metadata={}) for g in generations]
        clusters += [g.sample.cluster or f"sample {g.sample.id}" for g in generations for _ in g.completions]
        texts += sum(c.text is not None for g in generations for c in g.completions)
    columns = joined(parts)
    if composite is not None and parts:
        columns |= composite.signed(columns)
    faults: dict[str, str] = {}
    for scorer in scorers:
        columns |= _corpus_scope(scorer, read, faults)
    columns = {n: finished(s, samples) for n, s in columns.items()}
    level = _Level(key, _numbered(clusters), texts, zlib.crc32("\0".join(key).encode()) ^ seed)
    order = _order(scorers, composite)
    rows = tuple(_row(level, n, columns[n], scorers, faults) for n in order)
    return Table(*key, len(clusters), {n: columns[n] for n in order}, rows, faults)


def _corpus_scope(scorer: Scorer, read: Read, faults: dict[str, str]) -> dict[str, Scores]:
    try:
        return corpus_scope(scorer, read())
    except PluginError as error:
        lost = {n: i for n, i in scorer.infos.items() if i.scope == "corpus" and i.corpus != "statistics"}
        faults.update(dict.fromkeys(lost, str(error)))
        return {n: corpus_score(i, "", None) for n, i in lost.items()}


def _order(scorers: Sequence[Scorer], composite: Composite | None) -> list[str]:
    names = [n for s in scorers for n in s.infos]
    return names + (list(composite.infos()) if composite is not None else [])


def _numbered(clusters: Iterable[str]) -> F64:
    """Cluster numbers in the order of the names, so that the order of samples changes no interval."""
    found = list(clusters)
    numbers = {name: i for i, name in enumerate(sorted(set(found)))}
    return np.array([numbers[c] for c in found], np.float64)


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


def _row(level: _Level, name: str, scores: Scores, scorers: Sequence[Scorer], faults: dict[str, str]) -> CorpusRow:
    """The corpus score; where its plugin fails on it, the row has no value and `faults` the reason."""
    try:
        return _computed_row(level, name, scores, scorers)
    except PluginError as error:
        faults[name] = str(error)
        return CorpusRow(*level.key, name, None, None, None, int(counted(scores).sum()), scores.corpus_signature)


def _computed_row(level: _Level, name: str, scores: Scores, scorers: Sequence[Scorer]) -> CorpusRow:
    if scores.info.scope == "corpus" and scores.info.corpus != "statistics":
        return CorpusRow(*level.key, name, scores.corpus, None, None, level.texts, scores.corpus_signature)
    rows = counted(scores)
    n = int(rows.sum())
    found = _owner(name, scorers)
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


def _owner(name: str, scorers: Sequence[Scorer]) -> tuple[Scorer, str] | None:
    for scorer in scorers:
        for own_name in scorer.own:
            if scorer.name(own_name) == name:
                return scorer, own_name
    return None


def infos_of(scorers: Sequence[Scorer], composite: Composite | None) -> dict[str, ScoreInfo]:
    """Every score of a run by its name, in the order of the columns."""
    infos = {n: i for s in scorers for n, i in s.infos.items()}
    return infos | (composite.infos() if composite is not None else {})
