"""The composite reward: weighted, rescaled scores as one number per completion.

Each term maps the *declared* range of its score (or the suite's `range:`) linearly to [0, 1], turned round where lower
is better; values beyond the range count as its end. With m the mapped values, w the weights of the terms that have a
value, and W the sum of all weights:

    weighted_mean   sum(w m) / sum(w)
    weighted_sum    sum(w m) * W / sum(w)
    product         prod(m ** (w W / sum(w)))
    min             min(m)

so that optional terms without a value hand their weight to the others. In order:

1. A guard whose score lies outside its bounds makes the total 0, with status `ok`: whatever the terms are, it is known.
2. A required guard or term without a value makes the total `None`, with the gravest status among them.
3. The terms with a value are combined. No value at all, or no weight left, is `None` too.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harness.columns import CODE
from harness.errors import SuiteError
from harness.grouping import regroup
from harness.loaded import LoadedMetric, load_metrics
from harness.registry import Registry
from harness.scoring import score_tables
from harness.types import Generation, Reward, ScoreInfo, Scores, Spec, Status

if TYPE_CHECKING:
    from harness.suite import Combine, GuardSpec, RewardSpec, Suite, TermSpec

_GRAVITY: tuple[Status, ...] = ("error", "timeout", "invalid", "abstain")
Value = float | tuple[Status, str]
"""A score of one completion: its number, or its status and reason."""


@dataclass(frozen=True, slots=True)
class Term:
    """One weighted, rescaled score: `low` and `high` are the range that maps to [0, 1]."""

    name: str
    score: str
    weight: float
    low: float
    high: float
    higher_is_better: bool
    required: bool

    def mapped(self, value: float) -> float:
        """Linear from the range to [0, 1], turned round where lower is better."""
        share = min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))
        return share if self.higher_is_better else 1.0 - share

    @property
    def formula(self) -> str:
        arrow = "" if self.higher_is_better else "-"
        optional = "" if self.required else "?"
        return f"{self.weight!r}*{arrow}{self.score}{optional}[{self.low!r},{self.high!r}]"


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition of the composite: the raw score must lie within the bounds (inclusive)."""

    score: str
    min: float | None
    max: float | None
    required: bool

    def fault(self, value: float) -> str | None:
        if self.min is not None and value < self.min:
            return f"guard: {self.score} {value:g} is below {self.min:g}"
        if self.max is not None and value > self.max:
            return f"guard: {self.score} {value:g} is above {self.max:g}"
        return None


def combine(rule: Combine, parts: Sequence[tuple[float, float]], total_weight: float) -> float | None:
    """The total of (weight, mapped value) pairs, some of whose companions may be missing; None without any weight."""
    if not parts:
        return None
    if rule == "min":
        return min(m for _, m in parts)
    weight = math.fsum(w for w, _ in parts)
    if weight <= 0:
        return None
    if rule == "product":
        return math.prod(math.pow(m, w * total_weight / weight) for w, m in parts)
    mean = math.fsum(w * m for w, m in parts) / weight
    return mean * total_weight if rule == "weighted_sum" else mean


@dataclass(frozen=True, slots=True)
class Composite:
    """The rule alone: from the scores of one completion to its `Reward`. Knows no plugin."""

    rule: Combine
    terms: tuple[Term, ...]
    guards: tuple[Guard, ...] = ()

    def reward(self, values: Mapping[str, Value]) -> Reward:
        terms = {t.name: self._mapped(t, values[t.score]) for t in self.terms}
        if failed := self._failed(values):
            guard, fault = failed
            return Reward(0.0, terms, "ok", fault, guard=guard)
        unchecked = [g for g in self.guards if isinstance(values[g.score], tuple)]
        missing = [t for t in self.terms if terms[t.name] is None]
        lost = [t.score for t in missing if t.required] + [g.score for g in unchecked if g.required]
        if lost:
            return self._without(terms, values, lost)
        parts = [(t.weight, m) for t in self.terms if (m := terms[t.name]) is not None]
        total = combine(self.rule, parts, math.fsum(t.weight for t in self.terms))
        if total is None:
            return self._without(terms, values, [t.score for t in missing])
        notes = [f"without {_reasons(values, [t.score for t in missing])}"] if missing else []
        notes += [f"guard not checked: {_reasons(values, [g.score for g in unchecked])}"] if unchecked else []
        return Reward(total, terms, "ok", "; ".join(notes) or None, tuple(t.name for t in missing))

    def _failed(self, values: Mapping[str, Value]) -> tuple[str, str] | None:
        """The score of the first guard that fails, and what it says."""
        for guard in self.guards:
            value = values[guard.score]
            if not isinstance(value, tuple) and (fault := guard.fault(value)):
                return guard.score, fault
        return None

    @staticmethod
    def _mapped(term: Term, value: Value) -> float | None:
        return None if isinstance(value, tuple) else term.mapped(value)

    @staticmethod
    def _without(terms: Mapping[str, float | None], values: Mapping[str, Value], scores: Sequence[str]) -> Reward:
        found = {v[0] for s in scores if isinstance(v := values[s], tuple)}
        status = next((s for s in _GRAVITY if s in found), _GRAVITY[-1])
        return Reward(None, terms, status, _reasons(values, scores) or "no term with a weight has a value")

    @property
    def scores(self) -> frozenset[str]:
        return frozenset([t.score for t in self.terms] + [g.score for g in self.guards])

    @property
    def high(self) -> float:
        """The largest possible total."""
        return math.fsum(t.weight for t in self.terms) if self.rule == "weighted_sum" else 1.0

    def infos(self) -> dict[str, ScoreInfo]:
        """What the columns `reward` and `reward.TERM` are."""
        columns = {"reward": ScoreInfo("reward", 0.0, self.high)}
        return columns | {n: ScoreInfo(n) for n in (f"reward.{t.name}" for t in self.terms)}

    def signature(self, signatures: Mapping[str, str]) -> str:
        """What the total means: the rule, and a digest of how its scores are made."""
        made = "\n".join(f"{s}={signatures.get(s, '')}" for s in sorted(self.scores))
        parts = [f"reward|{self.rule}", *(t.formula for t in self.terms)]
        parts += [f"guard:{g.score}{'' if g.required else '?'}[{g.min},{g.max}]" for g in self.guards]
        return "|".join([*parts, f"scores:{hashlib.sha256(made.encode()).hexdigest()[:12]}"])

    def rewards(self, scores: Mapping[str, Scores]) -> list[Reward]:
        """One `Reward` per completion from columns of equal length."""
        names = sorted(self.scores)
        columns = [_values(scores[name]) for name in names]
        return [self.reward(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]

    def columns(self, rewards: Sequence[Reward], scores: Mapping[str, Scores]) -> dict[str, Scores]:
        """The columns `reward` and `reward.TERM` of some rewards, not yet `signed`."""
        infos = self.infos()
        found = {"reward": _column(infos["reward"], [(r.total, r.status, r.reason) for r in rewards])}
        for term in self.terms:
            name = f"reward.{term.name}"
            source = scores[term.score]
            rows = [(r.terms[term.name], source.status_of(i), source.reasons.get(i)) for i, r in enumerate(rewards)]
            found[name] = _column(infos[name], rows)
        return found

    def signed(self, columns: Mapping[str, Scores]) -> dict[str, Scores]:
        """These columns of all batches with their signatures: a batch in which a score has no value knows no signature."""
        signature = self.signature({n: columns[n].signature for n in self.scores})
        found = {"reward": replace(columns["reward"], signature=signature)}
        for term in self.terms:
            name = f"reward.{term.name}"
            made = f"{name}|{term.formula}|{columns[term.score].signature}"
            found[name] = replace(columns[name], signature=made)
        return found


def _reasons(values: Mapping[str, Value], scores: Sequence[str]) -> str:
    gone = [(s, v) for s in dict.fromkeys(scores) if isinstance(v := values[s], tuple)]
    return "; ".join(f"{s} ({v[0]}: {v[1]})" for s, v in gone)


def _values(scores: Scores) -> list[Value]:
    return [
        v if v is not None else (scores.status_of(i), scores.reasons.get(i, "")) for i, v in enumerate(scores.segment)
    ]


def _column(info: ScoreInfo, rows: Sequence[tuple[float | None, Status, str | None]]) -> Scores:
    values = np.array([math.nan if v is None else v for v, _, _ in rows], np.float64)
    status = np.array([CODE[s] for _, s, _ in rows], np.uint8)
    reasons = {i: r for i, (_, _, r) in enumerate(rows) if r}
    return Scores(info, "", values, status, reasons)


def composite_from(spec: RewardSpec, infos: Mapping[str, ScoreInfo]) -> Composite:
    """The rule of a suite's `reward:`, with ranges and directions from the scores' declarations.

    Raises SuiteError for a score that is missing, of corpus scope, or unbounded without a `range:`.
    """
    terms = tuple(_term(t, _info(t.score, infos)) for t in spec.terms)
    guards = tuple(_guard(g, _info(g.score, infos)) for g in spec.guard)
    return Composite(spec.combine, terms, guards)


def _info(score: str, infos: Mapping[str, ScoreInfo]) -> ScoreInfo:
    if score not in infos:
        raise SuiteError(f"reward: no metric of the suite gives the score {score!r}")
    if infos[score].scope == "corpus":
        raise SuiteError(f"reward: {score!r} is a score of the whole corpus, which no completion has")
    return infos[score]


def _term(spec: TermSpec, info: ScoreInfo) -> Term:
    low, high = spec.range or (info.low, info.high)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise SuiteError(f"reward: {spec.score!r} is unbounded, so its term needs `range: [low, high]`")
    better = info.higher_is_better if spec.higher_is_better is None else spec.higher_is_better
    return Term(spec.name, spec.score, spec.weight, low, high, better, spec.required)


def _guard(spec: GuardSpec, info: ScoreInfo) -> Guard:
    return Guard(info.name, spec.min, spec.max, spec.required)


class CompositeReward:
    """A suite's reward as a picklable, thread-safe callable: `reward(generations)` -> one `Reward` per completion.

    Rewards come flat and in order: all completions of the first generation, then of the next. Generations of equal
    task, sample id and model are one group. Metrics load at first use; they are called from as many threads as the
    reward is. Only specs are pickled: where it is unpickled, the plugins installed there make the metrics.
    """

    def __init__(self, spec: RewardSpec, metrics: Iterable[Spec], registry: Registry | None = None) -> None:
        self.spec = spec
        self._metrics = tuple(metrics)
        self._registry = registry
        self._lock = threading.Lock()
        self._loaded: tuple[Composite, tuple[LoadedMetric, ...]] | None = None

    @classmethod
    def from_suite(cls, suite: Suite, registry: Registry | None = None) -> CompositeReward:
        if suite.reward_spec is None:
            raise SuiteError(f"suite {suite.name!r} has no `reward:`")
        registry = registry or Registry.load()
        return cls(suite.reward_spec, suite.metric_specs(registry), registry)

    def __getstate__(self) -> tuple[RewardSpec, tuple[Spec, ...]]:
        return self.spec, self._metrics

    def __setstate__(self, state: tuple[RewardSpec, tuple[Spec, ...]]) -> None:
        self.__init__(*state)  # type: ignore[misc]  # the two parts of the state are its arguments

    def __call__(self, generations: Iterable[Generation]) -> list[Reward]:
        composite, metrics = self._load()
        found: dict[int, Reward] = {}
        for positions, scores in score_tables(metrics, regroup(generations)):
            found.update(zip(positions, composite.rewards(scores), strict=True))
        return [found[position] for position in range(len(found))]

    def close(self) -> None:
        """Let go of what the metrics hold. The next call loads them again."""
        with self._lock:
            loaded, self._loaded = self._loaded, None
        for metric in loaded[1] if loaded else ():
            metric.close()

    @property
    def composite(self) -> Composite:
        return self._load()[0]

    def _load(self) -> tuple[Composite, tuple[LoadedMetric, ...]]:
        with self._lock:
            if self._loaded is None:
                registry = self._registry or Registry.load()
                infos = {i.name: i for s in self._metrics for i in registry.infos(s)}
                composite = composite_from(self.spec, infos)
                self._loaded = composite, load_metrics(self._metrics, registry, composite.scores)
            return self._loaded
