"""The run folder as a place: removed at once, copied whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.errors import RunError, UsageError
from harness.folders import copy_run, make_folder, remove_run
from harness.journal import Journal
from harness.store import write_json, write_samples
from harness.types import Sample


def run_in(folder: Path) -> Path:
    make_folder(folder)
    write_json(folder / "run.json", {"schema_version": 1, "kind": "run"})
    write_samples(folder, [Sample("1", task="t")])
    Journal.create(folder, {"models": []})
    return folder


def test_a_run_is_removed_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    remove_run(run_in(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []
    remove_run(tmp_path / "out")  # not there: nothing to do


def test_what_is_no_run_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "samples.jsonl").write_text("{}")
    with pytest.raises(UsageError, match="holds no run"):
        remove_run(tmp_path / "data")
    assert (tmp_path / "data" / "samples.jsonl").exists()


def test_a_removal_that_was_cut_short_leaves_no_half_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(path: Path, **_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove_run(run_in(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    remove_run(tmp_path / "out")  # the next one sweeps up
    assert list(tmp_path.iterdir()) == []


def test_a_copy_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = run_in(tmp_path / "out")

    def full(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="no space"):
        copy_run(source, tmp_path / "copy")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    monkeypatch.undo()
    (tmp_path / "copy").mkdir()
    copy_run(source, tmp_path / "copy")
    assert sorted(p.name for p in (tmp_path / "copy").iterdir()) == ["journal.jsonl", "run.json", "samples.jsonl"]
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o700
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy", "out"]


def test_a_copy_overwrites_nothing(tmp_path: Path) -> None:
    source = run_in(tmp_path / "out")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "mine").write_text("x")
    with pytest.raises(UsageError, match="not empty"):
        copy_run(source, tmp_path / "copy")


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(RunError, match="is not empty and holds no run"):
        make_folder(tmp_path)
