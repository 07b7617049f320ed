"""Tables about a whole run: made by metrics that analyse, kept as `tables/NAME.csv`, read back with their types.

They come after scores and rewards, which they may be about. A metric that fails at it costs its tables and nothing else.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.csvsafe import csv_line, plain_cell
from harness.errors import PluginError
from harness.files import write_atomically
from harness.interfaces import AnalysingMetric
from harness.names import name_problem
from harness.registry import score_name
from harness.text import clean_text
from harness.types import AnalysisTable

if TYPE_CHECKING:
    from harness.loaded import LoadedMetric
    from harness.store import Run

FOLDER = "tables"
Cell = float | int | str | None
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?|-?inf|nan")


def analysed(run: Run, metrics: Sequence[LoadedMetric]) -> tuple[dict[str, AnalysisTable], dict[str, str]]:
    """The tables of all metrics by name, and by metric why it has none."""
    tables: dict[str, AnalysisTable] = {}
    faults: dict[str, str] = {}
    for metric in metrics:
        if isinstance(metric.metric, AnalysingMetric):
            try:
                found = _tables_of(metric, metric.metric, run)
                if taken := sorted(set(found) & set(tables)):
                    raise PluginError(
                        f"another metric gave the table {taken[0]!r} already: give one of them an `as:` name"
                    )
                tables |= found
            except PluginError as error:
                faults[metric.spec.label] = clean_text(str(error))
    return tables, faults


def _tables_of(metric: LoadedMetric, analysing: AnalysingMetric, run: Run) -> dict[str, AnalysisTable]:
    with metric.blamed():
        found = analysing.analyse(run)
        if not isinstance(found, Mapping):
            raise TypeError(f"analyse() gave {type(found).__name__}, not a mapping of names to tables")
        return {_table_name(metric, name): _checked(name, table) for name, table in found.items()}


def _table_name(metric: LoadedMetric, name: str) -> str:
    if problem := name_problem(name):
        raise ValueError(f"a table's name {problem}")
    return name if metric.spec.alias is None else score_name(metric.spec, name)


def _checked(name: str, table: object) -> AnalysisTable:
    """The table as it can be written. Decision 1 holds here too: NaN is no value."""
    if not isinstance(table, AnalysisTable):
        raise TypeError(f"the table {name} is {type(table).__name__}, not an AnalysisTable")
    for row in table.rows:
        if len(row) != len(table.columns):
            raise ValueError(f"the table {name} has a row of {len(row)} cells under {len(table.columns)} columns")
    return AnalysisTable(tuple(table.columns), tuple(tuple(_cell(name, value) for value in row) for row in table.rows))


def _cell(name: str, value: object) -> Cell:
    if isinstance(value, str):
        return clean_text(value)
    if value is None or isinstance(value, int | float):
        if value != value:
            raise ValueError(f"the table {name} holds NaN: no value is None")
        return value
    raise TypeError(f"the table {name} holds {type(value).__name__}: cells are numbers, texts and None")


def write_tables(folder: Path, tables: Mapping[str, AnalysisTable]) -> None:
    """`tables/NAME.csv` of each, and none of an earlier scoring."""
    place = folder / FOLDER
    if tables:
        place.mkdir(mode=0o700, exist_ok=True)
    for path in place.glob("*.csv") if place.is_dir() else ():
        if path.stem not in tables:
            path.unlink()
    for name, table in tables.items():
        text = csv_line(table.columns) + "".join(map(csv_line, table.rows))
        write_atomically(place / f"{name}.csv", text.encode())


def read_tables(folder: Path) -> dict[str, AnalysisTable]:
    """What `write_tables` wrote, by name."""
    return {path.stem: _read(path) for path in sorted((folder / FOLDER).glob("*.csv"))}


def _read(path: Path) -> AnalysisTable:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = (row or [""] for row in csv.reader(file))  # a blank line is one empty cell
    readers = [_reader(column) for column in zip(*rows, strict=True)]
    cells = (tuple(read(cell) if cell else None for read, cell in zip(readers, row, strict=True)) for row in rows)
    return AnalysisTable(tuple(map(plain_cell, header)), tuple(cells))


def _reader(column: Sequence[str]) -> Callable[[str], Cell]:
    """Numbers where every cell with something in it is written as we write numbers (`007` is not), else texts."""
    filled = [cell for cell in column if cell]
    for read in (int, float):
        if all(_NUMBER.fullmatch(cell) and _is_written_by(read, cell) for cell in filled):
            return read
    return plain_cell


def _is_written_by(read: Callable[[str], float], cell: str) -> bool:
    try:
        return repr(read(cell)) == cell
    except ValueError:
        return False


def missing_tables(faults: Mapping[str, str]) -> Iterator[str]:
    """What a run that was to be analysed lacks."""
    for label, reason in faults.items():
        yield f"the analysis of {label}: {reason}"
