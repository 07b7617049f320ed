"""Metrics over generations.

A metric sees batches of whole groups of one task and one model, without completions that have no text and without
samples that lack what it needs. What it returns is checked in one place, `columns.checked`: a finite float exists only with
status `ok`. A metric that raises costs the groups it raised on, and no others.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from harness.columns import CODE, BrokenAnswer, checked, concatenated, reordered, spread
from harness.errors import HarnessError, PluginError
from harness.grouping import Groups, regroup
from harness.registry import Registry, release, score_name
from harness.types import (
    Batch,
    Completion,
    Generation,
    Json,
    Memo,
    Need,
    Sample,
    ScoreInfo,
    Scores,
    Spec,
)

if TYPE_CHECKING:
    from harness.interfaces import CorpusMetric, CorpusScopeMetric, Metric
    from harness.types import F64, Bool

CHUNK = 64  # groups per batch; any other number gives the same values


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """A metric at work: its spec, and the infos of its wanted scores by the metric's own names."""

    spec: Spec
    metric: Metric
    own: Mapping[str, ScoreInfo]

    def name(self, own_name: str) -> str:
        return score_name(self.spec, own_name)

    @property
    def infos(self) -> dict[str, ScoreInfo]:
        """By their names in the run."""
        return {self.name(n): replace(i, name=self.name(n)) for n, i in self.own.items()}

    def close(self) -> None:
        release(self.metric, self.spec.label)


def load_scorers(specs: Iterable[Spec], registry: Registry, wanted: frozenset[str] | None = None) -> tuple[Scorer, ...]:
    """The metrics of `specs`, each with its scores or those of them in `wanted` (names in the run)."""
    scorers: list[Scorer] = []
    seen: dict[str, Spec] = {}
    for spec in map(registry.resolved, specs):
        registry.infos(spec)  # raises where the plugin's word and deed differ
        metric = registry.metric(spec)
        own = {i.name: i for i in metric.infos if wanted is None or score_name(spec, i.name) in wanted}
        for name in (score_name(spec, n) for n in own):
            if name in seen:
                raise PluginError(f"two metrics give the score {name!r}: name one of them with `as`")
            seen[name] = spec
        if own:
            scorers.append(Scorer(spec, metric, own))
    return tuple(scorers)


def score_batch(scorers: Sequence[Scorer], generations: Sequence[Generation]) -> dict[str, Scores]:
    """Every score of whole groups of one task and one model, one value per completion, also those without a text."""
    memo = Memo()
    scores: dict[str, Scores] = {}
    for scorer in scorers:
        infos = scorer.infos
        for needs, names in _by_needs(scorer):
            found = _score_with(scorer, frozenset(names), needs, generations, memo)
            scores.update({scorer.name(n): replace(s, info=infos[scorer.name(n)]) for n, s in found.items()})
    return scores


def _by_needs(scorer: Scorer) -> Iterator[tuple[frozenset[Need], list[str]]]:
    groups: dict[frozenset[Need], list[str]] = {}
    for name, info in scorer.own.items():
        if info.scope != "corpus" or info.corpus == "statistics":
            groups.setdefault(info.needs, []).append(name)
    yield from groups.items()


def _score_with(
    scorer: Scorer,
    names: frozenset[str],
    needs: frozenset[Need],
    generations: Sequence[Generation],
    memo: Memo,
) -> dict[str, Scores]:
    parts: list[Mapping[str, Scores]] = []
    positions: list[int] = []
    blanks: dict[int, tuple[int, str]] = {}
    fit: list[Generation] = []
    start = 0
    for generation in generations:
        lacking = _lacking(generation, needs)
        for offset, completion in enumerate(generation.completions):
            if completion.text is None:
                blanks[start + offset] = _no_text(completion)
            elif lacking:
                blanks[start + offset] = (CODE["abstain"], lacking)
            else:
                positions.append(start + offset)
        kept = tuple(c for c in generation.completions if c.text is not None)
        if kept and not lacking:
            fit.append(
                generation if len(kept) == len(generation.completions) else replace(generation, completions=kept)
            )
        start += len(generation.completions)
    if fit:
        parts.append(_guarded(scorer, Batch(tuple(fit), names, memo)))
    return {n: spread(scorer.own[n], [p[n] for p in parts], positions, blanks, start) for n in sorted(names)}


def _no_text(completion: Completion) -> tuple[int, str]:
    status = completion.status if completion.status != "ok" else "error"
    return CODE[status], f"no text: {completion.reason or 'the model gave none'}"


def _lacking(generation: Generation, needs: frozenset[Need]) -> str | None:
    have: dict[str, object] = {
        "prompt": generation.sample.prompt is not None,
        "references": generation.sample.references,
        "ratings": any(c.ratings for c in generation.completions),
        "preferences": generation.preferences,
    }
    words = {"prompt": "no prompt", "references": "no references", "ratings": "no ratings"}
    for need in sorted(needs):
        if not have[need]:
            return f"the sample has {words.get(need, 'no ' + need)}"
    return None


def _guarded(scorer: Scorer, batch: Batch) -> Mapping[str, Scores]:
    """The metric's answer, checked. Where it fails on many groups, each is asked for alone, so that one fault costs one."""
    try:
        return _answer(scorer, batch)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # plugins raise what they like: timeouts that are no Exception, SystemExit
        if len(batch.generations) == 1:
            return _failed(scorer, batch, error)
    singles = [_guarded(scorer, replace(batch, generations=(g,), memo=Memo())) for g in batch.generations]
    return {name: concatenated([s[name] for s in singles]) for name in sorted(batch.wanted)}


def _answer(scorer: Scorer, batch: Batch) -> Mapping[str, Scores]:
    answer = scorer.metric(batch)
    if not isinstance(answer, Mapping):
        raise BrokenAnswer(f"it returned {type(answer).__name__}, not a mapping of names to scores")
    missing = sorted(batch.wanted - set(answer))
    if missing:
        raise BrokenAnswer(f"it returned no {', '.join(missing)}")
    return {n: checked(answer[n], scorer.own[n], batch.size) for n in sorted(batch.wanted)}


def _failed(scorer: Scorer, batch: Batch, error: BaseException) -> Mapping[str, Scores]:
    what = str(error) if isinstance(error, BrokenAnswer) else f"{type(error).__name__}: {error}"
    reason = f"{scorer.spec.label}: {what}"[:500]
    status = "timeout" if isinstance(error, TimeoutError) else "error"
    values = np.full(batch.size, np.nan)
    codes = np.full(batch.size, CODE[status], np.uint8)
    reasons = dict.fromkeys(range(batch.size), reason)
    return {n: Scores(scorer.own[n], "", values, codes, reasons) for n in batch.wanted}


def chunks(generations: Iterable[Generation], size: int = CHUNK) -> Iterator[list[Generation]]:
    chunk: list[Generation] = []
    for generation in generations:
        chunk.append(generation)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def joined(parts: Sequence[Mapping[str, Scores]]) -> dict[str, Scores]:
    """The columns of consecutive batches as one."""
    return {n: concatenated([p[n] for p in parts]) for n in parts[0]} if parts else {}


def corpus_scope(scorer: Scorer, generations: Iterable[Generation]) -> dict[str, Scores]:
    """Scores of corpus scope that no statistics carry, over all generations of one task and one model."""
    names = [n for n, i in scorer.own.items() if i.scope == "corpus" and i.corpus != "statistics"]
    if not names:
        return {}
    metric = cast("CorpusScopeMetric", scorer.metric)
    batches = (Batch(tuple(_texts(c)), frozenset(names), Memo()) for c in chunks(generations))
    with _plugin(scorer):
        found = metric.over(batches)
    infos = scorer.infos
    return {scorer.name(n): replace(found[n], info=infos[scorer.name(n)]) for n in names}


def _texts(generations: Iterable[Generation]) -> Iterator[Generation]:
    for generation in generations:
        kept = tuple(c for c in generation.completions if c.text is not None)
        if kept:
            yield replace(generation, completions=kept)


def counted(scores: Scores) -> Bool:
    """Which completions enter the corpus score: those with a value, or with statistics where only these exist."""
    if scores.info.scope == "corpus" and scores.statistics is not None:
        return np.asarray(np.isfinite(scores.statistics).all(axis=1))
    return np.asarray(scores.status == 0)


@contextlib.contextmanager
def _plugin(scorer: Scorer) -> Iterator[None]:
    """Whatever a plugin raises becomes a PluginError with its name."""
    try:
        yield
    except (KeyboardInterrupt, HarnessError):
        raise
    except BaseException as error:
        raise PluginError(f"{scorer.spec.label}: {type(error).__name__}: {error}") from error


def corpus_from(scorer: Scorer, own_name: str, sums: F64) -> F64:
    """Corpus scores of rows of summed statistics. Raises PluginError for anything but one number per row."""
    with _plugin(scorer):
        values = np.asarray(cast("CorpusMetric", scorer.metric).corpus_from(own_name, sums), np.float64)
    if values.shape != (len(sums),):
        raise PluginError(f"{scorer.spec.label}: corpus_from gave {values.shape} for {len(sums)} rows")
    return values


def corpus_value(scorer: Scorer, own_name: str, scores: Scores) -> float | None:
    """The corpus score: mean by `fsum`, or the function of summed statistics. None where nothing was scored."""
    info = scorer.own[own_name]
    rows = counted(scores)
    if info.corpus == "none" or not rows.any():
        return None
    if info.corpus == "mean":
        return mean_value(scores)
    if scores.statistics is None:
        return None
    sums = np.array([[math.fsum(column) for column in scores.statistics[rows].T.tolist()]])
    value = float(corpus_from(scorer, own_name, sums)[0])
    return value if math.isfinite(value) else None


def mean_value(scores: Scores) -> float | None:
    """The mean of the values there are, exactly rounded whatever their order; None where there are none."""
    values = scores.values[scores.status == 0].tolist()
    return math.fsum(values) / len(values) if values else None


def with_references(info: ScoreInfo, signature: str, samples: Iterable[Sample]) -> str:
    """The signature with the number of references, as sacreBLEU gives it; it belongs to the data, not to the metric."""
    if "references" not in info.needs or not signature:
        return signature
    counts = {len(s.references) for s in samples if s.references}
    number = str(counts.pop()) if len(counts) == 1 else "var"
    return f"{signature}|nrefs:{number}"


def score_groups(scorers: Sequence[Scorer], groups: Groups, *, chunk: int = CHUNK) -> dict[str, Scores]:
    """Segment scores of generations of any tasks and models, flat in the order in which they were given."""
    parts: list[Mapping[str, Scores]] = []
    order: list[int] = []
    for positions, generations in groups.by_table():
        parts.extend(score_batch(scorers, some) for some in chunks(generations, chunk))
        order.extend(positions)
    if not parts:
        return score_batch(scorers, [])
    back = np.argsort(np.array(order, np.intp), kind="stable")
    return {n: reordered(s, back) for n, s in joined(parts).items()}


def score(
    generations: Iterable[Generation],
    metrics: Sequence[str | Mapping[str, Json]],
    *,
    registry: Registry | None = None,
    chunk: int = CHUNK,
) -> dict[str, Scores]:
    """Every score of the metrics over the generations: `{"bleu": Scores, "rouge1": Scores, ...}`.

    `metrics` are as in a suite: `"bleu"` or `{"rouge": {"use_stemmer": True}}`. Values are flat: all completions of
    the first generation, then of the next. `corpus` is over all generations given: score models apart to compare them.
    Generations of equal task, sample id and model are one group. `chunk`, in groups, changes no value.

    Raises SuiteError for an unknown metric or option, DataError for groups that contradict each other.
    """
    from harness.specs import metric_specs

    registry = registry or Registry.load()
    scorers = load_scorers(metric_specs(metrics, registry), registry)
    groups = regroup(generations)
    scores = score_groups(scorers, groups, chunk=chunk)
    samples = [g.sample for g in groups.generations]
    for scorer in scorers:
        for own_name in scorer.own:
            name = scorer.name(own_name)
            if name in scores:
                value = corpus_value(scorer, own_name, scores[name])
                scores[name] = replace(scores[name], corpus=value)
        scores.update(corpus_scope(scorer, groups.generations))
    return {n: finished(scores[n], samples) for s in scorers for n in s.infos}


def finished(scores: Scores, samples: Sequence[Sample]) -> Scores:
    """With both signatures as they are shown."""
    corpus = scores.corpus_signature or scores.signature
    return replace(
        scores,
        signature=with_references(scores.info, scores.signature, samples),
        corpus_signature=with_references(scores.info, corpus, samples),
    )
