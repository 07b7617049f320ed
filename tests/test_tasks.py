"""From rows to samples."""

from __future__ import annotations

import csv
import datetime
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import DataError, Json, Message, Sample
from harness.store import read_samples, write_samples
from harness.strictjson import MAX_LINE
from harness.tasks import load_samples, parse_template


@dataclass(frozen=True)
class Spec:
    """What `load_samples` reads of a suite's task."""

    name: str = "t"
    fields: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    template: str | None = None
    system: str | None = None
    language: str | None = None
    limit: int | None = None


def load(rows: object, limit: int | None = None, **spec: object) -> tuple[Sample, ...]:
    return load_samples(Spec(**spec), rows, limit=limit)  # type: ignore[arg-type]


def refusal(rows: object, **spec: object) -> str:
    with pytest.raises(DataError) as error:
        load(rows, **spec)
    return str(error.value)


def digest(prompt: object) -> str:
    text = json.dumps(prompt, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# what a run can read back


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("whole", [False, True], ids=["a column", "the object itself"])
def test_what_of_a_row_is_taken_can_be_read_back_from_a_run(tmp_path: Path, whole: bool) -> None:
    """As deep as a line of a file may be nested, the row's own level included, or one level too deep for ours."""

    def row(levels: int) -> dict[str, object]:
        return {"prompt": "p", "metadata": {"k": nested(levels)} if whole else nested(levels)}

    fields = {"prompt": "prompt", "metadata": "metadata"}
    samples = load([row(62)], fields=fields)
    write_samples(tmp_path, samples)
    assert read_samples(tmp_path) == {"t": samples}
    assert "row 1: metadata.k" in refusal([row(63)], fields=fields) or not whole
    assert "nested deeper than" in refusal([row(63)], fields=fields)


def test_a_sample_of_many_rows_can_be_read_back_however_long_its_line_is(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "reference": f"{i} " + "x" * 2**20} for i in range(9)]
    samples = load(rows)
    write_samples(tmp_path, samples)
    assert (tmp_path / "samples.jsonl").stat().st_size > MAX_LINE
    assert read_samples(tmp_path) == {"t": samples}


# fields


def test_rows_with_our_own_names_need_no_fields() -> None:
    rows = [
        {"id": 1, "prompt": "p", "references": ["a", "b"], "language": "de", "cluster": 3, "metadata": {"k": [1]}},
        {"id": "2", "prompt": [{"role": "user", "content": "hi"}], "reference": "c", "extra": 5, "list": [1]},
    ]
    assert load(rows, language="en") == (
        Sample("1", "p", ("a", "b"), "t", "de", "3", {"k": [1]}),
        Sample("2", (Message("user", "hi"),), ("c",), "t", "en", None, {"extra": 5}),
    )


def test_fields_name_the_columns() -> None:
    rows = [{"n": 4.0, "q": "p", "a": "x", "b": None, "c": "", "l": "de", "doc": 9, "more": True, "prompt": "no"}]
    fields = {"id": "n", "prompt": "q", "reference": ("a", "b", "c"), "language": "l", "cluster": "doc"}
    assert load(rows, fields=fields) == (Sample("4.0", "p", ("x",), "t", "de", "9", {"more": True, "prompt": "no"}),)


def test_a_column_of_lists_and_one_of_texts() -> None:
    fields = {"prompt": "p", "reference": "best", "references": ("all", "old")}
    (sample,) = load([{"p": "x", "best": 7, "all": ["b", None, "", 2.5], "old": None}], fields=fields)
    assert sample.references == ("7", "b", "2.5")


def test_metadata_may_be_chosen() -> None:
    row = {"prompt": "x", "a": 1, "b": [1, {"c": None}], "metadata": {"d": 4}}
    (sample,) = load([row], fields={"prompt": "prompt", "metadata": ("b", "metadata")})
    assert sample.metadata == {"b": [1, {"c": None}], "d": 4}


def test_metadata_is_what_json_can_hold() -> None:
    row = {"prompt": "x", "day": datetime.date(2024, 1, 1), "n": float("nan"), "none": None, "metadata": None}
    (sample,) = load([row])
    assert sample.metadata == {"n": None, "none": None}
    assert "metadata.day: a date is no JSON value" in refusal([row], fields={"prompt": "prompt", "metadata": "day"})
    assert "row 1: metadata.n: inf is no finite number" in refusal([{"prompt": "x", "n": float("inf")}])


@pytest.mark.parametrize(
    ("rows", "spec", "message"),
    [
        ([{"question": "x"}], {}, "task 't', row 1: there is no column 'prompt' for `prompt`; there is question"),
        ([{"prmpt": "x", "a": 1}], {}, "no column 'prompt' for `prompt`; did you mean 'prmpt'? (there is a, prmpt)"),
        (
            [{"q": "x"}, {"q": "x", "ref": "y"}],
            {"fields": {"prompt": "q", "reference": "rfe"}},
            "task 't', every row: there is no column 'rfe' for `reference`; did you mean 'ref'?",
        ),
        ([{"q": "x"}], {"fields": {"prompts": "q"}}, "fields: unknown name 'prompts'; did you mean 'prompt'?"),
        ([{"q": "x"}], {"fields": {"reference": "q"}}, "no column is mapped to `prompt`; add `prompt: COLUMN`"),
        ([{"q": "x"}], {"fields": {"prompt": ("q", "r")}}, "fields.prompt: takes one column, not 2"),
        ([{"prompt": 5}], {}, "row 1: prompt: expected text or a list of"),
        ([{"prompt": ""}], {}, "row 1: prompt: empty"),
        ([{"prompt": None}], {}, "row 1: prompt: empty"),
        ([{"prompt": "x"}, {"prompt": "\ud800"}], {}, "row 2: prompt: character 1 is a lone surrogate"),
        ([{"prompt": [{"role": "user", "text": "x"}]}], {}, "row 1: prompt[0]: unknown key 'text'"),
        ([{"prompt": "x", "reference": ["y"]}], {}, "row 1: reference: expected text, not a list"),
        ([{"prompt": "x", "reference": True}], {}, "row 1: reference: expected text, not true"),
        ([{"prompt": "x", "reference": float("nan")}], {}, "row 1: reference: nan is no finite number"),
        ([{"prompt": "x", "references": "y"}], {}, "expected a list of texts, not the text 'y'; map a column of texts"),
        ([{"prompt": "x", "references": [["y"]]}], {}, "row 1: references[0]: expected text, not a list"),
        ([{"prompt": "x", "language": 5.5, "cluster": []}], {}, "row 1: cluster: expected text, not a list"),
        ([{"prompt": "x", "note": "\udfff"}], {}, "row 1: metadata.note: character 1 is a lone surrogate"),
        ([{"prompt": "x", "id": True}], {}, "row 1: id: expected text, not true"),
        ([{"i": "", "p": "x"}], {"fields": {"prompt": "p", "id": "i"}}, "row 1: id: empty; give each row one"),
        (["x"], {}, "row 1: expected an object of columns, not the text 'x'"),
        ([], {}, "task 't': its source gave no rows; an empty task cannot be run"),
        ([{"prompt": "x"}], {"limit": 0}, "task 't': limit 0 leaves no samples"),
    ],
    ids=range(23),
)
def test_rows_that_do_not_fit(rows: object, spec: dict[str, object], message: str) -> None:
    assert message in refusal(rows, **spec)


# ids and merging


def test_rows_with_equal_prompts_are_one_sample() -> None:
    rows = [
        {"mr": "a", "ref": "1", "who": "x", "year": 1},
        {"mr": "b", "ref": "2", "who": "x", "year": 1},
        {"mr": "a", "ref": "3", "who": "y", "year": 1},
        {"mr": "a", "ref": "1", "who": "x", "year": 1},
    ]
    samples = load(rows, fields={"prompt": "mr", "reference": "ref"})
    assert samples == (
        Sample(digest("a"), "a", ("1", "3", "1"), "t", metadata={"year": 1}),
        Sample(digest("b"), "b", ("2",), "t", metadata={"who": "x", "year": 1}),
    )


def test_the_id_made_of_a_prompt() -> None:
    (sample,) = load([{"prompt": "naïve"}])
    assert sample.id == "ec69c2a3cbd7"  # of sha256sum for the 8 bytes of "naïve" in its quotes
    (chat,) = load([{"prompt": [{"role": "user", "content": "a"}]}])
    assert chat.id == "5168bd634e48"  # of sha256sum for [{"content":"a","role":"user"}]


def test_what_differs_beside_the_prompt() -> None:
    rows = [{"prompt": "a", "language": "en"}, {"prompt": "b"}, {"prompt": "a", "language": "de"}]
    assert "rows 1 and 3 have the same prompt, but language 'en' and 'de'" in refusal(rows)
    rows = [{"prompt": "a", "cluster": "1"}, {"prompt": "a"}]
    assert "rows 1 and 2 have the same prompt, but cluster '1' and None" in refusal(rows)


def test_the_final_prompt_decides_what_is_equal() -> None:
    rows = [{"q": "?", "context": "a"}, {"q": "?", "context": "b"}]
    assert len(load(rows, fields={"prompt": "q"})) == 1
    assert len(load(rows, fields={"prompt": "q"}, template="{context} {prompt}")) == 2


def test_a_repeated_id_is_an_error_even_with_equal_prompts() -> None:
    rows = [{"n": 1, "p": "x"}, {"n": 2, "p": "x"}, {"n": "1", "p": "x"}]
    message = refusal(rows, fields={"id": "n", "prompt": "p"})
    assert message.startswith("task 't': rows 1 and 3 have the same id '1'; an id names one sample")
    assert [s.id for s in load(rows[:2], fields={"id": "n", "prompt": "p"})] == ["1", "2"]
    assert "rows 1 and 2 have the same id 'a'" in refusal([{"id": "a", "prompt": "x"}] * 2)


def test_rows_of_which_some_have_an_id() -> None:
    rows = [{"id": "a", "prompt": "x"}, {"prompt": "x", "reference": "1"}, {"id": None, "prompt": "x"}]
    assert [(s.id, s.references) for s in load(rows)] == [("a", ()), (digest("x"), ("1",))]
    assert "two samples came by the id" in refusal([{"id": digest("x"), "prompt": "y"}, {"prompt": "x"}])


def test_limit_counts_samples_and_keeps_all_their_rows() -> None:
    rows = [{"prompt": p, "reference": str(i)} for i, p in enumerate("aabbcaca")]
    assert [(s.prompt, s.references) for s in load(rows, 2)] == [("a", ("0", "1", "5", "7")), ("b", ("2", "3"))]
    assert load(rows, limit=2) == load_samples(Spec(limit=2), rows) == load_samples(Spec(limit=9), rows, limit=2)
    assert len(load(rows, 99)) == 3


def test_limit_stops_reading_where_ids_say_that_nothing_follows() -> None:
    read: list[int] = []

    def rows() -> Iterator[dict[str, Json]]:
        for number in range(100):
            read.append(number)
            yield {"id": number, "prompt": "x"}

    spec = Spec(fields={"id": "id", "prompt": "prompt"})
    assert len(load_samples(spec, rows(), limit=3)) == 3
    assert len(read) < 5
    read.clear()
    assert len(load_samples(Spec(), rows(), limit=3)) == 3
    assert len(read) == 100


ROWS = st.lists(
    st.fixed_dictionaries({"prompt": st.sampled_from("abcd"), "reference": st.text(min_size=1, max_size=2)})
)


@given(ROWS.filter(bool), st.none() | st.integers(1, 5))
@settings(max_examples=60)
def test_merging_loses_nothing(rows: list[dict[str, str]], limit: int | None) -> None:
    by_prompt: dict[str, list[str]] = {}
    for row in rows:
        by_prompt.setdefault(row["prompt"], []).append(row["reference"])
    expected = [(prompt, tuple(refs)) for prompt, refs in by_prompt.items()][:limit]
    assert [(s.prompt, s.references) for s in load(rows, limit)] == expected


@given(ROWS.filter(bool), ROWS)
@settings(max_examples=40)
def test_ids_stay_when_rows_come_between(rows: list[dict[str, str]], more: list[dict[str, str]]) -> None:
    before = {s.prompt: s.id for s in load(rows)}
    after = {s.prompt: s.id for s in load([*more, *rows])}
    assert before.items() <= after.items()


# template and system


def test_a_template_is_filled_from_columns_and_from_our_names() -> None:
    row = {"mr": "name[X]", "year": 2017, "score": 0.5, "ok": True, "prompt": "shadowed", "Food Type": "fish"}
    template = "{{{mr}}} {prompt} {year}/{score}/{ok} {Food Type} {{mr}} }}{{"
    (sample,) = load([row], fields={"prompt": "mr"}, template=template)
    assert sample.prompt == "{name[X]} name[X] 2017/0.5/true fish {mr} }{"
    assert sample.id == digest(sample.prompt)


def test_what_a_cell_holds_is_no_template() -> None:
    (sample,) = load([{"a": "{b} {{", "b": "}{"}], template="{a}|{b}")
    assert sample.prompt == "{b} {{|}{"


def test_a_template_alone_makes_the_prompt() -> None:
    (sample,) = load([{"mr": "x", "ref": "y"}], fields={"reference": "ref"}, template="Say {mr}.")
    assert (sample.prompt, sample.references, sample.metadata) == ("Say x.", ("y",), {"mr": "x"})


@pytest.mark.parametrize(
    "template",
    ["{a.b}", "{a[0]}", "{a!r}", "{a:>5}", "{}", "{ a}", "{a", "a}", "{a{b}}", "{{a}", "{a}}", "{a.__class__}", "{{{"],
)
def test_a_template_holds_plain_fields_only(template: str) -> None:
    with pytest.raises(ValueError, match="is no field; write the name of a column in braces"):
        parse_template(template)
    assert refusal([{"a": "x"}], template=template).startswith("task 't': template: '")


@given(st.text(st.sampled_from("ab{} "), max_size=12))
@settings(max_examples=300)
def test_a_template_means_what_format_means(template: str) -> None:
    """Where ours takes a template, Python's `str.format` with plain fields gives the same."""
    try:
        parts = parse_template(template)
    except ValueError:
        return
    values = {field: f"<{field}>" for _, field in parts if field}
    assert "".join(text + values.get(field, "") for text, field in parts) == template.format(**values)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"names": "x", "z": 1},
            "row 1: template: there is no field 'name'; did you mean 'names'? (there is names, z)",
        ),
        ({"z": "x"}, "row 1: template: there is no field 'name'; there is z"),
        ({"name": None}, "row 1: template: 'name' is null; only text and numbers can stand in a template"),
        ({"name": ["x"]}, "row 1: template: 'name' is a list"),
        ({"name": float("inf")}, "row 1: name: inf is no finite number"),
        ({"name": "\ud800"}, "row 1: name: character 1 is a lone surrogate"),
    ],
    ids=range(6),
)
def test_fields_that_cannot_be_filled(row: dict[str, object], message: str) -> None:
    assert message in refusal([row], template="{name}")


def test_a_system_prompt_goes_before() -> None:
    (text, chat) = load(
        [{"prompt": "a"}, {"prompt": [{"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]}],
        system="Be {brief}.",
    )
    system = Message("system", "Be {brief}.")
    assert text.prompt == (system, Message("user", "a"))
    assert chat.prompt == (system, Message("user", "b"), Message("assistant", "c"))
    rows = [{"prompt": [{"role": "system", "content": "x"}]}]
    assert "row 1: prompt: starts with a system message already" in refusal(rows, system="y")
    assert "task 't': system: character 1 is a lone surrogate" in refusal(rows, system="\ud800")


# real data


@pytest.mark.data
def test_e2e_rows_become_samples_of_several_references(shared_data: Path) -> None:
    with (shared_data / "tasks" / "e2e_devset.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    by_mr: dict[str, list[str]] = {}
    for row in rows:
        by_mr.setdefault(row["mr"], []).append(row["ref"])
    fields = {"prompt": "mr", "reference": "ref"}
    template = "Describe the restaurant in one sentence.\n{mr}"
    samples = load(rows, fields=fields, template=template, language="en")
    assert len(rows) == sum(len(s.references) for s in samples) == 4672  # the count that the data set's paper gives
    assert len(samples) == len(by_mr) == 547
    assert [s.references for s in samples] == [tuple(refs) for refs in by_mr.values()]
    assert samples[0].prompt == f"Describe the restaurant in one sentence.\n{rows[0]['mr']}"
    assert load(rows, 40, fields=fields, template=template, language="en") == samples[:40]


def test_a_row_may_lack_what_is_not_needed() -> None:
    rows = [{"q": "x"}, {"q": "y", "ref": "r", "lang": "de"}, {"q": "z", "ref": "s"}]
    spec = {"fields": {"prompt": "q", "reference": "ref", "language": "lang"}}
    found = [(s.prompt, s.references, s.language) for s in load(rows, **spec)]
    assert found == [("x", (), None), ("y", ("r",), "de"), ("z", ("s",), None)]
    assert "row 2: there is no column 'q' for `prompt`" in refusal([{"q": "x"}, {"ref": "r"}], **spec)
