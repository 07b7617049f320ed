"""From a run's generations to its scores, exports, reports, and the manifest that says it is complete."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import manifest as manifests
from harness.assess import Table, TableKey, assess, infos_of
from harness.errors import HarnessError
from harness.export import write_corpus, write_segments, write_statistics
from harness.files import locked
from harness.folders import note_local
from harness.journal import NAME as JOURNAL
from harness.journal import Journal
from harness.rewards import composite_from, renormalised
from harness.scoring import load_scorers
from harness.store import MANIFEST, SCORES, Rendered, Run, is_report_name, read_json, score_record, write_json
from harness.types import Json, Spec

if TYPE_CHECKING:
    from harness.registry import Registry
    from harness.suite import Suite

FAULTS = ("error", "timeout", "invalid")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run, what its reports gave to show, and what is missing from it (empty where nothing is)."""

    run: Run
    rendered: tuple[Rendered, ...] = ()
    missing: tuple[str, ...] = ()


def score_and_report(folder: Path, suite: Suite, registry: Registry, local: dict[str, Json]) -> Outcome:
    start = time.monotonic()
    run = Run(folder)
    journal = Journal.open(folder)
    specs = suite.metric_specs(registry)
    scorers = load_scorers(specs, registry)
    composite = None
    try:
        if suite.reward_spec is not None:
            composite = composite_from(suite.reward_spec, infos_of(scorers, None))
        infos = infos_of(scorers, composite)
        there = {key[:2] for key in journal.index}  # of recorded tasks, not every model need have done each
        tables = [_table(run, journal, key, scorers, composite, suite) for key in run.tables() if key in there]
    finally:
        for scorer in scorers:
            scorer.close()
    old = _report_files(folder)
    started = {**manifests.started(suite.name, suite, registry, run.samples, journal.identity), "reports": old}
    write_json(folder / MANIFEST, started)  # until it is complete, old files and new ones may lie side by side
    _export(run, tables, infos)
    counts = manifests.status_counts(infos, tables)
    blank = sum(c.text is None for g in run.generations() for c in g.completions)
    finished = {
        **started,
        "state": "scored",
        "reward": manifests.composite_record(composite),
        "counts": {
            "samples": sum(map(len, run.samples.values())),
            "generations": len(journal.index),
            "completions": sum(t.size for t in tables),
            "without_text": blank,
        },
        "statuses": counts,
        "corpus_faults": (faults := manifests.corpus_faults(tables)),
        "renormalised": sum(renormalised(t.scores["reward"]) for t in tables) if composite else 0,
    }
    write_json(folder / MANIFEST, finished)
    rendered = render(Run(folder), suite.reports, registry)
    new = sorted({path.name for r in rendered for path in r.files})
    for name in set(old) - set(new):  # what no report renders any more would show numbers of the past
        (folder / name).unlink(missing_ok=True)
    write_json(folder / MANIFEST, {**finished, "state": "complete", "reports": new})
    note_local(folder, suite, {**local, "score_seconds": round(time.monotonic() - start, 3)})
    return Outcome(Run(folder), rendered, (*_ungenerated(run, journal), *_missing(blank, counts, faults)))


def _report_files(folder: Path) -> list[str]:
    """What the reports of the last scoring wrote, as the manifest says."""
    listed = read_json(folder / MANIFEST, "run").get("reports") or []
    return [name for name in listed if isinstance(name, str) and is_report_name(name)]


def render_again(run: Run, reports: Iterable[Spec], registry: Registry) -> tuple[Rendered, ...]:
    """Reports of a finished run, noted in its manifest beside those it has."""
    with locked(run.folder):
        rendered = render(run, reports, registry)
        written = {path.name for r in rendered for path in r.files}
        names = sorted(written | set(_report_files(run.folder)))
        write_json(run.folder / MANIFEST, {**run.manifest, "reports": names})
    return rendered


def _table(run: Run, journal: Journal, key: TableKey, scorers: Any, composite: Any, suite: Suite) -> Table:
    return assess(key, partial(run.table, journal, *key), scorers, composite, seed=suite.generate.seed)


def _export(run: Run, tables: Sequence[Table], infos: Mapping[str, Any]) -> None:
    write_segments(run.folder, infos, tables, run.generations())
    write_statistics(run.folder, tables)
    write_corpus(run.folder, (row for t in tables for row in t.corpus))
    records: list[Json] = [score_record(i) for i in infos.values()]
    signatures = manifests.signatures(tables)
    write_json(
        run.folder / SCORES,
        {"schema_version": 1, "kind": "scores", "scores": records, "signatures": signatures},
    )


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


def _ungenerated(run: Run, journal: Journal) -> Iterator[str]:
    """What an interrupted run still lacks when it is scored as it is."""
    if journal.torn:
        yield f"the end of {JOURNAL} is an interrupted write, which was left out"
    asked = sum(map(len, run.samples.values())) * len(run.models)
    if (
        "settings" in journal.identity and len(journal.index) < asked
    ):  # records need not hold every sample by each model
        yield f"{asked - len(journal.index)} of {asked} generations were never made"


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
        yield f"corpus {fault['score']} of {fault['model']}: {fault['reason']}"
