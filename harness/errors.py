"""What goes wrong, by whose doing.

HarnessError                 shown as one message, never as a traceback
├── UsageError               2  the command line: unknown option value, missing file, folder in use
├── SuiteError               2  the suite file: every mistake in it, with line and column
├── DataError                2  records, rows or references that cannot be read
├── PluginError              2  a plugin that is broken, missing, or registered twice
├── RunError                 2  a run folder that does not fit: other settings, damaged journal
└── IncompleteError          3  work that ended without all it promised

`exit_code` is what the command line returns. 1 belongs to the gate alone, 4 to exceptions that are not ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HarnessError(Exception):
    """Base of all errors that are shown to a person: what, where, nearest valid name, what to do."""

    exit_code = 2


class UsageError(HarnessError):
    pass


class SuiteError(HarnessError):
    pass


class DataError(HarnessError):
    pass


class PluginError(HarnessError):
    pass


class RunError(HarnessError):
    pass


class IncompleteError(HarnessError):
    exit_code = 3


def nearest(name: str, valid: Iterable[str]) -> str:
    """`; did you mean 'x'?` where something is near, else the valid names, else nothing. Starts with its own mark."""
    names = sorted(set(valid))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(names)}" if names else ""
