"""What a text is looked at for by `constraints`: plain functions of a text, each linear in its length.

They say what IFEval's reference code says of any text. Where that code runs a pattern whose time is quadratic (100,000
opening brackets, or blank lines), the same answer is found here by scanning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from harness_plugins.words import words

Check = Callable[[str], bool]

RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "less than": lambda found, asked: found < asked,
    "at least": lambda found, asked: found >= asked,
}
MORE_RELATIONS: dict[str, Callable[[int, int], bool]] = RELATIONS | {
    "at most": lambda found, asked: found <= asked,
    "more than": lambda found, asked: found > asked,
    "exactly": lambda found, asked: found == asked,
}
CONSTRAINED = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_DEEPEST = 200  # levels of JSON: how deep Python reads depends on where it is called from
_JSON_MARK = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]', re.S)
_FENCES = ("```json", "```Json", "```JSON", "```")
_WORD, _SOLID = re.compile(r"\w+"), re.compile(r"\S")
_SPACELESS_LETTER = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3100-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
_SPACED_LETTER = rf"(?!{_SPACELESS_LETTER.pattern})\w"


def counted(relation: str, asked: int, count: Callable[[str], int]) -> Check:
    holds = MORE_RELATIONS[relation]
    return lambda text: holds(count(text), asked)


def count_words(text: str) -> int:
    return len(_WORD.findall(text))


def count_spaceless_words(text: str) -> int:
    return len(words(text))


def count_spaceless_capitals(text: str) -> int:
    return sum(word.isupper() for word in words(text))


def count_characters(text: str) -> int:
    """All but white space."""
    return sum(map(len, text.split()))


def count_lines(text: str) -> int:
    """Those with something in them."""
    return sum(1 for line in text.split("\n") if line.strip())


def count_placeholders(text: str) -> int:
    """`[...]` within a line."""
    found = 0
    for line in text.split("\n"):
        start = line.find("[")
        while start >= 0 and (end := line.find("]", start)) >= 0:
            found += 1
            start = line.find("[", end)
    return found


def count_bullets(text: str) -> int:
    """Lines that begin with `*` (and no second one) or with `-`, after white space."""
    return _count_marked(text, "*") + _count_marked(text, "-")


def _count_marked(text: str, mark: str) -> int:
    """By `^\\s*\\*[^\\*].*$` and `^\\s*-.*$`: a star alone on its line takes the next line with it."""
    found, begin = 0, _SOLID.search(text)
    while begin:
        start = begin.start()
        marked = text[start] == mark and (mark != "*" or text[start + 1 : start + 2] not in ("", "*"))
        found += marked
        line_end = text.find("\n", start + 1 + (marked and mark == "*"))
        begin = None if line_end < 0 else _SOLID.search(text, line_end)
    return found


def count_highlights(text: str) -> int:
    """`*...*` and `**...**` with something in them; the second kind counts in either way, as in the reference."""
    single = sum(1 for part in re.findall(r"\*[^\n*]*\*", text) if part.strip("*").strip())
    return single + sum(1 for part in re.findall(r"\*\*[^\n*]*\*\*", text) if part[2:-2].strip())


def count_sections(text: str, splitter: str) -> int:
    return len(re.findall(rf"{re.escape(splitter)}\s?\d+", text))


def count_numbered(text: str) -> int:
    """Lines numbered 1, 2, 3... without a gap: `1.`, `1)`, `1、`, `（1）` and their like."""
    numbers = [int(n) for n in re.findall(r"^[ \t\u3000]*[(（]?(\d{1,6})(?:[.．](?!\d)|[)）、])", text, re.M)]
    return len(numbers) if numbers == list(range(1, len(numbers) + 1)) else 0


def has_paragraphs(text: str, asked: int) -> bool:
    """Exactly so many parts between `***`; an empty one may stand first or last and does not count."""
    parts = text.split("***")
    inner = [bool(part.strip()) for part in parts]
    if not all(inner[1:-1]):
        return False
    return len(parts) - (not inner[0]) - (len(parts) > 1 and not inner[-1]) == asked


def has_first_word(text: str, paragraphs: int, nth: int, word: str, *, spaceless: bool) -> bool:
    """Exactly so many paragraphs between blank lines, and the nth (empty ones are counted here) begins with the word."""
    parts = text.split("\n\n")
    filled = sum(1 for part in parts if part.strip())
    if filled != paragraphs or nth > filled or not parts[nth - 1].strip():
        return False
    first = parts[nth - 1].split()[0].lstrip("'").lstrip('"')
    if spaceless:
        return first.lstrip("“「『《‘（(").lower().startswith(word.lower())
    end = next((i for i, char in enumerate(first) if char in ".,?!'\""), len(first))
    return "".join(map(str.lower, first[:end])) == word.lower()


def has_postscript(text: str, marker: str) -> bool:
    lowered = text.lower()
    if marker == "P.P.S":
        return re.search(r"p\.\s?p\.\s?s", lowered) is not None
    if marker == "P.S.":
        return re.search(r"p\.\s?s\.", lowered) is not None
    return marker.lower() in lowered


def has_title(text: str) -> bool:
    """`<<...>>` within a line, with something in it."""
    for line in text.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if start >= 0 and end >= start + 3 and line[start : end + 2].lstrip("<").rstrip(">").strip():
            return True
    return False


def has_two_responses(text: str) -> bool:
    parts = text.split("******")
    if not all(part.strip() for part in parts[1:-1]):
        return False
    filled = [part.strip() for part in parts if part.strip()]
    return len(filled) == 2 and filled[0] != filled[1]


def is_json(text: str) -> bool:
    return _json_of(text) is not None


def has_json_keys(text: str, keys: Sequence[str]) -> bool:
    """A JSON object with all of the keys."""
    found = _json_of(text)
    return found is not None and isinstance(found[0], dict) and all(key in found[0] for key in keys)


def _json_of(text: str) -> tuple[object] | None:
    """What the text holds, fences taken off, where it is JSON; None of nesting that no one asks for."""
    bare = text.strip()
    for fence in _FENCES:
        bare = bare.removeprefix(fence)
    bare = bare.removesuffix("```").strip()
    if _depth(bare) > _DEEPEST:
        return None
    try:
        return (json.loads(bare),)
    except ValueError:
        return None


def _depth(text: str) -> int:
    depth = deepest = 0
    for mark in _JSON_MARK.findall(text):
        depth += (mark in "[{") - (mark in "]}")
        deepest = max(deepest, depth)
    return deepest


def is_quoted(text: str, *, spaceless: bool) -> bool:
    bare = text.strip()
    pairs = ('""', "“”", "「」", "『』") if spaceless else ('""',)
    return len(bare) > 1 and bare[0] + bare[-1] in pairs


def has_no_comma(text: str, commas: str) -> bool:
    return not any(comma in text for comma in commas)


def starts_with(text: str, phrase: str) -> bool:
    return text.strip().lower().startswith(phrase.strip().lower())


def ends_with(text: str, phrase: str) -> bool:
    return text.strip().strip('"').lower().endswith(phrase.strip().lower())


def pattern_of(keyword: str) -> re.Pattern[str]:
    """The keyword anywhere, in any case: `cat` is in `concatenate`, as in the reference."""
    return re.compile(re.escape(keyword), re.IGNORECASE)


def word_pattern_of(word: str, *, spaceless: bool) -> re.Pattern[str]:
    """The word between word boundaries. Beside a letter of a script without spaces is one, where such scripts play a part."""
    if spaceless or _SPACELESS_LETTER.search(word):
        before = f"(?<!{_SPACED_LETTER})" if re.match(_SPACED_LETTER, word) else ""
        after = f"(?!{_SPACED_LETTER})" if re.match(_SPACED_LETTER, word[-1]) else ""
        return re.compile(before + re.escape(word) + after, re.IGNORECASE)
    return re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE)
