"""The run folder as a place: made once, never taken for another run's, with notes on this machine."""

from __future__ import annotations

import glob
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import RunError, UsageError
from harness.files import locked
from harness.journal import NAME as JOURNAL
from harness.journal import Journal
from harness.keys import digest
from harness.store import LOCAL, MANIFEST, SAMPLES, is_run, read_json, write_json
from harness.types import Json

if TYPE_CHECKING:
    from harness.suite import Suite


def make_folder(folder: Path) -> None:
    """A folder for a run, readable by its owner only. Raises RunError where something else lies in it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot make the run folder: {error.strerror}") from None
    strangers = [p.name for p in folder.iterdir() if not p.name.startswith(".")]
    if strangers and not is_run(folder):
        raise RunError(f"{folder} is not empty and holds no run ({strangers[0]} lies there): give another --out")


def remove_run(folder: Path) -> None:
    """Only what is a run is ever removed, and at once: a process killed meanwhile leaves the rest under a hidden name."""
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.*.removed"):
        shutil.rmtree(left, ignore_errors=True)
    if not folder.exists():
        return
    if not is_run(folder):
        raise UsageError(f"--fresh: {folder} holds no run, so it is left alone")
    gone = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.removed")
    with locked(folder):
        folder.rename(gone)
    shutil.rmtree(gone)


def copy_run(source: Path, out: Path) -> None:
    """What a run generated, without its scores, as a folder that is whole or not there."""
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"--out {out}: not empty")
    Journal.open(source)  # damage is found before it is copied
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent) as made:
        whole = Path(made) / "run"
        whole.mkdir(mode=0o700)
        for name in (SAMPLES, JOURNAL, MANIFEST, LOCAL):
            if (source / name).exists():
                shutil.copyfile(source / name, whole / name)
        whole.rename(out)


def check_same(old: Mapping[str, Any], new: Mapping[str, Any], folder: Path) -> None:
    """Raises RunError, which says what differs, where the folder's generations were made otherwise."""
    if digest(dict(old)) == digest(dict(new)):
        return
    changes = [f"{p}: was {a!r}, is {b!r}" for p, a, b in _differences("", old, new)][:6]
    raise RunError(
        f"{folder} holds completions of another run, which these would not fit:\n  "
        + "\n  ".join(changes)
        + "\n  Give another --out, or --fresh to start this folder anew."
    )


def _differences(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _differences(f"{path}.{key}".lstrip("."), old.get(key), new.get(key))
    elif isinstance(old, Sequence) and isinstance(new, Sequence) and not isinstance(old, str) and len(old) == len(new):
        for index, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{path}[{index}]", a, b)
    elif old != new:
        yield path, old, new


def note_local(folder: Path, suite: Suite, values: Mapping[str, Json]) -> None:
    """Timings and places: what differs between equal runs, kept apart from all that does not."""
    known: dict[str, Any] = {}
    if (folder / LOCAL).exists():
        known = read_json(folder / LOCAL, "local")
    place = str(suite.folder) if suite.folder else None
    record = {**known, "schema_version": 1, "kind": "local", "suite_folder": place, **values}
    write_json(folder / LOCAL, record)
