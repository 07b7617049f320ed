"""Groups by identity: whoever hands in generations, in whatever order or pieces, one group is one (task, sample, model)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace

from harness.errors import DataError
from harness.types import Completion, Generation, Need, Preference, Sample, Whole


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


def chunks(generations: Iterable[Generation], size: int = 64) -> Iterator[list[Generation]]:
    """Lists of at most `size`, in order."""
    chunk: list[Generation] = []
    for generation in generations:
        chunk.append(generation)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def regroup(generations: Iterable[Generation]) -> Groups:
    """Raises DataError where two generations of one key are of different samples."""
    merged: dict[tuple[str, str, str], Generation] = {}
    positions: dict[tuple[str, str, str], list[int]] = {}
    start = 0
    for generation in generations:
        key, end = generation.key, start + len(generation.completions)
        known = merged.get(key)
        merged[key] = generation if known is None else _merged(known, generation)
        positions.setdefault(key, []).extend(range(start, end))
        start = end
    return Groups(tuple(merged.values()), tuple(tuple(positions[k]) for k in merged))


def _merged(known: Generation, more: Generation) -> Generation:
    check_same_sample(known.sample, more.sample)
    shift = len(known.completions)
    moved = {index: index + shift for index in range(len(more.completions))}
    return replace(
        known,
        completions=known.completions + more.completions,
        preferences=known.preferences + renumbered(more.preferences, moved),
    )


def renumbered(preferences: Iterable[Preference], new: dict[int, int]) -> tuple[Preference, ...]:
    """Preferences after their completions moved; those whose completion is gone go too."""

    def there(side: object) -> bool:
        return side == "reference" or side in new

    return tuple(
        replace(
            p,
            better=p.better if p.better == "reference" else new[p.better],
            worse=p.worse if p.worse == "reference" else new[p.worse],
        )
        for p in preferences
        if there(p.better) and there(p.worse)
    )


def check_same_sample(one: Sample, other: Sample) -> None:
    """Raises DataError, naming the fields, where two samples of one task and id differ in anything."""
    if one == other:
        return
    different = [f.name for f in fields(Sample) if getattr(one, f.name) != getattr(other, f.name)]
    raise DataError(
        f"sample {one.id!r} of task {one.task!r} comes with different {' and '.join(different)}: "
        "give what is not the same different ids"
    )


def whole_of(generations: Iterable[Generation]) -> Whole:
    """Their samples, each once, in order of first sight."""
    return Whole.of({(g.sample.task, g.sample.id): g.sample for g in generations}.values())


def has_text(completion: Completion) -> bool:
    """Whether there is something to score: a text of a model that did not fail while writing it."""
    return completion.text is not None and completion.status == "ok"


def with_texts(generation: Generation) -> Generation:
    """Without the completions that cannot be scored."""
    kept = [i for i, c in enumerate(generation.completions) if has_text(c)]
    if len(kept) == len(generation.completions):
        return generation
    return replace(
        generation,
        completions=tuple(generation.completions[i] for i in kept),
        preferences=renumbered(generation.preferences, {old: new for new, old in enumerate(kept)}),
    )


def lacking(generation: Generation, needs: frozenset[Need]) -> str | None:
    """What of `needs` the generation does not have, as a reason to abstain."""
    have: dict[Need, object] = {
        "prompt": generation.sample.prompt is not None,
        "references": generation.sample.references,
        "ratings": any(c.ratings for c in generation.completions),
        "preferences": generation.preferences,
    }
    missing = [need for need in sorted(needs) if not have[need]]
    return f"the sample has no {' and no '.join(missing)}" if missing else None
