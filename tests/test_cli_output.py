"""What people read: tables that fit, numbers that mean what they seem to, and text from data that never acts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import harness as library

from .commands import harness, inside, lines, workplace


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a suite and its finished run `out`. Not to be written to."""
    folder = workplace(tmp_path_factory.mktemp("place"))
    assert inside(folder, "run", "suite.yaml", "--out", "out").returncode == 0
    return folder


@pytest.mark.parametrize("columns", [80, 160])
def test_tables_keep_to_the_width(place: Path, columns: int):
    """No line is wider than the terminal, and each row of a list begins with its name."""
    env = {"COLUMNS": str(columns), "HARNESS_PLUGINS": ""}
    for command in (
        ["plugins", "list"],
        ["models", "list"],
        ["plugins", "info", "rouge"],
        ["report", "out", "--format", "console"],
    ):
        done = inside(place, *command, env=env)
        assert done.returncode == 0
        assert max(map(len, done.stdout.splitlines())) <= columns, done.stdout
        assert "…" not in done.stdout
    listed = inside(place, "models", "list", env=env).stdout
    firsts = [line.split()[0] for line in listed.splitlines()[1:] if not line.startswith(" ")]
    assert firsts == sorted(firsts)
    assert {"echo", "hf", "openai", "replay"} <= set(firsts)


def test_help_fits_and_says_each_command_in_one_line(place: Path):
    shown = inside(place, "--help", env={"COLUMNS": "80"}).stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "..." not in shown.replace("[OPTIONS] COMMAND [ARGS]...", "")
    for command in ("generate", "models", "plugins", "report", "run", "score", "show", "suite", "tasks"):
        assert re.search(rf"(?m)^  {command} +[A-Z].*\.$", shown), command


ACTING = {
    "ansi": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "c1": "\x9b31m",
    "return": "safe\rOWNED",
    "delete": "a\x7f",
    "turn": "abc\u202etxt.exe",
    "command": "::error file=a.py::pwned",
    "vso": "##vso[task.setvariable]x",
    "markup": "[bold red]x[/] [link=http://x]y[/link] [/nope]",
}


def records_that_act() -> list[dict[str, Any]]:
    return [
        {"id": p, "prompt": p, "references": [p], "completions": [p, None], "model": p, "task": p, "metadata": {"m": p}}
        for p in ACTING.values()
    ]


def test_nothing_in_the_data_acts_on_the_terminal(tmp_path: Path):
    (tmp_path / "r.jsonl").write_text(lines(records_that_act()))
    outputs = [harness(tmp_path, "score", "r.jsonl", "--metric", "bleu", "--out", "o", env={"COLUMNS": "200"})]
    outputs += [inside(tmp_path, "show", "o", p) for p in ACTING.values() if p not in ("\x1b[31mred\x1b[0m",)]
    outputs += [inside(tmp_path, "score", "o", "--json"), inside(tmp_path, "show", "o", ACTING["c1"], "--json")]
    assert outputs[0].returncode == 3
    for done in outputs:
        text = done.stdout + done.stderr
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text), text
        assert not re.search(r"(?m)^\s*(::error|##vso)", text), text
    shown = outputs[0].stdout
    assert "\\x1b[31mred\\x1b[0m" in shown
    assert "[bold red]x[/]" in shown  # rich's markup is text like any other
    (record,) = json.loads(outputs[-1].stdout)
    assert record["prompt"] == ACTING["c1"]


def test_an_error_message_does_not_act_either(tmp_path: Path):
    (tmp_path / "r.jsonl").write_text(json.dumps({"completions": ["a"], "\x1b[31m::error::x": 1}) + "\n")
    done = inside(tmp_path, "score", "r.jsonl", "--metric", "bleu")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
    done = inside(tmp_path, "run", "\x1b[31m")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr


def test_a_terminal_of_another_encoding_loses_no_command(place: Path):
    done = harness(place, "report", "out", "--format", "console", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert "rougeL \\xd71" in done.stdout


def test_records_need_not_hold_every_model_for_every_task(tmp_path: Path):
    pairs = [("t", "m"), ("t", "n"), ("u", "n")]
    records = [{"id": "1", "task": t, "model": m, "references": ["a"], "completions": ["a"]} for t, m in pairs]
    (tmp_path / "r.jsonl").write_text(lines(records))
    done = inside(tmp_path, "score", "r.jsonl", "--metric", "length", "--out", "o")
    assert done.returncode == 0, done.stderr
    corpus = library.open_run(tmp_path / "o").corpus
    assert [(r.task, r.model, r.value) for r in corpus if r.score == "length"] == [(*p, 1.0) for p in pairs]
    assert len(list(library.open_run(tmp_path / "o").groups())) == 3


def test_an_interval_comes_from_samples_that_have_a_value(tmp_path: Path):
    """One scored sample among many shows no spread; a resample of two perfect ones is perfect."""
    blank = [{"id": str(n), "completions": ["the cat sat on the mat"]} for n in range(5)]
    scored = [{**r, "id": "s" + r["id"], "references": r["completions"]} for r in blank]
    for count, interval in ((1, (None, None)), (2, (100.0, 100.0))):
        (tmp_path / "r.jsonl").write_text(lines([*blank, *scored[:count]]))
        done = inside(tmp_path, "score", "r.jsonl", "--metric", "bleu", "--metric", "rouge", "--json")
        rows = {row["score"]: row for row in json.loads(done.stdout)["corpus"]}
        low, high = rows["bleu"]["ci_low"], rows["bleu"]["ci_high"]
        assert (low, high) == (interval if None in interval else pytest.approx(interval))
        assert (rows["rouge1"]["ci_low"] is None) is (count == 1)
        assert rows["bleu"]["n"] == count
