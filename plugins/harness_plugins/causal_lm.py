"""How likely a causal language model finds texts: what `perplexity` and `bias` share.

The model is loaded once for all metrics that are loaded together, by the same adapter that generates
(`hf.py`: folders, hub names and the packaged SmolLM2; safetensors only). Likelihoods of a batch are computed once.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from harness import NoValue, require
from harness_plugins.hf import PACKAGED, HfModel, hf, runtime_module
from harness_plugins.once import once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness import Batch, Message
    from harness_plugins.causal_runtime import Scorer
    from harness_plugins.hf_runtime import Runtime

Prompt: TypeAlias = "str | tuple[Message, ...] | None"

PACKAGED_MODEL = "smollm2-135m"
Dtype = Literal["float32", "bfloat16", "float16"]
Chat = Literal["auto", "always", "never"]
Condition = Literal["prompt", "none"]

TOLERANCE: dict[str, float] = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 2e-1}
"""By how much the mean log-likelihood of a token may differ between batches."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The sum of the log-likelihoods of a text's tokens (nats, at most 0), and how many tokens these are."""

    logprob: float
    tokens: int

    @property
    def mean(self) -> float:
        return self.logprob / self.tokens


@dataclass(frozen=True, slots=True)
class CausalLm:
    """A causal language model by name, and how texts are put to it. Loads nothing by itself."""

    model: str
    device: str
    dtype: Dtype
    revision: str | None
    chat: Chat
    condition: Condition
    batch_tokens: int

    @property
    def tolerance(self) -> float:
        return TOLERANCE[self.dtype]

    def signature(self, batch: Batch) -> str:
        """`model:...|dtype:...|condition:...` and, with a prompt, `|chat:...`. The model by its weights' hash."""
        parts = [f"model:{self._identity(batch)}", f"dtype:{self.dtype}", f"condition:{self.condition}"]
        return "|".join(parts if self.condition == "none" else [*parts, f"chat:{self.chat}"])

    def likelihoods(self, batch: Batch, pairs: Sequence[tuple[Prompt, str]]) -> list[Likelihood | NoValue]:
        """Of each text after its prompt. Within one batch nothing is computed twice."""
        known: dict[tuple[Prompt, str], Likelihood | NoValue]
        known = batch.memo.get(("causal lm likelihoods", self._key, self.chat, self.condition), dict)
        new = [pair for pair in dict.fromkeys(pairs) if pair not in known]
        if new:
            known.update(zip(new, self._computed(batch, new), strict=True))
        return [known[pair] for pair in pairs]

    def _computed(self, batch: Batch, pairs: Sequence[tuple[Prompt, str]]) -> list[Likelihood | NoValue]:
        scorer = self._scorer(batch)
        rows = scorer.encode(pairs)
        there = [row for row in rows if not isinstance(row, NoValue)]
        sums = iter(scorer.likelihoods(there, self.batch_tokens))
        return [row if isinstance(row, NoValue) else _likelihood(next(sums), len(row.ids) - row.start) for row in rows]

    @property
    def _key(self) -> tuple[str | None, ...]:
        return (self.model, self.device, self.dtype, self.revision)

    def _handle(self, batch: Batch) -> HfModel:
        return batch.shared.get(
            ("causal lm", self._key),
            lambda: hf(self.model, device=self.device, dtype=self.dtype, revision=self.revision),
        )

    def _identity(self, batch: Batch) -> str:
        """`sha256:` and 12 digits of a folder, `NAME@` before it of a packaged model, `NAME@COMMIT` of a hub's."""

        def make() -> str:
            identity = self._handle(batch).fingerprint.partition("|")[0]
            if not identity.startswith("sha256:"):
                return identity
            return f"{self.model}@{identity[:19]}" if self.model in PACKAGED else identity[:19]

        return once(batch, ("causal lm identity", self._key), make)

    def _scorer(self, batch: Batch) -> Scorer:
        def make() -> Scorer:
            from harness_plugins.causal_runtime import Scorer

            runtime: Runtime = once(batch, ("causal lm weights", self._key), self._handle(batch).runtime)
            # One lock for all scorers of one tokenizer, which holds settings that a second thread would change.
            lock = once(batch, ("causal lm lock", self._key), threading.Lock)
            return Scorer(runtime, self.chat, self.condition, lock)

        runtime_module()  # says what to install where torch is broken
        return once(batch, ("causal lm scorer", self._key, self.chat, self.condition), make)


def causal_lm(
    what: str,
    *,
    model: str,
    device: str,
    dtype: Dtype,
    revision: str | None,
    chat: Chat,
    condition: Condition,
    batch_tokens: int,
) -> CausalLm:
    """Checks the options without loading anything. Raises ValueError, or PluginError where a package is missing."""
    if not model:
        raise ValueError(f"model: empty; give {PACKAGED_MODEL}, a folder or a hub's name")
    for option, value, valid in (
        ("dtype", dtype, tuple(TOLERANCE)),
        ("condition", condition, ("prompt", "none")),
        ("chat", chat, ("auto", "always", "never")),
    ):
        if value not in valid:
            raise ValueError(f"{option}: {value!r} is unknown; there is {', '.join(valid)}")
    if batch_tokens < 1:
        raise ValueError(f"batch_tokens: {batch_tokens!r} is not at least 1")
    require(what, ("torch", "transformers"), "'reward-harness[hf]'")
    hf(model, device=device, dtype=dtype, revision=revision)
    return CausalLm(model, device, dtype, revision, chat, condition, batch_tokens)


def _likelihood(logprob: float | NoValue, tokens: int) -> Likelihood | NoValue:
    if isinstance(logprob, NoValue):
        return logprob
    if logprob == float("-inf"):
        return NoValue("invalid", "the model gives a token of this text no probability at all")
    if logprob != logprob:
        return NoValue("invalid", "the model's logits are not finite")
    return Likelihood(min(logprob, 0.0), tokens)  # rounding can pass 0 by a unit in the last place
