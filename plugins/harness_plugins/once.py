"""What is made once for all metrics that are loaded together, such as a model, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from harness import HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness import Batch

T = TypeVar("T")


def once(batch: Batch, key: tuple[object, ...], make: Callable[[], T]) -> T:
    """As `batch.shared.get`, and a failure is kept too: a model that cannot be loaded is not tried for every sample."""

    def attempt() -> T | HarnessError:
        try:
            return make()
        except HarnessError as error:
            return error

    found = batch.shared.get(key, attempt)
    if isinstance(found, HarnessError):
        raise found
    return found
