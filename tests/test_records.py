"""The records of `harness score`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness import Completion, DataError, Generation, Message, Preference, Sample, read_generations
from harness.records import iter_generations, record_of
from harness.strictjson import dumps

FULL = {
    "id": 7,
    "task": "t",
    "model": "m",
    "language": "en",
    "cluster": 1,
    "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    "references": ["one", "two"],
    "metadata": {"topic": ["a", {"b": None}], "n": 1.5},
    "completions": [
        "first",
        None,
        {"text": "third", "finish_reason": "length", "tokens": 4, "logprob": -2},
        {"text": None, "status": "timeout", "reason": "60 s"},
    ],
    "ratings": [{"coherence": [4, 5, None], "fluency": 4.5}, {}, None, {"fluency": None}],
    "preferences": [
        {"better": 0, "worse": 2, "rater": "a"},
        {"better": "reference", "worse": 0, "tie": True},
    ],
}


def generation(**entries: object) -> Generation:
    (found,) = read_generations([{"completions": ["x"], **entries}])  # type: ignore[dict-item]
    return found


def refusal(**entries: object) -> str:
    with pytest.raises(DataError) as error:
        generation(**entries)
    return str(error.value)


def test_a_full_record() -> None:
    (found,) = read_generations([json.dumps(FULL)])
    assert found == Generation(
        Sample(
            id="7",
            prompt=(Message("system", "Be brief."), Message("user", "Hi")),
            references=("one", "two"),
            task="t",
            language="en",
            cluster="1",
            metadata={"topic": ["a", {"b": None}], "n": 1.5},
        ),
        model="m",
        completions=(
            Completion("first", ratings={"coherence": (4.0, 5.0, None), "fluency": (4.5,)}),
            Completion(None, "error", "the record holds null: the model gave no text"),
            Completion("third", finish_reason="length", tokens=4, logprob=-2.0),
            Completion(None, "timeout", "60 s", ratings={"fluency": (None,)}),
        ),
        preferences=(Preference(0, 2, "a"), Preference("reference", 0, None, True)),
    )


def test_only_completions_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"completions": ["a"]}\n\n{"completions": ["b", ""]}\r\n')
    expected = [
        Generation(Sample("1"), "", (Completion("a"),)),
        Generation(Sample("3"), "", (Completion("b"), Completion(""))),
    ]
    assert read_generations(path) == expected
    assert read_generations(str(path)) == expected
    assert harness.read_generations(path.read_text(encoding="utf-8-sig").splitlines()) == expected


def test_one_id_may_come_back_under_another_model_or_task() -> None:
    found = read_generations(
        [
            {"id": "a", "model": "m", "completions": ["x"]},
            {"id": "a", "model": "n", "completions": ["x"]},
            {"id": "a", "model": "m", "task": "t", "completions": ["x"]},
        ]
    )
    assert [g.key for g in found] == [("", "a", "m"), ("", "a", "n"), ("t", "a", "m")]


def test_a_repeated_key_names_both_lines() -> None:
    line = '{"task": "t", "id": 5, "model": "m", "completions": ["x"]}'
    with pytest.raises(DataError) as error:
        read_generations([line, "", '{"completions": ["y"]}', line.replace("5", '"5"')])
    assert str(error.value) == (
        "line 4: task 't', id '5', model 'm' stands in line 1 already;"
        " put all completions of one sample and model into one record"
    )


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"completions": []}, "line 1: completions: empty; give at least one text, or null where the model failed"),
        ({"completions": "x"}, "line 1: completions: expected a list of texts, not the text 'x'"),
        ({"completions": {"text": "x"}}, "line 1: completions: expected a list of texts, not an object"),
        ({"completions": ["a", 5]}, "line 1: completions[1]: expected text, null or an object with `text`, not"),
        ({"completions": [{"text": 5}]}, "line 1: completions[0].text: expected text, not the number 5"),
        ({"completions": [{"txt": "a"}]}, "line 1: completions[0]: unknown key 'txt'; did you mean 'text'?"),
        ({"completions": [{"text": "a", "status": "okay"}]}, "completions[0].status: the text 'okay' is no status"),
        ({"completions": [{"text": "a", "status": []}]}, "completions[0].status: a list is no status"),
        ({"completions": [{"status": "ok"}]}, "completions[0].status: 'ok', but there is no text"),
        ({"completions": [{"text": "a", "tokens": -1}]}, "completions[0].tokens: expected a count from 0"),
        ({"completions": [{"text": "a", "tokens": True}]}, "completions[0].tokens: expected a count from 0, not true"),
        ({"completions": [{"text": "a", "tokens": 1.0}]}, "completions[0].tokens: expected a count from 0"),
        ({"completions": [{"text": "a", "logprob": "-1"}]}, "completions[0].logprob: expected a number or null"),
        ({"completions": [{"text": "a", "logprob": float("inf")}]}, "completions[0].logprob: inf is no finite"),
        ({"completions": [{"text": "a", "reason": 1}]}, "completions[0].reason: expected text, not the number 1"),
        ({"completions": ["a\ud800"]}, "completions[0]: character 2 is a lone surrogate"),
        ({"id": ""}, "line 1: id: empty"),
        ({"id": 1.0}, "line 1: id: expected text, not the number 1.0"),
        ({"id": True}, "line 1: id: expected text, not true"),
        ({"model": 3}, "line 1: model: expected text"),
        ({"prompt": 3}, "line 1: prompt: expected text or a list of"),
        ({"prompt": []}, 'line 1: prompt: expected text or a list of {"role", "content"}, not an empty list'),
        ({"prompt": ["hi"]}, "line 1: prompt[0]: expected an object"),
        ({"prompt": [{"role": "user"}]}, "line 1: prompt[0].content: expected text, not null"),
        ({"prompt": [{"role": "user", "contents": "x"}]}, "unknown key 'contents'; did you mean 'content'?"),
        ({"reference": "x"}, "line 1: unknown key 'reference'; did you mean 'references'?"),
        ({"references": "x"}, "line 1: references: expected a list of texts, not the text 'x'"),
        ({"references": ["x", None]}, "line 1: references[1]: expected text, not null"),
        ({"zzz": 1}, "unknown key 'zzz'; there is cluster, completions, id"),
        ({"metadata": [1]}, "line 1: metadata: expected an object, not a list"),
        ({"metadata": {"a": [float("nan")]}}, "line 1: metadata.a[0]: nan is no finite number"),
        ({"metadata": {"a": "\udc00"}}, "line 1: metadata.a: character 1 is a lone surrogate"),
        ({"ratings": {"fluency": 4}}, "line 1: ratings: expected a list of objects, not an object"),
        ({"ratings": [{}, {}]}, "line 1: ratings: 2 for 1 completions; give one object for each"),
        ({"ratings": [4]}, "line 1: ratings[0]: expected an object, not the number 4"),
        ({"ratings": [{"f": "4"}]}, "line 1: ratings[0].f: expected a number or null, not the text '4'"),
        ({"ratings": [{"f": [4, True]}]}, "line 1: ratings[0].f[1]: expected a number or null, not true"),
        ({"ratings": [{"f": float("nan")}]}, "line 1: ratings[0].f: nan is no finite number"),
        ({"preferences": {}}, "line 1: preferences: expected a list of objects, not an object"),
        ({"preferences": [{"better": 0}]}, "line 1: preferences[0].worse: expected a completion's index from 0 to 0"),
        ({"preferences": [{"better": 1, "worse": 0}]}, "preferences[0].better: expected a completion's index"),
        ({"preferences": [{"better": -1, "worse": 0}]}, "preferences[0].better: expected a completion's index"),
        ({"preferences": [{"better": False, "worse": "reference"}]}, "or 'reference', not false"),
        ({"preferences": [{"better": 0, "worse": 0}]}, "preferences[0]: better and worse are both 0"),
        ({"preferences": [{"better": 0, "worse": "reference", "tie": 1}]}, "tie: expected true or false"),
        ({"preferences": [{"better": 0, "worst": 1}]}, "preferences[0]: unknown key 'worst'; did you mean 'worse'?"),
    ],
    ids=range(46),
)
def test_a_wrong_record_is_told_by_line_and_key(entries: dict[str, object], message: str) -> None:
    assert message in refusal(**entries)


def test_completions_missing_and_lines_that_are_no_record() -> None:
    for line, message in [
        ("{}", "line 1: completions: missing; give a list of texts"),
        ("[1]", "line 1: expected a record, an object with `completions`, not a list"),
        ("null", "line 1: expected a record"),
        ("{", "line 1: this is not JSON"),
        ('{"completions": ["\\ud800"]}', "lone surrogate"),
        ('{"completions": ["a"], "metadata": {"a": NaN}}', "line 1: NaN is no JSON number"),
        ('{"completions": ["a"], "id": ' + "1" * 5000 + "}", "5,000 digits"),
        ('{"completions": ["a"], "completions": ["b"]}', "the key 'completions' stands twice"),
        ('{"completions": ["a"], "metadata": ' + '{"a":' * 64 + "1" + "}" * 65, "nested deeper than 64 levels"),
        (b'{"completions": ["\xff"]}', "is not UTF-8"),
    ]:
        with pytest.raises(DataError) as error:
            read_generations([line])
        assert message in str(error.value)
        assert "\n" not in str(error.value)


def test_one_problem_is_told_in_one_line_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"completions": ["a"]}\n{"completions": 1}\n')
    with pytest.raises(DataError) as error:
        read_generations(path)
    assert str(error.value) == f"{path}, line 2: completions: expected a list of texts, not the number 1"


def test_the_first_ten_problems_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"completions": ["a"]}\n{"completions": 1}\n' * 15)
    with pytest.raises(DataError) as error:
        read_generations(path)
    first, *rest = str(error.value).splitlines()
    assert first == f"{path}: records that cannot be taken, the first 10 of them:"
    assert [line.split(":")[0] for line in rest] == [f"  line {n}" for n in range(2, 21, 2)]


def test_problems_below_ten_are_all_told() -> None:
    with pytest.raises(DataError) as error:
        read_generations(["{", '{"completions": ["a"]}', "5"])
    assert str(error.value).splitlines()[0] == "the input: records that cannot be taken:"
    assert [line.split(":")[0].strip() for line in str(error.value).splitlines()[1:]] == ["line 1", "line 3"]


def test_generations_come_one_by_one_until_the_first_problem() -> None:
    good, bad = '{"completions": ["a"]}', '{"completions": 1}'
    found = iter_generations([good, good, bad, good])
    assert [next(found).sample.id, next(found).sample.id] == ["1", "2"]
    with pytest.raises(DataError, match="line 3: completions"):
        next(found)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.jsonl: holds no records"):
        read_generations(path)


def test_a_missing_file_and_a_long_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        read_generations(tmp_path / "none.jsonl")
    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        file.write(b'{"completions": ["a"]}\n')
        file.truncate(50 * 2**20)
    with pytest.raises(DataError, match=r"long\.jsonl, line 2: longer than"):
        read_generations(path)


TEXT = st.text(max_size=6)
NAMES = st.text(min_size=1, max_size=4)
NUMBERS = st.none() | st.floats(-5, 5) | st.integers(-3, 3).map(float)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
PROMPTS = st.none() | TEXT | st.lists(st.builds(Message, TEXT, TEXT), min_size=1, max_size=3).map(tuple)
SAMPLES = st.builds(
    Sample,
    id=NAMES,
    prompt=PROMPTS,
    references=st.lists(TEXT, max_size=2).map(tuple),
    task=TEXT,
    language=st.none() | TEXT,
    cluster=st.none() | TEXT,
    metadata=st.dictionaries(TEXT, JSON, max_size=2),
)
RATINGS = st.dictionaries(TEXT, st.lists(NUMBERS, max_size=3).map(tuple), max_size=2)
MORE = {
    "reason": st.none() | TEXT,
    "finish_reason": st.none() | TEXT,
    "tokens": st.none() | st.integers(0, 9),
    "logprob": NUMBERS,
    "ratings": RATINGS,
}
COMPLETIONS = st.builds(Completion, TEXT, st.sampled_from(harness.STATUSES), **MORE) | st.builds(
    Completion, st.none(), st.sampled_from(harness.STATUSES[1:]), **MORE
)


@st.composite
def generations(draw: st.DrawFn) -> Generation:
    completions = draw(st.lists(COMPLETIONS, min_size=1, max_size=3).map(tuple))
    sides = st.lists(st.sampled_from([*range(len(completions)), "reference"]), min_size=2, max_size=2, unique=True)
    preferences = draw(
        st.lists(
            st.tuples(sides, st.none() | TEXT, st.booleans()).map(lambda p: Preference(*p[0], p[1], p[2])),
            max_size=2,
        ).map(tuple)
    )
    return Generation(draw(SAMPLES), draw(TEXT), completions, preferences)


@given(generations())
@settings(max_examples=100, deadline=None)
def test_what_is_written_reads_back(written: Generation) -> None:
    assert read_generations([dumps(record_of(written))]) == [written]
    assert read_generations([record_of(written)]) == [written]


def test_a_written_record_says_no_more_than_it_must() -> None:
    (found,) = read_generations(['{"id": "a", "completions": ["x", {"text": "y", "tokens": 2}]}'])
    assert record_of(found) == {
        "id": "a",
        "completions": ["x", {"text": "y", "status": "ok", "tokens": 2}],
    }
