"""BLEU, as sacreBLEU computes it.

Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation", ACL
(https://aclanthology.org/P02-1040); Post 2018, "A Call for Clarity in Reporting BLEU Scores", WMT
(https://aclanthology.org/W18-6319). Counting, tokenizers and formula are sacreBLEU's own.

Score `bleu`: 0 to 100, higher is better, needs references (any number, which may differ between samples).
Segment: sentence BLEU with effective order. Corpus: from summed statistics, without effective order; it is
not the mean of the segments.
Signatures: `bleu|case:mixed|eff:yes|tok:13a|smooth:exp` and for the corpus
`bleu|case:mixed|eff:no|tok:13a|smooth:exp`; `|n:N` follows where the order is not 4. `tok` names the tokenizers
that the task's languages meet: by default (`tokenize: auto`) `zh` for Chinese samples, `char` for those in another
language written without spaces, `13a` for the rest and where no language is named; a mixed task has `tok:13a+zh`.
Statistics: one row per completion of completion length, closest reference length, matched n-grams of orders
1..n, all n-grams of orders 1..n; all integers, so that their sums are exact in any order.

Rounding in the formula can pass 100 by one unit in the last place; such a value is given as 100.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from harness import ScoreInfo, hookimpl, scores_from
from harness_plugins.sacrebleu_tokens import Lines, check_tokenizer, signature_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from harness import Batch, Generation, Scores

_INFO = ScoreInfo("bleu", 0.0, 100.0, corpus="statistics", needs=frozenset({"references"}))


@dataclass(frozen=True, slots=True)
class _Options:
    lowercase: bool
    tokenize: str
    smooth_method: str
    smooth_value: float | None
    max_ngram_order: int

    def signature(self, languages: Iterable[str | None], *, effective_order: bool) -> str:
        parts = [
            "bleu",
            f"case:{'lc' if self.lowercase else 'mixed'}",
            f"eff:{'yes' if effective_order else 'no'}",
            f"tok:{signature_name(self.tokenize, languages)}",
            f"smooth:{self._smoothing()}",
        ]
        return "|".join(parts if self.max_ngram_order == 4 else [*parts, f"n:{self.max_ngram_order}"])

    def _smoothing(self) -> str:
        if self.smooth_value is None:
            return self.smooth_method
        short = f"{self.smooth_value:.2f}"  # as sacreBLEU writes it, unless that would hide digits
        return f"{self.smooth_method}[{short if float(short) == self.smooth_value else self.smooth_value}]"


class _Bleu:
    infos = (_INFO,)

    def __init__(self, options: _Options) -> None:
        self._options = options
        self._lines = Lines("bleu", **asdict(options))

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        import numpy as np

        if batch.wanted and _INFO.name not in batch.wanted:
            return {}
        rows = [row for generation in batch.generations for row in self._rows(generation, batch)]
        width = 2 + 2 * self._options.max_ngram_order
        return {
            _INFO.name: scores_from(
                _INFO,
                self._options.signature(batch.whole.languages, effective_order=True),
                [self._score(row, effective_order=True) for row in rows],
                statistics=np.array(rows, np.float64).reshape(len(rows), width),
                corpus_signature=self._options.signature(batch.whole.languages, effective_order=False),
            )
        }

    def corpus_from(self, name: str, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Corpus BLEU of summed statistics: (rows, 2 + 2n) -> (rows,), each row by sacreBLEU's own
        formula."""
        import numpy as np

        rows: list[list[int]] = sums.astype(np.int64).tolist()
        return np.array([self._score(row, effective_order=False) for row in rows], np.float64)

    def _rows(self, generation: Generation, batch: Batch) -> list[list[int]]:
        language = generation.sample.language
        bleu, line = self._lines.bleu(language), self._lines.of(batch, language)
        references = bleu._extract_reference_info([line(text) for text in generation.sample.references])
        return [
            bleu._compute_segment_statistics(line(completion.text or ""), references)
            for completion in generation.completions
        ]

    def _score(self, row: list[int], *, effective_order: bool) -> float:
        from sacrebleu.metrics.bleu import BLEU

        order = self._options.max_ngram_order
        score = BLEU.compute_bleu(
            correct=row[2 : 2 + order],
            total=row[2 + order :],
            sys_len=row[0],
            ref_len=row[1],
            smooth_method=self._options.smooth_method,
            smooth_value=self._options.smooth_value,
            effective_order=effective_order,
            max_ngram_order=order,
        )
        return min(score.score, 100.0)


def _check_smoothing(method: str, value: float | None) -> float | None:
    """The smoothing value in force, `None` for methods that take none."""
    from sacrebleu.metrics.bleu import BLEU

    if method not in BLEU.SMOOTH_DEFAULTS:
        raise ValueError(f"smooth_method: {method!r} is unknown; there is {', '.join(BLEU.SMOOTH_DEFAULTS)}")
    default = BLEU.SMOOTH_DEFAULTS[method]
    if value is None:
        return default
    if default is None:
        raise ValueError(f"smooth_value: {method!r} takes none; it belongs to floor and add-k")
    highest = 1.0 if method == "floor" else math.inf
    if not 0 < value <= highest or math.isinf(value):
        raise ValueError(f"smooth_value: {value!r} is not above 0 and at most {highest:g}, as {method!r} needs")
    return float(value)


def bleu(
    *,
    lowercase: bool = False,
    tokenize: str = "auto",
    smooth_method: str = "exp",
    smooth_value: float | None = None,
    max_ngram_order: int = 4,
) -> _Bleu:
    """BLEU with sacreBLEU's options.

    `tokenize`: auto (by each sample's language: zh for Chinese, char for others written without spaces, else 13a), or
    one for all samples: none, 13a, intl, char, zh, jieba, ja-mecab, ko-mecab, spm, flores101, flores200 or spBLEU-1K.
    jieba needs its package, the two of MeCab theirs; the last four need sentencepiece and a model that sacreBLEU
    fetches once.
    `smooth_method`: exp, none, floor or add-k; `smooth_value` belongs to floor (default 0.1) and add-k
    (default 1).
    """
    check_tokenizer(tokenize)
    value = _check_smoothing(smooth_method, smooth_value)
    if max_ngram_order < 1:
        raise ValueError(f"max_ngram_order: {max_ngram_order!r} is not at least 1")
    return _Bleu(_Options(lowercase, tokenize, smooth_method, value, max_ngram_order))


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    register("bleu", bleu, scores=("bleu",))
