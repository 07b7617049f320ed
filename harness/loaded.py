"""Metrics at work: made from their specs, with the names that their scores have in a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.authoring import FunctionMetric
from harness.errors import HarnessError, PluginError
from harness.options import options_of
from harness.registry import Registry, release, score_name
from harness.types import Json, Memo, Need, ScoreInfo, Spec

if TYPE_CHECKING:
    from harness.interfaces import Metric


@dataclass(frozen=True, slots=True, eq=False)
class LoadedMetric:
    """A metric, its spec, the infos of its wanted scores by the metric's own names, and what it shares with others."""

    spec: Spec
    metric: Metric
    own: Mapping[str, ScoreInfo]
    shared: Memo

    def name(self, own_name: str) -> str:
        """What the run calls a score."""
        return score_name(self.spec, own_name)

    @property
    def infos(self) -> dict[str, ScoreInfo]:
        """By their names in the run."""
        return {self.name(n): replace(i, name=self.name(n)) for n, i in self.own.items()}

    def by_needs(self, *, by_over: bool) -> dict[frozenset[Need], list[str]]:
        """Own names of the scores that `over` makes, or of those that a call makes, by what they need."""
        groups: dict[frozenset[Need], list[str]] = {}
        for name, info in self.own.items():
            if info.by_over == by_over:
                groups.setdefault(info.needs, []).append(name)
        return groups

    @contextlib.contextmanager
    def blamed(self) -> Iterator[None]:
        """Whatever the plugin raises becomes a PluginError with its name."""
        try:
            yield
        except (KeyboardInterrupt, HarnessError):
            raise
        except BaseException as error:
            raise PluginError(f"{self.spec.label}: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        release(self.metric, self.spec.label)


def load_metrics(
    specs: Iterable[Spec], registry: Registry, wanted: frozenset[str] | None = None
) -> tuple[LoadedMetric, ...]:
    """The metrics of `specs`, each with its scores or those of them in `wanted` (names in the run).

    They share what they keep in `Batch.shared`, such as a model that two of them use.
    """
    found: list[LoadedMetric] = []
    seen: set[str] = set()
    shared = Memo()
    for spec in map(registry.resolved, specs):
        metric = _signed(registry.metric_with_infos(spec)[0], spec, registry)
        own = {i.name: i for i in metric.infos if wanted is None or score_name(spec, i.name) in wanted}
        for name in (score_name(spec, n) for n in own):
            if name in seen:
                raise PluginError(f"two metrics give the score {name!r}: name one of them with `as`")
            seen.add(name)
        if own:
            found.append(LoadedMetric(spec, metric, own, shared))
    return tuple(found)


def _signed(metric: Metric, spec: Spec, registry: Registry) -> Metric:
    """A plain function cannot sign for the options it was made with, so the host does."""
    if not isinstance(metric, FunctionMetric):
        return metric
    options, _ = options_of(registry.find(spec.kind, spec.name).factory)
    changed: dict[str, Json] = {
        name: value for name, value in spec.options.items() if name not in options or options[name].default != value
    }
    return metric.with_options(changed) if changed else metric
