"""The order of a run; only this module knows it.

    samples -> generations in the journal -> scores and rewards -> exports -> reports -> the manifest says "complete"

Every step can be left and taken up again: `continue_run` and a second `run_suite` into the same folder do what is
missing. Generations are tied to what made them (identity); scores are made anew each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import manifest as manifests
from harness.assess import Table, TableKey, assess, infos_of
from harness.datafiles import data_folder
from harness.errors import HarnessError, RunError, UsageError
from harness.export import write_corpus, write_segments, write_statistics
from harness.files import locked, sweep
from harness.generate import Progress, generate
from harness.grouping import regroup
from harness.journal import NAME as JOURNAL
from harness.journal import Journal, Recorded
from harness.keys import digest, generation_key, sample_key, samples_key, settings_json
from harness.rewards import composite_from, renormalised
from harness.scoring import chunks, load_scorers
from harness.sources import model_spec, read_task
from harness.store import LOCAL, MANIFEST, SCORES, Rendered, Run, read_json, score_record, write_json, write_samples
from harness.types import Generation, Json, Sample, Spec

if TYPE_CHECKING:
    from harness.interfaces import Model
    from harness.registry import Registry
    from harness.suite import Suite

FAULTS = ("error", "timeout", "invalid")
Samples = Mapping[str, tuple[Sample, ...]]


@dataclass(slots=True)
class Hooks:
    """What whoever starts a run may listen to."""

    generating: Callable[[str, str, int, int], Progress | None] = lambda task, model, total, done: None
    note: Callable[[str], None] = lambda text: None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run, what its reports gave to show, and what is missing from it (empty where nothing is)."""

    run: Run
    rendered: tuple[Rendered, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Setup:
    """A suite with everything it names, looked up and read, before any folder is touched."""

    suite: Suite
    registry: Registry
    samples: Samples
    models: Mapping[str, Model]
    identity: Mapping[str, Json] = field(default_factory=dict)


def prepare(suite: Suite, registry: Registry, *, data: Path | None = None, samples: Samples | None = None) -> Setup:
    """Reads the tasks (unless given) and makes the models. Raises before anything is written."""
    if not suite.models or not (suite.tasks or samples):
        lacking = "models" if not suite.models else "tasks"
        raise UsageError(f"suite {suite.name!r} names no {lacking}, so there is nothing to generate: add `{lacking}:`")
    if samples is None:
        folder = data_folder(data)
        samples = {t.name: read_task(t, registry, suite.folder, folder) for t in suite.tasks}
    specs = {s.label: model_spec(s, suite.folder) for s in suite.models}
    models = {label: registry.model(spec) for label, spec in specs.items()}
    return Setup(suite, registry, samples, models, _identity(suite, registry, samples, models))


def _identity(suite: Suite, registry: Registry, samples: Samples, models: Mapping[str, Model]) -> dict[str, Json]:
    records: list[Json] = []
    for spec in suite.models:
        plugin = registry.find("model", spec.name).plugin
        fingerprint = _fingerprint(models[spec.label], spec, registry)
        adapter = f"{plugin.distribution} {plugin.version}"
        records.append(
            {
                "name": spec.label,
                "fingerprint": fingerprint,
                "plugin": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "options": dict(spec.options),
                "generation_key": generation_key(fingerprint, suite.generate, adapter),
            }
        )
    tasks: dict[str, Json] = {task: samples_key(found) for task, found in samples.items()}
    return {"samples": tasks, "models": records, "settings": settings_json(suite.generate)}


def _fingerprint(model: Model, spec: Spec, registry: Registry) -> str:
    try:
        return model.fingerprint
    except (HarnessError, KeyboardInterrupt):
        raise
    except BaseException as error:  # an adapter is a plugin: it may raise anything
        raise registry.fault(spec, "cannot say which model it is", error) from error


def default_folder(name: str, identity: Mapping[str, Json]) -> Path:
    """`runs/NAME-XXXXXXXX`: equal generations, equal folder, so that the same command continues or re-scores."""
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip(".") or "run"
    return Path("runs") / f"{safe}-{digest(dict(identity))[:8]}"


def run_suite(
    setup: Setup, folder: Path, *, hooks: Hooks | None = None, retry_failed: bool = False, score: bool = True
) -> Outcome:
    """A whole run into `folder`, or what is missing of it there. With `score` False it ends after generation.

    Raises RunError where the folder holds generations of other samples, models or settings.
    """
    hooks = hooks or Hooks()
    _make_folder(folder)
    with locked(folder):
        sweep(folder)
        journal = _open_journal(setup, folder, retry_failed, hooks)
        journal.repair()
        start = time.monotonic()
        try:
            _generate_all(setup, journal, hooks)
        finally:
            for model in setup.models.values():
                _close(model)
        local: dict[str, Json] = {"generate_seconds": round(time.monotonic() - start, 3)}
        if not score:
            _note_local(folder, setup.suite, local)
            return Outcome(Run(folder), (), tuple(_without_text(Run(folder))))
        return _score_and_report(folder, setup.suite, setup.registry, local)


def _make_folder(folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot make the run folder: {error.strerror}") from None
    strangers = [p.name for p in folder.iterdir() if not p.name.startswith(".")]
    if strangers and MANIFEST not in strangers:
        raise RunError(f"{folder} is not empty and holds no run ({strangers[0]} lies there): give another --out")


def _open_journal(setup: Setup, folder: Path, retry_failed: bool, hooks: Hooks) -> Journal:
    if not (folder / JOURNAL).exists():
        manifest = manifests.started(setup.suite.name, setup.suite, setup.registry, setup.samples, setup.identity)
        write_json(folder / MANIFEST, manifest)
        write_samples(folder, (s for found in setup.samples.values() for s in found))
        return Journal.create(folder, setup.identity)
    journal = Journal.open(folder)
    _check_same(journal.identity, setup.identity, folder)
    if journal.torn:
        hooks.note(f"cut off {journal.torn} bytes of an interrupted write from {JOURNAL}")
    if not retry_failed:
        return journal
    failed = frozenset(r.key for r in journal.read(iter(journal.index)) if r.failed)
    if not failed:
        return journal
    write_json(folder / MANIFEST, {**read_json(folder / MANIFEST, "run"), "state": "started"})  # its scores are of the past
    return journal.without(failed)


def _check_same(old: Mapping[str, Any], new: Mapping[str, Any], folder: Path) -> None:
    if digest(dict(old)) == digest(dict(new)):
        return
    changes = [f"{p}: was {a!r}, is {b!r}" for p, a, b in _differences("", old, new)][:6]
    raise RunError(
        f"{folder} holds completions of another run, which these would not fit:\n  "
        + "\n  ".join(changes)
        + "\n  Give another --out, or --fresh to start this folder anew."
    )


def _differences(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _differences(f"{path}.{key}".lstrip("."), old.get(key), new.get(key))
    elif isinstance(old, Sequence) and isinstance(new, Sequence) and not isinstance(old, str) and len(old) == len(new):
        for index, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{path}[{index}]", a, b)
    elif old != new:
        yield path, old, new


def _generate_all(setup: Setup, journal: Journal, hooks: Hooks) -> None:
    for task, samples in setup.samples.items():
        for label, model in setup.models.items():
            there = sum((task, label, sample_key(s)) in journal.index for s in samples)
            n = setup.suite.generate.n
            progress = hooks.generating(task, label, len(samples) * n, there * n)
            generate(model, label, samples, setup.suite.generate, journal, progress)


def _close(thing: object) -> None:
    close = getattr(thing, "close", None)
    if close is not None:
        close()


def continue_run(
    folder: Path,
    suite: Suite,
    registry: Registry,
    *,
    hooks: Hooks | None = None,
    retry_failed: bool = False,
    score: bool = True,
) -> Outcome:
    """Take up a run from its own folder: its samples are there, so the data it came from need not be."""
    setup = prepare(suite, registry, samples=Run(folder).samples)
    return run_suite(setup, folder, hooks=hooks, retry_failed=retry_failed, score=score)


def score_run(folder: Path, suite: Suite, registry: Registry) -> Outcome:
    """Score a run's generations anew, by the metrics, reward and reports of `suite`. Nothing is generated."""
    with locked(folder):
        sweep(folder)
        return _score_and_report(folder, suite, registry, {})


def record_run(
    folder: Path, generations: Iterable[Generation], suite: Suite, registry: Registry, source: Mapping[str, Json]
) -> None:
    """A run folder from generations that were made elsewhere, ready for `score_run`."""
    groups = regroup(generations).generations
    samples: dict[str, dict[str, Sample]] = {}
    for g in groups:
        known = samples.setdefault(g.sample.task, {}).setdefault(g.sample.id, g.sample)
        if sample_key(known) != sample_key(g.sample):
            raise RunError(
                f"sample {g.sample.id!r} has different prompts or references for different models: "
                "give what is not the same different ids"
            )
    tasks = {task: tuple(found.values()) for task, found in samples.items()}
    names = list(dict.fromkeys(g.model for g in groups))
    keys: dict[str, Json] = {t: samples_key(s) for t, s in tasks.items()}
    identity: dict[str, Json] = {"samples": keys, "models": [{"name": n} for n in names], "source": dict(source)}
    _make_folder(folder)
    with locked(folder):
        sweep(folder)
        if (folder / JOURNAL).exists():
            journal = Journal.open(folder)
            _check_same(journal.identity, identity, folder)
            journal.repair()
        else:
            write_json(folder / MANIFEST, manifests.started(suite.name, suite, registry, tasks, identity))
            write_samples(folder, (s for found in tasks.values() for s in found))
            journal = Journal.create(folder, identity)
        for some in chunks(groups):
            records = [Recorded(sample_key(g.sample), g) for g in some]
            if missing := [r for r in records if r.key not in journal.index]:  # by a process that was killed
                journal.append(missing)


def _score_and_report(folder: Path, suite: Suite, registry: Registry, local: dict[str, Json]) -> Outcome:
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
        tables = [_table(run, journal, key, scorers, composite, suite) for key in run.tables()]
    finally:
        for scorer in scorers:
            scorer.close()
    started = manifests.started(suite.name, suite, registry, run.samples, journal.identity)
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
    write_json(folder / MANIFEST, {**finished, "state": "complete"})
    _note_local(folder, suite, {**local, "score_seconds": round(time.monotonic() - start, 3)})
    return Outcome(Run(folder), rendered, (*_ungenerated(run, journal), *_missing(blank, counts, faults)))


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


def _note_local(folder: Path, suite: Suite, values: Mapping[str, Json]) -> None:
    known: dict[str, Any] = {}
    if (folder / LOCAL).exists():
        known = read_json(folder / LOCAL, "local")
    place = str(suite.folder) if suite.folder else None
    record = {**known, "schema_version": 1, "kind": "local", "suite_folder": place, **values}
    write_json(folder / LOCAL, record)


def _ungenerated(run: Run, journal: Journal) -> Iterator[str]:
    """What an interrupted run still lacks when it is scored as it is."""
    if journal.torn:
        yield f"the end of {JOURNAL} is an interrupted write, which was left out"
    asked = sum(map(len, run.samples.values())) * len(run.models)
    if (
        "settings" in journal.identity and len(journal.index) < asked
    ):  # records need not hold every sample by each model
        yield f"{asked - len(journal.index)} of {asked} generations were never made"


def _without_text(run: Run) -> list[str]:
    blank = sum(c.text is None for g in run.generations() for c in g.completions)
    return [f"{blank} completions have no text"] if blank else []


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
