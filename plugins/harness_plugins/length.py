"""The length of a completion: words, characters, tokens.

Scores `length` (words), `length_chars` (Unicode code points of the text as it is), `length_tokens` (new
tokens as the model's adapter counted them; abstains where it did not). From 0, unbounded above. Longer is
neither better nor worse: the declared direction (higher) is only how a reward term reads them where it does
not say otherwise, and such a term must give `range:`. Corpus: mean of the segments.
Signatures: `length|unit:words`, `length_chars|unit:codepoints`, `length_tokens|unit:tokens`. Token counts
compare only between models of one tokenizer.

Words follow Unicode's default word boundaries (UAX 29) as far as they need no dictionary: a word is a run of
letters, digits and underscores with their marks, joined across an apostrophe, or between digits across a
point or comma ("don't" and "3.14" are one word, "well-known" is two). Each Han character and each Hiragana
letter is a word of its own. In Thai, Lao, Khmer and Burmese, which write no spaces, a whole run counts as one
word.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import TYPE_CHECKING

from harness import NoValue, ScoreInfo, hookimpl, scores_from

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness import Batch, Completion, Scores

_SINGLE = "\u3041-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_RUN = rf"[^\W{_SINGLE}]+"
_WORD = re.compile(rf"[{_SINGLE}]|{_RUN}(?:(?:['’]|(?<=\d)[.,](?=\d)){_RUN})*")
_ZERO_WIDTH_SPACE = "\u200b"  # a format character that, unlike the others, does separate words


def _attaches(char: str) -> bool:
    """Marks and format characters belong to the word before them, though `\\w` does not match them."""
    return unicodedata.category(char) in {"Mn", "Mc", "Me", "Cf"} and char != _ZERO_WIDTH_SPACE


def _words(text: str) -> int:
    if not text.isascii():
        drop = {ord(char): None for char in set(text) if _attaches(char)}
        text = text.translate(drop) if drop else text
    return sum(1 for _ in _WORD.finditer(text))


def _in_words(completion: Completion) -> float:
    return _words(completion.text or "")


def _in_chars(completion: Completion) -> float:
    return len(completion.text or "")


def _in_tokens(completion: Completion) -> float | NoValue:
    if completion.tokens is None:
        return NoValue("abstain", "the number of tokens was not recorded")
    return completion.tokens


_UNITS: tuple[tuple[str, str, Callable[[Completion], float | NoValue]], ...] = (
    ("length", "words", _in_words),
    ("length_chars", "codepoints", _in_chars),
    ("length_tokens", "tokens", _in_tokens),
)


class _Length:
    infos = tuple(ScoreInfo(name, 0.0, math.inf) for name, _, _ in _UNITS)

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        completions = [c for generation in batch.generations for c in generation.completions]
        scores: dict[str, Scores] = {}
        for info, (name, unit, measure) in zip(self.infos, _UNITS, strict=True):
            if not batch.wanted or name in batch.wanted:
                values: Sequence[float | NoValue] = [measure(completion) for completion in completions]
                scores[name] = scores_from(info, f"{name}|unit:{unit}", values)
        return scores


def length() -> _Length:
    """Lengths in words, code points and tokens; no options."""
    return _Length()


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    register("length", length, scores=tuple(name for name, _, _ in _UNITS))
