"""Choosing among candidates: by the reward and by minimum Bayes risk, against plain loops over the exports."""

from __future__ import annotations

import csv
import json
import math
import random
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF

import harness
from harness.errors import SuiteError
from harness.finish import Outcome
from harness.loaded import load_metrics
from harness.registry import Entry, Registry
from harness.run import prepare, run_suite, score_run
from harness.selection import Pick, pick, utility_of
from harness.store import Run
from harness.suite import ChoiceSpec, RewardSpec, Suite, TermSpec, parse_suite
from harness.types import (
    AnalysisTable,
    Batch,
    Completion,
    Request,
    ScoreInfo,
    Scores,
    Settings,
    Spec,
)

from .commands import inside, lines, workplace
from .metrics_for_tests import metric_of, registry_of, values_metric
from .runs_for_tests import OURS, Refusing
from .test_mbr import shaky

REFERENCES = frozenset({"references"})
WORDS = "the a cat dog sat ran on under mat hat".split()
SUITE = """
name: choosing
tasks: [{name: t, source: rows.jsonl, language: en}]
models: [say]
generate: {n: 5, temperature: 1.0, seed: 3, CHOICE}
metrics: [bleu, length]
reward: {terms: [{score: rougeL, weight: 2}, {score: length, range: [0, 8]}]}
"""
BEST, MBR = "strategy: best_of", "strategy: mbr, utility: chrf"


class Say:
    """A model that makes short texts of few words, equal ones and empty ones among them, and now and then fails."""

    name = "say"
    fingerprint = "say:1"

    def generate(self, requests: Sequence[Request], settings: Settings) -> Iterator[tuple[int, tuple[Completion, ...]]]:
        for index, request in enumerate(requests):
            yield index, tuple(map(self._answer, request.seeds))

    def _answer(self, seed: int) -> Completion:
        dice = random.Random(seed)
        if dice.random() < 0.1:
            return Completion(None, "timeout", "too slow")
        if dice.random() < 0.3:
            return Completion("the cat sat on a mat")
        return Completion(" ".join(dice.choices(WORDS, k=dice.randrange(7))))


def far() -> Any:
    """How many words more or fewer than the reference: lower is better."""

    def value(batch: Batch) -> list[Any]:
        return [
            float(abs(len((c.text or "").split()) - len(g.sample.references[0].split())))
            for g in batch.generations
            for c in g.completions
        ]

    return values_metric(value, low=0, high=math.inf, higher_is_better=False, needs=REFERENCES)


def registry_for(model: object = None, **metrics: Any) -> Registry:
    base = Registry.load(allow=("bleu", "chrf", "diversity", "files", "length", "rouge"))
    said = Entry("model", "say", lambda rest: model or Say(), (), OURS)
    extra = [Entry("metric", n, f, tuple(i.name for i in f().infos), OURS) for n, f in metrics.items()]
    return Registry([*base.plugins, OURS], [*base.entries(), said, *extra])


def run_with(
    place: Path, choice: str, *, suite: str = SUITE, count: int = 30, model: object = None, **metrics: Any
) -> Outcome:
    rows = [
        {"id": f"{i:03}", "prompt": f"p{i}", "references": [f"the cat sat on the {WORDS[i % 10]}"], "home": f"c{i % 7}"}
        for i in range(count)
    ]
    (place / "rows.jsonl").write_text(lines(rows))
    registry = registry_for(model, **metrics)
    parsed = parse_suite(suite.replace("CHOICE", choice), folder=place, registry=registry)
    return run_suite(prepare(parsed, registry), place / "out")


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def groups(folder: Path) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for row in table(folder, "segments"):
        found.setdefault(row["sample"], []).append(row)
    return found


def cell(value: float | None) -> str:
    return "" if value is None else repr(value)


# Picking

PICKS = [
    ([0.1, 0.3, 0.2], True, Pick(1, 0.3, 0.2, 0.3 - 0.2, pytest.approx(0.2))),
    ([0.1, 0.3, 0.2], False, Pick(0, 0.1, 0.2, 0.1, pytest.approx(0.2))),
    ([0.5, 0.5], True, Pick(0, 0.5, 0.5, 0.0, 0.5)),
    ([0.0, 0.5, 0.5], True, Pick(1, 0.5, 0.5, 0.0, 1 / 3)),
    ([0.5, 0.0, 0.0], False, Pick(1, 0.0, 0.0, 0.0, 0.5 / 3)),
    ([None, -1.0, None, -3.0], True, Pick(1, -1.0, -3.0, 2.0, -2.0)),
    ([None, 2.0], True, Pick(1, 2.0, None, None, 2.0)),
    ([None, None], True, Pick(None)),
    ([], False, Pick(None)),
    ([0.0, -0.0], True, Pick(0, 0.0, 0.0, 0.0, 0.0)),
]


@pytest.mark.parametrize(("values", "higher", "expected"), PICKS)
def test_picks(values: list[float | None], higher: bool, expected: Pick):
    assert pick(values, higher_is_better=higher) == expected


@given(st.lists(st.none() | st.sampled_from([0.0, 0.25, 1.0, -2.0, 1e300]), max_size=8), st.booleans())
def test_a_pick_is_the_first_that_none_beats(values: list[float | None], higher: bool):
    found = pick(values, higher_is_better=higher)
    there = [v for v in values if v is not None]
    if not there:
        assert found == Pick(None)
        return
    best = max(there) if higher else min(there)
    assert (found.value, found.index) == (best, values.index(best))
    assert found.margin is None if len(there) == 1 else found.margin is not None and found.margin >= 0


# By the reward


def test_best_of_takes_the_highest_reward_of_each_group(tmp_path: Path):
    outcome = run_with(tmp_path, BEST)
    rows = {row["sample"]: row for row in table(tmp_path / "out" / "tables", "selection")}
    found = groups(tmp_path / "out")
    assert list(rows) == list(found)  # one row each, in the order of the samples
    assert not (tmp_path / "out" / "tables" / "utility.csv").exists()
    seen = Counter[str]()
    for sample, completions in found.items():
        rewards = [float(c["reward"]) if c["reward"] else None for c in completions]
        there = sorted((v for v in rewards if v is not None), reverse=True)
        best = rewards.index(there[0])
        assert rows[sample]["selected"] == str(best)
        assert rows[sample]["value"] == cell(there[0])
        assert rows[sample]["runner_up"] == cell(there[1])
        assert float(rows[sample]["margin"]) == there[0] - there[1]
        assert float(rows[sample]["mean"]) == pytest.approx(math.fsum(there) / len(there), abs=1e-15)
        assert (rows[sample]["strategy"], rows[sample]["candidates"]) == ("best_of", "5")
        lost = [c for c in completions if not c["reward"]]
        assert bool(rows[sample]["reason"]) == bool(lost)
        seen.update({"tied": there[0] == there[1], "lost": bool(lost), "later": best > 0})
    assert min(seen.values()) > 2, "the data has every kind of group"
    assert outcome.run.manifest["choice"] == {"strategy": "best_of"}


def test_a_group_whose_rewards_are_all_missing_has_no_choice_but_a_reason(tmp_path: Path):
    def fails_on(batch: Batch) -> list[Any]:
        return [None if g.sample.id == "001" else 0.5 for g in batch.generations for _ in g.completions]

    suite = SUITE.replace("score: rougeL", "score: x")
    run_with(tmp_path, BEST, suite=suite, count=3, x=lambda: values_metric(fails_on))
    rows = {row["sample"]: row for row in table(tmp_path / "out" / "tables", "selection")}
    assert [rows["001"][c] for c in ("selected", "value", "runner_up", "margin", "mean")] == [""] * 5
    assert rows["001"]["reason"].startswith("no candidate has a value: x (abstain: the metric gave no value)")
    assert rows["000"]["selected"]
    (gain,) = (r for r in table(tmp_path / "out" / "tables", "selected") if r["score"] == "reward")
    assert gain["n"] == "2"


# By minimum Bayes risk


def test_mbr_with_chrf_equals_a_double_loop_by_sacrebleu(tmp_path: Path):
    outcome = run_with(tmp_path, MBR)
    chrf = CHRF()
    told = {(r["sample"], int(r["completion_index"])): r["utility"] for r in table(tmp_path / "out/tables", "utility")}
    rows = {row["sample"]: row for row in table(tmp_path / "out" / "tables", "selection")}
    found = groups(tmp_path / "out")
    seen = Counter[str]()
    for sample, completions in found.items():
        texts = [c["completion"] if c["completion.status"] == "ok" else None for c in completions]
        expected: list[float | None] = []
        for i, own in enumerate(texts):
            others = [t for j, t in enumerate(texts) if j != i and t is not None]
            scores = [] if own is None else [chrf.sentence_score(own, [other]).score for other in others]
            expected.append(math.fsum(scores) / len(scores) if scores else None)
        assert [told[sample, i] for i in range(5)] == list(map(cell, expected))
        there = sorted((v for v in expected if v is not None), reverse=True)
        assert rows[sample]["selected"] == str(expected.index(there[0]))
        assert rows[sample]["value"] == cell(there[0])
        assert float(rows[sample]["margin"]) == there[0] - there[1]
        seen.update({"equal": len(set(texts)) < 5, "empty": "" in texts, "failed": None in texts})
    assert min(seen.values()) > 2, "the data has every kind of group"
    made = outcome.run.manifest["choice"]["utility"]
    assert (made["name"], made["metric"], made["higher_is_better"]) == ("chrf", "chrf", True)
    signature = "chrf|case:mixed|eff:yes|nc:6|nw:0|space:no|beta:2|nrefs:1"
    assert made["signatures"] == [{"task": "t", "segment": signature}]
    assert "chrf" not in outcome.run.infos  # what only chooses is no score of the run


def test_lower_is_better(tmp_path: Path):
    run_with(tmp_path, "strategy: mbr, utility: x", x=far)
    rows = {row["sample"]: row for row in table(tmp_path / "out" / "tables", "selection")}
    told: dict[str, list[float | None]] = {}
    for row in table(tmp_path / "out" / "tables", "utility"):
        told.setdefault(row["sample"], []).append(float(row["utility"]) if row["utility"] else None)
    for sample, values in told.items():
        there = sorted(v for v in values if v is not None)
        assert rows[sample]["selected"] == str(values.index(there[0]))
        assert float(rows[sample]["margin"]) == there[1] - there[0] >= 0
    assert any(values.index(min(v for v in values if v is not None)) for values in told.values())


def test_a_failing_utility_makes_the_run_incomplete(tmp_path: Path):
    metric = metric_of(shaky, ScoreInfo("x", needs=REFERENCES))
    bad = type("Bad", (Say,), {"_answer": lambda self, seed: Completion("bad" if seed % 3 else "good")})
    outcome = run_with(tmp_path, "strategy: mbr, utility: x", model=bad(), x=lambda: metric)
    (line,) = outcome.missing
    assert line.startswith("the utility x: ")
    assert line.endswith(" error")
    assert outcome.run.manifest["missing"] == [line]


# What it gains


def chosen_texts(folder: Path) -> tuple[list[str], list[str]]:
    selected = {row["sample"]: int(row["selected"]) for row in table(folder / "tables", "selection")}
    return list(selected), [groups(folder)[sample][index]["completion"] for sample, index in selected.items()]


def test_corpus_bleu_of_the_chosen_is_sacrebleus(tmp_path: Path):
    outcome = run_with(tmp_path, BEST)
    samples, texts = chosen_texts(tmp_path / "out")
    references = [f"the cat sat on the {WORDS[int(s) % 10]}" for s in samples]
    rows = {(r["score"], r["level"]): r for r in table(tmp_path / "out" / "tables", "selected")}
    bleu = rows["bleu", "corpus"]
    assert float(bleu["selected"]) == pytest.approx(BLEU().corpus_score(texts, [references]).score, abs=1e-9)
    corpus = {row.score: row for row in outcome.run.corpus}
    assert float(bleu["all"]) == corpus["bleu"].value
    assert float(bleu["difference"]) == float(bleu["selected"]) - float(bleu["all"])
    assert float(bleu["ci_low"]) < float(bleu["difference"]) < float(bleu["ci_high"])
    assert bleu["n"] == "30"
    sentence = BLEU(effective_order=True)
    means = [sentence.sentence_score(t, [r]).score for t, r in zip(texts, references, strict=True)]
    assert float(rows["bleu", "segment"]["selected"]) == pytest.approx(math.fsum(means) / 30, abs=1e-9)
    levels = {score: [lv for s, lv in rows if s == score] for score, _ in rows}
    assert levels["bleu"] == ["segment", "corpus"]
    assert {s for s in levels if levels[s] == ["segment"]} >= {"length", "rougeL", "reward", "reward.length"}
    assert float(rows["reward", "segment"]["all"]) == corpus["reward"].value
    assert float(rows["reward", "segment"]["difference"]) > 0


def test_only_groups_whose_chosen_completion_has_the_score_are_compared(tmp_path: Path):
    def rare(batch: Batch) -> list[Any]:
        return [
            None if (words := len((c.text or "").split())) > (5 if int(g.sample.id) % 2 else 9) else float(words)
            for g in batch.generations
            for c in g.completions
        ]

    suite = SUITE.replace("[bleu, length]", "[x, diversity, length]")
    run_with(tmp_path, BEST, suite=suite, x=lambda: values_metric(rare, low=0, high=9))
    rows = {(r["score"], r["level"]): r for r in table(tmp_path / "out" / "tables", "selected")}
    selected = {row["sample"]: row["selected"] for row in table(tmp_path / "out" / "tables", "selection")}
    found = {s: g for s, g in groups(tmp_path / "out").items() if g[int(selected[s])]["x"]}
    everyone = [float(c["x"]) for g in found.values() for c in g if c["x"]]
    assert rows["x", "segment"]["n"] == str(len(found))
    assert 15 <= len(found) < 25  # of some odd ones a short text has a value, but not the chosen, long one
    assert float(rows["x", "segment"]["all"]) == pytest.approx(math.fsum(everyone) / len(everyone), abs=1e-15)
    assert not any(score.startswith("distinct") for score, _ in rows)  # of the whole corpus: no rows make it
    assert ("diversity", "segment") in rows


def test_the_interval_draws_clusters_with_both_their_sides(tmp_path: Path):
    """Against a plain loop."""
    suite = SUITE.replace("language: en", "fields: {id: id, prompt: prompt, references: references, cluster: home}")
    run_with(tmp_path, BEST, suite=suite)
    rows = {(r["score"], r["level"]): r for r in table(tmp_path / "out" / "tables", "selected")}
    selected = {row["sample"]: row["selected"] for row in table(tmp_path / "out" / "tables", "selection")}
    clusters: list[list[tuple[float, bool]]] = [[] for _ in range(7)]
    for sample, completions in groups(tmp_path / "out").items():
        for index, c in enumerate(completions):
            if c["length"]:
                clusters[int(sample) % 7].append((float(c["length"]), str(index) == selected[sample]))
    draws = np.random.Generator(np.random.PCG64(zlib.crc32(b"t\0say") ^ 3)).integers(0, 7, size=(1000, 7))
    differences = []
    for draw in draws.tolist():
        drawn = [pair for number in draw for pair in clusters[number]]
        chosen = [v for v, taken in drawn if taken]
        differences.append(math.fsum(chosen) / len(chosen) - math.fsum(v for v, _ in drawn) / len(drawn))
    low, high = np.percentile(differences, [2.5, 97.5])
    assert float(rows["length", "segment"]["ci_low"]) == pytest.approx(low, abs=1e-12)
    assert float(rows["length", "segment"]["ci_high"]) == pytest.approx(high, abs=1e-12)


def test_one_sample_shows_no_spread(tmp_path: Path):
    run_with(tmp_path, BEST, count=1)
    assert all(r["ci_low"] == r["ci_high"] == "" for r in table(tmp_path / "out" / "tables", "selected"))


class _NoCorpusOfFew:
    """Its corpus score fails for few words: over the chosen, and not over all."""

    infos = (ScoreInfo("x", 0, 999, corpus="statistics"),)

    def __call__(self, batch: Batch) -> dict[str, Scores]:
        values = [float(len(t.split())) for t in batch.texts]
        statistics = np.array([[v] for v in values]).reshape(-1, 1)
        return {"x": harness.scores_from(self.infos[0], "x", values, statistics=statistics)}

    def corpus_from(self, name: str, sums: Any) -> Any:
        if len(sums) == 1 and sums[0, 0] < 60:
            raise ZeroDivisionError("too few")
        return sums[:, 0]


def test_a_corpus_score_that_fails_on_the_chosen_costs_its_row_alone(tmp_path: Path):
    suite = SUITE.replace("[bleu, length]", "[x, length]")
    outcome = run_with(tmp_path, BEST, suite=suite, count=8, x=_NoCorpusOfFew)
    rows = {(r["score"], r["level"]): r for r in table(tmp_path / "out" / "tables", "selected")}
    assert (rows["x", "corpus"]["all"], rows["x", "corpus"]["n"]) == ("", "8")
    assert rows["x", "segment"]["selected"]
    assert "selected x of t by say: x: ZeroDivisionError: too few" in outcome.missing


TWO = """
name: two
tasks:
  - {name: en, source: en.jsonl, recorded: true, language: en}
  - {name: zh, source: zh.jsonl, recorded: true, language: zh}
generate: {CHOICE}
metrics: [length]
"""


def in_two_languages(place: Path) -> None:
    for language, texts in (("en", ["the cat", "a cat sat", "cat"]), ("zh", ["猫坐着", "一只猫坐着", "狗"])):
        records = [{"id": str(i), "model": "m", "completions": texts} for i in range(3)]
        (place / f"{language}.jsonl").write_text(lines(records))


def test_tasks_in_two_languages_are_compared_each_by_its_own_tokens(tmp_path: Path):
    in_two_languages(tmp_path)
    outcome = run_with(tmp_path, "strategy: mbr, utility: bleu", suite=TWO)
    assert outcome.missing == ()
    assert {r["task"]: r["selected"] for r in table(tmp_path / "out/tables", "selection")} == {"en": "0", "zh": "0"}
    made = outcome.run.manifest["choice"]["utility"]["signatures"]
    assert [(s["task"], "tok:zh" in s["segment"]) for s in made] == [("en", False), ("zh", True)]


def test_a_utility_that_is_made_in_two_ways_costs_the_choice_of_its_task_alone(tmp_path: Path):
    in_two_languages(tmp_path)
    info = ScoreInfo("x", needs=REFERENCES)

    def changing(batch: Batch) -> dict[str, Scores]:
        way = batch.generations[0].sample.id if "zh" in batch.whole.languages else ""
        return {"x": harness.scores_from(info, f"x|{way}", [0.5] * batch.size)}

    def each_by_itself(batch: Batch) -> dict[str, Scores]:
        if len(batch.generations) > 1:
            raise ValueError("one at a time")
        return changing(batch)

    outcome = run_with(tmp_path, "strategy: mbr, utility: x", suite=TWO, x=lambda: metric_of(each_by_itself, info))
    (line,) = outcome.missing
    assert line.startswith("the choice of zh by m: x was made in ")
    for name in ("selection", "utility", "selected"):
        assert {r["task"] for r in table(tmp_path / "out" / "tables", name)} == {"en"}
    assert outcome.run.manifest["state"] == "complete"


# Groups of any size


RECORDED = """
name: rec
tasks: [{name: r, source: records.jsonl, recorded: true}]
generate: {CHOICE}
metrics: [length]
reward: {terms: [{score: length, range: [0, 9]}]}
"""


@pytest.mark.parametrize("choice", [BEST, MBR])
def test_recorded_groups_take_part_where_there_is_something_to_choose(tmp_path: Path, choice: str):
    records = [
        {"id": "007", "model": "a", "completions": ["x", "one two", "one two", "a long other one"]},
        {"id": "7", "model": "a", "completions": ["alone"]},
        {"id": "7", "model": "b", "completions": ["x", "x y"]},
        {"id": "8", "model": "c", "completions": ["alone"]},
    ]
    (tmp_path / "records.jsonl").write_text(lines(records))
    run_with(tmp_path, choice, suite=RECORDED)
    rows = {(r["sample"], r["model"]): r for r in table(tmp_path / "out" / "tables", "selection")}
    assert {key: row["candidates"] for key, row in rows.items()} == {
        ("007", "a"): "4",
        ("7", "a"): "1",
        ("7", "b"): "2",
        ("8", "c"): "1",
    }
    assert rows["007", "a"]["selected"] == ("3" if choice == BEST else "1")
    assert (rows["7", "a"]["selected"], rows["7", "a"]["value"]) == ("", "")
    assert rows["7", "a"]["reason"] == "one completion leaves nothing to choose"
    gains = table(tmp_path / "out" / "tables", "selected")
    assert {r["model"] for r in gains} == {"a", "b"}  # nothing was chosen of the third
    assert {r["n"] for r in gains if r["score"] in ("length", "reward")} == {"1"}
    (bare,) = {(r["all"], r["selected"], r["difference"], r["n"]) for r in gains if r["score"] == "length_tokens"}
    assert bare == ("", "", "", "0")  # nobody counted any


# Beside generation


def test_another_choice_scores_anew_and_generates_nothing(tmp_path: Path):
    run_with(tmp_path, BEST)
    out = tmp_path / "out"
    before, journal = chosen_texts(out), (out / "journal.jsonl").read_bytes()

    class Silent(Refusing):
        name, fingerprint = "say", "say:1"

    silent = Silent()
    silent.fingerprint = "say:1"
    shorter = SUITE.replace("{score: rougeL, weight: 2}, {score: length, range: [0, 8]}", "{score: length, range: [0, 8],"
                            " higher_is_better: false}")  # fmt: skip
    run_with(tmp_path, BEST, suite=shorter, model=silent)
    samples, texts = chosen_texts(out)
    assert (samples, texts) != before
    lengths = {s: [len(c["completion"].split()) for c in g if c["reward"]] for s, g in groups(out).items()}
    assert [len(t.split()) for t in texts] == [min(lengths[s]) for s in samples]
    run_with(tmp_path, MBR, suite=shorter, model=silent)
    assert (out / "tables" / "utility.csv").exists()
    last = run_with(tmp_path, "strategy: all", suite=shorter, model=silent)
    assert not list((out / "tables").glob("*"))  # none of the past
    assert "choice" not in last.run.manifest
    assert (out / "journal.jsonl").read_bytes() == journal


def test_a_choice_changes_no_other_file(tmp_path: Path):
    for name, choice in (("a", "strategy: all"), ("b", MBR)):
        (tmp_path / name).mkdir()
        run_with(tmp_path / name, choice)
    one, other = (
        {n: b for n, b in files_of(tmp_path / name / "out").items() if not n.startswith("tables/")} for name in "ab"
    )
    assert one.keys() == other.keys()
    assert [n for n in one if one[n] != other[n]] == ["run.json"]
    same = ("identity", "counts", "statuses", "settings", "reward")
    manifests = [json.loads(found["run.json"]) for found in (one, other)]
    assert all(manifests[0][key] == manifests[1][key] for key in same)


def files_of(folder: Path) -> dict[str, bytes]:
    """As `files`, with those in folders."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in {"local.json", ".lock"}
    }


def test_a_metrics_table_of_the_same_name_gives_way_and_that_is_told(tmp_path: Path):
    class Analyst:
        infos = (ScoreInfo("x"),)

        def __call__(self, batch: Batch) -> dict[str, Scores]:
            return {"x": harness.scores_from(self.infos[0], "x", [0.5] * batch.size)}

        def analyse(self, run: Run) -> dict[str, AnalysisTable]:
            return {"selection": AnalysisTable(("mine",), ())}

    suite = SUITE.replace("[bleu, length]", "[x, length]")
    outcome = run_with(tmp_path, BEST, suite=suite, count=2, x=Analyst)
    assert "the table 'selection' of a metric gave way to that of the choice" in outcome.missing
    assert table(tmp_path / "out" / "tables", "selection")[0]["strategy"] == "best_of"


# The metric of the utility


def test_a_utility_of_the_run_is_used_with_its_options_and_its_model(tmp_path: Path):
    registry = registry_for()
    text = SUITE.replace("[bleu, length]", "[{bleu: {lowercase: true}, as: b}, length]")
    suite = parse_suite(text.replace("CHOICE", "strategy: mbr, utility: b"), registry=registry)
    metrics = load_metrics(suite.metric_specs(registry), registry)
    with utility_of(suite, registry, metrics) as utility:
        assert utility is not None
        assert utility.metric is metrics[0].metric
        assert list(utility.infos) == ["b"]
    other = replace(suite, choice=ChoiceSpec("mbr", "chrf"))
    with utility_of(other, registry, metrics) as utility:
        assert utility is not None
        assert utility.shared is metrics[0].shared  # so that a model stands in memory once


def test_a_metric_made_for_the_choice_is_closed_and_one_of_the_run_is_not():
    class Held:
        infos = (ScoreInfo("x", needs=REFERENCES),)
        closed = 0

        def __call__(self, batch: Batch) -> Any: ...

        def close(self) -> None:
            Held.closed += 1

    registry = registry_of(x=Held)
    suite = Suite("s", choice=ChoiceSpec("mbr", "x"))
    with utility_of(suite, registry, ()):
        assert Held.closed == 0
    assert Held.closed == 1
    with utility_of(suite, registry, load_metrics([Spec("metric", "x")], registry)):
        pass
    assert Held.closed == 1


UNFIT = [
    (Suite("s", choice=ChoiceSpec("best_of")), "'best_of' chooses by the reward, and there is none"),
    (Suite("s", choice=ChoiceSpec("mbr", "nowhere")), "nothing gives the utility 'nowhere'"),
    (Suite("s", choice=ChoiceSpec("mbr")), "nothing gives the utility None"),
    (Suite("s", choice=ChoiceSpec("mbr", "length")), "'length' needs no references"),
    (Suite("s", choice=ChoiceSpec("mbr", "diversity")), "'diversity' is a group score"),
]


@pytest.mark.parametrize(("suite", "message"), UNFIT)
def test_an_unchecked_suite_is_found_out_before_a_folder_changes(tmp_path: Path, suite: Suite, message: str):
    run_with(tmp_path, "strategy: all", count=2)
    before = files_of(tmp_path / "out")
    with pytest.raises(SuiteError, match=message):
        score_run(tmp_path / "out", suite, registry_for())
    assert files_of(tmp_path / "out") == before


def test_a_suite_made_in_python_chooses_too(tmp_path: Path):
    run_with(tmp_path, "strategy: all", count=2)
    suite = Suite(
        "s", reward_spec=RewardSpec((TermSpec("length", "length", range=(0, 9)),)), choice=ChoiceSpec("best_of")
    )
    score_run(tmp_path / "out", suite, registry_for())
    assert len(table(tmp_path / "out" / "tables", "selection")) == 2


# The command line

CLI_SUITE = """\
name: tiny
tasks: [{name: t, source: samples.jsonl}]
models: [{echo: {texts: ["the cat", "the cat sat on the mat", "a cat sat"]}}]
generate: {n: 3, temperature: 1, strategy: best_of}
metrics: [bleu, length]
reward:
  terms: [{score: rougeL}]
"""


def test_show_says_which_was_selected_and_by_how_much(tmp_path: Path):
    place = workplace(tmp_path / "p", CLI_SUITE)
    done = inside(place, "run", "suite.yaml", "--out", "o")
    assert done.returncode == 0, done.stderr
    rows = {row["sample"]: row for row in table(place / "o" / "tables", "selection")}
    shown = inside(place, "show", "o", "one")
    chosen = rows["one"]
    assert f"completion {chosen['selected']} (selected): " in shown.stdout
    assert shown.stdout.count("(selected)") == 1
    said = " ".join(shown.stdout.split())
    assert f"best_of selects completion {chosen['selected']}: reward {float(chosen['value']):.4g}, margin" in said
    assert f"margin {float(chosen['margin']):.4g} to the next best ({float(chosen['runner_up']):.4g})" in said
    (record,) = json.loads(inside(place, "show", "o", "one", "--json").stdout)
    assert record["choice"] == {
        "strategy": "best_of", "selected": int(chosen["selected"]), "candidates": 3, "reason": None,
        **{c: float(chosen[c]) for c in ("value", "runner_up", "margin", "mean")},
    }  # fmt: skip
    mbr = ("--set", "generate.strategy=mbr", "--set", "generate.utility=bleu")
    assert inside(place, "run", "suite.yaml", "--out", "o", *mbr).returncode == 0
    assert "mbr selects completion" in inside(place, "show", "o", "one").stdout
    assert "mean bleu against the others" in " ".join(inside(place, "show", "o", "one").stdout.split())
    (place / "o" / "tables" / "selection.csv").unlink()
    gone = inside(place, "show", "o", "one")
    assert gone.returncode == 2
    assert "selection.csv is gone" in gone.stderr
    plain = ("--set", "generate.strategy=all")
    assert inside(place, "run", "suite.yaml", "--out", "o", *plain).returncode == 0
    assert "select" not in inside(place, "show", "o", "one").stdout


def test_a_run_is_scored_by_the_choice_of_another_suite(tmp_path: Path):
    place = workplace(tmp_path / "p", CLI_SUITE.replace(", strategy: best_of", ""))
    assert inside(place, "run", "suite.yaml", "--out", "o").returncode == 0
    (place / "other.yaml").write_text("name: other\nmetrics: [bleu]\ngenerate: {strategy: mbr, utility: rougeL}\n")
    done = inside(place, "score", "o", "--suite", "other.yaml")
    assert done.returncode == 0, done.stderr
    assert {row["strategy"] for row in table(place / "o" / "tables", "selection")} == {"mbr"}
    assert inside(place, "run", "o").returncode == 0  # it is continued as it is now
    again = inside(place, "score", "o", "--metric", "length")
    assert again.returncode == 0, again.stderr
    assert (place / "o" / "tables" / "utility.csv").exists()
    assert inside(place, "run", "suite.yaml", "--out", "one", "--set", "generate.n=1").returncode == 0
    refused = inside(place, "score", "one", "--suite", "other.yaml")
    assert refused.returncode == 2
    assert "'mbr' chooses among the completions of a sample, and n=1 leaves no choice" in refused.stderr
    assert "run one" not in refused.stderr


def test_records_without_a_task_are_chosen_among(tmp_path: Path):
    (tmp_path / "r.jsonl").write_text(lines([{"id": "007", "completions": ["a b", "a c", "x y"]}]))
    (tmp_path / "s.yaml").write_text("name: s\nmetrics: [length]\ngenerate: {strategy: mbr, utility: rouge1}\n")
    done = inside(tmp_path, "score", "r.jsonl", "--suite", "s.yaml", "--out", "o")
    assert done.returncode == 0, done.stderr
    (row,) = table(tmp_path / "o" / "tables", "selection")
    assert (row["sample"], row["selected"], row["value"]) == ("007", "0", "0.25")
    assert "mbr selects completion 0" in inside(tmp_path, "show", "o", "007").stdout


# Runs that are killed

KILLED = (
    "metric.before:5",
    "rename.before:selection.csv:1",
    "rename.after:selection.csv:1",
    "rename.after:selected.csv:1",
    "rename.before:utility.csv:1",
    "rename.after:utility.csv:1",
)


@pytest.mark.slow
def test_tables_of_a_killed_run_are_in_the_end_those_of_one_that_was_not(tmp_path: Path):
    from .test_resume import SUITE as RESUMED
    from .test_resume import Driver

    rows = [{"id": f"s{i}", "prompt": f"Describe place {i}", "references": [f"Pub {i}."]} for i in range(20)]
    (tmp_path / "rows.jsonl").write_text(lines(rows))
    suite = RESUMED.replace("n: 2", "n: 3, strategy: mbr, utility: rougeL")
    (tmp_path / "suite.yaml").write_text(suite)
    run = ["run", tmp_path / "suite.yaml"]
    driver = Driver(tmp_path)
    try:
        assert driver(run, tmp_path / "whole").returncode == 0
        whole = files_of(tmp_path / "whole")
        assert {"tables/selection.csv", "tables/selected.csv", "tables/utility.csv"} <= whole.keys()
        for number, point in enumerate(KILLED):
            out = tmp_path / f"out{number}"
            driver.killed_at(point, run, out)
            assert driver(run, out).returncode == 0
            assert files_of(out) == whole, point
    finally:
        driver.close()
