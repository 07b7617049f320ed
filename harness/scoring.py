"""Metrics over generations.

A metric sees batches of whole groups of one task and one model, without completions that have no text and without
samples that lack what it needs. What it returns is checked in one place, `columns.checked`: a finite float exists only with
status `ok`. A metric that raises costs the groups it raised on, and no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness.columns import CODE, BrokenAnswer, checked, concatenated, reordered, spread
from harness.corpus import corpus_scope, corpus_value, finished
from harness.errors import UsageError
from harness.grouping import Groups, chunks, has_text, lacking, regroup, whole_of, with_texts
from harness.loaded import LoadedMetric, load_metrics
from harness.registry import Registry
from harness.text import clean_text
from harness.types import Batch, Completion, Generation, Json, Memo, Need, Scores, Whole

CHUNK = 64  # groups per batch; any other number gives the same values


def score_batch(
    metrics: Sequence[LoadedMetric], generations: Sequence[Generation], whole: Whole | None = None
) -> dict[str, Scores]:
    """Every score of whole groups of one task and one model, one value per completion, also those without a text.

    `whole`: all samples whose scores will stand in one column; left out, those given.
    """
    whole = whole or whole_of(generations)
    memo = Memo()
    scores: dict[str, Scores] = {}
    for metric in metrics:
        infos = metric.infos
        for needs, names in metric.by_needs(by_over=False).items():
            found = _score_with(metric, needs, generations, Batch((), frozenset(names), memo, whole, metric.shared))
            scores.update({metric.name(n): replace(s, info=infos[metric.name(n)]) for n, s in found.items()})
    return scores


def _score_with(
    metric: LoadedMetric, needs: frozenset[Need], generations: Sequence[Generation], empty: Batch
) -> dict[str, Scores]:
    positions: list[int] = []
    blanks: dict[int, tuple[int, str]] = {}
    fit: list[Generation] = []
    start = 0
    for generation in generations:
        lacks = lacking(generation, needs)
        for index, completion in enumerate(generation.completions, start):
            if not has_text(completion):
                blanks[index] = _no_text(completion)
            elif lacks:
                blanks[index] = (CODE["abstain"], lacks)
            else:
                positions.append(index)
        kept = with_texts(generation)
        if kept.completions and not lacks:
            fit.append(kept)
        start += len(generation.completions)
    made = _guarded(metric, replace(empty, generations=tuple(fit))) if fit else _unscored(metric, empty)
    return {n: spread(made[n], positions, blanks, start) for n in sorted(empty.wanted)}


def _no_text(completion: Completion) -> tuple[int, str]:
    status = completion.status if completion.status != "ok" else "error"
    what = "no text" if completion.text is None else "the model failed while writing it"
    return CODE[status], f"{what}: {completion.reason or 'it did not say why'}"


def _unscored(metric: LoadedMetric, empty: Batch) -> Mapping[str, Scores]:
    """What a metric says of nothing: its signature, which must not depend on whether there was something to score."""
    try:
        return _answer(metric, empty)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a metric need not know what to do with an empty batch
        return {n: Scores(metric.own[n], "", np.empty(0), np.empty(0, np.uint8)) for n in empty.wanted}


def _guarded(metric: LoadedMetric, batch: Batch) -> Mapping[str, Scores]:
    """The metric's answer, checked. Where it fails on many groups, each is asked for alone, so that one fault costs one."""
    try:
        return _answer(metric, batch)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # plugins raise what they like: timeouts that are no Exception, SystemExit
        if len(batch.generations) == 1:
            return _failed(metric, batch, error)
    singles = [_guarded(metric, replace(batch, generations=(g,), memo=Memo())) for g in batch.generations]
    return {name: concatenated([s[name] for s in singles]) for name in sorted(batch.wanted)}


def _answer(metric: LoadedMetric, batch: Batch) -> Mapping[str, Scores]:
    answer = metric.metric(batch)
    if not isinstance(answer, Mapping):
        raise BrokenAnswer(f"it returned {type(answer).__name__}, not a mapping of names to scores")
    missing = sorted(batch.wanted - set(answer))
    if missing:
        raise BrokenAnswer(f"it returned no {', '.join(missing)}")
    return {n: checked(answer[n], metric.own[n], batch.size) for n in sorted(batch.wanted)}


def _failed(metric: LoadedMetric, batch: Batch, error: BaseException) -> Mapping[str, Scores]:
    what = str(error) if isinstance(error, BrokenAnswer) else f"{type(error).__name__}: {error}"
    reason = clean_text(f"{metric.spec.label}: {what}")[:500]
    status = "timeout" if isinstance(error, TimeoutError) else "error"
    values = np.full(batch.size, np.nan)
    codes = np.full(batch.size, CODE[status], np.uint8)
    reasons = dict.fromkeys(range(batch.size), reason)
    return {n: Scores(metric.own[n], "", values, codes, reasons) for n in batch.wanted}


def joined(parts: Sequence[dict[str, Scores]]) -> dict[str, Scores]:
    """The columns of consecutive batches as one. Takes the parts apart, so that no column stands in memory twice."""
    names = list(parts[0]) if parts else []
    return {n: concatenated([p.pop(n) for p in parts]) for n in names}


def score_tables(
    metrics: Sequence[LoadedMetric], groups: Groups, *, chunk: int = CHUNK
) -> Iterator[tuple[list[int], dict[str, Scores]]]:
    """(positions, scores) of some whole groups of one task and model at a time, for all of them."""
    whole = whole_of(groups.generations)
    for positions, generations in groups.by_table():
        start = 0
        for some in chunks(generations, chunk):
            size = sum(len(g.completions) for g in some)
            yield positions[start : start + size], score_batch(metrics, some, whole)
            start += size


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

    if isinstance(metrics, str) or not all(isinstance(m, str | Mapping) for m in metrics):
        raise UsageError(
            f'metrics are a list of names or {{name: options}}, as ["bleu", {{"rouge": {{}}}}], not {metrics!r}'
        )
    registry = registry or Registry.load()
    loaded = load_metrics(metric_specs(metrics, registry), registry)
    try:
        return _scored(loaded, regroup(generations), chunk)
    finally:
        for metric in loaded:
            metric.close()


def _scored(metrics: Sequence[LoadedMetric], groups: Groups, chunk: int) -> dict[str, Scores]:
    parts = list(score_tables(metrics, groups, chunk=chunk))
    order = np.array([p for positions, _ in parts for p in positions], np.intp)
    columns = joined([scores for _, scores in parts]) if parts else score_batch(metrics, [])
    columns = {n: reordered(s, np.argsort(order, kind="stable")) for n, s in columns.items()}
    for metric in metrics:
        for own_name, name in ((n, metric.name(n)) for n in metric.own):
            if name in columns:
                columns[name] = replace(columns[name], corpus=corpus_value(metric, own_name, columns[name]))
        columns |= corpus_scope(metric, [g for _, g in groups.by_table()], whole_of(groups.generations))
    references = frozenset(len(g.sample.references) for g in groups.generations)
    return {n: finished(columns[n], references) for m in metrics for n in m.infos}
