"""The records that flow through the harness: frozen, slotted, and free of any import of the harness.

A *sample* is what a model is asked, a *completion* is one text it produced, a *generation* is the sample with
all completions of one model (one *group*). Metrics turn generations into `Scores`, a composite reward turns
scores into one `Reward` per completion. `None` means "no value" everywhere and is never 0.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:  # numpy alone costs 0.15 s at start, and `harness --help` needs none of it
    import numpy as np
    from numpy.typing import NDArray

    F64: TypeAlias = NDArray[np.float64]
    U8: TypeAlias = NDArray[np.uint8]
    Bool: TypeAlias = NDArray[np.bool_]

T = TypeVar("T")

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
Role: TypeAlias = str
Prompt: TypeAlias = "str | tuple[Message, ...] | None"

Status = Literal["ok", "abstain", "error", "timeout", "invalid"]
"""How a value came about. A finite number exists only with `ok`.

`abstain`: the metric has nothing to say of this text (no reference, unknown language).
`error`: it failed. `timeout`: it took too long. `invalid`: it answered, but not with a finite number in its range.
"""

STATUSES: Final[tuple[Status, ...]] = ("ok", "abstain", "error", "timeout", "invalid")
"""The order gives each status its code in `Scores.status`: 0 is `ok`."""

Scope = Literal["segment", "group", "corpus"]
"""What one value may depend on: its own completion, the completions of its group, or everything.

A value of corpus scope belongs to no completion and never enters a reward.
"""

CorpusRule = Literal["mean", "statistics", "none"]
"""How the corpus score comes about: mean of the segments, a function of summed statistics, or not at all."""

Need = Literal["prompt", "references", "ratings", "preferences"]
"""What a score cannot do without. The host lets scores abstain on samples that lack it; metrics never see those."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One item of a task. `language` is a BCP 47 tag such as `en` or `zh`; `cluster` joins dependent samples."""

    id: str
    prompt: Prompt = None
    references: tuple[str, ...] = ()
    task: str = ""
    language: str | None = None
    cluster: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Completion:
    """One text a model produced, or (`text` None) the record that it failed to.

    `finish_reason` is `stop` or `length` (or what a provider said), `tokens` counts new tokens, `logprob` is the
    sum over them in nats, `ratings` maps a dimension to one number per human rater, `None` where one gave none.
    """

    text: str | None
    status: Status = "ok"
    reason: str | None = None
    finish_reason: str | None = None
    tokens: int | None = None
    logprob: float | None = None
    ratings: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preference:
    """A rater found `better` better than `worse` (`tie`: as good). Each is a completion's index or `"reference"`."""

    better: int | Literal["reference"]
    worse: int | Literal["reference"]
    rater: str | None = None
    tie: bool = False


@dataclass(frozen=True, slots=True)
class Generation:
    """A sample with the completions of one model: one group, keyed by (task, sample id, model)."""

    sample: Sample
    model: str
    completions: tuple[Completion, ...]
    preferences: tuple[Preference, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.sample.task, self.sample.id, self.model)


class Memo:
    """What metrics share: tokens and embeddings of a batch, or models while a run lasts. A copy, or a pickle, is empty."""

    __slots__ = ("_lock", "_values")

    def __init__(self) -> None:
        self._values: dict[object, object] = {}
        self._lock = threading.RLock()  # a reward's threads share its models, and one making asks for another

    def __reduce__(self) -> tuple[type[Memo], tuple[()]]:
        return Memo, ()

    def get(self, key: object, make: Callable[[], T]) -> T:
        """The value under `key`, made once, at first use. Use a tuple that starts with what was computed and how."""
        with self._lock:
            if key not in self._values:
                self._values[key] = make()
            return self._values[key]  # type: ignore[return-value]  # a key names one type of value by agreement


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """All samples whose scores stand in one column: what a batch is a part of. `languages`: None where one names none."""

    samples: tuple[Sample, ...] = ()
    languages: frozenset[str | None] = frozenset()

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> Whole:
        found = tuple(samples)
        return cls(found, frozenset(s.language for s in found))


@dataclass(frozen=True, slots=True)
class Batch:
    """What a metric is called with: whole groups of one task and one model, never a completion without a text.

    `wanted` holds the names of the scores asked for, every one of which can be had for every generation here
    (its `needs` are met). Values are returned flat: all completions of the first generation, then of the next.

    `whole` is what this batch is a part of: a signature may depend on its languages, and must not on the samples that
    happen to be here. Left out, these are the whole.
    `memo` lives as long as the batch, `shared` as long as the metrics that were loaded together: keep models there.
    """

    generations: tuple[Generation, ...]
    wanted: frozenset[str] = frozenset()
    memo: Memo = field(default_factory=Memo, compare=False)
    whole: Whole = field(default=Whole(), compare=False)
    shared: Memo = field(default_factory=Memo, compare=False)

    def __post_init__(self) -> None:
        if not self.whole.samples:
            object.__setattr__(self, "whole", Whole.of(g.sample for g in self.generations))

    @property
    def texts(self) -> list[str]:
        """The completions' texts, flat, in the order in which values are returned."""
        return [c.text or "" for g in self.generations for c in g.completions]

    @property
    def size(self) -> int:
        return sum(len(g.completions) for g in self.generations)


@dataclass(frozen=True, slots=True)
class ScoreInfo:
    """What a score is, known before any text is scored.

    `low` and `high` are the declared range (infinite where unbounded); a value outside it is `invalid`.
    `tolerance` is how far a value may differ between batches: 0 says bit-equal.
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    higher_is_better: bool = True
    scope: Scope = "segment"
    corpus: CorpusRule = "mean"
    needs: frozenset[Need] = frozenset()
    tolerance: float = 0.0

    @property
    def by_over(self) -> bool:
        """Whether the metric's `over` makes it: of corpus scope, and not from summed statistics."""
        return self.scope == "corpus" and self.corpus != "statistics"


@dataclass(frozen=True, slots=True)
class NoValue:
    """What a metric returns for a completion instead of a number, with the reason a person will read."""

    status: Literal["abstain", "error", "timeout", "invalid"]
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The values of one score over the completions of some generations, flat and in their order.

    `values` (float64) is NaN exactly where `status` (uint8, an index into `STATUSES`) is not 0, and `reasons`
    says why. `statistics` (rows as `values`, float64) are the sufficient statistics of the corpus score.
    `signature` says how `values` were made, `corpus_signature` how `corpus` was: the two differ for BLEU, whose
    segments use effective order. Equal signatures mean comparable numbers.
    """

    info: ScoreInfo
    signature: str
    values: F64
    status: U8
    reasons: Mapping[int, str] = field(default_factory=dict)
    statistics: F64 | None = None
    corpus: float | None = None
    corpus_signature: str = ""

    @property
    def segment(self) -> list[float | None]:
        """One value per completion, `None` where there is none."""
        return [None if s else v for v, s in zip(self.values.tolist(), self.status.tolist(), strict=True)]

    def status_of(self, index: int) -> Status:
        return STATUSES[int(self.status[index])]


@dataclass(frozen=True, slots=True)
class AnalysisTable:
    """What a metric found out about a whole run: rows of numbers, texts and None (no value), all as long as `columns`."""

    columns: tuple[str, ...]
    rows: tuple[tuple[float | int | str | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Reward:
    """The composite reward of one completion.

    `terms` holds the mapped, unweighted value of each term in [0, 1]. `total` is `None` exactly where `status`
    is not `ok`. `reason` says why there is no total, or (with `ok`) which guard failed or what was left out;
    `left_out` names the optional terms that handed their weight to the others, `guard` the score whose guard failed.
    """

    total: float | None
    terms: Mapping[str, float | None]
    status: Status = "ok"
    reason: str | None = None
    left_out: tuple[str, ...] = ()
    guard: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """How completions are drawn. All of it enters the generation key, so equal settings mean equal texts.

    `temperature` 0 is greedy. `num_beams` above 1 is beam search, whose `n` best beams are returned.
    `top_k` 0 and `top_p` 1 are off. `batch_tokens` bounds the rows of a batch times their padded length.
    """

    n: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    num_beams: int = 1
    repetition_penalty: float = 1.0
    max_new_tokens: int = 256
    stop: tuple[str, ...] = ()
    seed: int = 0
    batch_tokens: int = 8192


@dataclass(frozen=True, slots=True)
class Request:
    """A sample to complete, once per seed. A seed (below 2**63) is a function of run seed, task, sample id and index."""

    sample: Sample
    seeds: tuple[int, ...]


Kind = Literal["metric", "reward", "model", "task", "report"]


@dataclass(frozen=True, slots=True)
class Spec:
    """What builds a plugin's object anywhere: the only thing about plugins that is ever pickled.

    `rest` is what follows the colon in `hf:PATH`. `alias` is the suite's `as:`.
    """

    kind: Kind
    name: str
    rest: str = ""
    options: Mapping[str, Json] = field(default_factory=dict)
    alias: str | None = None

    @property
    def label(self) -> str:
        """How the suite calls it: its alias, or the name it was asked for by."""
        return self.alias or (f"{self.name}:{self.rest}" if self.rest else self.name)
