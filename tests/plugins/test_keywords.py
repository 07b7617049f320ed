"""Keywords: coverage, order and forbidden words, by hand."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from harness import Batch, Completion, Generation, Sample, Whole
from harness_plugins.keywords import keywords

COVERAGE, ORDER, FORBIDDEN = "keywords", "keywords_order", "keywords_forbidden"


def scored(text, metadata, language=None, **options):
    sample = Sample("1", language=language, metadata=metadata)
    return keywords(**options)(Batch((Generation(sample, "m", (Completion(text),)),)))


def value(text, words, language=None, score=COVERAGE, **options):
    field = "forbidden" if score == FORBIDDEN else "keywords"
    return scored(text, {field: words}, language, **options)[score].segment[0]


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("The dog runs in the park.", ["dog", "run", "park"], 1.0),
        ("The dog sleeps.", ["dog", "run", "park"], 1 / 3),
        ("A DOG!", ["dog"], 1.0),
        ("A hotdog", ["dog"], 0.0),
        ("A dogma of dogs-in-law", ["dog"], 1.0),
        ("", ["dog"], 0.0),
        ("The child ran, threw it and caught the mice.", ["children", "run", "throw", "catch", "mouse"], 1.0),
        ("police organization", ["policy", "organ"], 0.0),
        ("The Great Wall's gates", ["great wall", "gate"], 1.0),
        ("The great, wall", ["great wall"], 0.0),  # not in a row
        ("great great\nwalls", ["great wall"], 1.0),
        ("great", ["great wall"], 0.0),
        ("a stir fry, a stir-fry", ["stir-fry"], 1.0),
        ("I know C and C#.", ["C++", "C#"], 0.5),
        ("C++, of course", ["C++"], 1.0),
        ("the U.S. and 3.5 kg", ["U.S.", "3.5 kg"], 1.0),
        ("ﬁne ＡＢＣ Straße", ["fine", "abc", "STRASSE"], 1.0),
        ("cafe\u0301", ["café"], 1.0),
        ("cafe", ["café"], 0.0),
        ("in 2024", [2024, "1999"], 0.5),
        ("dog", ["dog", "Dog", "dog "], 1.0),
        ("cat", ["dog", "Dog", "cat"], 0.5),  # each word once
        ("dog", ["dog", "", " - "], 1.0),  # nothing to look for in the last two
        ("an emoji 😀", ["😀", "😢"], 0.5),
    ],
)
def test_coverage(text, words, expected):
    assert value(text, words) == expected


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("北京有长城和京剧。", ["长城", "京剧", "胡同", "故宫"], 0.5),
        ("我用Python写诗，也用Java。", ["python", "Java", "写诗"], 1.0),
        ("我用Python3和JavaScript。", ["python", "Java"], 0.0),
        ("长\n城很长", ["长城"], 1.0),
        ("长，城", ["长城"], 0.0),
        ("《红楼梦》", ["红楼梦", "《红楼梦》"], 1.0),
        ("ＡＰＥＣ会议", ["APEC"], 1.0),
        ("三里屯", ["里屯"], 1.0),  # characters have no edges
    ],
)
def test_chinese_is_found_by_characters_and_latin_by_whole_words(text, words, expected):
    for language in ("zh", "zh-CN", None):
        assert value(text, words, language) == expected


@pytest.mark.parametrize(
    ("language", "text", "words", "expected"),
    [
        ("de", "Die Häuser der Städte", ["Haus", "Stadt", "Dorf"], 2 / 3),
        ("fr", "Il parlait de l’eau des montagnes", ["parler", "eau", "montagne"], 1.0),
        ("es", "los libros y las canciones", ["libro", "canción"], 1.0),
        ("ru", "Она читает книги", ["книга", "читать"], 1.0),
        ("nb-NO", "bøkene og husene", ["bok", "hus"], 0.5),
        ("ja", "東京タワーへ行く", ["東京", "タワー", "京都"], 2 / 3),
        ("th", "ฉันรักกรุงเทพ", ["กรุงเทพ"], 1.0),
        ("ko", "서울은 크다", ["서울은", "서울"], 0.5),
        ("pl", "domy", ["dom", "domy"], 0.5),  # no stemmer: as written
        ("zh", "dogs", ["dog"], 0.0),
    ],
)
def test_inflection_by_language(language, text, words, expected):
    assert value(text, words, language) == expected


@pytest.mark.parametrize("language", [None, "en", "de", "zh"])
def test_inflection_can_be_switched_off(language):
    assert value("Dogs ran", ["dog", "run", "dogs", "RAN"], language, inflection=False) == 0.5


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("a b c", ["a", "b", "c"], 1.0),
        ("c b a", ["a", "b", "c"], 0.0),
        ("b a c", ["a", "b", "c"], 2 / 3),
        ("c a b a", ["a", "b", "c"], 1 / 3),  # first occurrences count: of ab, ac, bc only the first
        ("b c", ["a", "b", "c"], 1.0),  # what is missing is another matter
        ("Chinese New Year", ["Chinese New Year", "Chinese"], 1.0),
        ("Chinese New Year", ["Chinese", "Chinese New Year"], 1.0),
        ("先去故宫，再去长城", ["长城", "故宫"], 0.0),
        ("a", ["a", "b"], None),
        ("", ["a", "b"], None),
        ("a", ["a"], None),
    ],
)
def test_order(text, words, expected):
    found = scored(text, {"keywords": words})[ORDER]
    assert found.segment == [expected]
    assert expected is not None or "order" in found.reasons[0]


def test_forbidden_words_are_counted_alike_and_less_is_better():
    assert value("The cats slept", ["cat", "dog", "sleep", "fish"], score=FORBIDDEN) == 0.5
    assert value("clean", ["cat"], score=FORBIDDEN) == 0.0
    assert value("吸烟有害", ["吸烟"], "zh", score=FORBIDDEN) == 1.0
    assert [(i.name, i.higher_is_better) for i in keywords().infos] == [
        (COVERAGE, True),
        (ORDER, True),
        (FORBIDDEN, False),
    ]


@pytest.mark.parametrize("text", ["dog; cat", "dog,cat", "dog、cat", "dog，cat；", "\ndog\ncat\r\n", " dog ,, cat"])
def test_one_text_with_separators_is_a_list(text):
    assert value("a dog", text) == 0.5
    assert value("a dog, cat", text) == 1.0


def test_a_listed_keyword_is_not_taken_apart():
    assert value("Paris and France", ["Paris, France"]) == 0.0
    assert value("in Paris, France", ["Paris, France"]) == 1.0


@pytest.mark.parametrize(
    "metadata", [{}, {"keywords": None}, {"keywords": []}, {"keywords": ""}, {"keywords": [" ", "-"]}]
)
def test_a_sample_without_keywords_abstains(metadata):
    for name, scores in scored("a", metadata).items():
        assert scores.status_of(0) == "abstain"
        assert repr("forbidden" if name == FORBIDDEN else "keywords") in scores.reasons[0]


@pytest.mark.parametrize("words", [{"a": 1}, ["a", 1.5], ["a", None], [["a"]], True, 0.5, [False]])
def test_what_is_no_list_of_words_is_invalid(words):
    found = scored("a", {"keywords": words, "forbidden": ["a"]})
    assert [found[n].status_of(0) for n in (COVERAGE, ORDER, FORBIDDEN)] == ["invalid", "invalid", "ok"]
    assert "not a list of words" in found[COVERAGE].reasons[0]


def test_fields_by_option():
    metadata = {"must": ["dog"], "not": ["cat"], "keywords": ["bird"]}
    found = scored("dog", metadata, field="must", forbidden_field="not")
    assert [found[n].segment for n in (COVERAGE, FORBIDDEN)] == [[1.0], [0.0]]
    assert found[FORBIDDEN].signature == "keywords_forbidden|field:not|inflection:en"


@pytest.mark.parametrize(
    ("languages", "options", "inflection"),
    [
        (["en", None], {}, "en"),
        ([], {}, "en"),
        (["zh"], {}, "none"),
        (["zh", "en-GB"], {}, "en+none"),
        (["nb", "no", "de"], {}, "de+no"),
        (["zh", "en"], {"inflection": False}, "no"),
    ],
)
def test_signatures_follow_the_languages_of_the_task(languages, options, inflection):
    whole = Whole.of(Sample(str(i), language=tag, metadata={"keywords": ["a"]}) for i, tag in enumerate(languages))
    for some in ((), *((Generation(sample, "m", (Completion("a"),)),) for sample in whole.samples)):
        found = keywords(**options)(Batch(tuple(some), whole=whole))
        assert found[ORDER].signature == f"keywords_order|field:keywords|inflection:{inflection}"
        assert found[COVERAGE].signature == f"keywords|field:keywords|inflection:{inflection}"


def test_languages_in_one_batch_do_not_mix():
    samples = [Sample(str(i), language=tag, metadata={"keywords": ["dog"]}) for i, tag in enumerate(["en", "zh", "en"])]
    batch = Batch(tuple(Generation(sample, "m", (Completion("dogs"),)) for sample in samples))
    assert keywords()(batch)[COVERAGE].segment == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"field": ""}, "field"), ({"forbidden_field": " "}, "forbidden_field"), ({"field": "forbidden"}, "forbidden")],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        keywords(**options)


@pytest.mark.parametrize(
    "language", [None, "da", "de", "es", "fi", "fr", "hu", "it", "nl", "no", "pt", "ro", "ru", "sv"]
)
def test_every_stemmer_takes_any_text(language):
    every = "".join(chr(point) for point in range(0x2F00)) + "x" * 100_000
    assert value(every, [every[:40], "b"], language) in {0.0, 0.5, 1.0}
    assert value("", ["İstanbul ſ ﬁ ẞ", "\0"], language) == 0.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("word " * 20_000, ["word " * 10_000 + "end", "word"]),
        ("长" * 33_000, ["长" * 10_000 + "城", "长城"]),
        ("a b " * 25_000, [f"w{i}" for i in range(10_000)]),
    ],
)
def test_long_texts_take_a_moment(text, words):
    start = time.perf_counter()
    value(text, words)
    assert time.perf_counter() - start < 10  # 0.2 s when nothing else runs


letters = st.lists(st.sampled_from("abcdefg"), max_size=12)


@settings(max_examples=150, deadline=None)
@given(letters, st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=7, unique=True))
def test_any_text_is_counted_right(text, words):
    found = [text.index(word) for word in words if word in text]
    assert value(" ".join(text), words) == len(found) / len(words)
    order = value("".join(text).translate({ord(c): ord(c) - 97 + 0x4E00 for c in "abcdefg"}),
                  [chr(ord(c) - 97 + 0x4E00) for c in words], "zh", ORDER)  # fmt: skip
    if len(found) < 2:
        assert order is None
    else:
        assert order == pytest.approx((1 + kendalltau(range(len(found)), found).statistic) / 2)
