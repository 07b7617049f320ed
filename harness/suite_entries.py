"""The parts of a suite that are taken apart by hand: plugin entries, column maps, names made from sources."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from harness.names import column_name_problem, name_problem
from harness.suite_nodes import KeyPath, shown
from harness.suite_schema import FIELDS, SEVERAL
from harness.types import Kind, Spec

if TYPE_CHECKING:
    from harness.suite import Fields
    from harness.suite_problems import Problems

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Placed(Generic[T]):
    """A part of the suite and where it stands; `options` is the path of a plugin's options."""

    item: T
    path: KeyPath
    options: KeyPath = ()


def name_from(source: str) -> str:
    """A task's name after its source: the file's stem, or what the plugin is asked for, fit for a name."""
    asked = source.partition(":")[2] or source
    base = re.split(r"[/\\]", asked.rstrip("/\\"))[-1]
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", PurePosixPath(base).stem).strip("_.-")[:90]
    if not stem:
        return "task"
    return stem if stem[0].isalpha() else f"task_{stem}"


def column_map(raw: Any, path: KeyPath, problems: Problems) -> Fields:
    """The columns of a source by our names, with mistakes reported."""
    if not isinstance(raw, dict):
        problems.add(path, f"expected a mapping of our names to columns, got {shown(raw)}")
        return {}
    columns: dict[str, str | tuple[str, ...]] = {}
    for key, value in raw.items():
        if key not in FIELDS:
            problems.unknown_key(key, list(FIELDS), path)
        elif (column := _column(key, value, (*path, key), problems)) is not None:
            columns[key] = column
    return columns


def _column(key: str, value: Any, path: KeyPath, problems: Problems) -> str | tuple[str, ...] | None:
    several = key in SEVERAL
    if isinstance(value, str) and value:
        return (value,) if key == "metadata" else value
    if not several or not isinstance(value, list) or not value:
        what = "a column's name or a list of them" if several else "a column's name"
        problems.add(path, f"expected {what}, got {shown(value)}")
        return None
    for index, item in enumerate(value):
        if not isinstance(item, str) or not item:
            problems.add((*path, index), f"expected a column's name, got {shown(item)}")
    return tuple(item for item in value if isinstance(item, str))


def entry(raw: Any, path: KeyPath, kind: Kind, problems: Problems) -> Placed[Spec] | None:
    """A plugin as a suite names it: `NAME`, `NAME:REST` (models), or `{NAME: {options}, as: ALIAS}`."""
    text: Any = raw
    options: dict[str, Any] = {}
    alias: str | None = None
    inner = path
    if isinstance(raw, dict):
        names = [key for key in raw if key != "as"]
        if len(names) != 1:
            found = f"names {', '.join(shown(n) for n in names[:3])}" if names else "no name"
            problems.add(path, f"expected one name as in {{NAME: {{option: value}}, as: ALIAS}}, got {found}")
            return None
        (text,) = names
        inner = (*path, text)
        options = {} if raw[text] is None else raw[text]
        if not isinstance(options, dict):
            problems.add(inner, f"expected a mapping of options, got {shown(options)}")
            return None
        options, alias = _take_alias(raw, options, path, inner, problems)
    if not isinstance(text, str):
        problems.add(path, f"expected the name of a {kind} or {{NAME: {{option: value}}}}, got {shown(text)}")
        return None
    name, _, rest = text.partition(":") if kind == "model" else (text, "", "")
    if problem := name_problem(name):
        problems.add(inner, problem, key=inner != path)
        return None
    return Placed(Spec(kind, name, rest, options, alias), path, inner)


def _take_alias(
    raw: dict[str, Any], options: dict[str, Any], path: KeyPath, inner: KeyPath, problems: Problems
) -> tuple[dict[str, Any], str | None]:
    """`as:` stands beside the name or, since no option can be called so, among the options."""
    found = [((*where, "as"), holder["as"]) for where, holder in ((path, raw), (inner, options)) if "as" in holder]
    rest = {key: value for key, value in options.items() if key != "as"}
    if len(found) == 2:
        problems.add(found[1][0], "`as:` is given twice")
    for where, alias in found[:1]:
        if not isinstance(alias, str):
            problems.add(where, f"expected text, got {shown(alias)}")
        elif problem := column_name_problem(alias):
            problems.add(where, problem)
        else:
            return rest, alias
    return rest, None
