"""Names that become columns: none of them may take another column's place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SuiteError
from harness.export import KEY_COLUMNS, csv_columns
from harness.names import column_name_problem, name_problem
from harness.registry import Registry
from harness.suite import parse_suite
from harness.types import ScoreInfo

from .commands import SUITE, inside, workplace

parts = st.sampled_from(("bleu", "reward", "completion", "status", "reason", "task", "x", "completion_index"))
free = st.lists(parts, min_size=1, max_size=3).map(".".join).filter(lambda name: not column_name_problem(name))


@pytest.mark.parametrize("name", ["bleu", "rouge1", "bleu_zh.char", "a-b", "rewarded", "completions", "status.bleu"])
def test_free_names(name: str):
    assert name_problem(name) is None
    assert column_name_problem(name) is None


TAKEN = [
    ("completion", "'completion' is reserved (so are cluster, completion_index, model, reason,"),
    ("completion_index", "'completion_index' is reserved (so are cluster, completion, model,"),
    ("completion.status", "(so are all names that start with completion.)"),
    ("completion.x", "(so are all names that start with completion.)"),
    ("reward.rougeL", "'reward.rougeL' is reserved (so are all names that start with reward.); take another name"),
    ("chrf.status", "(so are all names that end in .status)"),
    ("chrf.reason", "(so are all names that end in .reason)"),
    ("a b", "'a b' is no name: a name starts with a letter and holds letters, digits, _ . -"),
    ("x" * 101, "is no name"),
    ("", "'' is no name"),
    (7, "7 is no name"),
]


@pytest.mark.parametrize(("name", "message"), TAKEN, ids=[str(n)[:20] for n, _ in TAKEN])
def test_taken_names(name: object, message: str):
    assert message in str(column_name_problem(name))


@settings(max_examples=200, deadline=None)
@given(st.lists(free, max_size=3, unique=True), st.lists(free, max_size=2, unique=True))
def test_free_names_make_columns_of_their_own(scores: list[str], terms: list[str]):
    infos = [*scores, "reward", *(f"reward.{t}" for t in terms)]
    names = csv_columns({n: ScoreInfo(n) for n in infos})
    binary = [*KEY_COLUMNS, *(c for n in infos for c in (n, f"{n}.status", f"{n}.reason"))]
    assert len(set(names)) == len(names)
    assert len(set(binary)) == len(binary)


SUITES = [
    ("metrics: [{length: {}, as: completion}]", "2:28: metrics[0].as: 'completion' is reserved"),
    ("metrics: [{bleu: {}, as: chrf.status}]", "2:26: metrics[0].as: 'chrf.status' is reserved"),
    ("metrics: [{bleu: {as: completion_index}}]", "2:23: metrics[0].bleu.as: 'completion_index' is reserved"),
    ("metrics: [{bleu: {}, as: reward.rougeL}]", "2:26: metrics[0].as: 'reward.rougeL' is reserved"),
    ("reward: {terms: [{score: x, as: x.status}]}", "2:33: reward.terms[0].as: 'x.status' is reserved"),
    ("reward: {terms: [{score: x.reason}]}", "2:26: reward.terms[0].score: 'x.reason' is reserved"),
]


@pytest.mark.parametrize(("text", "message"), SUITES)
def test_names_in_a_suite(text: str, message: str):
    with pytest.raises(SuiteError) as caught:
        parse_suite(f"name: s\n{text}", source="s.yaml", check=False)
    assert str(caught.value).startswith(f"s.yaml:{message}")


def test_a_name_behind_metric(tmp_path: Path):
    workplace(tmp_path, SUITE)
    (tmp_path / "r.jsonl").write_text('{"completions": ["y"]}\n')
    done = inside(tmp_path, "score", "r.jsonl", "--metric", "length:as=completion")
    assert (done.returncode, "--metric length: as: 'completion' is reserved" in done.stderr) == (2, True)
    assert not (tmp_path / "runs").exists()


def test_every_score_there_is_has_a_free_name():
    for name in Registry.load().score_names():
        assert column_name_problem(name) is None
