"""Metrics outside a suite: behind `--metric`, and as Python objects."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError, SuiteError, UsageError
from harness.specs import cli_metric, metric_specs
from harness.types import Spec

from .metrics_for_tests import registry_of, values_metric

FORMS: dict[str, Spec] = {
    "bleu": Spec("metric", "bleu"),
    "bleu:": Spec("metric", "bleu"),
    "rouge:use_stemmer=true,as=stemmed": Spec("metric", "rouge", "", {"use_stemmer": True}, "stemmed"),
    "exact:labels=[yes,no]": Spec("metric", "exact", "", {"labels": ["yes", "no"]}),
    "exact:labels=[yes, no],extract=first": Spec("metric", "exact", "", {"labels": ["yes", "no"], "extract": "first"}),
    "x:a={b: [1,2], c: 3},d=1e-1": Spec("metric", "x", "", {"a": {"b": [1, 2], "c": 3}, "d": 0.1}),
    "x:a='b,c',d=\"e,f=g\"": Spec("metric", "x", "", {"a": "b,c", "d": "e,f=g"}),
    "x:a=it's,b=5 o'clock": Spec("metric", "x", "", {"a": "it's", "b": "5 o'clock"}),
    "x:a=b=c, d = e ,": Spec("metric", "x", "", {"a": "b=c", "d": "e"}),
    "x:a=no,b=null": Spec("metric", "x", "", {"a": "no", "b": None}),
}


@pytest.mark.parametrize(("text", "spec"), FORMS.items(), ids=FORMS)
def test_forms(text: str, spec: Spec):
    assert cli_metric(text) == spec


WRONG = [
    ("x:a", "options are written NAME:key=value,key=value; 'a' is not"),
    ("x:a=", "'a=' is not"),
    ("x:=a", "'=a' is not"),
    ("x:a=1,b", "'b' is not"),
    ("x:a=1,a=2", "the option 'a' is given twice"),
    ("x:a=[1,2", "--metric x:a=[1,2:1:5: broken YAML"),
    ("x:a='b,c=d", "broken YAML"),
    ("x:a=.nan,b=1", ".nan is not a finite number"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_what_is_no_form(text: str, message: str):
    with pytest.raises((UsageError, SuiteError)) as caught:
        cli_metric(text)
    assert message in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.text("ab=,[]{}'\" :&*#\n", max_size=25))
def test_any_text_is_a_metric_or_a_mistake(text: str):
    try:
        found = cli_metric(f"x:{text}")
    except HarnessError:
        return
    assert (found.kind, found.name) == ("metric", "x")


# In Python


class Kept:
    """What the last factory was given."""

    value: Any = None


def kept(value: Any = None) -> Any:
    Kept.value = value
    return values_metric(lambda batch: [0.0] * batch.size)


REGISTRY = registry_of(x=kept)
characters = st.text(st.characters(exclude_categories=("Cs",)), max_size=8) | st.sampled_from(
    ["🙂", "a\u2028b", "\x85", "\x00", "\ufeff", "\x1b[2J", "x" * 2000]
)
values = st.recursive(
    characters | st.integers(-(2**70), 2**70) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(characters, inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=50, deadline=None)
@given(values)
def test_options_reach_the_metric_as_they_are(value: Any):
    (spec,) = metric_specs([{"x": {"value": value}}], REGISTRY)
    assert spec.options == {"value": value}
    REGISTRY.metric(spec)
    assert Kept.value == value


NO_JSON = [
    ({1, 2}, "the metrics given: metrics[0].x.value: a set is no JSON value"),
    (math.nan, "nan is no finite number"),
    ({1: 2}, "expected a text as key"),
    ("\ud800", "lone surrogate"),
]


@pytest.mark.parametrize(("value", "message"), NO_JSON, ids=["set", "nan", "key", "surrogate"])
def test_an_option_that_no_suite_could_hold(value: Any, message: str):
    with pytest.raises(SuiteError) as caught:
        metric_specs([{"x": {"value": value}}], REGISTRY)
    assert message in str(caught.value)


def test_mistakes_name_no_line_of_a_file_that_is_none():
    with pytest.raises(SuiteError) as caught:
        metric_specs(["y", "x", "x"], REGISTRY)
    assert str(caught.value).splitlines() == [
        "the metrics given: metrics[2]: two metrics are called 'x' (it is first at metrics[1]); give one another `as:`",
        "the metrics given: metrics[0]: unknown metric 'y'; there is x",
    ]
