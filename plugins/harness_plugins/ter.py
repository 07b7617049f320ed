"""TER, translation edit rate, as sacreBLEU computes it.

Snover et al. 2006, "A Study of Translation Edit Rate with Targeted Human Annotation", AMTA
(https://aclanthology.org/2006.amta-papers.25). The fewest insertions, deletions and substitutions of words and shifts of
phrases found that turn the completion into a reference, over the average length of the references. Tokenizer, search (that
of Tercom) and its limits are sacreBLEU's; the edit distances within the search are counted here, bit-parallel (Myers
1999, https://doi.org/10.1145/316542.316550), so that a text takes milliseconds where a table in Python takes seconds.

Score `ter`: a percentage from 0 (no edit), unbounded above, lower is better (higher: more edits), needs references. A
reward term must give `range:`. Edits are those of the closest reference. Where all references are empty it is 100, and 0
for an empty completion.
Corpus: all edits over all average lengths, from summed statistics; it is not the mean of the segments.
Statistics: one row per completion of edits and average reference length in 1/720720 of a word (which divides by any
number of references up to 16), integers, so that their sums are exact in any order.
Signature: `ter|case:lc|tok:tercom|norm:no|punct:yes|asian:no`, as sacreBLEU's; where the languages of a task differ in
`norm` and `asian`, `norm:no+yes`.

`normalized` and `asian_support` are by default chosen by the sample's language: both on for Chinese and Japanese, which
sacreBLEU's tokenizer then splits into characters (runs of kana stay whole), off for the rest, as sacreBLEU has them. In
other languages written without spaces (Thai, Lao, Khmer, Burmese, Tibetan) Tercom's tokenizer finds no words, and the
score abstains unless `normalized` says how to take them.
sacreBLEU reads references through its tokenizer twice, and so does this. It shows only with `normalized`, and seldom: the
reference `it's.` becomes `it 's .`, the completion `it's .`, and a copy has an edit.
It abstains on texts of more than 1,000 words, whose search can take seconds each: TER is about sentences.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from harness import NoValue, ScoreInfo, hookimpl, scores_from
from harness_plugins.ter_search import edits
from harness_plugins.words import CHINESE, SPACELESS, primary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from sacrebleu.metrics.ter import TER

    from harness import Batch, Generation, Scores

_INFO = ScoreInfo("ter", 0.0, math.inf, higher_is_better=False, corpus="statistics", needs=frozenset({"references"}))
_UNIT = 720720
_MOST_WORDS = 1_000
_NONE = (math.nan, math.nan)


class _Way(NamedTuple):
    """How sacreBLEU's tokenizer is to read the texts of a language."""

    normalized: bool
    asian_support: bool


class _Options(NamedTuple):
    normalized: bool | None
    no_punct: bool
    asian_support: bool | None
    case_sensitive: bool

    def way(self, language: str | None) -> _Way | None:
        """None where this language has no words that the tokenizer finds."""
        tag = primary(language)
        asian = tag in CHINESE or tag == "ja"
        if self.normalized is None and tag in SPACELESS and not asian:
            return None
        normalized = asian if self.normalized is None else self.normalized
        if self.asian_support is None:
            return _Way(normalized, asian and (normalized or self.no_punct))  # it does nothing without one of them
        return _Way(normalized, self.asian_support)

    def signature(self, languages: Iterable[str | None]) -> str:
        ways = {way for way in map(self.way, languages) if way} or {self.way(None) or _Way(False, False)}
        return "|".join(
            (
                "ter",
                f"case:{'mixed' if self.case_sensitive else 'lc'}",
                "tok:tercom",
                f"norm:{_said(way.normalized for way in ways)}",
                f"punct:{_said([not self.no_punct])}",
                f"asian:{_said(way.asian_support for way in ways)}",
            )
        )


def _said(flags: Iterable[bool]) -> str:
    return "+".join(sorted({"yes" if flag else "no" for flag in flags}))


class _Ter:
    infos = (_INFO,)

    def __init__(self, options: _Options) -> None:
        self._options = options
        self._made: dict[_Way, TER] = {}

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        import numpy as np

        if batch.wanted and _INFO.name not in batch.wanted:
            return {}
        rows = [row for generation in batch.generations for row in self._rows(generation, batch)]
        values = [row if isinstance(row, NoValue) else _score(*row) for row in rows]
        numbers = [_NONE if isinstance(row, NoValue) else row for row in rows]
        statistics = np.array(numbers, np.float64).reshape(len(rows), 2)
        signature = self._options.signature(batch.whole.languages)
        return {_INFO.name: scores_from(_INFO, signature, values, statistics=statistics)}

    def corpus_from(self, name: str, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Corpus TER of summed statistics: (rows, 2) -> (rows,)."""
        import numpy as np

        return np.array([_score(edits, length) for edits, length in sums.tolist()], np.float64)

    def _rows(self, generation: Generation, batch: Batch) -> list[tuple[float, float] | NoValue]:
        sample = generation.sample
        way = self._options.way(sample.language)
        if way is None:
            reason = f"sacreBLEU's TER finds no words in texts whose language is {sample.language!r}"
            return [NoValue("abstain", reason)] * len(generation.completions)
        read = self._reader(way, batch)
        references = [read(text, 2) for text in sample.references]
        return [_row(read(completion.text or "", 1), references) for completion in generation.completions]

    def _reader(self, way: _Way, batch: Batch) -> Callable[[str, int], tuple[str, ...]]:
        if way not in self._made:
            self._made[way] = self._ter(way)
        ter = self._made[way]
        key = ("tercom words", way, self._options.no_punct, self._options.case_sensitive)
        known: dict[tuple[str, int], tuple[str, ...]] = batch.memo.get(key, dict)

        def read(text: str, times: int) -> tuple[str, ...]:
            if (text, times) not in known:
                line = text
                for _ in range(times):
                    line = ter._preprocess_segment(line)
                known[text, times] = tuple(line.split())
            return known[text, times]

        return read

    def _ter(self, way: _Way) -> TER:
        from sacrebleu.metrics.ter import TER

        return TER(
            normalized=way.normalized,
            no_punct=self._options.no_punct,
            asian_support=way.asian_support,
            case_sensitive=self._options.case_sensitive,
        )


def _row(completion: tuple[str, ...], references: list[tuple[str, ...]]) -> tuple[float, float] | NoValue:
    for what, words in (("the completion", completion), *(("a reference", words) for words in references)):
        if len(words) > _MOST_WORDS:
            return NoValue("abstain", f"{what} has {len(words):,} words, and TER is computed up to {_MOST_WORDS:,}")
    fewest = min(edits(completion, words) for words in references)
    total = sum(len(words) for words in references)
    return float(fewest), float(round(total * _UNIT / len(references)))


def _score(edits: float, length: float) -> float:
    if length > 0:
        return 100.0 * (edits / (length / _UNIT))
    return 100.0 if edits > 0 else 0.0


def ter(
    *,
    normalized: bool | None = None,
    no_punct: bool = False,
    asian_support: bool | None = None,
    case_sensitive: bool = False,
) -> _Ter:
    """TER with sacreBLEU's options.

    `normalized` parts punctuation from words and reads XML's escapes; `asian_support`, with it, parts Chinese characters.
    Left out, both are on for Chinese and Japanese samples and off for others. `no_punct` drops punctuation.
    """
    return _Ter(_Options(normalized, no_punct, asian_support, case_sensitive))


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    register("ter", ter, scores=("ter",))
