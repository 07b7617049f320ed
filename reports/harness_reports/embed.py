"""The samples of a page: which groups it holds, and how they stand in it as JSON.

The JSON is compact: names, statuses and reasons are numbers into lists, and a cell is a number wherever there
is nothing to add to it.

    columns   [{name, label, kind, decimals}]       one per score, reward and term that completions have
    tasks, models, statuses, reasons                lists of text
    samples   [{task, id, language, prompt, references, groups: [{model, completions}]}]
    prompt    text, or [[role, text], ...], or null
    completion {text, cells}, and note (text) where it has no text or did not end by itself
    cell      number | null | [status, reason, number or null]   (reason -1: none)
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from harness import STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness import Cell, Completion, Group, Sample
    from harness_reports.view import Column

_IN_SCRIPT = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def script_json(value: object) -> Markup:
    """JSON that may stand in a `<script type="application/json">`: nothing in it can end the element.

    Errors: `ValueError` where a number is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(_IN_SCRIPT))  # noqa: S704  # the translation above is what makes it safe


@dataclass(slots=True)
class Window:
    """At most `limit` groups of a stream of them: the first few of every task and model, evenly.

    Where there is no room for another group, the task and model that hold the most give up their last one and
    take no more. What is held depends only on the stream, and never exceeds `limit`.
    """

    limit: int
    total: int = 0
    held: int = 0
    _lists: dict[tuple[str, str], list[Group]] = field(default_factory=dict)
    _closed: set[tuple[str, str]] = field(default_factory=set)

    def add(self, group: Group) -> None:
        self.total += 1
        key = (group.generation.sample.task, group.generation.model)
        if key in self._closed:
            return
        self._lists.setdefault(key, []).append(group)
        self.held += 1
        if self.held > self.limit:
            fullest = max(self._lists, key=lambda other: len(self._lists[other]))
            self._lists[fullest].pop()
            self._closed.add(fullest)
            self.held -= 1

    def groups(self) -> list[Group]:
        return [group for groups in self._lists.values() for group in groups]


class _Names:
    """Texts as numbers, in the order in which they are first met."""

    def __init__(self, first: Iterable[str] = ()) -> None:
        self._numbers = {name: number for number, name in enumerate(first)}

    def number(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))

    def listed(self) -> list[str]:
        return list(self._numbers)


class _Writer:
    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = [column for column in columns if column.cells]
        self.tasks, self.models, self.reasons = _Names(), _Names(), _Names()

    def sample(self, sample: Sample) -> dict[str, Any]:
        prompt: object = sample.prompt
        if sample.prompt is not None and not isinstance(sample.prompt, str):
            prompt = [[message.role, message.content] for message in sample.prompt]
        return {
            "task": self.tasks.number(sample.task),
            "id": sample.id,
            "language": sample.language,
            "prompt": prompt,
            "references": list(sample.references),
            "groups": [],
        }

    def group(self, group: Group) -> dict[str, Any]:
        pairs = zip(group.generation.completions, group.cells, strict=True)
        completions = [
            {
                "text": completion.text,
                **({"note": note} if (note := _note(completion)) else {}),
                "cells": [self.cell(cells.get(column.name)) for column in self.columns],
            }
            for completion, cells in pairs
        ]
        return {"model": self.models.number(group.generation.model), "completions": completions}

    def cell(self, cell: Cell | None) -> object:
        if cell is None or (cell.status == "ok" and not cell.reason):
            return cell and cell.value
        reason = self.reasons.number(cell.reason) if cell.reason else -1
        return [STATUSES.index(cell.status), reason, cell.value]


def _note(completion: Completion) -> str:
    if completion.text is None or completion.status != "ok":
        return f"{completion.status}: {completion.reason}" if completion.reason else completion.status
    return "cut off at the longest length allowed" if completion.finish_reason == "length" else ""


def embedded(groups: Sequence[Group], columns: Sequence[Column]) -> dict[str, Any]:
    """The JSON described above. Groups of one sample, which may lie far apart, come together."""
    writer = _Writer(columns)
    samples: dict[tuple[str, str], dict[str, Any]] = {}
    for group in groups:
        sample = group.generation.sample
        key = (sample.task, sample.id)
        if key not in samples:
            samples[key] = writer.sample(sample)
        samples[key]["groups"].append(writer.group(group))
    return {
        "columns": [{"name": c.name, "label": c.label, "kind": c.kind, "decimals": c.decimals} for c in writer.columns],
        "tasks": writer.tasks.listed(),
        "models": writer.models.listed(),
        "statuses": list(STATUSES),
        "reasons": writer.reasons.listed(),
        "samples": list(samples.values()),
    }
