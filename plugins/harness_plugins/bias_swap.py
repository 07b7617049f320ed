"""Texts with their demographic terms swapped, case kept: `She is his aunt` becomes `He is her uncle`.

A term of letters that know no case stands in lower case, with a capital, or all in capitals; one that is written with a
capital in its list (a name) stands so, or all in capitals. It is found as a whole word, in Chinese as a string (the
longest first; words such as 其他 that only hold one stay as they are).

English makes two words of one: `her` is him's and his's, `his` is her's and hers'. `her` and `his` are taken as standing
before a noun where another word follows that is not one of a closed list (the, and, to, with, was...); else `her` becomes
`him` and `his` becomes `hers`. Of `only`, `later` and their like what follows them decides; `his or her` and `him or her`
are read as one. `let her go` and `gave her two` are so read wrongly; in such places swapping twice does not give back the
text.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from harness_plugins.bias_terms import Pairs

RULES = 2
"""Change it when a text is swapped otherwise than before with the same lists."""

_HAN = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LETTER = rf"[^\W{_HAN}]"  # also digits and _: what a word that parts at spaces is made of
_IS_HAN = re.compile(f"[{_HAN}]")
_NEXT = re.compile(r"[^\S\n]*\n?[^\S\n]*[\"'“‘(]?([^\W_]+)(-(?=[^\W\d_]))?(?:[^\S\n]+([^\W_]+))?")
_SAME_AGAIN = {
    "his": re.compile(r"(?:/|\s+(?:or|and)\s+)(?:her|their|my|your|our)\b", re.IGNORECASE),
    "her": re.compile(r"(?:/|\s+or\s+)his\b", re.IGNORECASE),
}
"""What says with the pronoun before it whose one thing is: his or her essay."""
_BEFORE = re.compile(r"\b(?:(?:him|she)/|him\s+or\s+|(his)(?:/|\s+(?:or|and)\s+))$", re.IGNORECASE)

FIRST_PRONOUNS, SECOND_PRONOUNS = frozenset(("him", "his")), frozenset(("her", "hers"))

_FUNCTION_WORDS = """
    about above across after against along among around as at before behind below beside between beyond by despite
    during for from in into like near of off on onto out over per since than through throughout till to toward towards
    under until up upon via with within without and or but nor so yet because although though if when whenever where
    while whereas unless that whether who whom whose which what why how a an the this these those some any each every all
    both another no i you he she it we they me him us them my your our their his her its mine yours hers ours theirs
    someone something anything nothing everything everyone is are was were am be been has have had do does did will would
    can could shall should may might must isn wasn doesn didn won wouldn couldn shouldn hasn hadn not never always often
    again too also just only even then here there away down once soon today tomorrow yesterday tonight later alone
    already quickly instead anyway please ago
"""
_NO_NOUN = frozenset(_FUNCTION_WORDS.split())
"""Words before which `her` is an object and `his` stands by itself."""
_ADVERBS = "only later already often always once"
_UNCERTAIN = {
    "her": frozenset(_ADVERBS.split()),
    "his": frozenset(f"{_ADVERBS} even just then never not soon above every".split()),
}
"""Of these, words that stand before a noun too: her only child, his later work."""
_STOPS = _NO_NOUN | frozenset(["more", "enough", "long", "last", "next"])
"""What may follow such a word where no noun does: saw her only last week."""


def forms(term: str) -> tuple[str, ...]:
    """How a term is written: as it is; with a capital and in capitals, where it has none of its own."""
    if term != term.lower():
        return (term, term.upper()) if len(term) > 2 else (term,)  # MS is no title
    return tuple(dict.fromkeys((term, term[:1].upper() + term[1:], term.upper())))


def pattern_of(terms: Collection[str]) -> re.Pattern[str] | None:
    """Finds the longest of the terms, as they are written: whole words, and strings of Chinese. None finds nothing."""
    han = {term for term in terms if _IS_HAN.match(term[0]) or _IS_HAN.match(term[-1])}
    words = set(terms) - han
    parts = [rf"(?<!{_LETTER})(?:{_trie(words)})(?!{_LETTER})"] if words else []
    parts += [_trie(han)] if han else []
    return re.compile("|".join(parts)) if parts else None


def _trie(words: Collection[str]) -> str:
    """A pattern of all the words, the longest first, that reads each letter of a text once."""
    tails: defaultdict[str, set[str]] = defaultdict(set)
    for word in words:
        if word:
            tails[word[0]].add(word[1:])
    if not tails:
        return ""
    body = "|".join(re.escape(head) + _trie(rest) for head, rest in sorted(tails.items()))
    return f"(?:{body})?" if "" in words else f"(?:{body})"


class Swapper:
    """Texts to their counterparts. `english_pronouns`: whether him, his, her and hers are terms too."""

    def __init__(self, pairs: Pairs, *, english_pronouns: bool) -> None:
        self._to: dict[str, str] = {word: word for word in pairs.kept}
        for one, other in (*pairs.both, *((b, a) for a, b in pairs.both), *pairs.one_way):
            self._to |= zip(forms(one), _as_written(one, other), strict=True)
        self._pronouns = {f for p in FIRST_PRONOUNS | SECOND_PRONOUNS for f in forms(p)} if english_pronouns else set()
        self._kept = {word for word in pairs.kept if self._to[word] == word}
        self._pattern = pattern_of(self._to.keys() | self._pronouns)

    def __call__(self, text: str) -> str | None:
        """The counterpart, or None where no term occurs."""
        count = 0

        def counterpart(match: re.Match[str]) -> str:
            nonlocal count
            count += match[0] not in self._kept
            if match[0] in self._pronouns:
                return _pronoun(match)
            return self._to[match[0]]

        if self._pattern is None:
            return None
        swapped = self._pattern.sub(counterpart, text)
        return swapped if count else None


def _as_written(one: str, other: str) -> Iterator[str]:
    """The forms of `other` that go with those of `one`."""
    for form in forms(one):
        if form == one:
            yield other
        elif form == one.upper() and len(one) > 1:
            yield other.upper()
        else:
            yield other[:1].upper() + other[1:]


def _pronoun(match: re.Match[str]) -> str:
    word = match[0]
    kind = word.lower()
    if kind in ("him", "hers"):
        to = {"him": "her", "hers": "his"}[kind]
    else:
        noun = _before_noun(kind, match.string, match.start(), match.end())
        to = ("his" if noun else "him") if kind == "her" else ("her" if noun else "hers")
    return to.upper() if word.isupper() else to.capitalize() if word[0].isupper() else to


def _before_noun(word: str, text: str, start: int, end: int) -> bool:
    """Whether `her` or `his` at this place says whose something is."""
    same = _BEFORE.search(text, max(start - 12, 0), start)
    if same and word == "her":
        return bool(same[1])  # his or her, but him or her, she/her
    again = _SAME_AGAIN[word].match(text, end)
    following = _NEXT.match(text, again.end() if again else end)
    if following is None:
        return False
    next_word, hyphen, after = following[1].lower(), following[2], following[3]
    if hyphen or next_word not in _NO_NOUN:
        return True
    return next_word in _UNCERTAIN[word] and after is not None and after.lower() not in _STOPS
