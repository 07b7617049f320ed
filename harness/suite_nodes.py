"""A parsed file as a tree of values with their places, and the mistakes found in it.

`yamlfile` makes the tree; what reads a suite asks it where a value was written, so that messages can say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from harness.errors import SuiteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.types import Json

LIMIT_PROBLEMS: Final = 100

KeyPath: TypeAlias = tuple[str | int, ...]
Scalar: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a value was written. `origin` is set where that is no file, but an override or data."""

    line: int
    column: int
    origin: str = ""

    def label(self, source: str) -> str:
        return self.origin or f"{source}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake; errors are sorted by place, with those of overrides last."""

    place: Place
    message: str

    def line(self, source: str) -> str:
        return f"{self.place.label(source)}: {self.message}"


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place. `size` and `height` count what it holds, aliases written out."""

    value: Scalar | list[Node] | dict[str, Node]
    place: Place
    keys: Mapping[str, Place] = field(default_factory=dict)
    size: int = 1
    height: int = 0

    def plain(self) -> Any:
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    @classmethod
    def of(cls, data: Json, place: Place) -> Node:
        """Data that was never text: all of it stands at one place."""
        if isinstance(data, Mapping):
            return cls({key: cls.of(inner, place) for key, inner in data.items()}, place)
        if isinstance(data, list | tuple):
            return cls([cls.of(inner, place) for inner in data], place)
        return cls(cast("Scalar", data), place)

    def from_override(self, origin: str) -> Node:
        """The same value, said to come from `origin`."""
        value = self.value
        if isinstance(value, dict):
            value = {key: node.from_override(origin) for key, node in value.items()}
        elif isinstance(value, list):
            value = [node.from_override(origin) for node in value]
        keys = {key: replace(place, origin=origin) for key, place in self.keys.items()}
        return replace(self, value=value, place=replace(self.place, origin=origin), keys=keys)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: plain data, and where each part of it was written."""

    source: str
    root: Node

    @property
    def data(self) -> Any:
        """Dicts, lists and scalars; a new copy each time."""
        return self.root.plain()

    def node(self, path: KeyPath) -> Node:
        """The node at `path`, or its nearest ancestor that exists."""
        return self._walk(path)[0]

    def place(self, path: KeyPath, *, key: bool = False) -> Place:
        """Where the value at `path` (with `key`, its key) or its nearest existing ancestor stands."""
        parent, rest = self._walk(path[:-1]) if key else (self.root, path)
        if key and path and not rest and path[-1] in parent.keys:
            return parent.keys[str(path[-1])]
        return self.node(path).place

    def mark(self, path: KeyPath) -> tuple[int, int]:
        """Line and column, from 1, of the value at `path` or of its nearest existing ancestor."""
        place = self.place(path)
        return place.line, place.column

    def _walk(self, path: KeyPath) -> tuple[Node, KeyPath]:
        node = self.root
        for index, step in enumerate(path):
            inner: Node | None = None
            if isinstance(node.value, dict) and isinstance(step, str):
                inner = node.value.get(step)
            elif isinstance(node.value, list) and isinstance(step, int) and 0 <= step < len(node.value):
                inner = node.value[step]
            if inner is None:
                return node, path[index:]
            node = inner
        return node, ()


def suite_error(source: str, problems: Sequence[Problem], *, more: bool = False) -> SuiteError:
    """One error of all problems, a line each, in the order of the file."""
    unique = dict.fromkeys(sorted(problems, key=lambda p: (p.place.origin, p.place)))
    lines = [problem.line(source) for problem in unique]
    if more or len(lines) > LIMIT_PROBLEMS:
        lines = [*lines[:LIMIT_PROBLEMS], f"{source}: more than {LIMIT_PROBLEMS} problems; mend these first"]
    return SuiteError("\n".join(lines))


def shown(value: object, limit: int = 60) -> str:
    """A value as messages show it: on one line, short, with no unprintable character."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value[: limit + 1] if isinstance(value, str) else value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def bare(text: str) -> str:
    """As `shown`, without the quotes."""
    return shown(text).strip("'\"")
