"""What things may be called, and which names the columns of exports have already."""

from __future__ import annotations

import re
from typing import Final

from harness.suite_nodes import shown

NAME_PATTERN: Final = "[A-Za-z][A-Za-z0-9_.-]*"
NAME_RULE: Final = "a name starts with a letter and holds letters, digits, _ . -"
RESERVED: Final = frozenset(
    (
        *("task", "sample", "model", "completion", "completion_index", "cluster", "sample_key"),  # columns of exports
        *("reward", "status", "reason"),
    ),
)
RESERVED_STARTS: Final = ("reward.", "completion.")
RESERVED_ENDS: Final = (".status", ".reason")

_NAME: Final = re.compile(NAME_PATTERN)
_LONGEST: Final = 100


def name_problem(name: object) -> str | None:
    """What is wrong with a name, if anything."""
    if isinstance(name, str) and len(name) <= _LONGEST and _NAME.fullmatch(name):
        return None
    return f"{shown(name)} is no name: {NAME_RULE}"


def column_name_problem(name: object) -> str | None:
    """What is wrong with the name of a score or a term, if anything: it becomes a column beside those of the export.

    Those are the keys of a row, `NAME.status` and `NAME.reason` of every score, and `reward.TERM`.
    """
    if (problem := name_problem(name)) or not isinstance(name, str):
        return problem
    if name in RESERVED:
        others = ", ".join(sorted(RESERVED - {name}))
        return f"{name!r} is reserved (so are {others}); take another name"
    part = next((f"start with {s}" for s in RESERVED_STARTS if name.startswith(s)), None)
    part = part or next((f"end in {e}" for e in RESERVED_ENDS if name.endswith(e)), None)
    return f"{name!r} is reserved (so are all names that {part}); take another name" if part else None
