"""Rows from a file, by its suffix: `file:PATH` with .jsonl (.ndjson), .csv, .tsv or .parquet.

Cells of CSV and TSV are text and stay text: `NA` is two letters, `012` keeps its zero. The first line names
the columns.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from harness import DataError, Json, RegisterTask, Task, hookimpl, json_lines, raw_lines, shown, unreadable

if TYPE_CHECKING:
    import pyarrow.parquet

Row: TypeAlias = Mapping[str, "Json"]

_JSONL: Final = (".jsonl", ".ndjson")
_DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
_PARQUET: Final = ".parquet"
_BATCH_ROWS: Final = 1024


@hookimpl
def register_tasks(register: RegisterTask) -> None:
    register("file", file_task, takes_path=True)


def file_task(rest: str, *, quotes: bool = True) -> Task:
    """Rows of a file: .jsonl, .ndjson, .csv, .tsv or .parquet.

    `quotes: false` takes quote characters in CSV and TSV as they stand, as many TSV files mean them.
    """
    suffix = Path(rest).suffix.lower()
    if suffix in _DELIMITERS:
        return partial(_table_rows, rest, _DELIMITERS[suffix], quotes)
    if not quotes:
        raise ValueError(f"quotes: is for .csv and .tsv, not for {rest!r}")
    if suffix in _JSONL:
        return partial(_jsonl_rows, rest)
    if suffix == _PARQUET:
        return partial(_parquet_rows, rest)
    one = " (one JSON object per line, called .jsonl)" if suffix == ".json" else ""
    known = ", ".join([*_JSONL, *_DELIMITERS, _PARQUET])
    raise ValueError(f"{rest!r}: no reader for {suffix or 'a file without suffix'!r}; there is {known}{one}")


def _jsonl_rows(path: str) -> Iterator[Row]:
    for number, row in json_lines(path):
        if not isinstance(row, Mapping):
            raise DataError(f"{path}, line {number}: expected an object of columns, not {shown(row)}")
        yield row


def _table_rows(path: str, delimiter: str, quotes: bool) -> Iterator[Row]:
    rows = _cells(path, delimiter, quotes)
    _, header = next(rows, (0, []))
    _check_header(path, header)
    for line, cells in rows:
        if len(cells) != len(header):
            raise DataError(
                f"{path}, line {line}: {len(cells)} cells, but the header names {len(header)} columns;"
                " a cell that holds the delimiter or a line break stands in double quotes"
            )
        yield dict(zip(header, cells, strict=True))


def _cells(path: str, delimiter: str, quotes: bool) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the line it starts in."""
    lines = _text_lines(path)
    reader = (
        csv.reader(lines, strict=True, delimiter=delimiter)
        if quotes
        else csv.reader(lines, strict=True, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    )
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}, line {line}: {_csv_problem(str(error))}") from None


def _csv_problem(reason: str) -> str:
    if "field larger" in reason:
        limit = f"{csv.field_size_limit():,}"
        return f"a cell is longer than {limit} characters (is a quote left open?); use JSONL for long texts"
    if "unexpected end" in reason:
        return "a quote opened here is never closed"
    return f"this is not CSV: {reason} (inside quotes, a quote is doubled)"


def _text_lines(path: str) -> Iterator[str]:
    for number, line in raw_lines(path):
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            byte = line[error.start]
            raise DataError(
                f"{path}, line {number}: byte {error.start + 1} (0x{byte:02x}) is not UTF-8; save the file as UTF-8"
            ) from None


def _check_header(path: str, header: list[str]) -> None:
    if not header:
        raise DataError(f"{path}: empty; the first line must name the columns")
    for index, name in enumerate(header):
        if not name.strip():
            raise DataError(f"{path}, line 1: column {index + 1} has no name")
        if name in header[:index]:
            raise DataError(f"{path}, line 1: two columns are called {name!r}; rename one")


def _parquet_rows(path: str) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield from _batches(path, file)
    except (OSError, pyarrow.ArrowException, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(path, error) from None
        raise DataError(f"{path}: this Parquet file cannot be read: {error}") from None


def _batches(path: str, file: pyarrow.parquet.ParquetFile) -> Iterable[Row]:
    names = file.schema_arrow.names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: two columns are called {twice[0]!r}; rename one")
    for batch in file.iter_batches(batch_size=_BATCH_ROWS):
        yield from cast("list[Row]", batch.to_pylist())
