"""The lists behind `bias`: pairs of demographic terms, occupations, and the shares that are expected of them.

Bundled lists lie in `data/*.tsv`, a user's own in a file (TSV, CSV or JSONL) or in the suite.
"""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

GROUPS = ("gender", "names", "origin", "religion")
"""Bundled lists of pairs, each a file `data/NAME.tsv`."""

LANGUAGES = frozenset(("en", "eng", "zh", "cmn", "yue"))
"""What the bundled lists are in."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Terms that stand for each other. `both`: (a, b) each way. `one_way`: (from, to). `kept`: words that only hold one."""

    both: tuple[tuple[str, str], ...]
    one_way: tuple[tuple[str, str], ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def first(self) -> frozenset[str]:
        """The terms of the first column (male, in the bundled list of genders)."""
        return frozenset([a for a, _ in self.both] + [to for _, to in self.one_way])

    @property
    def second(self) -> frozenset[str]:
        return frozenset([b for _, b in self.both] + [term for term, _ in self.one_way])

    def joined(self, other: Pairs) -> Pairs:
        return Pairs(self.both + other.both, self.one_way + other.one_way, self.kept + other.kept)


def digest(content: object) -> str:
    """Eight digits that change with the content of a list."""
    text = json.dumps(content, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _bundled_rows(name: str) -> list[list[str]]:
    text = files("harness_plugins").joinpath("data", f"{name}.tsv").read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]


@cache
def bundled_pairs(group: str) -> Pairs:
    rows = _bundled_rows(group)
    return Pairs(
        tuple((row[0], row[1]) for row in rows if len(row) == 2 and row[1] != "="),
        tuple((row[1], row[0]) for row in rows if row[-1] == "<"),
        tuple(row[0] for row in rows if row[1] == "="),
    )


@cache
def bundled_occupations() -> Mapping[str, str]:
    """Every form of an occupation and the name it is counted under."""
    return {form: row[0] for row in _bundled_rows("occupations") for form in row}


def check_groups(groups: Sequence[str]) -> None:
    for group in groups:
        if group not in GROUPS:
            raise ValueError(f"groups: {group!r} is unknown; there is {', '.join(GROUPS)}")
    if len(set(groups)) < len(groups):
        raise ValueError("groups: one is named twice")


def own_pairs(given: str | Sequence[Sequence[str]]) -> Pairs:
    """A user's pairs, from a file of two columns without a header, or listed. Raises ValueError at a bad one."""
    rows = _file_rows("pairs", given) if isinstance(given, str) else given
    for row in rows:
        if (
            isinstance(row, str)
            or len(row) != 2
            or not all(isinstance(term, str) and term.strip() == term and term for term in row)
        ):
            raise ValueError(f"pairs: {row!r} is no pair of two terms")
    return checked(Pairs(tuple((a, b) for a, b in rows)))


def checked(pairs: Pairs) -> Pairs:
    """The same. Raises ValueError where a term could become either of two."""
    seen: set[str] = set()
    for term in [term for pair in pairs.both for term in pair] + [term for term, _ in pairs.one_way]:
        if term.casefold() in seen:
            raise ValueError(f"pairs: {term!r} stands in two places, so that nothing says what becomes of it")
        seen.add(term.casefold())
    if not seen:
        raise ValueError("pairs: an empty list")
    return pairs


def own_occupations(given: str | Sequence[str]) -> Mapping[str, str]:
    """A user's occupations: a file of a name per line (its other forms in further columns), or a list."""
    rows = _file_rows("occupations", given) if isinstance(given, str) else [[name] for name in given]
    for row in rows:
        if not row or not all(isinstance(form, str) and form and form == form.strip() for form in row):
            raise ValueError(f"occupations: {row!r} is no name of an occupation")
    if not rows:
        raise ValueError("occupations: an empty list")
    return {form: row[0] for row in rows for form in (*row, *([] if len(row) > 1 else plurals(row[0])))}


def plurals(name: str) -> tuple[str, ...]:
    """An English plural by rule, besides the name itself; none of a word in another alphabet."""
    if not (name.isascii() and name[-1].isalpha()):
        return ()
    if name.endswith("person"):
        return (f"{name[:-6]}people", f"{name}s")
    if name.endswith("y") and name[-2:-1] not in ("a", "e", "o", "u", ""):
        return (f"{name[:-1]}ies",)
    return (f"{name}es",) if name.endswith(("s", "x", "z", "ch", "sh")) else (f"{name}s",)


def own_targets(path: str) -> Mapping[str, float]:
    """Expected shares of women, from a table with the columns `occupation` and `share_female` (0 to 1) or
    `bls_pct_female` (0 to 100, as Winogender has it).
    """
    header, *rows = _file_rows("targets", path) or [[]]
    column, most = ("share_female", 1.0) if "share_female" in header else ("bls_pct_female", 100.0)
    if "occupation" not in header or column not in header:
        raise ValueError(
            f"targets: {path!r} needs the columns occupation and share_female (0 to 1) or bls_pct_female (0 to 100); its"
            f" first line holds {', '.join(map(repr, header)) or 'nothing'}"
        )
    found: dict[str, float] = {}
    for row in rows:
        cells = dict(zip(header, row, strict=False))
        name, share = cells.get("occupation"), _share(cells.get(column, ""), most)
        if share is None or not isinstance(name, str) or not name or name in found:
            raise ValueError(f"targets: {path!r}: {row!r} gives no share of {column}, or no new occupation")
        found[name] = share
    if not found:
        raise ValueError(f"targets: {path!r} names no occupation")
    return found


def _share(cell: str, most: float) -> float | None:
    try:
        value = float(cell) / most
    except (TypeError, ValueError):  # a JSON row may hold anything
        return None
    return value if 0 <= value <= 1 else None


def _file_rows(option: str, given: str) -> list[list[str]]:
    """Rows of a file by its suffix, blank lines and those that start with # left out."""
    path = Path(given).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise ValueError(
            f"{option}: {given!r} cannot be read ({reason}); a path is taken from the working folder"
        ) from None
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if path.suffix in (".jsonl", ".ndjson"):
        return [_json_row(option, given, line) for line in lines]
    return [[cell.strip() for cell in row] for row in _cells(lines, "," if path.suffix == ".csv" else "\t")]


def _cells(lines: Iterable[str], delimiter: str) -> Iterable[list[str]]:
    return csv.reader(lines, delimiter=delimiter) if delimiter == "," else (line.split(delimiter) for line in lines)


def _json_row(option: str, path: str, line: str) -> list[str]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, list):
        raise ValueError(f"{option}: {path!r}: {line[:60]!r} is no JSON array of texts")
    return row
