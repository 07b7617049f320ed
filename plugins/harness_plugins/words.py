"""Words in any script, for metrics that count or look for them.

A word is a run of letters, marks and digits (Unicode), with apostrophes and hyphens inside it; in scripts written without
spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan) every character, with its marks, is a word. Jieba's
words are had by `jieba_words`, where its package is installed.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from harness import require

if TYPE_CHECKING:
    import regex

_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_LETTER = rf"[\p{{L}}\p{{N}}_--[{_SPACELESS}]]"
_WORD = rf"(?V1)[\p{{L}}\p{{N}}&&[{_SPACELESS}]]\p{{M}}*|{_LETTER}(?:{_LETTER}|\p{{M}}|['’ʼ‐-](?={_LETTER}))*"

SPACELESS = frozenset(("zh", "cmn", "yue", "wuu", "ja", "th", "lo", "km", "my", "bo"))
"""Languages (primary subtags of BCP 47) that put no spaces between words."""


def primary(language: str | None) -> str | None:
    """`zh` of `zh-Hant-TW`, in lower case; None where there is none."""
    return language.replace("_", "-").split("-", 1)[0].lower() if language else None


@cache
def _pattern() -> regex.Pattern[str]:
    import regex

    return regex.compile(_WORD)


def words(text: str) -> list[str]:
    """The words of a text, in order and as they are written: `["don't", "太", "好", "了"]`."""
    return _pattern().findall(text)


def spans(text: str) -> list[tuple[int, int]]:
    """Where each of `words(text)` starts and ends."""
    return [match.span() for match in _pattern().finditer(text)]


def check_jieba() -> None:
    """Raises PluginError, with the install line, where jieba is not installed."""
    require("tokenize: jieba", ("jieba",), "'reward-harness[zh]'")


def jieba_words(text: str) -> list[str]:
    """Words by jieba's dictionary (search for the likeliest path, with its model for unknown words), spaces left out."""
    import jieba

    return [word for word in jieba.lcut(text) if not word.isspace()]
