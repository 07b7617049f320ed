"""Tables about a whole run: made by metrics that analyse, kept as `tables/NAME.csv`, read back with their types.

They come after scores and rewards, which they may be about. A metric that fails at it costs its tables and nothing else.
"""

from __future__ import annotations

import contextlib
import csv
import numbers
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.csvsafe import csv_line, plain_cell
from harness.errors import HarnessError, PluginError, RunError
from harness.files import replacing, sweep
from harness.interfaces import AnalysingMetric
from harness.names import name_problem
from harness.registry import score_name
from harness.strictjson import shown
from harness.text import clean_text
from harness.types import AnalysisTable

if TYPE_CHECKING:
    from harness.loaded import LoadedMetric
    from harness.store import Run

FOLDER = "tables"
Cell = float | int | str | None
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?|-?inf")
_LONGEST = 100_000  # characters of a cell; the reader of CSV in Python takes 131,072


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
            except HarnessError as error:
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
    columns = _columns(name, table.columns)
    rows = tuple(tuple(_cell(name, value) for value in row) for row in table.rows)
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"the table {name} has a row of {len(row)} cells under {len(columns)} columns")
    return AnalysisTable(columns, rows)


def _columns(name: str, given: object) -> tuple[str, ...]:
    columns = () if isinstance(given, str) or not isinstance(given, Sequence) else tuple(given)
    if not columns or not all(isinstance(c, str) and c for c in columns) or len(set(columns)) < len(columns):
        raise ValueError(f"the columns of the table {name} must be texts, none empty and no two alike: {shown(given)}")
    return tuple(map(clean_text, columns))


def _cell(name: str, value: object) -> Cell:
    """As Python's own numbers: others (NumPy's) do not write themselves as numbers are written."""
    if value is None:
        return None
    if isinstance(value, str):
        if len(value) > _LONGEST:
            raise ValueError(f"the table {name} holds a text of {len(value)} characters; a cell has {_LONGEST} at most")
        return clean_text(value)
    if not isinstance(value, numbers.Real):
        raise TypeError(f"the table {name} holds {type(value).__name__}: cells are numbers, texts and None")
    number = int(value) if isinstance(value, numbers.Integral) else float(value)
    if number != number:
        raise ValueError(f"the table {name} holds NaN: no value is None")
    repr(number)  # raises where Python does not write so long a number
    return number


def clear_tables(folder: Path) -> None:
    """No table of an earlier scoring is left, nor what a killed process left of one."""
    place = folder / FOLDER
    sweep(place)
    for path in place.glob("*.csv"):
        path.unlink()
    with contextlib.suppress(OSError):  # something else lies there, or it is not there
        place.rmdir()


def write_tables(folder: Path, tables: Mapping[str, AnalysisTable]) -> None:
    """`tables/NAME.csv` of each, and no others."""
    clear_tables(folder)
    if tables:
        (folder / FOLDER).mkdir(mode=0o700, exist_ok=True)
    for name, table in tables.items():
        with replacing(folder / FOLDER / f"{name}.csv") as file:
            file.write(csv_line(table.columns).encode())
            file.writelines(csv_line(row).encode() for row in table.rows)


def read_tables(folder: Path) -> dict[str, AnalysisTable]:
    """What `write_tables` wrote, by name. Raises RunError for a file that it did not write."""
    found: dict[str, AnalysisTable] = {}
    for path in sorted((folder / FOLDER).glob("*.csv")):
        try:
            found[path.stem] = _read(path)
        except (ValueError, csv.Error) as error:
            raise RunError(f"{path}: damaged ({error}): `harness score {folder}` makes it again") from None
    return found


def _read(path: Path) -> AnalysisTable:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = (row or [""] for row in csv.reader(file))  # a blank line is one empty cell
    readers = [_reader(cells) for _, *cells in zip(header, *rows, strict=True)]
    cells = (tuple(read(cell) if cell else None for read, cell in zip(readers, row, strict=True)) for row in rows)
    return AnalysisTable(tuple(map(plain_cell, header)), tuple(cells))


def _reader(column: Sequence[str]) -> Callable[[str], Cell]:
    """Numbers where every cell with something in it is written as we write numbers (`007` is not), else texts."""
    if all(_is_number(cell) for cell in column if cell):
        return _number
    return plain_cell


def _number(cell: str) -> float | int:
    return int(cell) if cell.removeprefix("-").isdecimal() else float(cell)


def _is_number(cell: str) -> bool:
    try:
        return _NUMBER.fullmatch(cell) is not None and repr(_number(cell)) == cell
    except ValueError:
        return False


def missing_tables(faults: Mapping[str, str]) -> Iterator[str]:
    """What a run that was to be analysed lacks."""
    for label, reason in faults.items():
        yield f"the analysis of {label}: {reason}"
