"""Tables about a whole run: made after scores and rewards, written, read back, and lost alone."""

from __future__ import annotations

import csv
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import AnalysisTable, DataError, RunError, ScoreInfo
from harness.analyses import read_tables, write_tables
from harness.finish import score_and_report
from harness.registry import Entry, Registry
from harness.run import prepare, run_suite
from harness.types import Spec

from .metrics_for_tests import PLUGIN, metric_of
from .runs_for_tests import Probe, registry_with, suite_of, write_rows

REWARD = "reward: {terms: [{score: length, range: [0, 20]}]}\n"
SUITE = """
name: small
tasks: [{name: t, source: rows.jsonl, limit: 2}]
models: [probe]
generate: {n: 2, temperature: 1.0}
"""


def analyst(tables: Any) -> Any:
    """A metric with one score, 0.5, whose `analyse` gives what `tables(run)` does."""
    info = ScoreInfo("x")

    def answer(batch: Any) -> Any:
        from harness import scores_from

        return {"x": scores_from(info, "x", [0.5] * batch.size)}

    metric = metric_of(answer, info)
    metric.analyse = tables
    return metric


def registry_of(tables: Any) -> Registry:
    base = registry_with(Probe())
    entry = Entry("metric", "analyst", lambda: analyst(tables), ("x",), PLUGIN)
    return Registry([*base.plugins, PLUGIN], [*base.entries(), entry])


def run_with(place: Path, tables: Any, *, metrics: str = "[length, analyst]", reward: str = "") -> Any:
    write_rows(place)
    registry = registry_of(tables)
    suite = suite_of(place, registry, f"{SUITE}metrics: {metrics}\n{reward}")
    return suite, registry, run_suite(prepare(suite, registry), place / "out")


def test_it_sees_scores_rewards_and_generations_and_becomes_a_file(tmp_path: Path):
    def tables(run: Any) -> Any:
        rewards = [g.cells[0]["reward"].value for g in run.groups()]
        means = {row.score: row.value for row in run.corpus}
        return {"seen": AnalysisTable(("what", "value"), (("reward", rewards[0]), ("length", means["length"])))}

    _, _, outcome = run_with(tmp_path, tables, reward=REWARD)
    lines = (tmp_path / "out" / "tables" / "seen.csv").read_text().splitlines()
    assert lines[0] == "what,value"
    rewards = {row.score: row.value for row in outcome.run.corpus}
    assert outcome.run.analyses["seen"].rows[1] == ("length", rewards["length"])
    assert outcome.run.manifest["analysis_faults"] == {}


def test_under_an_alias_the_table_is_named_by_it(tmp_path: Path):
    table = AnalysisTable(("a",), ((1,),))
    _, _, outcome = run_with(tmp_path, lambda run: {"t1": table}, metrics="[analyst, {analyst: {}, as: other}]")
    assert sorted(outcome.run.analyses) == ["other.t1", "t1"]


def _no_data(run: Any) -> Any:
    raise DataError("no ratings there")


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        (lambda run: 1 / 0, "ZeroDivisionError"),
        (lambda run: [1], "not a mapping of names to tables"),
        (lambda run: {"t": [1]}, "not an AnalysisTable"),
        (lambda run: {"../t": AnalysisTable(("a",), ())}, "is no name"),
        (lambda run: {"t": AnalysisTable(("a", "b"), ((1,),))}, "a row of 1 cells under 2 columns"),
        (lambda run: {"t": AnalysisTable(("a",), ((math.nan,),))}, "holds NaN"),
        (lambda run: {"t": AnalysisTable(("a",), ((object(),),))}, "holds object"),  # type: ignore[arg-type]
        (lambda run: {"t": AnalysisTable(("a",), ((np.float32("nan"),),))}, "holds NaN"),  # type: ignore[arg-type]
        (lambda run: {"t": AnalysisTable(("a",), (("x" * 100_001,),))}, "a text of 100001 characters"),
        (lambda run: {"t": AnalysisTable(("a",), ((10**5000,),))}, "4300 digits"),
        (lambda run: {"t": AnalysisTable((), ())}, "none empty and no two alike"),
        (lambda run: {"t": AnalysisTable(("a", ""), ())}, "none empty and no two alike"),
        (lambda run: {"t": AnalysisTable(("a", "a"), ())}, "none empty and no two alike"),
        (lambda run: {"t": AnalysisTable((1,), ())}, "none empty and no two alike"),  # type: ignore[arg-type]
        (lambda run: {"t": AnalysisTable("ab", ())}, "none empty and no two alike"),  # type: ignore[arg-type]
        (lambda run: sys.exit("enough"), "SystemExit: enough"),
        (lambda run: run.cells("no", "such"), "AttributeError"),
        (_no_data, "no ratings there"),
    ],
)
def test_one_that_fails_costs_its_tables_and_nothing_else(tmp_path: Path, tables: Any, reason: str):
    _, _, outcome = run_with(tmp_path, tables)
    (missing,) = outcome.missing
    assert missing.startswith("the analysis of analyst: ")
    assert reason in missing
    assert outcome.run.analyses == {}
    assert {row.score: row.value for row in outcome.run.corpus}["x"] == 0.5


def test_two_metrics_cannot_give_one_table(tmp_path: Path):
    write_rows(tmp_path)
    base = registry_of(lambda run: {"t1": AnalysisTable(("a",), ((1,),))})
    twin = Entry("metric", "twin", lambda: analyst(lambda run: {"t1": AnalysisTable(("b",), ())}), ("x",), PLUGIN)
    registry = Registry([*base.plugins], [*base.entries(), twin])
    suite = suite_of(tmp_path, registry, SUITE + "metrics: [analyst, {twin: {}, as: y}]\n")
    assert sorted(run_suite(prepare(suite, registry), tmp_path / "out").run.analyses) == ["t1", "y.t1"]
    from harness.analyses import analysed
    from harness.loaded import LoadedMetric
    from harness.types import Memo

    metrics = [
        LoadedMetric(Spec("metric", n), analyst(lambda run: {"t1": AnalysisTable(("a",), ())}), {}, Memo())
        for n in "ab"
    ]
    tables, faults = analysed(None, metrics)  # type: ignore[arg-type]
    assert list(tables) == ["t1"]
    assert list(faults) == ["b"]


def test_tables_of_the_past_are_gone_after_the_next_scoring(tmp_path: Path):
    table = AnalysisTable(("a",), ((1,),))
    suite, registry, outcome = run_with(tmp_path, lambda run: {"t1": table})
    assert list(outcome.run.analyses) == ["t1"]
    bare = replace(suite, metrics=(Spec("metric", "length"),))
    assert score_and_report(tmp_path / "out", bare, registry, {}).run.analyses == {}
    assert not (tmp_path / "out" / "tables").exists()  # as in a run that never had any


def test_what_is_analysed_shows_no_table_of_the_past(tmp_path: Path):
    seen: list[Any] = []

    def tables(run: Any) -> Any:
        seen.append(dict(run.analyses))
        return {"t1": AnalysisTable(("a",), ((1,),))}

    suite, registry, _ = run_with(tmp_path, tables)
    assert list(score_and_report(tmp_path / "out", suite, registry, {}).run.analyses) == ["t1"]
    assert seen == [{}, {}]


def test_rows_may_be_made_one_by_one_of_numpys_numbers(tmp_path: Path):
    """NumPy writes its numbers as `np.float64(0.1)`, and what is gone through once is empty the second time."""

    def tables(run: Any) -> Any:
        rows = ((np.float64(x), np.int64(n), np.float32(0.5)) for n, x in enumerate([0.1, -2.5]))
        return {"t": AnalysisTable(("x", "n", "y"), rows)}  # type: ignore[arg-type]

    _, _, outcome = run_with(tmp_path, tables)
    assert outcome.missing == ()
    assert (tmp_path / "out" / "tables" / "t.csv").read_text() == "x,n,y\n0.1,0,0.5\n-2.5,1,0.5\n"
    assert outcome.run.analyses["t"].rows == ((0.1, 0, 0.5), (-2.5, 1, 0.5))


def test_names_of_columns_can_be_written(tmp_path: Path):
    _, _, outcome = run_with(tmp_path, lambda run: {"t": AnalysisTable(("a\ud800", "=b"), ((1, 2),))})
    assert outcome.run.analyses["t"].columns == ("a\ufffd", "=b")


def test_numbers_of_both_kinds_in_a_column_stay_numbers_and_the_text_nan_a_text(tmp_path: Path):
    table = AnalysisTable(("n", "name"), ((1, "nan"), (2.5, "nan"), (-3, None)))
    write_tables(tmp_path, {"t": table})
    back = read_tables(tmp_path)["t"]
    assert back == table
    assert [type(row[0]) for row in back.rows] == [int, float, int]


@pytest.mark.parametrize("text", ["", "a,b\n1\n", "a\n1,2\n", "a\n" + "x" * 200_000, "a\n\xff"])
def test_a_table_that_was_not_written_so_is_told(tmp_path: Path, text: str):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "t.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(RunError, match=r"t\.csv: damaged .*`harness score .*` makes it again"):
        read_tables(tmp_path)


def test_what_a_spreadsheet_might_run_is_no_formula_and_reads_back(tmp_path: Path):
    table = AnalysisTable(("name", "n", "x"), (("=1+1", 3, 0.1), ("-5", None, -2.0), ("", 4, None)))
    write_tables(tmp_path, {"t": table})
    with (tmp_path / "tables" / "t.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["'=1+1", "'-5", ""]
    ids = AnalysisTable(("sample", "x"), (("007", 1.0), ("7", 2)))
    write_tables(tmp_path, {"t": table, "ids": ids})
    assert read_tables(tmp_path)["ids"].rows[0][0] == "007"
    back = read_tables(tmp_path)["t"]
    assert back.rows == (("=1+1", 3, 0.1), ("-5", None, -2.0), (None, 4, None))


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(
    lambda t: (
        not t.strip("-").replace(".", "").replace("e", "").replace("inf", "").replace("nan", "").isdigit()
        and t not in ("inf", "nan", "-inf")
    )
)
columns = st.one_of(
    st.lists(st.none() | texts, min_size=3, max_size=3),
    st.lists(st.none() | st.integers(-(10**12), 10**12), min_size=3, max_size=3),
    st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
    st.lists(st.integers() | st.floats(allow_nan=False), min_size=3, max_size=3),
)


@given(st.lists(columns, min_size=1, max_size=4))
def test_every_table_reads_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, found: list[list[Any]]):
    place = tmp_path_factory.mktemp("t")
    rows = tuple(zip(*found, strict=True))
    table = AnalysisTable(tuple(f"c{i}" for i in range(len(found))), rows)
    write_tables(place, {"t": table})
    assert read_tables(place)["t"] == table
