"""Bad input through the command line: one message on standard error, exit 2, and nothing left behind."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from .commands import SAMPLES, SUITE, harness, inside, lines, workplace

GOOD = b'{"id": "a", "references": ["x"], "completions": ["y"]}\n'
DEEP = b"[" * 100_000 + b"]" * 100_000
DIGITS = b"9" * 5_000
HUGE_LINE = 50 * 2**20


def record(**parts: object) -> bytes:
    return json.dumps({"completions": ["y"], **parts}).encode() + b"\n"


# Each: the bytes of a file of records, and what the one message says.
RECORDS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "no JSON": (b"completions: [a]\n", ("line 1", "this is not JSON")),
    "cut off": (GOOD + b'{"completions": ["y"', ("line 2", "this is not JSON")),
    "no object": (b'["y"]\n', ("line 1", "object")),
    "text after it": (b'{"completions": ["y"]} {}\n', ("line 1", "this is not JSON")),
    "key twice": (b'{"completions": ["y"], "completions": ["z"]}\n', ("line 1", "'completions'")),
    "unknown key": (record(refrences=["x"]), ("line 1", "'refrences'", "did you mean 'references'?")),
    "no completions": (b'{"id": "a"}\n', ("line 1: completions: missing",)),
    "empty completions": (record(completions=[]), ("line 1: completions: empty",)),
    "text for a list": (record(completions="y"), ("line 1: completions",)),
    "number for a text": (record(completions=[1]), ("line 1: completions[0]",)),
    "references": (record(references="x"), ("line 1: references",)),
    "prompt": (record(prompt=5), ("line 1: prompt",)),
    "chat": (record(prompt=[{"role": "user"}]), ("line 1: prompt[0]",)),
    "id": (record(id=["a"]), ("line 1: id",)),
    "model": (record(model={}), ("line 1: model",)),
    "metadata": (record(metadata=[]), ("line 1: metadata",)),
    "ratings": (record(ratings=[{"fluency": "good"}]), ("line 1: ratings",)),
    "too many ratings": (record(ratings=[{}, {}]), ("line 1: ratings",)),
    "preference": (record(preferences=[{"better": 3, "worse": 0}]), ("line 1: preferences",)),
    "NaN": (b'{"completions": ["y"], "metadata": {"x": NaN}}\n', ("line 1", "NaN")),
    "infinity": (b'{"completions": ["y"], "metadata": {"x": -Infinity}}\n', ("line 1", "Infinity")),
    "1e999": (b'{"completions": ["y"], "metadata": {"x": 1e999}}\n', ("line 1", "1e999")),
    "digits": (b'{"completions": ["y"], "metadata": {"x": ' + DIGITS + b"}}\n", ("line 1", "digits")),
    "digits as id": (b'{"completions": ["y"], "id": ' + DIGITS + b"}\n", ("line 1", "digits")),
    "nesting": (b'{"completions": ["y"], "metadata": {"x": ' + DEEP + b"}}\n", ("line 1", "nested deeper")),
    "nested prompt": (DEEP + b"\n", ("line 1", "nested deeper")),
    "surrogate": (b'{"completions": ["a\\ud800b"]}\n', ("line 1", "surrogate")),
    "surrogate as key": (b'{"completions": ["a"], "metadata": {"\\udfff": 1}}\n', ("line 1", "surrogate")),
    "not UTF-8": (GOOD + b'{"completions": ["caf\xe9"]}\n', ("line 2", "UTF-8")),
    "UTF-16": ('{"completions": ["y"]}\n'.encode("utf-16"), ("line 1", "UTF-8")),
    "twice": (GOOD + GOOD, ("line 2", "line 1")),
    "nothing": (b"", ("holds no records",)),
    "blank lines": (b"\n \n\n", ("holds no records",)),
}


def refused(done: object, folder: Path, before: list[Path]) -> str:
    """The one message of a command that left nothing behind."""
    code, out, error = done.returncode, done.stdout, done.stderr  # type: ignore[attr-defined]
    assert code == 2, error
    assert out == ""
    assert error.startswith("error: ")
    assert error.count("error: ") == 1
    assert "Traceback" not in error
    assert len(error) < 3_000
    assert sorted(folder.rglob("*")) == before
    return str(error)


@pytest.mark.parametrize(("content", "words"), RECORDS.values(), ids=RECORDS)
def test_records(tmp_path: Path, content: bytes, words: tuple[str, ...]):
    (tmp_path / "r.jsonl").write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    message = refused(inside(tmp_path, "score", "r.jsonl", "--metric", "length"), tmp_path, before)
    assert "r.jsonl" in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("name", ["cut off", "digits", "nesting", "surrogate", "not UTF-8", "twice"])
def test_records_by_a_process(tmp_path: Path, name: str):
    content, words = RECORDS[name]
    (tmp_path / "r.jsonl").write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    message = refused(harness(tmp_path, "score", "r.jsonl", "--metric", "length"), tmp_path, before)
    assert all(word in message for word in words)


def test_all_mistakes_of_a_file_come_in_one_message(tmp_path: Path):
    (tmp_path / "r.jsonl").write_bytes(GOOD + b"{}\n" + GOOD + b"[]\n")
    before = sorted(tmp_path.rglob("*"))
    message = refused(inside(tmp_path, "score", "r.jsonl", "--metric", "length"), tmp_path, before)
    assert [f"line {n}" in message for n in (2, 3, 4)] == [True, True, True]


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b'{"completions": ["')
        for _ in range(HUGE_LINE // 2**20):
            file.write(b"a" * 2**20)
        file.write(b'"]}\n')


def test_a_line_of_fifty_megabytes(tmp_path: Path):
    """Refused without being read to its end, in little memory."""
    huge(tmp_path / "r.jsonl")
    before = sorted(tmp_path.rglob("*"))
    tracemalloc.start()
    try:
        done = inside(tmp_path, "score", "r.jsonl", "--metric", "length")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    message = refused(done, tmp_path, before)
    assert "r.jsonl, line 1: longer than" in message
    assert peak < HUGE_LINE / 2


def test_a_record_that_changes_its_mind(tmp_path: Path):
    """One sample asked of two models is one sample: its prompt cannot differ."""
    (tmp_path / "r.jsonl").write_bytes(record(id="a", model="m", prompt="p") + record(id="a", model="n", prompt="q"))
    before = sorted(tmp_path.rglob("*"))
    message = refused(inside(tmp_path, "score", "r.jsonl", "--metric", "length", "--out", "o"), tmp_path, before)
    assert "'a'" in message
    assert "different" in message


# Suites

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
SUITES: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "broken": ("name: [x\n", ("suite.yaml:2:1", "broken YAML")),
    "tab": ("name: x\n\tmodels: [echo]\n", ("suite.yaml:2:1", "tab")),
    "empty": ("", ("suite.yaml:1:1: the file is empty",)),
    "list": ("- name: x\n", ("expected a mapping",)),
    "key twice": (SUITE + "name: other\n", ("'name'", "1:1")),
    "key twice within": (SUITE.replace("{score: rougeL}", "{score: rougeL, score: bleu}"), ("'score'",)),
    "bomb": (BOMB + SUITE, ("alias",)),
    "tag": (SUITE.replace("tiny", "!!python/object/apply:os.system [ls]"), ("suite.yaml:1:7", "tag")),
    "merge": (SUITE.replace("{score: rougeL}", "{<<: {score: rougeL}}"), ("<<",)),
    "unknown metric": (
        SUITE.replace("[bleu,", "[blue,"),
        ("metrics[0]", "unknown metric 'blue'", "did you mean 'bleu'?"),
    ),
    "unknown option": (
        SUITE.replace("length]", "{rouge: {use_stemer: true}}]"),
        ("metrics[1].rouge.use_stemer", "unknown option 'use_stemer'", "did you mean 'use_stemmer'?"),
    ),
    "wrong type of option": (
        SUITE.replace("length]", "{rouge: {use_stemmer: 'yes'}}]"),
        ("metrics[1].rouge.use_stemmer", "expects bool, not 'yes'"),
    ),
    "bad option": (SUITE.replace("length]", "{rouge: {multi: worst}}]"), ("metrics[1]", "worst", "best")),
    "unknown key": (SUITE.replace("metrics:", "metrisc:"), ("unknown key 'metrisc'; did you mean 'metrics'?",)),
    "unknown score": (
        SUITE.replace("{score: rougeL}", "{score: rouge9}"),
        ("reward.terms[0].score", "unknown score 'rouge9'"),
    ),
    "unknown model": (SUITE.replace("[echo]", "[ecco]"), ("models[0]", "did you mean 'echo'?")),
    "unknown report": (SUITE.replace("[csv]", "[cvs]"), ("reports[0]", "did you mean 'csv'?")),
    "unknown source": (
        SUITE.replace("samples.jsonl", "fil:samples"),
        ("tasks[0].source", "'fil'", "did you mean 'file'?"),
    ),
    "wrong type": (SUITE + "generate: {n: many}\n", ("generate.n", "expected a whole number, got", "many")),
    "wrong range": (SUITE + "generate: {temperature: -1}\n", ("generate.temperature", "must be at least 0")),
    "text for a list": (SUITE.replace("[echo]", "echo"), ("models", "expected a list")),
    "digits": (SUITE + f"generate: {{seed: {'9' * 5000}}}\n", ("5,000",)),
    "NaN": (SUITE.replace("weight: 0.5", "weight: .nan"), (".nan is not a finite number",)),
    "infinity": (SUITE.replace("weight: 0.5", "weight: 1e999"), ("1e999 is too large",)),
    "nesting": (SUITE + "gate: " + "[" * 2000 + "]" * 2000 + "\n", ("deep",)),
    "not UTF-8": (SUITE.encode() + b"# caf\xe9\n", ("not UTF-8 (byte 0xe9)",)),
    "control character": (SUITE.replace("tiny", "ti\x1b[31mny"), ("suite.yaml:1:9",)),
    "surrogate": (SUITE.replace("tiny", '"\\ud800"'), ("suite.yaml:1:",)),
    "too large": (SUITE + "# " + "x" * 2**20, ("larger than",)),
    "no task": (SUITE.replace("tasks:", "#"), ("names no tasks",)),
    "no model": (SUITE.replace("models:", "#"), ("names no models",)),
    "missing file": (SUITE.replace("samples.jsonl", "nowhere.jsonl"), ("nowhere.jsonl",)),
    "null in a path": (SUITE.replace("samples.jsonl", '"a\\0b.jsonl"'), ("suite.yaml:2:27: control character U+0000",)),
    "folder as file": (SUITE.replace("samples.jsonl", "folder.jsonl"), ("folder.jsonl", "folder")),
    "a page": (SUITE.replace("samples.jsonl", "https://example.org/x.jsonl"), ("is a URL, and none is fetched",)),
    "executed": (SUITE + "setup: !function utils.load\n", ("tag",)),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = workplace(tmp_path / "place")
    (folder / "folder.jsonl").mkdir()
    return folder


@pytest.mark.parametrize(("suite", "words"), SUITES.values(), ids=SUITES)
def test_suites(place: Path, suite: str | bytes, words: tuple[str, ...]):
    (place / "suite.yaml").write_bytes(suite if isinstance(suite, bytes) else suite.encode())
    before = sorted(place.rglob("*"))
    begun = time.process_time()
    message = refused(inside(place, "run", "suite.yaml", "--out", "o"), place, before)
    assert time.process_time() - begun < 5
    for word in words:
        assert word in message


@pytest.mark.parametrize("name", ["broken", "bomb", "unknown metric", "unknown option", "missing file", "digits"])
def test_suites_by_a_process(place: Path, name: str):
    suite, words = SUITES[name]
    (place / "suite.yaml").write_text(str(suite))
    before = sorted(place.rglob("*"))
    message = refused(harness(place, "run", "suite.yaml"), place, before)
    assert all(word in message for word in words)


def test_a_suite_tells_all_its_mistakes_at_once(place: Path):
    text = (
        SUITE.replace("[bleu,", "[blue,").replace("[echo]", "[ecco]").replace("rougeL", "rouge9").replace("csv", "cvs")
    )
    (place / "suite.yaml").write_text(text)
    before = sorted(place.rglob("*"))
    message = refused(inside(place, "run", "suite.yaml"), place, before)
    assert [w in message for w in ("'blue'", "'ecco'", "'rouge9'", "'cvs'")] == [True] * 4
    assert inside(place, "suite", "check", "suite.yaml").stderr == message


# Files of tasks


def many(name: str, content: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(content)
        suite = (folder / "suite.yaml").read_text()
        (folder / "suite.yaml").write_text(suite.replace("samples.jsonl", name))

    return write


def a_huge_line(folder: Path) -> None:
    huge(folder / "samples.jsonl")


FIELDS = SUITE.replace("samples.jsonl}", "samples.jsonl, fields: {prompt: q, reference: a}}")
ROWS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "empty": (many("e.jsonl", b""), ("'t'", "no")),
    "empty table": (many("e.csv", b"prompt,references\n"), ("'t'", "no")),
    "no header": (many("e.csv", b""), ("e.csv: empty",)),
    "not JSON": (many("e.jsonl", b'{"prompt": "a"}\nprompt\n'), ("e.jsonl, line 2: this is not JSON",)),
    "no object": (many("e.jsonl", b"[1]\n"), ("e.jsonl, line 1: expected an object",)),
    "not UTF-8": (many("e.csv", b"prompt\ncaf\xe9\n"), ("e.csv, line 2", "0xe9", "UTF-8")),
    "ragged": (many("e.csv", b"id,prompt\n1,a,b\n"), ("e.csv, line 2: 3 cells",)),
    "open quote": (many("e.csv", b'prompt\n"a\n'), ("e.csv, line 2: a quote opened here is never closed",)),
    "columns of one name": (many("e.csv", b"prompt,prompt\n1,2\n"), ("two columns are called 'prompt'",)),
    "suffix": (many("e.json", b"[]"), ("e.json", "no reader for '.json'")),
    "no parquet": (many("e.parquet", b"PAR1"), ("e.parquet", "cannot be read")),
    "id twice": (
        many("e.jsonl", b'{"id": "a", "prompt": "x"}\n{"id": "a", "prompt": "y"}\n'),
        ("'a'",),
    ),
    "NaN": (many("e.jsonl", b'{"prompt": "a", "metadata": {"x": NaN}}\n'), ("line 1", "NaN")),
    "digits": (many("e.jsonl", b'{"prompt": "a", "metadata": {"x": ' + DIGITS + b"}}\n"), ("line 1", "digits")),
    "nesting": (many("e.jsonl", b'{"prompt": ' + DEEP + b"}\n"), ("line 1", "nested deeper")),
    "surrogate": (many("e.jsonl", b'{"prompt": "\\ud800"}\n'), ("line 1", "surrogate")),
    "number for a prompt": (many("e.jsonl", b'{"prompt": {"a": 1}}\n'), ("prompt",)),
    "references": (many("e.jsonl", b'{"prompt": "a", "references": [{"a": 1}]}\n'), ("references",)),
    "unknown column": (many("e.jsonl", b'{"promt": "a"}\n'), ("promt",)),
    "long line": (a_huge_line, ("samples.jsonl, line 1: longer than",)),
}


@pytest.mark.parametrize(("write", "words"), ROWS.values(), ids=ROWS)
def test_rows(place: Path, write: Callable[[Path], None], words: tuple[str, ...]):
    write(place)
    before = sorted(place.rglob("*"))
    message = refused(inside(place, "run", "suite.yaml", "--out", "o"), place, before)
    for word in words:
        assert word in message


def test_a_mapped_column_that_is_not_there(place: Path):
    (place / "suite.yaml").write_text(FIELDS)
    before = sorted(place.rglob("*"))
    message = refused(inside(place, "run", "suite.yaml", "--out", "o"), place, before)
    assert "'q'" in message


# Missing references are no mistake


def test_without_references_a_metric_that_needs_them_abstains(tmp_path: Path):
    records = [
        {"id": "a", "completions": ["one two", "three"]},
        {"id": "b", "references": ["four"], "completions": ["four"]},
    ]
    (tmp_path / "r.jsonl").write_text(lines(records))
    done = harness(tmp_path, "score", "r.jsonl", "--metric", "bleu", "--metric", "length", "--out", "o")
    assert done.returncode == 0, done.stderr
    shown = inside(tmp_path, "show", "o", "a", "--json")
    first, second = json.loads(shown.stdout)[0]["scores"]
    reason = "the sample has no references"
    assert first["bleu"] == second["bleu"] == {"value": None, "status": "abstain", "reason": reason}
    assert (first["length"]["value"], second["length"]["value"]) == (2, 1)
    assert reason in done.stdout
    (other,) = json.loads(inside(tmp_path, "show", "o", "b", "--json").stdout)
    assert other["scores"][0]["bleu"]["status"] == "ok"


def test_the_reward_of_a_run_without_references_is_none_not_zero(place: Path):
    (place / "samples.jsonl").write_text(lines([{k: s[k] for k in ("id", "prompt")} for s in SAMPLES]))
    done = inside(place, "run", "suite.yaml", "--out", "o", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["statuses"]["reward"] == {"ok": 0, "abstain": 2, "error": 0, "timeout": 0, "invalid": 0}
    assert [row["value"] for row in summary["corpus"] if row["score"] == "reward"] == [None]
