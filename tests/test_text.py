"""The border for text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import DataError, clean_text
from harness.text import check_text

ANY_TEXT = st.text(st.characters(categories=None), max_size=20)  # surrogates included
TEXT = st.text(max_size=20)


@pytest.mark.parametrize(
    ("given_text", "cleaned"),
    [
        ("", ""),
        ("plain", "plain"),
        ("naïve 北京 🙂", "naïve 北京 🙂"),
        ("a\ud800b", "a\ufffdb"),
        ("\udfff", "\ufffd"),
        ("\ud800.", "\ufffd."),
        ("\ud800\ud800", "\ufffd\ufffd"),
        ("x\udc00\ud800", "x\ufffd\ufffd"),
        ("\ud83d\ude42", "🙂"),
        ("\ud800🙂", "\ufffd🙂"),
        ("\x00\x1b[31m\r\n\u2028\ufeff\ufffe", "\x00\x1b[31m\r\n\u2028\ufeff\ufffe"),
    ],
)
def test_clean_text(given_text: str, cleaned: str) -> None:
    assert clean_text(given_text) == cleaned


@given(ANY_TEXT)
@settings(max_examples=200)
def test_cleaned_text_can_be_stored_and_stays(text: str) -> None:
    cleaned = clean_text(text)
    assert cleaned.encode().decode() == cleaned
    assert clean_text(cleaned) == cleaned


@given(TEXT)
@settings(max_examples=50)
def test_what_can_be_stored_is_not_touched(text: str) -> None:
    assert clean_text(text) == text
    assert check_text(text, "x") == text


@pytest.mark.parametrize(("text", "character"), [("\ud800", 1), ("ab\udfff", 3), ("é\ud83d\ude42", 2)])
def test_a_user_is_told_where_the_surrogate_stands(text: str, character: int) -> None:
    with pytest.raises(DataError, match=rf"^line 3: prompt: character {character} is a lone surrogate \(U\+D"):
        check_text(text, "line 3: prompt")


def test_the_message_itself_can_be_printed() -> None:
    with pytest.raises(DataError) as error:
        check_text("\ud800", "x")
    assert str(error.value).encode()
