"""`summary.csv`: one row per task and model, exact numbers, safe cells."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from fake_run import FakeRun, fake_run

from harness import CorpusRow
from harness.csvsafe import plain_cell
from harness.types import ScoreInfo
from harness_reports import csv as report


def read(run: FakeRun) -> list[dict[str, str]]:
    (path,) = report.csv_report()(run.as_run()).files
    assert path == run.folder / "summary.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_a_row_per_task_and_model_with_value_and_interval(tmp_path: Path) -> None:
    run = fake_run(tmp_path, ["one", "two"], samples=4, completions=2)
    rows = read(run)
    assert [(row["task"], row["model"], row["completions"]) for row in rows] == [
        ("restaurants", "one", "8"),
        ("restaurants", "two", "8"),
    ]
    assert list(rows[0])[:6] == ["task", "model", "completions", "bleu", "bleu.ci_low", "bleu.ci_high"]
    assert list(rows[0])[-3:] == ["reward.diversity", "reward.diversity.ci_low", "reward.diversity.ci_high"]
    for row in run.corpus:
        written = rows[["one", "two"].index(row.model)]
        for part, value in (("", row.value), (".ci_low", row.ci_low), (".ci_high", row.ci_high)):
            assert written[row.score + part] == ("" if value is None else repr(value))


def test_names_from_data_cannot_become_formulas_or_rows(tmp_path: Path) -> None:
    task, model, score = "=cmd|' /C calc'!A0", "m\r=1+1", "@sum"
    corpus = (CorpusRow(task, model, score, -0.5, None, None, 1, "s"),)
    (row,) = read(FakeRun(tmp_path, {}, {score: ScoreInfo(score, -1)}, corpus))
    assert row["task"] == "'" + task
    assert plain_cell(row["model"]) == model
    assert row["'@sum"] == "-0.5"


def test_a_run_without_scores_has_a_header_and_its_models(tmp_path: Path) -> None:
    run = fake_run(tmp_path, ["one"], samples=1)
    rows = read(replace(run, corpus=(), infos={}, manifest={**run.manifest, "reward": None}))
    assert rows == [{"task": "restaurants", "model": "one", "completions": "4"}]


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    read(run)
    first = (tmp_path / "summary.csv").read_bytes()
    read(fake_run(tmp_path))
    assert (tmp_path / "summary.csv").read_bytes() == first


def test_a_lone_surrogate_does_not_stop_the_report(tmp_path: Path) -> None:
    corpus = (CorpusRow("t", "m\udc80", "bleu", 1.0, None, None, 1, "s"),)
    (row,) = read(FakeRun(tmp_path, {}, {}, corpus))
    assert row["model"] == "m\\udc80"
