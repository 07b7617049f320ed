"""Tables about a whole run as reports show them: agreement with people turned so that one can read it, others as they are.

`agreement` has the columns task, dimension, score, level, coefficient, value, ci_low, ci_high, n. It is shown with scores
down and dimensions across, one table per task and level: Spearman's rho where people rated, the share of comparisons in
which score and people agree where they compared. All coefficients with their intervals are in `tables/agreement.csv`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from harness_reports.view import TERM

if TYPE_CHECKING:
    from harness import AnalysisTable, Run

AGREEMENT: Final = ("task", "dimension", "score", "level", "coefficient", "value", "ci_low", "ci_high", "n")
GAINS: Final = ("task", "model", "score", "level", "all", "selected", "difference", "ci_low", "ci_high", "n")
SHOWN: Final = ("spearman", "pairwise_accuracy_half", "pairwise_accuracy")
"""The first of these that a dimension has is shown."""

SAID: Final = {
    "spearman": "Spearman's rho",
    "pairwise_accuracy_half": "share of pairs in the order that people gave them, ties counting half,",
    "pairwise_accuracy": "share of pairs in the order that people gave them,",
}
LEVELS: Final = {
    "pooled": "over all completions",
    "sample": "within each sample, averaged",
    "system": "between models",
}
SIGNS: Final = (
    "Of a score marked ↓ low values are good: a correlation is below 0 where it agrees; shares of pairs are turned."
)
Key = tuple[str, str]
"""(score, dimension)"""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Scores against dimensions at one level of one task, by one coefficient, from the table of this name."""

    table: str
    task: str
    level: str
    coefficient: str
    scores: tuple[str, ...]
    dimensions: tuple[str, ...]
    values: Mapping[Key, float]
    n: tuple[int, int]
    lower: frozenset[str] = frozenset()
    """Scores of which low values are good."""

    def label(self, score: str) -> str:
        return f"{score} ↓" if score in self.lower else score

    @property
    def title(self) -> str:
        how = f"{SAID.get(self.coefficient, self.coefficient)} {LEVELS.get(self.level, self.level)}"
        low, high = self.n
        owner = self.table.removesuffix("agreement").rstrip(".")  # of several that analyse, each has a name of its own
        of = f"{self.task} ({owner})" if owner else self.task
        return f"Agreement with people, {of}: {how} (n = {f'{low:,} to ' if low < high else ''}{high:,})"


def agreements(run: Run) -> Iterator[Agreement]:
    """What the run's agreement tables say, in their order; levels without a single value are left out."""
    for name, table in run.analyses.items():
        if table.columns == AGREEMENT:
            lower = frozenset(n for n, info in run.infos.items() if not info.higher_is_better)
            yield from (replace(agreement, lower=lower) for agreement in _agreements(name, table))


def empty_agreements(run: Run) -> tuple[str, ...]:
    """The names of agreement tables without a single row."""
    return tuple(name for name, table in run.analyses.items() if table.columns == AGREEMENT and not table.rows)


def _agreements(name: str, table: AnalysisTable) -> Iterator[Agreement]:
    there: dict[tuple[str, str], set[str]] = {}
    for task, dimension, _, _, coefficient, *_ in table.rows:
        there.setdefault((str(task), str(dimension)), set()).add(str(coefficient))
    best = {key: next((c for c in SHOWN if c in found), "") for key, found in there.items()}
    parts: dict[tuple[str, str, str], dict[Key, tuple[float | None, int]]] = {}
    for task, dimension, score, level, coefficient, value, _, _, n in table.rows:
        if coefficient == best[str(task), str(dimension)]:
            part = parts.setdefault((str(task), str(level), str(coefficient)), {})
            part[str(score), str(dimension)] = (None if value is None else float(value), int(n or 0))
    seen: list[tuple[str, str, tuple[str, ...]]] = []
    for (task, level, coefficient), cells in parts.items():
        values = {key: value for key, (value, _) in cells.items() if value is not None}
        told = (task, coefficient, tuple(dict.fromkeys(key[1] for key in cells)))
        if values and not (coefficient.startswith("pairwise") and told in seen):  # its levels differ in weights alone
            seen.append(told)
            scores, dimensions = (tuple(dict.fromkeys(key[i] for key in cells)) for i in (0, 1))
            counts = [n for value, n in cells.values() if value is not None]
            yield Agreement(name, task, level, coefficient, scores, dimensions, values, (min(counts), max(counts)))


def others(run: Run) -> Iterator[tuple[str, AnalysisTable]]:
    """Every other table, by name."""
    for name, table in run.analyses.items():
        if table.columns not in (AGREEMENT, GAINS):
            yield name, table


@dataclass(frozen=True, slots=True)
class GainRow:
    """A score over all candidates and over the selected ones."""

    score: str
    level: str
    n: int
    all: float
    selected: float
    difference: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True, slots=True)
class Gain:
    """What choosing among the candidates changes beyond chance: scores whose interval of the difference excludes 0."""

    strategy: str
    task: str
    model: str
    rows: tuple[GainRow, ...]
    lower: frozenset[str] = frozenset()

    def label(self, score: str) -> str:
        return f"{score} ↓" if score in self.lower else score

    @property
    def title(self) -> str:
        return f"What {self.strategy} changes, {self.task} by {self.model}"


def gains(run: Run) -> Iterator[Gain]:
    """By task and model. Terms of the reward stand in the file alone: their scores say the same."""
    table = run.analyses.get("selected")
    if table is None or table.columns != GAINS:
        return
    suite: Any = run.manifest.get("suite") or {}
    strategy = str(suite.get("resolved", {}).get("generate", {}).get("strategy", "choosing"))
    lower = frozenset(n for n, info in run.infos.items() if not info.higher_is_better)
    found: dict[tuple[str, str], list[GainRow]] = {}
    for task, model, score, level, *numbers, n in table.rows:
        rows = found.setdefault((str(task), str(model)), [])
        values = [float(value) for value in numbers if isinstance(value, int | float)]
        if len(values) == len(numbers) and not str(score).startswith(TERM) and (values[3] > 0 or values[4] < 0):
            rows.append(GainRow(str(score), str(level), int(n or 0), *values))
    for (task, model), rows in found.items():
        yield Gain(strategy, task, model, tuple(rows), lower)


def by_sample(table: AnalysisTable) -> bool:
    """Whether it has rows of single samples, of which there are as many as the run has: to look up, not to read."""
    return "sample" in table.columns


def without_constants(table: AnalysisTable) -> tuple[AnalysisTable, list[str]]:
    """Without `task` and `model` where all rows say the same, and what they say: a heading has room for it."""
    same = [
        i
        for i, name in enumerate(table.columns)
        if name in ("task", "model") and len({row[i] for row in table.rows}) == 1
    ]
    kept = [i for i in range(len(table.columns)) if i not in same]
    columns = tuple(table.columns[i] for i in kept)
    narrow = type(table)(columns, tuple(tuple(row[i] for i in kept) for row in table.rows))
    return narrow, [str(table.rows[0][i]) for i in same]
