"""What a run makes of its generations: scores, their faults, scoring anew, and records that were made elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from harness.assess import assess, infos_of
from harness.errors import DataError, PluginError, RunError
from harness.finish import render_again
from harness.journal import Journal
from harness.loaded import load_metrics
from harness.recording import record_run
from harness.records import read_generations
from harness.registry import Registry
from harness.rewards import composite_from
from harness.run import score_run
from harness.store import Run, open_run, read_json
from harness.suite import Suite, parse_suite
from harness.types import Json, Spec, Whole

from .runs_for_tests import (
    SUITE,
    WITH_REWARD,
    Command,
    Probe,
    column,
    command_line,
    files,
    registry_with,
    run_into,
    suite_of,
    write_rows,
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_rows(tmp_path)
    return tmp_path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return command_line(monkeypatch, capsys)


# Scoring


def test_a_metric_that_raises_on_one_sample_costs_that_group_alone(place: Path) -> None:
    text = SUITE.replace("[bleu, length]", "[bleu, length, fussy]")
    run = run_into(place, Probe(), text).run
    status, reason, values = (column(run, f"fussy{part}") for part in (".status", ".reason", ""))
    assert {k for k, s in status.items() if s != "ok"} == {("s3", 0), ("s3", 1)}
    assert status["s3", 0] == "error"
    assert reason["s3", 1] == "fussy: ZeroDivisionError: cannot stand s3"
    texts = column(run, "completion")
    assert {k: v for k, v in values.items() if k[0] != "s3"} == {
        k: len(t) % 10 / 10 for k, t in texts.items() if k[0] != "s3"
    }
    whole = run_into(place, Probe(), out="without").run
    for name in ("bleu", "length", "bleu.status"):
        assert column(run, name) == column(whole, name)
    row = next(r for r in run.corpus if r.score == "fussy")
    assert row.n == 14


def test_its_reward_says_what_was_left_out(place: Path) -> None:
    run = run_into(place, Probe(), SUITE + WITH_REWARD).run
    totals, bleu, reasons = column(run, "reward"), column(run, "bleu"), column(run, "reward.reason")
    assert totals["s3", 0] == bleu["s3", 0] / 100  # of weight 1, now alone
    assert reasons["s3", 0] == "without fussy (error: fussy: ZeroDivisionError: cannot stand s3)"
    assert reasons["s4", 0] is None
    required = run_into(place, Probe(), SUITE + WITH_REWARD.replace(", required: false", ""), out="required").run
    assert [k for k, s in column(required, "reward.status").items() if s != "ok"] == [("s3", 0), ("s3", 1)]
    assert [v for k, v in column(required, "reward").items() if k[0] == "s3"] == [None, None]


def test_faults_of_a_metric_end_incomplete_and_abstentions_do_not(place: Path) -> None:
    outcome = run_into(place, Probe(), SUITE.replace("[bleu, length]", "[length, fussy]"))
    assert outcome.missing == ("fussy: 2 error",)
    rows = [{"id": "1", "prompt": "p"}]
    (place / "rows.jsonl").write_text(json.dumps(rows[0]) + "\n")
    bare = run_into(place, Probe(), out="bare")
    assert set(column(bare.run, "bleu.status").values()) == {"abstain"}
    assert set(column(bare.run, "bleu.reason").values()) == {"the sample has no references"}
    assert bare.missing == ()


@pytest.mark.parametrize(("samples", "interval"), [(1, False), (2, True)])
def test_an_interval_needs_two_samples(place: Path, samples: int, interval: bool) -> None:
    write_rows(place, samples)
    for row in run_into(place, Probe()).run.corpus:
        assert (row.value is not None, row.n) == (True, 2 * samples)
        assert (row.ci_low is not None) == (row.ci_high is not None) == interval


def test_scoring_anew_in_place_and_in_a_copy(place: Path, command: Command) -> None:
    (place / "suite.yaml").write_text(SUITE.replace("probe", "echo"))
    out, copy = place / "out", place / "copy"
    assert command("run", place / "suite.yaml", "--out", out)[0] == 0
    before = files(out)
    assert command("score", out, "--metric", "rouge", "--out", copy)[0] == 0
    assert files(out) == before
    scores = [n for n in open_run(copy).infos if not n.startswith("length")]
    assert scores == ["bleu", "rouge1", "rouge2", "rougeL", "rougeLsum"]
    assert copy.stat().st_mode & 0o077 == 0
    assert (copy / "journal.jsonl").read_bytes() == before["journal.jsonl"]
    assert command("score", out, "--metric", "rouge")[0] == 0
    assert files(out) == files(copy)
    (place / "rouge.yaml").write_text("{name: other, metrics: [rouge]}")
    assert command("score", out, "--suite", place / "rouge.yaml")[0] == 0
    assert not (out / "statistics.parquet").exists()  # rouge keeps none
    assert command("run", place / "suite.yaml", "--out", out)[0] == 0
    assert files(out) == before
    code, _, errors = command("score", out, "--metric", "length", "--out", copy)
    assert (code, "not empty" in errors) == (2, True)


def test_scoring_an_interrupted_run_says_what_it_lacks(place: Path) -> None:
    registry = registry_with(Probe())
    probe = Probe()
    probe.raises_at = "s3"
    with pytest.raises(PluginError):
        run_into(place, probe)
    there = len(Journal.open(place / "out").index)
    suite = suite_of(place, registry, SUITE + "reports: [csv, console]\n")
    outcome = score_run(place / "out", suite, registry)
    assert outcome.missing == (f"{8 - there} of 8 generations were never made",)
    run = open_run(place / "out")
    assert (run.manifest["state"], run.manifest["missing"]) == ("partial", list(outcome.missing))
    assert len(list(run.groups())) == there
    assert (place / "out" / "summary.csv").exists()
    assert len(render_again(run, [Spec("report", "csv"), Spec("report", "console")], registry)) == 2
    assert open_run(place / "out").manifest["state"] == "partial"
    with (place / "out" / "journal.jsonl").open("ab") as file:
        file.write(b'{"completions":["half')
    outcome = score_run(place / "out", suite_of(place, registry), registry)
    assert any("interrupted write" in m for m in outcome.missing)


def test_a_run_that_was_scored_too_early_is_not_finished_while_it_goes_on(place: Path) -> None:
    registry, probe = registry_with(Probe()), Probe()
    probe.raises_at = "s3"
    with pytest.raises(PluginError):
        run_into(place, probe)
    score_run(place / "out", suite_of(place, registry), registry)
    probe.raises_at = "s0"
    with pytest.raises(PluginError):
        run_into(place, probe)
    with pytest.raises(RunError, match="not finished"):
        open_run(place / "out")
    whole = files(run_into(place, Probe(), out="whole").run.folder)
    assert files(run_into(place, Probe()).run.folder) == whole


def test_the_manifest_says_what_is_missing(place: Path) -> None:
    probe = Probe()
    probe.fails_on = {"s5"}
    outcome = run_into(place, probe, SUITE.replace("[bleu, length]", "[length, fussy]"))
    manifest = open_run(place / "out").manifest
    assert (manifest["state"], manifest["missing"]) == ("complete", list(outcome.missing))
    assert manifest["missing"][0] == "2 completions have no text"
    assert run_into(place, Probe(), out="whole").run.manifest["missing"] == []


# What is read back


@pytest.fixture
def scored(place: Path) -> Run:
    """Two models of a task, one of which fails once; statistics, references that vary, a reward, a metric's fault."""
    probe = Probe()
    probe.fails_on = {"s5"}
    rows = [json.loads(line) for line in (place / "rows.jsonl").read_text().splitlines()]
    rows[6]["references"], rows[7]["references"] = [], ["a pub", "the river"]
    (place / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    text = SUITE.replace("[probe]", "[probe, echo]").replace("[bleu, length]", METRICS) + WITH_REWARD
    return open_run(run_into(place, probe, text).run.folder)


METRICS = "[{bleu: {lowercase: true}, as: quiet}, bleu, rouge, diversity]"


def test_scores_come_back_as_they_were_computed(scored: Run) -> None:
    registry = registry_with(Probe())
    suite = suite_of(scored.folder.parent, registry, SUITE.replace("[bleu, length]", METRICS) + WITH_REWARD)
    assert suite.reward_spec is not None
    metrics = load_metrics(suite.metric_specs(registry), registry)
    composite = composite_from(suite.reward_spec, infos_of(metrics, None))
    for table in [("t", "probe"), ("t", "echo")]:
        computed = assess(table, partial(scored.generations, [table]), metrics, composite, Whole()).scores
        found = scored.scores(*table)
        assert list(found) == list(computed) == list(scored.infos)
        for name, scores in computed.items():
            one = found[name]
            for a, b in ((one.values, scores.values), (one.status, scores.status)):
                np.testing.assert_array_equal(a, b)
                assert a.dtype == b.dtype
            np.testing.assert_array_equal(one.statistics, scores.statistics)
            assert (one.info, dict(one.reasons)) == (scores.info, dict(scores.reasons))
            assert (one.corpus, one.signature, one.corpus_signature) == (
                scores.corpus, scores.signature, scores.corpus_signature
            )  # fmt: skip
            assert scored.signatures[*table, name] == (scores.signature, scores.corpus_signature)
    failed = scored.scores("t", "probe")
    assert {s for name in failed for s in failed[name].status.tolist()} == {0, 1, 2, 3}
    assert failed["bleu"].statistics is not None
    assert failed["reward"].reasons[6].startswith("without fussy")


def test_a_metric_can_be_made_again_from_what_the_run_says_of_its_scores(scored: Run) -> None:
    """Without the suite: its corpus value from the statistics on disk."""
    registry = registry_with(Probe())
    said = {r["name"]: r for r in read_json(scored.folder / "scores.json", "scores")["scores"]}
    made_by = {name: (r["metric"], r["own_name"], r["options"]) for name, r in said.items()}
    assert made_by["quiet"] == ("bleu", "bleu", {"lowercase": True})
    assert made_by["rouge1"] == ("rouge", "rouge1", {})
    assert made_by["fussy"] == ("fussy", "fussy", {})
    assert made_by["reward"] == made_by["reward.bleu"] == (None, None, None)
    for name in ("quiet", "bleu"):
        plugin, own_name, options = made_by[name]
        metric: Any = registry.metric(registry.resolved(Spec("metric", plugin, options=options)))
        scores = scored.scores("t", "probe")[name]
        assert scores.statistics is not None
        sums = scores.statistics[np.isfinite(scores.statistics).all(axis=1)].sum(axis=0)[None, :]
        assert metric.corpus_from(own_name, sums).tolist() == [scores.corpus]


# Records that were made elsewhere

RECORDS: list[dict[str, Json]] = [
    {"id": "1", "prompt": "p", "references": ["r"], "completions": ["a", None], "model": "x",
     "ratings": [{"fluency": [4, None], "coherence": 2.5}, {}],
     "preferences": [{"better": 0, "worse": "reference", "rater": "ann", "tie": True}]},
    {"id": "1", "prompt": "p", "references": ["r"], "completions": ["r"], "model": "y"},
    {"id": "2", "completions": ["NA", "", "=1"], "model": "x", "metadata": {"k": [1]}, "language": "fr", "cluster": "c"},
]  # fmt: skip


def recorded(folder: Path, records: list[dict[str, Json]], source: str = "records") -> Suite:
    registry = registry_with(Probe())
    suite = parse_suite("name: records\nmetrics: [length]\n", registry=registry)
    found = read_generations([{"task": "t", "model": "m", **r} for r in records])
    record_run(folder, lambda: iter(found), suite, registry, {"name": source})
    return suite


def test_records_keep_all_they_say(tmp_path: Path) -> None:
    suite = recorded(tmp_path / "out", RECORDS)
    outcome = score_run(tmp_path / "out", suite, registry_with(Probe()))
    expected = read_generations([{"task": "t", **r} for r in RECORDS])
    by_key = {g.key: g for g in expected}
    assert {g.key: g for g in outcome.run.generations()} == by_key
    first = by_key["t", "1", "x"]
    assert first.completions[0].ratings == {"fluency": (4.0, None), "coherence": (2.5,)}
    assert first.preferences == (harness.Preference(0, "reference", "ann", True),)
    assert outcome.run.models == ["x", "y"]
    assert outcome.missing[0] == "1 completions have no text"  # that y was not asked for 2 is nobody's fault
    assert [g.generation.key for g in outcome.run.groups()] == [("t", "1", "x"), ("t", "2", "x"), ("t", "1", "y")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": "q"}, "prompt"),
        ({"references": ["other"]}, "references"),
        ({"metadata": {"k": [2]}}, "metadata"),
        ({"language": "fr", "cluster": "c"}, "language and cluster"),
    ],
)
def test_records_that_contradict_each_other_are_refused(tmp_path: Path, change: dict[str, Json], said: str) -> None:
    one: dict[str, Json] = {"id": "1", "prompt": "p", "metadata": {"k": [1]}, "completions": ["a"], "model": "x"}
    with pytest.raises(DataError, match=f"sample '1' of task 't' comes with different {said}: give"):
        recorded(tmp_path / "out", [one, {**one, "model": "y", **change}])
    assert not (tmp_path / "out").exists()


def test_records_whose_metadata_was_edited_are_scored_as_they_are_now(tmp_path: Path) -> None:
    """By whoever says of two sources that they are one."""
    recorded(tmp_path / "out", RECORDS)
    edited = [{**r, "metadata": {"k": [2]}} for r in RECORDS]
    recorded(tmp_path / "out", edited)
    recorded(tmp_path / "whole", edited)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_other_records_do_not_fit_into_the_folder(tmp_path: Path) -> None:
    recorded(tmp_path / "out", RECORDS)
    before = files(tmp_path / "out")
    recorded(tmp_path / "out", RECORDS)
    assert files(tmp_path / "out") == before
    with pytest.raises(RunError, match="holds completions of another run"):
        recorded(tmp_path / "out", RECORDS[:1])
    assert files(tmp_path / "out") == before


def test_records_whose_taking_in_was_interrupted_are_all_there_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records: list[dict[str, Json]] = [{"id": str(i), "completions": [f"text {i}"]} for i in range(150)]
    recorded(tmp_path / "whole", records)
    append = Journal.append
    monkeypatch.setattr(Journal, "append", lambda self, batch: append(self, batch) if not self.batches else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        recorded(tmp_path / "out", records)
    monkeypatch.undo()
    assert 0 < len(Journal.open(tmp_path / "out").index) < 150
    recorded(tmp_path / "out", records)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


# What a second scoring leaves


def test_a_report_that_the_suite_dropped_goes_and_a_file_of_the_users_stays(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    registry = Registry.load(allow=["csv", "html", "length"])
    suite = recorded(folder, RECORDS)
    both = replace(suite, reports=(Spec("report", "csv"), Spec("report", "html")))
    score_run(folder, both, registry)
    (folder / "notes.txt").write_text("mine")
    assert read_json(folder / "run.json", "run")["reports"] == ["report.html", "summary.csv"]
    score_run(folder, replace(suite, reports=(Spec("report", "csv"),)), registry)
    assert not (folder / "report.html").exists()
    assert (folder / "summary.csv").exists()
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_report_rendered_later_is_the_runs_too(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    registry = Registry.load(allow=["csv", "html", "length"])
    suite = recorded(folder, RECORDS)
    score_run(folder, suite, registry)
    render_again(Run(folder), [Spec("report", "html")], registry)
    assert read_json(folder / "run.json", "run")["reports"] == ["report.html"]
    assert read_json(folder / "run.json", "run")["state"] == "complete"
    score_run(folder, suite, registry)
    assert not (folder / "report.html").exists()
