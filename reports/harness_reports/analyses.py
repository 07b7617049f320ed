"""Tables about a whole run as reports show them: agreement with people turned so that one can read it, others as they are.

`agreement` has the columns task, dimension, score, level, coefficient, value, ci_low, ci_high, n. It is shown with scores
down and dimensions across, one table per task and level: Spearman's rho where people rated, the share of comparisons in
which score and people agree where they compared. All coefficients with their intervals are in `tables/agreement.csv`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from harness import AnalysisTable, Run

AGREEMENT: Final = ("task", "dimension", "score", "level", "coefficient", "value", "ci_low", "ci_high", "n")
SHOWN: Final = ("spearman", "pairwise_accuracy")
"""The first of these that a dimension has is shown."""

SAID: Final = {"spearman": "Spearman's rho", "pairwise_accuracy": "share of pairs put in the same order"}
LEVELS: Final = {
    "pooled": "over all completions",
    "sample": "within each sample, averaged",
    "system": "between models",
}
Key = tuple[str, str]
"""(score, dimension)"""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Scores against dimensions at one level of one task, by one coefficient."""

    task: str
    level: str
    coefficient: str
    scores: tuple[str, ...]
    dimensions: tuple[str, ...]
    values: Mapping[Key, float]
    n: int

    @property
    def title(self) -> str:
        how = f"{SAID.get(self.coefficient, self.coefficient)} {LEVELS.get(self.level, self.level)}"
        return f"Agreement with people, {self.task}: {how} (n = {self.n:,})"


def agreements(run: Run) -> Iterator[Agreement]:
    """What the run's agreement tables say, in their order; levels without a single value are left out."""
    for table in run.analyses.values():
        if table.columns == AGREEMENT:
            yield from _agreements(table)


def _agreements(table: AnalysisTable) -> Iterator[Agreement]:
    there: dict[tuple[str, str], set[str]] = {}
    for task, dimension, _, _, coefficient, *_ in table.rows:
        there.setdefault((str(task), str(dimension)), set()).add(str(coefficient))
    best = {key: next((c for c in SHOWN if c in found), "") for key, found in there.items()}
    parts: dict[tuple[str, str, str], dict[Key, tuple[float | None, int]]] = {}
    for task, dimension, score, level, coefficient, value, _, _, n in table.rows:
        if coefficient == best[str(task), str(dimension)]:
            part = parts.setdefault((str(task), str(level), str(coefficient)), {})
            part[str(score), str(dimension)] = (None if value is None else float(value), int(n or 0))
    for (task, level, coefficient), cells in parts.items():
        values = {key: value for key, (value, _) in cells.items() if value is not None}
        if values:
            scores, dimensions = (tuple(dict.fromkeys(key[i] for key in cells)) for i in (0, 1))
            n = max(n for _, n in cells.values())
            yield Agreement(task, level, coefficient, scores, dimensions, values, n)


def others(run: Run) -> Iterator[tuple[str, AnalysisTable]]:
    """Every other table, by name."""
    for name, table in run.analyses.items():
        if table.columns != AGREEMENT:
            yield name, table


def by_sample(table: AnalysisTable) -> bool:
    """Whether it has rows of single samples, of which there are as many as the run has: to look up, not to read."""
    return "sample" in table.columns
