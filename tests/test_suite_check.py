"""What is checked of a suite by real plugins: scores under the options given, and paths beside the suite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import SuiteError
from harness.registry import Registry
from harness.run import prepare
from harness.sources import model_spec, source_spec
from harness.suite import load_suite, parse_suite
from harness.types import Spec

from .commands import SUITE, inside, lines, workplace


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load(allow=["bleu", "echo", "exact", "files", "human", "length", "replay", "rouge"])


def mistakes(text: str, registry: Registry) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        parse_suite(f"name: s\n{text}", source="s.yaml", registry=registry)
    return str(caught.value).splitlines()


# Scores that a metric gives only with some options

ONLY = "metric 'exact' gives 'accuracy' only with other options; "
UNGIVEN = [
    ("reward: {terms: [{score: accuracy}]}", f"2:26: reward.terms[0].score: {ONLY}add 'exact' with them to `metrics`"),
    (
        "reward: {terms: [{score: bleu}], guard: [{score: accuracy, min: 1}]}",
        f"2:50: reward.guard[0].score: {ONLY}add 'exact' with them to `metrics`",
    ),
    ("metrics: [exact]\nreward: {terms: [{score: accuracy}]}", f"3:26: reward.terms[0].score: {ONLY}give it those"),
    (
        "metrics: [{human: {dimensions: {overall: [1, 5]}}}]\nreward: {terms: [{score: human.overal}]}",
        "3:26: reward.terms[0].score: metric 'human' gives 'human.overal' only with other options; give it those; "
        "did you mean 'human.overall'?",
    ),
    (
        "metrics: [bleu]\ngate: {rules: [{score: human.overall, min: 1}]}",
        "3:24: gate.rules[0].score: no metric of this suite gives 'human.overall': add 'human' to `metrics`",
    ),
    (
        "metrics: [{exact: {labels: ['yes', 'no']}, as: e}]\nreward: {terms: [{score: accuracy}]}",
        f"3:26: reward.terms[0].score: {ONLY}add 'exact' with them to `metrics`",
    ),
]


@pytest.mark.parametrize(("text", "line"), UNGIVEN)
def test_a_score_that_its_metric_gives_only_with_other_options(registry: Registry, text: str, line: str):
    assert mistakes(text, registry) == [f"s.yaml:{line}"]


@pytest.mark.parametrize(
    "text",
    [
        "metrics: [{exact: {labels: ['yes', 'no']}}]\nreward: {terms: [{score: accuracy}]}",
        "metrics: [{exact: {labels: ['yes', 'no']}, as: e}]\nreward: {terms: [{score: e.accuracy}]}",
        "reward: {terms: [{score: exact}]}",
    ],
)
def test_with_its_options_it_is_there(registry: Registry, text: str):
    suite = parse_suite(f"name: s\n{text}", registry=registry)
    assert [s.name for s in suite.metric_specs(registry)] == ["exact"]


# The utility of a choice

MBR = "generate: {n: 2, temperature: 1, strategy: mbr, utility: "
UTILITY = "2:58: generate.utility: "
UNFIT = [
    ("bleuu}\nmetrics: [bleu]", "unknown score 'bleuu'; did you mean 'bleu'?"),
    (
        "length}\nmetrics: []",
        "'length' needs no references: a utility compares a completion with another as its reference",
    ),
    ("length}\nmetrics: [length]", "'length' needs no references: a utility compares a completion with another"),
    ("distinct1}\nmetrics: []", "'distinct1' is a corpus score: a utility compares one completion with one other"),
    ("diversity}\nmetrics: [diversity]", "'diversity' is a group score: a utility compares one completion with one"),
    ("accuracy}\nmetrics: []", f"{ONLY}add 'exact' with them to `metrics`"),
    ("accuracy}\nmetrics: [exact]", f"{ONLY}give it those"),
    ("reward}\nreward: {terms: [{score: bleu}]}", "unknown score 'reward'"),
    ("b}\nmetrics: [{bleu: {}, as: bb}]", "unknown score 'b'; "),
]


@pytest.mark.parametrize(("text", "message"), UNFIT)
def test_utilities_that_compare_nothing(text: str, message: str):
    registry = Registry.load(allow=["bleu", "diversity", "exact", "length", "rouge"])
    (line,) = mistakes(MBR + text, registry)
    assert line.startswith(f"s.yaml:{UTILITY}{message}")


@pytest.mark.parametrize(
    "text",
    [
        "bleu}\nmetrics: []",
        "bleu}\nmetrics: [bleu]",
        "rougeL}\nmetrics: [{bleu: {}, as: rouge1}]",  # its own scores stay out of the run, so nothing is there twice
        "b}\nmetrics: [{bleu: {tokenize: char}, as: b}]",
        "b.rougeL}\nmetrics: [{rouge: {}, as: b}]",
        "rouge2}\nreward: {terms: [{score: rougeL}]}",
    ],
)
def test_utilities_are_found_as_terms_are(registry: Registry, text: str):
    suite = parse_suite(f"name: s\n{MBR}{text}", registry=registry)
    assert suite.choice is not None
    assert suite.metric_specs(registry) == replace(suite, choice=None).metric_specs(registry)


def test_a_mistake_in_the_settings_hides_none_in_the_utility(registry: Registry):
    found = mistakes("metrics: []\ngenerate: {n: 0, strategy: mbr, utility: bluu}", registry)
    assert [line.split(": ")[1] for line in found] == ["generate.n", "generate.utility"]


def test_an_unchecked_suite_is_found_out_before_anything_is_scored(registry: Registry):
    suite = parse_suite("{name: s, reward: {terms: [{score: accuracy}]}}", check=False)
    with pytest.raises(SuiteError, match=r"suite 's': metric 'exact' gives 'accuracy' only with other options"):
        suite.metric_specs(registry)
    with pytest.raises(SuiteError, match="only with other options"):
        suite.reward(registry)


def test_a_suites_reward_takes_its_metrics_from_the_registry_given(registry: Registry):
    suite = parse_suite("{name: s, reward: {terms: [{score: length, range: [0, 9]}]}}", registry=registry)
    assert suite.reward(registry).composite.scores == {"length"}
    with pytest.raises(SuiteError, match="nothing gives the score 'length'"):
        suite.reward(Registry((), ()))


# Paths


def test_a_model_beside_its_suite_is_found_from_any_folder(tmp_path: Path):
    inner = workplace(tmp_path / "sub", SUITE.replace("[echo]", "['replay:said.jsonl']"))
    (inner / "said.jsonl").write_text(lines([{"id": i, "completions": ["the cat"]} for i in ("one", "two")]))
    checked = inside(tmp_path, "suite", "check", "sub/suite.yaml")
    assert checked.returncode == 0, checked.stderr
    assert "replay:said.jsonl" in checked.stdout  # as it was written, so that the suite can be moved
    done = inside(tmp_path, "run", "sub/suite.yaml", "--out", "o")
    assert done.returncode == 0, done.stderr
    (inner / "said.jsonl").unlink()
    gone = inside(tmp_path, "suite", "check", "sub/suite.yaml")
    assert gone.returncode == 2
    assert "sub/suite.yaml:3:10: models[0]: " in gone.stderr


def test_what_is_checked_is_what_is_run(registry: Registry, tmp_path: Path):
    suite = SUITE.replace("[echo]", "['replay:said.jsonl']").replace("reports: [csv]\n", "")
    workplace(tmp_path / "sub", suite)
    (tmp_path / "sub" / "said.jsonl").write_text('{"id": "one", "completions": ["a"]}\n')
    loaded = load_suite(tmp_path / "sub" / "suite.yaml", registry=registry)
    assert model_spec(loaded.models[0], loaded.folder).rest == str(tmp_path / "sub" / "said.jsonl")
    assert list(prepare(loaded, registry).models) == ["replay:said.jsonl"]


@pytest.mark.parametrize("rest", ["x" * 5000, "a\0b", "said.jsonl/x", ""])
def test_what_is_no_path_of_ours_is_left_to_the_model(tmp_path: Path, rest: str):
    (tmp_path / "said.jsonl").touch()
    spec = Spec("model", "replay", rest)
    assert model_spec(spec, tmp_path) == spec


SOURCES = {
    "rows.csv": Spec("task", "file", "rows.csv"),
    "file:rows.csv": Spec("task", "file", "rows.csv"),
    "file": Spec("task", "file"),
    "a:b/rows.csv": Spec("task", "file", "a:b/rows.csv"),
    "file:a:b.csv": Spec("task", "file", "a:b.csv"),
}


@pytest.mark.parametrize(("source", "spec"), SOURCES.items())
def test_a_source_is_a_registered_name_or_a_path(registry: Registry, source: str, spec: Spec):
    assert source_spec(source, registry) == spec


def test_a_file_needs_the_plugin_that_reads_files():
    (line,) = mistakes("tasks: [{source: x.csv}]", Registry.load(allow=["bleu"]))
    assert line.startswith("s.yaml:2:18: tasks[0].source: unknown task 'file'")
