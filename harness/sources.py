"""From what a suite names to what the registry makes: task sources and models, with their paths resolved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.datafiles import resolve_path
from harness.errors import DataError, HarnessError
from harness.tasks import load_samples
from harness.types import Sample, Spec

if TYPE_CHECKING:
    from harness.registry import Registry
    from harness.suite import TaskSpec

FILE = "file"  # the source that plain paths belong to


def source_spec(source: str, registry: Registry) -> Spec:
    """`NAME` or `NAME:REST` of a registered source; anything else is a path."""
    name, _, rest = source.partition(":")
    return Spec("task", name, rest) if name in registry.names("task") else Spec("task", FILE, source)


def read_task(
    task: TaskSpec, registry: Registry, suite_folder: Path | None, data_dir: Path | None
) -> tuple[Sample, ...]:
    """The samples of a task. Raises DataError for a missing file, a bad row, an empty task."""
    spec = source_spec(task.source, registry)
    if spec.name == FILE:
        try:
            path = resolve_path(spec.rest, suite_folder=suite_folder, data_dir=data_dir)
        except DataError as error:
            raise DataError(f"task {task.name!r}: source: {error}") from None
        spec = replace(spec, rest=str(path))
    rows = registry.task(replace(spec, options=task.options))
    try:
        return load_samples(task, rows())
    except (HarnessError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a source is a plugin: it may raise anything
        raise DataError(f"task {task.name!r}: its source failed: {type(error).__name__}: {error}") from error


def read_tasks(
    tasks: Iterable[TaskSpec], registry: Registry, suite_folder: Path | None, data_dir: Path | None
) -> dict[str, tuple[Sample, ...]]:
    """The samples of every task by its name. Raises one DataError with what is wrong with each."""
    found: dict[str, tuple[Sample, ...]] = {}
    wrong: list[str] = []
    for task in tasks:
        try:
            found[task.name] = read_task(task, registry, suite_folder, data_dir)
        except DataError as error:
            wrong.append(str(error))
    if wrong:
        raise DataError("\n".join(wrong))
    return found


def model_spec(spec: Spec, suite_folder: Path | None) -> Spec:
    """A model's spec, with a path beside the suite made absolute: `replay:recorded.jsonl`, `hf:./checkpoint`."""
    if not spec.rest or suite_folder is None:
        return spec
    beside = suite_folder / spec.rest
    try:
        return replace(spec, rest=str(beside.absolute())) if beside.exists() else spec
    except OSError:  # a name too long, a folder that may not be entered: no path of ours
        return spec
