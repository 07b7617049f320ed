"""Tables about the whole run, in the console and on the page."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from fake_run import FakeRun, fake_run
from payloads import PAYLOADS
from rich.cells import cell_len
from rich.console import Console

from harness import AnalysisTable
from harness_reports.analyses import AGREEMENT, GAINS, agreements, gains, others
from harness_reports.console import console_report
from harness_reports.console_tables import MOST_ROWS
from harness_reports.html import HtmlReport

ROWS = (
    ("chat", "overall", "bleu", "pooled", "pearson", 0.1, 0.0, 0.2, 300),
    ("chat", "overall", "bleu", "pooled", "spearman", 0.25, 0.1, 0.4, 300),
    ("chat", "overall", "ter", "pooled", "spearman", -0.5, -0.6, -0.4, 300),
    ("chat", "overall", "bleu", "system", "spearman", None, None, None, 2),
    ("chat", "fluency", "bleu", "pooled", "spearman", 0.125, 0.0, 0.2, 298),
    ("chat", "fluency", "ter", "pooled", "spearman", None, None, None, 0),
    ("pairs", "preference", "bleu", "sample", "pairwise_accuracy", 0.625, 0.6, 0.7, 999),
    ("pairs", "preference", "bleu", "system", "pairwise_accuracy", 0.6, 0.6, 0.7, 999),
    ("pairs", "preference", "bleu", "sample", "ties_score", 0.01, None, None, 999),
)
CHOICES = (
    ("chat", "m", "bleu", "corpus", 10.0, 14.0, 4.0, 1.5, 6.0, 20),
    ("chat", "m", "ter", "corpus", 90.0, 80.0, -10.0, -15.0, -5.0, 20),
    ("chat", "m", "chrf", "corpus", 30.0, 31.0, 1.0, -1.0, 3.0, 20),
    ("chat", "m", "length", "segment", 30.0, 31.0, 1.0, None, None, 20),
    ("chat", "m", "reward.bleu", "segment", 0.1, 0.3, 0.2, 0.1, 0.3, 20),
    ("chat", "n", "bleu", "corpus", None, None, None, None, None, 0),
)
TABLES = {
    "selected": AnalysisTable(GAINS, CHOICES),
    "selection": AnalysisTable(("task", "sample", "selected"), (("chat", "s1", 0),)),
    "agreement": AnalysisTable(AGREEMENT, ROWS),
    "association": AnalysisTable(("occupation", "female", "share"), (("nurse", 3, 0.75), ("clerk", 0, None))),
    "long": AnalysisTable(("i",), tuple((i,) for i in range(MOST_ROWS + 1))),
}


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return replace(fake_run(tmp_path), analyses=TABLES)


def printed(run: FakeRun, width: int) -> list[str]:
    file = io.StringIO()
    shown = console_report()(run.as_run()).show
    Console(file=file, width=width, color_system=None, legacy_windows=False).print(shown)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def page(run: FakeRun) -> str:
    (path,) = HtmlReport()(run.as_run()).files
    return path.read_text(encoding="utf-8")


def test_agreement_is_turned_so_that_dimensions_stand_side_by_side(run: FakeRun) -> None:
    pooled, sample = agreements(run.as_run())  # the level without a value is not shown
    assert (pooled.task, pooled.level, pooled.coefficient, pooled.n) == ("chat", "pooled", "spearman", (298, 300))
    assert (pooled.scores, pooled.dimensions) == (("bleu", "ter"), ("overall", "fluency"))
    assert pooled.values == {("bleu", "overall"): 0.25, ("ter", "overall"): -0.5, ("bleu", "fluency"): 0.125}
    assert (sample.coefficient, sample.values) == ("pairwise_accuracy", {("bleu", "preference"): 0.625})
    assert [name for name, _ in others(run.as_run())] == ["selection", "association", "long"]


def test_what_a_choice_changes_for_certain_is_shown_and_no_more(run: FakeRun) -> None:
    one, other = gains(run.as_run())
    assert [row.score for row in one.rows] == ["bleu", "ter"]
    assert (other.model, other.rows) == ("n", ())
    lines = printed(run, 80)
    assert ["bleu", "corpus", "10.000", "14.000", "4.000", "[1.500,", "6.000]", "20"] in [
        line.split() for line in lines
    ]
    assert "no score for certain" in lines
    assert "selection: 1 rows in tables/selection.csv" in lines
    assert "+4.000" in page(run)


def test_each_of_several_agreement_tables_has_its_own_name_and_file(run: FakeRun) -> None:
    run = replace(run, analyses={"agreement": TABLES["agreement"], "crowd.agreement": TABLES["agreement"]})
    assert [found.title.split(":")[0] for found in agreements(run.as_run())] == [
        "Agreement with people, chat",
        "Agreement with people, pairs",
        "Agreement with people, chat (crowd)",
        "Agreement with people, pairs (crowd)",
    ]
    lines = printed(run, 160)
    assert "All coefficients with their intervals: tables/agreement.csv" in lines
    assert any(line.startswith("Of a score marked ↓") for line in lines)
    assert any(line.split()[:2] == ["self_bleu", "↓"] for line in lines)
    assert "All coefficients with their intervals: tables/crowd.agreement.csv" in lines
    assert not any("tables/agreement.csv" in line for line in printed(replace(run, analyses={}), 160))


def test_an_agreement_table_without_rows_is_said_to_be_one(run: FakeRun) -> None:
    run = replace(run, analyses={"crowd.agreement": AnalysisTable(AGREEMENT, ())})
    (said,) = (line for line in printed(run, 160) if line.startswith("Agreement with people"))
    assert said.startswith("Agreement with people, tables/crowd.agreement.csv: none, for no completion has both")


@pytest.mark.parametrize("width", [60, 80])
def test_of_many_dimensions_every_number_is_whole(run: FakeRun, width: int) -> None:
    many = tuple(
        ("chat", f"dimension{i}", "bleu", "pooled", "spearman", -0.1 - i / 1000, None, None, 300) for i in range(20)
    )
    lines = printed(replace(run, analyses={"agreement": AnalysisTable(AGREEMENT, many)}), width)
    assert max(map(cell_len, lines)) <= width
    found = [cell for line in lines if line.startswith("bleu ") for cell in line.split() if cell.startswith("-0.1")]
    assert found == [f"-{0.1 + i / 1000:.3f}" for i in range(20)]


def test_the_console_prints_it_and_names_the_file_of_what_is_long(run: FakeRun) -> None:
    lines = printed(run, 80)
    title = next(i for i, line in enumerate(lines) if line.startswith("Agreement with people, chat"))
    rows = [line.split() for line in lines[title + 2 : title + 7]]  # at this width the title takes two lines
    assert rows[0] == ["overall", "fluency"]
    assert rows[2:4] == [["bleu", "0.250", "0.125"], ["ter", "-0.500", "–"]]
    assert ["clerk", "0", "–"] in [line.split() for line in lines]
    assert f"long: {MOST_ROWS + 1} rows in tables/long.csv" in lines


@pytest.mark.parametrize("width", [60, 80, 160])
def test_no_line_is_wider_than_the_terminal(run: FakeRun, width: int) -> None:
    assert max(map(cell_len, printed(run, width))) <= width


def test_the_page_marks_the_strongest_of_each_dimension(run: FakeRun) -> None:
    text = page(run)
    rows = re.findall(
        r"<tr><th scope=\"row\"><bdi>(bleu|ter)</bdi></th>(<td class=\"number(?: best)?\">[^<]*</td>.*?)</tr>", text
    )
    assert ("ter", '<td class="number best">-0.500</td><td class="number">–</td>') in rows
    assert ("bleu", '<td class="number">0.250</td><td class="number best">0.125</td>') in rows
    assert '<td class="number" dir="auto">0.7500</td>' in text


def test_a_task_that_all_rows_share_stands_in_the_heading(run: FakeRun) -> None:
    table = AnalysisTable(("task", "model", "kind", "n"), (("t", "m", "x", 1), ("t", "m", "y", 2)))
    lines = printed(replace(run, analyses={"kinds": table}), 80)
    heading = lines.index("kinds, t, m")
    assert lines[heading + 1].split() == ["kind", "n"]
    assert lines[heading + 3].split() == ["x", "1"]


def test_a_failed_analysis_is_said(run: FakeRun) -> None:
    run = replace(run, manifest={**run.manifest, "analysis_faults": {"human": "human: ValueError: \x1b[31mno"}})
    assert "human could not analyse the run: human: ValueError: \\x1b[31mno" in printed(run, 160)
    assert "could not analyse the run" in page(run)


@pytest.mark.parametrize("hostile", [*PAYLOADS, "\x1b[31mred", "\u202egnp", "[/]", "a\rb"])
def test_names_and_cells_are_text(run: FakeRun, hostile: str) -> None:
    rows = ((hostile, hostile, hostile, "pooled", "spearman", 0.5, None, None, 3),)
    tables = {"agreement": AnalysisTable(AGREEMENT, rows), "t": AnalysisTable((hostile,), ((hostile,),))}
    tables["selected"] = AnalysisTable(GAINS, ((hostile, hostile, hostile, hostile, 1.0, 2.0, 1.0, 0.5, 2.0, 3),))
    hostile_run, plain_run = replace(run, analyses=tables), replace(run, analyses={})
    assert not any(c in "".join(printed(hostile_run, 160)) for c in "\x1b\x07\r\u202e")
    count = len(re.findall(r"<(script|img|iframe|svg|a |style|base|form|object|link)", page(plain_run)))
    found = page(hostile_run)
    assert (
        len(re.findall(r"<(script|img|iframe|svg|a |style|base|form|object|link)", found)) == count + 3
    )  # the links to them
