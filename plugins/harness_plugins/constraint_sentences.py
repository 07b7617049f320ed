"""Sentences and words in capitals, as IFEval counts them, for `constraints`.

English: IFEval asks NLTK's Punkt (Kiss & Strunk 2006, "Unsupervised Multilingual Sentence Boundary Detection",
Computational Linguistics 32(4), https://aclanthology.org/J06-4003). The decisions here are Punkt's, habits included
(`Wow!!!` at the end of a text is two sentences); its learned tables have to be downloaded, and short lists stand here
in their place. All of it takes time linear in the text.

Languages without spaces: a sentence ends with 。！？ or their like, whatever follows.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

from harness_plugins.words import words

_SHORT = """
    adj adm adv al apr apt assn assoc aug ave bldg blvd brig bros ca capt cf chap cmdr co col comdr corp cpl cpt ct
    dec dept dist div dr ed eds esp est et etc ext feb fig figs fr ft gen gov hon hwy inc jan jr jul lt ltd
    maj mfg misc mr mrs ms msgr mt mts nov oct op pp pres prof pt pvt rd rep repr rev sec sen sens sept
    sep sgt sr st supt tel univ viz vol vols vs
    a.d a.k.a a.m b.a b.c b.s c.e c.v d.c d.d.s e.g i.e j.d l.a m.a m.b.a m.d m.s n.b n.j n.y p.m p.s ph.d
    r.s.v.p u.k u.n u.s u.s.a
    """
_FIRST = """
    a about after all although an and another any are as at because before both but by can can't could did do does
    don't during each even every few finally first for from had has have he her here his how however i'd i'll i'm i've
    if in instead into is it it's its just last later let like many may maybe meanwhile more most much my never next
    no nor not now of often on once one only or other our out over perhaps please several she should since so some
    soon still such than that that's the their them then there there's these they they're this those though through
    thus to today under unless until was we we're were what what's when where whether which while who whose why will
    with without would yes yet you you're your
    """
_ABBREVIATIONS = frozenset(_SHORT.split())
# Punkt has learnt of each word how it is written where; these are words that a capital makes the first of a sentence.
_STARTERS = frozenset(_FIRST.split())
_BEFORE_NO_NAME = frozenset(("a.m.", "p.m.", "etc."))  # after these any capital begins a sentence
_CLOSING = "‘’“”«»"
_BESIDE = rf"[)\";}}\]*:@'({{\[?!{_CLOSING}]"  # what no word holds
_MANY = r"(?:-{2,}|\.{2,}|(?:\.\s){2,}\.)"
_END = re.compile(rf"[.?!](?=(?P<after>{_BESIDE}|\s+(?P<next>\S+)))")
_TOKEN = re.compile(
    rf"{_MANY}|(?=[^(\"`{{\[:;&#*@)}}\]\-,])\S+?(?=\s|$|{_BESIDE}|{_MANY}|,(?:$|\s|{_BESIDE}|{_MANY}))|\S"
)
_CLOSES = re.compile(rf"[\"')\]}}{_CLOSING}]+?(?:\s+|(?=--)|$)", re.MULTILINE)
_NUMBER = re.compile(r"-?[.,]?\d[\d,.-]*")
_INITIAL = re.compile(r"[^\W\d]\.")


def sentences(text: str) -> list[str]:
    """The sentences of an English text."""
    found: list[str] = []
    bounds = list(_between_breaks(text))
    skipped = 0
    for (start, end), (following, _) in zip(bounds, [*bounds[1:], (-1, -1)], strict=True):
        closing = _CLOSES.match(text, following) if following >= 0 else None
        stop = following + len(closing[0].rstrip()) if closing else end
        if closing or text[start + skipped : end]:
            found.append(text[start + skipped : stop])
        skipped = len(closing[0]) if closing else 0
    return found


def _between_breaks(text: str) -> Iterator[tuple[int, int]]:
    last = 0
    for match, context in _candidates(text):
        if _breaks(context):
            yield last, match.end()
            last = match.end() if match["next"] is None else match.start("next")
    yield last, len(text.rstrip())


def _candidates(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """The last of the marks that may end a sentence in each word, and the word with what follows it."""
    start, before = 0, None
    for match in _END.finditer(text):
        low = before.start() if before else 0
        space = max(text.rfind(char, low, match.start()) for char in string.whitespace)
        word = space + 1 if space > low else start
        if before and low <= word:
            yield before, text[start : before.end()] + before["after"]
        start, before = word, match
    if before:
        yield before, text[start : before.end()] + before["after"]


def _breaks(context: str) -> bool:
    tokens = [token for line in context.split("\n") for token in _TOKEN.findall(line)]
    return any(map(_ends_sentence, tokens, tokens[1:]))


def _ends_sentence(token: str, following: str) -> bool:
    """Whether a sentence ends between two neighbours."""
    if token in (".", "?", "!"):
        return True
    if not token.endswith("."):
        return False
    upper, kind = following[0].isupper(), _kind(following)
    if token.startswith("..") and not token.strip("."):
        return upper and kind in _STARTERS
    initial = _INITIAL.fullmatch(token) is not None
    if not initial and _abbreviates(token):
        return upper and (kind in _STARTERS or token.lower() in _BEFORE_NO_NAME)
    if initial or _NUMBER.fullmatch(token):
        if following in tuple(";:,.!?") or following[0].islower():
            return False
        return not (initial and upper and kind not in _STARTERS)
    return True


def _abbreviates(token: str) -> bool:
    bare = token[:-1].lower()
    return bare in _ABBREVIATIONS or bare.rsplit("-", 1)[-1] in _ABBREVIATIONS


def _kind(token: str) -> str:
    """How the lists have it: in lower case, without a full stop that ends a sentence."""
    ends = token.endswith(".") and not token.endswith("..") and not _abbreviates(token)
    return token[:-1].lower() if ends and len(token) > 1 else token.lower()


_SPACELESS_END = re.compile(r"[。！？｡．!?။។៕།༎]+|\.(?=\s|$)")


def sentences_without_spaces(text: str) -> list[str]:
    """The sentences of a text in a script without spaces: what stands between marks, where there is a word in it."""
    return [part for part in _SPACELESS_END.split(text) if words(part)]


# What NLTK's word_tokenize parts from a word. Full stops are left out: they change no count of capitals.
_APART = re.compile(r"[\s«»“”„‘’\"`;@#$%&?!*()\[\]{}<>\u2012-\u2015]+|\.{2,}|--|''|[:,](?=\D|$)")
_CONTRACTED = re.compile(
    r"\b(can(?=not)|d(?='ye)|gim(?=me)|gon(?=na)|got(?=ta)|lem(?=me)|more(?='n)|wan(?=na\.?\s))(not|'ye|me|na|ta|'n)\b",
    re.I,
)
_OPENING_QUOTE = re.compile(r"(?<!\w)'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", re.I)
_CLITIC = re.compile(r"(.*[^'])('[sSmMdD]|'ll|'LL|'re|'RE|'ve|'VE|n't|N'T)\.?", re.S)


def words_in_capitals(text: str) -> int:
    """How many tokens of an English text are in capitals; `DON'T` is two, `WELL-KNOWN` one."""
    spaced = _OPENING_QUOTE.sub("' ", _APART.sub(" ", text)) + " "
    return sum(map(_capitals, _CONTRACTED.sub(r" \1 \2 ", spaced).split()))


def _capitals(token: str) -> int:
    clitic = _CLITIC.fullmatch(token)
    parts = clitic.groups() if clitic else (token,)
    return sum(part.isupper() for part in parts)
