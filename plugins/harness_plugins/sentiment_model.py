"""Sentiment by any transformers text-classification model: a number for each of its labels, and the mean under softmax.

The polarity of a text is the sum over labels of probability times the label's number in [-1, 1]: an expectation, so that
a classifier that is unsure lies between its labels.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import HarnessError, NoValue, require
from harness_plugins.hf import folder_identity
from harness_plugins.once import once

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness import Batch, Sample
    from harness_plugins.classifier_runtime import Classifier

TOLERANCE = 1e-4
"""By how much a polarity may differ between batches, in float32."""

_THREE = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}
_FIVE = {"very negative": -1.0, "negative": -0.5, "neutral": 0.0, "positive": 0.5, "very positive": 1.0}
_KNOWN: tuple[Mapping[str, float], ...] = (
    {"negative": -1.0, "positive": 1.0},
    _THREE,
    _FIVE,
    {"neg": -1.0, "pos": 1.0},
    {"neg": -1.0, "neu": 0.0, "pos": 1.0},
    {"1 star": -1.0, "2 stars": -0.5, "3 stars": 0.0, "4 stars": 0.5, "5 stars": 1.0},
)
"""Sets of labels that say themselves what they mean, whatever their case."""

_DEVICE = re.compile(r"auto|cpu|[a-z]+(:\d+)?")
_PATH = re.compile(r"[/.~\\]|[A-Za-z]:[\\/]|.*/.*/")


@dataclass(frozen=True, slots=True)
class ModelJudge:
    """Texts to polarities by a classifier. Loads nothing by itself; `labels` None takes the known meaning of its own."""

    model: str
    labels: Mapping[str, float] | None
    device: str
    revision: str | None

    tolerance = TOLERANCE

    def signature(self, batch: Batch) -> str:
        """`model:ID|labels:negative=-1,positive=1`; the model by the hash of its weights, or its commit on a hub."""
        numbers = self._numbers(batch)
        listed = ",".join(f"{label}={number:g}" for label, number in sorted(numbers.items()))
        return f"model:{self._identity(batch)}|labels:{listed}"

    def refuses(self, sample: Sample) -> NoValue | None:
        """What a classifier knows of languages, nobody tells: it answers for all."""
        return None

    def polarities(self, batch: Batch, texts: Sequence[str]) -> Callable[[str, str], float | NoValue]:
        """Computes all `texts` at once and answers for each, in messages called `what`."""
        known: dict[str, float] = batch.memo.get(("classifier polarities", self._key, self._labelled), dict)
        new = [text for text in dict.fromkeys(texts) if text not in known and text.strip()]
        if new:
            numbers = self._numbers(batch)
            for text, shares in zip(new, self._classifier(batch).shares(new), strict=True):
                known[text] = _expectation(shares, numbers)

        def polarity(text: str, what: str) -> float | NoValue:
            if not text.strip():
                return NoValue("abstain", f"{what} is empty, and a classifier has nothing to say of that")
            value = known[text]
            return (
                value if math.isfinite(value) else NoValue("invalid", f"the classifier's answer to {what} is no number")
            )

        return polarity

    @property
    def _key(self) -> tuple[str | None, ...]:
        return (self.model, self.device, self.revision)

    @property
    def _labelled(self) -> tuple[tuple[str, float], ...] | None:
        return None if self.labels is None else tuple(sorted(self.labels.items()))

    def _numbers(self, batch: Batch) -> Mapping[str, float]:
        config = local_config(self.model)
        own = labels_of(config) if config else self._classifier(batch).labels
        try:
            return numbers_of(self.model, own, self.labels)
        except ValueError as error:
            raise HarnessError(f"sentiment: {error}") from None

    def _classifier(self, batch: Batch) -> Classifier:
        def make() -> Classifier:
            from harness_plugins import classifier_runtime

            source = str(Path(self.model).expanduser()) if local_config(self.model) else self.model
            return classifier_runtime.load(source, self.device, self.revision)

        return once(batch, ("classifier", self._key), make)

    def _identity(self, batch: Batch) -> str:
        def make() -> str:
            if local_config(self.model):
                return folder_identity(Path(self.model).expanduser())[:19]
            return f"{self.model}@{self._classifier(batch).commit}"

        return once(batch, ("classifier identity", self._key), make)


def _expectation(shares: Mapping[str, float], numbers: Mapping[str, float]) -> float:
    mean = math.fsum(share * numbers[label] for label, share in shares.items())
    return max(-1.0, min(mean, 1.0)) if abs(mean) < 1.001 else mean  # rounding alone can pass the range


def local_config(model: str) -> Mapping[str, object] | None:
    """The configuration of a folder, or None for a hub's name. Raises ValueError where a folder is meant and is none."""
    folder = Path(model).expanduser()
    path = folder / "config.json"
    if not folder.is_dir():
        if folder.exists() or _PATH.match(model):
            raise ValueError(f"model: there is no folder {model!r}; give one that holds config.json and *.safetensors")
        return None
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"model: the folder {model!r} holds no model: its config.json: {error}") from None
    if not isinstance(config, dict):
        raise ValueError(f"model: the config.json of {model!r} is no object")
    return config


def labels_of(config: Mapping[str, object]) -> tuple[str, ...]:
    """The labels in the order of the logits; those that transformers makes up where the configuration names none."""
    named = config.get("id2label")
    if not isinstance(named, dict) or not named:
        count = config.get("num_labels", 2)
        return tuple(f"LABEL_{i}" for i in range(count if isinstance(count, int) else 2))
    try:
        return tuple(str(named[key]) for key in sorted(named, key=int))
    except ValueError:
        raise ValueError("model: the keys of id2label in its config.json are no numbers") from None


def numbers_of(model: str, own: Sequence[str], given: Mapping[str, float] | None) -> Mapping[str, float]:
    """A number for each label of the model. Raises ValueError where labels and numbers do not fit each other."""
    there = ", ".join(map(repr, own))
    if len(set(own)) < len(own):
        raise ValueError(f"model: two labels of {model!r} have the same name ({there})")
    if given is None:
        for known in _KNOWN:
            if {label.lower() for label in own} == set(known):
                return {label: known[label.lower()] for label in own}
        raise ValueError(
            f"labels: the labels of {model!r} do not say what they mean ({there}): give each a number from -1"
            f" (negative) to 1 (positive), as in labels: {{{own[0]}: -1, ...}}"
        )
    unknown = sorted(set(given) - set(own))
    missing = [label for label in own if label not in given]
    if unknown or missing:
        what = f"{unknown[0]!r} is none of them" if unknown else f"{missing[0]!r} has no number"
        raise ValueError(f"labels: the labels of {model!r} are {there}; {what}")
    return given


def _check_numbers(labels: Mapping[str, float]) -> None:
    if not labels:
        raise ValueError("labels: empty; name each label of the model and its number from -1 to 1")
    for label, number in labels.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not -1 <= number <= 1:
            raise ValueError(f"labels: {label!r} is {number!r}, and no number in [-1, 1]")
    if len(set(labels.values())) < 2:
        raise ValueError("labels: all labels have the same number, so that every text would have the same sentiment")


def model_judge(
    what: str, model: str, labels: Mapping[str, float] | None, device: str, revision: str | None
) -> ModelJudge:
    """Checks the options, and the labels of a local folder, without loading anything."""
    if not _DEVICE.fullmatch(device):
        raise ValueError(f"device: {device!r} is none; give auto, cpu, cuda or cuda:N")
    if labels is not None:
        _check_numbers(labels)
    config = local_config(model)
    if config is not None:
        own = labels_of(config)
        check_kind(model, len(own), config.get("problem_type"))
        numbers_of(model, own, labels)
        if revision:
            raise ValueError("revision: belongs to models from a hub, not to a folder")
    require(what, ("torch", "transformers"), "'reward-harness[hf]'")
    return ModelJudge(model, labels, device, revision)


def check_kind(model: str, labels: int, problem: object) -> None:
    """Raises ValueError for a model whose outputs are no distribution over labels."""
    if labels < 2 or problem in ("regression", "multi_label_classification"):
        kind = "gives a number, not labels" if labels < 2 or problem == "regression" else "gives several labels at once"
        raise ValueError(f"model: {model!r} {kind}; sentiment needs one that chooses among labels")
