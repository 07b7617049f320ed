"""chrF and chrF++, as sacreBLEU computes them.

Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation", WMT
(https://aclanthology.org/W15-3049); Popović 2017, "chrF++: words helping character n-grams", WMT
(https://aclanthology.org/W17-4770). chrF++ is
`word_order: 2`.

Score `chrf`: 0 to 100, higher is better, needs references. With several references a completion is compared
with the one that gives it the highest score, and the statistics kept are those of that reference.
Corpus: the same formula on summed statistics; it is not the mean of the segments.
Signature: `chrf|case:mixed|eff:yes|nc:6|nw:0|space:no|beta:2`; `eff:no` stands for epsilon smoothing.
Statistics: one row per completion; for each order the n-grams of the completion, of the reference, and
matched; all integers, so that their sums are exact in any order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness import ScoreInfo, hookimpl, scores_from

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from sacrebleu.metrics.chrf import CHRF

    from harness import Batch, Generation, Scores

_INFO = ScoreInfo("chrf", 0.0, 100.0, corpus="statistics", needs=frozenset({"references"}))


class _Chrf:
    infos = (_INFO,)

    def __init__(self, chrf: CHRF, signature: str) -> None:
        self._chrf = chrf
        self._signature = signature

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        import numpy as np

        if batch.wanted and _INFO.name not in batch.wanted:
            return {}
        rows = [row for generation in batch.generations for row in self._rows(generation)]
        values = [self._score(row) for row in rows]
        statistics = np.array(rows, np.float64).reshape(len(rows), 3 * self._chrf.order)
        return {_INFO.name: scores_from(_INFO, self._signature, values, statistics=statistics)}

    def corpus_from(self, name: str, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Corpus chrF of summed statistics: (rows, 3 * orders) -> (rows,), each row by sacreBLEU's own
        formula."""
        import numpy as np

        rows: list[list[int]] = sums.astype(np.int64).tolist()
        return np.array([self._score(row) for row in rows], np.float64)

    def _rows(self, generation: Generation) -> list[list[int]]:
        chrf = self._chrf
        texts = [chrf._preprocess_segment(text) for text in generation.sample.references]
        references = chrf._extract_reference_info(texts)
        return [
            chrf._compute_segment_statistics(chrf._preprocess_segment(completion.text or ""), references)
            for completion in generation.completions
        ]

    def _score(self, row: list[int]) -> float:
        return self._chrf._compute_f_score(row)


def _check(char_order: int, word_order: int, beta: float) -> None:
    if char_order < 0 or word_order < 0 or char_order + word_order == 0:
        raise ValueError(
            f"char_order: {char_order!r} and word_order: {word_order!r} must be 0 or more, and not both 0 "
            "(chrF is 6 and 0, chrF++ is 6 and 2)"
        )
    if not 0 < beta < math.inf:
        raise ValueError(f"beta: {beta!r} is not above 0 and finite (2 weighs recall twice as much as precision)")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def chrf(
    *,
    char_order: int = 6,
    word_order: int = 0,
    beta: float = 2.0,
    lowercase: bool = False,
    whitespace: bool = False,
    eps_smoothing: bool = False,
) -> _Chrf:
    """chrF with sacreBLEU's options; `word_order: 2` makes it chrF++.

    `whitespace` keeps white space in the character n-grams. `eps_smoothing` counts every order, as chrF++.py,
    NLTK and Moses do, instead of those that the texts are long enough for.
    """
    _check(char_order, word_order, beta)
    from sacrebleu.metrics.chrf import CHRF

    parts = [
        "chrf",
        f"case:{'lc' if lowercase else 'mixed'}",
        f"eff:{'no' if eps_smoothing else 'yes'}",
        f"nc:{char_order}",
        f"nw:{word_order}",
        f"space:{'yes' if whitespace else 'no'}",
        f"beta:{_number(beta)}",
    ]
    made = CHRF(
        char_order=char_order,
        word_order=word_order,
        beta=beta,  # type: ignore[arg-type]  # declared int, used as any positive number
        lowercase=lowercase,
        whitespace=whitespace,
        eps_smoothing=eps_smoothing,
    )
    return _Chrf(made, "|".join(parts))


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    register("chrf", chrf, scores=("chrf",))
