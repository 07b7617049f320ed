"""How well people agree among themselves, and what they prefer to a human text: two tables of `human`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from harness import AnalysisTable, correlations, krippendorff_alpha
from harness_plugins.agreement import (
    Bootstrap,
    compared_columns,
    interval,
    mean_of_raters,
    pooled_shares,
    renumbered,
    spread,
)
from harness_plugins.judged import PREFERENCE, REFERENCE, majority

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from harness import Resamples
    from harness_plugins.agreement import Row
    from harness_plugins.judged import Comparison, Judged

    F64: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.intp]

COLUMNS = ("task", "dimension", "coefficient", "value", "ci_low", "ci_high", "n")
OVER_REFERENCE = ("task", "model", "value", "ci_low", "ci_high", "ties", "n")

_CEILINGS = ("pearson", "spearman", "kendall", "pairwise_accuracy")


def raters(tasks: Iterable[Judged], resamples: int, seed: int) -> AnalysisTable:
    """Krippendorff's alphas, and what one rater reaches against the others."""
    rows: list[Row] = []
    for judged in tasks:
        bootstrap = Bootstrap(resamples, seed, judged.task)
        for dimension, ratings in judged.ratings.items():
            rows += ((judged.task, dimension, *row) for row in _of_ratings(judged, ratings, bootstrap))
        rows += ((judged.task, PREFERENCE, *row) for row in _of_preferences(judged, bootstrap))
    return AnalysisTable(COLUMNS, tuple(rows))


def over_reference(tasks: Iterable[Judged], resamples: int, seed: int) -> AnalysisTable:
    """By model, the share of comparisons with a human text that its completions won; a tie is half a win."""
    rows: list[Row] = []
    for judged in tasks:
        bootstrap = Bootstrap(resamples, seed, judged.task)
        for number, model in enumerate(judged.models):
            found = [c for c in judged.comparisons if c.second == REFERENCE and c.model == number]
            if found:
                rows.append((judged.task, model, *_won(found, bootstrap)))
    return AnalysisTable(OVER_REFERENCE, tuple(rows))


def _won(found: list[Comparison], bootstrap: Bootstrap) -> Row:
    clusters, count = renumbered(np.array([c.cluster for c in found], np.intp))
    outcomes = np.array([c.outcome for c in found], np.float64)
    columns = np.stack([(outcomes + 1) / 2, outcomes == 0, np.ones(len(found))], axis=1)
    won, ties, every = bootstrap.draw(count).sums(clusters, columns).T
    return (*_interval(won / every, count), float(ties[0] / every[0]), len(found))


def _interval(values: F64, clusters: int) -> tuple[float | None, float | None, float | None]:
    return interval(spread(values, clusters))


def _of_ratings(judged: Judged, ratings: F64, bootstrap: Bootstrap) -> Iterator[Row]:
    several = np.isfinite(ratings).sum(axis=1) > 1
    if not several.any():
        return
    given = ratings[several]
    clusters, count = renumbered(judged.clusters[several])
    drawn = bootstrap.draw(count)
    for level in ("nominal", "ordinal", "interval"):
        alpha = krippendorff_alpha(given, level, drawn, clusters)
        yield (f"alpha_{level}", *_interval(alpha, count), len(given))
    against = [_against_the_others(given, rater, drawn, clusters) for rater in range(given.shape[1])]
    for name in _CEILINGS:
        yield (f"ceiling_{name}", *_interval(_mean_of_defined([a[name] for a in against]), count), len(given))


def _against_the_others(ratings: F64, rater: int, drawn: Resamples, clusters: Ints) -> dict[str, F64]:
    own = ratings[:, rater]
    others = mean_of_raters(np.delete(ratings, rater, axis=1))
    there = np.isfinite(own) & np.isfinite(others)
    return dict(correlations(own[there], others[there], drawn, clusters[there]))


def _mean_of_defined(columns: list[F64]) -> F64:
    """The mean over raters, of those who have a value in the data itself; a resample in which one of them has none is none."""
    defined = [c for c in columns if np.isfinite(c[0])]
    return np.mean(defined, axis=0) if defined else np.full(1, np.nan)


def _of_preferences(judged: Judged, bootstrap: Bootstrap) -> Iterator[Row]:
    several = [c for c in judged.comparisons if len(c.by_rater) > 1]
    if not several:
        return
    clusters, count = renumbered(np.array([c.cluster for c in several], np.intp))
    drawn = bootstrap.draw(count)
    given = [c.by_rater for c in several]
    width = max(map(len, given))
    votes = np.array([v + [np.nan] * (width - len(v)) for v in given], np.float64)
    yield ("alpha_nominal", *_interval(krippendorff_alpha(votes, "nominal", drawn, clusters), count), len(several))
    names = sorted({rater for c in several for rater, _ in c.votes})
    against = [_against_the_majority(several, rater, drawn, clusters) for rater in names]
    found = _mean_of_defined(against)
    yield ("ceiling_pairwise_accuracy", *_interval(found, count), len(several))


def _against_the_majority(several: list[Comparison], rater: str, drawn: Resamples, clusters: Ints) -> F64:
    """How often one rater says what most of the others say, where these decide: a tie of the rater is a miss."""
    rows, own, others = [], [], []
    for row, comparison in enumerate(several):
        mine = [vote for name, vote in comparison.votes if name == rater]
        rest = [vote for name, vote in comparison.votes if name != rater]
        if mine and rest:
            rows.append(row)
            own.append(majority(mine))
            others.append(majority(rest))
    hits = compared_columns(np.array(own, np.float64), np.array(others, np.float64))
    found, _ = pooled_shares(hits, clusters[np.array(rows, np.intp)], drawn)
    return found["pairwise_accuracy"]
