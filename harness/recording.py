"""A run folder from generations that were made elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DataError
from harness.files import locked, sweep
from harness.folders import make_folder, open_journal
from harness.grouping import check_same_sample, chunks
from harness.journal import Journal, Recorded
from harness.keys import sample_key, samples_key
from harness.types import Generation, Json, Sample

if TYPE_CHECKING:
    from harness.registry import Registry
    from harness.suite import Suite


def record_run(
    folder: Path,
    read: Callable[[], Iterator[Generation]],
    suite: Suite,
    registry: Registry,
    source: Mapping[str, Json],
) -> None:
    """A run folder ready for scoring. `read` is called twice: to check everything, then to write it.

    Generations of equal task, sample id and model must come as one. Raises DataError, with nothing written, where
    they do not, or where one sample differs from record to record; RunError where the folder holds others.
    """
    tasks, models, records = _survey(read())
    keys: dict[str, Json] = {task: samples_key(samples) for task, samples in tasks.items()}
    labels: list[Json] = [{"name": name} for name in models]
    identity: dict[str, Json] = {"samples": keys, "models": labels, "records": records, "source": dict(source)}
    make_folder(folder)
    with locked(folder):
        sweep(folder)
        journal = open_journal(folder, suite, registry, tasks, identity)
        journal.repair()
        record(journal, read())


def record(journal: Journal, generations: Iterable[Generation]) -> None:
    """Into the journal, what is not there yet: a process may have been killed at it."""
    for some in chunks(generations):
        records = [Recorded(sample_key(g.sample), g) for g in some]
        if missing := [r for r in records if r.key not in journal.index]:
            journal.append(missing)


def unrecorded(journal: Journal) -> Iterator[str]:
    """What of the records a process that was killed had not written yet. Only their source has it."""
    identity: Any = journal.identity
    there = Counter(key[0] for key in journal.index)
    for task, count in identity.get("records", {}).items():
        if there[task] < count:
            yield f"{count - there[task]} of {count} records of the task {task!r} were never written"


def _survey(
    generations: Iterator[Generation],
) -> tuple[dict[str, tuple[Sample, ...]], list[str], dict[str, Json]]:
    """The samples by task and the models, both in order of first sight, and the number of records by task."""
    samples: dict[str, dict[str, Sample]] = {}
    models: dict[str, None] = {}
    seen: set[tuple[str, str, str]] = set()
    for generation in generations:
        sample = generation.sample
        known = samples.setdefault(sample.task, {}).setdefault(sample.id, sample)
        check_same_sample(known, sample)
        if generation.key in seen:
            raise DataError(f"sample {sample.id!r} of task {sample.task!r} comes twice for model {generation.model!r}")
        seen.add(generation.key)
        models[generation.model] = None
    counts = Counter(task for task, _, _ in seen)
    tasks = {task: tuple(found.values()) for task, found in samples.items()}
    return tasks, list(models), {task: counts[task] for task in tasks}
