"""What `constraints` adds to IFEval: languages without spaces, kinds of our own, and languages told with a fixed seed."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from harness import Memo, PluginError, Sample
from harness_plugins.constraint_kinds import BadInstruction, Instruction, instructions_of
from harness_plugins.constraint_languages import detector

SHARED = Memo()  # langdetect's profiles take half a second
Y, N = True, False
ENGLISH = "the quick brown fox jumps over the lazy dog while the rain is falling on the old town"


def made(id: str, arguments: dict[str, Any], shared: Memo = SHARED, language: str | None = None) -> Instruction:
    metadata: dict[str, Any] = {"instruction_id_list": [id], "kwargs": [arguments]}
    (instruction,) = instructions_of(Sample("7", language=language, metadata=metadata), shared)
    return instruction


def follows(id: str, arguments: dict[str, Any], text: str, language: str | None = None) -> bool:
    return made(id, arguments, language=language).check(text)


ZH = "北京是中国的首都。它有三千年的历史！你去过长城吗？"
WORDS, SENTENCES = "length_constraints:number_words", "length_constraints:number_sentences"
FIRST, CAPITALS = "length_constraints:nth_paragraph_first_word", "change_case:capital_word_frequency"


@pytest.mark.parametrize(
    ("language", "id", "arguments", "text", "expected"),
    [
        ("zh", WORDS, {"num_words": 22, "relation": "at least"}, ZH, Y),
        ("zh", WORDS, {"num_words": 22, "relation": "less than"}, ZH, N),
        ("zh-Hant-TW", WORDS, {"num_words": 5, "relation": "at least"}, "使用 AI 技術。", Y),
        ("zh", WORDS, {"num_words": 6, "relation": "at least"}, "使用AI技术。", N),
        ("th", WORDS, {"num_words": 3, "relation": "less than"}, "ภาษา", N),
        (None, WORDS, {"num_words": 4, "relation": "less than"}, ZH, Y),  # the reference: a run between marks is a word
        ("zh", SENTENCES, {"num_sentences": 3, "relation": "at least"}, ZH, Y),
        ("zh", SENTENCES, {"num_sentences": 4, "relation": "at least"}, ZH, N),
        ("zh", SENTENCES, {"num_sentences": 2, "relation": "at least"}, "真的吗？！“好。”", Y),
        ("zh", SENTENCES, {"num_sentences": 3, "relation": "at least"}, "真的吗？！“好。”", N),
        ("zh", SENTENCES, {"num_sentences": 2, "relation": "at least"}, "他走了……没有回来", N),
        ("zh", SENTENCES, {"num_sentences": 2, "relation": "at least"}, "版本3.5发布了.", N),
        ("ja", SENTENCES, {"num_sentences": 2, "relation": "at least"}, "これはペンです。あれは机です", Y),
        ("km", SENTENCES, {"num_sentences": 2, "relation": "at least"}, "ខ្ញុំស្រលាញ់អ្នក។ អរគុណ។", Y),
        (None, SENTENCES, {"num_sentences": 2, "relation": "at least"}, ZH, N),
        ("zh", "keywords:existence", {"keywords": ["长城", "首都"]}, ZH, Y),
        ("zh", "keywords:existence", {"keywords": ["长城", "京剧"]}, ZH, N),
        ("zh", "keywords:frequency", {"keyword": "的", "frequency": 2, "relation": "at least"}, ZH, Y),
        ("zh", "keywords:forbidden_words", {"forbidden_words": ["长城"]}, ZH, N),
        (None, "keywords:forbidden_words", {"forbidden_words": ["长城"]}, ZH, N),
        ("zh", "keywords:forbidden_words", {"forbidden_words": ["AI"]}, "使用AI技术", N),
        ("zh", "keywords:forbidden_words", {"forbidden_words": ["AI"]}, "使用OPENAI技术", Y),
        (None, "keywords:forbidden_words", {"forbidden_words": ["AI"]}, "使用AI技术", Y),  # the reference
        ("zh", "keywords:letter_frequency", {"letter": "的", "let_frequency": 2, "let_relation": "at least"}, ZH, Y),
        ("zh", FIRST, {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "其次"}, "首先，是。\n\n“其次是这个。", Y),
        ("zh", FIRST, {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "其次"}, "首先，是。\n\n再其次。", N),
        (None, FIRST, {"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "其次"}, "其次是这个。", N),
        ("zh", "startend:quotation", {}, "“好的。”", Y),
        ("ja", "startend:quotation", {}, "「はい」", Y),
        ("zh", "startend:quotation", {}, "“好的。", N),
        ("zh", "punctuation:no_comma", {}, "红、黄、蓝。", Y),
        ("zh", "punctuation:no_comma", {}, "红，黄", N),
        ("ja", "punctuation:no_comma", {}, "赤、黄", N),
        (None, "punctuation:no_comma", {}, "红，黄", Y),
        ("zh", CAPITALS, {"capital_frequency": 2, "capital_relation": "at least"}, "使用AI和GPU技术", Y),
        ("zh", CAPITALS, {"capital_frequency": 3, "capital_relation": "at least"}, "使用AI和GPU技术", N),
        ("zh", "startend:end_checker", {"end_phrase": "谢谢！"}, "再见。谢谢！\n", Y),
        ("zh", "language:response_language", {"language": "zh"}, ZH, Y),
        (None, "language:response_language", {"language": "zh-cn"}, ZH, Y),
        ("zh", "language:response_language", {"language": "en"}, ZH, N),
        ("zh", "language:response_language", {"language": "zh"}, ENGLISH, N),
    ],
)  # fmt: skip
def test_languages_without_spaces(
    language: str | None, id: str, arguments: dict[str, Any], text: str, expected: bool
) -> None:
    assert follows(id, arguments, text, language) is expected


@pytest.mark.parametrize(
    ("id", "arguments", "text", "expected"),
    [
        ("number_characters", {"num_characters": 5, "relation": "exactly"}, " 你好，世界 ", Y),
        ("number_characters", {"num_characters": 5, "relation": "more than"}, "a b\nc\u3000d e", N),
        ("number_characters", {"num_characters": 5, "relation": "at most"}, "a b\nc\u3000d e", Y),
        ("number_characters", {"num_characters": 5, "relation": "less than"}, "a b\nc\u3000d e", N),
        ("number_characters", {"num_characters": 5, "relation": "at least"}, "a b\nc\u3000d e", Y),
        ("number_lines", {"num_lines": 2, "relation": "exactly"}, "one\n\n  \ntwo\n", Y),
        ("number_lines", {"num_lines": 3, "relation": "at most"}, "a\nb\nc\nd", N),
        ("numbered_list", {"num_items": 3}, "Here:\n1. a\n 2) b\n\n3、c", Y),
        ("numbered_list", {"num_items": 2}, "（1）甲\n（2）乙", Y),
        ("numbered_list", {"num_items": 3}, "1. a\n3. b\n2. c", N),
        ("numbered_list", {"num_items": 2}, "1. a\n2. b\n3. c", N),
        ("numbered_list", {"num_items": 1}, "1.5 km\n1. a", Y),
        ("start_checker", {"start_phrase": "Dear "}, "\n dear Ann", Y),
        ("start_checker", {"start_phrase": "Dear"}, "Oh dear", N),
        ("json_keys", {"keys": ["a", "b"]}, '```json\n{"b": 1, "a": null, "c": 2}\n```', Y),
        ("json_keys", {"keys": ["a", "b"]}, '{"a": {"b": 1}}', N),
        ("json_keys", {"keys": ["a"]}, '["a"]', N),
        ("json_keys", {"keys": ["a"]}, "a", N),
    ],
)  # fmt: skip
def test_our_own_kinds(id: str, arguments: dict[str, Any], text: str, expected: bool) -> None:
    assert follows(f"harness:{id}", arguments, text) is expected


def test_thai_sentences_cannot_be_counted() -> None:
    with pytest.raises(BadInstruction, match="Thai and Lao"):
        made(SENTENCES, {"num_sentences": 1, "relation": "at least"}, language="th")


def test_languages_are_told_the_same_whenever_asked_and_leave_langdetect_as_it_was() -> None:
    import langdetect

    before = langdetect.DetectorFactory.seed
    texts = ["hello", "ok no", "la la la", "Hallo Welt", ENGLISH, ZH]
    own = detector(Memo())
    first = [own(text) for text in texts]
    assert [own(text) for text in reversed(texts)] == first[::-1]
    another = detector(Memo())
    assert [another(text) for text in texts] == first
    assert first[-2:] == ["en", "zh-cn"]
    assert langdetect.DetectorFactory.seed == before
    assert own("") is own("1 2 3!") is None


def test_without_langdetect_only_those_who_ask_for_a_language_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langdetect", None)
    assert made("punctuation:no_comma", {}, Memo())
    asking: list[tuple[str, dict[str, Any]]] = [
        ("language:response_language", {"language": "en"}),
        ("change_case:english_capital", {}),
    ]
    for id, arguments in asking:
        with pytest.raises(PluginError, match=r"langdetect is missing: pip install 'reward-harness\[constraints\]'"):
            made(id, arguments, Memo())
