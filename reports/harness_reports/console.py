"""The console report: what a run found, as tables that fit the terminal.

One table per task: scores down, models across, each value with its bootstrap interval, the reward and its
terms set apart. Below stand the statuses that are not `ok` with their most frequent reasons. All text from
data is shown through `harness.display.visible` as plain text, never as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import hookimpl, visible
from harness_reports.view import (
    FINISHED,
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

LABEL_WIDTH = 22
LEVEL_WIDTH = 6
GAP = 2
MODEL_WIDTH = 8
HEADER_WIDTH = 28


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


def plain(value: str, style: str = "") -> Text:
    """Text from data: shown, never obeyed."""
    from rich.text import Text

    return Text(visible(value), style=style, overflow="fold")


class Summary:
    """The whole report. It is laid out when the width is known."""

    def __init__(self, run: Run) -> None:
        self.view = view(run)
        self.manifest = run.manifest
        self.statuses = statuses(run)
        self.tally = tally(run) if any(not_ok(counts) for counts in self.statuses.values()) else Tally()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._heading()
        for task in self.view.tasks:
            yield from self._task(task, options.max_width)
        if self.view.corpus:
            yield self._legend()
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

    def _task(self, task: str, width: int) -> RenderResult:
        from rich.text import Text

        models = self.view.models_of(task)
        cells = {model: Cells(self.view, task, model) for model in models}
        columns = [c for c in self.view.columns if any(c.name in cells[model].values for model in models)]
        if not columns:
            return
        label_width = min(LABEL_WIDTH, max(len(visible(_label(c, self.manifest))) for c in columns))
        room = width - label_width - GAP - LEVEL_WIDTH
        roomy, tight, stacked = (
            {model: cells[model].width(*how) for model in models}
            for how in ((False, HEADER_WIDTH), (False, 0), (True, 0))
        )
        # Two lines a row only where that brings all models into one table; else more tables read better.
        widths = next((w for w in (roomy, tight, stacked) if sum(w.values()) + GAP * len(w) <= room), tight)
        for part in _parts(models, widths, room):
            yield Text()
            table = self._table(task, label_width)
            for model in part:
                table.add_column(plain(model), overflow="fold", width=widths[model])
            self._fill(table, columns, [cells[model] for model in part], widths is stacked)
            yield table

    def _table(self, task: str, label_width: int) -> Table:
        from rich import box
        from rich.table import Table

        table = Table(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, GAP - 1, 0, 0),
            header_style="bold",
        )
        table.add_column(plain(task), max_width=label_width, overflow="fold")
        table.add_column("level", style="dim", width=LEVEL_WIDTH)
        return table

    def _fill(self, table: Table, columns: list[Column], cells: list[Cells], stacked: bool) -> None:
        last = None
        for column in columns:
            group = "score" if column.kind == "score" else "reward"
            if last not in (None, group):
                table.add_section()
            last = group
            label = plain(_label(column, self.manifest), "bold" if column.kind == "reward" else "")
            table.add_row(label, column.level, *(cell.text(column.name, stacked) for cell in cells))

    def _legend(self) -> Text:
        from rich.text import Text

        parts = ["[low, high]: bootstrap interval over samples.", "corpus: of all completions together;"]
        parts.append("mean: of the completions' scores.")
        if any(not column.higher_is_better for column in self.view.columns):
            parts.append("(lower): lower is better.")
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
        for name, found in short.items():
            kinds = ", ".join(f"{count:,} {status}" for status, count in found.items() if status != "ok" and count)
            table.add_row(plain(name), Text(kinds), self._reasons(name))
        yield Text("\nWithout a value", style="bold")
        yield table

    def _reasons(self, name: str) -> Text:
        top = self.tally.top(name)
        more = len(self.tally.reasons.get(name, ())) - len(top)
        shown = [(f"{count:,}× " if len(top) > 1 else "") + (reason or status) for status, reason, count in top]
        return plain("; ".join(shown) + (f"; {more:,} more reasons" if more > 0 else ""), "dim")

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
        for plugin in rows(self.manifest.get("plugins")):
            if plugin.get("state") == "broken":
                yield plain(f"plugin {text(plugin.get('name'))} is broken: {text(plugin.get('error'))}", "yellow")


def _label(column: Column, manifest: Mapping[str, object]) -> str:
    if column.kind != "term":
        return column.name if column.higher_is_better else f"{column.name} (lower)"
    for term in rows(mapping(manifest.get("reward")).get("terms")):
        if term.get("name") == column.label and isinstance(term.get("weight"), (int, float)):
            return f"  {column.label} ×{term['weight']:g}"
    return f"  {column.label}"


def _parts(models: tuple[str, ...], widths: Mapping[str, int], room: int) -> list[list[str]]:
    """The models in as many tables as the room asks for, in order, at least one in each."""
    parts: list[list[str]] = []
    left = 0
    for model in models:
        if not parts or widths[model] + GAP > left:
            parts.append([])
            left = room
        parts[-1].append(model)
        left -= widths[model] + GAP
    return parts


class Cells:
    """Corpus values of one task and one model as aligned text: value, interval, `n` where some are
    missing."""

    def __init__(self, seen: View, task: str, model: str) -> None:
        self.model = visible(model)
        self.values: dict[str, tuple[str, str, str]] = {}
        for column in seen.columns:
            row = seen.corpus.get((task, model, column.name))
            if row is None:
                continue
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

    def width(self, stacked: bool, header: int) -> int:
        """What the widest cell takes; the model's name, up to `header`, may ask for more."""
        lines = [self._line(name) for name in self.values]
        widest = max((max(len(a), len(b)) if stacked else len(a) + 1 + len(b) for a, b in lines), default=0)
        return max(widest, min(len(self.model), header), MODEL_WIDTH)

    def text(self, name: str, stacked: bool) -> Text:
        from rich.text import Text

        value, rest = self._line(name)
        if stacked and rest:
            return Text.assemble(value.strip(), ("\n" + rest.strip(), "dim"), no_wrap=True)
        return Text.assemble(value, " " if rest else "", (rest, "dim"), no_wrap=True)
