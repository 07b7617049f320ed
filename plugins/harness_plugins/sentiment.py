"""Sentiment by VADER or a classifier: of a completion, and how consistent it is with another text's or with a target.

Hutto & Gilbert 2014, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text",
ICWSM (https://ojs.aaai.org/index.php/ICWSM/article/view/14550). The number is VADER's compound c, -1 to 1. With `model`
(a folder or hub's name) it is that of any transformers text-classification model instead: the sum over its labels of
probability (softmax) times the label's number (`sentiment_model.py`).

`sentiment`: 1 - |c(completion) - c(against)| / 2; 0 to 1, higher is better. `against: prompt` (default; of a
chat the last user turn), `references` (the mean of their compounds), or `target`: the number in [-1, 1], or
one of the words positive (1), neutral (0), negative (-1), that each sample's metadata holds under
`target_field`. A sample without it abstains; anything else there is invalid. It needs the prompt, or
references, or nothing.
`polarity`: the completion's own compound; -1 to 1, higher is more positive (declared as better; a reward that
wants less of it says so).
Corpus: mean of the segments.
Signatures: `sentiment|vader|against:prompt` (`|field:NAME` follows for a target), `polarity|vader`; of a model
`sentiment|model:sha256:0123456789ab|labels:negative=-1,positive=1|against:prompt` and
`polarity|model:sha256:0123456789ab|labels:negative=-1,positive=1`.

VADER knows English words, emoticons and emoji. Both scores abstain where the sample's language is set and is
not English, and where more than half of a text's letters (the completion's or those it is compared with) are
in another script than Latin. A text without a word that VADER knows, such as the empty text, is neutral: 0.

A model is taken for able to read every language; empty texts abstain. A text longer than the model's maximum is cut at
its end. `labels: {LABEL: number in [-1, 1]}` must name all labels of the model and no others; it can be left out where
these say what they mean: negative and positive, with or without neutral or very, or 1 star to 5 stars. Computed in
float32; tolerance 1e-4. Only safetensors are loaded, and no code of a model's.
"""

from __future__ import annotations

import heapq
import math
import unicodedata
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Protocol

from harness import NoValue, ScoreInfo, hookimpl, prompt_text, scores_from
from harness_plugins.sentiment_model import model_judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness import Batch, Json, Sample, Scores

_AGAINST = ("prompt", "references", "target")
_TARGETS = {"positive": 1.0, "neutral": 0.0, "negative": -1.0}
_POLARITY = "polarity"
_BUT_BEFORE, _BUT_AFTER = 0.5, 1.5  # VADER's weights of what stands before and after "but"


class _Vader:
    """Texts to compounds, or to the name of the script that kept VADER from reading them."""

    def __init__(self) -> None:
        self._analyser: Any = None

    def __call__(self, text: str) -> float | str:
        script = _other_script(text)
        if script is not None:
            return script
        if self._analyser is None:
            self._analyser = _linear_analyser()
        return float(self._analyser.polarity_scores(text)["compound"])


def _linear_analyser() -> Any:
    """VADER, its three quadratic steps given only the words they look at. The compounds are the same, bit for
    bit.

    As published, each step goes through all words of the text at each word it knows: 5,000 emoji took 5 s.
    """
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyser = SentimentIntensityAnalyzer()
    negation, idioms = analyser._negation_check, analyser._special_idioms_check

    def negation_check(valence: float, words: Sequence[str], start: int, i: int) -> Any:
        low = max(i - 3, 0)
        return negation(valence, words[low : i + 1], start, i - low)

    def special_idioms_check(valence: float, words: Sequence[str], i: int) -> Any:
        low = max(i - 3, 0)
        return idioms(valence, words[low : i + 3], i - low)

    analyser._negation_check = negation_check
    analyser._special_idioms_check = special_idioms_check
    analyser._but_check = _but_check
    return analyser


def _but_check(words: Sequence[str], sentiments: list[float]) -> list[float]:
    """VADER's rule of "but": at each word, the first word of equal valence is weighed by the side it stands
    on.

    Which word that is, is VADER's quirk: equal valences make it weigh one word repeatedly and others not at
    all.
    """
    but = next((i for i, word in enumerate(words) if word.lower() == "but"), None)
    if but is None:
        return sentiments
    places: defaultdict[float, list[int]] = defaultdict(list)
    for i, value in enumerate(sentiments):
        places[value].append(i)
    for i in range(len(sentiments)):
        value = sentiments[i]
        heap = places[value]
        while sentiments[heap[0]] != value:
            heapq.heappop(heap)
        first = heap[0]
        if first != but:
            sentiments[first] = value * (_BUT_BEFORE if first < but else _BUT_AFTER)
            heapq.heappush(places[sentiments[first]], first)
    return sentiments


def _other_script(text: str) -> str | None:
    """The commonest script other than Latin where more than half of the letters are in such, else None."""
    if text.isascii():
        return None
    scripts: Counter[str] = Counter()
    for char, count in Counter(text).items():
        if char.isalpha():
            scripts[unicodedata.name(char, "unnamed").split(" ")[0].split("-")[0]] += count
    latin = scripts.pop("LATIN", 0)
    if scripts.total() <= latin:
        return None
    return min(scripts, key=lambda script: (-scripts[script], script)).title()


def _not_english(sample: Sample) -> NoValue | None:
    language = sample.language
    if not language or language.replace("_", "-").split("-")[0].lower() in {"en", "eng"}:
        return None
    return NoValue("abstain", f"VADER knows English only, and the sample's language is {language!r}")


def _unreadable(what: str, script: str) -> NoValue:
    return NoValue("abstain", f"VADER knows English only, and most letters of {what} are not Latin ({script})")


def _target(sample: Sample, field: str) -> float | NoValue:
    value = sample.metadata.get(field)
    if value is None or value == "":
        return NoValue("abstain", f"the sample's metadata holds no {field!r} to compare with")
    number = _as_number(value)
    if number is None or not -1 <= number <= 1:
        return NoValue(
            "invalid",
            f"metadata {field!r} is {str(value)[:60]!r}, and neither a number in [-1, 1] "
            f"nor one of {', '.join(_TARGETS)}",
        )
    return number


def _as_number(value: Json) -> float | None:
    """A target's number; text too, since tables read from CSV hold nothing else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and value.strip().lower() in _TARGETS:
        return _TARGETS[value.strip().lower()]
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


class Judge(Protocol):
    """What tells how positive texts are, from -1 to 1."""

    @property
    def tolerance(self) -> float: ...

    def signature(self, batch: Batch) -> str:
        """Its part of a score's signature."""
        ...

    def refuses(self, sample: Sample) -> NoValue | None:
        """Why it has nothing to say of a sample, whatever the texts."""
        ...

    def polarities(self, batch: Batch, texts: Sequence[str]) -> Callable[[str, str], float | NoValue]:
        """The polarity of any of the texts, or why there is none; messages call the text by the second argument."""
        ...


class _VaderJudge:
    tolerance = 0.0

    def __init__(self) -> None:
        self._vader = _Vader()

    def signature(self, batch: Batch) -> str:
        return "vader"

    def refuses(self, sample: Sample) -> NoValue | None:
        return _not_english(sample)

    def polarities(self, batch: Batch, texts: Sequence[str]) -> Callable[[str, str], float | NoValue]:
        known: dict[str, float | str] = batch.memo.get(("vader compounds",), dict)

        def compound(text: str, what: str) -> float | NoValue:
            if text not in known:
                known[text] = self._vader(text)
            value = known[text]
            return _unreadable(what, value) if isinstance(value, str) else value

        return compound


def judge(
    what: str, *, model: str, labels: Mapping[str, float] | None, device: str = "auto", revision: str | None = None
) -> Judge:
    """VADER, or the classifier `model`. Raises ValueError, or PluginError where a package is missing (for `what`)."""
    if model:
        return model_judge(what, model, labels, device, revision)
    if labels is not None:
        raise ValueError("labels: belong to a classifier, and VADER has none; give `model` too")
    if revision is not None:
        raise ValueError("revision: belongs to a classifier from a hub; give `model` too")
    return _VaderJudge()


class _Sentiment:
    def __init__(self, judge: Judge, against: str, target_field: str) -> None:
        needs = frozenset({against}) - {"target"}
        tolerance = judge.tolerance
        self._consistency = ScoreInfo("sentiment", needs=needs, tolerance=tolerance)  # type: ignore[arg-type]  # what is left are needs
        self.infos = (self._consistency, ScoreInfo(_POLARITY, -1.0, 1.0, tolerance=tolerance))
        self._against, self._field = against, target_field
        self._judge = judge

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        infos = [info for info in self.infos if not batch.wanted or info.name in batch.wanted]
        if not infos:
            return {}
        polarity = self._judge.polarities(batch, self._texts(batch, consistency=self._consistency in infos))
        measures = {"sentiment": self._consistencies, _POLARITY: self._polarities}
        return {
            info.name: scores_from(info, self._signature(info.name, batch), measures[info.name](batch, polarity))
            for info in infos
        }

    def _texts(self, batch: Batch, *, consistency: bool) -> list[str]:
        """All texts whose polarity will be asked for."""
        if not consistency:
            return batch.texts
        samples = [generation.sample for generation in batch.generations]
        return [*batch.texts, *(text for sample in samples for text in self._compared(sample))]

    def _compared(self, sample: Sample) -> Sequence[str]:
        if self._against == "prompt":
            return (prompt_text(sample.prompt),)
        return sample.references if self._against == "references" else ()

    def _signature(self, name: str, batch: Batch) -> str:
        signature = f"{name}|{self._judge.signature(batch)}"
        if name == _POLARITY:
            return signature
        signature = f"{signature}|against:{self._against}"
        return f"{signature}|field:{self._field}" if self._against == "target" else signature

    def _polarities(self, batch: Batch, polarity: Callable[[str, str], float | NoValue]) -> list[float | NoValue]:
        return [
            self._judge.refuses(generation.sample) or polarity(completion.text or "", "the completion")
            for generation in batch.generations
            for completion in generation.completions
        ]

    def _consistencies(self, batch: Batch, polarity: Callable[[str, str], float | NoValue]) -> list[float | NoValue]:
        values: list[float | NoValue] = []
        for generation in batch.generations:
            other = self._judge.refuses(generation.sample) or self._other(generation.sample, polarity)
            for completion in generation.completions:
                own = polarity(completion.text or "", "the completion")
                values.append(_consistency(own, other))
        return values

    def _other(self, sample: Sample, polarity: Callable[[str, str], float | NoValue]) -> float | NoValue:
        if self._against == "target":
            return _target(sample, self._field)
        if self._against == "prompt":
            return polarity(prompt_text(sample.prompt), "the prompt")
        numbers: list[float] = []
        for index, reference in enumerate(sample.references):
            value = polarity(reference, f"reference {index + 1}")
            if isinstance(value, NoValue):
                return value
            numbers.append(value)
        return math.fsum(numbers) / len(numbers)


def _consistency(own: float | NoValue, other: float | NoValue) -> float | NoValue:
    if isinstance(other, NoValue):
        return other
    return own if isinstance(own, NoValue) else 1.0 - abs(own - other) / 2.0


def sentiment(
    *,
    against: str = "prompt",
    target_field: str = "sentiment",
    model: str = "",
    labels: dict[str, float] | None = None,
    device: str = "auto",
    revision: str | None = None,
) -> _Sentiment:
    """The sentiment of a completion, and its consistency, by VADER or by a classifier.

    `against`: prompt, references or target; `target_field` is the metadata key that holds a sample's target.
    `model`: a text-classification model (a folder, or a hub's name with its `revision`) instead of VADER; `labels` gives
    each of its labels a number in [-1, 1].
    """
    if against not in _AGAINST:
        raise ValueError(f"against: {against!r} is unknown; there is {', '.join(_AGAINST)}")
    if not target_field:
        raise ValueError("target_field: an empty name; give the metadata key that holds the target")
    if device != "auto" and not model:
        raise ValueError("device: belongs to a classifier, and VADER needs none; give `model` too")
    chosen = judge("sentiment", model=model, labels=labels, device=device, revision=revision)
    return _Sentiment(chosen, against, target_field)


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    register("sentiment", sentiment, scores=("sentiment", _POLARITY))
