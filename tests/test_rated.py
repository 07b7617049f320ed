"""Sets of rated texts: what becomes of their rows, on small files of the same form and on the real ones."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness import DataError, Generation, Message
from harness.records import generation_of
from harness.suite import load_suite
from harness_tasks import rated

SETS = ("topicalchat", "bagel", "wmt-darr", "pandalm", "tweets")
SUITES = ("topicalchat", "wmt19-lt-en", "pandalm", "bagel", "tweets")
FILES = {
    "topicalchat": "human_ratings/unieval_topical_chat.json",
    "bagel": "human_ratings/bagel.jsonl",
    "wmt-darr": "human_ratings/wmt19_darr_lt-en_3k.jsonl",
    "pandalm": "preferences/pandalm_testset-v1.json",
    "tweets": "sentiment/tweets_GroundTruth.tsv",
}


def factories() -> dict[str, Any]:
    found: dict[str, Any] = {}

    def register(name: str, factory: Any, *, takes_path: bool = False) -> None:
        assert takes_path
        found[name] = factory

    rated.register_tasks(register)
    return found


def generations(name: str, path: Path) -> list[Generation]:
    """Every record of a set, read as a run reads it."""
    rows = list(factories()[name](str(path))())
    return [generation_of(row, f"row {i}") for i, row in enumerate(rows, 1)]


def of(name: str, tmp_path: Path, content: Any) -> list[Generation]:
    path = tmp_path / "data"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return generations(name, path)


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def chat(
    system: str, output: str, source: str = "hi \n hello you \n\n", context: str = "a fact\n", **scores: float
) -> Any:
    scores = scores or {"overall": 2.5}
    return {"source": source, "context": context, "system_id": system, "system_output": output, "scores": scores}


# TopicalChat


def test_a_conversation_has_the_human_text_as_reference_and_a_record_per_system(tmp_path: Path) -> None:
    rows = [
        chat("Original Ground Truth", "the human one ", overall=5.0),
        chat("Argmax Decoding", " first ", overall=1.0, naturalness=2.0),
        chat("New Human Generated", "second"),
        chat("Argmax Decoding", "other", source="alone\n", context="_nofact\n"),
    ]
    one, two, other = of("topicalchat", tmp_path, rows)
    assert [(g.sample.id, g.model) for g in (one, two, other)] == [
        ("1", "Argmax Decoding"), ("1", "New Human Generated"), ("2", "Argmax Decoding"),
    ]  # fmt: skip
    assert one.sample == two.sample
    assert one.sample.references == ("the human one",)
    assert other.sample.references == ()
    assert one.completions[0].text == "first"
    assert one.completions[0].ratings == {"overall": (1.0,), "naturalness": (2.0,)}
    assert one.sample.prompt == (
        Message("system", "a fact"), Message("assistant", "hi"), Message("user", "hello you"),
    )  # fmt: skip
    assert other.sample.prompt == (Message("user", "alone"),)


# BAGEL


def test_the_halves_of_bagel_are_two_systems_and_equal_references_are_one(tmp_path: Path) -> None:
    def row(source: str, text: str) -> Any:
        return {"source": source, "prediction": text, "references": ["r", "q", "r"], "scores": {"quality": 5.5}}

    found = of("bagel", tmp_path, lines(row("a", "1"), row("b", "2"), row("a", "3"), row("b", "4")))
    assert [(g.sample.id, g.model, g.completions[0].text) for g in found] == [
        ("1", "first", "1"), ("2", "first", "2"), ("1", "second", "3"), ("2", "second", "4"),
    ]  # fmt: skip
    assert found[0].sample == found[2].sample
    assert found[0].sample.references == ("r", "q")
    assert found[3].completions[0].ratings == {"quality": (5.5,)}


# Pairs


def test_all_translations_of_a_source_are_one_group(tmp_path: Path) -> None:
    def pair(source: str, better: tuple[str, str], worse: tuple[str, str]) -> Any:
        sides = {"better_system": better[0], "better": better[1], "worse_system": worse[0], "worse": worse[1]}
        return {"source": source, "reference": f"ref {source}", **sides}

    a, b, c = ("A", "x"), ("B", "y"), ("C", "x")
    one, two = of("wmt-darr", tmp_path, lines(pair("s", a, b), pair("t", b, c), pair("s", c, a), pair("s", c, b)))
    assert [t.text for t in one.completions] == ["x", "y", "x"]  # two systems may say the same
    assert one.sample.metadata == {"source_language": "lt", "systems": ["A", "B", "C"]}
    assert [(p.better, p.worse, p.tie) for p in one.preferences] == [(0, 1, False), (2, 0, False), (2, 1, False)]
    assert (one.model, one.sample.language, one.sample.prompt) == ("wmt19", "en", "s")
    assert one.sample.references == ("ref s",)
    assert [(p.better, p.worse) for p in two.preferences] == [(0, 1)]


def answers(**changed: Any) -> Any:
    row = {"cmp_key": "m_n", "instruction": "Do.", "input": "", "response1": "one", "response2": "two"}
    return row | {"annotator1": 1, "annotator2": 2, "annotator3": 0} | changed


def test_three_people_judge_a_pair(tmp_path: Path) -> None:
    rows = [answers(), answers(cmp_key="n_o", response1="two", response2=True), answers(input="this")]
    first, second = of("pandalm", tmp_path, rows)
    assert [(p.better, p.worse, p.rater, p.tie) for p in first.preferences[:3]] == [
        (0, 1, "annotator1", False), (1, 0, "annotator2", False), (0, 1, "annotator3", True),
    ]  # fmt: skip
    assert [c.text for c in first.completions] == ["one", "two", "True"]
    assert first.sample.metadata["systems"] == ["m", "n", "o"]
    assert {(p.better, p.worse) for p in first.preferences[3:]} == {(1, 2), (2, 1)}
    assert (first.sample.prompt, second.sample.prompt) == ("Do.", "Do.\n\nthis")
    assert first.sample.references == ()


def test_one_model_that_said_two_things_has_two_completions(tmp_path: Path) -> None:
    (found,) = of("pandalm", tmp_path, [answers(), answers(cmp_key="m_o", response1="else", response2="three")])
    assert [c.text for c in found.completions] == ["one", "two", "else", "three"]


# Tweets


def test_tweets_are_as_their_raters_saw_them(tmp_path: Path) -> None:
    one, two = of("tweets", tmp_path, '1\t-0.5\tyou &amp; "me" &lt;3\r\n2\t3\tyay\n')
    assert one.completions[0].text == 'you & "me" <3'
    assert one.completions[0].ratings == {"valence": (-0.5,)}
    assert one.sample.prompt is None
    assert two.sample.id == "2"


# What is wrong with a file


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("topicalchat", "{", "this is no JSON"),
        ("topicalchat", "{}", "expected a list of objects"),
        ("topicalchat", "[1]", "row 1: expected an object"),
        ("topicalchat", json.dumps([{"source": "s"}]), "row 1: context: expected text; is this another file?"),
        ("topicalchat", json.dumps([chat("A", "x", overall=float("nan"))]), "row 1: overall: expected a number"),
        ("topicalchat", json.dumps([chat("A", "x") | {"scores": []}]), "row 1: scores: expected a rating by dimension"),
        ("bagel", lines({"source": "a", "prediction": "b", "references": "c"}), "line 1: references: expected a list"),
        ("bagel", "[]\n", "line 1: expected an object"),
        ("wmt-darr", lines({"source": "a"}), "line 1: reference: expected text"),
        ("pandalm", json.dumps([answers(annotator2=3)]), "row 1: annotator2: expected 0, 1 or 2, not '3'"),
        ("pandalm", json.dumps([answers(annotator1=True)]), "row 1: annotator1: expected 0, 1 or 2, not 'True'"),
        ("pandalm", json.dumps([answers(cmp_key="m")]), "row 1: cmp_key: expected the names of two models"),
        ("tweets", "1\t2\n", "line 1: 2 cells"),
        ("tweets", "1\tfine\thello\n", "line 1: expected a number, not 'fine'"),
    ],
    ids=range(14),
)
def test_a_file_of_another_form_is_said_to_be_one(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        of(name, tmp_path, content)
    assert message in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "data"))


@pytest.mark.parametrize("name", SETS)
def test_a_file_that_is_gone_is_said_to_be_gone(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="gone"):
        generations(name, tmp_path / "gone")


def test_every_set_is_registered_with_a_path() -> None:
    assert tuple(factories()) == SETS
    assert all(factory.__doc__ for factory in factories().values())


# The real files


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "records", "samples", "models", "completions", "preferences"),
    [
        ("topicalchat", 300, 60, 5, 300, 0),
        ("bagel", 404, 202, 2, 404, 0),
        ("wmt-darr", 910, 910, 1, 4475, 3000),
        ("pandalm", 170, 170, 1, None, 2997),
        ("tweets", 4200, 4200, 1, 4200, 0),
    ],
)
def test_real_files_give_what_they_hold(
    shared_data: Path, name: str, records: int, samples: int, models: int, completions: int | None, preferences: int
) -> None:
    found = generations(name, shared_data / FILES[name])
    assert len(found) == records
    assert len({g.sample.id for g in found}) == samples
    assert len({g.model for g in found}) == models
    assert len({g.key for g in found}) == records
    assert completions is None or sum(len(g.completions) for g in found) == completions
    assert sum(len(g.preferences) for g in found) == preferences
    assert {g.sample.language for g in found} == {"en"}
    by_id: dict[str, Any] = {}
    assert all(by_id.setdefault(g.sample.id, g.sample) == g.sample for g in found)


@pytest.mark.data
def test_real_ratings_lie_on_the_scales_of_the_suites(shared_data: Path) -> None:
    for suite_name, name in (("topicalchat", "topicalchat"), ("bagel", "bagel"), ("tweets", "tweets")):
        suite = load_suite(Path(rated.__file__).parent / "suites" / f"{suite_name}.yaml")
        (spec,) = (s for s in suite.metrics if s.name == "human")
        scales: Any = spec.options["dimensions"]
        seen: dict[str, list[float]] = {}
        for generation in generations(name, shared_data / FILES[name]):
            for dimension, ratings in generation.completions[0].ratings.items():
                seen.setdefault(dimension, []).extend(r for r in ratings if r is not None)
        assert set(seen) == set(scales)
        for dimension, values in seen.items():
            low, high = scales[dimension]
            assert low <= min(values) <= max(values) <= high
            assert max(values) - min(values) > 0.8 * (high - low)


@pytest.mark.data
def test_the_first_turn_of_topicalchat_and_the_votes_of_pandalm(shared_data: Path) -> None:
    first = generations("topicalchat", shared_data / FILES["topicalchat"])[0]
    assert isinstance(first.sample.prompt, tuple)
    assert [m.role for m in first.sample.prompt] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert first.sample.prompt[-1].content.endswith("can you imagine that much soup ?")
    votes = Counter(
        (p.rater, p.tie) for g in generations("pandalm", shared_data / FILES["pandalm"]) for p in g.preferences
    )
    assert votes["annotator1", True] == 97


@pytest.mark.parametrize("name", SUITES)
def test_the_suites_say_where_their_data_comes_from_and_are_sound(name: str) -> None:
    path = Path(rated.__file__).parent / "suites" / f"{name}.yaml"
    head = path.read_text(encoding="utf-8").split("\nname:")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert "--data DIR" in head
    assert "not part of the harness" in head
    suite = load_suite(path)
    assert suite.name == name
    assert all(task.recorded for task in suite.tasks)
    assert "human" in [spec.name for spec in suite.metrics]
