"""The console report: what a run found, as tables that fit the terminal.

Scores down, models across, each value with its bootstrap interval, the reward and its terms set apart: one table of all
tasks where the terminal is wide enough, else one per task. Below stand agreement with people and other small tables that
metrics made of the run, then the statuses that are not `ok` with their most frequent reasons. All text from data is shown
through `harness.display.visible` as plain text, never as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from harness import hookimpl, visible
from harness_reports.console_tables import GAP, LABEL_WIDTH, MIN_WIDTH, about, grid, plain
from harness_reports.view import (
    FINISHED,
    REWARD,
    Column,
    Tally,
    View,
    counts,
    mapping,
    not_ok,
    number,
    rows,
    statuses,
    tally,
    text,
    view,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table
    from rich.text import Text

    from harness import Rendered, Report, Run

LEVEL_WIDTH = 6
HEADER_WIDTH = 28

Key = tuple[str, str]
"""(task, model)"""
Layout = Literal["line", "stacked", "bare"]
"""Value, interval and count on one line; on two; the value alone."""


@hookimpl
def register_reports(register: Callable[..., None]) -> None:
    register("console", console_report)


def console_report() -> Report:
    """The report has no options."""
    return render


def render(run: Run) -> Rendered:
    """Writes no file; the summary is what the caller prints."""
    from harness import Rendered

    return Rendered(show=Summary(run))


class Summary:
    """The whole report. It is laid out when the width is known."""

    def __init__(self, run: Run) -> None:
        self.view = view(run)
        self.manifest = run.manifest
        self.statuses = statuses(run)
        self.run = run
        self.tally = tally(run) if any(not_ok(counts) for counts in self.statuses.values()) else Tally()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._heading()
        tables = [tuple((task, model) for model in self.view.models_of(task)) for task in self.view.tasks]
        every = tuple(key for table in tables for key in table)
        if len(tables) > 1 and self._fits(every, options.max_width):
            tables = [every]
        for keys in tables:
            yield from self._scores(keys, options.max_width)
        if self.view.corpus:
            yield self._legend()
        yield from about(self.run, options.max_width)
        yield from self._without_value()
        yield from self._warnings()

    def _heading(self) -> Text:
        held = counts(self.manifest)
        parts = [f"{held[key][0]:,} {held[key][1]}" for key in ("samples", "completions") if key in held]
        state = self.manifest.get("state")
        if state not in (None, *FINISHED):
            parts.append(f"state: {visible(text(state))}")
        heading = plain(self.view.name, "bold")
        heading.append("  " + ", ".join(parts), style="not bold dim")
        return heading

    def _cells(self, keys: tuple[Key, ...]) -> dict[Key, Cells]:
        return {key: Cells(self.view, *key) for key in keys}

    def _columns(self, cells: Mapping[Key, Cells]) -> list[Column]:
        return [c for c in self.view.columns if any(c.name in found.values for found in cells.values())]

    def _label_width(self, columns: list[Column]) -> int:
        return min(LABEL_WIDTH, max(len(visible(_label(c, self.manifest))) for c in columns))

    def _fits(self, keys: tuple[Key, ...], width: int) -> bool:
        """Whether all of these stand side by side with one line a row."""
        cells = self._cells(keys)
        columns = self._columns(cells)
        if not columns:
            return False
        taken = sum(c.width("line", 0) + GAP for c in cells.values())
        return self._label_width(columns) + GAP + LEVEL_WIDTH + taken <= width

    def _scores(self, keys: tuple[Key, ...], width: int) -> RenderResult:
        """Tables of these tasks and models."""
        from rich.text import Text

        cells = self._cells(keys)
        columns = self._columns(cells)
        if not columns:
            return
        tasks = {task for task, _ in keys}
        label_width = self._label_width(columns)
        room = width - label_width - GAP - LEVEL_WIDTH
        layout, widths = _layout(cells, room)
        for part in _parts(keys, widths, room):
            yield Text()
            table = self._table("" if len(tasks) > 1 else part[0][0], label_width)
            for task, model in part:
                head = Text("\n", overflow="fold").join([plain(task), plain(model)]) if len(tasks) > 1 else plain(model)
                table.add_column(head, overflow="fold", width=widths[task, model])
            self._fill(table, columns, [cells[key] for key in part], layout)
            yield table

    def _table(self, head: str, label_width: int) -> Table:
        table = grid()
        table.add_column(plain(head), max_width=label_width, overflow="fold")
        table.add_column("level", style="dim", width=LEVEL_WIDTH)
        return table

    def _fill(self, table: Table, columns: list[Column], cells: list[Cells], layout: Layout) -> None:
        last = None
        for column in columns:
            group = "score" if column.kind == "score" else "reward"
            if last not in (None, group):
                table.add_section()
            last = group
            label = plain(_label(column, self.manifest), "bold" if column.kind == "reward" else "")
            table.add_row(label, column.level, *(cell.text(column.name, layout) for cell in cells))

    def _legend(self) -> Text:
        from rich.text import Text

        parts = [
            "[low, high]: bootstrap interval over samples (of every value in corpus.csv).",
            "corpus: of all completions together;",
        ]
        parts.append("mean: of the completions' scores.")
        if any(not column.higher_is_better for column in self.view.columns):
            parts.append("↓: lower is better.")
        if any(row.value is None for row in self.view.corpus.values()):
            parts.append("–: no value.")
        if any(self.view.partial(row) for row in self.view.corpus.values()):
            parts.append("n: how many have a value, where not all do.")
        return Text("\n" + " ".join(parts), style="dim")

    def _without_value(self) -> RenderResult:
        from rich.table import Table
        from rich.text import Text

        names = [column.name for column in self.view.of("score", "reward")]  # a term lacks what its score lacks
        short = {name: self.statuses[name] for name in names if not_ok(self.statuses.get(name, {}))}
        if not short:
            return
        table = Table.grid(padding=(0, GAP, 0, 0))
        table.add_column(max_width=LABEL_WIDTH, overflow="fold")
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        alike: dict[tuple[str, str], list[str]] = {}
        for name, found in short.items():
            kinds = ", ".join(f"{count:,} {status}" for status, count in found.items() if status != "ok" and count)
            alike.setdefault((kinds, self._reasons(name)), []).append(name)
        for (kinds, reasons), names in alike.items():
            table.add_row(plain(", ".join(names)), Text(kinds), plain(reasons, "dim"))
        yield Text("\nWithout a value", style="bold")
        yield table

    def _reasons(self, name: str) -> str:
        if name == REWARD:  # it lacks what its scores lack, whose reasons stand above
            return "; ".join(f"{count:,}× without {scores}" for scores, count in self.tally.lacking())
        top = self.tally.top(name)
        more = len(self.tally.reasons.get(name, ())) - len(top)
        shown = [(f"{count:,}× " if len(top) > 1 else "") + (reason or status) for status, reason, count in top]
        return "; ".join(shown) + (f"; {more:,} more {'reason' if more == 1 else 'reasons'}" if more > 0 else "")

    def _warnings(self) -> RenderResult:
        from rich.text import Text

        renormalised = self.manifest.get("renormalised")
        if isinstance(renormalised, int) and renormalised:
            yield Text(f"\n{renormalised:,} rewards were made without an optional term; the others' weights grew.")
        for score, count in mapping(self.manifest.get("guarded")).items():
            yield Text("\n") + plain(f"{count:,} rewards are 0 because the guard of {score} failed.")
        without, _ = counts(self.manifest).get("without_text", (0, ""))
        if without:
            yield Text(f"\n{without:,} completions have no text: the model failed.", style="yellow")
        for fault in rows(self.manifest.get("corpus_faults")):
            where = f"{text(fault.get('score'))} of {text(fault.get('task'))} by {text(fault.get('model'))}: no corpus value"
            yield plain(f"{where}: {text(fault.get('reason'))}", "yellow")
        for name, reason in mapping(self.manifest.get("analysis_faults")).items():
            yield plain(f"{name} could not analyse the run: {text(reason)}", "yellow")
        for plugin in rows(self.manifest.get("plugins")):
            if plugin.get("state") == "broken":
                yield plain(f"plugin {text(plugin.get('name'))} is broken: {text(plugin.get('error'))}", "yellow")


def _label(column: Column, manifest: Mapping[str, object]) -> str:
    if column.kind != "term":
        return column.name if column.higher_is_better else f"{column.name} ↓"
    for term in rows(mapping(manifest.get("reward")).get("terms")):
        if term.get("name") == column.label and isinstance(term.get("weight"), (int, float)):
            return f"  {column.label} ×{term['weight']:g}"
    return f"  {column.label}"


def _layout(cells: Mapping[Key, Cells], room: int) -> tuple[Layout, dict[Key, int]]:
    """How values stand, and how wide each model's column is.

    Two lines a row, or values alone, only where that brings all models into one table: to compare them is what it is for.
    """
    tried: tuple[tuple[Layout, int], ...] = (("line", HEADER_WIDTH), ("line", 0), ("stacked", 0), ("bare", 0))
    for layout, header in tried:
        widths = {key: found.width(layout, header) for key, found in cells.items()}
        if sum(widths.values()) + GAP * len(widths) <= room:
            return layout, widths
    return "line", {key: found.width("line", 0) for key, found in cells.items()}


def _parts(keys: tuple[Key, ...], widths: Mapping[Key, int], room: int) -> list[list[Key]]:
    """Tasks and models in as many tables as the room asks for, in order, at least one in each."""
    parts: list[list[Key]] = []
    left = 0
    for key in keys:
        if not parts or widths[key] + GAP > left:
            parts.append([])
            left = room
        parts[-1].append(key)
        left -= widths[key] + GAP
    return parts


class Cells:
    """Corpus values of one task and one model as aligned text: value, interval, `n` where some are
    missing."""

    def __init__(self, seen: View, task: str, model: str) -> None:
        self.model = visible(model)
        self.values: dict[str, tuple[str, str, str]] = {}
        for column in seen.columns:
            row = seen.corpus.get((task, model, column.name))
            if row is None or (column.kind == "score" and column.cells and not row.n):
                continue  # what no completion has is said once, with the reason
            interval = ""
            if row.ci_low is not None and row.ci_high is not None:
                interval = f"[{number(row.ci_low, column.decimals)}, {number(row.ci_high, column.decimals)}]"
            self.values[column.name] = (
                number(row.value, column.decimals),
                interval,
                f"n={row.n:,}" if seen.partial(row) else "",
            )
        self._value_width = max((len(value) for value, _, _ in self.values.values()), default=0)
        self._interval_width = max((len(interval) for _, interval, _ in self.values.values()), default=0)

    def _line(self, name: str) -> tuple[str, str]:
        value, interval, n = self.values.get(name, ("", "", ""))
        rest = f"{interval:<{self._interval_width}} {n}".rstrip()
        return f"{value:>{self._value_width}}", rest

    def width(self, layout: Layout, header: int) -> int:
        """What the widest cell takes; the model's name, up to `header`, may ask for more."""
        lines = [self._line(name) for name in self.values]
        taken = {
            "line": [len(value) + 1 + len(rest) for value, rest in lines],
            "stacked": [max(len(value), len(rest)) for value, rest in lines],
            "bare": [len(value) for value, _ in lines],
        }
        return max(max(taken[layout], default=0), min(len(self.model), header), MIN_WIDTH)

    def text(self, name: str, layout: Layout) -> Text:
        from rich.text import Text

        value, rest = self._line(name)
        if layout == "bare":
            return Text(value, no_wrap=True)
        if layout == "stacked" and rest:
            return Text.assemble(value.strip(), ("\n" + rest.strip(), "dim"), no_wrap=True)
        return Text.assemble(value, " " if rest else "", (rest, "dim"), no_wrap=True)
