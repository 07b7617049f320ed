"""Tables about the whole run in the console: agreement with people, what a choice changes, and others as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness import visible
from harness_reports.analyses import SIGNS, agreements, by_sample, empty_agreements, gains, others, without_constants
from harness_reports.view import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderResult
    from rich.table import Table
    from rich.text import Text

    from harness import AnalysisTable, Run
    from harness_reports.analyses import Agreement, Gain

LABEL_WIDTH: Final = 22
MIN_WIDTH: Final = 7
GAP: Final = 2
MOST_ROWS: Final = 30
"""Of a table about the whole run; a longer one is named with its file."""

_SAID: Final = "something that people said of it"


def plain(value: str, style: str = "") -> Text:
    """Text from data: shown, never obeyed."""
    from rich.text import Text

    return Text(visible(value), style=style, overflow="fold")


def grid() -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold")


def about(run: Run, width: int) -> RenderResult:
    """All tables about the run, those first that were made to be read."""
    from rich.text import Text

    found = tuple(agreements(run))
    for agreement in found:
        yield Text()
        yield plain(agreement.title, "bold")
        yield from _agreement(agreement, width)
    for name in dict.fromkeys(agreement.table for agreement in found):
        yield plain(f"All coefficients with their intervals: tables/{name}.csv", "dim")
    if found:
        yield plain(SIGNS, "dim")
    for name in empty_agreements(run):
        yield Text()
        yield plain(f"Agreement with people, tables/{name}.csv: none, for no completion has both a score and {_SAID}")
    changed = tuple(gains(run))
    for gain in changed:
        yield Text()
        yield plain(gain.title, "bold")
        yield _gain(gain) if gain.rows else Text("no score for certain", style="dim")
    if changed:
        yield Text(
            "Scores whose interval of the difference excludes 0, over n samples; all: tables/selected.csv", style="dim"
        )
    for name, table in others(run):
        if not table.rows:
            continue
        yield Text()
        if by_sample(table) or len(table.rows) > MOST_ROWS:
            yield plain(f"{name}: {len(table.rows):,} rows in tables/{name}.csv", "dim")
        else:
            narrow, same = without_constants(table)
            yield plain(", ".join([name, *same]), "bold")
            yield _plain(narrow)


def _agreement(agreement: Agreement, width: int) -> Iterator[Table]:
    """As many dimensions side by side as leave numbers whole, the rest below."""
    label = min(LABEL_WIDTH, max(len(visible(agreement.label(score))) for score in agreement.scores))
    most = max(1, (width - label - GAP) // (MIN_WIDTH + GAP))
    for start in range(0, len(agreement.dimensions), most):
        yield _of_dimensions(agreement, agreement.dimensions[start : start + most], label, width)


def _of_dimensions(agreement: Agreement, dimensions: Sequence[str], label: int, width: int) -> Table:
    """Names of dimensions are folded before those of scores are."""
    table = grid()
    each = (width - label) // len(dimensions) - GAP
    table.add_column("", width=label, overflow="fold")
    for dimension in dimensions:
        table.add_column(plain(dimension), justify="right", overflow="fold", max_width=max(each, MIN_WIDTH))
    for score in agreement.scores:
        values = (agreement.values.get((score, dimension)) for dimension in dimensions)
        table.add_row(plain(agreement.label(score)), *(number(value, 3) for value in values))
    return table


def _gain(gain: Gain) -> Table:
    table = grid()
    table.add_column("", max_width=LABEL_WIDTH, overflow="fold")
    table.add_column("level", style="dim")
    for name in ("all", "selected", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", style="dim", no_wrap=True)
    table.add_column("n", style="dim", justify="right")
    for row in gain.rows:
        numbers = (number(value, 3) for value in (row.all, row.selected, row.difference))
        interval = plain(f"[{number(row.ci_low, 3)}, {number(row.ci_high, 3)}]")
        table.add_row(plain(gain.label(row.score)), plain(row.level), *numbers, interval, f"{row.n:,}")
    return table


def _plain(found: AnalysisTable) -> Table:
    """Cells as they are, floats shortened: the file has them in full."""
    table = grid()
    for index, name in enumerate(found.columns):
        numeric = all(isinstance(row[index], int | float | None) for row in found.rows)
        table.add_column(plain(name), justify="right" if numeric else "left", overflow="fold")
    for row in found.rows:
        table.add_row(*(number(v, 3) if isinstance(v, float) or v is None else plain(str(v)) for v in row))
    return table
