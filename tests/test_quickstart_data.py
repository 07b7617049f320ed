"""The suite `quickstart`: a slice of every bundled task, and texts written in three qualities."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

import harness
from harness.bundles import bundled_suites, find_suite
from harness.records import generation_of
from harness.registry import Registry
from harness.suite import TaskSpec, load_suite
from harness.tasks import load_samples
from harness_tasks import bundled

DATA = sorted(
    path.name.removesuffix(".jsonl")
    for path in Path(str(files("harness_tasks").joinpath("data"))).glob("*.jsonl")
    if path.name != "contrasts.jsonl"
)


def rows(name: str, **options: int) -> list[dict[str, object]]:
    factories: dict[str, object] = {}
    bundled.register_tasks(register=lambda own, factory, **_: factories.update({own: factory}))
    return [dict(row) for row in factories[name]("", **options)()]  # type: ignore[operator]


def test_it_takes_the_first_of_every_bundled_task():
    samples = load_samples(TaskSpec("quickstart", "quickstart"), rows("quickstart"))
    assert [sample.id.split("/")[0] for sample in samples] == DATA
    assert [sample.metadata["slice_of"] for sample in samples] == DATA
    assert {sample.language for sample in samples} == {"en", "zh"}
    assert all(sample.references for sample in samples)
    assert len(rows("quickstart", each=3)) == 3 * len(DATA)
    with pytest.raises(ValueError, match="each: 0 is not at least 1"):
        rows("quickstart", each=0)


def test_a_slice_is_the_task_itself():
    (first,) = [row for row in rows("quickstart") if str(row["id"]).startswith("summaries_en/")]
    original = rows("summaries_en")[0]
    assert first["prompt"] == original["prompt"]
    assert first["references"] == original["references"]


def test_the_suite_uses_every_metric_of_texts_and_is_the_demo():
    registry = Registry.load()
    suite = load_suite(find_suite("quickstart"), registry=registry)
    bundled_metrics = {e.name for e in registry.entries("metric") if e.plugin.distribution == "reward-harness"}
    assert {spec.name for spec in suite.metrics} == bundled_metrics - {"exact"}  # free text equals no reference
    assert suite.choice is not None
    assert suite.choice.strategy == "best_of"
    assert [task.recorded for task in suite.tasks] == [False, True]


def contrasts() -> list[harness.Generation]:
    return [generation_of(row, "contrasts") for row in rows("contrasts")]  # type: ignore[arg-type]


def test_contrasts_prefer_each_text_to_those_after_it():
    found = contrasts()
    assert len(found) == 12
    assert {g.sample.language for g in found} == {"en", "zh"}
    for generation in found:
        assert len(generation.completions) == 3
        assert {(p.better, p.worse) for p in generation.preferences} == {(0, 1), (0, 2), (1, 2)}
        assert {p.rater for p in generation.preferences} == {"author"}
        assert generation.completions[0].text not in generation.sample.references


def test_on_contrasts_overlap_with_references_tells_the_texts_apart():
    """Not a claim about metrics: texts written so that this is so, as a check that nothing is turned round."""
    scores = harness.score(contrasts(), ["chrf", "human"])
    chrf = scores["chrf"].segment
    better = [chrf[i] > chrf[i + 2] for i in range(0, len(chrf), 3)]  # type: ignore[operator]
    assert sum(better) == len(better)
    assert [round(v, 3) for v in scores["human.preferred"].segment[:3] if v is not None] == [1, 0.5, 0]


@pytest.mark.parametrize("name", sorted(bundled_suites()))
def test_every_bundled_suite_is_valid_and_says_what_it_is(name: str):
    path = find_suite(name)
    suite = load_suite(path)
    assert suite.name == name
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert suite.reports
    if suite.reward_spec is not None:
        assert sum(term.weight for term in suite.reward_spec.terms) == pytest.approx(1)


def test_the_e2e_suite_maps_its_columns():
    (task,) = load_suite(find_suite("e2e")).tasks
    assert task.source == "file:e2e_devset.csv"
    assert task.fields == {"prompt": "mr", "reference": "ref"}
    assert task.limit == 40
