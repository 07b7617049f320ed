"""Where a suite's data lies: a path as the user wrote it, and the folders it may be relative to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA_VARIABLE: Final = "HARNESS_DATA"


def data_folder(option: Path | None, environ: Mapping[str, str] | None = None) -> Path | None:
    """The folder of `--data`, else of HARNESS_DATA, else none. Raises `DataError` where it is no folder."""
    variable = (os.environ if environ is None else environ).get(DATA_VARIABLE)
    folder = option if option is not None else Path(variable) if variable else None
    if folder is not None and not folder.is_dir():
        by = "--data" if option is not None else DATA_VARIABLE
        raise DataError(f"{folder}: {by} names no folder that can be read")
    return folder


def resolve_path(rest: str, *, suite_folder: Path | None, data_dir: Path | None) -> Path:
    """The absolute path of a data file.

    An absolute path (or one from `~`) stands for itself; another is looked for in the data folder, in the
    folders right under it, beside the suite, and in the working folder; the first file found is taken.
    Raises `DataError` that says where it looked, and where two folders under the data folder hold it.
    """
    if not rest:
        raise DataError("a data file needs a path: write file:PATH")
    path = Path(os.path.expanduser(rest))  # unlike pathlib's, lets a name be that is no user's
    if path.is_absolute():
        if not _is_file(path):
            raise DataError(f"{path}: {_missing(path)}")
        return path
    found = _in_data(path, data_dir)
    bases = [base for base in (suite_folder, Path.cwd()) if base is not None]
    found = found or next((base / path for base in bases if _is_file(base / path)), None)
    if found is None:
        raise DataError(_not_found(rest, data_dir, bases))
    return found.absolute()


def _in_data(path: Path, data_dir: Path | None) -> Path | None:
    if data_dir is None:
        return None
    if _is_file(data_dir / path):
        return data_dir / path
    found = [folder / path for folder in _subfolders(data_dir) if _is_file(folder / path)]
    if len(found) > 1:
        raise DataError(f"{path}: lies in both {found[0].parent} and {found[1].parent}; name one of them with --data")
    return found[0] if found else None


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if entry.is_dir())
    except OSError:
        return []


def _is_file(path: Path) -> bool:
    """Whether something that can be read as a file is there; a pipe will do, a folder will not."""
    try:
        return path.exists() and not path.is_dir()
    except OSError:  # a name too long, a folder that may not be entered
        return False


def _missing(path: Path) -> str:
    return "this is a folder; name a file in it" if path.is_dir() else "there is no such file"


def _not_found(rest: str, data_dir: Path | None, bases: list[Path]) -> str:
    data = [] if data_dir is None else [str(data_dir), f"{data_dir}/*"]
    looked = list(dict.fromkeys([*data, *(str(base) for base in bases)]))
    return (
        f"{rest!r}: there is no such file in {', '.join(looked)};"
        f" say where data lies with --data DIR or the variable {DATA_VARIABLE}"
    )
