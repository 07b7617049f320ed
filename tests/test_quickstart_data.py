"""The data and suites that come with the harness."""

from __future__ import annotations

import itertools
import re
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from harness import Sample
from harness.tasks import load_samples, parse_template
from harness_tasks import bundled

FAMILIES = {"data_to_text", "dialogue", "summary", "rewrite"}
SUITES = ("quickstart", "e2e")


class Spec:
    name, template, system, language, limit = "quickstart", None, None, None, None
    fields: dict[str, str] = {}  # noqa: RUF012


@pytest.fixture(scope="module")
def samples() -> tuple[Sample, ...]:
    factories = {}
    bundled.register_tasks(register=factories.__setitem__)
    return load_samples(Spec(), factories["quickstart"]("")())  # type: ignore[arg-type]


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def likeness(one: str, other: str) -> float:
    """Jaccard index of two texts' words."""
    return len(words(one) & words(other)) / len(words(one) | words(other))


def test_the_samples(samples: tuple[Sample, ...]) -> None:
    assert len(samples) >= 12
    assert {s.metadata["family"] for s in samples} == FAMILIES
    for sample in samples:
        assert isinstance(sample.prompt, str)
        assert 20 < len(sample.prompt) < 200
        assert (sample.language, sample.cluster) == ("en", None)
        assert 2 <= len(sample.references) <= 3
        assert all(text == text.strip() and text[-1] in ".!?" for text in sample.references)


def test_no_two_texts_are_nearly_the_same(samples: tuple[Sample, ...]) -> None:
    prompts = [str(s.prompt) for s in samples]
    assert max(likeness(a, b) for a, b in itertools.combinations(prompts, 2)) < 0.5
    for sample in samples:
        assert max(likeness(a, b) for a, b in itertools.combinations(sample.references, 2)) < 0.8
    references = [(s.id, r) for s in samples for r in s.references]
    apart = [(a, b) for (i, a), (j, b) in itertools.combinations(references, 2) if i != j]
    assert max(likeness(a, b) for a, b in apart) < 0.5


def test_dialogue_references_have_the_sentiment_asked_for(samples: tuple[Sample, ...]) -> None:
    analyzer = pytest.importorskip("vaderSentiment.vaderSentiment").SentimentIntensityAnalyzer()
    asked = {"positive tone": 1, "negative tone": -1, "warmly": 1}
    dialogue = [s for s in samples if s.metadata["family"] == "dialogue"]
    assert len(dialogue) == 3
    for sample in dialogue:
        (sign,) = (sign for word, sign in asked.items() if word in str(sample.prompt))
        assert all(sign * analyzer.polarity_scores(text)["compound"] > 0.5 for text in sample.references)


@pytest.mark.parametrize("name", SUITES)
def test_the_suites(name: str) -> None:
    text = files("harness_tasks.suites").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    suite = yaml.safe_load(text)
    assert suite["name"] == name
    assert suite["models"] == ["hf:smollm2-135m"]
    assert suite["generate"]["n"] == 4
    assert suite["metrics"] == ["bleu", "chrf", "rouge", "sentiment", "diversity", "length"]
    assert sum(term["weight"] for term in suite["reward"]["terms"]) == pytest.approx(1)
    assert suite["reports"] == ["html", "csv"]


def test_the_e2e_suite_maps_its_columns() -> None:
    suite = yaml.safe_load(files("harness_tasks.suites").joinpath("e2e.yaml").read_text(encoding="utf-8"))
    (task,) = suite["tasks"]
    assert task["source"] == "file:e2e_devset.csv"
    assert task["fields"] == {"prompt": "mr", "reference": "ref"}
    assert [field for _, field in parse_template(task["template"])] == ["mr", ""]
    assert task["limit"] == 40


def test_every_suite_is_tested_here() -> None:
    folder = Path(str(files("harness_tasks.suites")))
    assert {path.stem for path in folder.glob("*.yaml")} == set(SUITES)
