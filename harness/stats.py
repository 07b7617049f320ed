"""Statistics of runs: pure numpy on matrices of sufficient statistics, deterministic by seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from harness.types import F64

RESAMPLES = 1000
LEVEL = 0.95
_BLOCK_CELLS = 4_000_000


def mean_of(sums: F64) -> F64:
    """Means from rows of (sum, count): NaN where the count is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[:, 0] / sums[:, 1], np.float64)


def bootstrap(matrix: F64, value_of: Callable[[F64], F64], *, resamples: int = RESAMPLES, seed: int = 0) -> F64:
    """Values of `resamples` resamplings of the rows of `matrix` (clusters, k) with replacement.

    `value_of` maps summed rows (r, k) to values (r,). Rows are drawn in blocks, so memory stays bounded.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 6; for corpus metrics Koehn, EMNLP 2004.
    """
    clusters, width = matrix.shape
    random = np.random.Generator(np.random.PCG64(seed))
    block = max(1, min(resamples, _BLOCK_CELLS // max(1, clusters * width)))
    parts: list[F64] = []
    for start in range(0, resamples, block):
        rows = random.integers(0, clusters, size=(min(block, resamples - start), clusters))
        parts.append(np.asarray(value_of(matrix[rows].sum(axis=1)), np.float64))
    return np.concatenate(parts)


def percentile_interval(values: F64, *, level: float = LEVEL) -> tuple[float, float] | None:
    """The central interval of resampled values; None where none of them is a number."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(finite, [tail, 100 - tail])
    return float(low), float(high)


def sum_by(clusters: F64, rows: F64, count: int) -> F64:
    """Sums of `rows` (n, k) by cluster number (n,), as (count, k). The order of the rows changes no bit of them."""
    order = np.lexsort((*rows.T, clusters))
    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, clusters[order].astype(np.intp), rows[order])
    return sums
