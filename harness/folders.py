"""The run folder as a place: made once, never taken for another run's, with notes on this machine."""

from __future__ import annotations

import glob
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import manifest as manifests
from harness.errors import RunError, UsageError
from harness.files import locked
from harness.journal import NAME as JOURNAL
from harness.journal import Journal
from harness.keys import SCHEMA_VERSION, digest
from harness.store import (
    LOCAL,
    MANIFEST,
    SAMPLES,
    holds_samples,
    is_report_name,
    is_run,
    read_json,
    write_json,
    write_samples,
)
from harness.types import Json, Sample

if TYPE_CHECKING:
    from harness.registry import Registry
    from harness.suite import Suite

Samples = Mapping[str, Sequence[Sample]]
"""By task."""


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


def open_journal(
    folder: Path, suite: Suite, registry: Registry, samples: Samples, identity: Mapping[str, Json]
) -> Journal:
    """The journal of a run, begun here or to be taken up, with these very samples beside it.

    What of a sample is not in its key (language, cluster, metadata) may have been edited since: generations stay, scores
    are of the past. Raises RunError where the folder's completions were made otherwise.
    """
    flat = [s for found in samples.values() for s in found]
    if not (folder / JOURNAL).exists():
        begin(folder, suite, registry, samples, identity)
        note_local(folder, suite, {})  # where its paths start from, should it be continued from the folder
        write_samples(folder, flat)
        return Journal.create(folder, identity)
    journal = Journal.open(folder)
    check_same(journal.identity, identity, folder)
    if not holds_samples(folder, flat):
        begin(folder, suite, registry, samples, journal.identity)
        write_samples(folder, flat)
    return journal


def begin(
    folder: Path, suite: Suite, registry: Registry, samples: Samples, identity: Mapping[str, Json]
) -> dict[str, Any]:
    """Writes the manifest that says: not finished. Until it says otherwise, old files and new ones may lie side by side."""
    started = manifests.started(suite, registry, samples, identity)
    record = {**started, "reports": report_files(folder)}
    write_json(folder / MANIFEST, record)
    return record


def report_files(folder: Path) -> list[str]:
    """What the reports of the last scoring wrote, as the manifest says."""
    if not (folder / MANIFEST).exists():
        return []
    listed = read_json(folder / MANIFEST, "run").get("reports") or []
    return [name for name in listed if isinstance(name, str) and is_report_name(name)]


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


def decisive(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What of an identity decides completions: the samples (or records), and each model's generation key.

    A key says all of fingerprint, settings and adapter, and a digest of records how many they are: what is told beside
    it is for people to read.
    """
    kept = {k: v for k, v in identity.items() if k not in ("models", "settings", "records")}
    return {**kept, "models": {m["name"]: m.get("generation_key") for m in identity.get("models", ())}}


def check_same(old: Mapping[str, Any], new: Mapping[str, Any], folder: Path) -> None:
    """Raises RunError, which says what differs, where the folder's generations were made otherwise."""
    if digest(decisive(old)) == digest(decisive(new)):
        return
    found = _differences("", _readable(old), _readable(new))
    changes = [f"{p}: was {a!r}, is {b!r}" for p, a, b in found][:6]
    raise RunError(
        f"{folder} holds completions of another run, which these would not fit:\n  "
        + "\n  ".join(changes)
        + "\n  Give another --out, or --fresh to start this folder anew."
    )


def _readable(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What a person can compare: models by name, and no generation keys, which only sum up what stands beside them."""
    models = {
        m["name"]: {k: v for k, v in m.items() if k not in ("name", "generation_key")} for m in identity["models"]
    }
    samples = {task: f"samples {key[:8]}" for task, key in identity["samples"].items()}
    return {**identity, "samples": samples, "models": models}


def _differences(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _differences(f"{path}.{key}".lstrip("."), old.get(key), new.get(key))
    elif isinstance(old, Sequence) and isinstance(new, Sequence) and not isinstance(old, str) and len(old) == len(new):
        for index, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{path}[{index}]", a, b)
    elif old != new:
        yield path, _short(old), _short(new)


def _short(value: Any) -> Any:
    return "there" if isinstance(value, Mapping) else value


def note_local(folder: Path, suite: Suite, values: Mapping[str, Json]) -> None:
    """Timings and places: what differs between equal runs, kept apart from all that does not."""
    known: dict[str, Any] = {}
    if (folder / LOCAL).exists():
        known = read_json(folder / LOCAL, "local")
    place = str(suite.folder) if suite.folder else None
    record = {**known, "schema_version": SCHEMA_VERSION, "kind": "local", "suite_folder": place, **values}
    write_json(folder / LOCAL, record)
