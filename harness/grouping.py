"""Groups by identity: whoever hands in generations, in whatever order or pieces, one group is one (task, sample, model)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from harness.errors import DataError
from harness.types import Generation


@dataclass(frozen=True, slots=True)
class Groups:
    """`generations` are whole groups, in order of first sight; `positions[g][i]` is where the i-th completion stood."""

    generations: tuple[Generation, ...]
    positions: tuple[tuple[int, ...], ...]

    def by_table(self) -> Iterator[tuple[list[int], list[Generation]]]:
        """(positions, groups) for each task and model."""
        tables: dict[tuple[str, str], tuple[list[int], list[Generation]]] = {}
        for generation, positions in zip(self.generations, self.positions, strict=True):
            table = tables.setdefault((generation.sample.task, generation.model), ([], []))
            table[0].extend(positions)
            table[1].append(generation)
        yield from tables.values()


def regroup(generations: Iterable[Generation]) -> Groups:
    """Raises DataError where two generations of one key differ in prompt or references."""
    merged: dict[tuple[str, str, str], Generation] = {}
    positions: dict[tuple[str, str, str], list[int]] = {}
    start = 0
    for generation in generations:
        key, end = generation.key, start + len(generation.completions)
        known = merged.get(key)
        if known is None:
            merged[key] = generation
        else:
            _check_same(known, generation)
            merged[key] = replace(
                known,
                completions=known.completions + generation.completions,
                preferences=known.preferences + generation.preferences,
            )
        positions.setdefault(key, []).extend(range(start, end))
        start = end
    return Groups(tuple(merged.values()), tuple(tuple(positions[k]) for k in merged))


def _check_same(one: Generation, other: Generation) -> None:
    for what in ("prompt", "references"):
        if getattr(one.sample, what) != getattr(other.sample, what):
            raise DataError(
                f"sample {one.sample.id!r} of task {one.sample.task!r} comes twice for model {one.model!r} "
                f"with different {what}: give the two different ids"
            )
