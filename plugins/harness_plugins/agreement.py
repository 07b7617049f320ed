"""How well scores agree with people: the table `agreement` of `human`."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from harness import AnalysisTable, Resamples, correlations, percentile_interval, row_correlations
from harness_plugins.judged import PREFERENCE, REFERENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from harness import ScoreInfo
    from harness_plugins.judged import Comparison, Judged

    F64: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.intp]
    Found: TypeAlias = Mapping[str, F64]

Row: TypeAlias = "tuple[float | int | str | None, ...]"

COLUMNS = ("task", "dimension", "score", "level", "coefficient", "value", "ci_low", "ci_high", "n")
FEWEST_MODELS = 3  # two means lie on a line whatever they are
FEWEST_SAMPLES = 3  # whose mean is still chance

_SIGNED = ("pearson", "spearman", "kendall")
_NAMES = {
    **{name: name for name in (*_SIGNED, "pairwise_accuracy", "pairwise_accuracy_half", "pairwise_accuracy_eq")},
    "ties_x": "ties_score",
    "ties_y": "ties_human",
}
_OF_DECIDED = ("pairwise_accuracy", "pairwise_accuracy_half")
_OF_ALL = ("pairwise_accuracy_eq", "ties_x", "ties_y")
_TOO_FEW = 0.5  # of the resamples must have a value for an interval
_ROUNDING = 1e-12  # of what was added up: sums of the same numbers in another order differ by less


@dataclass(slots=True)
class Bootstrap:
    """Draws of clusters, the same for all scores of a task that have as many."""

    resamples: int
    seed: int
    task: str
    _last: tuple[int, Resamples] | None = field(default=None, repr=False)

    def draw(self, clusters: int) -> Resamples:
        if self._last is None or self._last[0] != clusters:
            seed = zlib.crc32(self.task.encode()) ^ self.seed
            self._last = clusters, Resamples.draw(clusters, self.resamples, seed)
        return self._last[1]


def spread(values: F64, clusters: int) -> F64:
    """A value and its resamples; the value alone where one cluster shows no spread."""
    return values if clusters > 1 else values[:1]


def interval(values: F64) -> tuple[float | None, float | None, float | None]:
    """A value and its percentile interval, from the value and its resamples; None for what is not there."""
    value, drawn = values[0], values[1:]
    if not np.isfinite(value):
        return None, None, None
    finite = np.isfinite(drawn).sum()
    found = percentile_interval(drawn) if finite and finite >= _TOO_FEW * len(drawn) else None
    return (float(value), *(found or (None, None)))


def agreement(tasks: Iterable[Judged], infos: Mapping[str, ScoreInfo], resamples: int, seed: int) -> AnalysisTable:
    """Every dimension, score, level and coefficient."""
    rows: list[Row] = []
    for judged in tasks:
        bootstrap = Bootstrap(resamples, seed, judged.task)
        for dimension, ratings in judged.ratings.items():
            people = mean_of_raters(ratings)
            for name in judged.scores:
                start = (judged.task, dimension, name)
                rows += (start + row for row in _rated(judged, people, infos[name], bootstrap))
        rows += _preferred(judged, infos, bootstrap)
    return AnalysisTable(COLUMNS, tuple(rows))


def mean_of_raters(ratings: F64) -> F64:
    given = np.isfinite(ratings)
    count = given.sum(axis=1)
    amounts = np.where(given, ratings, 0.0)
    means = np.divide(amounts.sum(axis=1), count, out=np.full(len(ratings), np.nan), where=count > 0)
    several = count > 1
    if several.any():
        some = count > 0
        means[some] = without_rounding(means[some], np.abs(amounts[some]).max(axis=1))
    return np.asarray(means, np.float64)


def without_rounding(values: F64, sizes: F64) -> F64:
    """Means along the last axis, those made equal that differ by rounding alone: 0.1 + 0.2 ties with 0.3.

    `sizes`: the largest of the numbers that each is the mean of.
    """
    order = np.argsort(values, axis=-1, kind="stable")
    ranked, size = np.take_along_axis(values, order, -1), np.take_along_axis(sizes, order, -1)
    first = np.zeros(values.shape, np.intp)
    apart = np.diff(ranked) > _ROUNDING * np.maximum(size[..., 1:], size[..., :-1])
    first[..., 1:] = np.where(apart, np.arange(1, values.shape[-1]), 0)
    found = np.empty_like(values)
    np.put_along_axis(found, order, np.take_along_axis(ranked, np.maximum.accumulate(first, axis=-1), -1), -1)
    return found


def renumbered(numbers: Ints) -> tuple[Ints, int]:
    """Numbers from 0 without gaps, and how many there are."""
    there, codes = np.unique(numbers, return_inverse=True)
    return codes, len(there)


def _oriented(judged: Judged, info: ScoreInfo) -> F64:
    """A score turned so that higher is better: pairs are right or wrong by what is better."""
    return judged.scores[info.name] * (1.0 if info.higher_is_better else -1.0)


def _rated(judged: Judged, people: F64, info: ScoreInfo, bootstrap: Bootstrap) -> Iterator[Row]:
    score = _oriented(judged, info)
    there = np.isfinite(people) & np.isfinite(score)
    if not there.any():
        return
    x, y = score[there], people[there]
    clusters, count = renumbered(judged.clusters[there])
    drawn = bootstrap.draw(count)
    sign = 1 if info.higher_is_better else -1
    pooled = {name: spread(values, count) for name, values in correlations(x, y, drawn, clusters).items()}
    sizes = dict.fromkeys(_OF_DECIDED, int(pooled["decided"][0])) | dict.fromkeys(_OF_ALL, int(pooled["pairs"][0]))
    yield from _level("pooled", pooled, sign, len(x), sizes)
    samples, _ = renumbered(judged.samples[there])
    within, counts = _within(x, y, samples, clusters, drawn)
    yield from _level("sample", within, sign, 0, counts)
    models, number = renumbered(judged.by_model[there])
    if number >= FEWEST_MODELS:
        means = _by_model(x, y, models, clusters, drawn)
        yield from _level("system", {n: spread(v, count) for n, v in means.items()}, sign, number, {})


def _level(level: str, found: Found, sign: int, n: int, sizes: Mapping[str, int]) -> Iterator[Row]:
    for own, name in _NAMES.items():
        if own in found:
            values = found[own] * sign + 0.0 if own in _SIGNED else found[own]  # never -0.0
            yield (level, name, *interval(values), sizes.get(own, n))


def _within(x: F64, y: F64, samples: Ints, clusters: Ints, drawn: Resamples) -> tuple[Found, dict[str, int]]:
    """The mean over samples of what each sample's own completions show; samples that show nothing are left out."""
    parts: list[Found] = []
    owners: list[Ints] = []
    for rows in _blocks(samples):
        parts.append(row_correlations(x[rows], y[rows]))
        owners.append(clusters[rows[:, 0]])
    return _mean_over_samples(parts, owners, drawn)


def _blocks(samples: Ints) -> Iterator[Ints]:
    """The rows of each sample, as (samples of one size, size), for sizes from two."""
    order = np.argsort(samples, kind="stable")
    sizes = np.bincount(samples)
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes[sizes > 1]):
        yield order[starts[sizes == size][:, None] + np.arange(size)]


def _mean_over_samples(parts: list[Found], owners: list[Ints], drawn: Resamples) -> tuple[Found, dict[str, int]]:
    found: dict[str, F64] = {}
    counts: dict[str, int] = {}
    clusters = np.concatenate(owners) if owners else np.empty(0, np.intp)
    for name in [n for n in _NAMES if parts and n in parts[0]]:
        values = np.concatenate([part[name] for part in parts])
        there = np.isfinite(values)
        columns = np.stack([values[there], np.ones(int(there.sum()))], axis=1)
        total, number = drawn.sums(clusters[there], columns).T
        enough = (number > 0) & (number[0] >= FEWEST_SAMPLES)
        means = np.divide(total, number, out=np.full(len(total), np.nan), where=enough)
        found[name], counts[name] = spread(means, len(np.unique(clusters[there]))), int(number[0])
    return found, counts


def _by_model(x: F64, y: F64, models: Ints, clusters: Ints, drawn: Resamples) -> Found:
    """Of each model's means. A resample in which a model has nothing is none."""
    ones = np.zeros((len(x), int(models.max()) + 1))
    ones[np.arange(len(x)), models] = 1.0
    count = drawn.sums(clusters, ones)
    means = [
        np.divide(drawn.sums(clusters, ones * c[:, None]), count, out=np.full(count.shape, np.nan), where=count > 0)
        for c in (x, y)
    ]
    whole = (count > 0).all(axis=1)
    tied = [without_rounding(m[whole], _sizes(c, models, m[whole].shape)) for m, c in zip(means, (x, y), strict=True)]
    found = row_correlations(*tied)
    spread_out = {name: np.full(len(drawn), np.nan) for name in _NAMES}
    for name, values in spread_out.items():
        values[whole] = found[name]
    return spread_out


def _sizes(column: F64, models: Ints, shape: tuple[int, ...]) -> F64:
    """By model the largest of its values, the same for each resample."""
    largest = np.zeros(shape[1])
    np.maximum.at(largest, models, np.abs(column))
    return np.broadcast_to(largest, shape)


def _preferred(judged: Judged, infos: Mapping[str, ScoreInfo], bootstrap: Bootstrap) -> Iterator[Row]:
    """Comparisons of two completions: whether a score's difference has the sign of what the raters decided."""
    compared = [c for c in judged.comparisons if c.second != REFERENCE]
    if not compared:
        return
    first, second = (np.array(side, np.intp) for side in zip(*((c.first, c.second) for c in compared), strict=True))
    outcomes = np.array([c.outcome for c in compared], np.float64)
    for name in judged.scores:
        score = _oriented(judged, infos[name])
        there = np.isfinite(score[first]) & np.isfinite(score[second])
        signs = np.sign(score[first] - score[second])
        kept = [c for c, keep in zip(compared, there.tolist(), strict=True) if keep]
        for row in _compared(kept, signs[there], outcomes[there], bootstrap) if kept else ():
            yield (judged.task, PREFERENCE, name, *row)


def _compared(kept: list[Comparison], signs: F64, outcomes: F64, bootstrap: Bootstrap) -> Iterator[Row]:
    clusters, count = renumbered(np.array([c.cluster for c in kept], np.intp))
    samples, number = renumbered(np.array([c.sample for c in kept], np.intp))
    drawn = bootstrap.draw(count)
    hits = compared_columns(signs, outcomes)
    pooled, counts = pooled_shares(hits, clusters, drawn)
    pooled = {name: spread(values, count) for name, values in pooled.items()}
    yield from _level("pooled", pooled, 1, 0, counts)
    by_sample = np.zeros((number, hits.shape[1]))
    np.add.at(by_sample, samples, hits)
    owners = np.zeros(number, np.intp)
    owners[samples] = clusters
    within, counts = _mean_over_samples([_shares(by_sample)], [owners], drawn)
    yield from _level("sample", within, 1, 0, counts)


def compared_columns(signs: F64, outcomes: F64) -> F64:
    """Per comparison: right, right or half of a tie, decided, like (ties included), tied by score, by people, one."""
    decided, tied = outcomes != 0, signs == 0
    right = decided & (signs == outcomes)
    half = right + (decided & tied) / 2
    columns = [right, half, decided, signs == outcomes, tied, ~decided, np.ones_like(decided)]
    return np.stack(columns, axis=1, dtype=np.float64, casting="unsafe")


def pooled_shares(hits: F64, clusters: Ints, drawn: Resamples) -> tuple[Found, dict[str, int]]:
    """The shares of all comparisons, and how many comparisons each is of."""
    sums = drawn.sums(clusters, hits)
    counts = dict.fromkeys(_OF_DECIDED, int(sums[0, 2])) | dict.fromkeys(_OF_ALL, int(sums[0, 6]))
    return _shares(sums), counts


def _shares(sums: F64) -> Found:
    right, half, decided, like, tied, undecided, every = sums.T
    pairs = ((right, decided), (half, decided), (like, every), (tied, every), (undecided, every))
    return {
        name: np.divide(part, whole, out=np.full(len(sums), np.nan), where=whole > 0)
        for name, (part, whole) in zip((*_OF_DECIDED, *_OF_ALL), pairs, strict=True)
    }
