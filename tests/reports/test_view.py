"""What all reports read of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_run import FakeRun, fake_run, no, ok

from harness import CorpusRow, Group
from harness.types import Completion, Generation, Sample, ScoreInfo
from harness_reports.view import MAX_REASONS, Tally, counts, mapping, number, rows, tally, view


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        (None, 3, "–"),
        (0.12345, 3, "0.123"),
        (-0.0001, 3, "0.000"),
        (-0.5, 1, "-0.5"),
        (99.999, 2, "100.00"),
        (1e300, 2, "1e+300"),
        (12345678.0, 0, "1.235e+07"),
    ],
)
def test_numbers(value: float | None, decimals: int, shown: str) -> None:
    assert number(value, decimals) == shown


@pytest.mark.parametrize("value", [None, 3, "text", [1, 2]])
def test_parts_of_a_manifest_that_are_not_what_they_should_be_are_empty(value: object) -> None:
    assert mapping(value) == {}
    assert rows(value) == []


def test_columns_keep_the_order_of_the_run_with_the_reward_and_its_terms_last(tmp_path: Path) -> None:
    seen = view(fake_run(tmp_path).as_run())
    assert [c.name for c in seen.of("score")][:3] == ["bleu", "chrf", "rouge1"]
    assert [c.name for c in seen.of("reward", "term")] == [
        "reward", "reward.overlap", "reward.sentiment", "reward.diversity",
    ]  # fmt: skip
    assert {c.name: c.level for c in seen.columns if c.level != "mean"} == {
        "bleu": "corpus", "chrf": "corpus", "self_bleu": "corpus",
    }  # fmt: skip
    assert {c.name: c.decimals for c in seen.of("score")} == {
        "bleu": 2, "chrf": 2, "rouge1": 3, "rougeL": 3, "sentiment": 3, "diversity": 3, "length": 2, "self_bleu": 2,
    }  # fmt: skip


def test_a_run_with_nothing_in_it_has_an_empty_view(tmp_path: Path) -> None:
    seen = view(FakeRun(tmp_path, {}, {}, ()).as_run())
    assert (seen.name, seen.tasks, seen.models, seen.columns) == (tmp_path.name, (), (), ())


def test_scores_that_only_the_corpus_rows_know_are_columns_too(tmp_path: Path) -> None:
    row = CorpusRow("t", "m", "odd", 0.5, None, None, 3, "odd")
    seen = view(FakeRun(tmp_path, {}, {"bleu": ScoreInfo("bleu", 0, 100)}, (row,)).as_run())
    assert [c.name for c in seen.columns] == ["bleu", "odd"]
    assert (seen.tasks, seen.models) == (("t",), ("m",))


def test_only_scores_with_fewer_values_than_others_are_partial(tmp_path: Path) -> None:
    seen = view(fake_run(tmp_path).as_run())
    partial = {row.score for row in seen.corpus.values() if seen.partial(row)}
    assert partial == {"chrf", "sentiment", "diversity", "reward", "reward.sentiment", "reward.diversity"}


def test_the_tally_counts_completions_and_reasons(tmp_path: Path) -> None:
    counts = tally(fake_run(tmp_path).as_run())
    assert counts.completions == {("restaurants", "hf:smollm2-135m"): 64}
    assert counts.top("sentiment") == [("abstain", "the language 'lt' is not among those VADER knows (en)", 12)]
    assert counts.top("bleu") == []


def test_a_million_different_reasons_do_not_fill_the_memory() -> None:
    counts = Tally()
    generation = Generation(Sample("a", task="t"), "m", (Completion("x"),))
    for index in range(MAX_REASONS + 50):
        counts.add(Group(generation, ({"s": no("error", f"reason {index}")},)))
    counts.add(Group(generation, ({"s": ok(1.0)},)))
    assert len(counts.reasons["s"]) == MAX_REASONS + 1
    assert counts.top("s", 1) == [("error", "(other reasons)", 50)]


def test_one_is_singular() -> None:
    said = counts({"counts": {"samples": 1, "completions": 2, "without_text": 1, "odd": "x"}})
    assert said == {"samples": (1, "sample"), "completions": (2, "completions"), "without_text": (1, "without text")}
