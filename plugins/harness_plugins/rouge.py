"""ROUGE-1, ROUGE-2, ROUGE-L and summary-level ROUGE-L (ROUGE-Lsum).

Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", Text Summarization Branches Out
(https://aclanthology.org/W04-1013). The numbers are those of the package rouge-score, which reproduces
ROUGE-1.5.5: its tokenizer (and with `use_stemmer` nltk's Porter stemmer for words of more than 3 letters) is
used as it is; counting is done here so that a long text takes memory and time that a run can afford.

Scores `rouge1`, `rouge2`, `rougeL`, `rougeLsum`: 0 to 1, higher is better, need references. Each is the
F-measure, or by `measure:` precision or recall. With several references, `multi: best` takes the reference of
the highest F-measure, for each score apart (the first such), `multi: mean` the mean over references;
published tables use both.
`rougeLsum` reads each line of a text as one sentence: it splits on "\\n" and nowhere else.
Corpus: mean of the segments.
Signature: `rouge1|stem:no|measure:fmeasure|multi:best`; `rougeLsum` adds `|split:newline`. Where not all of a task's
languages meet rouge-score's tokenizer, `tok` names those they meet: `rouge1|stem:no|tok:words|measure:fmeasure|multi:best`,
`tok:rouge+words` in a mixed task.

`tokenize: auto` chooses by each sample's language: `rouge` where it is English or not named, `words` elsewhere.
`rouge` is rouge-score's tokenizer: [a-z0-9] of the lowercased text and nothing else. Where a completion or any of its
references has letters but none that it keeps (Chinese, Greek), the scores abstain: their 0 would speak of the
script, not of the text. A text that keeps some of its letters (accented ones are lost) is scored as
rouge-score does. `words` are Unicode's (after NFKC, in lower case), each Chinese, Japanese or Thai character a word of its own;
`jieba` gives Chinese words. Only rouge-score's tokenizer stems: `stem` is `no` where none of the languages meets it.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from harness import NoValue, ScoreInfo, hookimpl, scores_from
from harness_plugins.words import check_jieba, jieba_words, primary, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from harness import Batch, Generation, Scores

_NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
_MEASURES = ("fmeasure", "precision", "recall")
_MULTI = ("best", "mean")
_TOKENIZE = ("auto", "rouge", "words", "jieba")


class _Score(NamedTuple):
    fmeasure: float
    precision: float
    recall: float


class _Text(NamedTuple):
    """A text as ROUGE sees it: its tokens, and those of each line; `foreign` where it keeps none of its
    letters."""

    tokens: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    foreign: bool


def _score(hits: int, reference: int, completion: int) -> _Score:
    precision, recall = hits / max(completion, 1), hits / max(reference, 1)
    both = precision + recall
    return _Score(2 * precision * recall / both if both > 0 else 0.0, precision, recall)


def _ngrams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[i:] for i in range(n)), strict=False))


def _by_ngrams(reference: _Text, completion: _Text, n: int) -> _Score:
    ours, theirs = _ngrams(completion.tokens, n), _ngrams(reference.tokens, n)
    hits = sum(min(count, ours[gram]) for gram, count in theirs.items() if gram in ours)
    return _score(hits, theirs.total(), ours.total())


def _lcs_rows(reference: Sequence[str], completion: Sequence[str]) -> Iterable[int]:
    """The table of longest common subsequences, a row per reference token, as bits.

    Bit j of row i is set where the table's cell (i, j + 1) is one more than the cell (i, j). One big integer
    per row holds what dynamic programming keeps in a list: Hyyrö 2004, "Bit-parallel LCS-length computation
    revisited".
    """
    places: defaultdict[str, int] = defaultdict(int)
    for j, token in enumerate(completion):
        places[token] |= 1 << j
    full = (1 << len(completion)) - 1
    unset = full
    for token in reference:
        found = unset & places.get(token, 0)
        unset = ((unset + found) | (unset - found)) & full
        yield full ^ unset


def _by_lcs(reference: _Text, completion: _Text) -> _Score:
    length = 0
    for row in _lcs_rows(reference.tokens, completion.tokens):
        length = row
    return _score(length.bit_count(), len(reference.tokens), len(completion.tokens))


def _lcs_indices(reference: Sequence[str], completion: Sequence[str]) -> list[int]:
    """Places in `reference` of one longest common subsequence: of several, the one that rouge-score reads
    out."""
    rows = [0, *_lcs_rows(reference, completion)]
    i, j = len(reference), len(completion)
    found: list[int] = []
    above = _rise(rows, i, j)
    while i > 0 and j > 0:
        if reference[i - 1] == completion[j - 1]:
            found.append(i - 1)
            i, j = i - 1, j - 1
            above = _rise(rows, i, j)
        elif above:
            j -= 1
            above -= (rows[i] >> j & 1) - (rows[i - 1] >> j & 1)
        else:
            i -= 1
            above = _rise(rows, i, j)
    return found


def _rise(rows: Sequence[int], i: int, j: int) -> int:
    """How much the table's cell (i, j) is above the cell (i - 1, j): 0 or 1."""
    if i == 0:
        return 0
    low = (1 << j) - 1
    return (rows[i] & low).bit_count() - (rows[i - 1] & low).bit_count()


def _by_summary(reference: _Text, completion: _Text) -> _Score:
    """Union LCS of each reference line with all lines of the completion, no token counted more often than it
    occurs."""
    theirs, ours = Counter(reference.tokens), Counter(completion.tokens)
    lines = list(dict.fromkeys(completion.lines))
    lines_with: defaultdict[str, set[int]] = defaultdict(set)  # by number: to hash a line takes reading all of it
    for number, line in enumerate(lines):
        for token in line:
            lines_with[token].add(number)
    hits = 0
    for line in reference.lines:
        near = set[int]().union(*(lines_with.get(token, ()) for token in set(line)))
        for index in sorted(set[int]().union(*(_lcs_indices(line, lines[number]) for number in near))):
            token = line[index]
            if ours[token] > 0 and theirs[token] > 0:
                hits += 1
                ours[token] -= 1
                theirs[token] -= 1
    return _score(hits, len(reference.tokens), len(completion.tokens))


_COUNT: Mapping[str, Callable[[_Text, _Text], _Score]] = {
    "rouge1": lambda reference, completion: _by_ngrams(reference, completion, 1),
    "rouge2": lambda reference, completion: _by_ngrams(reference, completion, 2),
    "rougeL": _by_lcs,
    "rougeLsum": _by_summary,
}


class _Reader:
    """Texts to tokens. The stemmer takes 0.4 s to import: made at first use, and only where asked for."""

    def __init__(self, tokenize: str, use_stemmer: bool) -> None:
        self._tokenize, self._use_stemmer = tokenize, use_stemmer
        self._made: dict[str, Callable[[str], list[str]]] = {}

    def of(self, batch: Batch, language: str | None) -> Callable[[str], _Text]:
        """A text of this language as it is read, kept in the batch's memo."""
        name = self._name(language)
        if name not in self._made:
            self._made[name] = _tokenizer(name, self._use_stemmer)
        tokenize = self._made[name]
        known: dict[str, _Text] = batch.memo.get(("rouge texts", name, self._use_stemmer), dict)

        def read(text: str) -> _Text:
            if text not in known:
                known[text] = _read(text, tokenize, foreign=name == "rouge" and _loses_all_letters(text))
            return known[text]

        return read

    def signature(self, languages: frozenset[str | None]) -> list[str]:
        """The parts that say how words are made: those of rouge-score's own tokenizer go without its name."""
        names = sorted({self._name(language) for language in languages} or {self._name(None)})
        stem = f"stem:{'yes' if self._use_stemmer and 'rouge' in names else 'no'}"
        return [stem] if names == ["rouge"] else [stem, f"tok:{'+'.join(names)}"]

    def _name(self, language: str | None) -> str:
        if self._tokenize != "auto":
            return self._tokenize
        return "rouge" if primary(language) in {None, "en"} else "words"


def _read(text: str, tokenize: Callable[[str], list[str]], *, foreign: bool) -> _Text:
    lines = tuple(tuple(tokenize(line)) for line in text.split("\n"))
    return _Text(tuple(token for line in lines for token in line), lines, foreign)


def _tokenizer(name: str, use_stemmer: bool) -> Callable[[str], list[str]]:
    if name == "words":
        return lambda text: words(_folded(text))
    if name == "jieba":
        return lambda text: [word for word in jieba_words(_folded(text)) if words(word)]
    from rouge_score.tokenize import tokenize

    stemmer = _CachingStemmer() if use_stemmer else None
    return lambda text: list(tokenize(text, stemmer))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()


class _CachingStemmer:
    def __init__(self) -> None:
        from rouge_score.tokenizers import porter

        self.stem = lru_cache(maxsize=1 << 16)(porter.PorterStemmer().stem)


def _loses_all_letters(text: str) -> bool:
    if text.isascii():
        return False
    kept = any("a" <= char <= "z" for char in text.lower())
    return not kept and any(char.isalpha() for char in text)


class _Rouge:
    infos = tuple(ScoreInfo(name, needs=frozenset({"references"})) for name in _NAMES)

    def __init__(self, tokenize: str, use_stemmer: bool, measure: str, multi: str) -> None:
        self._measure, self._multi = measure, multi
        self._reader = _Reader(tokenize, use_stemmer)

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        infos = [info for info in self.infos if not batch.wanted or info.name in batch.wanted]
        values: dict[str, list[float | NoValue]] = {info.name: [] for info in infos}
        for generation in batch.generations:
            self._add(generation, batch, values)
        made = self._reader.signature(batch.whole.languages)
        return {info.name: scores_from(info, self._signature(info.name, made), values[info.name]) for info in infos}

    def _signature(self, name: str, made: list[str]) -> str:
        parts = [name, *made, f"measure:{self._measure}", f"multi:{self._multi}"]
        return "|".join([*parts, "split:newline"] if name == "rougeLsum" else parts)

    def _add(self, generation: Generation, batch: Batch, values: dict[str, list[float | NoValue]]) -> None:
        read = self._reader.of(batch, generation.sample.language)
        references = [read(text) for text in generation.sample.references]
        for completion in generation.completions:
            text = read(completion.text or "")
            reason = _unreadable(references, text)
            for name, column in values.items():
                column.append(NoValue("abstain", reason) if reason else self._value(name, references, text))

    def _value(self, name: str, references: Sequence[_Text], text: _Text) -> float:
        scores = [_COUNT[name](reference, text) for reference in references]
        if self._multi == "best":
            return float(getattr(max(scores, key=lambda score: score.fmeasure), self._measure))
        return math.fsum(getattr(score, self._measure) for score in scores) / len(scores)


def _unreadable(references: Sequence[_Text], completion: _Text) -> str | None:
    lost = ["the completion"] if completion.foreign else []
    lost += [f"reference {index + 1}" for index, text in enumerate(references) if text.foreign]
    if not lost:
        return None
    return (
        f"ROUGE's tokenizer keeps only a-z and 0-9, and so none of the letters of {lost[0]}; where the task names the "
        "`language` of its texts, other letters count too"
    )


def rouge(
    *, tokenize: str = "auto", use_stemmer: bool = False, measure: str = "fmeasure", multi: str = "best"
) -> _Rouge:
    """ROUGE as rouge-score computes it, and over Unicode words for other languages than English.

    `tokenize`: auto (by each sample's language), rouge (rouge-score's), words or jieba. `use_stemmer` stems what
    rouge-score's tokenizer reads. `measure`: fmeasure, precision or recall. `multi`, with several references: best (of
    the highest F-measure) or mean.
    """
    for option, value, there in (
        ("tokenize", tokenize, _TOKENIZE),
        ("measure", measure, _MEASURES),
        ("multi", multi, _MULTI),
    ):
        if value not in there:
            raise ValueError(f"{option}: {value!r} is unknown; there is {', '.join(there)}")
    if use_stemmer and tokenize in ("words", "jieba"):
        raise ValueError(
            f"use_stemmer: Porter's stemmer knows English and ROUGE's own tokens, not tokenize: {tokenize}"
        )
    if tokenize == "jieba":
        check_jieba()
    return _Rouge(tokenize, use_stemmer, measure, multi)


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    register("rouge", rouge, scores=_NAMES)
