"""Files that are whole or not there: temporary name in the same folder, sync, rename, sync of the folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from harness.errors import IncompleteError, RunError

_DISK_FAULTS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS))


def sync(descriptor: int) -> None:
    """Data on disk, and as much of the file's description as is needed to read it."""
    getattr(os, "fdatasync", os.fsync)(descriptor)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file under an exclusive random name; it takes its real name only when all went well.

    Raises IncompleteError where the file cannot be made, or the disk is full or fails.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise _unwritten(path, error) from error
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            sync(file.fileno())
        os.rename(name, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        if isinstance(error, OSError) and error.errno in _DISK_FAULTS:
            raise _unwritten(path, error) from error
        raise
    sync_folder(path.parent)


def _unwritten(path: Path, error: OSError) -> IncompleteError:
    return IncompleteError(f"{path}: could not write: {error.strerror}; what was there before is as it was")


def write_atomically(path: Path, data: bytes) -> Path:
    with replacing(path) as file:
        file.write(data)
    return path


def sweep(folder: Path) -> None:
    """Remove what a killed process left under temporary names. Only under the folder's lock."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer per run folder. The lock goes with the process, however that ends."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"{folder}: another process is writing this run; wait for it, or use another --out"
            ) from None
        yield
    finally:
        os.close(descriptor)
