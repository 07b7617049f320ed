"""What `hf` puts into the decoding loop of transformers: noise of each row's own, and stop texts.

Imported with the model, not with the plugin: this module needs torch.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import torch
from transformers import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from harness import Settings

_HALF_STEP = 2.0**-25
"""Half the step of a float32 uniform, which is a multiple of 2**-24 in [0, 1): added, it is never 0 and has
no bias.
"""


class GumbelNoise:
    """Turns an argmax over scores into a draw from their softmax, row by row, whatever else is in the batch.

    The argmax of `score - log(E)`, E standard exponential, falls on a token with its softmax probability (the
    Gumbel-max trick). Each row draws E from a generator of its own, one vocabulary's width a step, so that
    its tokens depend on its seed and scores alone. Uniforms are drawn per row and the logarithms taken for
    all rows at once: a quarter of the time of `exponential_` per row, and of `torch.multinomial`.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._generators = [torch.Generator(device=device).manual_seed(seed) for seed in seeds]
        self._buffer: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Noisy scores, float32 (rows, vocabulary). `scores` must be float32 with a row per seed."""
        if self._buffer is None:
            self._buffer = torch.empty_like(scores)
        noise = self._buffer
        for row, generator in zip(noise, self._generators, strict=True):
            row.uniform_(generator=generator)
        noise.add_(_HALF_STEP).neg_().log1p_().neg_().log_()
        return torch.sub(scores, noise, out=noise)


def sampling_processors(settings: Settings, seeds: Sequence[int], device: torch.device) -> LogitsProcessorList:
    """Temperature, top-k, top-p and then the noise: the order in which transformers itself warps and
    draws.
    """
    processors = LogitsProcessorList()
    if settings.temperature != 1.0:
        processors.append(TemperatureLogitsWarper(float(settings.temperature)))
    if settings.top_k > 0:
        processors.append(TopKLogitsWarper(settings.top_k))
    if settings.top_p < 1.0:
        processors.append(TopPLogitsWarper(float(settings.top_p)))
    processors.append(GumbelNoise(seeds, device))
    return processors


def first_stop(text: str, stops: Sequence[str]) -> int:
    """Where the earliest of `stops` starts in `text`, or -1."""
    found = [at for at in (text.find(stop) for stop in stops) if at >= 0]
    return min(found, default=-1)


class StopTexts:
    """Ends a row as soon as its new text holds one of the stop texts.

    transformers' own `stop_strings` matches across the border of prompt and completion, where nothing can be
    cut.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str], prompt_length: int) -> None:
        self._tokenizer, self._stops, self._start = tokenizer, stops, prompt_length
        # A token that shows carries a byte at least, so a stop text just completed lies within so
        # many last tokens.
        self._window = max(len(stop.encode()) for stop in stops) + 16

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor | None, **kwargs: object) -> torch.Tensor:
        tails = input_ids[:, max(self._start, input_ids.shape[1] - self._window) :].tolist()
        texts = self._tokenizer.batch_decode(tails, skip_special_tokens=True)
        done = [first_stop(text, self._stops) >= 0 for text in texts]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=True))


def cut_at_stop(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], stops: Sequence[str]) -> tuple[str, int, bool]:
    """(text before the first stop text, tokens up to the one that completed it, whether there was one)."""
    text = _decoded(tokenizer, ids)
    at = first_stop(text, stops)
    if at < 0:
        return text, len(ids), False

    def holds(length: int) -> bool:
        return first_stop(_decoded(tokenizer, ids[:length]), stops) >= 0

    return text[:at], bisect_left(range(len(ids)), True, key=holds), True
