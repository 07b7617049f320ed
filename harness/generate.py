"""Samples x one model -> generations in the journal, batch by batch, resumable.

The plan of batches is a pure function of samples and settings (and the model's own count of prompt tokens), so that a
run that was interrupted makes the same batches again as one that was not: floating point depends on what shares a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.errors import HarnessError, PluginError
from harness.interfaces import CountsTokens
from harness.journal import Journal, Recorded
from harness.keys import sample_key, seeds_of
from harness.text import clean_text
from harness.types import Completion, Generation, Request, Sample, Settings

if TYPE_CHECKING:
    from harness.interfaces import Model

Progress = Callable[[int, int], None]
"""Called after each batch with the completions and the new tokens it brought."""

_CHARACTERS_PER_TOKEN = 4


def plan(lengths: Sequence[int], settings: Settings) -> list[list[int]]:
    """Batches of indices: like lengths together, longest first, rows times padded length within `batch_tokens`.

    Longest first, so that what does not fit into memory is known at once. A sample's completions stay together.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[list[int]] = []
    room = 0
    for index in order:
        if room < 1:
            width = (lengths[index] + settings.max_new_tokens) * settings.n
            room = max(1, settings.batch_tokens // width)
            batches.append([])
        batches[-1].append(index)
        room -= 1
    return batches


def prompt_lengths(model: Model, requests: Sequence[Request]) -> list[int]:
    """In tokens where the model can count them, else estimated from characters."""
    if isinstance(model, CountsTokens):
        try:
            return [int(n) for n in model.prompt_tokens(requests)]
        except (HarnessError, KeyboardInterrupt):
            raise
        except BaseException as error:  # an adapter is a plugin: it may raise anything
            raise _failure(model, error) from error
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
) -> None:
    """Bring every sample's completions by `model` into the journal, under `name`; those already there stay.

    What the model says of single requests (an error, a timeout) is recorded with them. What it raises ends the run,
    with all finished batches safe.
    """
    requests = [Request(s, seeds_of(settings.seed, s, settings.n)) for s in samples]
    keys = [sample_key(s) for s in samples]
    task = samples[0].task if samples else ""
    missing = {i for i, key in enumerate(keys) if (task, name, key) not in journal.index}
    if not missing:
        return
    for batch in plan(prompt_lengths(model, requests), settings):
        due = [i for i in batch if i in missing]
        if not due:
            continue
        made = _complete(model, [requests[i] for i in due], settings)
        records = [
            Recorded(keys[i], Generation(samples[i], name, completions))
            for i, completions in zip(due, made, strict=True)
        ]
        journal.append(records)
        if progress is not None:
            progress(len(due) * settings.n, sum(c.tokens or 0 for row in made for c in row))


def _complete(model: Model, requests: Sequence[Request], settings: Settings) -> list[tuple[Completion, ...]]:
    made: dict[int, tuple[Completion, ...]] = {}
    for index, completions in _asked(model, requests, settings):
        if index in made or not 0 <= index < len(requests):
            raise PluginError(f"model {model.name!r} answered request {index} twice, or one it was not asked")
        if len(completions) != settings.n:
            raise PluginError(
                f"model {model.name!r} gave {len(completions)} completions where {settings.n} were asked for"
            )
        made[index] = tuple(map(_clean, completions))
    lost = [i for i in range(len(requests)) if i not in made]
    if lost:
        raise PluginError(f"model {model.name!r} left {len(lost)} of {len(requests)} requests without an answer")
    return [made[i] for i in range(len(requests))]


def _asked(
    model: Model, requests: Sequence[Request], settings: Settings
) -> Iterator[tuple[int, tuple[Completion, ...]]]:
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
