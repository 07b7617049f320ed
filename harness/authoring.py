"""What people who write metrics and rewards use: from numbers to `Scores`, from a function to a `Metric`."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.types import STATUSES, Batch, Json, Need, NoValue, Prompt, Sample, ScoreInfo, Scores

if TYPE_CHECKING:
    from harness.types import F64

_CODE = {name: code for code, name in enumerate(STATUSES)}


def scores_from(
    info: ScoreInfo,
    signature: str,
    values: Sequence[float | NoValue | None],
    *,
    statistics: F64 | None = None,
    corpus_signature: str = "",
) -> Scores:
    """`Scores` of one value per completion.

    `None` abstains without saying why; `NoValue(status, reason)` says both. NaN, infinity and values outside the
    declared range become `invalid` when the host takes the scores. `statistics` is (completions, k).
    `corpus_signature` is needed only where the corpus score is made otherwise than the segments.
    """
    numbers = np.full(len(values), np.nan)
    status = np.zeros(len(values), np.uint8)
    reasons: dict[int, str] = {}
    for index, value in enumerate(values):
        if value is None:
            value = NoValue("abstain", "the metric gave no value")
        if isinstance(value, str | bytes):
            raise TypeError(f"a score is a number, not {value!r}")
        if isinstance(value, NoValue):
            status[index], reasons[index] = _CODE[value.status], value.reason
        else:
            numbers[index] = value
    return Scores(info, signature, numbers, status, reasons, statistics=statistics, corpus_signature=corpus_signature)


def corpus_score(info: ScoreInfo, signature: str, value: float | None) -> Scores:
    """`Scores` of a score of corpus scope, as `over` returns them: one number, none per completion."""
    return Scores(info, signature, np.empty(0), np.empty(0, np.uint8), corpus=value, corpus_signature=signature)


def prompt_text(prompt: Prompt) -> str:
    """The text a completion answers: the prompt, or the last user turn of a chat (its last turn if there is none)."""
    if prompt is None:
        return ""
    if isinstance(prompt, str):
        return prompt
    users = [message for message in prompt if message.role == "user"] or list(prompt)
    return users[-1].content if users else ""


_OURS = frozenset(("completions", "prompts", "references", "metadata", "ids"))


def _columns(batch: Batch, named: frozenset[str], takes_all: bool) -> dict[str, list[Any]]:
    """What the function asks for, repeated per completion: our columns, and keys of the metadata by their names."""
    samples = [g.sample for g in batch.generations for _ in g.completions]
    ours: dict[str, list[Any]] = {
        "prompts": [_plain_prompt(s.prompt) for s in samples],
        "references": [list(s.references) for s in samples],
        "metadata": [dict(s.metadata) for s in samples],
        "ids": [s.id for s in samples],
    }
    keys = {k for s in samples for k in s.metadata} if takes_all else named
    columns = {k: [s.metadata.get(k) for s in samples] for k in sorted(keys - _OURS) if _in_any(k, samples)}
    return columns | {k: v for k, v in ours.items() if takes_all or k in named}


def _in_any(key: str, samples: Sequence[Sample]) -> bool:
    return any(key in s.metadata for s in samples)


def _plain_prompt(prompt: Prompt) -> str | list[dict[str, str]] | None:
    if isinstance(prompt, tuple):
        return [{"role": m.role, "content": m.content} for m in prompt]
    return prompt


class FunctionMetric:
    """A metric of one segment score, by a function of completions."""

    def __init__(self, function: Callable[..., Sequence[float | None]], info: ScoreInfo, signature: str) -> None:
        self.infos = (info,)
        self._function = function
        self._signature = signature
        parameters = inspect.signature(function).parameters.values()
        self._takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
        self._named = frozenset(p.name for p in parameters)

    def with_options(self, options: Mapping[str, Json]) -> FunctionMetric:
        """The same, signed with the options that made it another metric."""
        listed = json.dumps(options, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return FunctionMetric(self._function, self.infos[0], f"{self._signature}|options:{listed}")

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        columns = _columns(batch, self._named, self._takes_all)
        values = self._function(completions=batch.texts, **columns) if batch.size else []
        (info,) = self.infos
        return {info.name: scores_from(info, self._signature, list(values))}


def metric_from(
    function: Callable[..., Sequence[float | None]],
    *,
    name: str | None = None,
    low: float = 0.0,
    high: float = 1.0,
    higher_is_better: bool = True,
    needs: Sequence[Need] = (),
    version: str = "1",
    tolerance: float = 0.0,
) -> FunctionMetric:
    """A metric from a plain function `f(completions, ...) -> list of float or None`, one per completion.

    The function is called by keyword with `completions` (list of str) and whichever of `prompts` (str, or a list of
    role and content), `references`, `metadata`, `ids` and keys of the metadata it names (all of them if it takes
    `**kwargs`), each a list of the same length, much as TRL calls a reward function with the columns of a dataset.
    Token ids and the trainer's state are not at hand here.

    `low`, `high` is its range. `needs=["references"]` lets it abstain on samples without. The signature is the name,
    `version` (change it when the numbers change their meaning) and the factory's options where they are not the
    default.
    """
    info = ScoreInfo(
        name or function.__name__, low, high, higher_is_better, needs=frozenset(needs), tolerance=tolerance
    )
    return FunctionMetric(function, info, f"{info.name}|version:{version}")
