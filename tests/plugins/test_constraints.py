"""The scores of verifiable instructions, IFEval's data as a task, and the table by instruction."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Batch, Completion, Generation, Memo, Sample, Scores, Whole, read_generations, score
from harness.registry import Registry
from harness.run import prepare, run_suite
from harness.store import Run
from harness.suite import parse_suite
from harness_plugins.constraints import constraints

NAMES = ("constraints", "constraints_loose", "constraints_all", "constraints_all_loose")
NO_COMMA, QUOTED, TITLE = "punctuation:no_comma", "startend:quotation", "detectable_format:title"


def group(*texts: str, ids: Any = (NO_COMMA, QUOTED), kwargs: Any = None, id: str = "7", **sample: Any) -> Generation:
    asked = Sample(id, metadata={"instruction_id_list": ids, "kwargs": kwargs}, **sample)
    return Generation(asked, "m", tuple(map(Completion, texts)))


def scored(*groups: Generation, wanted: tuple[str, ...] = ()) -> dict[str, Scores]:
    return dict(constraints()(Batch(groups, frozenset(wanted))))


def test_shares_and_all_of_a_sample() -> None:
    found = scored(group('"a"', "a", "a,", 'Sure:\n"a"', '"*a"'))
    assert found["constraints"].segment == [1.0, 0.5, 0.0, 0.5, 1.0]
    assert found["constraints_loose"].segment == [1.0, 0.5, 0.0, 1.0, 1.0]
    assert found["constraints_all"].segment == [1.0, 0.0, 0.0, 0.0, 1.0]
    assert found["constraints_all_loose"].segment == [1.0, 0.0, 0.0, 1.0, 1.0]
    assert found["constraints"].statistics.tolist() == [[2, 2], [1, 2], [0, 2], [1, 2], [2, 2]]
    assert found["constraints_all"].statistics is None


@pytest.mark.parametrize(
    ("text", "loose"),
    [
        ("<<x>>", 1.0),
        ("Sure:\n<<x>>\nBye", 1.0),
        ("<*<x>*>", 1.0),
        ("Sure\n<*<x>*>\nBye", 1.0),
        ("<<\nx>>", 0.0),
        ("", 0.0),
        ("**", 0.0),
    ],
)
def test_the_eight_variants(text: str, loose: float) -> None:
    assert scored(group(text, ids=[TITLE]))["constraints_loose"].segment == [loose]


@pytest.mark.parametrize(
    ("text", "strict", "loose"),
    [
        ("bad\ngood\ngood", 0.0, 1.0),  # without the first line
        ("good\ngood\nbad", 0.0, 1.0),  # without the last
        ("bad\ngood\nbad", 0.0, 1.0),  # without both
        ("good\nbad\ngood", 0.0, 0.0),
        ("b*ad", 1.0, 1.0),
        ("bad", 0.0, 0.0),  # nothing is left of it
        ("bad\n \nbad", 0.0, 0.0),
    ],
)
def test_lines_that_are_forgiven(text: str, strict: float, loose: float) -> None:
    found = scored(group(text, ids=["keywords:forbidden_words"], kwargs=[{"forbidden_words": ["bad"]}]))
    assert found["constraints"].segment == [strict]
    assert found["constraints_loose"].segment == [loose]


def test_an_empty_completion_follows_nothing_not_even_a_prohibition() -> None:
    for scores in scored(group("", " \n", ids=[NO_COMMA])).values():
        assert scores.segment == [0.0, 0.0]


@pytest.mark.parametrize("metadata", [{}, {"instruction_id_list": None}, {"instruction_id_list": [], "kwargs": []}])
def test_without_instructions_it_abstains(metadata: dict[str, Any]) -> None:
    found = scored(Generation(Sample("1", metadata=metadata), "m", (Completion("a"),)))
    for scores in found.values():
        assert scores.status_of(0) == "abstain"
        assert scores.reasons[0].startswith("the sample's metadata holds no instruction_id_list")
    assert np.isnan(found["constraints"].statistics).all()


def test_an_instruction_that_cannot_be_checked_makes_its_sample_invalid_and_no_other() -> None:
    found = scored(group("a", "b", ids=[NO_COMMA, "startend:quotes"]), group("a", ids=[NO_COMMA]))
    for scores in found.values():
        assert scores.segment == [None, None, 1.0]
        assert scores.status_of(1) == "invalid"
        assert scores.reasons[1] == (
            "sample '7': there is no instruction 'startend:quotes'; did you mean 'startend:quotation'?"
        )


def test_the_corpus_score_is_of_instructions_and_the_other_of_samples() -> None:
    asked = {"a": [NO_COMMA], "a,": [NO_COMMA, QUOTED, TITLE], "b": []}
    groups = [group(text, ids=ids, id=text) for text, ids in asked.items()]
    found = score(groups, ["constraints"], registry=Registry.load(allow=("constraints",)))
    assert found["constraints"].corpus == found["constraints_loose"].corpus == 1 / 4
    assert found["constraints_all"].corpus == found["constraints_all_loose"].corpus == 1 / 2
    metric = constraints()
    sums = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 2.0]])
    assert [None if math.isnan(v) else v for v in metric.corpus_from("constraints", sums).tolist()] == [0.75, None, 0.0]


def test_only_what_is_wanted_is_given() -> None:
    both = scored(group("Sure,\n<<x>>", ids=[TITLE, NO_COMMA]))
    for name in NAMES:
        (alone,) = scored(group("Sure,\n<<x>>", ids=[TITLE, NO_COMMA]), wanted=(name,)).values()
        assert (alone.info.name, alone.segment) == (name, both[name].segment)
    assert scored(group("a"), wanted=("bleu",)) == {}


def test_infos_and_signatures() -> None:
    assert [(i.name, i.low, i.high, i.higher_is_better, i.corpus) for i in constraints().infos] == [
        (name, 0.0, 1.0, True, "mean" if "all" in name else "statistics") for name in NAMES
    ]
    assert [s.signature for s in scored(group("a", language="en")).values()] == [
        "constraints|mode:strict|version:1",
        "constraints_loose|mode:loose|version:1",
        "constraints_all|mode:strict|version:1",
        "constraints_all_loose|mode:loose|version:1",
    ]


def test_the_signature_tells_which_languages_without_spaces_the_task_has() -> None:
    whole = Whole.of(
        [Sample("1", language="zh-Hans"), Sample("2"), Sample("3", language="ja"), Sample("4", language="de")]
    )
    found = constraints()(Batch((group("a", language="de"),), frozenset({"constraints"}), whole=whole))
    assert found["constraints"].signature == "constraints|mode:strict|version:1|spaceless:ja+zh"


# As IFEval publishes its data: kwargs hold what is meant, and nothing else.
IFEVAL = [
    {
        "key": 2001,
        "prompt": "Write two lines about tea. Do not use commas and wrap the whole answer in double quotation marks.",
        "instruction_id_list": [NO_COMMA, QUOTED],
        "kwargs": [{}, {}],
    },
    {
        "key": 2002,
        "prompt": "Describe a bridge in at least 5 words. Highlight at least 1 section, i.e. *highlighted section*.",
        "instruction_id_list": ["length_constraints:number_words", "detectable_format:number_highlighted_sections"],
        "kwargs": [{"relation": "at least", "num_words": 5}, {"num_highlights": 1}],
    },
    {
        "key": 2003,
        "prompt": "Name a river. First repeat the request word for word, then answer.",
        "instruction_id_list": ["combination:repeat_prompt", "keywords:existence", NO_COMMA],
        "kwargs": [{"prompt_to_repeat": "Name a river."}, {"keywords": ["Danube", "flows"]}, {}],
    },
]
COMPLETIONS = {
    "2001": ['Of course!\n"Tea is warm.\nTea is kind."', '"Tea"'],  # quotation: loosely
    "2002": ["An *old* bridge.", "The *old* bridge of stone stands."],  # words: no
    "2003": ["Name a river. The Danube flows, slowly.", "The Danube flows."],  # comma; not repeated
}
SUITE = """
name: ifeval
tasks:
  - name: ifeval
    source: file:input_data.jsonl
    fields: {id: key, prompt: prompt, metadata: [instruction_id_list, kwargs]}
models: [{"replay:answers.jsonl": {as: answers}}]
generate: {n: 2, temperature: 1.0}
metrics: [constraints]
"""


def run_of(place: Path, rows: list[dict[str, Any]]) -> Run:
    (place / "input_data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    answers = [{"id": id, "completions": texts} for id, texts in COMPLETIONS.items()]
    (place / "answers.jsonl").write_text("".join(json.dumps(a) + "\n" for a in answers), encoding="utf-8")
    registry = Registry.load(allow=("constraints", "files", "replay"))
    return run_suite(prepare(parse_suite(SUITE, folder=place, registry=registry), registry), place / "out").run


@pytest.mark.parametrize("with_nulls", [False, True])
def test_ifevals_own_file_is_a_task_as_it_is(tmp_path: Path, with_nulls: bool) -> None:
    rows = [dict(row) for row in IFEVAL]
    if with_nulls:  # the copy on the hub has every argument in every row
        every = dict.fromkeys(key for row in IFEVAL for given in row["kwargs"] for key in given)  # type: ignore[attr-defined]
        for row in rows:
            row["kwargs"] = [every | given for given in row["kwargs"]]  # type: ignore[attr-defined]
    run = run_of(tmp_path, rows)
    found = run.scores("ifeval", run.models[0])
    assert found["constraints"].segment == [0.5, 1.0, 0.5, 1.0, 2 / 3, 2 / 3]
    assert found["constraints_loose"].segment == [1.0, 1.0, 0.5, 1.0, 2 / 3, 2 / 3]
    corpus = {row.score: row.value for row in run.corpus}
    assert corpus == {
        "constraints": 10 / 14,
        "constraints_loose": 11 / 14,
        "constraints_all": 2 / 6,
        "constraints_all_loose": 3 / 6,
    }
    table = run.analyses["constraints"]
    assert table.columns == ("task", "model", "instruction", "strict", "loose", "n")
    assert [row[2:] for row in table.rows] == [
        ("keywords:existence", 1.0, 1.0, 2),
        ("length_constraints:number_words", 0.5, 0.5, 2),
        ("detectable_format:number_highlighted_sections", 1.0, 1.0, 2),
        ("combination:repeat_prompt", 0.5, 0.5, 2),
        (QUOTED, 0.5, 1.0, 2),
        (NO_COMMA, 0.75, 0.75, 4),
    ]
    assert {row[:2] for row in table.rows} == {("ifeval", run.models[0])}


def test_ifevals_rows_with_responses_are_scored_from_a_file_of_generations(tmp_path: Path) -> None:
    path = tmp_path / "generations.jsonl"
    records = [
        {
            "id": str(row["key"]),
            "prompt": row["prompt"],
            "metadata": {key: row[key] for key in ("instruction_id_list", "kwargs")},
            "completions": COMPLETIONS[str(row["key"])],
        }
        for row in IFEVAL
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    found = score(read_generations(path), ["constraints"], registry=Registry.load(allow=("constraints",)))
    assert found["constraints"].corpus == 10 / 14


def test_the_table_leaves_out_what_has_no_value() -> None:
    class Few:
        def generations(self) -> list[Generation]:
            failed = Generation(group(ids=[NO_COMMA]).sample, "m", (Completion(None, "error", "x"), Completion("a,")))
            return [failed, group("a", ids=[]), group("a", ids=["x:y"]), group("a", ids=[NO_COMMA])]

    table = constraints().analyse(Few())["constraints"]  # type: ignore[arg-type]
    assert table.rows == (("", "m", NO_COMMA, 0.5, 0.5, 2),)


def test_a_language_is_looked_for_in_what_metrics_share() -> None:
    shared = Memo()
    asked = group("the cat sat on the mat", ids=["language:response_language"], kwargs=[{"language": "en"}])
    metric = constraints()
    for _ in range(2):
        assert metric(Batch((asked,), shared=shared))["constraints"].segment == [1.0]
    assert shared.get(("langdetect", "seed 0"), lambda: None) is not None


lines = st.lists(st.sampled_from(["a", "b,", '"a"', "<<t>>", "*x*", "", "******"]), max_size=6).map("\n".join)


@settings(max_examples=150, deadline=None)
@given(lines, st.lists(st.sampled_from([NO_COMMA, QUOTED, TITLE, "combination:two_responses"]), min_size=1, max_size=4))
def test_loose_is_never_below_strict_and_all_is_one_exactly_where_the_share_is(text: str, ids: list[str]) -> None:
    values = {name: scores.segment[0] for name, scores in scored(group(text, ids=ids)).items()}
    assert values["constraints"] <= values["constraints_loose"]  # type: ignore[operator]
    assert values["constraints_all"] == (values["constraints"] == 1.0)
    assert values["constraints_all_loose"] == (values["constraints_loose"] == 1.0)
    assert values["constraints"] * len(ids) == pytest.approx(round(values["constraints"] * len(ids)))  # type: ignore[operator]
