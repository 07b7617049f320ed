"""The kinds of instruction: IFEval's against its reference code, ours by hand, and data that cannot be checked.

CASES is what the reference says of texts: (instruction, arguments, text, strictly, loosely). Every answer is that of running
its `instructions.py` (Apache-2.0, google-research/instruction_following_eval, as packaged in lm_eval 0.4.13, langdetect with
seed 0). For number_sentences, whose Punkt tables must be downloaded, NLTK's Punkt stood in with our lists, on texts that
leave no doubt.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Batch, Completion, Generation, Memo, Sample
from harness_plugins import constraint_checks as checks
from harness_plugins.constraint_kinds import KINDS, BadInstruction, instructions_of
from harness_plugins.constraints import constraints

SHARED = Memo()  # langdetect's profiles take half a second

Y, N = True, False
ENGLISH = "the quick brown fox jumps over the lazy dog while the rain is falling on the old town"
GERMAN = "Der schnelle braune Fuchs springt über den faulen Hund, während es in der alten Stadt regnet."

CASES: list[tuple[str, dict[str, Any], str, bool, bool]] = [
    ("keywords:existence", {"keywords": ["cat", "Dog"]}, "A dog and a concatenation.", Y, Y),
    ("keywords:existence", {"keywords": ["cat", "dog"]}, "A cat.", N, N),
    ("keywords:existence", {"keywords": ["cat"]}, "c*a*t", N, Y),
    ("keywords:frequency", {"keyword": " cat ", "frequency": 2, "relation": "at least"}, "Cat, bobcat", Y, Y),
    ("keywords:frequency", {"keyword": "cat", "frequency": 3, "relation": "at least"}, "Cat, bobcat", N, N),
    ("keywords:frequency", {"keyword": "cat", "frequency": 2, "relation": "less than"}, "Cat, bobcat", N, N),
    ("keywords:frequency", {"keyword": "cat", "frequency": 2, "relation": "less than"}, "Cat\nbobcat", N, Y),
    ("keywords:frequency", {"keyword": "aa", "frequency": 2, "relation": "at least"}, "aaa", N, N),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "A bobcat concatenates.", Y, Y),
    ("keywords:forbidden_words", {"forbidden_words": ["cat", "dog"]}, "A DOG!", N, N),
    ("keywords:forbidden_words", {"forbidden_words": ["sure"]}, "Sure, here it is:\nA poem.", N, Y),
    ("keywords:forbidden_words", {"forbidden_words": ["don"]}, "I don't", N, N),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "cat_flap", Y, Y),
    ("keywords:letter_frequency", {"letter": "A", "let_frequency": 3, "let_relation": "at least"}, "aA b a", Y, Y),
    ("keywords:letter_frequency", {"letter": "a", "let_frequency": 3, "let_relation": "less than"}, "aA b a", N, N),
    ("keywords:letter_frequency", {"letter": "q", "let_frequency": 1, "let_relation": "less than"}, "abc", Y, Y),
    ("language:response_language", {"language": "en"}, ENGLISH, Y, Y),
    ("language:response_language", {"language": "de"}, ENGLISH, N, N),
    ("language:response_language", {"language": "de"}, GERMAN, Y, Y),
    ("language:response_language", {"language": "de"}, f"Here you are, this is the German text:\n{GERMAN}", Y, Y),
    ("language:response_language", {"language": "de"}, f"{ENGLISH} {ENGLISH}.\n{GERMAN}", N, Y),
    ("language:response_language", {"language": "ru"}, "Быстрая лиса прыгает через ленивую собаку.", Y, Y),
    ("language:response_language", {"language": "ko"}, "빠른 갈색 여우가 게으른 개를 뛰어넘는다.", Y, Y),
    ("language:response_language", {"language": "de"}, "12345 ...", Y, Y),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}, "One. Two!", Y, Y),
    ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "at least"}, "One. Two!", N, N),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"}, "One. Two!", N, N),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"}, "One.\nTwo!", N, Y),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"}, "It is 3.5 km.", Y, Y),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "one\n***\ntwo", Y, Y),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "***one *** two***", Y, Y),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "one\n\ntwo", N, N),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "one *** *** two", N, N),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 1}, "one\n***\ntwo", N, Y),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "one****two", Y, Y),
    ("length_constraints:number_words", {"num_words": 4, "relation": "at least"}, "don't stop now", Y, Y),
    ("length_constraints:number_words", {"num_words": 5, "relation": "at least"}, "don't stop now", N, N),
    ("length_constraints:number_words", {"num_words": 4, "relation": "less than"}, "well-known a_b c", N, N),
    ("length_constraints:number_words", {"num_words": 5, "relation": "less than"}, "well-known a_b c", Y, Y),
    ("length_constraints:number_words", {"num_words": 2, "relation": "less than"}, "three words here\none", N, Y),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Cats"}, "One.\n\n'cats, dogs.", Y, Y),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "cat"}, "One.\n\ncats", N, N),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "one"}, "One.\n\nTwo\n\nThree", N, Y),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "one"}, "\n\nOne.\n\nTwo", N, Y),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "two"}, "One.\n\n\"Two\" is it\n\n", Y, Y),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "it"}, "It's.", Y, Y),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "well"}, "Well-known", N, N),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name], [] and [", Y, Y),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[[name]] [\n]", N, N),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\nP. S. More", Y, Y),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\np. s. More p.s. yes", Y, Y),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\nPS More", N, N),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye.\nP. P.S and more", Y, Y),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye.\nP.S. and more", N, N),
    ("detectable_content:postscript", {"postscript_marker": " Note "}, "In a NOTEbook", Y, Y),
    ("detectable_format:number_bullet_lists", {"num_bullets": 3}, "List:\n* a\n  - b\n\n*c", Y, Y),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n** b\n*** c\n-d", Y, Y),
    ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "* a\n* b", N, Y),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "*\n* a\n* b", Y, Y),
    ("detectable_format:constrained_response", {}, "I think: My answer is no.", Y, Y),
    ("detectable_format:constrained_response", {}, "my answer is no.", N, N),
    ("detectable_format:constrained_response", {}, "**My answer is** maybe.", N, Y),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and **b**", Y, Y),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and ** **", N, N),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 1}, "*a\nb*", N, N),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "***a***", Y, Y),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* b *c*", Y, Y),
    ("detectable_format:multiple_sections",
     {"section_spliter": "SECTION ", "num_sections": 2}, "SECTION 1\na\nSECTION2\nb", Y, Y),
    ("detectable_format:multiple_sections",
     {"section_spliter": "SECTION", "num_sections": 2}, "SECTION 1\na\nSection 2\nb", N, N),
    ("detectable_format:multiple_sections",
     {"section_spliter": "Section", "num_sections": 1}, "Section  1 Section one", N, N),
    ("detectable_format:multiple_sections", {"section_spliter": "Section", "num_sections": 1}, "Sec*tion* 1", N, Y),
    ("detectable_format:json_format", {}, '```json\n{"a": [1, null]}\n```', Y, Y),
    ("detectable_format:json_format", {}, 'Here:\n{"a": 1}', N, Y),
    ("detectable_format:json_format", {}, "{'a': 1}", N, N),
    ("detectable_format:json_format", {}, "3", Y, Y),
    ("detectable_format:json_format", {}, "NaN", Y, Y),
    ("detectable_format:json_format", {}, "```python\n[1]\n```", N, Y),
    ("detectable_format:title", {}, "<<a poem>>\nText", Y, Y),
    ("detectable_format:title", {}, "<<>> <<\n>>", N, N),
    ("detectable_format:title", {}, "<< >>", N, N),
    ("detectable_format:title", {}, "<a> <<<b", N, N),
    ("combination:two_responses", {}, "one\n******\ntwo", Y, Y),
    ("combination:two_responses", {}, "******one******two******", Y, Y),
    ("combination:two_responses", {}, "same ****** same", N, N),
    ("combination:two_responses", {}, "a ****** b ****** c", N, N),
    ("combination:two_responses", {}, "a ******   ****** c", N, N),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi. "}, "  SAY HI. Hi!", Y, Y),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi."}, "Sure:\nSay hi. Hi!", N, Y),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi."}, "Hi!", N, N),
    ("startend:end_checker", {"end_phrase": "The End. "}, 'So it went. the end."\n', Y, Y),
    ("startend:end_checker", {"end_phrase": "The end."}, "The end. Or not?", N, N),
    ("startend:end_checker", {"end_phrase": "The end."}, "So. The end.\nHope it helps", N, Y),
    ("startend:quotation", {}, ' "all of it" ', Y, Y),
    ("startend:quotation", {}, '"', N, N),
    ("startend:quotation", {}, "“all of it”", N, N),
    ("startend:quotation", {}, 'Sure:\n"all of it"', N, Y),
    ("change_case:capital_word_frequency",
     {"capital_frequency": 3, "capital_relation": "at least"}, "NASA DON'T", Y, Y),
    ("change_case:capital_word_frequency",
     {"capital_frequency": 2, "capital_relation": "at least"}, "WELL-KNOWN Words", N, N),
    ("change_case:capital_word_frequency",
     {"capital_frequency": 3, "capital_relation": "less than"}, "A B I'm ok", N, N),
    ("change_case:capital_word_frequency",
     {"capital_frequency": 2, "capital_relation": "at least"}, "U.S. and (**USA**), no.", Y, Y),
    ("change_case:capital_word_frequency",
     {"capital_frequency": 2, "capital_relation": "at least"}, "U.S.A.", N, N),
    ("change_case:english_capital", {}, ENGLISH.upper(), Y, Y),
    ("change_case:english_capital", {}, ENGLISH.capitalize(), N, N),
    ("change_case:english_capital", {}, f"Sure!\n{ENGLISH.upper()}", N, Y),
    ("change_case:english_lowercase", {}, ENGLISH, Y, Y),
    ("change_case:english_lowercase", {}, ENGLISH.title(), N, N),
    ("change_case:english_lowercase", {}, GERMAN.lower(), N, N),
    ("change_case:english_lowercase", {}, "123", N, N),
    ("punctuation:no_comma", {}, "None; here 、，", Y, Y),
    ("punctuation:no_comma", {}, "1,000", N, N),
    ("punctuation:no_comma", {}, "Sure, this:\nnone", N, Y),
]  # fmt: skip


def sample_of(*instructions: tuple[str, dict[str, Any] | None], language: str | None = None) -> Sample:
    ids, arguments = [id for id, _ in instructions], [given for _, given in instructions]
    return Sample("7", language=language, metadata={"instruction_id_list": ids, "kwargs": arguments})


def follows(id: str, arguments: dict[str, Any], text: str, language: str | None = None) -> bool:
    (instruction,) = instructions_of(sample_of((id, arguments), language=language), SHARED)
    return instruction.check(text)


def problem(*instructions: tuple[str, Any], language: str | None = None) -> str:
    with pytest.raises(BadInstruction) as error:
        instructions_of(sample_of(*instructions, language=language), SHARED)
    return str(error.value)


@pytest.mark.parametrize(("id", "arguments", "text", "strict", "loose"), CASES)
def test_ifevals_kinds_say_what_the_reference_says(
    id: str, arguments: dict[str, Any], text: str, strict: bool, loose: bool
) -> None:
    generation = Generation(sample_of((id, arguments)), "m", (Completion(text),))
    scores = constraints()(Batch((generation,), shared=SHARED))
    assert scores["constraints"].segment == [float(strict)]
    assert scores["constraints_loose"].segment == [float(loose)]


def test_every_kind_of_ifeval_is_there_and_has_cases_of_both_outcomes() -> None:
    assert {id for id in KINDS if not id.startswith("harness:")} == {id for id, *_ in CASES}
    assert len({id for id, *_ in CASES}) == 25
    for id in {id for id, *_ in CASES}:
        assert {strict for own, _, _, strict, _ in CASES if own == id} == {Y, N}, id


@pytest.mark.parametrize(("id", "arguments"), [(id, arguments) for id, arguments, *_ in CASES])
def test_other_languages_with_spaces_are_treated_as_english(id: str, arguments: dict[str, Any]) -> None:
    for text in {text for own, _, text, *_ in CASES if own == id}:
        assert (
            follows(id, arguments, text, "de-AT") == follows(id, arguments, text, "en") == follows(id, arguments, text)
        )


def test_keywords_and_markers_are_texts_and_no_patterns() -> None:
    assert not follows("keywords:existence", {"keywords": ["a.c"]}, "abc")
    assert follows("keywords:existence", {"keywords": ["C++"]}, "I like c++.")
    assert follows("keywords:frequency", {"keyword": "(", "frequency": 2, "relation": "at least"}, "((")
    assert follows("keywords:forbidden_words", {"forbidden_words": ["a|b"]}, "b a")
    assert not follows("detectable_content:postscript", {"postscript_marker": ".*"}, "Bye")
    assert not follows("detectable_format:multiple_sections", {"section_spliter": ".", "num_sections": 1}, "x 1")


def test_nulls_and_whole_floats_are_what_a_table_makes_of_the_data() -> None:
    """The copy of IFEval on the hub has every argument in every row, null where it is not meant."""
    every = {key: None for kind in KINDS.values() for key in kind.arguments}
    assert follows("punctuation:no_comma", every, "none")
    assert follows(WORDS, every | {"num_words": 2.0, "relation": "at least"}, "one two")
    without = Sample(
        "1", metadata={"instruction_id_list": ["punctuation:no_comma", "startend:quotation"], "kwargs": None}
    )
    assert [i.check('"a"') for i in instructions_of(without, SHARED)] == [True, True]
    nulls = Sample("1", metadata={"instruction_id_list": ["punctuation:no_comma"], "kwargs": [None]})
    assert len(instructions_of(nulls, SHARED)) == 1


WORDS, FIRST = "length_constraints:number_words", "length_constraints:nth_paragraph_first_word"


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        (("length_constraints:number_word", {}), "no instruction 'length_constraints:number_word'; did you mean"),
        (("no_commas", {}), "'no_commas'; did you mean 'punctuation:no_comma'?"),
        ((3, {}), "no instruction 3; there is keywords:existence"),
        ((WORDS, [1]), r"number_words: its entry in kwargs is \[1\], not an object"),
        ((WORDS, {"relation": "at least"}), "number_words: kwargs lacks 'num_words'"),
        ((WORDS, {"relation": "at least", "num_words": None}), "number_words: kwargs lacks 'num_words'"),
        ((WORDS, {"relation": "at most", "num_words": 3}), "relation is 'at most', not one of 'less than', 'at least'"),
        ((WORDS, {"relation": "at least", "num_words": -1}), "num_words is -1, not a whole number, 0 or more"),
        ((WORDS, {"relation": "at least", "num_words": 2.5}), "num_words is 2.5, not a whole"),
        ((WORDS, {"relation": "at least", "num_words": float("inf")}), "num_words is inf, not a whole"),
        ((WORDS, {"relation": "at least", "num_words": float("nan")}), "num_words is nan, not a whole"),
        ((WORDS, {"relation": "at least", "num_words": True}), "num_words is True, not a whole"),
        ((WORDS, {"relation": "at least", "num_words": "3"}), "num_words is '3', not a whole"),
        ((WORDS, {"relation": "at least", "num_words": 3, "numwords": 1}), "no 'numwords'; did you mean 'num_words'?"),
        (("punctuation:no_comma", {"x": 1}), "no_comma: it takes no 'x'; it takes nothing"),
        (("keywords:existence", {"keywords": []}), r"keywords is \[\], not a list of texts"),
        (("keywords:existence", {"keywords": "cat"}), "keywords is 'cat', not a list of texts"),
        (("keywords:existence", {"keywords": ["cat", " "]}), "not a text with something in it"),
        (("keywords:existence", {"keywords": ["x" * 100_001]}), r"xx\.\.\., not a text .* at most 100000"),
        (("keywords:letter_frequency", {"letter": "ab", "let_frequency": 1, "let_relation": "at least"}), "one character"),
        ((FIRST, {"num_paragraphs": 1, "nth_paragraph": 2, "first_word": "a"}), "2 is above num_paragraphs 1"),
        ((FIRST, {"num_paragraphs": 1, "nth_paragraph": 0, "first_word": "a"}), "nth_paragraph is 0, not .* 1 or more"),
        (("language:response_language", {"language": "xx"}), "langdetect cannot tell 'xx'; it can af, ar"),
        (("startend:end_checker", {"end_phrase": ""}), "end_phrase is '', not a text"),
    ],
)  # fmt: skip
def test_what_cannot_be_checked_says_why(instruction: tuple[Any, Any], message: str) -> None:
    assert re.search(message, problem(instruction))


def test_lists_that_do_not_fit() -> None:
    def of(ids: Any, arguments: Any) -> str:
        with pytest.raises(BadInstruction) as error:
            instructions_of(Sample("1", metadata={"instruction_id_list": ids, "kwargs": arguments}), SHARED)
        return str(error.value)

    assert of("punctuation:no_comma", None) == "instruction_id_list is 'punctuation:no_comma', not a list of ids"
    assert of({"a": 1}, None).endswith("not a list of ids")
    assert of(["punctuation:no_comma"], []) == "kwargs is not a list as long as instruction_id_list (1): []"
    assert of(["punctuation:no_comma"], "[{}]").startswith("kwargs is not a list")


def test_json_is_bounded() -> None:
    assert checks.is_json("[" * 200 + "]" * 200)
    assert not checks.is_json("[" * 201 + "]" * 201)
    assert not checks.is_json("[" * 100_000)
    assert checks.is_json(json.dumps({"a": "[" * 1000, 'b"\\': "]{\n"}))
    assert not checks.is_json("1" * 5000)  # as Python's reader, which the reference asks, refuses it
    assert not checks.is_json('"' + '\\"' * 50_000)


LONG = [
    "[" * 100_000, "\n" * 100_000, "* " * 50_000, "*" * 100_000, "<" * 100_000, "<<" + ">" * 99_999, "-\n" * 50_000,
    " " * 99_999 + "x", "P. " * 33_000, ". " * 50_000, "a!" * 50_000, "'" * 100_000, "A'S " * 25_000, "Section " * 12_500,
    "Section 1" * 11_000, "*\n" * 50_000, "word " * 20_000, "字" * 100_000, "。" * 100_000, '"' * 100_000, "\\" * 100_000,
    "{" * 100_000, '{"' * 50_000, "1.\n" * 33_000, "\u3000" * 100_000, "e.g. " * 20_000, "***" * 33_000, ",:" * 50_000,
]  # fmt: skip
ALL = [
    (id, next(given for own, given, *_ in CASES if own == id)) if not id.startswith("harness:") else (id, given)
    for id, given in {
        **{id: {} for id in KINDS},
        "harness:number_characters": {"num_characters": 5, "relation": "exactly"},
        "harness:number_lines": {"num_lines": 2, "relation": "exactly"},
        "harness:numbered_list": {"num_items": 3},
        "harness:start_checker": {"start_phrase": "Dear"},
        "harness:json_keys": {"keys": ["a"]},
    }.items()
]


@pytest.mark.parametrize("language", [None, "zh"])
def test_no_text_takes_long(language: str | None) -> None:
    instructions = instructions_of(sample_of(*ALL, language=language), SHARED)
    slow: list[tuple[str, str, float]] = []
    for text in LONG:
        for instruction in instructions:
            start = time.perf_counter()
            instruction.check(text)
            taken = time.perf_counter() - start
            if taken > 1.5:  # a scan takes some ms, a quadratic one minutes
                slow.append((instruction.id, text[:10], taken))
    assert not slow


pieces = st.sampled_from(
    ["*", "**", "-", "[", "]", "<<", ">>", "\n", " ", "a", "Section", "1", '"', "{", "}", "P.S.", ",", "字"]
)
texts = st.one_of(st.lists(pieces, max_size=20).map("".join), st.text(st.characters(exclude_categories=["Cs"])))


@settings(max_examples=60, deadline=None)
@given(texts, st.sampled_from([None, "en", "zh", "ja"]))
def test_any_text_gets_an_answer(text: str, language: str | None) -> None:
    for instruction in instructions_of(sample_of(*ALL, language=language), SHARED):
        assert instruction.check(text) in (True, False)


@settings(max_examples=200, deadline=None)
@given(st.lists(pieces, max_size=20).map("".join))
def test_scans_find_what_the_references_patterns_find(text: str) -> None:
    assert checks.count_placeholders(text) == len(re.findall(r"\[.*?\]", text))
    bullets = re.findall(r"^\s*\*[^\*].*$", text, re.M) + re.findall(r"^\s*-.*$", text, re.M)
    assert checks.count_bullets(text) == len(bullets)
    titles = re.findall(r"<<[^\n]+>>", text)
    assert checks.has_title(text) == any(title.lstrip("<").rstrip(">").strip() for title in titles)
    assert checks.count_sections(text, "Section") == len(re.split(r"\s?Section\s?\d+\s?", text)) - 1
