"""What people said of a run's completions, as columns beside its scores: what `human` analyses."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from harness import Completion, Generation, Run

    F64: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.intp]

REFERENCE = -1
"""Stands for the human text where a comparison has a completion's row."""

PREFERENCE = "preference"
"""The dimension of comparisons. Ratings that are called so are another: `preference (rated)`."""

_OF_PEOPLE = frozenset(("ratings", "preferences"))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two texts that people compared, each a completion's row, and what each rater said: 1 for `first`, -1, 0 a tie."""

    first: int
    second: int
    cluster: int
    sample: int
    model: int
    votes: tuple[tuple[str, int], ...]

    @property
    def outcome(self) -> int:
        """What more raters said than anything else; 0 where two answers lead together."""
        return majority(vote for _, vote in self.votes)

    @property
    def by_rater(self) -> list[int]:
        """One vote each: who was asked twice is not two people."""
        return [majority(v for r, v in self.votes if r == rater) for rater in dict.fromkeys(r for r, _ in self.votes)]


def majority(votes: Iterable[int]) -> int:
    (vote, most), *others = Counter(votes).most_common()
    return 0 if others and others[0][1] == most else vote


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One task. Rows are the completions of all models; `scores` and `ratings` (rows, raters) are NaN without value."""

    task: str
    models: tuple[str, ...]
    samples: Ints
    clusters: Ints
    by_model: Ints
    scores: Mapping[str, F64]
    ratings: Mapping[str, F64]
    comparisons: tuple[Comparison, ...]


def judged_tasks(run: Run) -> Iterator[Judged]:
    """Each task of which people said anything."""
    scored = {(row.task, row.model) for row in run.corpus}
    for task in run.samples:
        models = tuple(model for model in run.models if (task, model) in scored)
        found = _judged(run, task, models)
        if found.ratings or found.comparisons:
            yield found


def scores_to_judge(run: Run) -> tuple[str, ...]:
    """Every score of a completion that is not made of what people said, and so would agree with itself."""
    circular = {name for name, info in run.infos.items() if info.needs & _OF_PEOPLE}
    reward: Mapping[str, Any] = run.manifest["suite"]["resolved"].get("reward") or {}
    terms = {f"reward.{t.get('as', t['score'])}" for t in reward.get("terms", ()) if t["score"] in circular}
    if terms or any(guard["score"] in circular for guard in reward.get("guard", ())):
        circular |= terms | {"reward"}
    return tuple(name for name, info in run.infos.items() if info.scope != "corpus" and name not in circular)


def _judged(run: Run, task: str, models: tuple[str, ...]) -> Judged:
    wanted = scores_to_judge(run)
    rows = _Rows()
    columns: dict[str, list[F64]] = {name: [] for name in wanted}
    for number, model in enumerate(models):
        for generation in run.generations([(task, model)]):
            rows.add(generation, number)
        for name, scores in run.scores(task, model).items():
            if name in wanted:
                columns[name].append(scores.values)
    return Judged(
        task=task,
        models=models,
        samples=np.array(rows.samples, np.intp),
        clusters=np.array(rows.clusters, np.intp),
        by_model=np.array(rows.models, np.intp),
        scores={name: np.concatenate([*parts, np.empty(0)]) for name, parts in columns.items()},
        ratings={name: _matrix(given, len(rows.samples)) for name, given in rows.ratings.items()},
        comparisons=tuple(rows.comparisons),
    )


def _matrix(given: Mapping[int, tuple[float | None, ...]], size: int) -> F64:
    found = np.full((size, max(map(len, given.values()))), np.nan)
    for row, ratings in given.items():
        found[row, : len(ratings)] = [np.nan if r is None else r for r in ratings]
    return found


@dataclass(slots=True)
class _Rows:
    """Gathers completions one generation after the other."""

    samples: list[int] = field(default_factory=list)
    clusters: list[int] = field(default_factory=list)
    models: list[int] = field(default_factory=list)
    ratings: dict[str, dict[int, tuple[float | None, ...]]] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    _sample_numbers: dict[str, int] = field(default_factory=dict)
    _cluster_numbers: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, generation: Generation, model: int) -> None:
        sample, start = generation.sample, len(self.samples)
        number = self._sample_numbers.setdefault(sample.id, len(self._sample_numbers))
        name = ("cluster", sample.cluster) if sample.cluster else ("sample", sample.id)
        cluster = self._cluster_numbers.setdefault(name, len(self._cluster_numbers))
        for row, completion in enumerate(generation.completions, start):
            self.samples.append(number)
            self.clusters.append(cluster)
            self.models.append(model)
            self._rate(row, completion)
        for (first, second), votes in _votes(generation).items():
            second = second if second == REFERENCE else start + second
            self.comparisons.append(Comparison(start + first, second, cluster, number, model, tuple(votes)))

    def _rate(self, row: int, completion: Completion) -> None:
        for dimension, given in completion.ratings.items():
            if any(rating is not None for rating in given):
                name = f"{PREFERENCE} (rated)" if dimension == PREFERENCE else dimension
                self.ratings.setdefault(name, {})[row] = given


def _votes(generation: Generation) -> dict[tuple[int, int], list[tuple[str, int]]]:
    """(rater, vote) by what was compared: completions in their order, the reference last.

    Raters without a name are told apart by the order in which they spoke of these two.
    """
    found: dict[tuple[int, int], list[tuple[str, int]]] = {}
    for preference in generation.preferences:
        better, worse = (REFERENCE if s == "reference" else s for s in (preference.better, preference.worse))
        swapped = better == REFERENCE or (worse != REFERENCE and better > worse)
        votes = found.setdefault((worse, better) if swapped else (better, worse), [])
        vote = 0 if preference.tie else -1 if swapped else 1
        votes.append((preference.rater or f"#{len(votes) + 1}", vote))
    return found
