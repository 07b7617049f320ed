"""A plugin's options are its factory's keyword arguments: checked by name and annotated type before any work."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from harness.errors import nearest
from harness.types import Json


@dataclass(frozen=True, slots=True)
class Option:
    """One keyword argument of a factory, as `harness plugins info` shows it."""

    name: str
    type: Any
    default: Any
    required: bool

    @property
    def type_name(self) -> str:
        if self.type is Any:
            return "any"
        text = self.type.__name__ if isinstance(self.type, type) else str(self.type)
        return text.replace("typing.", "").replace("collections.abc.", "")


def options_of(factory: Callable[..., object], *, skip: int = 0) -> tuple[dict[str, Option], bool]:
    """The options of a factory by name, and whether it takes any other. `skip` leading parameters are the host's."""
    try:
        parameters = list(inspect.signature(factory).parameters.values())[skip:]
    except (TypeError, ValueError):  # a C function without a signature: nothing is known, all is let through
        return {}, True
    options: dict[str, Option] = {}
    takes_any = False
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_any = True
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            required = parameter.default is parameter.empty
            default = None if required else parameter.default
            options[parameter.name] = Option(parameter.name, _type_of(parameter, factory), default, required)
    return options, takes_any


def plain_function(factory: Callable[..., object]) -> Any:
    """What a `partial` or a decorated function was made of, or the factory itself."""
    found: Any = inspect.unwrap(factory)
    while isinstance(found, functools.partial):
        found = inspect.unwrap(found.func)
    return found


def _type_of(parameter: inspect.Parameter, factory: Callable[..., object]) -> Any:
    """The annotated type; `Any` where there is none or its name exists for type checkers only.

    Each parameter by itself: a return type that is imported for type checkers must not hide the types of options.
    """
    if parameter.annotation is parameter.empty:
        return Any
    found = plain_function(factory)
    scope = getattr(found.__init__ if inspect.isclass(found) else found, "__globals__", {})
    holder = SimpleNamespace(__annotations__={"option": parameter.annotation})
    try:
        return typing.get_type_hints(holder, globalns=dict(scope), include_extras=True)["option"]
    except (NameError, TypeError, AttributeError, SyntaxError):
        return Any


def option_problems(
    factory: Callable[..., object], values: Mapping[str, Json], *, skip: int = 0
) -> list[tuple[str | None, str]]:
    """What is wrong with the options: (option or None, message) each; empty where all is well."""
    options, takes_any = options_of(factory, skip=skip)
    problems: list[tuple[str | None, str]] = []
    for name, value in values.items():
        if name in options:
            message = _type_problem(options[name], value)
            if message:
                problems.append((name, message))
        elif not takes_any:
            known = nearest(name, options) if options else "; it takes none"
            problems.append((name, f"unknown option {name!r}{known}"))
    missing = [o.name for o in options.values() if o.required and o.name not in values]
    problems += [(None, f"option {name!r} is required") for name in missing]
    return problems


def _type_problem(option: Option, value: Json) -> str | None:
    if option.type is Any:
        return None
    import json

    from pydantic import TypeAdapter, ValidationError
    from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(option.type)
    except (
        PydanticUserError,
        PydanticUndefinedAnnotation,
    ):  # a type of the plugin's own: only the factory can judge it
        return None
    try:
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return f"option {option.name!r} expects {option.type_name}, not {value!r}"
    return None
