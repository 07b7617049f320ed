"""The kinds of instruction that `constraints` knows, and a sample's instructions as checks of a text.

The ids of IFEval are IFEval's; those that begin with `harness:` are ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from harness_plugins import constraint_checks as checks
from harness_plugins.constraint_checks import MORE_RELATIONS, RELATIONS, Check, counted
from harness_plugins.constraint_languages import Detector, detector, is_english_lower, is_english_upper, is_in
from harness_plugins.constraint_sentences import sentences, sentences_without_spaces, words_in_capitals
from harness_plugins.words import CHINESE, SPACELESS, primary

if TYPE_CHECKING:
    from harness import Json, Memo, Sample

IDS, ARGUMENTS = "instruction_id_list", "kwargs"
_LONGEST = 100_000  # characters of an argument: of a prompt to repeat, for one


class BadInstruction(ValueError):
    """What a sample asks for cannot be checked; says why."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a check may depend on beside its arguments."""

    language: str | None
    shared: Memo

    @property
    def spaceless(self) -> bool:
        return self.language in SPACELESS

    @property
    def detector(self) -> Detector:
        return detector(self.shared)


@dataclass(frozen=True, slots=True)
class Instruction:
    id: str
    check: Check


@dataclass(frozen=True, slots=True)
class Kind:
    """How a check is made of arguments, which are all required, and how each is read."""

    make: Callable[[Context, Any], Check]
    arguments: Mapping[str, Callable[[Json], object]]


def instructions_of(sample: Sample, shared: Memo) -> list[Instruction]:
    """The sample's instructions in order, none where it has none. Raises BadInstruction."""
    ids, arguments = sample.metadata.get(IDS), sample.metadata.get(ARGUMENTS)
    if not ids:
        return []
    if not isinstance(ids, Sequence) or isinstance(ids, str):
        raise BadInstruction(f"{IDS} is {_short(ids)}, not a list of ids")
    if arguments is None:
        arguments = [None] * len(ids)
    if not isinstance(arguments, Sequence) or isinstance(arguments, str) or len(arguments) != len(ids):
        raise BadInstruction(f"{ARGUMENTS} is not a list as long as {IDS} ({len(ids)}): {_short(arguments)}")
    context = Context(primary(sample.language), shared)
    return [_instruction(id, given, context) for id, given in zip(ids, arguments, strict=True)]


def _instruction(id: Json, given: Json, context: Context) -> Instruction:
    kind = KINDS.get(id) if isinstance(id, str) else None
    if kind is None or not isinstance(id, str):
        raise BadInstruction(f"there is no instruction {_short(id)}{_nearest(str(id), KINDS)}")
    if given is not None and not isinstance(given, Mapping):
        raise BadInstruction(f"{id}: its entry in {ARGUMENTS} is {_short(given)}, not an object")
    filled = {key: value for key, value in (given or {}).items() if value is not None}
    return Instruction(id, kind.make(context, SimpleNamespace(**_read(id, kind, filled))))


def _read(id: str, kind: Kind, given: Mapping[str, Json]) -> dict[str, object]:
    for key in given:
        if key not in kind.arguments:
            raise BadInstruction(f"{id}: it takes no {key!r}{_nearest(key, kind.arguments) or '; it takes nothing'}")
    read: dict[str, object] = {}
    for key, reader in kind.arguments.items():
        if key not in given:
            raise BadInstruction(f"{id}: {ARGUMENTS} lacks {key!r}")
        try:
            read[key] = reader(given[key])
        except ValueError as error:
            raise BadInstruction(f"{id}: {key} is {_short(given[key])}, not {error}") from None
    return read


def _short(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _nearest(name: str, valid: Mapping[str, object]) -> str:
    """By the whole name, else by what follows its colon (`no_commas`), else all."""
    close = difflib.get_close_matches(name, valid, n=1)
    tails = {id.split(":")[-1]: id for id in valid}
    close = close or [tails[tail] for tail in difflib.get_close_matches(name.split(":")[-1], tails, n=1)]
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(valid)}" if valid else ""


def _whole(value: Json) -> int:
    """Also 3.0: a table with gaps makes its whole numbers so."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or value < 0 or value % 1:
        raise ValueError("a whole number, 0 or more")
    return int(value)


def _from_one(value: Json) -> int:
    number = _whole(value)
    if number < 1:
        raise ValueError("a whole number, 1 or more")
    return number


def _text(value: Json) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST:
        raise ValueError(f"a text with something in it, of at most {_LONGEST} characters")
    return value


def _stripped(value: Json) -> str:
    return _text(value).strip()


def _texts(value: Json) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError("a list of texts")
    return tuple(map(_text, value))


def _character(value: Json) -> str:
    if not isinstance(value, str) or len(value) != 1 or value.isspace():
        raise ValueError("one character")
    return value.lower()


def _one_of(names: Mapping[str, object]) -> Callable[[Json], str]:
    def read(value: Json) -> str:
        if not isinstance(value, str) or value not in names:
            raise ValueError(f"one of {', '.join(map(repr, names))}")
        return value

    return read


_relation, _any_relation = _one_of(RELATIONS), _one_of(MORE_RELATIONS)


def _existence(_: Context, of: Any) -> Check:
    patterns = list(map(checks.pattern_of, of.keywords))
    return lambda text: all(pattern.search(text) for pattern in patterns)


def _frequency(_: Context, of: Any) -> Check:
    pattern = checks.pattern_of(of.keyword)
    return counted(of.relation, of.frequency, lambda text: len(pattern.findall(text)))


def _forbidden(context: Context, of: Any) -> Check:
    patterns = [checks.word_pattern_of(word, spaceless=context.spaceless) for word in of.forbidden_words]
    return lambda text: not any(pattern.search(text) for pattern in patterns)


def _letters(_: Context, of: Any) -> Check:
    return counted(of.let_relation, of.let_frequency, lambda text: text.lower().count(of.letter))


def _language(context: Context, of: Any) -> Check:
    detect, language = context.detector, of.language.lower()
    known = {found.split("-")[0] for found in detect.languages} | detect.languages
    if language not in known:
        raise BadInstruction(
            f"language:response_language: langdetect cannot tell {language!r}; it can {_listed(known)}"
        )
    return lambda text: is_in(text, language, detect)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _sentence_count(context: Context) -> Callable[[str], int]:
    if context.language in ("th", "lo"):
        raise BadInstruction("length_constraints:number_sentences: Thai and Lao have no mark that ends a sentence")
    split = sentences_without_spaces if context.spaceless else sentences
    return lambda text: len(split(text))


def _commas(language: str | None) -> str:
    if language in CHINESE:
        return ",，﹐"  # not 、, which is another mark there
    return ",，、､" if language == "ja" else ","


def _words_of(context: Context) -> Callable[[str], int]:
    return checks.count_spaceless_words if context.spaceless else checks.count_words


def _capitals_of(context: Context) -> Callable[[str], int]:
    return checks.count_spaceless_capitals if context.spaceless else words_in_capitals


def _plain(check: Check) -> Kind:
    return Kind(lambda context, of: check, {})


KINDS: Mapping[str, Kind] = {
    "keywords:existence": Kind(_existence, {"keywords": _texts}),
    "keywords:frequency": Kind(_frequency, {"keyword": _stripped, "frequency": _whole, "relation": _relation}),
    "keywords:forbidden_words": Kind(_forbidden, {"forbidden_words": _texts}),
    "keywords:letter_frequency": Kind(
        _letters, {"letter": _character, "let_frequency": _whole, "let_relation": _relation}
    ),
    "language:response_language": Kind(_language, {"language": _stripped}),
    "length_constraints:number_sentences": Kind(
        lambda context, of: counted(of.relation, of.num_sentences, _sentence_count(context)),
        {"num_sentences": _whole, "relation": _relation},
    ),
    "length_constraints:number_paragraphs": Kind(
        lambda _, of: partial(checks.has_paragraphs, asked=of.num_paragraphs), {"num_paragraphs": _whole}
    ),
    "length_constraints:number_words": Kind(
        lambda context, of: counted(of.relation, of.num_words, _words_of(context)),
        {"num_words": _whole, "relation": _relation},
    ),
    "length_constraints:nth_paragraph_first_word": Kind(
        lambda context, of: _first_word(context, of),
        {"num_paragraphs": _from_one, "nth_paragraph": _from_one, "first_word": _stripped},
    ),
    "detectable_content:number_placeholders": Kind(
        lambda _, of: counted("at least", of.num_placeholders, checks.count_placeholders), {"num_placeholders": _whole}
    ),
    "detectable_content:postscript": Kind(
        lambda _, of: partial(checks.has_postscript, marker=of.postscript_marker), {"postscript_marker": _stripped}
    ),
    "detectable_format:number_bullet_lists": Kind(
        lambda _, of: counted("exactly", of.num_bullets, checks.count_bullets), {"num_bullets": _whole}
    ),
    "detectable_format:constrained_response": _plain(lambda text: any(one in text for one in checks.CONSTRAINED)),
    "detectable_format:number_highlighted_sections": Kind(
        lambda _, of: counted("at least", of.num_highlights, checks.count_highlights), {"num_highlights": _whole}
    ),
    "detectable_format:multiple_sections": Kind(
        lambda _, of: counted("at least", of.num_sections, partial(checks.count_sections, splitter=of.section_spliter)),
        {"section_spliter": _stripped, "num_sections": _whole},
    ),
    "detectable_format:json_format": _plain(checks.is_json),
    "detectable_format:title": _plain(checks.has_title),
    "combination:two_responses": _plain(checks.has_two_responses),
    "combination:repeat_prompt": Kind(
        lambda _, of: partial(checks.starts_with, phrase=of.prompt_to_repeat), {"prompt_to_repeat": _text}
    ),
    "startend:end_checker": Kind(lambda _, of: partial(checks.ends_with, phrase=of.end_phrase), {"end_phrase": _text}),
    "startend:quotation": Kind(lambda context, _: partial(checks.is_quoted, spaceless=context.spaceless), {}),
    "change_case:capital_word_frequency": Kind(
        lambda context, of: counted(of.capital_relation, of.capital_frequency, _capitals_of(context)),
        {"capital_frequency": _whole, "capital_relation": _relation},
    ),
    "change_case:english_capital": Kind(lambda context, _: partial(is_english_upper, detect=context.detector), {}),
    "change_case:english_lowercase": Kind(lambda context, _: partial(is_english_lower, detect=context.detector), {}),
    "punctuation:no_comma": Kind(lambda context, _: partial(checks.has_no_comma, commas=_commas(context.language)), {}),
    "harness:number_characters": Kind(
        lambda _, of: counted(of.relation, of.num_characters, checks.count_characters),
        {"num_characters": _whole, "relation": _any_relation},
    ),
    "harness:number_lines": Kind(
        lambda _, of: counted(of.relation, of.num_lines, checks.count_lines),
        {"num_lines": _whole, "relation": _any_relation},
    ),
    "harness:numbered_list": Kind(
        lambda _, of: counted("exactly", of.num_items, checks.count_numbered), {"num_items": _from_one}
    ),
    "harness:start_checker": Kind(
        lambda _, of: partial(checks.starts_with, phrase=of.start_phrase), {"start_phrase": _text}
    ),
    "harness:json_keys": Kind(lambda _, of: partial(checks.has_json_keys, keys=of.keys), {"keys": _texts}),
}
"""All kinds by id: the 25 of IFEval, then ours."""


def _first_word(context: Context, of: Any) -> Check:
    if of.nth_paragraph > of.num_paragraphs:
        raise BadInstruction(
            "length_constraints:nth_paragraph_first_word: "
            f"nth_paragraph {of.nth_paragraph} is above num_paragraphs {of.num_paragraphs}"
        )
    return lambda text: checks.has_first_word(
        text, of.num_paragraphs, of.nth_paragraph, of.first_word, spaceless=context.spaceless
    )
