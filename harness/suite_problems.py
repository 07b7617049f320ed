"""Collects the mistakes of a suite, and says pydantic's in few words.

pydantic judges shapes, types and ranges, one small model at a time, so that one mistake hides no other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import SuiteError, nearest
from harness.suite_nodes import LIMIT_PROBLEMS, Document, KeyPath, Problem, shown, suite_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=BaseModel)

_PLAIN_KEY: Final = re.compile(r"[^\s.\[\]'\"]+")
_EXPECTED: Final[Mapping[str, str]] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}


class TooManyProblemsError(Exception):
    """Ends the search: a hostile file could hold a hundred thousand mistakes."""


class Problems:
    """The mistakes found so far in one document."""

    def __init__(self, document: Document, found: Sequence[Problem] = ()) -> None:
        self.document = document
        self._found = list(found)
        self._unreadable = {problem.place for problem in found}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, path: KeyPath, message: str, *, key: bool = False) -> None:
        """A mistake in the value at `path`, or (`key`) in the key itself."""
        place = self.document.place(path, key=key)
        if place in self._unreadable:  # what stands there was no value at all, and that is reported
            return
        text = f"{spelled(path)}: {message}" if path else message
        self._found.append(Problem(place, text))
        if len(self._found) > LIMIT_PROBLEMS:
            raise TooManyProblemsError

    def stands(self, path: KeyPath) -> str:
        """Where a part of the document is, for a message about another part."""
        if self.document.place(path).origin:
            return spelled(path)
        line, column = self.document.mark(path)
        return f"{line}:{column}"

    def error(self, *, more: bool = False) -> SuiteError:
        return suite_error(self.document.source, self._found, more=more)

    def validated(self, model: type[M], raw: object, path: KeyPath) -> M | None:
        """`raw` as `model`, or `None` and its mistakes."""
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                self._explain(model, detail, path)
            return None

    def each(self, raw: object, path: KeyPath, take: Callable[[Any, KeyPath], None]) -> None:
        """Hand the items of a list on, each with its path; a mistake if it is no list."""
        if not isinstance(raw, list):
            self.add(path, f"expected a list, got {shown(raw)}")
            return
        for index, item in enumerate(raw):
            take(item, (*path, index))

    def unknown_keys(self, raw: Mapping[str, object], valid: Sequence[str], path: KeyPath) -> None:
        for key in raw:
            if key not in valid:
                self.unknown_key(key, valid, path)

    def unknown_key(self, key: str, valid: Sequence[str], path: KeyPath) -> None:
        near = nearest(key, valid) if len(key) <= 100 else ""
        name = f"{spelled(path)}: " if path else ""
        # the path ends before the key, since the message names it
        place = self.document.place((*path, key), key=True)
        self._found.append(Problem(place, f"{name}unknown key {shown(key)}{near}"))
        if len(self._found) > LIMIT_PROBLEMS:
            raise TooManyProblemsError

    def _explain(self, model: type[BaseModel], detail: ErrorDetails, path: KeyPath) -> None:
        where = (*path, *detail["loc"])
        if detail["type"] == "extra_forbidden":
            valid = [info.alias or name for name, info in model.model_fields.items()]
            self.unknown_key(str(detail["loc"][-1]), valid, where[:-1])
        elif detail["type"] == "missing":
            self.add(where[:-1], f"missing key {detail['loc'][-1]!r}")
        else:
            self.add(where, explained(detail))


def explained(detail: ErrorDetails) -> str:
    """What pydantic found, in our words."""
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, got {shown(value)}{_quote_hint(kind, value)}"
    if kind in _BOUNDS:
        word, bound = _BOUNDS[kind]
        limit = context[bound]
        return (
            f"must be {word} {limit:g}, got {shown(value)}"
            if isinstance(limit, float)
            else (f"must be {word} {limit}, got {shown(value)}")
        )
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", str(context["expected"]))
        near = nearest(value, choices) if isinstance(value, str) and len(value) <= 100 else ""
        hint = near if "did you mean" in near else f"; expected {' or '.join(choices)}"
        return f"unknown value {shown(value)}{hint}"
    if kind in ("too_short", "too_long"):
        wanted = context.get("min_length", context.get("max_length"))
        return f"expected {wanted} items, got {context['actual_length']}"
    if kind == "string_too_short":
        return "must not be empty"
    if kind == "string_too_long":
        return f"is longer than {context['max_length']} characters"
    return detail["msg"]


def _quote_hint(kind: str, value: object) -> str:
    if kind != "string_type" or value is None or isinstance(value, list):
        return ""
    return "; put text that starts with { in quotes" if isinstance(value, dict) else "; put it in quotes"


def spelled(path: KeyPath) -> str:
    """A path as messages show it: `reward.terms[1].score`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if _PLAIN_KEY.fullmatch(step) and len(step) <= 60 else shown(step)
            text += f".{name}" if text else name
    return text
