"""`key=value` on top of a suite: `generate.n=2`, `tasks.0.limit=5`, `metrics.1.rouge.use_stemmer=true`.

The values are read by the same strict YAML reader, and an override is checked like the file itself: a
misspelt key becomes an unknown key of the suite, reported with the override as its place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.suite_nodes import Document, KeyPath, Node, Place, Problem, bare, shown

if TYPE_CHECKING:
    from collections.abc import Iterable


def override(document: Document, overrides: Iterable[str], found: list[Problem]) -> Document:
    """The document with the overrides in it, in order. Mistakes go to `found`."""
    from harness.yamlfile import LIMIT_DEPTH, compose

    for text in overrides:
        origin = f"--set {bare(text)}"
        key, separator, value = text.partition("=")
        steps = key.strip().split(".")
        if not separator or not all(steps) or len(steps) > LIMIT_DEPTH:
            found.append(Problem(Place(0, 0, origin), "expected KEY=VALUE, such as generate.n=2"))
            continue
        # what is empty is no document; as YAML it is nothing
        new, mistakes = compose(value if value.strip() else "null")
        found += [Problem(replace(m.place, origin=origin), m.message) for m in mistakes]
        if new is None:
            continue
        try:
            root = _put(document.root, steps, new.from_override(origin), ())
        except ValueError as error:
            found.append(Problem(Place(0, 0, origin), str(error)))
            continue
        document = replace(document, root=root)
    return document


def _put(node: Node, steps: list[str], new: Node, done: KeyPath) -> Node:
    """`node` with `new` where the steps lead. Mappings on the way are made; lists are never lengthened."""
    if not steps:
        return new
    step, rest = steps[0], steps[1:]
    if isinstance(node.value, list):
        return _put_item(node, step, rest, new, done)
    if node.value is not None and not isinstance(node.value, dict):
        raise ValueError(f"{_named(done)} is {shown(node.value)}, which holds no {step!r}")
    inner = node.value or {}
    empty = Node(None, new.place)
    value = {**inner, step: _put(inner.get(step, empty), rest, new, (*done, step))}
    keys = {**node.keys, step: node.keys.get(step, new.place) if rest else new.place}
    return replace(node, value=value, keys=keys)


def _put_item(node: Node, step: str, rest: list[str], new: Node, done: KeyPath) -> Node:
    items = list(node.value) if isinstance(node.value, list) else []
    index = int(step) if step.isascii() and step.isdigit() and len(step) < 10 else -1
    if not 0 <= index < len(items):
        there = f"0 to {len(items) - 1}" if items else "none"
        raise ValueError(f"{_named(done)} is a list, and {step!r} is no place in it (there is {there})")
    items[index] = _put(items[index], rest, new, (*done, step))
    return replace(node, value=items)


def _named(path: KeyPath) -> str:
    return ".".join(map(str, path)) or "the suite"
