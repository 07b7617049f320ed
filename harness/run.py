"""The order of a run; only this module knows it.

    samples -> generations in the journal -> scores and rewards -> exports -> reports -> the manifest says "complete"

Every step can be left and taken up again: `continue_run` and a second `run_suite` into the same folder do what is
missing. Generations are tied to what made them (identity); scores are made anew each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness import manifest as manifests
from harness.datafiles import data_folder
from harness.errors import HarnessError, UsageError
from harness.files import locked, sweep
from harness.finish import Outcome, score_and_report
from harness.folders import check_same, make_folder, note_local
from harness.generate import Progress, generate
from harness.journal import NAME as JOURNAL
from harness.journal import Journal
from harness.keys import digest, generation_key, sample_key, samples_key, settings_json
from harness.registry import release
from harness.sources import model_spec, read_task
from harness.store import MANIFEST, Run, read_json, write_json, write_samples
from harness.types import Json, Sample, Spec

if TYPE_CHECKING:
    from harness.interfaces import Model
    from harness.registry import Registry
    from harness.suite import Suite

Samples = Mapping[str, tuple[Sample, ...]]


@dataclass(slots=True)
class Hooks:
    """What whoever starts a run may listen to."""

    generating: Callable[[str, str, int, int], Progress | None] = lambda task, model, total, done: None
    note: Callable[[str], None] = lambda text: None


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
    make_folder(folder)
    with locked(folder):
        sweep(folder)
        journal = _open_journal(setup, folder, retry_failed, hooks)
        journal.repair()
        start = time.monotonic()
        try:
            _generate_all(setup, journal, hooks)
        finally:
            for label, model in setup.models.items():
                release(model, label)
        local: dict[str, Json] = {"generate_seconds": round(time.monotonic() - start, 3)}
        if not score:
            note_local(folder, setup.suite, local)
            return Outcome(Run(folder), (), tuple(_without_text(Run(folder))))
        return score_and_report(folder, setup.suite, setup.registry, local)


def _open_journal(setup: Setup, folder: Path, retry_failed: bool, hooks: Hooks) -> Journal:
    if not (folder / JOURNAL).exists():
        manifest = manifests.started(setup.suite.name, setup.suite, setup.registry, setup.samples, setup.identity)
        write_json(folder / MANIFEST, manifest)
        note_local(folder, setup.suite, {})  # where its paths start from, should it be continued from the folder
        write_samples(folder, (s for found in setup.samples.values() for s in found))
        return Journal.create(folder, setup.identity)
    journal = Journal.open(folder)
    check_same(journal.identity, setup.identity, folder)
    if journal.torn:
        hooks.note(f"cut off {journal.torn} bytes of an interrupted write from {JOURNAL}")
    if not retry_failed:
        return journal
    failed = frozenset(r.key for r in journal.read(iter(journal.index)) if r.failed)
    if not failed:
        return journal
    write_json(
        folder / MANIFEST, {**read_json(folder / MANIFEST, "run"), "state": "started"}
    )  # its scores are of the past
    return journal.without(failed)


def _generate_all(setup: Setup, journal: Journal, hooks: Hooks) -> None:
    for task, samples in setup.samples.items():
        for label, model in setup.models.items():
            there = sum((task, label, sample_key(s)) in journal.index for s in samples)
            n = setup.suite.generate.n
            progress = hooks.generating(task, label, len(samples) * n, there * n)
            generate(model, label, samples, setup.suite.generate, journal, progress)


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
        return score_and_report(folder, suite, registry, {})


def _without_text(run: Run) -> list[str]:
    blank = sum(c.text is None for g in run.generations() for c in g.completions)
    return [f"{blank} completions have no text"] if blank else []
