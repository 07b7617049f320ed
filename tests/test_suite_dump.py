"""A suite written out again, and the JSON Schema by which editors know its keys."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import replace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SuiteError
from harness.names import column_name_problem
from harness.registry import Registry
from harness.suite import (
    ChoiceSpec,
    GuardSpec,
    OnlineSpec,
    RewardSpec,
    Suite,
    TaskSpec,
    TermSpec,
    load_suite,
    parse_suite,
    resolved,
    resolved_text,
    suite_json_schema,
)
from harness.suite_dump import as_yaml
from harness.suite_schema import FIELDS
from harness.tasks import NAMES
from harness.types import Settings, Spec
from harness.yamlfile import load

names = st.from_regex("[A-Za-z][A-Za-z0-9_.-]{0,6}", fullmatch=True).filter(lambda n: not column_name_problem(n))
tricky = st.sampled_from([
    "no", "012", "1e5", "0o7", ".inf", "~", "null", "true", "=", "<<", "- a", "a: b", "#x", " x ", "{mr}", "'", '"',
    "a\nb", "\n", "a \n b\n\n", "\tx", "é中🙂", "x" * 300, "---", "a\u2028b", "a\x85b", "*a", "&a", "!x", "%", "@", "9" * 120,
])  # fmt: skip
texts = tricky | st.text(st.characters(exclude_categories=("C",), include_characters="\n\t"), min_size=1, max_size=12)
numbers = st.floats(0, 1e300, allow_nan=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
options = st.dictionaries(texts.filter(lambda t: t != "as"), values, max_size=3)
columns = st.fixed_dictionaries(
    {"prompt": texts},
    optional={"references": texts | st.lists(texts, min_size=1, max_size=2).map(tuple)}
    | {"metadata": st.lists(texts, min_size=1, max_size=2).map(tuple), "id": texts},
)


nothing = st.just("")


def specs(kind, rest=nothing):
    one = st.builds(Spec, st.just(kind), names, rest, options, st.none() | names)
    return st.lists(one, max_size=3, unique_by=lambda spec: spec.label).map(tuple)


tasks = st.builds(
    TaskSpec,
    names,
    texts,
    columns,
    st.none() | st.sampled_from(["{mr}", "a {b}\n c", "{{x}}", "no", "012"]),
    st.none() | texts,
    st.none() | st.sampled_from(["no", "en", "pt-BR"]),
    st.none() | st.integers(1, 10**6),
    options,
)
generate = st.builds(
    Settings,
    n=st.integers(1, 9),
    temperature=st.floats(1e-9, 9),
    top_p=st.floats(1e-9, 1),
    stop=st.lists(texts, max_size=3).map(tuple),
    seed=st.integers(0, 2**63 - 1),
)
ranges = st.none() | st.tuples(st.floats(-1e9, 0), st.floats(1e-300, 1e300))
terms = st.builds(TermSpec, names, texts, st.floats(0.1, 9), ranges, st.none() | st.booleans(), st.booleans())
guards = st.builds(GuardSpec, texts, numbers, st.just(1e301) | st.none(), st.booleans())


@st.composite
def rewards(draw):
    found = draw(st.lists(terms, min_size=1, max_size=3, unique_by=lambda term: term.name))
    combine = draw(st.sampled_from(["weighted_mean", "weighted_sum", "product", "min"]))
    if combine == "min":
        found = [TermSpec(t.name, t.score, 1.0, t.range, t.higher_is_better, t.required) for t in found]
    return RewardSpec(tuple(found), combine, tuple(draw(st.lists(guards, max_size=2))))


plain_suites = st.builds(
    Suite,
    name=names,
    tasks=st.lists(tasks, max_size=2, unique_by=lambda task: task.name).map(tuple),
    models=specs("model", nothing | texts),
    generate=generate,
    metrics=specs("metric"),
    reward_spec=st.none() | rewards(),
    gate=st.none() | st.builds(lambda s, low: {"rules": [{"score": s, "min": low}]}, texts, numbers),
    reports=specs("report"),
    online=st.none() | st.builds(OnlineSpec, columns, st.none() | st.integers(1, 99)),
)


@st.composite
def suites_that_choose(draw):
    suite = draw(plain_suites)
    if suite.generate.n < 2 and suite.tasks:
        return suite
    choices = [None, ChoiceSpec("mbr", draw(texts))] + [ChoiceSpec("best_of")] * (suite.reward_spec is not None)
    return replace(suite, choice=draw(st.sampled_from(choices)))


suites = suites_that_choose()


@settings(max_examples=50, deadline=None)
@given(suites)
def test_a_resolved_suite_parses_to_an_equal_suite(suite):
    text = resolved_text(suite)
    assert load(text, "f").data == resolved(suite)
    again = parse_suite(text, check=False)
    assert again == suite
    assert resolved_text(again) == text


@settings(max_examples=100, deadline=None)
@given(values)
def test_what_is_written_is_read_back(value):
    data = {"name": "s", "gate": value}
    assert repr(load(as_yaml(data), "f").data) == repr(data)


def test_defaults_are_filled_in():
    suite = parse_suite("name: s\ntasks: [{source: a.csv}]\nreward: {terms: [{score: x}]}", check=False)
    assert resolved(suite) == {
        "name": "s",
        "tasks": [{"name": "a", "source": "a.csv", "fields": {}, "options": {}}],
        "models": [],
        "generate": {
            "n": 1, "temperature": 0.0, "top_p": 1.0, "top_k": 0, "num_beams": 1, "repetition_penalty": 1.0,
            "max_new_tokens": 256, "stop": [], "seed": 0, "batch_tokens": 8192, "strategy": "all",
        },
        "metrics": [],
        "reward": {
            "combine": "weighted_mean",
            "terms": [{"score": "x", "weight": 1.0, "required": True}],
            "guard": [],
        },
        "reports": [],
    }  # fmt: skip


def test_a_choice_is_written_with_the_settings_it_is_read_from():
    text = "name: s\ntasks: [{source: a.csv}]\ngenerate: {n: 4, temperature: 1, strategy: mbr, utility: chrf}"
    suite = parse_suite(text, check=False)
    assert suite.choice == ChoiceSpec("mbr", "chrf")
    assert suite.generate == Settings(n=4, temperature=1.0)  # which a generation key is made of
    assert {k: resolved(suite)["generate"][k] for k in ("strategy", "utility")} == {
        "strategy": "mbr",
        "utility": "chrf",
    }
    assert resolved(replace(suite, choice=None))["generate"]["strategy"] == "all"
    assert parse_suite(text, overrides=["generate.strategy=all", "generate.utility=null"], check=False).choice is None


def test_the_form_is_that_of_the_file():
    text = "name: s\nmetrics:\n- bleu\n- bleu:\n    tokenize: zh\n  as: zh\n"
    suite = parse_suite(text, check=False)
    assert resolved_text(suite).startswith("name: s\ntasks: []\nmodels: []\ngenerate:\n")
    assert text.partition("\n")[2] in resolved_text(suite)


@pytest.mark.parametrize("name", ["quickstart", "e2e"])
def test_bundled_suites_are_valid(root, name):
    path = root / "tasks" / "harness_tasks" / "suites" / f"{name}.yaml"
    suite = load_suite(path, registry=Registry.load())
    assert suite.name == name
    again = parse_suite(resolved_text(suite), folder=suite.folder, registry=Registry.load())
    assert again == suite
    assert validated(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_columns_are_those_that_tasks_read():
    assert tuple(FIELDS) == NAMES


# A validator of the keywords that the schema uses; an unknown keyword fails.
TYPES = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict,
    "null": type(None),
}  # fmt: skip
NOTES = {"title", "description", "default", "$schema", "$defs"}


def is_type(value, name):
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, TYPES[name])


def fits_object(schema, value, top):
    known = schema.get("properties", {})
    other = schema.get("additionalProperties", True)
    inner = all(fits(known.get(k, other), v, top) for k, v in value.items())
    bounds = schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", 99)
    return inner and bounds and all(key in value for key in schema.get("required", ()))


def fits_list(schema, value, top):
    bounds = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9)
    return bounds and all(fits(schema.get("items", True), item, top) for item in value)


def fits(schema, value, top):
    if isinstance(schema, bool):
        return schema
    tests = {
        "type": lambda t: any(is_type(value, n) for n in ([t] if isinstance(t, str) else t)),
        "$ref": lambda ref: fits(top["$defs"][ref.removeprefix("#/$defs/")], value, top),
        "anyOf": lambda many: any(fits(s, value, top) for s in many),
        "not": lambda s: not fits(s, value, top),
        "enum": lambda many: value in many,
        "const": lambda one: value == one,
        "pattern": lambda p: not isinstance(value, str) or re.search(p, value) is not None,
        "minLength": lambda n: not isinstance(value, str) or len(value) >= n,
        "minimum": lambda n: not is_type(value, "number") or value >= n,
        "exclusiveMinimum": lambda n: not is_type(value, "number") or value > n,
        "maximum": lambda n: not is_type(value, "number") or value <= n,
        "exclusiveMaximum": lambda n: not is_type(value, "number") or value < n,
    }
    objects = ("properties", "additionalProperties", "required", "minProperties", "maxProperties")
    lists = ("items", "minItems", "maxItems")
    shapes = (not isinstance(value, dict) or fits_object(schema, value, top)) and (
        not isinstance(value, list) or fits_list(schema, value, top)
    )
    judged = [tests[key](argument) for key, argument in schema.items() if key not in {*NOTES, *objects, *lists}]
    return shapes and all(judged)


@functools.cache
def cached_schema():
    return suite_json_schema()


def validated(data):
    return fits(cached_schema(), data, cached_schema())


def test_the_schema_says_what_it_is():
    schema = suite_json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "reward-harness suite"
    assert schema["required"] == ["name"]
    assert json.loads(json.dumps(schema)) == schema


def test_every_key_is_described():
    def undescribed(schema, path):
        if isinstance(schema, list):
            return [p for i, item in enumerate(schema) for p in undescribed(item, (*path, i))]
        if not isinstance(schema, dict):
            return []
        keys = schema.get("properties", {})
        bare = [(*path, key) for key, inner in keys.items() if not inner.get("description")]
        return bare + [p for key, inner in schema.items() for p in undescribed(inner, (*path, key))]

    assert undescribed(suite_json_schema(), ()) == []


@settings(max_examples=30, deadline=None)
@given(suites)
def test_the_schema_takes_what_the_parser_takes(suite):
    assert validated(resolved(suite))


@pytest.mark.parametrize(
    "text",
    [
        "metrics: []",
        "{name: s, metric: []}",
        "{name: a b}",
        "{name: s, metrics: bleu}",
        "{name: s, metrics: [3]}",
        "{name: s, metrics: [{bleu: 3}]}",
        "{name: s, metrics: [{bleu: {}, rouge: {}, as: x}]}",
        "{name: s, metrics: [{bleu: {}, as: reward}]}",
        "{name: s, tasks: [{}]}",
        "{name: s, tasks: [{source: x, limit: 0}]}",
        "{name: s, tasks: [{source: x, fields: {promt: a}}]}",
        "{name: s, tasks: [{source: x, fields: {prompt: [a]}}]}",
        "{name: s, tasks: [{source: x, language: two words}]}",
        "{name: s, metrics: [], generate: {n: 0}}",
        "{name: s, metrics: [], generate: {top_p: 0}}",
        "{name: s, metrics: [], generate: {stop: 3}}",
        "{name: s, metrics: [], generate: {strategy: sample}}",
        "{name: s, metrics: [], generate: {strategy: mbr, utility: ''}}",
        "{name: s, metrics: [], generate: {strategy: mbr, utility: [bleu]}}",
        "{name: s, reward: {}}",
        "{name: s, reward: {terms: []}}",
        "{name: s, reward: {terms: [{score: x, weight: -1}]}}",
        "{name: s, reward: {terms: [{score: x, range: [1]}]}}",
        "{name: s, reward: {terms: [{score: x, as: task}]}}",
        "{name: s, reward: {combine: sum, terms: [{score: x}]}}",
        "{name: s, metrics: [], gate: {rules: [{score: x, level: all, min: 1}]}}",
        "{name: s, metrics: [], online: {group_size: 0}}",
    ],
)
def test_the_schema_refuses_what_the_parser_refuses(text):
    assert not validated(load(text, "f").data)
    with pytest.raises(SuiteError):
        parse_suite(text, check=False)
