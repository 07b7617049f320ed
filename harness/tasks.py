"""From a task's rows to samples: field mapping, template, system prompt, and rows of equal prompt merged.

A row is a mapping of columns. The suite's `fields` says which column carries what; without it, columns that
are called like our own names stand for themselves. Rows that have no id and whose final prompts are equal
are one sample with the references of all of them. Every mistake names the row, counted from 1 without a
header.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from harness.errors import DataError, nearest
from harness.records import prompt_json, prompt_of
from harness.strictjson import check, clip, dumps, shown
from harness.text import check_text
from harness.types import Json, Message, Prompt, Sample

if TYPE_CHECKING:
    from harness.suite import TaskSpec

Row: TypeAlias = "Mapping[str, Json]"
Template: TypeAlias = "tuple[tuple[str, str], ...]"
"""Pairs of literal text and the field after it (empty after the last)."""

NAMES: Final = ("id", "prompt", "reference", "references", "language", "cluster", "metadata")
"""What a column can be mapped to. `reference` is one text per row, `references` a column of lists."""

_NEEDED: Final = ("id", "prompt")
_SEVERAL: Final = ("reference", "references", "metadata")
_ID_DIGITS: Final = 12
_MARKS: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NO_FIELD: Final = re.compile(r"[.\[\]!:]|^\s|\s$|^$")


def load_samples(spec: TaskSpec, rows: Iterable[Row], *, limit: int | None = None) -> tuple[Sample, ...]:
    """The samples of a task, in the order of their first rows.

    `limit` (else `spec.limit`) keeps that many samples, each with the references of all its rows wherever
    they are. Raises `DataError` at the first row that does not fit, at a repeated id, and where there are
    no rows.
    """
    where = f"task {spec.name!r}"
    bound = spec.limit if limit is None else limit
    if bound is not None and bound < 1:
        raise DataError(f"{where}: limit {bound} leaves no samples; give 1 or more, or leave it out")
    mapper = _Mapper(spec, where)
    drafts: dict[tuple[str, Prompt], _Draft] = {}
    row: Row = {}
    for number, row in enumerate(rows, 1):
        if "id" in spec.fields and len(drafts) == bound:  # no later row can belong to a kept sample
            break
        draft = mapper.draft(row, number)
        first = drafts.get(draft.key)
        if first is not None:
            _merge(first, draft, where)
        elif bound is None or len(drafts) < bound:
            drafts[draft.key] = draft
    if not drafts:
        raise DataError(f"{where}: its source gave no rows; an empty task cannot be run")
    mapper.check_seen(row)
    samples = tuple(_sample(spec, draft) for draft in drafts.values())
    _check_ids(samples, where)
    return samples


def parse_template(template: str) -> Template:
    """The parts of a template. Raises `ValueError` on anything but text, `{field}`, `{{` and `}}`."""
    parts: list[tuple[str, str]] = []
    text, end = "", 0
    for match in _MARKS.finditer(template):
        text += template[end : match.start()]
        end = match.end()
        if match[0] in ("{{", "}}"):
            text += match[0][0]
        elif match[1] is None or _NO_FIELD.search(match[1]):
            raise ValueError(
                f"{clip(match[0])!r} at character {match.start() + 1} is no field; write the name of a"
                " column in braces, without attribute, index, conversion or format; {{ or }} is a brace"
            )
        else:
            parts.append((text, match[1]))
            text = ""
    return (*parts, (text + template[end:], ""))


@dataclass(slots=True)
class _Draft:
    """A sample whose rows are still being gathered. `id` is empty where the prompt stands for it."""

    row: int
    id: str
    prompt: Prompt
    references: list[str]
    language: str | None
    cluster: str | None
    metadata: dict[str, Json]

    @property
    def key(self) -> tuple[str, Prompt]:
        return (self.id, None if self.id else self.prompt)


class _Mapper:
    """Reads one row after another as a task's `fields`, `template` and `system` say."""

    def __init__(self, spec: TaskSpec, where: str) -> None:
        self._spec = spec
        self._where = where
        self._columns = {name: _columns(name, given, where) for name, given in spec.fields.items()}
        self._used = {c for name, columns in self._columns.items() if name != "metadata" for c in columns}
        self._unseen = {c for columns in self._columns.values() for c in columns}
        self._template = _template(spec, where)
        self._system = None if spec.system is None else check_text(spec.system, f"{where}: system")
        if self._columns and "prompt" not in self._columns and self._template is None:
            raise DataError(f"{where}: fields: no column is mapped to `prompt`; add `prompt: COLUMN`, or a `template:`")

    def draft(self, row: Row, number: int) -> _Draft:
        where = f"{self._where}, row {number}"
        if not isinstance(row, Mapping):
            raise DataError(f"{where}: expected an object of columns, not {shown(row)}")
        mapped = self._mapped(row, where)
        return _Draft(
            row=number,
            id=self._id(mapped, where),
            prompt=self._prompt(row, mapped, where),
            references=_references(mapped, where),
            language=_name(mapped.get("language", (None,))[0], f"{where}: language") or self._spec.language,
            cluster=_name(mapped.get("cluster", (None,))[0], f"{where}: cluster"),
            metadata=self._metadata(row, mapped, where),
        )

    def _mapped(self, row: Row, where: str) -> dict[str, tuple[Json, ...]]:
        """The values of each of our names, one per column mapped to it."""
        if not self._columns:
            return {name: (row[name],) for name in NAMES if name in row}
        self._unseen -= row.keys()
        return {
            name: tuple(_value(row, c, name, where) if name in _NEEDED else row.get(c) for c in columns)
            for name, columns in self._columns.items()
        }

    def check_seen(self, row: Row) -> None:
        """Rows may lack a reference or the like, but a column that none of them has is a mistake."""
        for name, columns in self._columns.items():
            for column in columns:
                if column in self._unseen:
                    _value(row, column, name, f"{self._where}, every row")

    def _id(self, mapped: Mapping[str, tuple[Json, ...]], where: str) -> str:
        if "id" not in mapped or (not self._columns and mapped["id"][0] is None):
            return ""
        text = _name(mapped["id"][0], f"{where}: id")
        if not text:
            raise DataError(f"{where}: id: empty; give each row one, or map none: the prompt then stands for it")
        return text

    def _prompt(self, row: Row, mapped: Mapping[str, tuple[Json, ...]], where: str) -> Prompt:
        prompt = self._asked(row, mapped, where)
        if not prompt:
            raise DataError(f"{where}: prompt: empty; give each row a text, or a `template:` that makes one")
        if self._system is None:
            return prompt
        if isinstance(prompt, str):
            return (Message("system", self._system), Message("user", prompt))
        if prompt[0].role == "system":
            raise DataError(f"{where}: prompt: starts with a system message already; drop the suite's `system:`")
        return (Message("system", self._system), *prompt)

    def _asked(self, row: Row, mapped: Mapping[str, tuple[Json, ...]], where: str) -> Prompt:
        if self._template is not None:
            return _rendered(self._template, row, mapped, where)
        value = mapped["prompt"][0] if "prompt" in mapped else _value(row, "prompt", "prompt", where)
        return prompt_of(value, f"{where}: prompt")

    def _metadata(self, row: Row, mapped: Mapping[str, tuple[Json, ...]], where: str) -> dict[str, Json]:
        """Columns that were asked for, else all scalars left over; an object in `metadata` is laid out."""
        if "metadata" in self._columns:
            chosen = dict(zip(self._columns["metadata"], mapped["metadata"], strict=True))
        else:
            left = self._used if self._columns else set(NAMES) - {"metadata"}
            chosen = {c: v for c, v in row.items() if c not in left and (_scalar(v) or c == "metadata")}
            chosen = {c: v for c, v in chosen.items() if c != "metadata" or v is not None}
        found: dict[str, Json] = {}
        for column, value in chosen.items():
            laid = value if column == "metadata" and isinstance(value, Mapping) else {column: value}
            # One level is the record's own: deeper, its line in the run folder could not be read back.
            found.update(cast("Mapping[str, Json]", check(_without_nan(laid), f"{where}: metadata", 1)))
        return found


def _columns(name: str, given: str | tuple[str, ...], where: str) -> tuple[str, ...]:
    if name not in NAMES:
        raise DataError(f"{where}: fields: unknown name {clip(name)!r}{nearest(name, NAMES)}")
    columns = (given,) if isinstance(given, str) else tuple(given)
    if len(columns) != 1 and name not in _SEVERAL:
        raise DataError(f"{where}: fields.{name}: takes one column, not {len(columns)}")
    return columns


def _template(spec: TaskSpec, where: str) -> Template | None:
    if spec.template is None:
        return None
    try:
        return parse_template(check_text(spec.template, f"{where}: template"))
    except ValueError as error:
        raise DataError(f"{where}: template: {error}") from None


def _rendered(template: Template, row: Row, mapped: Mapping[str, tuple[Json, ...]], where: str) -> str:
    pieces: list[str] = []
    for text, field in template:
        pieces.append(text)
        if field:
            pieces.append(_filled(field, row, mapped, where))
    return "".join(pieces)


def _filled(field: str, row: Row, mapped: Mapping[str, tuple[Json, ...]], where: str) -> str:
    if field in mapped and len(mapped[field]) == 1:
        value = mapped[field][0]
    elif field in row:
        value = row[field]
    else:
        names = {*row, *mapped}
        raise DataError(f"{where}: template: there is no field {clip(field)!r}{_near(field, names)}")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(check(value, f"{where}: {field}"))
    if isinstance(value, str):
        return check_text(value, f"{where}: {field}")
    raise DataError(
        f"{where}: template: {clip(field)!r} is {shown(value)}; only text and numbers can stand in a template"
    )


def _value(row: Row, column: str, name: str, where: str) -> Json:
    if column in row:
        return row[column]
    raise DataError(f"{where}: there is no column {clip(column)!r} for `{name}`{_near(column, row)}")


def _near(name: str, available: Iterable[str]) -> str:
    names = [clip(str(n)) for n in available]
    hint = nearest(name, names)
    return (
        f"{hint} (there is {', '.join(sorted(names))})"
        if "did you mean" in hint
        else f"{hint}; set the task's `fields:`"
    )


def _references(mapped: Mapping[str, tuple[Json, ...]], where: str) -> list[str]:
    """All references of a row. An empty cell is no reference: files of rows cannot tell it from none."""
    found = [_name(value, f"{where}: reference") for value in mapped.get("reference", ())]
    for value in mapped.get("references", ()):
        if value is None:
            continue
        if not isinstance(value, list | tuple):
            raise DataError(
                f"{where}: references: expected a list of texts, not {shown(value)};"
                " map a column of texts as `reference`"
            )
        found += [_name(item, f"{where}: references[{index}]") for index, item in enumerate(value)]
    return [text for text in found if text]


def _name(value: Json, where: str) -> str | None:
    """A text, or a number as text; `None` where there is none."""
    if value is None or value == "":
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(check(value, where))
    if not isinstance(value, str):
        raise DataError(f"{where}: expected text, not {shown(value)}")
    return check_text(value, where)


def _scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _without_nan(values: Mapping[str, Json]) -> dict[str, Json]:
    """Columnar files write a missing number as NaN."""
    return {key: None if value != value else value for key, value in values.items()}


def _merge(first: _Draft, later: _Draft, where: str) -> None:
    if first.id:
        raise DataError(
            f"{where}: rows {first.row} and {later.row} have the same id {clip(first.id)!r}; an id names"
            " one sample (leave `id` unmapped to merge rows with equal prompts)"
        )
    for name, one, other in (
        ("language", first.language, later.language),
        ("cluster", first.cluster, later.cluster),
    ):
        if one != other:
            raise DataError(
                f"{where}: rows {first.row} and {later.row} have the same prompt, but {name} {one!r} and"
                f" {other!r}; make them agree, or map an `id`"
            )
    first.references += later.references
    # What differs belongs to the rows (an annotator, say), not to the sample.
    first.metadata = {k: v for k, v in first.metadata.items() if k in later.metadata and later.metadata[k] == v}


def _sample(spec: TaskSpec, draft: _Draft) -> Sample:
    return Sample(
        id=draft.id or _digest(draft.prompt),
        prompt=draft.prompt,
        references=tuple(draft.references),
        task=spec.name,
        language=draft.language,
        cluster=draft.cluster,
        metadata=draft.metadata,
    )


def _digest(prompt: Prompt) -> str:
    return hashlib.sha256(dumps(prompt_json(prompt)).encode()).hexdigest()[:_ID_DIGITS]


def _check_ids(samples: tuple[Sample, ...], where: str) -> None:
    """Ids made of prompts are short enough to meet by chance, or to meet one that a row gave."""
    seen: set[str] = set()
    for sample in samples:
        if sample.id in seen:
            raise DataError(f"{where}: two samples came by the id {sample.id!r}; map an `id` column")
        seen.add(sample.id)
