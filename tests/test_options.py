"""A factory's keyword arguments are its options: known by name, annotated type and default, without calling it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.options import Option, option_problems, options_of

if TYPE_CHECKING:
    from nowhere import Metric


def full(
    *,
    flag: bool = False,
    size: int = 1,
    share: float = 0.5,
    name: str = "x",
    kind: Literal["a", "b"] = "a",
    words: list[str] | None = None,
    weights: dict[str, float] | None = None,
    either: int | str = 1,
    pair: tuple[int, int] = (1, 2),
    anything: Any = None,
    free=None,
    odd: Metric | None = None,
) -> Metric:
    raise NotImplementedError


def positional(rest: str, /, base: str, *more: str, size: int = 1, **others: object) -> None:
    raise NotImplementedError


class Made:
    def __init__(self, size: int = 2, *, mode: str) -> None: ...


class Own:
    """A type only this plugin knows."""


def own(thing: Own, size: int = 1) -> None: ...


def wrapped(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        return function(*args, **kwargs)

    return call


def test_names_types_and_defaults():
    options, takes_any = options_of(full)
    assert not takes_any
    assert [(o.name, o.type_name, o.default) for o in options.values()] == [
        ("flag", "bool", False),
        ("size", "int", 1),
        ("share", "float", 0.5),
        ("name", "str", "x"),
        ("kind", "Literal['a', 'b']", "a"),
        ("words", "list[str] | None", None),
        ("weights", "dict[str, float] | None", None),
        ("either", "int | str", 1),
        ("pair", "tuple[int, int]", (1, 2)),
        ("anything", "any", None),
        ("free", "any", None),
        ("odd", "any", None),
    ]
    assert not any(o.required for o in options.values())


def test_the_hosts_parameters_are_no_options():
    options, takes_any = options_of(positional, skip=1)
    assert list(options) == ["base", "size"]
    assert options["base"] == Option("base", str, None, required=True)
    assert takes_any


@pytest.mark.parametrize(
    ("factory", "names"),
    [
        (Made, ["size", "mode"]),
        (functools.partial(full, flag=True), list(options_of(full)[0])),
        (functools.partial(positional, "rest", "base"), ["size"]),
        (wrapped(Made), ["size", "mode"]),
        (lambda: None, []),
    ],
)
def test_any_callable_may_be_a_factory(factory, names):
    options, _ = options_of(factory)
    assert list(options) == names
    assert not names or options["size"].type is int


def test_a_factory_without_a_signature_takes_what_it_is_given():
    assert options_of(dict.fromkeys) != ({}, False)
    assert options_of(min) == ({}, True)
    assert option_problems(min, {"key": 1}) == []


GOOD = [
    ("flag", True),
    ("size", -3),
    ("share", 1),
    ("share", 0.25),
    ("name", ""),
    ("kind", "b"),
    ("words", []),
    ("words", ["a"]),
    ("words", None),
    ("weights", {"a": 1}),
    ("either", "1"),
    ("either", 2),
    ("pair", [3, 4]),
    ("anything", {"a": [None]}),
    ("free", 1),
    ("odd", "a name that type checkers alone know: let through"),
]


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_values_that_fit(name, value):
    assert option_problems(full, {name: value}) == []


WRONG = [
    ("flag", 1, "bool"),
    ("flag", "yes", "bool"),
    ("size", True, "int"),
    ("size", 1.0, "int"),
    ("size", "1", "int"),
    ("size", None, "int"),
    ("share", "0.5", "float"),
    ("share", True, "float"),
    ("name", 1, "str"),
    ("name", ["a"], "str"),
    ("kind", "c", "Literal['a', 'b']"),
    ("words", "a", "list[str] | None"),
    ("words", ["a", 1], "list[str] | None"),
    ("weights", {"a": "b"}, "dict[str, float] | None"),
    ("either", 1.5, "int | str"),
    ("pair", [1], "tuple[int, int]"),
]


@pytest.mark.parametrize(("name", "value", "expected"), WRONG)
def test_values_that_do_not(name, value, expected):
    assert option_problems(full, {name: value}) == [(name, f"option {name!r} expects {expected}, not {value!r}")]


def test_unknown_options_and_the_nearest():
    assert option_problems(full, {"sise": 1}) == [("sise", "unknown option 'sise'; did you mean 'size'?")]
    ((_, message),) = option_problems(full, {"qqq": 1})
    assert message.startswith("unknown option 'qqq'; there is anything, either, flag,")
    assert option_problems(lambda: None, {"x": 1}) == [("x", "unknown option 'x'; it takes none")]
    assert option_problems(lambda **others: None, {"x": 1}) == []


def test_required_options():
    assert option_problems(Made, {}) == [(None, "option 'mode' is required")]
    assert option_problems(positional, {"base": "b", "anything": 1}, skip=1) == []


def test_all_at_once_in_the_order_given():
    found = option_problems(Made, {"mod": 1, "size": "x"})
    assert [option for option, _ in found] == ["mod", "size", None]


def test_a_type_that_only_the_plugin_knows_is_left_to_it():
    assert option_problems(own, {"thing": 3}) == []
    assert option_problems(own, {"thing": 3, "size": "x"}) == [("size", "option 'size' expects int, not 'x'")]


def test_a_return_type_for_type_checkers_hides_no_option():
    """`Metric` above does not exist when the program runs, and the types of options hold all the same."""
    assert options_of(full)[0]["size"].type is int


def test_limits_in_the_annotation_hold():
    from pydantic import Field

    def limited(*, n: Annotated[int, Field(ge=1)] = 1) -> None: ...

    limited.__annotations__["n"] = Annotated[int, Field(ge=1)]
    assert option_problems(limited, {"n": 1}) == []
    ((_, message),) = option_problems(limited, {"n": 0})
    assert "option 'n' expects" in message


@given(
    value=st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.lists(st.integers())
    )
)
@settings(max_examples=60, deadline=None)
def test_a_value_of_a_type_fits_that_type_alone(value):
    fits = {n for n in ("flag", "size", "name") if not option_problems(full, {n: value})}
    expected = {"bool": {"flag"}, "int": {"size"}, "str": {"name"}}.get(type(value).__name__, set())
    assert fits == expected
