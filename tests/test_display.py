"""Text that acts becomes text that shows."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.display import escaped, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain text", "plain text"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]8;;http://x\x07link", "\\x1b]8;;http://x\\x07link"),
        ("\x9b31m", "\\x9b31m"),
        ("a\rb", "a\\rb"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("a\x00b\x7f\x08", "a\\x00b\\x7f\\x08"),
        ("a\u202eb\u2066c\u2069", "a\\u202eb\\u2066c\\u2069"),
        ("a\u200b\ufeff\xadb", "a\\u200b\\ufeff\\xadb"),
        ("a\u2028b\u2029", "a\\u2028b\\u2029"),
        ("a\u0085b", "a\\x85b"),
        ("\udc80", "\\udc80"),
        ("\U000e0041", "\\U000e0041"),
        ("::error file=x::gone", "\\x3a:error file=x::gone"),
        ("  ::warning::x", "  \\x3a:warning::x"),
        ("x::error ::y", "x\\x3a:error \\x3a:y"),
        ("##[error]x ##vso[task]", "\\x23#[error]x \\x23#vso[task]"),
        ("std::vector", "std::vector"),
        ("std::error_code", "std::error_code"),
        ("10 :: 20", "10 :: 20"),
        ("## heading", "## heading"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
        ("日本語 עברית العربية", "日本語 עברית العربية"),
        ("نمی\u200cخواهم", "نمی\u200cخواهم"),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_multiline_keeps_line_feeds_and_tabs_only() -> None:
    assert visible("a\n\tb\r\x1b\n::error::x", multiline=True) == "a\n\tb\\r\\x1b\n\\x3a:error::x"
    assert escaped("a\nb\x07 ::x", multiline=True) == "a\nb\\x07 ::x"


@given(st.text(st.characters(), max_size=30))
@settings(max_examples=300)
def test_visible_text_prints_on_one_line_and_is_stable(text: str) -> None:
    shown = visible(text)
    assert shown.encode("utf-8").decode() == shown
    assert len(shown.splitlines()) <= 1
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in shown)
    assert visible(shown) == shown


@pytest.mark.parametrize("pump", ["::error", " ::", "::add-a", "##[", "\x1b"])
def test_long_texts_take_linear_time(pump: str) -> None:
    start = time.perf_counter()
    visible(pump * 20_000)
    assert time.perf_counter() - start < 0.5
