"""Rows of a dataset of the Hugging Face hub, or of a local folder laid out like one: `hub:NAME`.

Code that comes with a dataset never runs.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from harness import DataError, Json, Task, hookimpl, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@hookimpl
def register_tasks(register: Callable[[str, Callable[..., Task]], None]) -> None:
    register("hub", hub_task)


def hub_task(rest: str, *, split: str = "test", config: str | None = None, revision: str | None = None) -> Task:
    """A split of a hub dataset. `revision` (a commit) makes the rows the same tomorrow."""
    if not rest:
        raise ValueError("a hub dataset needs a name: write hub:NAME")
    require(f"hub:{rest}", ("datasets",), "'reward-harness[hub]'")
    if not split:
        raise ValueError("split: must not be empty")
    return partial(_rows, rest, split, config, revision)


def _rows(name: str, split: str, config: str | None, revision: str | None) -> Iterator[Mapping[str, Json]]:
    import datasets

    try:
        rows = datasets.load_dataset(name, config, split=split, revision=revision)
    except Exception as error:  # the library raises of many kinds, its dependencies' among them
        raise DataError(f"hub:{name}: cannot be loaded (split {split!r}): {type(error).__name__}: {error}") from error
    yield from cast("Iterator[Mapping[str, Json]]", iter(rows))
