"""`harness score RUN`: what is added, what makes way, and what a run says of itself afterwards."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.commands import stored_suite
from harness.store import write_json
from harness.suite import Suite, TaskSpec, parse_suite, resolved, resolved_text
from harness.suite_dump import as_yaml
from harness.types import Settings, Spec

from .commands import SUITE, inside, lines, workplace

STEMMED = """\
name: tiny
tasks: [{name: t, source: samples.jsonl}]
models: [echo]
metrics: [bleu, {rouge: {use_stemmer: true}}]
reward: {terms: [{score: rougeL}]}
reports: [csv]
"""
ROWS = ({"id": "one", "prompt": "he runs fast", "references": ["he run fast"]},)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose reward depends on an option. Stemmed, all three words agree; else two of three."""
    folder = workplace(tmp_path_factory.mktemp("made"), STEMMED)
    (folder / "samples.jsonl").write_text(lines(ROWS))
    done = inside(folder, "run", "suite.yaml", "--out", "o")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "place"))


def row(folder: Path) -> dict[str, str]:
    with (folder / "segments.csv").open(encoding="utf-8", newline="") as file:
        return next(csv.DictReader(file))


def record(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run.json").read_text(encoding="utf-8"))["suite"])


def test_a_metric_more_leaves_the_reward_as_it_is(place: Path):
    before = row(place / "o")
    assert float(before["reward"]) == pytest.approx(1)
    done = inside(place, "score", "o", "--metric", "length")
    assert (done.returncode, done.stderr) == (0, "")
    after = row(place / "o")
    assert {k: after[k] for k in before} == before
    assert float(after["length"]) == 3
    assert record(place / "o")["resolved"]["metrics"] == ["bleu", {"rouge": {"use_stemmer": True}}, "length"]


def test_an_aliased_metric_that_the_reward_names_stays(place: Path):
    named = STEMMED.replace("true}}]", "true}, as: stemmed}]").replace("score: rougeL", "score: stemmed.rougeL")
    (place / "suite.yaml").write_text(named)
    assert inside(place, "run", "suite.yaml", "--out", "p").returncode == 0
    done = inside(place, "score", "p", "--metric", "length")
    assert done.returncode == 0, done.stderr
    assert float(row(place / "p")["reward"]) == pytest.approx(1)


def test_one_that_gives_the_same_scores_takes_the_place_and_says_what_that_does(place: Path):
    done = inside(place, "score", "o", "--metric", "rouge")
    assert done.returncode == 0
    assert done.stderr == "--metric gives 'rougeL' other options, and so changes the reward\n"
    assert record(place / "o")["resolved"]["metrics"] == ["bleu", "rouge"]
    assert float(row(place / "o")["reward"]) == pytest.approx(2 / 3)
    again = inside(place, "score", "o", "--metric", "rouge")
    assert (again.returncode, again.stderr) == (0, "")


def test_one_of_a_name_that_is_there_takes_its_place(place: Path):
    assert inside(place, "score", "o", "--metric", "bleu:tokenize=char").returncode == 0
    assert record(place / "o")["resolved"]["metrics"] == [
        {"rouge": {"use_stemmer": True}},
        {"bleu": {"tokenize": "char"}},
    ]


def test_a_score_that_the_reward_needs_is_not_taken_away(place: Path):
    (place / "suite.yaml").write_text(
        STEMMED.replace("bleu,", "{exact: {labels: [a, b]}},").replace("score: rougeL", "score: accuracy")
    )
    env = {"HARNESS_PLUGINS": "console,csv,echo,exact,files,rouge"}
    assert inside(place, "run", "suite.yaml", "--out", "p", env=env).returncode == 0
    before = (place / "p" / "run.json").read_bytes()
    done = inside(place, "score", "p", "--metric", "exact", env=env)
    assert done.returncode == 2
    assert "p/run.json with --metric: reward.terms[0].score: metric 'exact' gives 'accuracy' only with" in done.stderr
    assert (place / "p" / "run.json").read_bytes() == before
    done = inside(place, "score", "p", "--metric", "exact:labels=[a,b,c]", env=env)
    assert done.returncode == 0, done.stderr
    assert {"exact": {"labels": ["a", "b", "c"]}} in record(place / "p")["resolved"]["metrics"]


@pytest.mark.parametrize("how", [["--metric", "length"], ["--suite", "other.yaml"]], ids=["metric", "suite"])
def test_the_text_kept_is_that_of_the_suite_kept(place: Path, how: list[str]):
    assert record(place / "o")["text"] == STEMMED
    (place / "other.yaml").write_text("name: other\nmetrics: [length]\n")
    assert inside(place, "score", "o", *how).returncode == 0
    kept = record(place / "o")
    assert resolved(parse_suite(kept["text"], check=False)) == kept["resolved"]
    assert "length" in kept["text"]


def test_records_scored_by_metrics_keep_a_text_too(tmp_path: Path):
    (tmp_path / "r.jsonl").write_text(lines([{"completions": ["y"]}]))
    assert inside(tmp_path, "score", "r.jsonl", "--metric", "length", "--out", "o").returncode == 0
    kept = record(tmp_path / "o")
    assert resolved(parse_suite(kept["text"], check=False)) == kept["resolved"]


def test_what_generated_need_not_be_there_to_score(place: Path):
    env = {"HARNESS_PLUGINS": "bleu,console,csv,length,rouge"}  # neither the model nor the reader of files
    done = inside(place, "score", "o", env=env)
    assert done.returncode == 0, done.stderr
    assert inside(place, "score", "o", "--metric", "length", env=env).returncode == 0
    assert record(place / "o")["resolved"]["models"] == ["echo"]


# What a suite may hold

HARD = ["🙂", "a\u2028b\u2029c", "a\x85b", "\ufeffx", "\U0010fffd", "x\r\ny", " x\n  y \n", "é" * 2000, "---", "\u00ad"]


def test_a_suite_with_any_text_is_continued_and_scored_anew(place: Path):
    template = "".join(HARD) + "{prompt}"
    task = {"name": "t", "source": "samples.jsonl", "template": template}
    (place / "suite.yaml").write_text(
        as_yaml({"name": "hard", "tasks": [task], "models": ["echo"], "metrics": ["bleu"]})
    )
    done = inside(place, "run", "suite.yaml", "--out", "p")
    assert done.returncode == 0, done.stderr
    segments = (place / "p" / "segments.csv").read_bytes()
    for again in (["run", "p"], ["score", "p"], ["score", "p", "--metric", "bleu"]):
        done = inside(place, *again)
        assert done.returncode == 0, done.stderr
    assert (place / "p" / "segments.csv").read_bytes() == segments
    assert record(place / "p")["resolved"]["tasks"][0]["template"] == template


def test_a_suite_of_plain_letters_is_continued(place: Path):
    """As people write it, not as it is escaped."""
    (place / "suite.yaml").write_text(
        SUITE.replace("source:", "template: 'Say 🙂 {prompt}', source:"), encoding="utf-8"
    )
    assert inside(place, "run", "suite.yaml", "--out", "p").returncode == 0
    done = inside(place, "run", "p")
    assert done.returncode == 0, done.stderr


# what the reader of suites lets through: no control characters, no halves of characters
texts = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Cn"), include_characters="\t\n\r\x85"), min_size=1, max_size=20
) | st.sampled_from(HARD)
inner = st.recursive(
    texts | st.none() | st.integers(-(10**100) + 1, 10**100 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(texts, part, max_size=3),
    max_leaves=4,
)
options = st.dictionaries(texts.filter(lambda t: t != "as"), inner, max_size=3)
suites = st.builds(
    lambda text, more, stop: Suite(
        "s",
        tasks=(TaskSpec("t", text, {"prompt": text}, system=text, options=more),),
        models=(Spec("model", "echo", text, more),),
        generate=Settings(stop=tuple(stop)),
        metrics=(Spec("metric", "bleu", "", more),),
    ),
    texts,
    options,
    st.lists(texts, max_size=3),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(suites)
def test_any_suite_comes_back_from_a_manifest(tmp_path: Path, suite: Suite):
    text = resolved_text(suite)
    given_suite = parse_suite(text, check=False)  # it is one that a file can hold
    manifest = {"schema_version": 1, "kind": "run", "suite": {"text": text, "resolved": resolved(given_suite)}}
    write_json(tmp_path / "run.json", manifest)
    kept = stored_suite(tmp_path, None)
    assert kept == given_suite == suite
    assert kept.text == text
