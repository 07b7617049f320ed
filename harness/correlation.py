"""How two columns of numbers agree, and how raters do: Pearson, Spearman, Kendall, pairs in order, Krippendorff's alpha.

Everything is computed for many resamples at once: a resample is how often each cluster was drawn, and the first one draws
each cluster once, which is the value itself. NaN stands wherever a coefficient is not defined: fewer than two items, or
nothing that varies. Pure numpy, no BLAS, so equal input gives equal bits.

Kendall's tau is tau-b (Kendall, Biometrika 1945), https://doi.org/10.1093/biomet/33.3.239. Of the pairs of items (an item
drawn twice makes no pair with itself), with y as the truth:
    pairwise_accuracy      of the pairs that y tells apart, the share that x puts in the same order; a tie in x is a miss,
                           as in WMT19's DARR (Ma et al. 2019, https://aclanthology.org/W19-5302)
    pairwise_accuracy_half the same with a tie in x as half a hit, so that a coin has 0.5: 2 * it - 1 is Somers' D
    pairwise_accuracy_eq   of all pairs, the share that x orders, or ties, as y does: acc_eq of Deutsch, Foster and Freitag,
                           "Ties Matter" (2023), https://aclanthology.org/2023.emnlp-main.798
    ties_x, ties_y         of all pairs, the share tied
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.types import F64

    Ints: TypeAlias = "NDArray[np.intp]"

COEFFICIENTS: Final = (
    "pearson", "spearman", "kendall",
    "pairwise_accuracy", "pairwise_accuracy_half", "pairwise_accuracy_eq", "ties_x", "ties_y",
)  # fmt: skip
LEVELS: Final = ("nominal", "ordinal", "interval")

_BLOCK_CELLS: Final = 500_000  # of the arrays at work: they stay in the processor's cache
_SMALL_ROW: Final = 64  # up to which all pairs of a row are looked at at once


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """`counts[r, c]` says how often resample r drew cluster c. Resample 0 drew each once."""

    counts: F64

    @classmethod
    def draw(cls, clusters: int, resamples: int = 1000, seed: int = 0) -> Resamples:
        """Resampling of `clusters` clusters with replacement (Efron and Tibshirani 1993), deterministic by seed."""
        random = np.random.Generator(np.random.PCG64(seed))
        counts = np.ones((resamples + 1, clusters))
        for row in range(1, resamples + 1 if clusters else 1):
            counts[row] = np.bincount(random.integers(0, clusters, clusters), minlength=clusters)
        return cls(counts)

    @classmethod
    def none(cls, clusters: int) -> Resamples:
        return cls(np.ones((1, clusters)))

    def __len__(self) -> int:
        return len(self.counts)

    def weights(self, clusters: Ints) -> Iterator[tuple[slice, F64]]:
        """How often each item was drawn, as (resamples, items), some resamples at a time."""
        size = max(1, _BLOCK_CELLS // max(1, len(clusters)))
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield rows, np.take(self.counts[rows], clusters, axis=1)

    def sums(self, clusters: Ints, columns: F64) -> F64:
        """Sums of `columns` (items, k) over each resample, as (resamples, k)."""
        by_cluster = np.zeros((self.counts.shape[1], columns.shape[1]))
        np.add.at(by_cluster, clusters, columns)
        return np.asarray(np.einsum("rc,ck->rk", self.counts, by_cluster), np.float64)


def correlations(
    x: Sequence[float] | F64, y: Sequence[float] | F64, resamples: Resamples | None = None, clusters: Ints | None = None
) -> Mapping[str, F64]:
    """Every coefficient of `COEFFICIENTS`, and `pairs` and `decided` (pairs that y tells apart): one value per resample.

    `clusters` is the number of each item's cluster; without it each item is its own.
    """
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    numbers = np.arange(len(a)) if clusters is None else clusters
    drawn = resamples or Resamples.none(int(numbers.max(initial=-1)) + 1)
    found = _empty(len(drawn))
    if not len(a):
        return found | {"pairs": np.zeros(len(drawn)), "decided": np.zeros(len(drawn))}
    xs, ys, joint = _Ties.of(a), _Ties.of(b), _Ties.of(a, b)
    discordant = _Discordant.of(xs, ys)
    found["pearson"][:] = _pearson(a, b, drawn, numbers)
    for rows, weights in drawn.weights(numbers):
        counts = _Counts(weights, xs.totals(weights), ys.totals(weights), joint.totals(weights))
        pairs = counts.pairs(discordant.of_weights(weights))
        for name, values in pairs.coefficients().items():
            found[name][rows] = values
        found["spearman"][rows] = counts.spearman(xs, ys)
        found["pearson"][rows][(pairs.untied_x == 0) | (pairs.untied_y == 0)] = np.nan
    return found


def row_correlations(x: F64, y: F64) -> Mapping[str, F64]:
    """The same for each row of (rows, items) by itself, one value per row."""
    rows, size = x.shape
    found = _empty(rows)
    if size > _SMALL_ROW:
        for row in range(rows):
            for name, values in correlations(x[row], y[row]).items():
                found[name][row] = values[0]
        return found
    step = max(1, _BLOCK_CELLS // max(1, size * size))
    for start in range(0, rows, step):
        some = slice(start, start + step)
        for name, values in _small_rows(x[some], y[some]).items():
            found[name][some] = values
    return found


def krippendorff_alpha(
    values: F64,
    level: Literal["nominal", "ordinal", "interval"],
    resamples: Resamples | None = None,
    clusters: Ints | None = None,
) -> F64:
    """Krippendorff's alpha of (units, raters), NaN where a rater gave none; one value per resample.

    Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), https://repository.upenn.edu/asc_papers/43. Units with
    fewer than two values say nothing and are left out.
    """
    numbers = np.arange(len(values)) if clusters is None else clusters
    drawn = resamples or Resamples.none(int(numbers.max(initial=-1)) + 1)
    kept = np.isfinite(values).sum(axis=1) > 1
    found = np.full(len(drawn), np.nan)
    if not kept.any():
        return found
    units, _ = np.nonzero(np.isfinite(values[kept]))
    flat = values[kept][np.isfinite(values[kept])]
    ties = _Ties.of(flat)
    starts = np.flatnonzero(np.diff(units, prepend=-1))
    for rows, weights in drawn.weights(numbers[kept]):
        each = np.take(weights, units, axis=1)
        found[rows] = _alpha(flat, ties, starts, weights, each, level)
    return found


def _alpha(flat: F64, ties: _Ties, starts: Ints, weights: F64, each: F64, level: str) -> F64:
    """1 - observed / expected disagreement, of the values of units that begin at `starts`."""
    totals = ties.totals(each)
    n = totals.sum(axis=1)
    size = np.diff(starts, append=len(flat))
    if level == "nominal":
        same = _same_within(ties.codes, starts, size)
        observed = np.einsum("ru,u->r", weights, (size * size - same) / (size - 1))
        expected = n * n - np.einsum("rk,rk->r", totals, totals)
    else:
        points = _midpoints(totals, n) if level == "ordinal" else _scaled(flat)[None, ties.order[ties.starts]]
        given = np.take(points, ties.codes, axis=1)
        given = given - np.repeat(np.take(given, starts, axis=1), size, axis=1)  # exactly 0 where all agree
        spread = size * np.add.reduceat(given * given, starts, axis=1) - np.add.reduceat(given, starts, axis=1) ** 2
        observed = 2 * (weights * np.maximum(spread, 0) / (size - 1)).sum(axis=1)
        first, second = (totals * points).sum(axis=1), (totals * points * points).sum(axis=1)
        expected = 2 * (n * second - first * first)
    with np.errstate(invalid="ignore", divide="ignore"):
        varied = (totals > 0).sum(axis=1) > 1
        return np.asarray(np.where(varied, 1 - (n - 1) * observed / expected, np.nan), np.float64)


def _same_within(codes: Ints, starts: Ints, size: Ints) -> F64:
    """For each unit the ordered pairs of equal values, each value with itself among them."""
    units = np.repeat(np.arange(len(starts)), size)
    cells, counts = np.unique(np.stack([units, codes]), axis=1, return_counts=True)
    return np.asarray(np.bincount(cells[0], counts.astype(np.float64) ** 2, len(starts)), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Ties:
    """Items by value: the distinct values in order, each item's place among them, and where each begins when sorted."""

    values: F64
    codes: Ints
    order: Ints
    starts: Ints

    @classmethod
    def of(cls, *columns: F64) -> _Ties:
        """Of one column, or of several taken together."""
        order = np.lexsort(columns[::-1])
        sorted_columns = [c[order] for c in columns]
        new = np.zeros(len(order), bool)
        new[:1] = True
        for column in sorted_columns:
            new[1:] |= column[1:] != column[:-1]
        codes = np.empty(len(order), np.intp)
        codes[order] = np.cumsum(new) - 1
        return cls(sorted_columns[0][new], codes, order, np.flatnonzero(new))

    def totals(self, weights: F64) -> F64:
        """How often each value was drawn, as (resamples, values)."""
        return np.add.reduceat(np.take(weights, self.order, axis=1), self.starts, axis=1)


def _midpoints(totals: F64, n: F64) -> F64:
    """The average rank of each value among all that were drawn, less the mean of all ranks."""
    return np.asarray(np.cumsum(totals, axis=1) - totals / 2 - n[:, None] / 2, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Counts:
    """What was drawn: of each item, of each value of x, of y, of both together."""

    weights: F64
    x: F64
    y: F64
    both: F64

    def spearman(self, xs: _Ties, ys: _Ties) -> F64:
        n = self.weights.sum(axis=1)
        by_x, by_y = _midpoints(self.x, n), _midpoints(self.y, n)
        together = np.einsum(
            "rn,rn,rn->r", self.weights, np.take(by_x, xs.codes, axis=1), np.take(by_y, ys.codes, axis=1)
        )
        spread_x = np.einsum("rk,rk,rk->r", self.x, by_x, by_x)
        spread_y = np.einsum("rk,rk,rk->r", self.y, by_y, by_y)
        return _ratio(together, spread_x, spread_y)

    def pairs(self, discordant: F64) -> _Pairs:
        n = self.weights.sum(axis=1)
        everything = n * n
        alone, x, y, both = (np.einsum("rk,rk->r", c, c) for c in (self.weights, self.x, self.y, self.both))
        return _Pairs(
            every=(everything - alone) / 2,
            untied_x=(everything - x) / 2,
            untied_y=(everything - y) / 2,
            tied_both=(both - alone) / 2,
            untied=(everything - x - y + both) / 2,
            discordant=discordant,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Numbers of pairs of two items, one per resample."""

    every: F64
    untied_x: F64
    untied_y: F64
    tied_both: F64
    untied: F64
    discordant: F64

    def coefficients(self) -> dict[str, F64]:
        concordant = self.untied - self.discordant
        return {
            "kendall": _ratio(concordant - self.discordant, self.untied_x, self.untied_y),
            "pairwise_accuracy": _share(concordant, self.untied_y),
            "pairwise_accuracy_half": _share(concordant + (self.untied_y - self.untied) / 2, self.untied_y),
            "pairwise_accuracy_eq": _share(concordant + self.tied_both, self.every),
            "ties_x": _share(self.every - self.untied_x, self.every),
            "ties_y": _share(self.every - self.untied_y, self.every),
            "pairs": self.every,
            "decided": self.untied_y,
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """One binary digit: how to put items in order of the digits above it, who has a 0, and where their group began."""

    order: Ints
    ones: F64
    zeros: Ints
    groups: Ints


@dataclass(frozen=True, slots=True, eq=False)
class _Discordant:
    """Counts weighted pairs that two columns order oppositely, in n log n.

    Items stand in the order of one column; of each pair the larger place in the other column, where it comes first, is
    found at the highest binary digit in which the two places differ. The sorting is the same for all resamples.
    """

    levels: tuple[_Level, ...]

    @classmethod
    def of(cls, xs: _Ties, ys: _Ties) -> _Discordant:
        few, many = (xs, ys) if len(xs.values) < len(ys.values) else (ys, xs)
        order = np.lexsort((few.codes, many.codes))  # ties of the one stand in order of the other: no inversion
        places = few.codes[order]
        levels: list[_Level] = []
        for bit in reversed(range(int(places.max(initial=0)).bit_length())):
            ones = (places >> bit) & 1
            above = places >> (bit + 1)
            zeros = np.flatnonzero(ones == 0)
            levels.append(_Level(order, ones.astype(np.float64), zeros, np.searchsorted(above, above[zeros])))
            order = np.argsort(places >> bit, kind="stable")
            places = places[order]
        return cls(tuple(levels))

    def of_weights(self, weights: F64) -> F64:
        found = np.zeros(len(weights))
        for level in self.levels:
            weights = np.take(weights, level.order, axis=1)
            larger = np.zeros((len(weights), weights.shape[1] + 1))
            np.cumsum(weights * level.ones, axis=1, out=larger[:, 1:])
            before = np.take(larger, level.zeros, axis=1) - np.take(larger, level.groups, axis=1)
            found += np.einsum("rn,rn->r", np.take(weights, level.zeros, axis=1), before)
        return found


def _pearson(x: F64, y: F64, resamples: Resamples, clusters: Ints) -> F64:
    a, b = _scaled(x), _scaled(y)
    moments = np.stack([np.ones(len(a)), a, b, a * b, a * a, b * b], axis=1)
    n, sum_a, sum_b, ab, aa, bb = resamples.sums(clusters, moments).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return _ratio(ab - sum_a * sum_b / n, aa - sum_a * sum_a / n, bb - sum_b * sum_b / n)


def _scaled(values: F64) -> F64:
    """About 0 and within 1, so that squares neither vanish nor overflow, nor does the mean of huge values."""
    tame = np.ldexp(values, -np.frexp(np.abs(values).max(axis=-1, keepdims=True, initial=0.0))[1])  # no bit is lost
    centred = tame - tame.mean(axis=-1, keepdims=True)
    largest = np.abs(centred).max(axis=-1, keepdims=True, initial=0.0)
    return np.asarray(np.divide(centred, largest, out=np.zeros_like(centred), where=largest > 0), np.float64)


def _small_rows(x: F64, y: F64) -> dict[str, F64]:
    size = x.shape[1]
    signs_x, signs_y = (
        np.subtract(c[:, :, None] > c[:, None, :], c[:, :, None] < c[:, None, :], dtype=np.float64) for c in (x, y)
    )
    both = signs_x * signs_y
    untied = np.abs(both).sum(axis=(1, 2)) / 2
    untied_x, untied_y = (np.abs(s).sum(axis=(1, 2)) / 2 for s in (signs_x, signs_y))
    every = np.full(len(x), size * (size - 1) / 2)
    pairs = _Pairs(
        every=every,
        untied_x=untied_x,
        untied_y=untied_y,
        tied_both=every - untied_x - untied_y + untied,
        untied=untied,
        discordant=(untied - both.sum(axis=(1, 2)) / 2) / 2,
    )
    found = pairs.coefficients()
    found["spearman"] = _pearson_rows(signs_x.sum(axis=2), signs_y.sum(axis=2))  # a rank is linear in such a sum
    found["pearson"] = _pearson_rows(*(_scaled(_scaled(c)) for c in (x, y)))  # of neighbours the mean is one of them
    found["pearson"][(untied_x == 0) | (untied_y == 0)] = np.nan
    return found


def _pearson_rows(a: F64, b: F64) -> F64:
    """Of columns whose means are 0."""
    return _ratio((a * b).sum(axis=1), (a * a).sum(axis=1), (b * b).sum(axis=1))


def _ratio(together: F64, spread_x: F64, spread_y: F64) -> F64:
    """A correlation from what two columns share and how each varies; NaN where one does not."""
    varied = (spread_x > 0) & (spread_y > 0)
    scale = np.sqrt(np.where(varied, spread_x, 1.0)) * np.sqrt(np.where(varied, spread_y, 1.0))
    return np.asarray(np.where(varied, np.clip(together / scale, -1.0, 1.0), np.nan), np.float64)


def _share(part: F64, whole: F64) -> F64:
    return np.asarray(np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0), np.float64)


def _empty(size: int) -> dict[str, Any]:
    return {name: np.full(size, np.nan) for name in (*COEFFICIENTS, "pairs", "decided")}
