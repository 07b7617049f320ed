"""A loaded transformers text-classification model: texts to probabilities of labels.

Imported at the model's first use, not with a plugin: this module needs torch and transformers.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from harness import HarnessError, clean_text
from harness_plugins.causal_runtime import check_tokenizer
from harness_plugins.hf_runtime import LoadOptions, device_of, quiet
from harness_plugins.sentiment_model import check_kind, labels_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_BATCH_TOKENS = 8192
_NO_LIMIT = 10**6  # tokenizers without a maximum length say 1e30
_DEFAULT_LENGTH = 512


def load(source: str, device: str, revision: str | None) -> Classifier:
    """Raises `HarnessError` with the reason where the model cannot be loaded."""
    place = device_of(LoadOptions(device))
    try:
        with quiet():
            return _load(source, place, revision)
    except HarnessError:
        raise
    except Exception as error:  # what a damaged folder makes the libraries raise is nowhere listed
        reason = " ".join(str(error).split())[:400] or type(error).__name__
        raise HarnessError(f"sentiment: cannot load the model {source!r}: {reason}") from error


def _load(source: str, device: torch.device, revision: str | None) -> Classifier:
    loaders: tuple[Any, ...] = (AutoConfig, AutoTokenizer, AutoModelForSequenceClassification)
    config = loaders[0].from_pretrained(source, revision=revision, trust_remote_code=False)
    try:
        check_kind(source, int(config.num_labels), config.problem_type)
    except ValueError as error:  # of a hub's model, which was not there to be checked before
        raise HarnessError(f"sentiment: {error}") from None
    commit = getattr(config, "_commit_hash", None) or revision
    tokenizer = loaders[1].from_pretrained(source, revision=commit, trust_remote_code=False)
    check_tokenizer(source, tokenizer)
    model, info = loaders[2].from_pretrained(
        source,
        config=config,
        revision=commit,
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    missing = sorted(info.get("missing_keys") or ())
    if missing:
        raise HarnessError(
            f"sentiment: {source!r} lacks {len(missing)} of the weights of {type(model).__name__} (such as {missing[0]}),"
            " which would stay random: is it a text-classification model, saved whole?"
        )
    return Classifier(model.to(device).eval(), tokenizer, str(commit))


class Classifier:
    """A classifier on its device with its tokenizer."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, commit: str) -> None:
        self._model, self._tokenizer, self.commit = model, tokenizer, commit
        self.labels = labels_of({"id2label": model.config.id2label})
        self._longest = longest(model, tokenizer)
        self._pad = tokenizer.pad_token_id
        if getattr(model.config, "pad_token_id", None) is None:
            model.config.pad_token_id = self._pad  # a causal classifier looks for the last token before the padding
        self._lock = threading.Lock()  # tokenizers hold settings that a second thread would change

    def shares(self, texts: Sequence[str]) -> list[Mapping[str, float]]:
        """The probability of each label, by softmax. Texts beyond the model's maximum are cut at their end."""
        with self._lock, quiet():
            encoded = [self._encode(text) for text in texts]
        found: list[Mapping[str, float]] = [{}] * len(texts)
        for part in self._parts(encoded):
            rows = self._probabilities([encoded[i] for i in part])
            for index, row in zip(part, rows, strict=True):
                found[index] = dict(zip(self.labels, row, strict=True))
        return found

    def _encode(self, text: str) -> dict[str, list[int]]:
        options = {"truncation": True, "max_length": self._longest, "split_special_tokens": True}
        return dict(cast("Any", self._tokenizer)(clean_text(text), **options))

    def _parts(self, encoded: Sequence[Mapping[str, Sequence[int]]]) -> Iterator[list[int]]:
        """Indices of texts of like length; each by itself where the tokenizer cannot pad."""
        part: list[int] = []
        for index in sorted(range(len(encoded)), key=lambda i: len(encoded[i]["input_ids"])):
            length = len(encoded[index]["input_ids"])
            if part and (self._pad is None or (len(part) + 1) * length > _BATCH_TOKENS):
                yield part
                part = []
            part.append(index)
        if part:
            yield part

    @torch.inference_mode()
    def _probabilities(self, rows: Sequence[Mapping[str, list[int]]]) -> list[list[float]]:
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        if self._pad is not None:
            columns = dict(self._tokenizer.pad(columns))
        inputs = {name: torch.tensor(column, device=self._model.device) for name, column in columns.items()}
        logits = cast("Any", self._model)(**inputs).logits
        probabilities: list[list[float]] = logits.double().softmax(-1).cpu().tolist()
        return probabilities


def longest(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """The most tokens the model takes: by its tokenizer, its positions, or 512 where neither says.

    RoBERTa-type models count positions from after the padding's own, and so take fewer than they have.
    """
    limits = [tokenizer.model_max_length] if tokenizer.model_max_length < _NO_LIMIT else []
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if positions:
        limits.append(int(positions))
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            limits.append(module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1))
    return min(limits, default=_DEFAULT_LENGTH)
