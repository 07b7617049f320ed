"""The run folder, and a handle on it.

    run.json             manifest: suite, identities, plugins, models, settings, versions, counts
    samples.jsonl        what was asked
    journal.jsonl        what the models said (see `journal`)
    scores.json          every score: range, direction, scope, corpus rule, signatures
    segments.csv         one row per completion; segments.parquet holds the same and the reasons
    corpus.csv           one row per task, model and score, with its interval
    statistics.parquet   sufficient statistics, where a metric keeps them
    local.json           timings and places on this machine: the only file that differs between equal runs

The folder is readable by its owner only. Every JSON file holds `schema_version`.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.assess import CorpusRow, TableKey
from harness.csvsafe import plain_cell
from harness.errors import DataError, RunError
from harness.export import CORPUS, CORPUS_COLUMNS, SEGMENTS_CSV, SEGMENTS_PARQUET, STATISTICS, segment_names
from harness.files import replacing, write_atomically
from harness.journal import NAME as JOURNAL
from harness.journal import Journal
from harness.keys import sample_key
from harness.records import generation_of, record_of
from harness.strictjson import json_lines, loads
from harness.types import Generation, Json, Sample, ScoreInfo, Status

if TYPE_CHECKING:
    import pandas as pd

    from harness.types import Scope

SCHEMA_VERSION = 1
MANIFEST, SAMPLES, SCORES, LOCAL = "run.json", "samples.jsonl", "scores.json", "local.json"
_OWN = frozenset((MANIFEST, SAMPLES, SCORES, LOCAL, JOURNAL, SEGMENTS_CSV, SEGMENTS_PARQUET, CORPUS, STATISTICS))


_LONGEST = 200  # bytes of a file's name: systems take 255, and the temporary name is longer than the real one


@dataclass(frozen=True, slots=True)
class Cell:
    """One score of one completion."""

    value: float | None
    status: Status
    reason: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """A generation with its scores: one mapping per completion from score name (also `reward`, `reward.TERM`) to cell."""

    generation: Generation
    cells: tuple[Mapping[str, Cell], ...]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a report made: files in the run folder, or something that rich can print."""

    files: tuple[Path, ...] = ()
    show: object = None


def write_json(path: Path, value: Mapping[str, Json]) -> Path:
    text = json.dumps(value, indent=2, sort_keys=False, ensure_ascii=False, allow_nan=False, default=dict)
    return write_atomically(path, text.encode() + b"\n")


def read_json(path: Path, kind: str) -> dict[str, Any]:
    """A JSON file of a run folder. Raises RunError where it is not what `kind` says, or of another format."""
    try:
        value = loads(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise RunError(f"{path.parent} holds no finished run: there is no {path.name} in it") from None
    except (OSError, DataError) as error:
        raise RunError(f"{path} cannot be read: {error}") from None
    return _of_kind(value, path, kind)


def _of_kind(value: Json, path: Path, kind: str) -> dict[str, Any]:
    if not isinstance(value, dict) or value.get("kind") != kind:
        raise RunError(f"{path} is not the {path.name} of a run")
    if value.get("schema_version") != SCHEMA_VERSION:
        raise RunError(f"{path}: written in format {value.get('schema_version')}; this version reads {SCHEMA_VERSION}")
    return value


def write_samples(folder: Path, samples: Iterable[Sample]) -> None:
    with replacing(folder / SAMPLES) as file:
        file.write(json.dumps({"schema_version": SCHEMA_VERSION, "kind": "samples"}).encode() + b"\n")
        for sample in samples:
            record = record_of(Generation(sample, "", ()))
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False, default=dict).encode() + b"\n")


def read_samples(folder: Path) -> dict[str, tuple[Sample, ...]]:
    """The samples of a run by task, in order."""
    path = folder / SAMPLES
    if not path.is_file():
        raise RunError(f"{folder} holds no run: there is no {SAMPLES} in it")
    tasks: dict[str, list[Sample]] = {}
    lines = json_lines(path)
    _of_kind(next(lines, (1, None))[1], path, "samples")
    for number, value in lines:
        if not isinstance(value, dict):
            raise RunError(f"{path}, line {number}: this is no sample; the file is damaged")
        sample = generation_of({**value, "completions": [""]}, f"{path}, line {number}").sample
        tasks.setdefault(sample.task, []).append(sample)
    return {task: tuple(found) for task, found in tasks.items()}


def is_run(folder: Path) -> bool:
    """Whether a run lies here, begun or finished: its manifest is the first file written. What else is here is no sign."""
    path = folder / MANIFEST
    try:
        value = loads(path.read_bytes(), str(path)) if path.is_file() else None
    except DataError:
        return False
    return isinstance(value, Mapping) and value.get("kind") == "run"


class Run:
    """A handle on a run folder. Reads from disk what is asked for; holds no generations."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        return read_json(self.folder / MANIFEST, "run")

    @cached_property
    def samples(self) -> Mapping[str, tuple[Sample, ...]]:
        return read_samples(self.folder)

    @cached_property
    def infos(self) -> Mapping[str, ScoreInfo]:
        """Every score of the run by its name, in the order of the columns, corpus scope included."""
        found = read_json(self.folder / SCORES, "scores")["scores"]
        return {record["name"]: _info(record) for record in found}

    @cached_property
    def corpus(self) -> tuple[CorpusRow, ...]:
        with (self.folder / CORPUS).open(encoding="utf-8", newline="") as file:
            return tuple(map(_corpus_row, csv.DictReader(file)))

    @property
    def models(self) -> list[str]:
        return [str(m["name"]) for m in self.manifest["models"]]

    def tables(self) -> list[TableKey]:
        return [(task, model) for task in self.samples for model in self.models]

    def generations(self, tables: Iterable[TableKey] | None = None) -> Iterator[Generation]:
        """From disk, in the order task, model, sample. Samples that a model was not asked are left out."""
        journal = Journal.open(self.folder)
        for task, model in self.tables() if tables is None else tables:
            yield from self.table(journal, task, model)

    def table(self, journal: Journal, task: str, model: str) -> Iterator[Generation]:
        keyed = [(s, (task, model, sample_key(s))) for s in self.samples[task]]
        there = [(s, k) for s, k in keyed if k in journal.index]
        for (sample, _), record in zip(there, journal.read(k for _, k in there), strict=True):
            yield replace(record.generation, sample=sample)

    def groups(self) -> Iterator[Group]:
        """Generations with their scores, in the same order, from disk. Raises RunError where the two do not fit."""
        rows = self._rows()
        for generation in self.generations():
            keys = [(*generation.key, index) for index in range(len(generation.completions))]
            yield Group(generation, tuple(_cells(self._row(rows, key), self._names) for key in keys))

    def _row(self, rows: Iterator[dict[str, Any]], key: tuple[str, str, str, int]) -> dict[str, Any]:
        row = next(rows, {})
        if tuple(row.get(c) for c in ("task", "sample", "model", "completion_index")) != key:
            raise RunError(
                f"{self.folder}: {SEGMENTS_PARQUET} does not hold what the journal holds: score the run anew"
            )
        return row

    @cached_property
    def _names(self) -> list[str]:
        return segment_names(self.infos)

    def _rows(self) -> Iterator[dict[str, Any]]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.folder / SEGMENTS_PARQUET) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()

    def segments(self) -> pd.DataFrame:
        """One row per completion, as in `segments.parquet`."""
        import pandas as pd

        return pd.read_parquet(self.folder / SEGMENTS_PARQUET)

    def write(self, name: str, data: bytes) -> Path:
        """A file of the run folder, whole or not at all. Raises RunError for a name that leads elsewhere."""
        if name in _OWN:
            raise RunError(f"a report may not write {name!r}, which belongs to the run itself")
        if not is_report_name(name):
            raise RunError(f"a report may write only into the run folder itself, not to {name[:100]!r}")
        return write_atomically(self.folder / name, data)


def is_report_name(name: str) -> bool:
    """Whether it names a file right in the folder that is not hidden, on any system, nor the run's own."""
    plain = name.isprintable() and not name.startswith(".") and not set(name) & set("/\\:") and name.strip() != ""
    return plain and len(name.encode()) <= _LONGEST and name not in _OWN


def open_run(folder: str | os.PathLike[str]) -> Run:
    """A finished run. Raises RunError where there is none."""
    run = Run(Path(folder))
    if not run.folder.is_dir():
        raise RunError(f"there is no run folder {folder}")
    if run.manifest.get("state") == "started":
        raise RunError(f"{folder}: this run is not finished; the command that began it continues it")
    _ = run.infos
    return run


def _cells(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Cell]:
    return {n: Cell(row[n], row[f"{n}.status"], row[f"{n}.reason"]) for n in names}


def _corpus_row(row: Mapping[str, str]) -> CorpusRow:
    task, model, score, value, low, high, n, signature = (row[c] for c in CORPUS_COLUMNS)
    numbers = _number(value), _number(low), _number(high)
    names = plain_cell(task), plain_cell(model), plain_cell(score)
    return CorpusRow(*names, *numbers, int(n), plain_cell(signature))


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def score_record(info: ScoreInfo) -> dict[str, Json]:
    """A score's declaration as JSON; infinite bounds are null."""
    record = asdict(info)
    record["low"], record["high"] = (b if math.isfinite(b) else None for b in (info.low, info.high))
    return {**record, "needs": sorted(info.needs)}


def _info(record: Mapping[str, Any]) -> ScoreInfo:
    scope: Scope = record["scope"]
    return ScoreInfo(
        name=record["name"],
        low=-math.inf if record["low"] is None else record["low"],
        high=math.inf if record["high"] is None else record["high"],
        higher_is_better=record["higher_is_better"],
        scope=scope,
        corpus=record["corpus"],
        needs=frozenset(record["needs"]),
        tolerance=record["tolerance"],
    )
