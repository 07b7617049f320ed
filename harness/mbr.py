"""Minimum Bayes risk: how well each completion of a group agrees with the others.

    utility(i) = mean over j != i of u(completion i | completion j as the only reference)

with any score of segment scope that needs references as u, by the same metric, options and checks as in a run.
Kumar and Byrne, "Minimum Bayes-Risk Decoding for Statistical Machine Translation", NAACL 2004
(https://aclanthology.org/N04-1022); Eikema and Aziz, "Sampling-Based Approximations to Minimum Bayes Risk Decoding for
Neural Machine Translation", EMNLP 2022 (https://aclanthology.org/2022.emnlp-main.754), of which this is the
sampling-based estimate with the candidates as the pseudo-references, a candidate itself left out. Equal texts are
so many references as there are of them. The references of the sample are not looked at.

A pair without a value is left out of the mean; a completion without a text is neither candidate nor reference.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.corpus import finished
from harness.errors import PluginError
from harness.grouping import has_text
from harness.scoring import score_batch
from harness.types import STATUSES, Completion, Generation, Sample

if TYPE_CHECKING:
    from harness.loaded import LoadedMetric
    from harness.types import Scores, Whole

PAIRS = 4096  # compared at a time; any other number gives the same values


@dataclass(frozen=True, slots=True)
class Valued:
    """A generation with what its completions are chosen by; `reason`: why one of them has no value."""

    generation: Generation
    values: tuple[float | None, ...]
    reason: str | None = None


@dataclass(slots=True)
class Told:
    """What was seen on the way: how many pairs have each status, and how the values of each task were made.

    Tasks need not be alike: one may be in another language.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    signatures: dict[str, str] = field(default_factory=dict)


def utilities(
    utility: LoadedMetric, generations: Iterable[Generation], whole: Whole, told: Told, *, pairs: int = PAIRS
) -> Iterator[Valued]:
    """Each generation with the utilities of its completions, in order. `utility` gives one score and no other."""
    for some in _by_pairs(generations, pairs):
        groups = [_Group(g) for g in some]
        _compare(utility, groups, whole, told, pairs)
        for group in groups:
            yield group.valued()


def _by_pairs(generations: Iterable[Generation], pairs: int) -> Iterator[list[Generation]]:
    """Some groups at a time, as many as make the pairs, and one at least."""
    held: list[Generation] = []
    count = 0
    for generation in generations:
        more = len(generation.completions) ** 2
        if held and count + more > pairs:
            yield held
            held, count = [], 0
        held.append(generation)
        count += more
    if held:
        yield held


class _Group:
    """The distinct texts of a generation, how often each is there, and what comparing them gave.

    Only texts are compared, so each pair of them is looked at once, however often it occurs.
    """

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.counts = Counter(c.text or "" for c in generation.completions if has_text(c))
        self.found: dict[tuple[str, str], float] = {}
        self.reason: str | None = None

    def comparisons(self) -> Iterator[tuple[str, Generation]]:
        """Each text as the only reference, with the texts that meet it. The ids differ, as samples that differ must."""
        sample = self.generation.sample
        for number, (reference, count) in enumerate(self.counts.items()):
            texts = tuple(t for t in self.counts if t != reference or count > 1)
            if texts:
                yield reference, Generation(_referring(sample, number, reference), self.generation.model, _said(texts))

    def valued(self) -> Valued:
        values = tuple(self._utility(c) for c in self.generation.completions)
        reason = None if None not in values else self.reason or self._lacking()
        return Valued(self.generation, values, reason)

    def _utility(self, completion: Completion) -> float | None:
        if not has_text(completion):
            return None
        own = completion.text or ""
        found = [self.found.get((own, r)) for r, n in self.counts.items() for _ in range(n - (r == own))]
        values = [v for v in found if v is not None]
        return math.fsum(values) / len(values) if values else None

    def _lacking(self) -> str:
        there = self.counts.total()
        if there == 1:
            return "only one has a text, so there is none to compare it with"
        return "some have no text" if there else "none has a text"


def _referring(sample: Sample, number: int, reference: str) -> Sample:
    return replace(sample, id=f"{sample.id}#{number}", references=(reference,))


def _said(texts: Iterable[str]) -> tuple[Completion, ...]:
    return tuple(map(Completion, texts))


def _compare(utility: LoadedMetric, groups: Sequence[_Group], whole: Whole, told: Told, pairs: int) -> None:
    jobs = ((group, reference, made) for group in groups for reference, made in group.comparisons())
    held: list[tuple[_Group, str, Generation]] = []
    count = 0
    for job in jobs:
        held.append(job)
        count += len(job[2].completions)
        if count >= pairs:
            _score(utility, held, whole, told)
            held, count = [], 0
    if held:
        _score(utility, held, whole, told)


def _score(utility: LoadedMetric, jobs: Sequence[tuple[_Group, str, Generation]], whole: Whole, told: Told) -> None:
    (scores,) = score_batch([utility], [made for _, _, made in jobs], whole).values()
    _note(told, jobs[0][0].generation.sample.task, scores)
    values = scores.segment
    start = 0
    for group, reference, made in jobs:
        for index, completion in enumerate(made.completions, start):
            if (value := values[index]) is not None:
                group.found[completion.text or "", reference] = value
            elif group.reason is None:
                group.reason = scores.reasons.get(index)
        start += len(made.completions)


def _note(told: Told, task: str, scores: Scores) -> None:
    told.statuses.update(STATUSES[code] for code in scores.status.tolist())
    signature = finished(scores, frozenset({1})).signature
    known = told.signatures.get(task, "")
    if known and signature not in ("", known):
        raise PluginError(
            f"{scores.info.name} was made in 2 ways, so its values cannot be compared: {known}, {signature}"
        )
    told.signatures[task] = known or signature
