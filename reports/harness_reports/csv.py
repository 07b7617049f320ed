"""`summary.csv`: one row per task and model, with the corpus value and interval of every score.

Columns: `task, model, completions`, then for each score `NAME, NAME.ci_low, NAME.ci_high`, the reward and its
terms last. Numbers are written by `repr`, a cell without a value is empty, and text is safe to open in a
spreadsheet (`harness.csvsafe`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import csv_line, hookimpl
from harness_reports.view import View, tally, view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness import Rendered, Report, Run

NAME = "summary.csv"


@hookimpl
def register_reports(register: Callable[..., None]) -> None:
    register("csv", csv_report)


def csv_report() -> Report:
    """The report has no options."""
    return render


def render(run: Run) -> Rendered:
    """Writes `summary.csv` into the run's folder."""
    from harness import Rendered

    seen = view(run)
    completions = tally(run).completions
    pairs = [(task, model) for task in seen.tasks for model in seen.models_of(task)]
    lines = [csv_line([*pair, completions[pair], *_values(seen, *pair)]) for pair in pairs]
    lines.insert(0, csv_line(_header(seen)))
    return Rendered(files=(run.write(NAME, "".join(lines).encode("utf-8", "backslashreplace")),))


def _header(seen: View) -> list[str]:
    names = [column.name for column in seen.columns]
    return [
        "task",
        "model",
        "completions",
        *(f"{n}{part}" for n in names for part in ("", ".ci_low", ".ci_high")),
    ]


def _values(seen: View, task: str, model: str) -> Iterator[float | None]:
    for column in seen.columns:
        row = seen.corpus.get((task, model, column.name))
        yield from (row.value, row.ci_low, row.ci_high) if row else (None, None, None)
