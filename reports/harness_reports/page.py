"""What the HTML page says outside its samples: plain values, ready for the template."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness import STATUSES
from harness_reports.analyses import SIGNS, agreements, by_sample, gains, others
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
    text,
    view,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness import AnalysisTable, Json, Run
    from harness_reports.analyses import Agreement

TOP_REASONS = 5
MAX_ROWS = 1000
"""Of a table about the whole run; all are in its file."""
OPEN_ROWS = 40
"""Longer tables are folded."""


def page(run: Run, seen_statuses: Tally) -> dict[str, Any]:
    """The template's variables. Nothing here depends on when or where the page is made."""
    seen = view(run)
    manifest = run.manifest
    suite = mapping(manifest.get("suite"))
    return {
        "name": seen.name,
        "unfinished": "" if manifest.get("state") in (None, *FINISHED) else text(manifest.get("state")),
        "tasks": seen.tasks,
        "models": seen.models,
        "counts": [(name, f"{count:,}") for count, name in counts(manifest).values()],
        "settings": facts(manifest.get("settings")),
        "summaries": [_summary(seen, task) for task in seen.tasks],
        "any_lower": any(not column.higher_is_better for column in seen.columns),
        "any_partial": any(seen.partial(row) for row in seen.corpus.values()),
        "reward": _reward(seen, manifest),
        "signs": SIGNS,
        "agreements": [_agreement(a) for a in agreements(run)],
        "gains": list(gains(run)),
        "tables": [_table(name, table) for name, table in others(run)],
        "statuses": _statuses(run, seen, seen_statuses),
        "status_names": STATUSES,
        "corpus_faults": [
            _texts(row, ("score", "model", "task", "reason")) for row in rows(manifest.get("corpus_faults"))
        ],
        "analysis_faults": facts(manifest.get("analysis_faults")),
        "troubled": [p for p in _plugins(manifest) if p["state"] != "ok"],
        "plugins": _plugins(manifest),
        "task_rows": [_texts(row, ("name", "samples", "language", "source")) for row in rows(manifest.get("tasks"))],
        "model_rows": [_model(row) for row in rows(manifest.get("models"))],
        "identity": facts(manifest.get("identity")),
        "libraries": facts(manifest.get("libraries")),
        "versions": [
            (label, text(manifest[key]))
            for key, label in (("harness_version", "harness"), ("schema_version", "schema version"))
            if manifest.get(key) is not None
        ],
        "suite_text": text(suite.get("text")).replace("\r\n", "\n"),
        "suite_resolved": json.dumps(suite["resolved"], indent=2, ensure_ascii=False) if suite.get("resolved") else "",
    }


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def facts(value: object) -> list[tuple[str, str]]:
    """Names and values of a mapping as text; what is nested stands as JSON."""
    return [(name, _fact(item)) for name, item in mapping(value).items()]


def _fact(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _texts(row: Mapping[str, Json], keys: tuple[str, ...]) -> dict[str, str]:
    return {key: text(row.get(key)) for key in keys}


def _plugins(manifest: Mapping[str, Json]) -> list[dict[str, str]]:
    keys = ("name", "distribution", "version", "state", "error")
    return [_texts({"state": "ok", **row}, keys) for row in rows(manifest.get("plugins"))]


def _model(row: Mapping[str, Json]) -> dict[str, Any]:
    return {
        **_texts(row, ("name", "fingerprint", "plugin", "distribution", "version")),
        "options": facts(row.get("options")),
    }


def _summary(seen: View, task: str) -> dict[str, Any]:
    """The table of one task: scores down, models across, the reward and its terms in a body of their own."""
    models = seen.models_of(task)
    bodies = [
        [_summary_row(seen, task, models, column) for column in columns if _has(seen, task, models, column)]
        for columns in (seen.of("score"), seen.of("reward", "term"))
    ]
    return {
        "task": task,
        "models": models,
        "bodies": [body for body in bodies if body],
        "signatures": _signatures(seen, task),
    }


def _has(seen: View, task: str, models: tuple[str, ...], column: Column) -> bool:
    return any((task, model, column.name) in seen.corpus for model in models)


def _summary_row(seen: View, task: str, models: tuple[str, ...], column: Column) -> dict[str, Any]:
    return {
        "column": column,
        "cells": [_summary_cell(seen, (task, model, column.name), column) for model in models],
    }


def _summary_cell(seen: View, key: tuple[str, str, str], column: Column) -> dict[str, str]:
    row = seen.corpus.get(key)
    if row is None:
        return {"value": "–", "interval": "", "n": "", "signature": ""}
    interval = ""
    if row.ci_low is not None and row.ci_high is not None:
        interval = f"[{number(row.ci_low, column.decimals)}, {number(row.ci_high, column.decimals)}]"
    return {
        "value": number(row.value, column.decimals),
        "interval": interval,
        "n": f"n = {row.n:,}" if seen.partial(row) else "",
        "signature": row.signature,
    }


def _signatures(seen: View, task: str) -> list[tuple[str, str]]:
    """(score, signature), each once: models share signatures unless a language sets them apart."""
    pairs = [
        (column.name, row.signature)
        for column in seen.columns
        for model in seen.models_of(task)
        if (row := seen.corpus.get((task, model, column.name))) and row.signature
    ]
    return list(dict.fromkeys(pairs))


def _agreement(agreement: Agreement) -> dict[str, Any]:
    """Scores down, dimensions across; the best of each dimension, whatever its sign, is marked."""
    best = {
        d: max((abs(v) for (_, e), v in agreement.values.items() if e == d), default=0) for d in agreement.dimensions
    }
    found = [(s, [(agreement.values.get((s, d)), best[d]) for d in agreement.dimensions]) for s in agreement.scores]
    return {
        "title": agreement.title,
        "dimensions": agreement.dimensions,
        "rows": [
            (
                agreement.label(score),
                [(number(value, 3), value is not None and abs(value) == top) for value, top in values],
            )
            for score, values in found
        ],
    }


def _table(name: str, table: AnalysisTable) -> dict[str, Any]:
    cells = [[number(v, 4) if isinstance(v, float) or v is None else v for v in row] for row in table.rows[:MAX_ROWS]]
    numeric = [all(isinstance(v, int | float | None) for v in column) for column in zip(*table.rows, strict=True)]
    return {
        "name": name,
        "columns": list(zip(table.columns, numeric or [False] * len(table.columns), strict=True)),
        "rows": [list(zip(row, numeric, strict=True)) for row in cells],
        "total": len(table.rows),
        "open": len(table.rows) <= OPEN_ROWS and not by_sample(table),
    }


def _reward(seen: View, manifest: Mapping[str, Json]) -> dict[str, Any] | None:
    reward = mapping(manifest.get("reward"))
    if not reward:
        return None
    means = [(task, model) for task in seen.tasks for model in seen.models_of(task)]
    renormalised = manifest.get("renormalised")
    return {
        "combine": text(reward.get("combine")),
        "terms": [_term(seen, means, term) for term in rows(reward.get("terms"))],
        "guards": [_guard(guard) for guard in rows(reward.get("guard"))],
        "means": means if len(means) <= 4 else [],
        "guarded": [(score, f"{count:,}") for score, count in mapping(manifest.get("guarded")).items()],
        "renormalised": f"{renormalised:,}" if _count(renormalised) and renormalised else "",
    }


def _term(seen: View, means: list[tuple[str, str]], term: Mapping[str, Json]) -> dict[str, Any]:
    name = text(term.get("name"))
    row_of = [seen.corpus.get((task, model, f"reward.{name}")) for task, model in means]
    bounds = term.get("range")
    return {
        **_texts(term, ("name", "score", "weight")),
        "range": _range(bounds) if isinstance(bounds, (list, tuple)) else "",
        "direction": "lower" if term.get("higher_is_better") is False else "higher",
        "required": "no" if term.get("required") is False else "yes",
        "means": [number(row.value, 3) if row else "–" for row in row_of],
    }


def _range(bounds: list[Json] | tuple[Json, ...]) -> str:
    return " to ".join(f"{bound:g}" if isinstance(bound, (int, float)) else text(bound) for bound in bounds)


def _guard(guard: Mapping[str, Json]) -> str:
    low, high = guard.get("min"), guard.get("max")
    parts = [
        *([f"at least {text(low)}"] if low is not None else []),
        *([f"at most {text(high)}"] if high is not None else []),
    ]
    return f"{text(guard.get('score'))} {' and '.join(parts)}"


def _statuses(run: Run, seen: View, tally: Tally) -> list[dict[str, Any]]:
    counted = statuses(run)
    return [
        {
            "name": column.name,
            "counts": [counted[column.name].get(status, 0) for status in STATUSES],
            "short": not_ok(counted[column.name]) > 0,
            **_reasons(column, tally),
        }
        for column in seen.columns
        if column.name in counted
    ]


def _reasons(column: Column, tally: Tally) -> dict[str, Any]:
    """The most frequent reasons. A term lacks what its score lacks, so they stand at the score alone."""
    if column.kind == "term":
        return {"reasons": [], "more": 0}
    top = tally.top(column.name, TOP_REASONS)
    return {
        "reasons": [{"status": status, "reason": reason, "count": count} for status, reason, count in top],
        "more": len(tally.reasons.get(column.name, ())) - len(top),
    }
