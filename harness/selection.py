"""Which completion of each group a suite chooses once all are scored, and what that gains.

`best_of` takes the one of the highest reward, `mbr` the one of the best mean utility (see `mbr`). All completions stay
in the run as they are; the choice is told in tables:

    tables/selection.csv   one row per group: the completion chosen, its value, the next best, the margin between them
    tables/selected.csv    every score over all candidates and over the chosen ones, with the difference
    tables/utility.csv     with `mbr`, the utility of every completion

Of equal values the first is chosen. A completion without a value cannot be chosen, and a group in which none has one
has no choice, but a reason. A group of one completion leaves nothing to choose.
"""

from __future__ import annotations

import csv
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analyses import FOLDER as TABLES
from harness.corpus import corpus_from, corpus_value, counted, mean_value
from harness.csvsafe import plain_cell
from harness.errors import PluginError, RunError, SuiteError
from harness.loaded import LoadedMetric, load_metrics
from harness.mbr import Told, Valued, utilities
from harness.stats import bootstrap, mean_of, percentile_interval, sum_by
from harness.store import score_record
from harness.suite import not_given, utility_problem
from harness.text import clean_text
from harness.types import AnalysisTable, Scores, Whole

if TYPE_CHECKING:
    from harness.assess import Table
    from harness.registry import Registry
    from harness.store import Run
    from harness.suite import ChoiceSpec, Suite
    from harness.types import F64, Bool, Generation, Json

SELECTION, SELECTED, UTILITY = "selection", "selected", "utility"
COLUMNS = {
    SELECTION: (
        *("task", "model", "sample", "strategy", "selected"),
        *("value", "runner_up", "margin", "mean", "candidates", "reason"),
    ),
    SELECTED: ("task", "model", "score", "level", "all", "selected", "difference", "ci_low", "ci_high", "n"),
    UTILITY: ("task", "model", "sample", "completion_index", "utility"),
}
_FAULTS = ("error", "timeout", "invalid")
Row = tuple[float | int | str | None, ...]


@dataclass(frozen=True, slots=True)
class Pick:
    """What was chosen from one group, and by how much. `margin` is at least 0, whichever direction is better."""

    index: int | None
    value: float | None = None
    runner_up: float | None = None
    margin: float | None = None
    mean: float | None = None


def pick(values: Sequence[float | None], *, higher_is_better: bool = True) -> Pick:
    """The best of the values there are, the first of equals."""
    there = [(value, index) for index, value in enumerate(values) if value is not None]
    if not there:
        return Pick(None)
    ranked = sorted(
        there, key=lambda pair: -pair[0] if higher_is_better else pair[0]
    )  # stable: equals keep their order
    mean = math.fsum(value for value, _ in there) / len(there)
    (value, index), *others = ranked
    if not others:
        return Pick(index, value, mean=mean)
    return Pick(index, value, others[0][0], abs(value - others[0][0]), mean)


@dataclass(slots=True)
class Chosen:
    """The tables of a choice, what of it failed (empty where nothing did), and what the manifest says of it."""

    tables: dict[str, AnalysisTable] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    record: dict[str, Json] = field(default_factory=dict)


@contextmanager
def utility_of(suite: Suite, registry: Registry, metrics: Sequence[LoadedMetric]) -> Iterator[LoadedMetric | None]:
    """The metric of the utility, with that score alone: one of the run's where it has it, else made for this.

    Raises SuiteError where the suite asks for a choice that cannot be made.
    """
    choice = suite.choice
    if choice is None:
        yield None
        return
    if choice.strategy == "best_of":
        if suite.reward_spec is None:
            raise SuiteError(f"suite {suite.name!r}: 'best_of' chooses by the reward, and there is none")
        yield None
        return
    if found := _among(metrics, choice.utility):
        yield _fit(found, suite)
        return
    made = _made(suite, registry, metrics)
    try:
        yield _fit(made, suite)
    finally:
        made.close()


def _among(metrics: Sequence[LoadedMetric], score: str | None) -> LoadedMetric | None:
    for metric in metrics:
        for own_name, info in metric.own.items():
            if metric.name(own_name) == score:
                return replace(metric, own={own_name: info})
    return None


def _made(suite: Suite, registry: Registry, metrics: Sequence[LoadedMetric]) -> LoadedMetric:
    """By default options, sharing what the metrics of the run hold."""
    score = suite.choice.utility if suite.choice else None
    owner = registry.owner_of(score) if score else None
    if score is None or owner is None:
        raise SuiteError(f"suite {suite.name!r}: nothing gives the utility {score!r}")
    found = load_metrics([owner], registry, frozenset([score]))
    if not found:
        raise SuiteError(f"suite {suite.name!r}: {not_given(score, owner)}")
    return replace(found[0], shared=metrics[0].shared) if metrics else found[0]


def _fit(utility: LoadedMetric, suite: Suite) -> LoadedMetric:
    (info,) = utility.infos.values()
    if problem := utility_problem(info):
        raise SuiteError(f"suite {suite.name!r}: {problem}")
    return utility


def choose(
    suite: Suite,
    utility: LoadedMetric | None,
    run: Run,
    tables: Sequence[Table],
    metrics: Sequence[LoadedMetric],
    taken: Mapping[str, AnalysisTable],
) -> Chosen:
    """The choice of every table, as the suite asks for it. `taken`: the tables there are already."""
    if suite.choice is None:
        return Chosen()
    chosen, told = Chosen(), Told()
    rows: dict[str, list[Row]] = {name: [] for name in COLUMNS if name != UTILITY or utility is not None}
    for table in tables:
        chooser = _Chooser(suite.choice, table, utility)
        found: dict[str, list[Row]] = {SELECTION: [], UTILITY: []}
        try:
            for valued in chooser.valued(run, told):
                found[SELECTION].append(chooser.take(valued))
                found[UTILITY] += _utility_rows(valued) if utility is not None else ()
        except PluginError as error:  # costs the choice of this table, and neither others nor the scores
            chosen.missing.append(f"the choice of {table.task} by {table.model}: {clean_text(str(error))}")
            continue
        found[SELECTED] = list(_gains(table, chooser.marks(), metrics, suite.generate.seed, chosen.missing))
        for name, some in rows.items():
            some += found[name]
    chosen.tables = {name: AnalysisTable(COLUMNS[name], tuple(some)) for name, some in rows.items()}
    chosen.missing += _faults(suite.choice, told)
    chosen.missing += [f"the table {n!r} of a metric gave way to that of the choice" for n in rows if n in taken]
    chosen.record = _record(suite.choice, utility, told)
    return chosen


def read_choices(run: Run) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The rows of `selection.csv` by (task, sample, model), without these; none where the suite chooses nothing.

    Read by itself: a table does not tell the id "007" from a number.
    """
    if not run.manifest.get("choice"):
        return {}
    path = run.folder / TABLES / f"{SELECTION}.csv"
    if not path.is_file():
        raise RunError(f"{run.folder}: {path.name} is gone: `harness score {run.folder}` makes it again")
    with path.open(encoding="utf-8", newline="") as file:
        return dict(map(_read_row, csv.DictReader(file)))


def _read_row(row: Mapping[str, str]) -> tuple[tuple[str, str, str], dict[str, Any]]:
    key = plain_cell(row["task"]), plain_cell(row["sample"]), plain_cell(row["model"])
    numbers = {c: float(row[c]) if row[c] else None for c in ("value", "runner_up", "margin", "mean")}
    return key, {
        "strategy": row["strategy"],
        "selected": int(row["selected"]) if row["selected"] else None,
        **numbers,
        "candidates": int(row["candidates"]),
        "reason": plain_cell(row["reason"]) or None,
    }


def _faults(choice: ChoiceSpec, told: Told) -> Iterator[str]:
    found = [f"{told.statuses[s]} {s}" for s in _FAULTS if told.statuses[s]]
    if found:
        yield f"the utility {choice.utility}: {', '.join(found)}"


def _record(choice: ChoiceSpec, utility: LoadedMetric | None, told: Told) -> dict[str, Json]:
    if utility is None:
        return {"strategy": choice.strategy}
    ((own_name, _),) = utility.own.items()
    (info,) = utility.infos.values()
    made = score_record(info, utility.spec, own_name)
    signatures: list[Json] = [{"task": task, "segment": found} for task, found in told.signatures.items()]
    return {"strategy": choice.strategy, "utility": {**made, "signatures": signatures}}


def _utility_rows(valued: Valued) -> list[Row]:
    g = valued.generation
    return [(g.sample.task, g.model, g.sample.id, index, value) for index, value in enumerate(valued.values)]


class _Chooser:
    """Goes through the groups of one table, and keeps of each what comparing needs: size, cluster and choice."""

    def __init__(self, choice: ChoiceSpec, table: Table, utility: LoadedMetric | None) -> None:
        self._choice = choice
        self._table = table
        self._utility = utility
        self._higher = utility is None or next(iter(utility.infos.values())).higher_is_better
        self._clusters: list[tuple[str, str]] = []
        self._sizes: list[int] = []
        self._picks: list[int | None] = []

    def valued(self, run: Run, told: Told) -> Iterator[Valued]:
        generations = run.generations([(self._table.task, self._table.model)])
        if self._utility is not None:
            return utilities(self._utility, generations, Whole.of(run.samples[self._table.task]), told)
        return self._rewarded(generations)

    def _rewarded(self, generations: Iterator[Generation]) -> Iterator[Valued]:
        rewards = self._table.scores["reward"]
        start = 0
        for generation in generations:
            rows = range(start, start + len(generation.completions))
            values = tuple(None if rewards.status[row] else float(rewards.values[row]) for row in rows)
            lost = (rewards.reasons.get(row) for row in rows if rewards.status[row])
            yield Valued(generation, values, next((r for r in lost if r), None))
            start = rows.stop

    def take(self, valued: Valued) -> Row:
        """The row of `selection.csv`."""
        g, size = valued.generation, len(valued.values)
        found = pick(valued.values, higher_is_better=self._higher) if size > 1 else Pick(None)
        cluster = ("cluster", g.sample.cluster) if g.sample.cluster else ("sample", g.sample.id)
        self._clusters.append(cluster)
        self._sizes.append(size)
        self._picks.append(found.index)
        return (
            *(g.sample.task, g.model, g.sample.id, self._choice.strategy),
            *(found.index, found.value, found.runner_up, found.margin, found.mean, size),
            _reason(valued, found),
        )

    def marks(self) -> _Marks:
        sizes = np.array(self._sizes, np.intp)
        starts = np.cumsum(sizes) - sizes
        chosen = np.zeros(int(sizes.sum()), np.bool_)
        rows = [start + p for start, p in zip(starts.tolist(), self._picks, strict=True) if p is not None]
        chosen[np.array(rows, np.intp)] = True
        order = {name: i for i, name in enumerate(sorted(set(self._clusters)))}
        clusters = np.array([order[c] for c in self._clusters], np.float64)
        return _Marks(np.repeat(np.arange(len(sizes), dtype=np.float64), sizes), np.repeat(clusters, sizes), chosen)


def _reason(valued: Valued, found: Pick) -> str | None:
    """Why there is no choice, or who could not be chosen."""
    size = len(valued.values)
    if size < 2:
        return "one completion leaves nothing to choose"
    lost = sum(value is None for value in valued.values)
    if not lost:
        return None
    who = "no candidate has a value" if found.index is None else f"{lost} of {size} candidates without a value"
    return clean_text(f"{who}: {valued.reason}" if valued.reason else who)


@dataclass(frozen=True, slots=True, eq=False)
class _Marks:
    """Of each completion of a table: its group and cluster as numbers, and whether it was chosen."""

    groups: F64
    clusters: F64
    chosen: Bool


def _gains(
    table: Table, marks: _Marks, metrics: Sequence[LoadedMetric], seed: int, missing: list[str]
) -> Iterator[Row]:
    """What each score is over all candidates and over the chosen ones. None where nothing was chosen."""
    if not marks.chosen.any():
        return
    owners = {metric.name(own): (metric, own) for metric in metrics for own in metric.own}
    seed ^= zlib.crc32("\0".join((table.task, table.model)).encode())
    for name, scores in table.scores.items():
        for level in _levels(scores, name in owners):
            compared = _Compared(scores, owners.get(name) if level == "corpus" else None, marks, seed)
            try:
                found = compared.row()
            except PluginError as error:
                if name not in table.faults:  # else it is told already
                    missing.append(f"selected {name} of {table.task} by {table.model}: {clean_text(str(error))}")
                found = (None, None, None, None, None, compared.size)
            yield (table.task, table.model, name, level, *found)


def _levels(scores: Scores, owned: bool) -> list[str]:
    """`segment`: the mean over completions. `corpus`: from summed statistics. None for what has no value over many."""
    if scores.info.corpus == "none" or scores.info.by_over:
        return []
    levels = ["segment"] if scores.info.scope != "corpus" else []
    return levels + (["corpus"] if owned and scores.info.corpus == "statistics" else [])


class _Compared:
    """One score of the groups whose chosen completion has it: all of their completions against the chosen ones."""

    def __init__(self, scores: Scores, owner: tuple[LoadedMetric, str] | None, marks: _Marks, seed: int) -> None:
        self._scores, self._owner, self._marks, self._seed = scores, owner, marks, seed
        there = counted(scores) if owner else np.asarray(scores.status == 0)
        self._chosen: Bool = there & marks.chosen
        self._all: Bool = there & np.isin(marks.groups, marks.groups[self._chosen])
        self.size = int(self._chosen.sum())

    def row(self) -> Row:
        """all, selected, difference, ci_low, ci_high, n"""
        everyone, selected = self._value(self._all), self._value(self._chosen)
        if everyone is None or selected is None:
            return everyone, selected, None, None, None, self.size
        low, high = self._interval() or (None, None)
        return everyone, selected, selected - everyone, low, high, self.size

    def _value(self, rows: Bool) -> float | None:
        scores = self._scores
        statistics = None if scores.statistics is None else scores.statistics[rows]
        some = replace(
            scores, values=scores.values[rows], status=scores.status[rows], reasons={}, statistics=statistics
        )
        return corpus_value(*self._owner, some) if self._owner else mean_value(some)

    def _interval(self) -> tuple[float, float] | None:
        """Of the difference, over clusters drawn with all their completions: the two sides stay paired."""
        clusters = np.unique(self._marks.clusters[self._all])
        if len(clusters) < 2:  # one cluster shows no spread
            return None
        sums = [self._sums(rows, clusters) for rows in (self._all, self._chosen)]
        width = sums[0].shape[1]
        value_of: Callable[[F64], F64] = partial(corpus_from, *self._owner) if self._owner else mean_of

        def difference(drawn: F64) -> F64:
            return value_of(drawn[:, width:]) - value_of(drawn[:, :width])

        return percentile_interval(bootstrap(np.hstack(sums), difference, seed=self._seed))

    def _sums(self, rows: Bool, clusters: F64) -> F64:
        numbers = np.searchsorted(clusters, self._marks.clusters[rows]).astype(np.float64)
        if self._owner and self._scores.statistics is not None:
            return sum_by(numbers, self._scores.statistics[rows], len(clusters))
        values = self._scores.values[rows]
        return sum_by(numbers, np.stack([values, np.ones(len(values))], axis=1), len(clusters))
