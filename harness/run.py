"""The order of a run; only this module knows it.

    samples -> generations in the journal -> scores and rewards -> exports -> reports -> the manifest says "complete"

Every step can be left and taken up again: `continue_run` and a second `run_suite` into the same folder do what is
missing. Generations are tied to what made them (identity); scores are made anew each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import manifest as manifests
from harness.datafiles import data_folder
from harness.errors import HarnessError, RunError, UsageError
from harness.files import locked, sweep
from harness.finish import Outcome, score_and_report
from harness.folders import begin, decisive, make_folder, note_local, open_journal
from harness.generate import Progress, generate
from harness.journal import NAME as JOURNAL
from harness.journal import Journal, Key, Recorded
from harness.keys import digest, generation_key, sample_key, samples_key, settings_json
from harness.recording import record
from harness.registry import release
from harness.sources import Data, model_spec, read_data
from harness.store import MANIFEST, Run, read_json
from harness.types import Generation, Json, Sample, Spec

if TYPE_CHECKING:
    from harness.interfaces import Model
    from harness.registry import Registry
    from harness.suite import Suite

Samples = Mapping[str, tuple[Sample, ...]]
Keys = Mapping[tuple[str, str], list[Key]]
"""By model and task."""


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
    recorded: Mapping[str, tuple[Generation, ...]] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)

    @property
    def to_generate(self) -> Samples:
        """The samples of the tasks whose completions are not recorded."""
        return {task: found for task, found in self.samples.items() if task not in self.identity.get("recorded", ())}


def prepare(suite: Suite, registry: Registry, *, data: Path | None = None, run: Run | None = None) -> Setup:
    """Reads the tasks (but those of a `run` from its folder) and makes the models. Raises before anything is written."""
    asked = not all(t.recorded for t in suite.tasks)
    if not suite.tasks or (asked and not suite.models):
        lacking = "tasks" if suite.models else "models"
        raise UsageError(f"suite {suite.name!r} names no {lacking}, so there is nothing to generate: add `{lacking}:`")
    read = _stored(run) if run else read_data(suite.tasks, registry, suite.folder, data_folder(data))
    specs = {s.label: model_spec(s, suite.folder) for s in suite.models}
    models = {label: registry.model(spec) for label, spec in specs.items()}
    with _released(models) as made:
        identity = _identity(suite, registry, read, models)
        made.clear()  # they go on, with what they may have loaded to know themselves
    return Setup(suite, registry, read.samples, models, read.recorded, identity)


def _stored(run: Run) -> Data:
    """What a run's own folder holds. Raises RunError where its recorded completions were not all written."""
    tasks: Any = run.journal.identity.get("recorded", {})
    recorded = {task: tuple(run.generations(t for t in run.tables() if t[0] == task)) for task in tasks}
    for task, found in recorded.items():
        if _digest(found) != tasks[task]:
            raise RunError(
                f"{run.folder}: it was interrupted while the completions of the task {task!r} were written:"
                " give the command that began it, with its --out, once more"
            )
    return Data(run.samples, recorded)


def _digest(generations: Iterable[Generation]) -> str:
    """Of completions, ratings and preferences, whatever the order of the records."""
    return digest(sorted(Recorded(sample_key(g.sample), g).line().decode() for g in generations))


@contextmanager
def _released(models: Mapping[str, Model]) -> Iterator[dict[str, Model]]:
    """The models, those of which that are still among them in the end are let go of, however it ends."""
    left = dict(models)
    try:
        yield left
    finally:
        for label, model in left.items():
            release(model, label)


def _identity(suite: Suite, registry: Registry, read: Data, models: Mapping[str, Model]) -> dict[str, Json]:
    records: list[dict[str, Json]] = []
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
                "generation_key": generation_key(fingerprint, suite.generate, adapter),
            }
        )
    labels = dict.fromkeys(g.model for found in read.recorded.values() for g in found)
    records += [{"name": label} for label in labels if label not in models]
    tasks: dict[str, Json] = {task: samples_key(found) for task, found in read.samples.items()}
    identity: dict[str, Json] = {"samples": tasks, "models": records, "settings": settings_json(suite.generate)}
    if read.recorded:
        identity["recorded"] = {task: _digest(found) for task, found in read.recorded.items()}
        identity["records"] = {task: len(found) for task, found in read.recorded.items()}
    return identity


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
    return Path("runs") / f"{safe}-{digest(decisive(identity))[:8]}"


def run_suite(
    setup: Setup, folder: Path, *, hooks: Hooks | None = None, retry_failed: bool = False, score: bool = True
) -> Outcome:
    """A whole run into `folder`, or what is missing of it there. With `score` False it ends after generation.

    Raises RunError where the folder holds generations of other samples, models or settings.
    """
    hooks = hooks or Hooks()
    with _released(setup.models) as models:
        make_folder(folder)
        with locked(folder):
            sweep(folder)
            journal = open_journal(folder, setup.suite, setup.registry, setup.samples, setup.identity)
            if journal.torn:
                hooks.note(f"cut off {journal.torn} bytes of an interrupted write from {JOURNAL}")
            journal.repair()
            failed = frozenset(r.key for r in journal.read(journal.index) if r.failed) if retry_failed else frozenset()
            keys = _keys(setup)
            due = bool(failed) or any(key not in journal.index for some in keys.values() for key in some)
            _note_edits(setup, folder, journal, due, score)
            for found in setup.recorded.values():
                record(journal, found)
            start = time.monotonic()
            _generate_all(setup, models, keys, journal, failed, hooks)
            local: dict[str, Json] = {"generate_seconds": round(time.monotonic() - start, 3)}
            if score:
                return score_and_report(folder, setup.suite, setup.registry, local, journal)
            note_local(folder, setup.suite, local)
            run = Run(folder, journal)
            return Outcome(run, (), tuple(_without_text(run)))


def _note_edits(setup: Setup, folder: Path, journal: Journal, due: bool, score: bool) -> None:
    """Have the manifest say the suite of today, and that scores are of the past, where generations are to come.

    Without these, scoring says both once it has found its metrics.
    """
    manifest = read_json(folder / MANIFEST, "run")
    suite = manifests.suite_record(setup.suite)
    edited = not manifest.get("suite") or digest(manifest["suite"]["resolved"]) != digest(suite["resolved"])
    if (due and (edited or manifest.get("state") != "started")) or (edited and not score):
        begin(folder, setup.suite, setup.registry, setup.samples, journal.identity)


def _keys(setup: Setup) -> Keys:
    """What the journal calls each generation."""
    keys = {task: [sample_key(s) for s in samples] for task, samples in setup.to_generate.items()}
    return {(label, task): [(task, label, key) for key in keys[task]] for label in setup.models for task in keys}


def _generate_all(
    setup: Setup, models: dict[str, Model], keys: Keys, journal: Journal, failed: frozenset[Key], hooks: Hooks
) -> None:
    """Model after model, each let go of (taken out of `models`) after its last task: only one need be in memory."""
    n = setup.suite.generate.n
    for label in setup.models:
        for task, samples in setup.to_generate.items():
            there = sum(key in journal.index and key not in failed for key in keys[label, task])
            progress = hooks.generating(task, label, len(samples) * n, there * n)
            generate(models[label], label, samples, setup.suite.generate, journal, progress, failed)
        release(models.pop(label), label)


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
    setup = prepare(suite, registry, run=Run(folder))
    return run_suite(setup, folder, hooks=hooks, retry_failed=retry_failed, score=score)


def score_run(folder: Path, suite: Suite, registry: Registry) -> Outcome:
    """Score a run's generations anew, by the metrics, reward and reports of `suite`. Nothing is generated."""
    with locked(folder):
        sweep(folder)
        return score_and_report(folder, suite, registry, {})


def _without_text(run: Run) -> list[str]:
    blank = sum(c.text is None for g in run.generations() for c in g.completions)
    return [f"{blank} completions have no text"] if blank else []
