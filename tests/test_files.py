"""Files that are whole or not there, one writer per folder."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import IncompleteError, RunError
from harness.files import locked, replacing, sweep, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture
def open_umask() -> Iterator[None]:
    old = os.umask(0)
    yield
    os.umask(old)


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert write_atomically(path, b"one") == path
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(tmp_path) == ["a.json"]


@pytest.mark.usefixtures("open_umask")
def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    path = write_atomically(tmp_path / "a", b"secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("fault", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_what_fails_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path: Path, fault: BaseException) -> None:
    path = write_atomically(tmp_path / "a", b"old")
    with pytest.raises(type(fault)), replacing(path) as file:
        file.write(b"half of the ne")
        raise fault
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_it_has_its_name_only_when_it_is_whole_and_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order that survives a power cut: data, then the name, then the folder that holds the name."""
    path = tmp_path / "a"
    calls: list[str] = []

    def traced(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Any, *rest: Any) -> Any:
            kind = what
            if isinstance(target, int):
                info = os.fstat(target)
                kind = "sync folder" if stat.S_ISDIR(info.st_mode) else f"sync {info.st_size} bytes"
            calls.append(f"{kind}, {'there' if path.exists() else 'not there'}")
            return function(target, *rest)

        return call

    monkeypatch.setattr(os, "fdatasync", traced("sync", os.fdatasync))
    monkeypatch.setattr(os, "fsync", traced("sync", os.fsync))
    monkeypatch.setattr(os, "rename", traced("rename", os.rename))
    write_atomically(path, b"12345")
    assert calls == ["sync 5 bytes, not there", "rename, not there", "sync folder, there"]


def test_where_there_is_no_fdatasync_fsync_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync
    monkeypatch.delattr(os, "fdatasync")
    monkeypatch.setattr(os, "fsync", lambda d: (synced.append(d), real(d))[1])
    write_atomically(tmp_path / "a", b"x")
    assert len(synced) == 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
@pytest.mark.parametrize("where", ["write", "sync", "rename"])
def test_a_full_disk_is_one_message_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, code: int
) -> None:
    path = write_atomically(tmp_path / "a.csv", b"old")

    def full(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, {"sync": "fdatasync"}.get(where, where), full)
    with pytest.raises(IncompleteError, match=r"a\.csv.*" + os.strerror(code)), replacing(path) as file:
        file.write(b"new")
        if where == "write":
            full()
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.csv"]


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "report.html").symlink_to(victim)
    write_atomically(folder / "report.html", b"report")
    assert victim.read_bytes() == b"mine"
    assert not (folder / "report.html").is_symlink()


def test_a_link_planted_under_the_temporary_name_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".a.guessed.tmp").symlink_to(victim)
    monkeypatch.setattr(tempfile, "_get_candidate_names", lambda: iter(["guessed", "another"]))
    write_atomically(folder / "a", b"report")
    assert victim.read_bytes() == b"mine"
    assert (folder / "a").read_bytes() == b"report"


def test_temporary_names_cannot_be_guessed(tmp_path: Path) -> None:
    seen = set()
    for _ in range(50):
        with replacing(tmp_path / "a"):
            seen.update(p.name for p in tmp_path.glob(".a.*"))
    assert len(seen) == 50
    assert all(name.endswith(".tmp") for name in seen)


def test_sweeping_takes_only_what_killed_writers_left(tmp_path: Path) -> None:
    for name in (".run.json.x1y2.tmp", ".segments.csv.zz.tmp", ".lock", "run.json", "notes.tmp", ".hidden"):
        (tmp_path / name).write_bytes(b"")
    sweep(tmp_path)
    assert names(tmp_path) == [".hidden", ".lock", "notes.tmp", "run.json"]


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(RunError, match="another process is writing this run"), locked(tmp_path):
        pass


@pytest.mark.parametrize("fault", [None, ValueError(), KeyboardInterrupt()])
def test_the_lock_ends_with_its_holder(tmp_path: Path, fault: BaseException | None) -> None:
    try:
        with locked(tmp_path):
            if fault is not None:
                raise fault
    except (ValueError, KeyboardInterrupt):
        pass
    with locked(tmp_path):
        assert stat.S_IMODE((tmp_path / ".lock").stat().st_mode) & 0o077 == 0
