"""Perplexity: how likely a causal language model finds a completion after its prompt.

Jelinek, Mercer, Bahl & Baker 1977, "Perplexity: a measure of the difficulty of speech recognition tasks", JASA 62
(https://doi.org/10.1121/1.2016299); as a measure of the fluency of generated text e.g. Holtzman et al. 2020, "The Curious
Case of Neural Text Degeneration", ICLR (https://arxiv.org/abs/1904.09751).

`loglikelihood`: the mean log-likelihood of the completion's tokens, in nats; (-inf, 0], higher is better (likelier).
Tolerance 1e-4 in float32.
`perplexity`: exp(-loglikelihood); [1, inf), lower is better. Its tolerance is relative, as far as exp carries
that of the mean: the declared 1e-2 holds up to a perplexity of 100, in float32.
float16 has a tolerance of 2e-2 and bfloat16 of 2e-1 of the mean; that of perplexity is a hundred times as much.
Corpus: from summed statistics (log-likelihood and number of tokens), so every token counts alike:
exp(-sum of log-likelihoods / sum of tokens), and that mean itself. Not the mean of the segments.
Signature: `perplexity|model:smollm2-135m@sha256:63879f95427c|dtype:float32|condition:prompt|chat:auto` and
`loglikelihood|` with the same. The hash is of weights, configuration and tokenizer; a folder has it
without a name, a hub's model has its commit. `chat` is left out with `condition:none`.

Exactly: the prompt is tokenised as the `hf` adapter does to generate (in the chat template where the model has one and
`chat` lets it; with the special tokens, such as one that begins a text, that the tokenizer adds), the completion apart
from it and without special tokens (one that a text spells out counts as text), and their tokens are joined: no token
crosses the boundary. All tokens of the completion count and no others: the end token does not, since a text
does not tell whether the model ended there or was cut. `condition: none` puts the completion after the token that begins
or parts texts instead of the prompt.

An empty completion abstains, and so does one that with its prompt exceeds the model's context: nothing is cut.
Perplexities of different tokenizers cannot be compared.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from harness import NoValue, ScoreInfo, hookimpl, scores_from
from harness_plugins.causal_lm import PACKAGED_MODEL, CausalLm, Likelihood, causal_lm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from harness import Batch, Scores

_PERPLEXITY, _LOGLIKELIHOOD = "perplexity", "loglikelihood"


class _Perplexity:
    def __init__(self, lm: CausalLm) -> None:
        needs: frozenset[Literal["prompt"]] = frozenset(("prompt",) if lm.condition == "prompt" else ())
        self.infos = (
            ScoreInfo(_PERPLEXITY, 1.0, math.inf, False, "segment", "statistics", needs, 100 * lm.tolerance),
            ScoreInfo(_LOGLIKELIHOOD, -math.inf, 0.0, True, "segment", "statistics", needs, lm.tolerance),
        )
        self._lm = lm

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        infos = [info for info in self.infos if not batch.wanted or info.name in batch.wanted]
        if not infos:
            return {}
        pairs = [(g.sample.prompt, c.text or "") for g in batch.generations for c in g.completions]
        likelihoods = self._lm.likelihoods(batch, pairs) if pairs else []
        statistics, signature = _statistics(likelihoods), self._lm.signature(batch)
        return {
            info.name: scores_from(
                info,
                f"{info.name}|{signature}",
                [_value(info.name, likelihood) for likelihood in likelihoods],
                statistics=statistics,
            )
            for info in infos
        }

    def corpus_from(self, name: str, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of rows of (sum of log-likelihoods, number of tokens)."""
        import numpy as np

        means: NDArray[np.float64] = sums[:, 0] / sums[:, 1]
        return means if name == _LOGLIKELIHOOD else np.exp(-means)


def _value(name: str, likelihood: Likelihood | NoValue) -> float | NoValue:
    if isinstance(likelihood, NoValue):
        return likelihood
    if name == _LOGLIKELIHOOD:
        return likelihood.mean
    try:
        return math.exp(-likelihood.mean)
    except OverflowError:
        reason = f"a mean log-likelihood of {likelihood.mean:g} has a perplexity beyond the largest number"
        return NoValue("invalid", reason)


def _statistics(likelihoods: Sequence[Likelihood | NoValue]) -> NDArray[np.float64]:
    import numpy as np

    none = (math.nan, math.nan)
    rows = [none if isinstance(found, NoValue) else (found.logprob, found.tokens) for found in likelihoods]
    return np.array(rows, np.float64).reshape(len(rows), 2)


def perplexity(
    *,
    model: str = PACKAGED_MODEL,
    condition: Literal["prompt", "none"] = "prompt",
    chat: Literal["auto", "always", "never"] = "auto",
    device: str = "auto",
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    revision: str | None = None,
    batch_tokens: int = 4096,
) -> _Perplexity:
    """Perplexity and mean log-likelihood of completions under a causal language model.

    `model` is `smollm2-135m` (packaged), a folder or a hub's name; `condition`: prompt (the completion given its
    prompt) or none (by itself); `chat` as for models of `hf`. `device`, `dtype`, `revision` (of a hub's model) are the
    model's, `batch_tokens` bounds what is computed at once.
    """
    return _Perplexity(
        causal_lm(
            "perplexity",
            model=model,
            device=device,
            dtype=dtype,
            revision=revision,
            chat=chat,
            condition=condition,
            batch_tokens=batch_tokens,
        )
    )


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    register("perplexity", perplexity, scores=(_PERPLEXITY, _LOGLIKELIHOOD))
