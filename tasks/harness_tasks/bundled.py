"""Bundled tasks: every JSONL file in `data/`, by its name. All of it was written for this project."""

from __future__ import annotations

from functools import partial
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, cast

from harness import Json, Task, hookimpl, json_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from importlib.resources.abc import Traversable


@hookimpl
def register_tasks(register: Callable[[str, Callable[..., Task]], None]) -> None:
    for source in sorted(files("harness_tasks").joinpath("data").iterdir(), key=lambda entry: entry.name):
        name, _, suffix = source.name.partition(".")
        if suffix == "jsonl":
            register(name, _factory(source))


def _factory(source: Traversable) -> Callable[[str], Task]:
    def bundled_task(rest: str = "") -> Task:
        """A task that comes with the harness."""
        if rest:
            raise ValueError(f"a bundled task takes nothing after its name, but got {rest!r}")
        return partial(_rows, source)

    return bundled_task


def _rows(source: Traversable) -> Iterator[Mapping[str, Json]]:
    with as_file(source) as path:
        for _, row in json_lines(path):
            yield cast("Mapping[str, Json]", row)
