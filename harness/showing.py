"""What the commands that only look do: plugins, names, bundled suites, one sample of a run."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from harness.bundles import bundled_suites
from harness.display import visible
from harness.errors import PluginError, UsageError, nearest
from harness.options import options_of, plain_function
from harness.records import record_of
from harness.registry import Entry, Plugin, Registry
from harness.selection import read_choices
from harness.store import Cell, Group, Run, open_run
from harness.terminal import output, print_json
from harness.types import Kind, Message, Spec

_REST: frozenset[Kind] = frozenset(("model", "task"))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _row(table: Table, *cells: str) -> None:
    table.add_row(*(Text(visible(c)) for c in cells))


def plugins_command(registry: Registry, as_json: bool) -> None:
    if as_json:
        print_json([{**p.record(), "brings": _brings(registry, p)} for p in registry.plugins])
        return
    table = _table("plugin", "from", "state", "brings")
    for plugin in registry.plugins:
        brought = plugin.error or "; ".join(_brings(registry, plugin, scores=True))
        _row(table, plugin.name, f"{plugin.distribution} {plugin.version}", plugin.state, brought)
    output().print(table)


def _brings(registry: Registry, plugin: Plugin, *, scores: bool = False) -> list[str]:
    found = [e for e in registry.entries() if e.plugin == plugin]
    return [f"{e.kind} {e.name}" + (_scores(e) if scores else "") for e in found]


def _scores(entry: Entry) -> str:
    return "" if entry.scores in ((), (entry.name,)) else f" ({', '.join(entry.scores)})"


def _about(entry: Entry) -> str:
    return inspect.getdoc(plain_function(entry.factory)) or ""


def _about_module(entry: Entry) -> str:
    """What the module says of itself: as a rule the source, the range, and what the options do."""
    module = sys.modules.get(getattr(plain_function(entry.factory), "__module__", None) or "")
    return inspect.getdoc(module) or "" if module else ""


def _reflowed(text: str) -> str:
    """Paragraphs as one line each, so that the terminal's width breaks them; indented lines and lists stay."""
    paragraphs = text.split("\n\n")
    kept = (any(line.startswith((" ", "-", "*")) for line in p.split("\n")) for p in paragraphs)
    return "\n\n".join(p if keep else p.replace("\n", " ") for p, keep in zip(paragraphs, kept, strict=True))


def kind_command(registry: Registry, kind: Kind, as_json: bool) -> None:
    found = sorted(registry.entries(kind), key=lambda e: e.name)
    if as_json:
        print_json([_entry_record(e) for e in found])
        return
    table = _table("name", "plugin", "options", "about")
    for entry in found:
        options, _ = options_of(entry.factory, skip=1 if kind in _REST else 0)
        _row(table, entry.name, entry.plugin.name, ", ".join(options), _about(entry).split("\n")[0])
    output().print(table)


def _entry_record(entry: Entry) -> dict[str, Any]:
    options, takes_any = options_of(entry.factory, skip=1 if entry.kind in _REST else 0)
    return {
        "kind": entry.kind,
        "name": entry.name,
        "plugin": entry.plugin.record(),
        "about": _about(entry),
        "scores": list(entry.scores),
        "options": [
            {"name": o.name, "type": o.type_name, "default": o.default, "required": o.required}
            for o in options.values()
        ],
        "takes_any_option": takes_any,
    }


def info_command(registry: Registry, name: str, as_json: bool) -> None:
    found = [e for e in registry.entries() if name in (e.name, e.plugin.name) or e.gives(name)]
    plugins = [p for p in registry.plugins if p.name == name]
    if not found and not plugins:
        names = {n for e in registry.entries() for n in (e.name, e.plugin.name, *e.scores)}
        raise UsageError(f"nothing is called {name!r}{nearest(name, names)}")
    if as_json:
        print_json([{**_entry_record(e), "infos": _infos(registry, e)} for e in found] or [p.record() for p in plugins])
        return
    console = output()
    for plugin in plugins:
        if not found:
            console.print(Text(visible(f"{plugin.owner}: {': '.join(filter(None, (plugin.state, plugin.error)))}")))
    for number, entry in enumerate(found):
        if number:
            console.print()
        _show_entry(registry, entry)


def _show_entry(registry: Registry, entry: Entry) -> None:
    console = output()
    console.print(Text(visible(f"{entry.kind} {entry.name}"), style="bold"))
    console.print(Text(visible(f"{entry.plugin.owner}, module {entry.plugin.module}")))
    for about in (_about(entry), _about_module(entry)):
        if about:
            console.print()
            console.print(Text(visible(_reflowed(about), multiline=True)))
    options, takes_any = options_of(entry.factory, skip=1 if entry.kind in _REST else 0)
    if options:
        table = _table("option", "type", "default")
        for option in options.values():
            _row(table, option.name, option.type_name, "required" if option.required else repr(option.default))
        console.print()
        console.print(table)
    if takes_any:
        console.print("takes any option")
    infos = _infos(registry, entry)
    if infos:
        table = _table("score", "range", "better", "level", "corpus", "needs")
        for info in infos:
            bounds = f"{_bound(info['low'], '-inf')} to {_bound(info['high'], 'inf')}"
            better = "higher" if info["higher_is_better"] else "lower"
            _row(table, info["name"], bounds, better, info["scope"], info["corpus"], ", ".join(info["needs"]))
        console.print()
        console.print(table)


def _bound(value: float | None, infinite: str) -> str:
    return infinite if value is None else f"{value:g}"


def _infos(registry: Registry, entry: Entry) -> list[dict[str, Any]]:
    """The scores under default options; none where options are required."""
    if entry.kind not in ("metric", "reward"):
        return []
    try:
        infos = registry.infos(Spec(entry.kind, entry.name))
    except PluginError:
        return []
    return [
        {
            "name": i.name,
            "low": i.low if math.isfinite(i.low) else None,
            "high": i.high if math.isfinite(i.high) else None,
            "higher_is_better": i.higher_is_better,
            "scope": i.scope,
            "corpus": i.corpus,
            "needs": sorted(i.needs),
            "tolerance": i.tolerance,
        }
        for i in infos
    ]


def suites_command(as_json: bool) -> None:
    found = bundled_suites()
    if as_json:
        print_json({name: str(path) for name, path in found.items()})
        return
    table = _table("suite", "about")
    for name, path in found.items():
        _row(table, name, path.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# "))
    output().print(table)


def show_command(folder: Path, sample: str, task: str | None, model: str | None, as_json: bool) -> None:
    run = open_run(folder)
    groups = list(_matching(run, sample, task, model))
    if not groups:
        raise UsageError(_nothing(run, sample, task, model))
    choices = read_choices(run)
    if as_json:
        print_json([_group_record(g, choices.get(g.generation.key)) for g in groups])
        return
    for group in groups:
        choice = choices.get(group.generation.key)
        _show_group(group, choice["selected"] if choice else None)
        if choice:
            output().print(Text(visible(_choice_line(choice, run)), style="magenta"))


def _choice_line(choice: Mapping[str, Any], run: Run) -> str:
    if choice["selected"] is None:
        return f"{choice['strategy']} selects none: {choice['reason']}"
    made_by = run.manifest["choice"].get("utility")
    what = f"mean {made_by['name']} against the others" if made_by else "reward"
    parts = [f"{choice['strategy']} selects completion {choice['selected']}: {what} {choice['value']:.4g}"]
    if choice["margin"] is not None:
        parts.append(f"margin {choice['margin']:.4g} to the next best ({choice['runner_up']:.4g})")
    parts.append(f"mean of the candidates {choice['mean']:.4g}")
    return ", ".join(parts) + (f" ({choice['reason']})" if choice["reason"] else "")


def _nothing(run: Run, sample: str, task: str | None, model: str | None) -> str:
    """Which of the names it is that nothing in the run goes by."""
    for option, name, known in (("--task", task, list(run.samples)), ("--model", model, run.models)):
        if name is not None and name not in known:
            return f"{option}: {run.folder} holds no {option[2:]} {name!r}{nearest(name, known)}"
    ids = [s.id for t, found in run.samples.items() for s in found if task in (None, t)]
    if sample in ids:
        return f"{run.folder} holds no completions of sample {sample!r}" + (f" by {model!r}" if model else "")
    return f"{run.folder} holds no sample {sample!r}{nearest(sample, ids[:1000])}"


def _matching(run: Run, sample: str, task: str | None, model: str | None) -> Iterable[Group]:
    ids = {s.id for found in run.samples.values() for s in found}
    wanted = {sample} if sample in ids else {i for i in ids if i.startswith(sample)}
    if len(wanted) > 1:
        some = ", ".join(sorted(wanted)[:5]) + (", ..." if len(wanted) > 5 else "")
        raise UsageError(f"{sample!r} starts {len(wanted)} ids: {some}; give more of it")
    for group in run.groups():
        g = group.generation
        if g.sample.id in wanted and task in (None, g.sample.task) and model in (None, g.model):
            yield group


def _group_record(group: Group, choice: Mapping[str, Any] | None) -> dict[str, Any]:
    cells = [{n: _cell_record(c) for n, c in row.items()} for row in group.cells]
    return {**record_of(group.generation), "scores": cells} | ({"choice": choice} if choice else {})


def _cell_record(cell: Cell) -> dict[str, Any]:
    return {"value": cell.value, "status": cell.status, "reason": cell.reason}


def _show_group(group: Group, selected: int | None) -> None:
    console, g = output(), group.generation
    console.print(Text(visible(f"{g.sample.task} / {g.sample.id} / {g.model}"), style="bold"))
    prompt = g.sample.prompt
    turns: Sequence[Message] = prompt if isinstance(prompt, tuple) else [Message("prompt", prompt or "(none)")]
    for turn in turns:
        console.print(Text(f"{visible(turn.role)}: ", style="cyan") + Text(visible(turn.content, multiline=True)))
    for reference in g.sample.references:
        console.print(Text("reference: ", style="green") + Text(visible(reference, multiline=True)))
    for index, (completion, cells) in enumerate(zip(g.completions, group.cells, strict=True)):
        said = completion.text if completion.text is not None else f"(no text: {completion.reason})"
        mark = " (selected)" if index == selected else ""
        console.print(Text(f"completion {index}{mark}: ", style="yellow") + Text(visible(said, multiline=True)))
        console.print(Text("  " + _scores_line(cells.items())))
        for name, cell in cells.items():
            if cell.reason:
                console.print(Text(visible(f"  {name}: {cell.status}: {cell.reason}"), style="dim"))


def _scores_line(cells: Iterable[tuple[str, Cell]]) -> str:
    return "  ".join(f"{visible(n)} {c.status if c.value is None else f'{c.value:.4g}'}" for n, c in cells)
