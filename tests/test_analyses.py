"""Tables about a whole run: made after scores and rewards, written, read back, and lost alone."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import AnalysisTable, ScoreInfo
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
    assert not list((tmp_path / "out" / "tables").glob("*"))


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
)


@given(st.lists(columns, min_size=1, max_size=4))
def test_every_table_reads_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, found: list[list[Any]]):
    place = tmp_path_factory.mktemp("t")
    rows = tuple(zip(*found, strict=True))
    table = AnalysisTable(tuple(f"c{i}" for i in range(len(found))), rows)
    write_tables(place, {"t": table})
    assert read_tables(place)["t"] == table
