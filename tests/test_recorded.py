"""Recorded tasks: rows with completions, which no model is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError, RunError, SuiteError, UsageError
from harness.journal import Journal
from harness.run import continue_run, prepare
from harness.store import Run
from harness.suite import parse_suite, resolved, resolved_text

from .runs_for_tests import Probe, Refusing, command_line, files, registry_with, run_into, suite_of, write_rows

SUITE = """
name: rec
tasks:
  - {name: r, source: records.jsonl, recorded: true, language: en}
metrics: [bleu, length]
"""
MIXED = """
name: rec
tasks:
  - {name: r, source: records.jsonl, recorded: true, language: en}
  - {name: t, source: rows.jsonl, limit: 3}
models: [probe]
generate: {n: 2, temperature: 1.0}
metrics: [length]
"""
ROWS: tuple[dict[str, Any], ...] = (
    {"id": "a", "prompt": "p", "references": ["hi you"], "model": "one", "completions": ["hi you", "no"],
     "ratings": [{"overall": [4, None]}, {}], "preferences": [{"better": 0, "worse": 1, "rater": "x"}]},
    {"id": "a", "prompt": "p", "references": ["hi you"], "model": "two", "completions": ["hi"]},
    {"id": "b", "completions": ["lone"], "language": "de"},
)  # fmt: skip


def write(place: Path, rows: tuple[dict[str, Any], ...] = ROWS) -> None:
    (place / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_rows(place)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write(tmp_path)
    return tmp_path


def cut(folder: Path, batches: int) -> None:
    """As a process leaves a journal that is killed after so many batches."""
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    commits = [i for i, line in enumerate(lines) if line.startswith(b'{"commit"')]
    (folder / "journal.jsonl").write_bytes(b"".join(lines[: commits[batches - 1] + 1 if batches else 1]))


@pytest.mark.parametrize(("batches", "lost"), [(0, 70), (1, 6)])
def test_a_run_of_which_not_all_records_were_written_is_not_taken_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], batches: int, lost: int
):
    """Neither a recorded task nor a file of records; the command that began it ends it as if nothing had been."""
    write(tmp_path, tuple({"id": f"r{i}", "completions": ["a b", "c"]} for i in range(70)))
    (tmp_path / "suite.yaml").write_text(SUITE)
    call = command_line(monkeypatch, capsys)
    monkeypatch.chdir(tmp_path)
    for task, begins in (("r", ["run", "suite.yaml"]), ("records", ["score", "records.jsonl", "--metric", "length"])):
        out = tmp_path / task
        assert call(*begins, "--out", out)[0] == 0
        whole = files(out)
        cut(out, batches)
        code, _, said = call("score", out)
        assert code == 3
        assert f"{lost} of 70 records of the task {task!r} were never written" in said
        assert "The command that began it, with --out" in said
        assert Run(out).manifest["state"] == "partial"
        assert call(*begins, "--out", out)[0] == 0
        assert files(out) == whole


def test_records_are_scored_as_they_stand_and_no_model_is_needed(place: Path):
    run = run_into(place, Refusing(), SUITE).run
    assert run.models == ["one", "two", "recorded"]
    found = {(g.sample.id, g.model): g for g in run.generations()}
    assert [c.text for c in found["a", "one"].completions] == ["hi you", "no"]
    assert found["a", "one"].completions[0].ratings == {"overall": (4.0, None)}
    assert found["a", "one"].preferences[0].rater == "x"
    assert found["a", "two"].sample.language == "en"  # the task's, where the row says nothing
    assert found["b", "recorded"].sample.language == "de"
    assert {row.model: row.value for row in run.corpus if row.score == "length"} == {
        "one": 1.5,
        "two": 1,
        "recorded": 1,
    }
    assert run.manifest["state"] == "complete"
    assert run.manifest["missing"] == []


def test_beside_tasks_that_a_model_is_asked(place: Path):
    model = Probe()
    outcome = run_into(place, model, MIXED)
    assert sorted(set(model.asked)) == ["s0", "s1", "s2"]
    assert outcome.missing == ()
    tables = {(row.task, row.model) for row in outcome.run.corpus}
    assert tables == {("r", "one"), ("r", "two"), ("r", "recorded"), ("t", "probe")}


def test_the_same_again_asks_nothing_and_changes_no_byte(place: Path):
    run_into(place, Probe(), MIXED)
    before = files(place / "out")
    run_into(place, Refusing(), MIXED)
    assert files(place / "out") == before
    registry = registry_with(Refusing())
    (place / "records.jsonl").unlink()  # from its folder a run goes on without its data
    continue_run(place / "out", suite_of(place, registry, MIXED), registry)
    assert files(place / "out") == before


def test_other_completions_are_another_run(place: Path):
    run_into(place, Probe(), SUITE)
    write(place, (*ROWS[:2], {"id": "b", "completions": ["changed"], "language": "de"}))
    with pytest.raises(RunError, match=r"recorded\.r: was"):
        run_into(place, Probe(), SUITE)


def test_the_order_of_records_is_no_other_run(place: Path):
    run_into(place, Probe(), SUITE)
    write(place, (ROWS[2], ROWS[0], ROWS[1]))
    run_into(place, Probe(), SUITE)


def test_a_run_that_lost_records_says_so_and_is_mended_by_its_command(place: Path, monkeypatch: pytest.MonkeyPatch):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            run_into(place, Probe(), SUITE)
    registry = registry_with(Probe())
    with pytest.raises(RunError, match="interrupted while the completions of the task 'r' were written"):
        continue_run(place / "out", suite_of(place, registry, SUITE), registry)
    assert run_into(place, Probe(), SUITE).missing == ()
    assert len(list(Run(place / "out").generations())) == 3


def test_a_limit_is_of_samples_with_all_their_models(place: Path):
    write(place, (ROWS[0], ROWS[2], ROWS[1]))
    run = run_into(place, Probe(), SUITE.replace("recorded: true", "recorded: true, limit: 1")).run
    assert [(g.sample.id, g.model) for g in run.generations()] == [("a", "one"), ("a", "two")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((ROWS[0], ROWS[0]), r"task 'r', row 2: sample 'a' comes twice for model 'one'"),
        (({"id": "a"},), r"task 'r', row 1: completions: missing"),
        ((ROWS[0], {**ROWS[1], "prompt": "q"}), r"sample 'a' of task 'r' comes with different prompt"),
        (({"completions": ["x"], "colour": 1},), r"row 1: unknown key 'colour'"),
    ],
)
def test_rows_that_cannot_be_taken(place: Path, rows: tuple[dict[str, Any], ...], message: str):
    write(place, rows)
    with pytest.raises(DataError, match=message):
        run_into(place, Probe(), SUITE)
    assert not (place / "out").exists()


def test_a_source_without_rows_is_an_error(place: Path):
    (place / "records.jsonl").write_text("")
    with pytest.raises(DataError, match="gave no rows"):
        run_into(place, Probe(), SUITE)


def test_what_says_how_rows_become_prompts_has_no_place_there():
    registry = registry_with(Probe())
    text = SUITE.replace("recorded: true", "recorded: true, template: '{x}', system: s, fields: {prompt: x}")
    with pytest.raises(SuiteError) as caught:
        parse_suite(text, registry=registry)
    assert str(caught.value).count("a recorded task's rows say themselves what they are") == 3


def test_a_suite_without_models_asks_for_them_where_something_is_to_be_generated(place: Path):
    registry = registry_with(Probe())
    text = MIXED.replace("models: [probe]\n", "")
    with pytest.raises(UsageError, match="names no models"):
        prepare(suite_of(place, registry, text), registry)


def test_written_out_and_read_again_it_is_the_same_suite():
    registry = registry_with(Probe())
    suite = parse_suite(SUITE, registry=registry)
    assert suite.tasks[0].recorded
    assert parse_suite(resolved_text(suite), registry=registry) == suite
    assert "recorded" not in resolved(parse_suite(MIXED, registry=registry))["tasks"][1]


def test_how_many_records_there_are_is_told_and_decides_nothing(place: Path):
    """The digest of them does, so that a run begun before it was told goes on."""
    run_into(place, Refusing(), SUITE)
    journal = place / "out" / "journal.jsonl"
    header, rest = journal.read_bytes().split(b"\n", 1)
    told = json.loads(header)
    assert told["identity"].pop("records") == {"r": 3}
    journal.write_bytes(json.dumps(told).encode() + b"\n" + rest)
    assert run_into(place, Refusing(), SUITE).missing == ()
