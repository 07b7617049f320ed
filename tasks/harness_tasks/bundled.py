"""Bundled tasks: every JSONL file in `data/`, by its name, and `quickstart`, a slice of each. All written for this project.

A file holds samples, or records with completions and preferences for a task that is `recorded`: `contrasts`, where for
each prompt the author wrote a good text, one with a flaw, and one beside the point, and prefers them in this order.
"""

from __future__ import annotations

from functools import partial
from importlib.resources import as_file, files
from itertools import islice
from typing import TYPE_CHECKING, cast

from harness import Json, RegisterTask, Task, hookimpl, json_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from importlib.resources.abc import Traversable

    Row = Mapping[str, Json]

RECORDED = ("contrasts",)


@hookimpl
def register_tasks(register: RegisterTask) -> None:
    for name, source in _sources().items():
        register(name, _factory(source))
    register("quickstart", quickstart)


def _sources() -> dict[str, Traversable]:
    found = files("harness_tasks").joinpath("data").iterdir()
    return {s.name.removesuffix(".jsonl"): s for s in sorted(found, key=lambda s: s.name) if s.name.endswith(".jsonl")}


def _factory(source: Traversable) -> Callable[[str], Task]:
    def bundled_task(rest: str = "") -> Task:
        """A task that comes with the harness."""
        _without_rest(rest)
        return partial(_rows, source)

    return bundled_task


def quickstart(rest: str = "", *, each: int = 1) -> Task:
    """The first `each` samples of every bundled task, under the ids `TASK/ID`; `metadata.slice_of` names the task."""
    _without_rest(rest)
    if each < 1:
        raise ValueError(f"each: {each!r} is not at least 1")
    return partial(_slices, each)


def _without_rest(rest: str) -> None:
    if rest:
        raise ValueError(f"a bundled task takes nothing after its name, but got {rest!r}")


def _rows(source: Traversable) -> Iterator[Row]:
    with as_file(source) as path:
        for _, row in json_lines(path):
            yield cast("Row", row)


def _slices(each: int) -> Iterator[Row]:
    for name, source in _sources().items():
        if name not in RECORDED:
            for row in islice(_rows(source), each):
                metadata = cast("Row", row.get("metadata") or {})
                yield {**row, "id": f"{name}/{row['id']}", "metadata": {**metadata, "slice_of": name}}
