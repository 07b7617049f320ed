"""Operations on columns of scores: checking what a metric returned, joining batches, putting values in their places."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import PluginError
from harness.text import clean_text
from harness.types import STATUSES, ScoreInfo, Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.types import F64, Bool

CODE: dict[str, int] = {name: code for code, name in enumerate(STATUSES)}
_ROUNDING = 1e-9  # sacreBLEU says 100.00000000000004 for a perfect match


class BrokenAnswer(Exception):
    """A metric returned what no metric may return."""


class Reasons(Mapping[int, str]):
    """Reasons by row, as a number per row and each text once: a million completions may share a few."""

    __slots__ = ("_codes", "_texts")

    def __init__(self, codes: NDArray[np.uint32], texts: Sequence[str]) -> None:
        """`codes[row]` is 0 for no reason, else 1 plus an index into `texts`."""
        self._codes, self._texts = codes, tuple(texts)

    @classmethod
    def joined(cls, parts: Sequence[tuple[Mapping[int, str], int]]) -> Reasons:
        """The reasons of columns (each with its length), one behind the other."""
        codes = np.zeros(sum(size for _, size in parts), np.uint32)
        texts: dict[str, int] = {}
        start = 0
        for reasons, size in parts:
            for row, text in reasons.items():
                codes[start + row] = texts.setdefault(text, len(texts)) + 1
            start += size
        return cls(codes, list(texts))

    def __getitem__(self, row: int) -> str:
        code = int(self._codes[row]) if 0 <= row < len(self._codes) else 0
        if not code:
            raise KeyError(row)
        return self._texts[code - 1]

    def __iter__(self) -> Iterator[int]:
        return iter(np.flatnonzero(self._codes).tolist())

    def __len__(self) -> int:
        return int(np.count_nonzero(self._codes))


def checked(scores: Any, info: ScoreInfo, size: int) -> Scores:
    """The one place where a value becomes one: finite and in range with `ok`, NaN with any other status."""
    if not isinstance(scores, Scores):
        raise BrokenAnswer(f"{info.name}: it returned {type(scores).__name__}, not Scores")
    values = np.array(scores.values, np.float64)
    status = np.array(scores.status, np.uint8)
    if values.shape != (size,) or status.shape != (size,):
        raise BrokenAnswer(f"{info.name}: it returned {len(values)} values for {size} completions")
    if status.size and int(status.max()) >= len(STATUSES):
        raise BrokenAnswer(f"{info.name}: {int(status.max())} is no status")
    reasons = {int(i): clean_text(str(r)) for i, r in scores.reasons.items()}
    for index in np.flatnonzero((status == 0) & ~in_range(values, info)).tolist():
        value = float(values[index])
        status[index] = CODE["invalid"]
        bounds = f"outside the declared range [{info.low:g}, {info.high:g}]"
        reasons[index] = f"{value!r} is {bounds if math.isfinite(value) else 'not a finite number'}"
    values[status != 0] = np.nan
    reasons = {i: r for i, r in sorted(reasons.items()) if 0 <= i < size and status[i]}
    statistics = None if scores.statistics is None else np.array(scores.statistics, np.float64)
    if statistics is not None and (statistics.ndim != 2 or len(statistics) != size):
        raise BrokenAnswer(f"{info.name}: its statistics are {statistics.shape}, not ({size}, k)")
    if info.corpus == "statistics" and statistics is None:
        raise BrokenAnswer(f"{info.name}: it returned no statistics")
    return replace(
        scores,
        signature=clean_text(scores.signature),
        corpus_signature=clean_text(scores.corpus_signature),
        values=values,
        status=status,
        reasons=reasons,
        statistics=statistics,
    )


def in_range(values: F64, info: ScoreInfo) -> Bool:
    """Finite and within the declared range, rounding and tolerance let be."""
    slack = _ROUNDING * max([1.0, *(abs(b) for b in (info.low, info.high) if math.isfinite(b))]) + info.tolerance
    return np.asarray(np.isfinite(values) & (values >= info.low - slack) & (values <= info.high + slack))


def concatenated(parts: Sequence[Scores]) -> Scores:
    """The scores of batches, one behind the other."""
    first = parts[0]
    return replace(
        first,
        signature=_one_signature(first.info, [p.signature for p in parts]),
        corpus_signature=_one_signature(first.info, [p.corpus_signature for p in parts]),
        values=np.concatenate([p.values for p in parts]),
        status=np.concatenate([p.status for p in parts]),
        reasons=Reasons.joined([(p.reasons, len(p.values)) for p in parts]),
        statistics=_stacked([(p.statistics, len(p.values)) for p in parts]),
    )


def _one_signature(info: ScoreInfo, signatures: Sequence[str]) -> str:
    found = sorted({s for s in signatures if s})
    if len(found) > 1:
        raise PluginError(
            f"{info.name} was made in {len(found)} ways, so its values cannot stand side by side: {', '.join(found)}"
        )
    return found[0] if found else ""


def _stacked(parts: Sequence[tuple[F64 | None, int]]) -> F64 | None:
    widths = {p.shape[1] for p, _ in parts if p is not None}
    if not widths:
        return None
    if len(widths) > 1:
        raise PluginError(f"a metric returned statistics of different widths: {sorted(widths)}")
    (width,) = widths
    return np.concatenate([np.full((size, width), np.nan) if p is None else p for p, size in parts])


def spread(made: Scores, positions: Sequence[int], blanks: Mapping[int, tuple[int, str]], size: int) -> Scores:
    """Values of the completions a metric saw, put among those it did not see."""
    values, status, reasons = np.full(size, np.nan), np.zeros(size, np.uint8), {}
    for index, (code, reason) in blanks.items():
        status[index], reasons[index] = code, reason
    values[list(positions)], status[list(positions)] = made.values, made.status
    reasons.update({positions[i]: r for i, r in made.reasons.items()})
    statistics = None
    if made.statistics is not None and positions:
        statistics = np.full((size, made.statistics.shape[1]), np.nan)
        statistics[list(positions)] = made.statistics
    return replace(made, values=values, status=status, reasons=reasons, statistics=statistics)


def reordered(scores: Scores, back: Any) -> Scores:
    reasons = {new: scores.reasons[old] for new, old in enumerate(back.tolist()) if old in scores.reasons}
    statistics = None if scores.statistics is None else scores.statistics[back]
    return replace(
        scores, values=scores.values[back], status=scores.status[back], reasons=reasons, statistics=statistics
    )
