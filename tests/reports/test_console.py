"""The console report at different widths, with long names and hostile texts."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from fake_run import FakeRun, fake_run, groups, manifest, no
from rich.cells import cell_len
from rich.console import Console

from harness import CorpusRow
from harness.display import visible
from harness.types import ScoreInfo
from harness_reports.console import console_report

LONG = "hf:/srv/models/organisation/a-very-long-model-name-with-checkpoint-000123/step-42"


def printed(run: FakeRun, width: int) -> list[str]:
    rendered = console_report()(run.as_run())
    assert rendered.files == ()
    file = io.StringIO()
    Console(file=file, width=width, color_system=None, legacy_windows=False).print(rendered.show)
    return file.getvalue().splitlines()


def line_of(lines: list[str], name: str) -> str:
    return next(line for line in lines if line.split()[:1] == [name])


def test_values_stand_beside_their_scores_with_interval_level_and_count(tmp_path: Path) -> None:
    lines = printed(fake_run(tmp_path), 80)
    rows = {row.score: row for row in fake_run(tmp_path).corpus}
    bleu = rows["bleu"]
    assert line_of(lines, "bleu").split() == [
        "bleu", "corpus", f"{bleu.value:.2f}", f"[{bleu.ci_low:.2f},", f"{bleu.ci_high:.2f}]",
    ]  # fmt: skip
    assert line_of(lines, "rougeL").split()[1:3] == ["mean", f"{rows['rougeL'].value:.3f}"]
    assert line_of(lines, "sentiment").endswith("n=52")
    assert "n=" not in line_of(lines, "rouge1")
    assert line_of(lines, "self_bleu").split() == ["self_bleu", "↓", "corpus", "31.50"]


def test_the_reward_stands_apart_with_its_weighted_terms(tmp_path: Path) -> None:
    lines = [line.rstrip() for line in printed(fake_run(tmp_path), 80)]
    reward = lines.index(next(line for line in lines if line.startswith("reward")))
    assert lines[reward - 1] == ""
    assert [line.split()[:2] for line in lines[reward + 1 : reward + 4]] == [
        ["overlap", "×0.5"],
        ["sentiment", "×0.3"],
        ["diversity", "×0.2"],
    ]


def test_what_has_no_value_is_counted_with_its_reason(tmp_path: Path) -> None:
    text = "\n".join(printed(fake_run(tmp_path), 160))
    assert "sentiment  12 abstain  the language 'lt' is not among those VADER knows (en)" in text
    assert "chrf       1 timeout   took longer than 30 s" in text
    assert "12 rewards were made without an optional term" in text
    assert "plugin toxicity is broken: ModuleNotFoundError: No module named 'detoxify'" in text


def test_different_reasons_are_counted_apart(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    stored = list(run.stored)
    cells = ({**stored[0].cells[0], "bleu": no("error", "it broke")},) * 3
    stored[0] = replace(stored[0], cells=(*cells, {**cells[0], "bleu": no("abstain", None)}))
    text = "\n".join(printed(replace(run, stored=stored, manifest=manifest(stored)), 160))
    assert "1 abstain, 3 error" in text
    assert "3× it broke; 1× abstain" in text


def test_groups_are_read_only_where_something_has_no_value(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    printed(run, 80)
    assert run.passes == 1
    fine = replace(run, manifest={**run.manifest, "statuses": {"bleu": {"ok": 64, "abstain": 0}}}, passes=0)
    assert not any("Without a value" in line for line in printed(fine, 80))
    assert fine.passes == 0


@pytest.mark.parametrize("width", [40, 60, 80, 160])
@pytest.mark.parametrize(
    "models", [["m"], ["a", LONG], ["a", "b", LONG], [f"openai:m-{i}@http://localhost:80{i}0/v1" for i in range(6)]]
)
def test_no_line_is_wider_than_the_terminal_and_no_value_is_cut(tmp_path: Path, models: list[str], width: int) -> None:
    run = fake_run(tmp_path, models)
    lines = printed(run, width)
    assert max(map(cell_len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text
    for row in run.corpus:
        if row.score == "bleu":
            assert f"{row.value:.2f}" in text
            interval = f"[{row.ci_low:.2f}, {row.ci_high:.2f}]"
            assert interval in text or not any("[" in line for line in lines if line.startswith("bleu"))


def test_all_models_share_a_table_where_two_lines_a_row_allow_it(tmp_path: Path) -> None:
    models = [f"model-{i}" for i in range(6)]
    assert sum(line.startswith("restaurants ") for line in printed(fake_run(tmp_path, models), 160)) == 1
    assert sum(line.startswith("restaurants ") for line in printed(fake_run(tmp_path, models), 60)) > 1


def test_values_alone_stand_side_by_side_where_intervals_leave_no_room(tmp_path: Path) -> None:
    run = fake_run(tmp_path, [f"model-{i}" for i in range(5)])
    lines = printed(run, 80)
    assert sum(line.startswith("restaurants ") for line in lines) == 1
    bleu = [f"{row.value:.2f}" for row in run.corpus if row.score == "bleu"]
    assert line_of(lines, "bleu").split()[2:] == bleu
    assert "of every value in corpus.csv" in " ".join(lines)


def test_a_score_that_no_completion_has_is_said_once(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    rows = tuple(replace(row, value=None, n=0) if row.score == "chrf" else row for row in run.corpus)
    lines = printed(replace(run, corpus=rows), 80)
    assert sum(line.split()[:1] == ["chrf"] for line in lines) == 1


HOSTILE = [
    "[bold red]x[/bold red]", "[/]", "[link=http://evil]x[/link]", "\x1b[31mred", "\x1b]0;title\x07", "a\rb",
    "::error ::x", "##[error]x", "\u202egnp", "x\\[b]", "\\", "\udc80",
]  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_and_reasons_are_shown_and_do_nothing(tmp_path: Path, hostile: str) -> None:
    stored = groups([hostile], 1, 1)
    cells = {**stored[0].cells[0], hostile: no("error", hostile)}
    stored = [replace(stored[0], cells=(cells,))]
    row = CorpusRow("restaurants", hostile, hostile, 0.25, None, None, 1, hostile)
    run = FakeRun(tmp_path, manifest(stored, hostile), {hostile: ScoreInfo(hostile)}, (row,), stored)
    shown = "\n".join(printed(run, 160))
    assert shown.encode("utf-8")
    assert not any(c in shown for c in "\x1b\x07\r\u202e")
    assert not any(line.lstrip().startswith(("::", "##[")) for line in shown.splitlines())
    assert shown.count(visible(hostile)) >= 3  # suite, model, reason; a long score is folded
    assert "0.250" in shown
    styled = io.StringIO()
    rendered = console_report()(run.as_run())
    Console(file=styled, width=160, color_system="truecolor", force_terminal=True).print(rendered.show)
    assert set(re.findall(r"\x1b\[[0-9;]*m", styled.getvalue())) <= {f"\x1b[{n}m" for n in ("0", "1", "2", "33")}
    assert "\x1b]" not in styled.getvalue()


def test_an_unfinished_run_says_so(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, {"name": "x", "state": "generated", "counts": {"samples": 2}}, {}, ())
    assert printed(run, 80)[0].split() == ["x", "2", "samples,", "state:", "generated"]
    scored = FakeRun(tmp_path, {"name": "x", "state": "scored"}, {}, ())
    assert "state" not in "".join(printed(scored, 80))


def test_completions_without_text_are_counted(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, {"name": "x", "counts": {"without_text": 7}}, {}, ())
    assert "7 completions have no text: the model failed." in "\n".join(printed(run, 80))


FAULT = {
    "task": "restaurants",
    "model": "m",
    "score": "self_bleu",
    "reason": "self_bleu: ZeroDivisionError: \x1b[31mno",
}


def test_a_corpus_value_that_could_not_be_made_is_said(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    run = replace(run, manifest={**run.manifest, "corpus_faults": [FAULT]})
    text = " ".join(" ".join(printed(run, 160)).split())
    assert "self_bleu of restaurants by m: no corpus value: self_bleu: ZeroDivisionError: \\x1b[31mno" in text


def test_rewards_that_a_guard_made_zero_are_counted(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    run = replace(run, manifest={**run.manifest, "guarded": {"length": 3}})
    lines = [line.rstrip() for line in printed(run, 80)]
    assert lines[lines.index("3 rewards are 0 because the guard of length failed.") - 1] == ""


def test_a_reward_without_value_names_the_scores_that_lack_it(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    stored = list(run.stored)
    reasons = [
        "sentiment (abstain: a word (in Latin)); rougeL (error: broke; twice)",
        "rougeL (error: other)",
        "rougeL (error: third)",
    ]
    cells = tuple({**c, "reward": no("error", reason)} for c, reason in zip(stored[0].cells, reasons, strict=False))
    stored[0] = replace(stored[0], cells=(*cells, *stored[0].cells[len(cells) :]))
    text = " ".join(" ".join(printed(replace(run, stored=stored, manifest=manifest(stored)), 160)).split())
    assert "2× without rougeL; 1× without sentiment and rougeL" in text
