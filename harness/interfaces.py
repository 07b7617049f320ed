"""The Protocols that plugins implement. Nothing here is inherited: an object with these attributes will do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from harness.store import Rendered, Run
    from harness.types import F64, AnalysisTable, Batch, Completion, Json, Request, ScoreInfo, Scores, Settings


@runtime_checkable
class Metric(Protocol):
    """Scores text.

    Called any number of times, each time with a `Batch` of whole groups of one task and one model, and returns one
    `Scores` per wanted name (others are ignored), each with one value per completion of the batch. The value of
    a completion must not depend on which other groups share its batch (up to `ScoreInfo.tolerance`).
    `harness.scores_from` builds a `Scores` from a list of numbers; `harness.metric_from` builds the whole metric
    from a plain function.

    A reward that serves many threads calls its metrics from all of them at once: guard what a call changes.

    Making a metric must be cheap and must raise `ValueError` on a bad option; weights load at the first call.
    """

    @property
    def infos(self) -> tuple[ScoreInfo, ...]: ...

    def __call__(self, batch: Batch) -> Mapping[str, Scores]: ...


@runtime_checkable
class CorpusMetric(Metric, Protocol):
    """A metric with scores whose corpus rule is `statistics`."""

    def corpus_from(self, name: str, sums: F64) -> F64:
        """Scores of summed statistics: (rows, k) -> (rows,). Many rows at once, so that resampling stays fast."""
        ...


@runtime_checkable
class CorpusScopeMetric(Metric, Protocol):
    """A metric with scores of corpus scope."""

    def over(self, batches: Iterable[Batch]) -> Mapping[str, Scores]:
        """All batches of one task and one model, once: `Scores` whose `corpus` is set (`values` stay empty)."""
        ...


@runtime_checkable
class AnalysingMetric(Metric, Protocol):
    """A metric that has something to say of a whole run, its other scores and its rewards included."""

    def analyse(self, run: Run) -> Mapping[str, AnalysisTable]:
        """Tables by name, made after all scores and rewards: `agreement` becomes `tables/agreement.csv`.

        A metric under an `as:` name gives `tables/ALIAS.agreement.csv`. A table without rows is written too.
        """
        ...


@runtime_checkable
class Closing(Protocol):
    """A metric or model that holds something (a process, a connection) to let go of at the end."""

    def close(self) -> None: ...


class Model(Protocol):
    """Produces completions. An adapter is a plugin that implements this for one provider.

    `fingerprint` says which model this is, weights included, so that two runs with equal fingerprints, settings
    and samples may be continued by one another: every option that changes a text must be in it, and none that only
    changes how it is fetched. It may load the model.
    """

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    def generate(self, requests: Sequence[Request], settings: Settings) -> Iterator[tuple[int, tuple[Completion, ...]]]:
        """Yields (index into `requests`, one completion per seed of that request), each index once, in any order.

        A request that failed yields completions with `text` None, status `error` or `timeout`, and the reason.
        """
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """A model that can tell how long prompts are, so that batches hold prompts of like length."""

    def prompt_tokens(self, requests: Sequence[Request]) -> Sequence[int]: ...


class Task(Protocol):
    """A named source of rows, which the host maps to samples by the suite's `fields` and `template`.

    Rows with the keys `id, prompt, references, language, cluster, metadata` need no mapping.
    """

    def __call__(self) -> Iterable[Mapping[str, Json]]: ...


class Report(Protocol):
    """Renders a run: into files of its folder, or into something to show. It never computes a score."""

    def __call__(self, run: Run) -> Rendered: ...
