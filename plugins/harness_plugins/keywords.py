"""Required and forbidden words: how many occur, and in which order.

The words are the sample's own, in its metadata: under `field` (`keywords`) those a completion has to hold, under
`forbidden_field` (`forbidden`) those it must not. Each is a list of texts, or one text with `,` `;` `、` `，` `；` or line
breaks between them.

`keywords`: the share of the required words that occur. 0 to 1, higher is better. It is the coverage of Lin et al. 2020,
"CommonGen: A Constrained Text Generation Challenge for Generative Commonsense Reasoning", Findings of EMNLP
(https://aclanthology.org/2020.findings-emnlp.165).
`keywords_order`: of all pairs of required words that occur, the share whose first occurrences stand in the order given:
(1 + Kendall's tau) / 2, as Lapata 2006, "Automatic Evaluation of Information Ordering: Kendall's Tau", Computational
Linguistics (https://aclanthology.org/J06-4002) measures order. 0 to 1, higher is better, 0.5 is chance. Two that start at
the same place count as in order. It abstains where fewer than two occur: what is missing is the coverage's business.
`keywords_forbidden`: the share of the forbidden words that occur. 0 to 1, lower is better.
A score abstains where the sample names no such words; a list that holds anything but texts and whole numbers is `invalid`.
Corpus: mean of the segments, each sample alike however many words it names.
Signature: `keywords|field:keywords|inflection:en`, with the languages whose inflection is undone (of those of the task's
samples; `none` for those without, `en+none` in a mixed task, `no` where it is switched off).

Words are compared after NFKC and case folding, with hyphens and apostrophes taken for spaces (`stir-fry` is `stir fry`,
`l'eau` holds `eau`). A keyword is matched word for word, at any place but never inside a longer word; one of several words by
these words in a row, with nothing but spaces between. In scripts without spaces every character is a word, so Chinese
matches wherever the characters stand together, also across what a reader takes for two words. Signs count in a
keyword (`C++`), and one that holds nothing to compare (blank, `-`) is none.
Inflection: English, and where no language is named, by the forms a word can be of (`ran` is `run`; `policy` is not
`police`); da, de, es, fi, fr, hu, it, nl, no, pt, ro, ru and sv by nltk's Snowball stemmers (Porter 2001,
https://snowballstem.org); other languages as written: what is glued to a word there hides it, as particles in Korean and
the article in Arabic do (`김치` is not found in `김치를`). Snowball undoes endings only: `ging` is not `gehen`.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right, insort
from functools import lru_cache
from typing import TYPE_CHECKING

from harness import NoValue, ScoreInfo, hookimpl, scores_from
from harness_plugins.english_forms import forms
from harness_plugins.words import pieces, primary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from harness import Batch, Json, Sample, Scores

    Forms = Callable[[str], Iterable[str]]
    Keyword = tuple[frozenset[str], ...]
    Value = float | NoValue

_COVERAGE = ScoreInfo("keywords")
_ORDER = ScoreInfo("keywords_order")
_FORBIDDEN = ScoreInfo("keywords_forbidden", higher_is_better=False)
_INFOS = (_COVERAGE, _ORDER, _FORBIDDEN)

_LONGEST = 60
_SEPARATORS = str.maketrans(dict.fromkeys(";、，；\n\r", ","))
_SPACES = str.maketrans({**dict.fromkeys("'’‘ʼ＇-‐‑", " "), **dict.fromkeys("\u00ad\u2060\ufeff", None)})
_SNOWBALL = {"da": "danish", "de": "german", "es": "spanish", "fi": "finnish", "fr": "french", "hu": "hungarian",
             "it": "italian", "nl": "dutch", "no": "norwegian", "nb": "norwegian", "nn": "norwegian", "pt": "portuguese",
             "ro": "romanian", "ru": "russian", "sv": "swedish"}  # fmt: skip


def _inflected(language: str | None) -> str | None:
    """The language whose inflection is undone for texts of this language, by the name the signature has for it."""
    tag = primary(language) or "en"
    if tag == "en":
        return "en"
    return {"nb": "no", "nn": "no"}.get(tag, tag) if tag in _SNOWBALL else None


def _forms_of(language: str | None) -> Forms:
    """From a word to what it may be a form of."""
    if language is None:
        return lambda word: (word,)
    if language == "en":
        return forms
    from nltk.stem.snowball import SnowballStemmer  # type: ignore[import-untyped]

    stem = lru_cache(maxsize=1 << 16)(SnowballStemmer(_SNOWBALL[language]).stem)
    return lambda word: (stem(word),)


class _Text:
    """A text's words, and where each of their forms stands."""

    def __init__(self, text: str, forms: Forms) -> None:
        self.words = _words(text, forms)
        self.places: dict[str, list[int]] = {}
        for place, word in enumerate(self.words):
            for form in word:
                self.places.setdefault(form, []).append(place)

    def find(self, keyword: Keyword) -> int | None:
        """Where the words of a keyword first stand in a row, looked for around the one that stands at the fewest places."""
        counts = [sum(len(self.places.get(form, ())) for form in word) for word in keyword]
        rarest = counts.index(min(counts))
        places = {place for form in keyword[rarest] for place in self.places.get(form, ())}
        starts = sorted(place - rarest for place in places if place >= rarest)
        return next((start for start in starts if self._stands(keyword, start)), None)

    def _stands(self, keyword: Keyword, start: int) -> bool:
        here = self.words[start : start + len(keyword)]
        return len(here) == len(keyword) and all(not a.isdisjoint(b) for a, b in zip(here, keyword, strict=True))


def _words(text: str, forms: Forms) -> Keyword:
    """What each word of a text may be a form of. What is longer than any word is taken as it is."""
    found = pieces(unicodedata.normalize("NFKC", text).casefold().translate(_SPACES))
    return tuple(frozenset(forms(word) if len(word) <= _LONGEST else (word,)) for word in found)


def _entries(value: Json) -> list[str] | None:
    """The texts of a metadata field; None where it holds something else."""
    if isinstance(value, str):
        return value.translate(_SEPARATORS).split(",")
    if not isinstance(value, list | tuple):
        return [str(value)] if _is_whole(value) else None
    return [str(entry) for entry in value] if all(isinstance(e, str) or _is_whole(e) for e in value) else None


def _is_whole(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _named(sample: Sample, field: str, forms: Forms) -> list[Keyword] | NoValue:
    """The keywords that the sample's metadata names, each once."""
    value = sample.metadata.get(field)
    entries = [] if value is None else _entries(value)
    if entries is None:
        return NoValue("invalid", f"metadata {field!r} is {str(value)[:60]!r}, and not a list of words")
    found = dict.fromkeys(_words(entry, forms) for entry in entries)
    found.pop((), None)
    return list(found) or NoValue("abstain", f"the sample's metadata names no words under {field!r}")


def _share(text: _Text, keywords: Sequence[Keyword]) -> Value:
    return sum(text.find(keyword) is not None for keyword in keywords) / len(keywords)


def _order(text: _Text, keywords: Sequence[Keyword]) -> Value:
    found = [place for keyword in keywords if (place := text.find(keyword)) is not None]
    if len(found) < 2:
        return NoValue("abstain", "fewer than two of the keywords occur: there is no order to speak of")
    before: list[int] = []
    in_order = 0
    for place in found:
        in_order += bisect_right(before, place)
        insort(before, place)
    return in_order / (len(found) * (len(found) - 1) // 2)


class _Keywords:
    infos = _INFOS

    def __init__(self, field: str, forbidden_field: str, inflection: bool) -> None:
        self._fields = {_COVERAGE.name: field, _ORDER.name: field, _FORBIDDEN.name: forbidden_field}
        self._inflection = inflection
        self._made: dict[str | None, Forms] = {}

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        return {
            info.name: scores_from(info, self._signature(info.name, batch), list(self._values(info.name, batch)))
            for info in _INFOS
            if not batch.wanted or info.name in batch.wanted
        }

    def _values(self, name: str, batch: Batch) -> Iterator[Value]:
        measure = _order if name == _ORDER.name else _share
        for generation in batch.generations:
            language = self._language(generation.sample.language)
            forms = self._forms(language)
            keywords = _named(generation.sample, self._fields[name], forms)
            known: dict[str, _Text] = batch.memo.get(("keyword texts", language), dict)
            for completion in generation.completions:
                text = completion.text or ""
                if isinstance(keywords, NoValue):
                    yield keywords
                    continue
                if text not in known:
                    known[text] = _Text(text, forms)
                yield measure(known[text], keywords)

    def _language(self, language: str | None) -> str | None:
        return _inflected(language) if self._inflection else None

    def _forms(self, language: str | None) -> Forms:
        if language not in self._made:
            self._made[language] = _forms_of(language)
        return self._made[language]

    def _signature(self, name: str, batch: Batch) -> str:
        languages = {self._language(language) or "none" for language in batch.whole.languages or {None}}
        inflection = "+".join(sorted(languages)) if self._inflection else "no"
        return f"{name}|field:{self._fields[name]}|inflection:{inflection}"


def keywords(*, field: str = "keywords", forbidden_field: str = "forbidden", inflection: bool = True) -> _Keywords:
    """Coverage and order of required words, and the share of forbidden ones.

    `field` and `forbidden_field` are the keys of the metadata that hold a sample's words. `inflection: false` compares words as
    they are written, but for their case.
    """
    for option, name in (("field", field), ("forbidden_field", forbidden_field)):
        if not name.strip():
            raise ValueError(f"{option}: an empty name; give the metadata key that holds the words")
    if field == forbidden_field:
        raise ValueError(f"forbidden_field: {field!r} is also the field of the required words")
    return _Keywords(field, forbidden_field, inflection)


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    register("keywords", keywords, scores=tuple(info.name for info in _INFOS))
