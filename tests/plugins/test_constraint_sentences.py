"""Sentences and capitals: by hand, and against NLTK's Punkt and word tokenizer, which IFEval's reference asks."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nltk.tokenize import punkt
from nltk.tokenize.destructive import NLTKWordTokenizer

from harness_plugins import constraint_sentences as ours
from harness_plugins.constraint_sentences import sentences, sentences_without_spaces, words_in_capitals


def punkt_with_our_lists() -> punkt.PunktSentenceTokenizer:
    """Punkt as downloaded, but for what it learnt: of a starter that it is also written small."""
    parameters = punkt.PunktParameters()
    parameters.abbrev_types = set(ours._ABBREVIATIONS) - {name[:-1] for name in ours._BEFORE_NO_NAME}
    parameters.sent_starters = set(ours._STARTERS)
    for word in ours._STARTERS:
        parameters.add_ortho_context(word, punkt._ORTHO_LC | punkt._ORTHO_MID_UC)
    return punkt.PunktSentenceTokenizer(parameters)


PUNKT, TOKENIZER = punkt_with_our_lists(), NLTKWordTokenizer()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n", []),
        ("no end", ["no end"]),
        ("One. Two? Three! Four", ["One.", "Two?", "Three!", "Four"]),
        ("A title\n\nAnd a line\nwithout end", ["A title\n\nAnd a line\nwithout end"]),
        ("Mr. Smith met Dr. J. Bach at 5 p.m. in St. Louis.", ["Mr. Smith met Dr. J. Bach at 5 p.m. in St. Louis."]),
        ("We left at 5 p.m. Dinner was late.", ["We left at 5 p.m.", "Dinner was late."]),
        ("Apples, pears, etc. are fruit. Yes.", ["Apples, pears, etc. are fruit.", "Yes."]),
        ("She works for Acme Inc. The pay is good.", ["She works for Acme Inc.", "The pay is good."]),
        ("It is 3.5 km, i.e. two miles. e.g. this", ["It is 3.5 km, i.e. two miles.", "e.g. this"]),
        ("I live in the U.S. Army bases are here.", ["I live in the U.S. Army bases are here."]),
        ('"Go!" he said. (Really.) Yes.', ['"Go!"', "he said.", "(Really.)", "Yes."]),
        ("“Go.” Then “stop.”", ["“Go.”", "Then “stop.”"]),
        ("Well... maybe. Well... The end.", ["Well... maybe.", "Well...", "The end."]),
        ("See www.example.com or v1.2.3 now. Ok", ["See www.example.com or v1.2.3 now.", "Ok"]),
        ("1. Eggs\n2. Milk", ["1.", "Eggs\n2.", "Milk"]),
        ("Plan B. The rest.", ["Plan B.", "The rest."]),
        ("Really?! Yes!!! No.", ["Really?!", "Yes!!!", "No."]),
    ],
)
def test_sentences_by_hand(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


TOKENS = """The the a A Bach J. U.S. e.g. Mr. 3. 3.5 -4. Wow! what? . .. ... ! ? !! " ' ) ( ] [ * ** , ; : -- - “ ” ’ x.y a!b
end.) e.g., b. B. I i.e. vol-co. I'm 你好。 _ 5 well-known. Inc. She don't No. No""".split()
SPACES = [" ", " ", " ", "", "\n", "  ", "\n\n", "\t", "\u00a0"]
mixed = st.lists(st.tuples(st.sampled_from(TOKENS), st.sampled_from(SPACES)).map("".join), max_size=12).map("".join)


@settings(max_examples=600, deadline=None)
@given(mixed)
@example("Wow!!!")
@example(". . . x")
@example('He said "Go!')
def test_punkt_with_the_same_lists_splits_alike(text: str) -> None:
    assert sentences(text) == PUNKT.tokenize(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我来了。你呢？走！", 3),
        ("我来了。你呢", 2),
        ("“好。”他说。", 2),
        ("。。。！", 0),
        ("", 0),
        ("版本3.5. 好.", 2),
        ("はい。いいえ！", 2),
        ("ကျွန်တော်သွားမယ်။ နင်လာ။", 2),
    ],
)
def test_sentences_without_spaces(text: str, expected: int) -> None:
    assert len(sentences_without_spaces(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NASA and the U.S. Army", 2),
        ("WELL-KNOWN, A/B, A--B", 4),
        ("DON'T, I'LL, IT'S, it'S, IT's", 8),
        ("CANNOT GONNA WANNA.", 6),
        ('"HI" (**THERE**) <B> #TAG @ME $5', 5),
        ("A,B 3:4 A:B", 4),
        ("‘OK’ “OK” «OK»", 3),
        ("ÜBER straße ЖУК", 2),
        ("1 2 3 !", 0),
    ],
)
def test_words_in_capitals_by_hand(text: str, expected: int) -> None:
    assert words_in_capitals(text) == expected == by_nltk(text)


def by_nltk(text: str) -> int:
    return sum(token.isupper() for sentence in PUNKT.tokenize(text) for token in TOKENIZER.tokenize(sentence))


CAPITALS = """THE Dog's DOG'S DON'T don't CANNOT CANnot GONNA WANNA gimme MORE'N IT'S IT's 'TIS 'QUOTED' "QUOTED" “HI” A,B A, B:
3:4 U.S. U.S.A. NASA. HI. ... WELL-KNOWN A--B A—B [X] {Y} <Z> @AB #TAG $5 A*B **BOLD** *EM* `C` ''A'' I'LL I’LL we'LL WE'll 'S
? ! ; & % (OK) A/B Ü ß WANNA. DON'T.""".split()


@settings(max_examples=600, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(CAPITALS), st.sampled_from([" ", "\n", "  "])).map("".join), max_size=8))
def test_nltk_finds_as_many_words_in_capitals(tokens: list[str]) -> None:
    text = "".join(tokens)
    assert words_in_capitals(text) == by_nltk(text)


@pytest.mark.parametrize("function", [sentences, sentences_without_spaces, words_in_capitals])
def test_time_grows_with_the_length_and_no_faster(function: object) -> None:
    units = [
        ".",
        ". ",
        "a!",
        "a! ",
        " ",
        "'",
        "[",
        "A'",
        "e.g.",
        "-",
        "\n",
        ".\u00a0",
        "3.",
        '"“',
        ".\n",
        "!)",
        "。",
        "字。",
    ]
    start = time.perf_counter()
    for unit in units:
        function(unit * (100_000 // len(unit)) + "x")  # type: ignore[operator]
    assert time.perf_counter() - start < 8  # 0.1 s each; a quadratic step takes minutes
