"""Strict JSON: what passes is what `json` reads, what does not is one message."""

from __future__ import annotations

import json
import os
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import DataError
from harness.strictjson import MAX_LINE, check, dumps, json_lines, loads, raw_lines, read_lines, shown

SCALARS = st.none() | st.booleans() | st.integers(-(10**99), 10**99) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)

REFUSED = [
    ("NaN", "NaN is no JSON number; write null"),
    ('{"a": -Infinity}', "-Infinity is no JSON number"),
    ("[Infinity]", "Infinity is no JSON number"),
    ("1e999", "1e999 is too large for a 64-bit float"),
    ("[-1e400]", "-1e400 is too large"),
    ("9" * 5000, "has 5,000 digits; write it as text"),
    ("-" + "1" * 101, "digits; write it as text"),
    ("0." + "1" * 1000, "has 1,002 characters"),
    ("1." + "0" * 100_000 + "e5", "characters; write it shorter"),
    ('{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice in one object"),
    ('{"x": {"\\u0061": 1, "a": 3}}', "the key 'a' stands twice"),
    ("[" * 65 + "]" * 65, "nested deeper than 64 levels (column 65)"),
    ('{"a":' * 65 + "1" + "}" * 65, "nested deeper than 64 levels"),
    ("[" * 200_000, "nested deeper than 64 levels"),
    ('{"a":[' * 100_000, "nested deeper than 64 levels"),
    ('"\\ud800"', "character 1 is a lone surrogate (U+D800)"),
    ('{"a": ["x", "\\uDC00\\uD800"]}', "x.a[1]: character 1 is a lone surrogate"),
    ('{"\\udfff": 1}', "lone surrogate"),
    ("\ud800", "lone surrogate"),
    (b'"\xff"', "byte 2 (0xff) is not UTF-8; save the file as UTF-8"),
    (b'"\xed\xa0\x80"', "is not UTF-8"),
    ('"a"'.encode("utf-16"), "is not UTF-8"),
    ("", "this is not JSON: Expecting value (column 1)"),
    ("{} {}", "this is not JSON: Extra data (column 4)"),
    ('{"a": 1,}', "this is not JSON"),
    ("{'a': 1}", "property name enclosed in double quotes"),
    ('{"a": 1', "this is not JSON"),
    ('"\x01"', "Invalid control character"),
    ("[1,\n\n 2 3]", "(line 3, column 4)"),
    ("01", "Extra data"),
    ("+1", "Expecting value"),
    (".5", "Expecting value"),
    ("\\[" * 100, "this is not JSON"),
    ('"' + "[" * 100, "Unterminated string"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=range(len(REFUSED)))
def test_refused_with_one_message(text: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as error:
        loads(text, "x")
    assert str(error.value).startswith("x")
    assert message in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, true, null, "\\ud83d\\ude42"]}', {"a": [1, 2.5, True, None, "🙂"]}),
        ("9" * 100, int("9" * 100)),
        ("-" + "9" * 100, -int("9" * 100)),
        ("[" * 64 + "]" * 64, eval("[" * 64 + "]" * 64)),
        (json.dumps("[{" * 100 + '"\\'), "[{" * 100 + '"\\'),
        (json.dumps([[["]"]]] * 70), [[["]"]]] * 70),
        ("1e-999", 0.0),
        (' {"\\\\ud800": "\\\\ud800"}\r', {"\\ud800": "\\ud800"}),
        ('"é"'.encode(), "é"),
    ],
    ids=range(9),
)
def test_taken(text: str | bytes, value: object) -> None:
    assert loads(text, "x") == value


@given(VALUES)
@settings(max_examples=150)
def test_what_dumps_writes_reads_back_and_is_canonical(value: object) -> None:
    text = dumps(value)
    back = loads(text.encode(), "x")
    assert dumps(back) == text
    assert back == json.loads(text)
    assert check(back, "x") == back


@given(st.binary(max_size=60) | st.text(st.sampled_from('[]{}",:\\u019dDeE-+.NaInfity \n'), max_size=40))
@settings(max_examples=400)
def test_anything_else_is_a_data_error_and_never_more_lenient_than_json(data: bytes | str) -> None:
    try:
        value = loads(data, "x")
    except DataError:
        return
    assert value == json.loads(data)


def test_a_deep_stack_changes_nothing() -> None:
    def at_depth(depth: int) -> object:
        return loads("[" * 64 + "]" * 64, "x") if depth == 0 else at_depth(depth - 1)

    assert at_depth(sys.getrecursionlimit() - 400)


def test_long_hostile_lines_take_linear_time() -> None:
    start = time.perf_counter()
    for text in ('"' + '\\"' * 400_000 + "[" * 100, "[]," * 200_000, '{"a":1,' * 60 + '"b' * 100_000):
        with pytest.raises(DataError):
            loads(text, "x")
    keys = ",".join(f'"{i}":0' for i in range(50_000))
    with pytest.raises(DataError, match="'49999' stands twice"):
        loads("{" + keys + ',"49999":1}', "x")
    assert time.perf_counter() - start < 5


def test_dumps() -> None:
    assert dumps({"b": (1, 2.0), "a": "é<\u2028"}) == '{"a":"é<\u2028","b":[1,2.0]}'
    with pytest.raises(ValueError):
        dumps(float("nan"))
    with pytest.raises(TypeError, match="a set is no JSON value"):
        dumps({1, 2})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [float("nan")]}, r"x\.a\[0\]: nan is no finite number"),
        (float("inf"), "inf is no finite number"),
        ({1: 2}, "expected a text as key"),
        ({"a": {1, 2}}, r"x\.a: a set is no JSON value"),
        (10**5000, "more than 100 digits"),
        ({"a\n": "\ud800"}, r"x\.'a\\n': character 1 is a lone surrogate"),
    ],
    ids=range(6),
)
def test_check_of_python_values(value: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check(value, "x")


def test_check_refuses_what_holds_itself() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(DataError, match="nested deeper than 64 levels"):
        check(loop, "x")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (5, "the number 5"),
        (10**5000, "the number of over 100 digits"),
        ("a\x1b[0m", "the text 'a\\x1b[0m'"),
        ("x" * 100, "the text '" + "x" * 59 + "…'"),
        ([], "a list"),
        ({}, "an object"),
    ],
    ids=range(8),
)
def test_shown(value: object, text: str) -> None:
    assert shown(value) == text


def test_lines_are_numbered_as_an_editor_does(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a":1}\r\n\n  \t\r\n [2] \n"x\xe2\x80\xa8y"')
    assert list(read_lines(path)) == [(1, b'{"a":1}'), (4, b" [2]"), (5, '"x\u2028y"'.encode())]
    assert list(json_lines(path)) == [(1, {"a": 1}), (4, [2]), (5, "x\u2028y")]
    assert b"".join(line for _, line in raw_lines(path)) == path.read_bytes()[3:]


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert list(read_lines(tmp_path / "empty")) == []


def test_a_50_mb_line_is_named_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        file.write(b'{"a": 1}\n"')
        file.truncate(50 * 2**20)
    lines = read_lines(path)
    assert next(lines) == (1, b'{"a": 1}')
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"long\.jsonl, line 2: longer than 8,388,608 bytes"):
            next(lines)
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_LINE
    finally:
        tracemalloc.stop()


def test_a_line_may_be_as_long_as_the_cap(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1234567\n12345678\n")
    lines = read_lines(path, cap=8)
    assert next(lines) == (1, b"1234567")
    with pytest.raises(DataError, match="line 2: longer than 8 bytes"):
        next(lines)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, message in [
        (tmp_path / "none.jsonl", "there is no such file"),
        (tmp_path, "this is a folder; name a file in it"),
        (Path(__file__) / "x", "there is no such file"),
        ("a\0b", "null byte"),
        (tmp_path / ("n" * 300), "cannot be read"),
    ]:
        with pytest.raises(DataError, match=message):
            list(read_lines(path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "locked"
    path.touch(mode=0)
    with pytest.raises(DataError, match="may not be read; check its permissions"):
        list(read_lines(path))


def test_permission_errors_have_their_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(DataError, match="may not be read; check its permissions"):
        list(read_lines(tmp_path / "x"))


def test_json_lines_name_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": NaN}\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: NaN is no JSON number"):
        list(json_lines(path))
