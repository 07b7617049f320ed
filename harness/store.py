"""The run folder, and a handle on it.

    run.json             manifest: suite, identities, plugins, models, settings, versions, counts
    samples.jsonl        what was asked
    journal.jsonl        what the models said (see `journal`)
    scores.json          every score: range, direction, scope, corpus rule, signatures
    segments.csv         one row per completion; segments.parquet holds the same and the reasons
    corpus.csv           one row per task, model and score, with its interval
    statistics.parquet   sufficient statistics, where a metric keeps them, one row per completion as well
    tables/NAME.csv      what metrics found out about the whole run (see `analyses`)
    local.json           timings and places on this machine: the only file that differs between equal runs

The folder is readable by its owner only. Every JSON file holds `schema_version`.
"""

from __future__ import annotations

import csv
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analyses import read_tables
from harness.assess import CorpusRow, TableKey
from harness.csvsafe import plain_cell
from harness.errors import DataError, RunError, nearest
from harness.export import (
    CORPUS,
    CORPUS_COLUMNS,
    SEGMENTS_CSV,
    SEGMENTS_PARQUET,
    STATISTICS,
    read_columns,
    segment_names,
)
from harness.files import replacing, write_atomically
from harness.journal import NAME as JOURNAL
from harness.journal import Journal
from harness.keys import SCHEMA_VERSION, sample_key
from harness.records import generation_of, record_of
from harness.strictjson import loads, read_lines
from harness.types import AnalysisTable, Generation, Json, Sample, ScoreInfo, Scores, Spec, Status

if TYPE_CHECKING:
    import pandas as pd

    from harness.types import Scope

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
        for line in _sample_lines(samples):
            file.write(line)


def holds_samples(folder: Path, samples: Iterable[Sample]) -> bool:
    """Whether the folder has these samples, in this order and to the last of what they say."""
    try:
        with (folder / SAMPLES).open("rb") as file:
            return all(old == new for old, new in zip_longest(file, _sample_lines(samples)))
    except FileNotFoundError:
        return False


def _sample_lines(samples: Iterable[Sample]) -> Iterator[bytes]:
    yield json.dumps({"schema_version": SCHEMA_VERSION, "kind": "samples"}).encode() + b"\n"
    for sample in samples:
        record = record_of(Generation(sample, "", ()))
        yield json.dumps(record, ensure_ascii=False, allow_nan=False, default=dict).encode() + b"\n"


def read_samples(folder: Path) -> dict[str, tuple[Sample, ...]]:
    """The samples of a run by task, in order."""
    path = folder / SAMPLES
    if not path.is_file():
        raise RunError(f"{folder} holds no run: there is no {SAMPLES} in it")
    tasks: dict[str, list[Sample]] = {}
    # Many rows, none of them too long, may have made one sample: its line is as long as it had to be.
    lines = ((number, loads(line, f"{path}, line {number}")) for number, line in read_lines(path, sys.maxsize - 1))
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

    def __init__(self, folder: Path, journal: Journal | None = None) -> None:
        """With the folder's journal, where that is open already."""
        self.folder = folder
        if journal is not None:
            self.journal = journal

    @cached_property
    def journal(self) -> Journal:
        return Journal.open(self.folder)

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        return read_json(self.folder / MANIFEST, "run")

    @cached_property
    def samples(self) -> Mapping[str, tuple[Sample, ...]]:
        return read_samples(self.folder)

    @cached_property
    def infos(self) -> Mapping[str, ScoreInfo]:
        """Every score of the run by its name, in the order of the columns, corpus scope included."""
        return {record["name"]: _info(record) for record in self._scores["scores"]}

    @cached_property
    def signatures(self) -> Mapping[tuple[str, str, str], tuple[str, str]]:
        """(task, model, score) -> how its segments and how its corpus value were made."""
        found = self._scores["signatures"]
        return {(s["task"], s["model"], s["score"]): (s["segment"], s["corpus"]) for s in found}

    @cached_property
    def _scores(self) -> Mapping[str, Any]:
        return read_json(self.folder / SCORES, "scores")

    @cached_property
    def corpus(self) -> tuple[CorpusRow, ...]:
        with (self.folder / CORPUS).open(encoding="utf-8", newline="") as file:
            return tuple(map(_corpus_row, csv.DictReader(file)))

    @cached_property
    def analyses(self) -> Mapping[str, AnalysisTable]:
        """What metrics found out about the whole run, by name: `tables/NAME.csv`."""
        return read_tables(self.folder)

    @property
    def models(self) -> list[str]:
        return [str(m["name"]) for m in self.manifest["models"]]

    def tables(self) -> list[TableKey]:
        return [(task, model) for task in self.samples for model in self.models]

    def generations(self, tables: Iterable[TableKey] | None = None) -> Iterator[Generation]:
        """From disk, in the order task, model, sample. Samples that a model was not asked are left out."""
        for task, model in self.tables() if tables is None else tables:
            keyed = [(s, (task, model, sample_key(s))) for s in self.samples[task]]
            there = [(s, k) for s, k in keyed if k in self.journal.index]
            for (sample, _), record in zip(there, self.journal.read(k for _, k in there), strict=True):
                yield replace(record.generation, sample=sample)

    def scores(self, task: str, model: str) -> Mapping[str, Scores]:
        """Every score of one task and one model (also `reward`, `reward.TERM`), as it was computed, from disk.

        Values, statuses, reasons and statistics stand in the order of `generations([(task, model)])`, completion by
        completion. Raises RunError where nothing of this task and model was scored.
        """
        corpus = {row.score: row.value for row in self.corpus if (row.task, row.model) == (task, model)}
        if not corpus:
            near = nearest(f"{task}, {model}", {f"{row.task}, {row.model}" for row in self.corpus})
            raise RunError(f"{self.folder}: holds no scores of the task {task!r} by the model {model!r}{near}")
        columns = read_columns(self.folder, self.infos, task, model)
        return {n: self._signed((task, model, n), replace(s, corpus=corpus[n])) for n, s in columns.items()}

    def _signed(self, key: tuple[str, str, str], scores: Scores) -> Scores:
        segment, corpus = self.signatures[key]
        return replace(scores, signature=segment, corpus_signature=corpus)

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

        path = self.folder / SEGMENTS_PARQUET
        if not path.is_file():
            raise RunError(f"{self.folder}: {path.name} is gone: `harness score {self.folder}` makes it again")
        with pq.ParquetFile(path) as file:
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


def score_record(info: ScoreInfo, spec: Spec | None = None, own_name: str | None = None) -> dict[str, Json]:
    """A score's declaration as JSON; infinite bounds are null.

    The metric that gives it, its options, and what the metric itself calls the score: enough to make the metric again.
    The reward and its terms have none.
    """
    record = asdict(info)
    record["low"], record["high"] = (b if math.isfinite(b) else None for b in (info.low, info.high))
    made_by: dict[str, Json] = {
        "metric": spec.name if spec else None,
        "options": dict(spec.options) if spec else None,
        "own_name": own_name,
    }
    return {**record, "needs": sorted(info.needs), **made_by}


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
