"""A loaded causal language model that says how likely texts are.

Imported at the model's first use, not with a plugin: this module needs torch and transformers.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from harness import HarnessError, NoValue, clean_text
from harness_plugins.hf_runtime import BadPrompt, Runtime, free_memory, is_out_of_memory, quiet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from threading import Lock

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from harness_plugins.causal_lm import Prompt

_LOGITS = 2**27
"""Most numbers that the logits of one step may hold: 512 MiB in float32."""


@dataclass(frozen=True, slots=True)
class Row:
    """Token ids of a prompt and of what follows it, which starts at `start` (at least 1)."""

    ids: tuple[int, ...]
    start: int


class Scorer:
    """Rows of token ids to sums of log-likelihoods (nats).

    Rows are padded at the right, where a causal model cannot see them from any token that counts.
    """

    def __init__(self, runtime: Runtime, chat: str, condition: Literal["prompt", "none"], lock: Lock) -> None:
        model = runtime.model
        _check_causal(model)
        check_tokenizer(model.config.name_or_path or "the model", runtime.tokenizer)
        self._model, self._tokenizer = model, runtime.tokenizer
        # Without a prompt there is nothing to wrap in a template: only the token that texts begin with is left.
        self._view = Runtime(model, runtime.tokenizer, chat if condition == "prompt" else "never")
        self._with_prompt = condition == "prompt"
        text_config = model.config.get_text_config()
        self._context: int | None = getattr(text_config, "max_position_embeddings", None)
        self._vocabulary = int(text_config.vocab_size)
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._lock = lock

    def encode(self, pairs: Sequence[tuple[Prompt, str]]) -> list[Row | NoValue]:
        """Prompt and text of each, tokenised apart; why there is nothing to score, where there is nothing."""
        known: dict[Prompt, tuple[int, ...] | NoValue] = {}
        rows: list[Row | NoValue] = []
        with self._lock, quiet():
            for prompt, text in pairs:
                before = prompt if self._with_prompt else ""
                if before not in known:
                    known[before] = self._prompt_ids(before)
                rows.append(self._row(known[before], text))
        return rows

    def _prompt_ids(self, prompt: Prompt) -> tuple[int, ...] | NoValue:
        try:
            return self._view.encode(prompt)
        except BadPrompt as error:
            return NoValue("abstain", f"the prompt cannot be put to the model: {error}")

    def _row(self, before: tuple[int, ...] | NoValue, text: str) -> Row | NoValue:
        if isinstance(before, NoValue):
            return before
        # `split_special_tokens`: an end token that a text spells out is text, as it was when it was written.
        encoded = self._tokenizer(clean_text(text), add_special_tokens=False, split_special_tokens=True)
        ids = tuple(encoded["input_ids"])
        if not ids:
            return NoValue("abstain", "the completion is empty: it has no token whose likelihood could be taken")
        if self._context is not None and len(before) + len(ids) > self._context:
            return NoValue(
                "abstain",
                f"the prompt's {len(before)} tokens and the completion's {len(ids)} exceed the model's context"
                f" of {self._context}",
            )
        return Row((*before, *ids), len(before))

    def likelihoods(self, rows: Sequence[Row], batch_tokens: int) -> list[float | NoValue]:
        """The sum of each row's log-likelihoods from its `start` on."""
        found: list[float | NoValue] = [NoValue("error", "not computed")] * len(rows)
        for part in _packed(rows, batch_tokens, _LOGITS // self._vocabulary):
            for index, value in zip(part, self._attempt([rows[i] for i in part]), strict=True):
                found[index] = value
        return found

    def _attempt(self, rows: Sequence[Row]) -> list[float | NoValue]:
        """All rows at once, or in halves where memory does not suffice."""
        try:
            return list(self._forward(rows))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        free_memory()  # only here is the traceback gone that held on to the tensors
        if len(rows) == 1:
            return [NoValue("error", f"out of memory with a single text of {len(rows[0].ids)} tokens")]
        middle = len(rows) // 2
        return self._attempt(rows[:middle]) + self._attempt(rows[middle:])

    @torch.inference_mode()
    def _forward(self, rows: Sequence[Row]) -> list[float]:
        ids, mask = self._padded(rows)
        first, width = min(row.start for row in rows) - 1, ids.shape[1] - 1
        likely = torch.zeros(ids.shape, dtype=torch.float64)
        step = max(_LOGITS // (len(rows) * self._vocabulary), 1) if self._keeps else width
        for at in range(first, width, step):
            end = min(at + step, width)
            logits = self._logits(ids[:, :width], mask[:, :width], at, end)
            chosen = logits.gather(2, ids[:, at + 1 : end + 1, None])[:, :, 0]
            likely[:, at + 1 : end + 1] = (chosen - logits.logsumexp(2)).double().cpu()
        return [float(likely[i, row.start : len(row.ids)].sum()) for i, row in enumerate(rows)]

    def _logits(self, ids: torch.Tensor, mask: torch.Tensor, start: int, end: int) -> torch.Tensor:
        """Logits at positions `start` to `end`, in float32. A long text costs a pass for each of its parts."""
        extras: dict[str, Any] = {"use_cache": False}
        if self._keeps:
            extras["logits_to_keep"] = torch.arange(start, end, device=ids.device)
        logits: torch.Tensor = self._model(input_ids=ids, attention_mask=mask, **extras).logits.float()
        return logits if self._keeps else logits[:, start:end]

    def _padded(self, rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
        shape = (len(rows), max(len(row.ids) for row in rows))
        ids, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : len(row.ids)] = torch.tensor(row.ids)
            mask[i, : len(row.ids)] = 1
        return ids.to(self._view.device), mask.to(self._view.device)


def _check_causal(model: PreTrainedModel) -> None:
    """Raises `HarnessError` for a model whose logits are no likelihoods of what comes next."""
    name, kinds = model.config.name_or_path or "the model", model.config.architectures or ()
    need = "likelihoods need a causal language model"
    if model.config.is_encoder_decoder:
        raise HarnessError(f"{name} is a sequence-to-sequence model; {need}")
    if any(kind.endswith("Classification") for kind in kinds):  # its layers may fit, with an output that is not trained
        raise HarnessError(f"{name} is a classifier ({', '.join(kinds)}); {need}")
    if _looks_ahead(model):
        raise HarnessError(f"{name} sees the tokens that follow, as an encoder does; {need}")


@torch.inference_mode()
def _looks_ahead(model: PreTrainedModel) -> bool:
    """Whether logits change with the token after them. Not every encoder's configuration says that it is one."""
    size = int(model.config.get_text_config().vocab_size)
    ids = torch.tensor([[size // 2, size // 3, token] for token in (size // 2, size // 4)], device=model.device)
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[:, :2].float()
    rounding = 1e-3 if model.dtype == torch.float32 else 2e-2
    return bool((logits[0] - logits[1]).abs().max() > rounding * logits.abs().max())


def check_tokenizer(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises `HarnessError` for one that transformers made up of nothing, where its files are missing."""
    if tokenizer.vocab_size <= len(set(tokenizer.all_special_ids)):
        raise HarnessError(f"{name} has no tokenizer, or one without a word: its files are missing")


@dataclass(slots=True)
class _Part:
    """Rows that go through the model together."""

    indices: list[int]
    start: int  # the earliest of their starts
    end: int  # the longest of their lengths
    tokens: int = 0  # without padding

    def takes(self, row: Row, most_tokens: int, most_scored: int) -> bool:
        count, end, start = len(self.indices) + 1, max(self.end, len(row.ids)), min(self.start, row.start)
        if count * end > 2 * (self.tokens + len(row.ids)):
            return False  # more padding than text: a long text would make short ones as dear as itself
        return count * end <= most_tokens and count * (end - start) <= most_scored

    def add(self, index: int, row: Row) -> None:
        self.indices.append(index)
        self.tokens += len(row.ids)
        self.start, self.end = min(self.start, row.start), max(self.end, len(row.ids))


def _packed(rows: Sequence[Row], most_tokens: int, most_scored: int) -> Iterator[list[int]]:
    """Indices of rows of like length, so many that rows times padded length, and times scored length, stay bounded."""
    part: _Part | None = None
    for index in sorted(range(len(rows)), key=lambda i: (len(rows[i].ids), rows[i].start)):
        row = rows[index]
        if part and not part.takes(row, most_tokens, most_scored):
            yield part.indices
            part = None
        part = part or _Part([], row.start, 0)
        part.add(index, row)
    if part:
        yield part.indices
