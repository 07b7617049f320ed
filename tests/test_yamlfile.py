"""YAML 1.2 scalars, places of values, limits: what a suite file may hold, and how the rest is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SuiteError
from harness.suite_nodes import shown
from harness.yamlfile import LIMIT_BYTES, LIMIT_DEPTH, LIMIT_NODES, load, read_text, resolve

# From the core schema's tables in the YAML 1.2.2 specification, section 10.3, and the traps of YAML 1.1.
SCALARS = [
    ("null", None), ("Null", None), ("NULL", None), ("~", None), ("", None), ("nULL", "nULL"),
    ("true", True), ("True", True), ("TRUE", True), ("false", False), ("False", False), ("tRue", "tRue"),
    ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("Y", "Y"), ("n", "n"), ("NO", "NO"),
    ("0", 0), ("-0", 0), ("+12", 12), ("-19", -19), ("012", 12), ("0o14", 12), ("0x3A", 58), ("0b11", "0b11"),
    ("1_000", "1_000"), ("12:30:45", "12:30:45"), ("0o8", "0o8"),
    ("2026-01-02", "2026-01-02"), ("-0x1", "-0x1"),
    ("0.", 0.0), (".5", 0.5), ("+12e03", 12000.0), ("-2E+05", -200000.0), ("1e5", 1e5), ("1E-2", 0.01),
    ("12e", "12e"), (".", "."), ("e5", "e5"), ("1.2.3", "1.2.3"), ("-", "-"), ("inf", "inf"), ("nan", "nan"),
    ("Infinity", "Infinity"), ("=", "="), ("hf:path", "hf:path"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_plain_scalars_follow_the_core_schema(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize("text", ["no", "012", "1e5", "true", "null", "0x10", ".inf", "1e999"])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_quoted_scalars_are_text(text: str, quote: str) -> None:
    assert load(f"a: {quote}{text}{quote}", "f").data == {"a": text}


def test_values_of_every_kind_and_style() -> None:
    text = "a: [1, {b: no}]\nc: |\n  two\n  lines\nd: >-\n  one\n  line\ne:\n- x\n"
    text += "f: !!str 12\ng: ! 1\nh: !!float 1\n"
    data = {
        "a": [1, {"b": "no"}],
        "c": "two\nlines\n",
        "d": "one line",
        "e": ["x"],
        "f": "12",
        "g": "1",
        "h": 1,
    }
    assert load(text, "f").data == data


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert load("\ufeffname: x", "f").data == {"name": "x"}


def test_aliases_stand_for_what_they_name() -> None:
    document = load("a: &x {k: [1]}\nb: *x\nc: [*x, *x]", "f")
    assert document.data == {"a": {"k": [1]}, "b": {"k": [1]}, "c": [{"k": [1]}, {"k": [1]}]}
    data = document.data
    data["b"]["k"].append(2)
    assert data["a"] == {"k": [1]}, "an alias is a copy"


def test_marks_point_at_values_and_fall_back_to_what_exists() -> None:
    document = load("name: x\ntasks:\n  - {name: a, limit: 5}\n  - name: ü\n    limit:   7\n", "f")
    marks = {
        (): (1, 1), ("name",): (1, 7), ("tasks",): (3, 3), ("tasks", 0): (3, 5),
        ("tasks", 0, "limit"): (3, 22),
        ("tasks", 1, "limit"): (5, 14), ("tasks", 1, "limit", "deeper", 3): (5, 14), ("tasks", 7): (3, 3),
        ("tasks", "name"): (3, 3), ("nothing",): (1, 1), (0,): (1, 1),
    }  # fmt: skip
    assert {path: document.mark(path) for path in marks} == marks
    assert document.place(("tasks", 0, "limit"), key=True).label("f") == "f:3:15"
    assert document.place(("tasks", 0, "absent"), key=True).label("f") == "f:3:5"


# Each with the place and a part of the message.
REFUSED = [
    ("", "f:1:1: the file is empty"),
    ("# nothing\n", "f:1:1: the file is empty"),
    ("a: 1\n---\nb: 2\n", "f:2:1: a second document"),
    ("a: 1\nb: 2\na: 3\n", "f:3:1: duplicate key 'a'; it is first at 1:1"),
    ("{a: 1, a: 1}", "f:1:8: duplicate key 'a'; it is first at 1:2"),
    ("a: {b: 1, 'b': 2}", "f:1:11: duplicate key 'b'; it is first at 1:5"),
    ("a: !foo 1", "f:1:4: tag !foo is not read here"),
    ("a: !!python/object/apply:os.system ['true']", "f:1:4: tag !!python/object/apply:os.system is not"),
    ("a: !!binary aGk=", "f:1:4: tag !!binary is not read here"),
    ("a: !!timestamp 2026-01-01", "f:1:4: tag !!timestamp is not read here"),
    ("a: !!set {b}", "f:1:4: tag !!set is not read here"),
    ("a: !!map [b]", "f:1:4: tag !!map is not read here"),
    ("a: !!int x", "f:1:4: 'x' is no int"),
    ("a: !!int 1.5", "f:1:4: 1.5 is no int"),
    ("%TAG ! tag:x,2000:\n--- !y\na: 1", "f:2:5: tag tag:x,2000:y is not read here"),
    ("a: .inf", "f:1:4: .inf is not a finite number"),
    ("a: -.INF", "f:1:4: -.INF is not a finite number"),
    ("a: .NaN", "f:1:4: .NaN is not a finite number"),
    ("a: [1, 1e999]", "f:1:8: 1e999 is too large for a number"),
    ("a: -1e400", "f:1:4: -1e400 is too large for a number"),
    ("a: " + "9" * 101, "f:1:4: a number of 101 characters; at most 100 are read"),
    ("a: " + "9" * 5000, "f:1:4: a number of 5,000 characters; at most 100 are read"),
    ("a: 0x" + "f" * 5000, "f:1:4: a number of 5,002 characters; at most 100 are read"),
    ("a: 0x" + "f" * 90, "f:1:4: a number of more than 100 digits"),
    ("a: 1." + "0" * 200, "f:1:4: a number of 202 characters; at most 100 are read"),
    ("1: a", "f:1:1: a key must be text; put 1 in quotes"),
    ("true: a", "f:1:1: a key must be text; put true in quotes"),
    ("? \n: a", "f:1:2: a key is missing before ':'"),
    ("? [a]\n: b", "f:1:3: a key must be text"),
    ("a: &x k\n*x : b", "f:2:1: a key must be text"),
    ("a: &x {b: 1}\nc: {<<: *x}", "f:2:5: merge keys (<<) are not read; write the keys out"),
    ("a: *x", "f:1:4: alias *x names no anchor above it"),
    ("a: &x [*x]", "f:1:8: alias *x stands inside its own anchor"),
    ("a: b: c", "f:1:5: broken YAML: mapping values are not allowed in this context (put text that holds"),
    ("a:\n\tb: 1", "f:2:1: broken YAML: found character that cannot start any token (a tab cannot indent"),
    ("a: @b", "f:1:4: broken YAML: found character that cannot start any token"),
    ("a: [1, 2\nb: 3", "f:2:2: broken YAML: "),
    ("a: 'x", "f:1:6: broken YAML: found unexpected end of stream"),
    ("a: 1\n b: 2", "f:2:3: broken YAML: mapping values are not allowed"),
    ("a: 1\x00", "f:1:5: control character U+0000; remove it"),
    ("a: 1\nb: \x1b[31m", "f:2:4: control character U+001B; remove it"),
    ("a: \x9b", "f:1:4: control character U+009B; remove it"),
    ("a: \ud800", "f:1:4: lone surrogate U+D800; remove it"),
    ('a: "\\u0000"', "f:1:4: control character U+0000; remove it"),
    ('a: "x\\e[31m"', "f:1:4: control character U+001B; remove it"),
    ('"\\b": 1', "f:1:1: control character U+0008; remove it"),
    ('a: "\\ud800"', "f:1:7: broken YAML: found invalid Unicode character escape code"),
    ("[" * (LIMIT_DEPTH + 1), f"f:1:{LIMIT_DEPTH + 1}: nested deeper than {LIMIT_DEPTH} levels"),
    ("a: &x " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 12 + "*x", "f:2:16: nested deeper than 50 levels"),
    ("x" * (LIMIT_BYTES + 1), "f:1:1: the file is larger than 1,048,576 bytes"),
    ("é" * (LIMIT_BYTES // 2 + 1), "f:1:1: the file is larger than 1,048,576 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[m[:40] for _, m in REFUSED])
def test_what_is_refused_and_where(text: str, message: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load(text, "f")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_the_limits_themselves_are_allowed() -> None:
    assert load("[" * LIMIT_DEPTH + "]" * LIMIT_DEPTH, "f").data
    assert load("a: " + "9" * 100, "f").data == {"a": int("9" * 100)}
    assert load("a: " + "x" * (LIMIT_BYTES - 3), "f").mark(("a",)) == (1, 4)
    assert len(load("[" + "1," * (LIMIT_NODES - 1) + "]", "f").data) == LIMIT_NODES - 1
    with pytest.raises(SuiteError, match="more than 100,000 values"):
        load("[" + "1," * LIMIT_NODES + "]", "f")


@pytest.mark.parametrize("quote", ["'", ""])
def test_aliases_of_a_long_text_are_counted_by_its_length(quote: str) -> None:
    text = f"a: &a {quote}{'x' * 100_000}{quote}\nb: [{{}}]"
    assert len(load(text.replace("{}", "*a," * 90), "f").data["b"]) == 90
    with pytest.raises(SuiteError, match="more than 100,000 values, aliases written out"):
        load(text.replace("{}", "*a," * 110), "f")


def test_all_mistakes_that_can_be_told_apart_are_told_in_the_order_of_the_file() -> None:
    with pytest.raises(SuiteError) as caught:
        load("b: 1\na: !x .nan\na: .inf\nb: 2\nc: [1", "f")
    places = [line.split(": ")[0] for line in str(caught.value).splitlines()]
    assert places == ["f:2:4", "f:3:1", "f:3:4", "f:4:1", "f:5:6"]


def test_a_thousand_mistakes_are_cut_short() -> None:
    with pytest.raises(SuiteError, match="more than 100 problems") as caught:
        load("\n".join(f"k{i}: .nan" for i in range(1000)), "f")
    assert len(str(caught.value).splitlines()) == 101


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"name: x\nb: \xff\n", ":2:4: not UTF-8 (byte 0xff); save it as UTF-8"),
        ("name: é".encode("latin-1"), ":1:7: not UTF-8 (byte 0xe9)"),
        ("name: ü\nb: ".encode() + b"\xc3", ":2:4: not UTF-8 (byte 0xc3)"),
        ("name: x".encode("utf-16"), ":1:1: not UTF-8 (byte 0xff)"),
        (b"a: 1\n" * (1 << 20), ":1:1: the file is larger than 1,048,576 bytes"),
    ],
)
def test_files_that_are_no_text(tmp_path, data: bytes, message: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(data)
    with pytest.raises(SuiteError) as caught:
        read_text(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_files_that_are_not_there(tmp_path) -> None:
    with pytest.raises(SuiteError, match=r"none\.yaml: no such file"):
        read_text(tmp_path / "none.yaml")
    with pytest.raises(SuiteError, match="is a folder, not a file"):
        read_text(tmp_path)


NASTY = {
    "alias bomb": "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)),
    "quadratic aliases": f"a: &a [{'x,' * 40_000}]\nb: [{'*a,' * 40_000}]",
    "brackets": "[" * 1_000_000,
    "braces": "{" * 1_000_000,
    "dashes": "- " * 500_000,
    "questions": "? " * 500_000,
    "indent": "".join(f"{' ' * i}a:\n" for i in range(1000)),
    "many keys": "".join(f"k{i}: 1\n" for i in range(80_000)),
    "many equal keys": "a: 1\n" * 200_000,
    "many items": "[" + "," .join("1" for _ in range(500_000)) + "]",
    "many lines": "- 1\n" * 250_000,
    "many anchors": "".join(f"- &a{i} 1\n" for i in range(80_000)) + "- .nan",
    "digits": "a: " + "1" * 1_000_000,
    "digits of a float": "a: 0." + "1" * 1_000_000,
    "exponent": "a: 1e" + "9" * 1_000_000,
    "open quote": 'a: "' + "x" * 1_000_000,
    "open quote, lines": "a: '" + "x\n" * 500_000,
    "escapes": 'a: "' + "\\u0001" * 170_000 + '"',
    "long key": "x" * 1_000_000,
    "long key in flow": "{" + "x" * 1_000_000,
    "tabs": "\t" * 1_000_000,
    "comment": "#" * 1_000_000,
    "line breaks": "\n" * 1_000_000,
    "documents": "---\n" * 250_000,
    "directives": "%YAML 1.2\n" * 100_000,
    "tags": "a: " + "!x " * 300_000,
    "long tag": "a: !" + "x" * 1_000_000 + " 1",
    "long anchor": "a: *" + "x" * 1_000_000,
    "tagged items": "[" + "!x 1," * 150_000 + "]",
    "bad numbers": "[" + ".nan," * 150_000 + "]",
    "pairs": "[" + "a: 1," * 150_000 + "]",
    "commas": "[" + "," * 1_000_000,
    "colons": ":" * 1_000_000,
    "colons apart": ": " * 500_000,
    "control": "x" * 1_000_000 + "\x00",
    "50 MB": "a" * 50_000_000,
}  # fmt: skip

_MEASURE = """
import json, resource, sys, time
limit = 2 << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from harness.errors import SuiteError
from harness.suite import parse_suite
from harness.yamlfile import load
cases = json.load(sys.stdin)
seconds, letters = {}, {}
for name, text in cases.items():
    for read in (load, lambda text, source: parse_suite(text, source=source, check=False)):
        start = time.process_time()
        try:
            read(text, "f")
        except SuiteError as error:
            letters[name] = len(str(error))
        seconds[name] = max(seconds.get(name, 0), time.process_time() - start)
# not ru_maxrss, which a process inherits from the one that started it
(high,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
peak = int(high.split()[1]) * 1024
print(json.dumps({"seconds": seconds, "letters": letters, "peak": peak}))
"""


def _measured(cases: dict[str, str]) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE], input=json.dumps(cases), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def _slow(measured: dict) -> list[str]:
    return [name for name, seconds in measured["seconds"].items() if seconds >= 1]


def test_hostile_files_are_refused_in_a_second_and_256_megabytes() -> None:
    big = NASTY["50 MB"]
    measured = _measured({name: text for name, text in NASTY.items() if text is not big})
    # a suite may well be one long scalar or list to the reader; as a suite all of these are refused
    assert measured["letters"].keys() == NASTY.keys() - {"50 MB"}
    assert max(measured["letters"].values()) < 20_000
    slow = _slow(measured)
    for _ in range(3):  # on a busy machine CPU time grows too: what is really slow is slow each time
        slow = _slow(_measured({name: NASTY[name] for name in slow})) if slow else slow
    assert not slow
    assert measured["peak"] < 256e6
    alone = _measured({"50 MB": big})
    assert alone["letters"]["50 MB"] < 100
    assert alone["seconds"]["50 MB"] < 1


def _read(text: str) -> tuple[object, str]:
    """The data, or why it was refused."""
    try:
        return load(text, "f").data, ""
    except SuiteError as error:
        return None, str(error)


printable = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" \n\t"), max_size=8)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | printable,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(printable, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(plain)
def test_json_is_yaml(value: object) -> None:
    """Printable JSON is read to the value it has in JSON, to the sign of a zero and the type of a number."""
    found = load(json.dumps(value, ensure_ascii=False), "f").data
    assert repr(found) == repr(value)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:-[]{},&*!|>'\"%@`#? \n\t0.1e~\\u", max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Whatever the text, it is read or refused with a place; no other exception, no endless loop."""
    for line in _read(text)[1].splitlines():
        _, row, column, rest = line.split(":", 3)
        assert int(row) >= 1
        assert int(column) >= 1
        assert rest.strip()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"), (True, "true"), ({}, "a mapping"), ([1], "a list"), (1.5, "1.5"),
        ("a\nb", "'a\\nb'"),
        ("x" * 200, "'" + "x" * 56 + "..."), ("\u202e", "'\\u202e'"),
    ],
)  # fmt: skip
def test_values_are_shown_on_one_short_line(value: object, text: str) -> None:
    assert shown(value) == text
