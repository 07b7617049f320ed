"""Words in any script, for metrics that count or look for them.

A word is a run of letters, marks and digits (Unicode), with apostrophes and hyphens inside it; in scripts written without
spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan) every character, with its marks, is a word. Jieba's
words are had by `jieba_words`, where its package is installed.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from harness import require

if TYPE_CHECKING:
    import jieba
    import regex

_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_LETTER = rf"[\p{{L}}\p{{N}}_--[{_SPACELESS}]]"
_WORD = rf"(?V1)[\p{{L}}\p{{N}}&&[{_SPACELESS}]]\p{{M}}*|{_LETTER}(?:{_LETTER}|\p{{M}}|['’ʼ‐-](?={_LETTER}))*"
_JIEBA_RUN = re.compile(r"[\u4E00-\u9FD5a-zA-Z0-9+#&._%-]{1,2000}|[^\u4E00-\u9FD5a-zA-Z0-9+#&._%-]+")

CHINESE = frozenset(("zh", "cmn", "yue", "wuu"))
"""Languages (primary subtags of BCP 47) written in Chinese characters alone."""

SPACELESS = CHINESE | {"ja", "th", "lo", "km", "my", "bo"}
"""Languages that put no spaces between words."""

_LONG = {"zho": "zh", "chi": "zh", "jpn": "ja", "tha": "th", "lao": "lo", "khm": "km", "mya": "my", "bod": "bo",
         "eng": "en", "deu": "de", "ger": "de", "fra": "fr", "fre": "fr", "spa": "es", "por": "pt", "ita": "it",
         "nld": "nl", "dut": "nl", "rus": "ru", "swe": "sv", "dan": "da", "fin": "fi", "hun": "hu", "ron": "ro",
         "rum": "ro", "nor": "no", "nob": "nb", "nno": "nn"}  # fmt: skip


def primary(language: str | None) -> str | None:
    """`zh` of `zh-Hant-TW`, `zh_CN` or `zho`, in lower case; None where there is none."""
    if not language or not language.strip():
        return None
    first = language.strip().replace("_", "-").split("-", 1)[0].lower()
    return _LONG.get(first, first)


@cache
def _pattern(extra: str = "") -> regex.Pattern[str]:
    import regex

    return regex.compile(_WORD + extra)


def words(text: str) -> list[str]:
    """The words of a text, in order and as they are written: `["don't", "太", "好", "了"]`."""
    return _pattern().findall(text)


def spans(text: str) -> list[tuple[int, int]]:
    """Where each of `words(text)` starts and ends."""
    return [match.span() for match in _pattern().finditer(text)]


def pieces(text: str) -> list[str]:
    """The words of a text and, each for itself, all other characters that are no space: `["C", "+", "+"]`."""
    return _pattern(r"|\S").findall(text)


def check_jieba() -> None:
    """Raises PluginError, with the install line, where jieba is not installed."""
    require("tokenize: jieba", ("jieba",), "'reward-harness[zh]'")


@cache
def _jieba() -> jieba.Tokenizer:
    """Its own dictionary and nothing else: without the words a program gave to jieba, the note it writes to stderr, and
    the cache it would read from the folder for temporary files, where anyone may have put one."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports what setuptools has deprecated
        import jieba
    tokenizer = jieba.Tokenizer()
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer


def jieba_words(text: str) -> list[str]:
    """Words by jieba's dictionary (search for the likeliest path, with its model for unknown words), spaces left out.

    Everything but Chinese characters and ASCII is given character by character, as jieba does. A run of more than 2,000
    characters without punctuation is cut there, since jieba's time grows with its square.
    """
    cut = _jieba().lcut
    return [word for run in _JIEBA_RUN.findall(text) for word in cut(run) if not word.isspace()]
