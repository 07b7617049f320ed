"""Suites that distributions ship: packages named by entry points in the group `harness.suites`, one YAML file each."""

from __future__ import annotations

import importlib.util
from importlib.metadata import entry_points
from pathlib import Path

from harness.errors import UsageError, nearest

GROUP = "harness.suites"


def bundled_suites() -> dict[str, Path]:
    """Files by the name they are run by. No package is imported beyond its parents."""
    found: dict[str, Path] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name, p.value)):
        spec = importlib.util.find_spec(point.value)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            for path in sorted(Path(folder).glob("*.yaml")):
                found.setdefault(path.stem, path)
    return found


def find_suite(name: str) -> Path:
    """A suite's file, by its path or by the name of a bundled one."""
    path = Path(name)
    if path.is_file():
        return path
    bundled = bundled_suites()
    if name in bundled:
        return bundled[name]
    what = "is a folder, but not of a run" if path.is_dir() else "is no suite file"
    raise UsageError(f"{name} {what}, and no bundled suite has this name{nearest(name, bundled)}")
