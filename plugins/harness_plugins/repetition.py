"""How much a completion repeats itself, and how much of it is copied from the prompt.

`repetition`: of the completion's n-grams of words, the share that has stood before: 1 - distinct / all. With n = 4, the
default, it is seq-rep-4 (Welleck et al. 2020, "Neural Text Generation with Unlikelihood Training", ICLR,
https://arxiv.org/abs/1908.04319). It abstains where the text has fewer than n words.
`repetition_lines`: of the lines with something in them, the share that has stood before (Rae et al. 2021, "Scaling Language
Models: Methods, Analysis & Insights from Training Gopher", https://arxiv.org/abs/2112.11446, table A1: documents above
0.30 are left out of the training data). White space around a line does not count. It abstains without any line.
`repetition_prompt`: of the completion's n-grams, the share that stands in the prompt (of a chat in its last user turn),
each as often as it occurs in the completion. It needs the prompt, and abstains where the completion has fewer than n
words; against a prompt that is shorter it is 0.

All: 0 to 1, of one completion each; lower is better, higher is more repetition. Corpus: mean of the segments.
Signatures: `repetition|n:4|case:mixed|words:unicode`, `repetition_lines|case:mixed`,
`repetition_prompt|n:4|case:mixed|words:unicode`; `case:lc` with `lowercase: true`.

Words are runs of letters and digits in any script, and single characters in scripts without spaces; punctuation is no word.
A low number says nothing good of a text by itself: noise never repeats. The numbers grow with the length of a text, since a
long one has more to repeat, and refrains, tables and code repeat for good reasons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import NoValue, ScoreInfo, hookimpl, prompt_text, scores_from
from harness_plugins.words import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from harness import Batch, Generation, Scores

_WITHIN = ScoreInfo("repetition", higher_is_better=False)
_LINES = ScoreInfo("repetition_lines", higher_is_better=False)
_PROMPT = ScoreInfo("repetition_prompt", higher_is_better=False, needs=frozenset({"prompt"}))
_NO_LINE = NoValue("abstain", "the completion has no line with anything in it")


def _repeated(items: Sequence[object]) -> float:
    return (len(items) - len(set(items))) / len(items)


class _Repetition:
    infos = (_WITHIN, _LINES, _PROMPT)

    def __init__(self, n: int, lowercase: bool) -> None:
        self._n, self._lowercase = n, lowercase
        self._short = NoValue("abstain", f"the completion has fewer than {n} word{'s' if n > 1 else ''}")

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        measures = (self._within, self._lines, self._from_prompt)
        return {
            info.name: scores_from(info, self._signature(info), [v for g in batch.generations for v in measure(g)])
            for info, measure in zip(self.infos, measures, strict=True)
            if not batch.wanted or info.name in batch.wanted
        }

    def _signature(self, info: ScoreInfo) -> str:
        case = f"case:{'lc' if self._lowercase else 'mixed'}"
        return f"{info.name}|{case}" if info is _LINES else f"{info.name}|n:{self._n}|{case}|words:unicode"

    def _within(self, generation: Generation) -> Iterator[float | NoValue]:
        for completion in generation.completions:
            grams = self._ngrams(completion.text or "")
            yield _repeated(grams) if grams else self._short

    def _lines(self, generation: Generation) -> Iterator[float | NoValue]:
        for completion in generation.completions:
            bare = (line.strip() for line in self._cased(completion.text or "").splitlines())
            lines = [line for line in bare if line]
            yield _repeated(lines) if lines else _NO_LINE

    def _from_prompt(self, generation: Generation) -> Iterator[float | NoValue]:
        given = set(self._ngrams(prompt_text(generation.sample.prompt)))
        for completion in generation.completions:
            grams = self._ngrams(completion.text or "")
            yield sum(gram in given for gram in grams) / len(grams) if grams else self._short

    def _ngrams(self, text: str) -> list[tuple[str, ...]]:
        tokens = words(self._cased(text))
        return list(zip(*(tokens[start:] for start in range(self._n)), strict=False))

    def _cased(self, text: str) -> str:
        return text.lower() if self._lowercase else text


def repetition(*, n: int = 4, lowercase: bool = False) -> _Repetition:
    """Repetition within a completion and of its prompt.

    `n`: how many words make an n-gram, 1 to 20. `lowercase`: `The` and `the` are the same.
    """
    if not 1 <= n <= 20:
        raise ValueError(f"n: {n!r} is not from 1 to 20")
    return _Repetition(n, lowercase)


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    register("repetition", repetition, scores=tuple(info.name for info in _Repetition.infos))
