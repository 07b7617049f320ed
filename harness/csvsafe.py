"""Text cells of a CSV that no spreadsheet takes for a formula, and the way back to the exact text.

A spreadsheet runs a cell that starts with `= + - @` or their full-width forms; tabs and line breaks at the
start make some of them look further, and so do spaces and invisible characters. Such a text gets an
apostrophe in front, the mark by which spreadsheets know text.

The rule loses nothing. Call a text *risky* if, after any number of apostrophes and then any number of
ignorable characters, a trigger follows. `safe_cell` puts one apostrophe before a risky text and leaves every
other text as it is; `plain_cell` takes one apostrophe away if what follows is risky. A text that is not
risky never looks like an apostrophe before a risky one (that would make it risky itself), so
`plain_cell(safe_cell(text)) == text` for all texts.

Only text needs this. Numbers are written by `repr`: -0.5 stays -0.5.

Rows need care too: the standard library's writer quotes a carriage return only where it is part of the line end,
and unquoted it begins a new row, whose first cell nobody made safe. `csv_line` quotes it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_TRIGGERS: Final = (
    r"\t\r\n=+\-@"
    # What NFKC folds to one of the four signs, which is how a spreadsheet in a full-width locale reads them.
    r"\u207a\u207c\u208a\u208c\ufb29\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
)
_IGNORABLE: Final = (
    # Control characters and spaces that are no trigger, then Unicode's default ignorables and the Braille
    # blank.
    r"\x00-\x08\x0b\x0c\x0e-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# The classes share no character, so matching takes linear time.
_RISKY: Final = re.compile(f"'*[{_IGNORABLE}]*[{_TRIGGERS}]")
# Semicolons and tabs too: some spreadsheets take them for delimiters by locale.
_NEEDS_QUOTES: Final = re.compile(r'[",;\t\r\n]|^\s|\s$')


def safe_cell(value: str) -> str:
    """`value` with an apostrophe before it where a spreadsheet might run it."""
    return f"'{value}" if _RISKY.match(value) else value


def plain_cell(cell: str) -> str:
    """The text that `safe_cell` made `cell` of."""
    return cell[1:] if cell.startswith("'") and _RISKY.match(cell, 1) else cell


def csv_cell(value: str | int | float | None) -> str:
    """Any value as a cell: text made safe, numbers by `repr`, `None` empty."""
    if value is None:
        return ""
    return safe_cell(value) if isinstance(value, str) else repr(value)


def csv_line(values: Iterable[str | int | float | None]) -> str:
    """A row of a CSV with its line feed: `csv_cell` of each value, quoted where need be."""
    return ",".join([_quoted(safe_cell(v)) if isinstance(v, str) else csv_cell(v) for v in values]) + "\n"


def _quoted(cell: str) -> str:
    if not _NEEDS_QUOTES.search(cell):
        return cell
    return '"' + cell.replace('"', '""') + '"'
