"""Exact match, and accuracy, precision, recall and F1 for tasks whose answers are labels.

`exact`: 1 where the completion equals any reference, else 0; `strip_whitespace` lets white space at the ends
differ. `exact_normalised`: the same after the normalisation of SQuAD (Rajpurkar et al. 2016, "SQuAD: 100,000+
Questions for Machine Comprehension of Text", EMNLP, https://aclanthology.org/D16-1264), made to work beyond
ASCII: NFKC, case folded, punctuation removed (ASCII's, and all that Unicode calls so), the words a, an, the
removed, white space collapsed. The three in the middle have an option each. Where nothing is left of two
texts they are compared as they were before punctuation and articles went.
Both: 0 to 1, higher is better, need references. Corpus: mean of the segments.

With `labels: [...]` there are also `accuracy`, `precision`, `recall`, `f1`: 0 to 1, higher is better, need
references. The true label is the one that a reference is. With several references that are labels any of them
is right, and the first is the true one of a wrong completion. Where no reference is a label they abstain.
What label a completion gives is decided after NFKC and case folding, by `extract`:
  whole (default)  the label that the whole text is, what is no letter or digit around it set aside;
  first, last      the label mentioned first or last, as whole words; of several at one place the longest. In
                   scripts that write no spaces any mention counts.
Part of a number is no label: neither the 3 of 3.5 nor the 5 of -5. References are read by `whole`. A
completion without a label is wrong: it counts as missed (false negative) for its true label, as a false
positive for none.
`accuracy`: 1 or 0 for each completion. Corpus: mean of the segments.
`precision`, `recall`, `f1`: of the corpus alone (scope corpus; segments abstain), from summed counts of true
positives, false positives and false negatives of each label. `average: macro` (default) is the mean over all
`labels`, `weighted` that mean weighted by how often each is true, `micro` takes the counts of all labels as
one, and `binary` those of the label `positive` alone. F1 is 2 tp / (2 tp + fp + fn), for macro and weighted
the mean of those. A ratio 0/0 is 0, as in scikit-learn.

Signatures: `exact|strip:no`, `exact_normalised|nfkc|case:lc|punct:no|articles:no`,
`accuracy|labels:["no","yes"]|extract:whole`, `f1|labels:["no","yes"]|extract:whole|average:macro`, and with
binary `f1|labels:["no","yes"]|extract:whole|average:binary|positive:"yes"`.
"""

from __future__ import annotations

import json
import re
import string
import unicodedata
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import NoValue, ScoreInfo, hookimpl, scores_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from harness import Batch, Generation, Scores

    F64 = NDArray[np.float64]

_MATCHES = tuple(ScoreInfo(name, needs=frozenset({"references"})) for name in ("exact", "exact_normalised"))
_ACCURACY = ScoreInfo("accuracy", needs=frozenset({"references"}))
_COUNTED = tuple(
    ScoreInfo(name, scope="corpus", corpus="statistics", needs=frozenset({"references"}))
    for name in ("precision", "recall", "f1")
)
_AVERAGES = ("macro", "micro", "weighted", "binary")
_EXTRACTS = ("whole", "first", "last")
_NO_SEGMENT = NoValue("abstain", "a score of the whole corpus, from counts of every label")

_ARTICLES = re.compile(r"\b(?:a|an|the)\b", re.IGNORECASE)
_WORDLIKE = re.compile(r"[^\W_]")
# Thai, Lao, Burmese, Khmer, kana, Han: without spaces, a letter beside a label need not belong to its word.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_JOINING = rf"[^\W{_UNSPACED}]"


def _folded(text: str, *, case: bool = True) -> str:
    """NFKC and (`case`) case folding, which can undo each other's work, and white space collapsed."""
    text = unicodedata.normalize("NFKC", text)
    if case:
        text = unicodedata.normalize("NFKC", text.casefold())
    return " ".join(text.split())


def _is_punctuation(char: str) -> bool:
    return char in string.punctuation or unicodedata.category(char).startswith("P")


@dataclass(frozen=True, slots=True)
class _Normaliser:
    lowercase: bool
    strip_punctuation: bool
    strip_articles: bool

    def __call__(self, text: str) -> tuple[str, str]:
        """What is compared, and after it what decides where the first is empty."""
        folded = _folded(text, case=self.lowercase)
        bare = folded
        if self.strip_punctuation:
            bare = bare.translate({ord(char): None for char in set(bare) if _is_punctuation(char)})
        if self.strip_articles:
            bare = _ARTICLES.sub(" ", bare)
        bare = " ".join(bare.split())
        return bare, "" if bare else folded

    @property
    def signature(self) -> str:
        case = "lc" if self.lowercase else "mixed"
        punctuation = "no" if self.strip_punctuation else "yes"
        articles = "no" if self.strip_articles else "yes"
        return f"exact_normalised|nfkc|case:{case}|punct:{punctuation}|articles:{articles}"


def _parts(folded: str) -> tuple[str, str, str]:
    """What stands before, between and after the first and last letter or digit; all of it before if there is
    none."""
    first = _WORDLIKE.search(folded)
    if first is None:
        return folded, "", ""
    last = _WORDLIKE.search(folded[::-1])
    end = len(folded) - (last.start() if last else 0)
    return folded[: first.start()], folded[first.start() : end], folded[end:]


class _Labels:
    """Finds labels in texts, by their places in the list."""

    def __init__(self, labels: Sequence[str], extract: str) -> None:
        self.names = tuple(labels)
        self.extract = extract
        folded = [_folded(label) for label in labels]
        longest_first = sorted(range(len(folded)), key=lambda index: (-len(folded[index]), index))
        self._index = {label: index for index, label in enumerate(folded)}
        self._parts = [(*_parts(folded[index]), index) for index in longest_first]
        self._pattern = re.compile("|".join(_mention(folded[index]) for index in longest_first))

    def of_completion(self, text: str) -> int | None:
        if self.extract == "whole":
            return self.whole(text)
        mentions = self._mentions(_folded(text))
        if self.extract == "first":
            return next(mentions, None)
        last = deque(mentions, maxlen=1)
        return last[0] if last else None

    def whole(self, text: str) -> int | None:
        folded = _folded(text)
        if folded in self._index:
            return self._index[folded]
        before, core, after = _parts(folded)
        for label_before, label_core, label_after, index in self._parts:
            around = before.endswith(label_before) and after.startswith(label_after)
            if core and core == label_core and around and _sign(before, core) == _sign(label_before, core):
                return index
        return None

    def _mentions(self, folded: str) -> Iterator[int]:
        for match in self._pattern.finditer(folded):
            after = folded[match.end() : match.end() + 1]
            if not after or not unicodedata.category(after).startswith("M"):  # a mark makes it another letter
                yield self._index[match[0]]


def _sign(before: str, core: str) -> bool:
    """Whether a minus belongs to the number that follows."""
    return core[:1].isdigit() and before.endswith(("-", "−"))


def _mention(folded: str) -> str:
    """A pattern for a label where it is no part of a longer word or number."""
    before = rf"(?<!{_JOINING})" if re.match(_JOINING, folded) else ""
    after = rf"(?!{_JOINING})" if re.match(_JOINING, folded[-1]) else ""
    if folded[0].isdigit():
        before += r"(?<!\d[.,])(?<!(?<!\w)[-−])"
    if folded[-1].isdigit():
        after += r"(?![.,]\d)"
    return before + re.escape(folded) + after


@dataclass(frozen=True, slots=True)
class _Average:
    """Ratios of summed counts, one row per resample. `tp`, `fp`, `fn` below are (rows, labels)."""

    kind: str
    positive: int | None

    def __call__(self, name: str, tp: F64, fp: F64, fn: F64) -> F64:
        import numpy as np

        support = tp + fn
        if self.kind in ("weighted", "macro"):
            weights: F64 = support if self.kind == "weighted" else np.ones_like(support)
            value = _ratio(_row_sums(weights * _by_name(name, tp, fp, fn)), _row_sums(weights))
        elif self.kind == "micro":
            value = _by_name(name, _row_sums(tp), _row_sums(fp), _row_sums(fn))
        else:
            value = _by_name(name, tp[:, self.positive], fp[:, self.positive], fn[:, self.positive])
        return np.where(_row_sums(support) > 0, value, np.nan)  # no completion at all: no score


def _by_name(name: str, tp: F64, fp: F64, fn: F64) -> F64:
    if name == "precision":
        return _ratio(tp, tp + fp)
    return _ratio(tp, tp + fn) if name == "recall" else _ratio(2 * tp, 2 * tp + fp + fn)


def _ratio(part: F64, whole: F64) -> F64:
    import numpy as np

    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _row_sums(columns: F64) -> F64:
    """Column after column, so that a row's sum depends on nothing but the row (numpy's own may regroup)."""
    total = columns[:, 0].copy()
    for index in range(1, columns.shape[1]):
        total += columns[:, index]
    return total


class _Exact:
    def __init__(self, normalise: _Normaliser, strip: bool, labels: _Labels | None, average: _Average) -> None:
        self._normalise, self._strip = normalise, strip
        self._labels, self._average = labels, average
        self.infos = _MATCHES if labels is None else (*_MATCHES, _ACCURACY, *_COUNTED)

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        infos = {info.name: info for info in self.infos if not batch.wanted or info.name in batch.wanted}
        scores: dict[str, Scores] = {}
        for info in _MATCHES:
            if info.name in infos:
                values = [value for g in batch.generations for value in self._matches(info.name, g)]
                scores[info.name] = scores_from(info, self._signature(info.name), values)
        if self._labels is not None and infos.keys() - scores.keys():
            scores.update(self._of_labels(self._labels, batch, infos))
        return scores

    def corpus_from(self, name: str, sums: F64) -> F64:
        """precision, recall or f1 of summed counts: (rows, 3 * labels) -> (rows,); NaN for a row of no
        counts."""
        labels = sums.shape[1] // 3
        return self._average(name, sums[:, :labels], sums[:, labels : 2 * labels], sums[:, 2 * labels :])

    def _matches(self, name: str, generation: Generation) -> list[float]:
        key: Callable[[str], object] = self._normalise
        if name == "exact":
            key = str.strip if self._strip else str
        references = {key(text) for text in generation.sample.references}
        return [float(key(completion.text or "") in references) for completion in generation.completions]

    def _of_labels(self, labels: _Labels, batch: Batch, infos: Mapping[str, ScoreInfo]) -> dict[str, Scores]:
        import numpy as np

        right: list[float | NoValue] = []
        rows: list[list[float]] = []
        for generation in batch.generations:
            answers = [labels.whole(text) for text in generation.sample.references]
            truths = [answer for answer in answers if answer is not None]
            for completion in generation.completions:
                found = labels.of_completion(completion.text or "")
                right.append(_right(found, truths, labels))
                rows.append(_counts(found, truths, len(labels.names)))
        counts = np.array(rows, np.float64).reshape(len(rows), 3 * len(labels.names))
        scores: dict[str, Scores] = {}
        for name, info in infos.items():
            if info == _ACCURACY:
                scores[name] = scores_from(info, self._signature(name), right)
            elif info in _COUNTED:
                values = [value if isinstance(value, NoValue) else _NO_SEGMENT for value in right]
                scores[name] = scores_from(info, self._signature(name), values, statistics=counts)
        return scores

    def _signature(self, name: str) -> str:
        if name == "exact":
            return f"exact|strip:{'yes' if self._strip else 'no'}"
        if name == "exact_normalised" or self._labels is None:
            return self._normalise.signature
        names = _compact(self._labels.names)
        signature = f"{name}|labels:{names}|extract:{self._labels.extract}"
        if name == _ACCURACY.name:
            return signature
        signature += f"|average:{self._average.kind}"
        if self._average.positive is None:
            return signature
        return f"{signature}|positive:{_compact(self._labels.names[self._average.positive])}"


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _right(found: int | None, truths: Sequence[int], labels: _Labels) -> float | NoValue:
    if not truths:
        return NoValue("abstain", f"no reference is one of the labels {', '.join(labels.names)}"[:200])
    return float(found in truths)


def _counts(found: int | None, truths: Sequence[int], labels: int) -> list[float]:
    """True positives, false positives, false negatives of each label; NaN where there is no true label."""
    if not truths:
        return [float("nan")] * (3 * labels)
    row = [0.0] * (3 * labels)
    if found in truths and found is not None:
        row[found] = 1.0
    else:
        row[2 * labels + truths[0]] = 1.0
        if found is not None:
            row[labels + found] = 1.0
    return row


def _check_labels(labels: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for label in labels:
        folded = _folded(label)
        if not folded:
            raise ValueError(f"labels: {label!r} is empty")
        if folded in seen:
            raise ValueError(f"labels: {label!r} and {seen[folded]!r} are the same but for case, width or spaces")
        seen[folded] = label
    if len(labels) < 2:
        raise ValueError("labels: a list of at least two is needed")


def _average(average: str, positive: str | None, labels: Sequence[str]) -> _Average:
    if average not in _AVERAGES:
        raise ValueError(f"average: {average!r} is unknown; there is {', '.join(_AVERAGES)}")
    if average != "binary":
        if positive is not None:
            raise ValueError(f"positive: {positive!r} means something only with average: binary")
        return _Average(average, None)
    if positive is None or positive not in labels:
        raise ValueError(f"positive: average binary needs one of the labels {', '.join(labels)}, not {positive!r}")
    return _Average(average, list(labels).index(positive))


def exact(
    *,
    strip_whitespace: bool = False,
    lowercase: bool = True,
    strip_punctuation: bool = True,
    strip_articles: bool = True,
    labels: list[str] | None = None,
    extract: str = "whole",
    average: str = "macro",
    positive: str | None = None,
) -> _Exact:
    """Exact match; with `labels` also accuracy, precision, recall and F1.

    `strip_whitespace` is of `exact`; `lowercase`, `strip_punctuation`, `strip_articles` are of
    `exact_normalised`;
    `extract` (whole, first, last), `average` (macro, micro, weighted, binary) and `positive` (the label that
    binary is about) belong to `labels`.
    """
    if extract not in _EXTRACTS:
        raise ValueError(f"extract: {extract!r} is unknown; there is {', '.join(_EXTRACTS)}")
    if labels is None:
        if (extract, average, positive) != ("whole", "macro", None):
            raise ValueError("extract, average and positive mean something only with labels: [...]")
    else:
        _check_labels(labels)
    finder = None if labels is None else _Labels(labels, extract)
    normalise = _Normaliser(lowercase, strip_punctuation, strip_articles)
    return _Exact(normalise, strip_whitespace, finder, _average(average, positive, labels or ()))


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    names = [info.name for info in (*_MATCHES, _ACCURACY, *_COUNTED)]
    register("exact", exact, scores=tuple(names))
