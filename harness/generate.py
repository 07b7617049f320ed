"""Samples x one model -> generations in the journal, batch by batch, resumable.

The plan of batches is a pure function of samples and settings (and the model's own count of prompt tokens), so that a
run that was interrupted makes the same batches again as one that was not: floating point depends on what shares a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from harness.errors import DataError, HarnessError, PluginError
from harness.grouping import has_text
from harness.interfaces import CountsTokens
from harness.journal import Journal, Key, Recorded
from harness.keys import sample_key, seeds_of
from harness.records import generation_of, record_of
from harness.text import clean_text
from harness.types import Completion, Generation, Request, Sample, Settings

if TYPE_CHECKING:
    from harness.interfaces import Model

Progress = Callable[[int, int], None]
"""Called after each batch with the completions and the new tokens it brought."""

_CHARACTERS_PER_TOKEN = 4


def plan(lengths: Sequence[int], settings: Settings, keys: Sequence[str] = ()) -> list[list[int]]:
    """Batches of indices: like lengths together, longest first, rows times padded length within `batch_tokens`.

    Longest first, so that what does not fit into memory is known at once. A sample's completions stay together. Equal
    lengths stand in the order of `keys`, so that the order of the samples changes no batch.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], keys[i] if keys else "", i))
    rows = max(settings.n, settings.num_beams)
    batches: list[list[int]] = []
    room = 0
    for index in order:
        if room < 1:
            room = max(1, settings.batch_tokens // ((lengths[index] + settings.max_new_tokens) * rows))
            batches.append([])
        batches[-1].append(index)
        room -= 1
    return batches


def prompt_lengths(model: Model, requests: Sequence[Request]) -> list[int]:
    """In tokens where the model can count them, else estimated from characters."""
    if isinstance(model, CountsTokens):
        try:
            lengths = [int(n) for n in model.prompt_tokens(requests)]
        except (HarnessError, KeyboardInterrupt):
            raise
        except BaseException as error:  # an adapter is a plugin: it may raise anything
            raise _failure(model, error) from error
        if len(lengths) != len(requests) or any(n < 0 for n in lengths):
            raise PluginError(f"model {model.name!r} did not give one length for each of {len(requests)} prompts")
        return lengths
    return [math.ceil(_characters(r.sample) / _CHARACTERS_PER_TOKEN) for r in requests]


def _characters(sample: Sample) -> int:
    if isinstance(sample.prompt, tuple):
        return sum(len(m.content) for m in sample.prompt)
    return len(sample.prompt or "")


def generate(
    model: Model,
    name: str,
    samples: Sequence[Sample],
    settings: Settings,
    journal: Journal,
    progress: Progress | None = None,
    failed: Set[Key] = frozenset(),
) -> None:
    """Bring every sample's completions by `model` into the journal, under `name`; those already there stay.

    Where a key is in `failed` they are made once more: a text that was there is kept where this time there is none.
    What the model says of single requests (an error, a timeout) is recorded with them. What it raises ends the run,
    with all finished batches safe.
    """
    requests = [Request(s, seeds_of(settings.seed, s, settings.n)) for s in samples]
    keys = [sample_key(s) for s in samples]
    task = samples[0].task if samples else ""
    names = [(task, name, key) for key in keys]
    missing = {i for i, key in enumerate(names) if key not in journal.index or key in failed}
    if not missing:
        return
    for batch in plan(prompt_lengths(model, requests), settings, keys):
        due = [i for i in batch if i in missing]
        if not due:
            continue
        made = _complete(model, [requests[i] for i in due], settings)
        records = [
            Recorded(keys[i], Generation(samples[i], name, completions))
            for i, completions in zip(due, made, strict=True)
        ]
        journal.append([_with_old_texts(r, journal) for r in records])
        if progress is not None:
            progress(len(due) * settings.n, sum(c.tokens or 0 for row in made for c in row))


def _with_old_texts(record: Recorded, journal: Journal) -> Recorded:
    if record.key not in journal.index:
        return record
    (old,) = journal.read([record.key])
    pairs = zip(old.generation.completions, record.generation.completions, strict=True)
    kept = tuple(before if has_text(before) and not has_text(now) else now for before, now in pairs)
    return replace(record, generation=replace(record.generation, completions=kept))


def _complete(model: Model, requests: Sequence[Request], settings: Settings) -> list[tuple[Completion, ...]]:
    made: dict[int, tuple[Completion, ...]] = {}
    for answer in _asked(model, requests, settings):
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise PluginError(f"model {model.name!r} gave {_kind(answer)} where (index, completions) belong")
        index, completions = answer
        if index not in range(len(requests)) or index in made:
            raise PluginError(f"model {model.name!r} answered request {index!r} twice, or one it was not asked")
        if not isinstance(completions, tuple | list) or len(completions) != settings.n:
            given = len(completions) if isinstance(completions, tuple | list) else _kind(completions)
            raise PluginError(f"model {model.name!r} gave {given} completions where {settings.n} were asked for")
        made[index] = _storable(model, requests[index].sample, completions)
    lost = [i for i in range(len(requests)) if i not in made]
    if lost:
        raise PluginError(f"model {model.name!r} left {len(lost)} of {len(requests)} requests without an answer")
    return [made[i] for i in range(len(requests))]


def _storable(model: Model, sample: Sample, completions: Sequence[object]) -> tuple[Completion, ...]:
    """The completions as the journal will give them back. Raises PluginError for what it could not."""
    where = f"model {model.name!r}, sample {sample.id!r}"
    found: list[Completion] = []
    for index, completion in enumerate(completions):
        if not isinstance(completion, Completion):
            raise PluginError(f"{where}: completions[{index}]: expected a Completion, not {_kind(completion)}")
        try:
            found.append(_clean(completion))
            (back,) = generation_of(record_of(Generation(Sample("1"), "", (found[-1],))), where).completions
        except DataError as error:
            raise PluginError(str(error).replace("completions[0]", f"completions[{index}]", 1)) from None
        except (TypeError, ValueError, AttributeError) as error:
            raise PluginError(f"{where}: completions[{index}]: {type(error).__name__}: {error}") from error
        if changed := [f.name for f in fields(Completion) if getattr(back, f.name) != getattr(found[-1], f.name)]:
            raise PluginError(f"{where}: completions[{index}]: cannot be stored as it is: {', '.join(changed)}")
    return tuple(found)


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"


def _asked(model: Model, requests: Sequence[Request], settings: Settings) -> Iterator[object]:
    try:
        yield from model.generate(requests, settings)
    except (HarnessError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # an adapter is a plugin: it may raise anything
        raise _failure(model, error) from error


def _failure(model: Model, error: BaseException) -> PluginError:
    return PluginError(f"model {model.name!r} failed: {type(error).__name__}: {error}")


def _clean(completion: Completion) -> Completion:
    """Whatever a provider said, as it can be stored: a text, or a reason why there is none."""
    logprob = completion.logprob
    if logprob is not None and not math.isfinite(logprob):
        completion = replace(completion, logprob=None)
    if completion.text is None:
        status = "error" if completion.status == "ok" else completion.status
        reason = clean_text(completion.reason or "the model gave no text")
        return replace(completion, status=status, reason=reason)
    return replace(completion, text=clean_text(completion.text))
