"""From a run's generations to its scores, exports, reports, and the manifest that says it is complete."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import manifest as manifests
from harness.analyses import analysed, clear_tables, missing_tables, write_tables
from harness.assess import Table, TableKey, assess, infos_of
from harness.errors import HarnessError
from harness.export import write_corpus, write_rows
from harness.files import locked
from harness.folders import begin, note_local, report_files
from harness.journal import NAME as JOURNAL
from harness.journal import Journal
from harness.keys import SCHEMA_VERSION
from harness.loaded import LoadedMetric, load_metrics
from harness.recording import unrecorded
from harness.rewards import composite_from
from harness.selection import choose, utility_of
from harness.store import MANIFEST, SCORES, Rendered, Run, score_record, write_json
from harness.types import Json, ScoreInfo, Spec, Whole

if TYPE_CHECKING:
    from harness.registry import Registry
    from harness.rewards import Composite
    from harness.suite import Suite

FAULTS = ("error", "timeout", "invalid")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run, what its reports gave to show, and what is missing from it (empty where nothing is)."""

    run: Run
    rendered: tuple[Rendered, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Scored:
    """What metrics and reward made of a run. `made_by` gives a score's metric, and the metric's own name for it."""

    infos: Mapping[str, ScoreInfo]
    made_by: Mapping[str, tuple[Spec, str]]
    composite: Composite | None
    tables: tuple[Table, ...]


def score_and_report(
    folder: Path, suite: Suite, registry: Registry, local: dict[str, Json], journal: Journal | None = None
) -> Outcome:
    """Scores, exports and reports of all that the journal (given where it is open already) holds."""
    start = time.monotonic()
    run = Run(folder, journal)
    with _metrics(suite, registry) as metrics, utility_of(suite, registry, metrics) as utility:
        scored = _scored(run, suite, metrics)
        started = begin(folder, suite, registry, run.samples, run.journal.identity)
        clear_tables(folder)  # what is analysed now is no table of the past
        blank = _export(run, scored)
        analyses, no_analyses = analysed(Run(folder, run.journal), metrics)
        chosen = choose(suite, utility, run, scored.tables, metrics, analyses)
    write_tables(folder, {**analyses, **chosen.tables})
    lacking = [*unrecorded(run.journal), *_ungenerated(run)]
    counts, faults = manifests.status_counts(scored.infos, scored.tables), manifests.corpus_faults(scored.tables)
    missing = (*_torn(run.journal), *lacking, *_missing(blank, counts, faults), *missing_tables(no_analyses))
    missing += tuple(chosen.missing)
    finished = {
        **started,
        "state": "partial" if lacking else "scored",
        "missing": list(missing),
        "reward": manifests.composite_record(scored.composite),
        "counts": {
            "samples": sum(map(len, run.samples.values())),
            "generations": len(run.journal.index),
            "completions": sum(t.size for t in scored.tables),
            "without_text": blank,
        },
        "statuses": counts,
        "corpus_faults": faults,
        "analysis_faults": no_analyses,
        "renormalised": sum(t.renormalised for t in scored.tables),
        "guarded": dict(sum((Counter(t.guarded) for t in scored.tables), Counter[str]())),
        **({"choice": chosen.record} if chosen.record else {}),
    }
    write_json(folder / MANIFEST, finished)
    rendered = render(Run(folder, run.journal), suite.reports, registry)
    new = sorted({path.name for r in rendered for path in r.files})
    for name in set(started["reports"]) - set(new):  # what no report renders any more would show numbers of the past
        (folder / name).unlink(missing_ok=True)
    write_json(folder / MANIFEST, {**finished, "state": "partial" if lacking else "complete", "reports": new})
    note_local(folder, suite, {**local, "score_seconds": round(time.monotonic() - start, 3)})
    return Outcome(Run(folder, run.journal), rendered, missing)


@contextmanager
def _metrics(suite: Suite, registry: Registry) -> Iterator[tuple[LoadedMetric, ...]]:
    metrics = load_metrics(suite.metric_specs(registry), registry)
    try:
        yield metrics
    finally:
        for metric in metrics:
            metric.close()


def _scored(run: Run, suite: Suite, metrics: tuple[LoadedMetric, ...]) -> _Scored:
    composite = None
    if suite.reward_spec is not None:
        composite = composite_from(suite.reward_spec, infos_of(metrics, None))
    whole = {task: Whole.of(samples) for task, samples in run.samples.items()}
    there = {key[:2] for key in run.journal.index}  # of recorded tasks, not every model need have done each
    tables = tuple(
        assess(key, partial(run.generations, [key]), metrics, composite, whole[key[0]], seed=suite.generate.seed)
        for key in _tables(run, suite)
        if key in there
    )
    made_by = {m.name(own): (m.spec, own) for m in metrics for own in m.own}
    return _Scored(infos_of(metrics, composite), made_by, composite, tables)


def _tables(run: Run, suite: Suite) -> list[TableKey]:
    """Of all tasks and models, in the order of the suite as it is now."""
    models: Any = run.journal.identity["models"]
    return [(task, str(m["name"])) for task in run.samples for m in manifests.in_order(suite, models)]


def render_again(run: Run, reports: Iterable[Spec], registry: Registry) -> tuple[Rendered, ...]:
    """Reports of a finished run, noted in its manifest beside those it has."""
    with locked(run.folder):
        rendered = render(run, reports, registry)
        written = {path.name for r in rendered for path in r.files}
        names = sorted(written | set(report_files(run.folder)))
        write_json(run.folder / MANIFEST, {**run.manifest, "reports": names})
    return rendered


def _export(run: Run, scored: _Scored) -> int:
    """All files of numbers. Returns how many completions have no text."""
    keys = [(t.task, t.model) for t in scored.tables]
    blank = write_rows(run.folder, scored.infos, scored.tables, run.generations(keys))
    write_corpus(run.folder, (row for t in scored.tables for row in t.corpus))
    records: list[Json] = [score_record(i, *scored.made_by.get(n, (None, None))) for n, i in scored.infos.items()]
    signatures = manifests.signatures(scored.tables)
    write_json(
        run.folder / SCORES,
        {"schema_version": SCHEMA_VERSION, "kind": "scores", "scores": records, "signatures": signatures},
    )
    return blank


def render(run: Run, reports: Iterable[Spec], registry: Registry) -> tuple[Rendered, ...]:
    """What each report makes of a finished run."""
    return tuple(_rendered(run, spec, registry) for spec in reports)


def _rendered(run: Run, spec: Spec, registry: Registry) -> Rendered:
    report = registry.report(spec)
    try:
        return report(run)
    except (HarnessError, OSError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a report is a plugin: it may raise anything
        raise registry.fault(spec, "failed", error) from error


def _torn(journal: Journal) -> Iterator[str]:
    if journal.torn:
        yield f"the end of {JOURNAL} is an interrupted write, which was left out"


def _ungenerated(run: Run) -> Iterator[str]:
    """What an interrupted run still lacks when it is scored as it is. Records need not hold every sample by each model."""
    identity: Any = run.journal.identity
    if "settings" not in identity:
        return
    recorded = identity.get("recorded", {})
    tasks = [task for task in run.samples if task not in recorded]
    asked = sum(len(run.samples[task]) for task in tasks) * sum("generation_key" in m for m in identity["models"])
    made = sum(key[0] not in recorded for key in run.journal.index)
    if made < asked:
        yield f"{asked - made} of {asked} generations were never made"


def _missing(
    blank: int, counts: Mapping[str, Mapping[str, int]], corpus_faults: Iterable[Mapping[str, Json]]
) -> Iterator[str]:
    """What a run promised and did not give. An abstention is an answer; a failure is not."""
    if blank:
        yield f"{blank} completions have no text"
    for name, found in counts.items():
        faults = [f"{found[s]} {s}" for s in FAULTS if found[s]]
        if faults and not name.startswith("reward"):
            yield f"{name}: {', '.join(faults)}"
    for fault in corpus_faults:
        yield f"corpus {fault['score']} of {fault['task']} by {fault['model']}: {fault['reason']}"
