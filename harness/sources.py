"""From what a suite names to what the registry makes: task sources and models, with their paths resolved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.datafiles import resolve_path
from harness.errors import DataError, HarnessError
from harness.grouping import check_same_sample, whole_of
from harness.records import generation_of
from harness.strictjson import shown
from harness.tasks import load_samples
from harness.types import Generation, Json, Sample, Spec

if TYPE_CHECKING:
    from harness.registry import Registry
    from harness.suite import TaskSpec

FILE = "file"  # the source that plain paths belong to
RECORDED = "recorded"  # the model of records that name none


def source_spec(source: str, registry: Registry) -> Spec:
    """`NAME` or `NAME:REST` of a registered source; anything else is a path."""
    name, _, rest = source.partition(":")
    return Spec("task", name, rest) if name in registry.names("task") else Spec("task", FILE, source)


@dataclass(frozen=True, slots=True)
class Data:
    """The samples of every task by its name, and the generations of those whose completions are recorded."""

    samples: Mapping[str, tuple[Sample, ...]]
    recorded: Mapping[str, tuple[Generation, ...]] = field(default_factory=dict)


def read_data(tasks: Iterable[TaskSpec], registry: Registry, suite_folder: Path | None, data_dir: Path | None) -> Data:
    """What the tasks hold. Raises one DataError with what is wrong with each: a missing file, a bad row, no rows."""
    samples: dict[str, tuple[Sample, ...]] = {}
    recorded: dict[str, tuple[Generation, ...]] = {}
    wrong: list[str] = []
    for task in tasks:
        try:
            with _told(task):
                rows = _rows(task, registry, suite_folder, data_dir)
                if task.recorded:
                    recorded[task.name] = tuple(recorded_rows(task, rows))
                    samples[task.name] = whole_of(recorded[task.name]).samples
                else:
                    samples[task.name] = load_samples(task, rows)
        except DataError as error:
            wrong.append(str(error))
    if wrong:
        raise DataError("\n".join(wrong))
    return Data(samples, recorded)


@contextmanager
def _told(task: TaskSpec) -> Iterator[None]:
    try:
        yield
    except (HarnessError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a source is a plugin: it may raise anything
        raise DataError(f"task {task.name!r}: its source failed: {type(error).__name__}: {error}") from error


def _rows(
    task: TaskSpec, registry: Registry, suite_folder: Path | None, data_dir: Path | None
) -> Iterable[Mapping[str, Json]]:
    spec = source_spec(task.source, registry)
    if registry.find("task", spec.name).takes_path:
        try:
            path = resolve_path(spec.rest, suite_folder=suite_folder, data_dir=data_dir)
        except DataError as error:
            raise DataError(f"task {task.name!r}: source: {error}") from None
        spec = replace(spec, rest=str(path))
    return registry.task(replace(spec, options=task.options))()


def recorded_rows(task: TaskSpec, rows: Iterable[Mapping[str, Json]]) -> Iterator[Generation]:
    """The generations of a recorded task, of its first `limit` samples, each under the task's name.

    Raises DataError at a row that is no record, one sample that differs between rows, a (sample, model) that comes
    twice, and where there are no rows.
    """
    where = f"task {task.name!r}"
    known: dict[str, Sample] = {}
    seen: set[tuple[str, str, str]] = set()
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise DataError(f"{where}, row {number}: expected a record, an object with `completions`, not {shown(row)}")
        generation = _placed(task, generation_of(row, f"{where}, row {number}", str(number)))
        if task.limit is not None and generation.sample.id not in known and len(known) == task.limit:
            continue
        check_same_sample(known.setdefault(generation.sample.id, generation.sample), generation.sample)
        if generation.key in seen:
            raise DataError(
                f"{where}, row {number}: sample {generation.sample.id!r} comes twice for model {generation.model!r};"
                " put all completions of one sample and model into one record"
            )
        seen.add(generation.key)
        yield generation
    if not seen:
        raise DataError(f"{where}: its source gave no rows; an empty task cannot be scored")


def _placed(task: TaskSpec, generation: Generation) -> Generation:
    sample = replace(generation.sample, task=task.name, language=generation.sample.language or task.language)
    return replace(generation, sample=sample, model=generation.model or RECORDED)


def model_spec(spec: Spec, suite_folder: Path | None) -> Spec:
    """A model's spec, with a path beside the suite made absolute: `replay:recorded.jsonl`, `hf:./checkpoint`."""
    if not spec.rest or suite_folder is None:
        return spec
    beside = suite_folder / spec.rest
    try:
        return replace(spec, rest=str(beside.absolute())) if beside.exists() else spec
    except OSError:  # a name too long, a folder that may not be entered: no path of ours
        return spec
