"""Small journals for tests."""

from __future__ import annotations

import itertools
from pathlib import Path

from harness.journal import NAME, Journal, Recorded
from harness.types import Completion, Generation, Json, Sample

IDENTITY: dict[str, Json] = {"samples": {"t": "5eed"}, "models": [{"name": "m"}], "settings": {"n": 2}}
SIZES = (2, 1, 3, 2)


def recorded(number: int, *texts: str | None, model: str = "m") -> Recorded:
    completions = tuple(
        Completion(t, tokens=3) if t is not None else Completion(None, "error", "it broke") for t in texts
    )
    return Recorded(f"key{number}", Generation(Sample(f"s{number}", task="t"), model, completions))


def batches(sizes: tuple[int, ...] = SIZES) -> list[list[Recorded]]:
    numbers = itertools.count()
    return [[recorded(n, f"text {n}", f"other {n}") for n in itertools.islice(numbers, size)] for size in sizes]


def filled(folder: Path, sizes: tuple[int, ...] = SIZES) -> Path:
    journal = Journal.create(folder, IDENTITY)
    for batch in batches(sizes):
        journal.append(batch)
    return folder / NAME


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def everything(journal: Journal) -> list[Recorded]:
    return list(journal.read(journal.index))
