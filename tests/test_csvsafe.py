"""Cells that no spreadsheet runs, and the way back."""

from __future__ import annotations

import csv
import io
import math
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.csvsafe import csv_cell, csv_line, plain_cell, safe_cell

SIGNS = "=+-@＝＋－＠﹢﹣﹦﹫"
BLANK = " \ufeff\u200b\u200d\u2060\u00a0\u3000\u00ad\x00\x0b\u202e"
risky_texts = st.text(st.sampled_from("'" + BLANK + SIGNS + "\t\r\nab1"), max_size=8)


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n",
        "  =1",
        "\ufeff=1",
        "\u200b\u2060 -2",
        "\x00=1",
        "＝1",
        "＋1",
        "－1",
        "＠x",
        "\u00a0＝1",
        "'=1",
        "''  =1",
        "-0.5",
        '=HYPERLINK("http://x","y")',
        "=cmd|' /C calc'!A0",
    ],
)
def test_risky_texts_get_one_apostrophe_and_come_back(text: str) -> None:
    assert safe_cell(text) == "'" + text
    assert plain_cell(safe_cell(text)) == text


@pytest.mark.parametrize(
    "text", ["", "a", " a", "a=1", "1-2", "'", "''", "'a", "'tis", "' a =", "The Eagle", "−1", "10 - 2", "漢字"]
)
def test_other_texts_stay(text: str) -> None:
    assert safe_cell(text) == text
    assert plain_cell(text) == text


def test_every_sign_that_folds_to_one_of_the_four_is_a_trigger() -> None:
    folding = [chr(c) for c in range(0x110000) if unicodedata.normalize("NFKC", chr(c)) in set("=+-@")]
    assert len(folding) > 4
    assert [c for c in folding if safe_cell(c) == c] == []


@given(st.one_of(st.text(max_size=20), risky_texts))
@settings(max_examples=500)
def test_every_text_comes_back(text: str) -> None:
    assert plain_cell(safe_cell(text)) == text


@given(risky_texts, risky_texts)
@settings(max_examples=300)
def test_different_texts_stay_different(one: str, other: str) -> None:
    assert (safe_cell(one) == safe_cell(other)) == (one == other)


@given(st.one_of(st.text(max_size=20), risky_texts))
@settings(max_examples=500)
def test_no_safe_cell_starts_with_a_sign_after_blanks(text: str) -> None:
    cell = safe_cell(text)
    assert not cell.startswith(("\t", "\r", "\n"))
    assert not cell.lstrip(BLANK).startswith(tuple(SIGNS))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_round_trip_exactly(number: float) -> None:
    assert float(csv_cell(number)) == number
    assert math.copysign(1, float(csv_cell(number))) == math.copysign(1, number)


@pytest.mark.parametrize(
    ("value", "cell"), [(-0.5, "-0.5"), (3, "3"), (-3, "-3"), (1e-7, "1e-07"), (None, ""), ("-0.5", "'-0.5")]
)
def test_cells_of_each_type(value: str | float | None, cell: str) -> None:
    assert csv_cell(value) == cell


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (["a", 1, -0.5, None, "end"], "a,1,-0.5,,end\n"),
        (['say "x"', "a,b", "a;b"], '"say ""x""","a,b","a;b"\n'),
        (["hello\r=1+1", "a\nb"], '"hello\r=1+1","a\nb"\n'),
        (["=1", " a", "a "], '\'=1," a","a "\n'),
    ],
)
def test_lines(values: list[str | float | None], line: str) -> None:
    assert csv_line(values) == line


@given(st.lists(st.lists(st.one_of(st.text(max_size=20), risky_texts), min_size=1, max_size=4), max_size=4))
@settings(max_examples=200)
def test_rows_come_back_through_the_csv_module(rows: list[list[str]]) -> None:
    text = "".join(csv_line([*row, "end"]) for row in rows)
    read = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert [[plain_cell(cell) for cell in row] for row in read] == [[*row, "end"] for row in rows]


@pytest.mark.parametrize("pump", ["'", " ", "\u200b", "'\u200b", "' "])
def test_long_texts_take_linear_time(pump: str) -> None:
    text = pump * 100_000
    start = time.perf_counter()
    safe_cell(text)
    plain_cell(text)
    assert time.perf_counter() - start < 0.5
