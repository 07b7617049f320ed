"""What every report reads of a run: its columns, its corpus rows by key, and counts taken from its groups."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from harness import ScoreInfo

if TYPE_CHECKING:
    from harness import CorpusRow, CorpusRule, Group, Json, Run

Kind = Literal["score", "reward", "term"]
Level = Literal["corpus", "mean", ""]
LEVELS: Final[dict[CorpusRule, Level]] = {"mean": "mean", "statistics": "corpus", "none": ""}

FINISHED = ("scored", "complete")
"""States in which all numbers are there; `scored` is what a run is while its first reports are made."""

REWARD = "reward"
TERM = "reward."
MAX_REASONS = 1000
"""Distinct reasons counted per score: a metric that writes text into its reasons must not fill the memory."""


def mapping(value: object) -> Mapping[str, Json]:
    """`value` if it is a mapping, else an empty one: manifests of other versions may lack a part."""
    return value if isinstance(value, Mapping) else {}


def rows(value: object) -> list[Mapping[str, Json]]:
    """The mappings in a list, or none."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return []
    return [item for item in value if isinstance(item, Mapping)]


def text(value: object) -> str:
    """`value` as text; `None` is empty."""
    return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Column:
    """One score of a run, the reward, or one of its terms.

    `level` says what the corpus number is: `corpus` (of all completions together), `mean` (of the segments)
    or empty (there is none). `cells` is whether single completions have a value.
    """

    name: str
    kind: Kind
    level: Level
    higher_is_better: bool
    decimals: int
    cells: bool

    @property
    def label(self) -> str:
        return self.name.removeprefix(TERM) if self.kind == "term" else self.name


@dataclass(frozen=True, slots=True)
class View:
    """A run's names and corpus rows, put in the order in which reports show them."""

    name: str
    tasks: tuple[str, ...]
    models: tuple[str, ...]
    columns: tuple[Column, ...]
    corpus: Mapping[tuple[str, str, str], CorpusRow]
    incomplete: frozenset[str] = frozenset()

    def of(self, *kinds: Kind) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.kind in kinds)

    def models_of(self, task: str) -> tuple[str, ...]:
        """The models with corpus rows for the task (all of them where nothing is scored yet)."""
        having = {model for (name, model, _) in self.corpus if name == task}
        return tuple(model for model in self.models if model in having or not having)

    def partial(self, row: CorpusRow) -> bool:
        """Whether the score has no value for some completion of the run, so that it must be said how many have one."""
        return row.score in self.incomplete


def view(run: Run) -> View:
    """The view of a run. Costs a pass over its corpus rows, none over its groups."""
    manifest = run.manifest
    corpus = {(row.task, row.model, row.score): row for row in run.corpus}
    suite = mapping(manifest.get("suite"))
    name = manifest.get("name") or mapping(suite.get("resolved")).get("name") or run.folder.name
    return View(
        name=text(name),
        tasks=_names(manifest.get("tasks"), (key[0] for key in corpus)),
        models=_names(manifest.get("models"), (key[1] for key in corpus)),
        columns=_columns(run),
        corpus=corpus,
        incomplete=frozenset(name for name, found in statuses(run).items() if not_ok(found)),
    )


def _names(listed: object, used: Iterable[str]) -> tuple[str, ...]:
    names = [text(item.get("name")) for item in rows(listed)]
    return tuple(dict.fromkeys([*names, *used]))


def _columns(run: Run) -> tuple[Column, ...]:
    """Scores in the run's order, then the reward, then its terms, whether or not the run declares these."""
    largest: dict[str, float] = {}
    for row in run.corpus:
        largest[row.score] = max(largest.get(row.score, 0.0), abs(row.value or 0.0))
    reward = mapping(run.manifest.get("reward"))
    terms = [TERM + text(term.get("name")) for term in rows(reward.get("terms"))]
    names = dict.fromkeys([*run.infos, *([REWARD] if reward else []), *terms, *largest])
    infos = {name: run.infos.get(name) or ScoreInfo(name) for name in names}
    columns = [_column(name, info, largest.get(name, 0.0)) for name, info in infos.items()]
    return tuple(sorted(columns, key=lambda column: ("score", "reward", "term").index(column.kind)))


def _column(name: str, info: ScoreInfo, largest: float) -> Column:
    level: Level = "corpus" if info.scope == "corpus" else LEVELS[info.corpus]
    kind: Kind = "reward" if name == REWARD else "term" if name.startswith(TERM) else "score"
    decimals = _decimals(info.high - info.low, largest)
    return Column(name, kind, level, info.higher_is_better, decimals, info.scope != "corpus")


def _decimals(width: float, largest: float) -> int:
    """Three for scores in [0, 1] or [-1, 1], two for percentages, else four digits for the largest mean."""
    if width <= 2:
        return 3
    if width <= 200:
        return 2
    return max(0, min(3, 3 - math.floor(math.log10(largest)))) if largest > 0 else 2


def number(value: float | None, decimals: int) -> str:
    """A number as people read it; a dash where there is none."""
    if value is None:
        return "–"
    if abs(value) >= 1e7:
        return f"{value:.4g}"
    shown = f"{value:.{decimals}f}"
    return shown.lstrip("-") if float(shown) == 0 else shown


@dataclass(slots=True)
class Tally:
    """Counts that only the groups can tell."""

    completions: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)

    def add(self, group: Group) -> None:
        generation = group.generation
        self.completions[generation.sample.task, generation.model] += len(generation.completions)
        for cells in group.cells:
            for name, cell in cells.items():
                if cell.status != "ok":
                    self._count(name, cell.status, cell.reason or "")

    def _count(self, name: str, status: str, reason: str) -> None:
        counts = self.reasons.setdefault(name, Counter())
        if (status, reason) not in counts and len(counts) >= MAX_REASONS:
            reason = "(other reasons)"
        counts[status, reason] += 1

    def top(self, name: str, limit: int = 3) -> list[tuple[str, str, int]]:
        """The most frequent (status, reason, count) of a score; ties in alphabetical order."""
        counts = sorted(self.reasons.get(name, Counter()).items(), key=lambda item: (-item[1], item[0]))
        return [(status, reason, count) for (status, reason), count in counts[:limit]]

    def lacking(self) -> list[tuple[str, int]]:
        """For want of which scores there is no reward, most frequent first."""
        found = Counter[str]()
        for (_, reason), count in self.reasons.get(REWARD, Counter()).items():
            found[_scores_of(reason)] += count
        return sorted(found.items(), key=lambda item: (-item[1], item[0]))


def _scores_of(reason: str) -> str:
    """The scores that a reward's reason names: `relevance (abstain: why); sentiment (error: why)`."""
    return " and ".join(re.findall(r"(?:^|; )([\w.-]+) \((?:abstain|error|timeout|invalid): ", reason)) or reason


def tally(run: Run) -> Tally:
    """One pass over the groups."""
    counts = Tally()
    for group in run.groups():
        counts.add(group)
    return counts


def counts(manifest: Mapping[str, Json]) -> dict[str, tuple[int, str]]:
    """What the run holds: name -> number and what to call so many (`1 sample`, `2 samples`)."""
    found = {k: v for k, v in mapping(manifest.get("counts")).items() if isinstance(v, int) and not isinstance(v, bool)}
    return {k: (v, (k.removesuffix("s") if v == 1 else k).replace("_", " ")) for k, v in found.items()}


def statuses(run: Run) -> dict[str, dict[str, int]]:
    """Score name -> status -> count, as the manifest has it, in the order of the columns."""
    counted = mapping(run.manifest.get("statuses"))
    return {
        name: {status: count for status, count in mapping(counts).items() if isinstance(count, int)}
        for name, counts in counted.items()
    }


def not_ok(counts: Mapping[str, int]) -> int:
    return sum(count for status, count in counts.items() if status != "ok")
