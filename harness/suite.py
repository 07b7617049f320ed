"""The suite: a user's YAML file as frozen records, checked whole before any work starts.

What is wrong with a file is told in one `SuiteError`, a line each: where (file, line, column), which key,
what was expected and the nearest valid name. The parts: `yamlfile` reads text, `suite_overrides` applies
`key=value`, `suite_build` turns sections into records by the models of `suite_schema`, `suite_check` asks
the registry about names and options, `suite_dump` writes a suite out again. All of them, and so pydantic and
PyYAML, are imported at first use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from harness.errors import SuiteError
from harness.types import Json, ScoreInfo, Settings, Spec

if TYPE_CHECKING:
    from harness.registry import Registry
    from harness.rewards import CompositeReward

Fields: TypeAlias = Mapping[str, str | tuple[str, ...]]
"""Our names to the columns of a source: `id`, `prompt`, `reference`, `references`, `language`, `cluster`,
`metadata`. Several columns are a tuple (`reference`, `references`, `metadata`)."""

Combine = Literal["weighted_mean", "weighted_sum", "product", "min"]
Strategy = Literal["best_of", "mbr"]


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """Where samples come from. `source` is a task plugin (`NAME`, `NAME:REST`) or a path.

    The rows of a `recorded` one are records with completions: nothing is generated for it.
    """

    name: str
    source: str
    fields: Fields = field(default_factory=dict)
    template: str | None = None
    system: str | None = None
    language: str | None = None
    limit: int | None = None
    options: Mapping[str, Json] = field(default_factory=dict)
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class TermSpec:
    """One weighted score of the reward. `range` and `higher_is_better` override what the score declares."""

    name: str
    score: str
    weight: float = 1.0
    range: tuple[float, float] | None = None
    higher_is_better: bool | None = None
    required: bool = True


@dataclass(frozen=True, slots=True)
class GuardSpec:
    """A condition on a score, in its own units: outside `min` to `max`, the reward is 0."""

    score: str
    min: float | None = None
    max: float | None = None
    required: bool = True


@dataclass(frozen=True, slots=True)
class RewardSpec:
    """How terms make one reward. With `min`, weights mean nothing and are all 1."""

    terms: tuple[TermSpec, ...]
    combine: Combine = "weighted_mean"
    guard: tuple[GuardSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class ChoiceSpec:
    """How one completion of each group is chosen: by the reward, or (`mbr`) by its mean utility against the others.

    Texts are drawn as without it, so it stands beside the settings of generation and not among them.
    """

    strategy: Strategy
    utility: str | None = None


@dataclass(frozen=True, slots=True)
class OnlineSpec:
    """For use in training: which columns carry what, and how many completions make a group."""

    fields: Fields = field(default_factory=dict)
    group_size: int | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """A checked suite. `text` is the file as read, before overrides; `folder` is what paths start from."""

    name: str
    tasks: tuple[TaskSpec, ...] = ()
    models: tuple[Spec, ...] = ()
    generate: Settings = field(default_factory=Settings)
    metrics: tuple[Spec, ...] = ()
    reward_spec: RewardSpec | None = None
    gate: Mapping[str, Json] | None = None
    reports: tuple[Spec, ...] = ()
    online: OnlineSpec | None = None
    choice: ChoiceSpec | None = None
    text: str = field(default="", compare=False, repr=False)
    folder: Path | None = None

    def reward(self, registry: Registry | None = None) -> CompositeReward:
        """The composite reward: a picklable callable, generations -> one `Reward` per completion.

        Its metrics come from `registry` (default: all installed plugins). Raises SuiteError where the suite has none.
        """
        if self.reward_spec is None:
            raise SuiteError(f"suite {self.name!r} has no reward: add `reward:` with `terms:`")
        from harness.rewards import CompositeReward

        return CompositeReward.from_suite(self, registry)

    def metric_specs(self, registry: Registry) -> tuple[Spec, ...]:
        """The metrics, then those that terms and guards of the reward name without their being in `metrics`.

        Raises SuiteError for a score that nothing gives.
        """
        specs = list(self.metrics)
        given = {info.name for spec in specs for info in registry.infos(spec)}
        for score in self.reward_scores():
            if score in given:
                continue
            owner = registry.owner_of(score)
            if owner is None:
                raise SuiteError(f"suite {self.name!r}: nothing gives the score {score!r}")
            infos = {info.name for info in registry.infos(owner)}
            if score not in infos:
                raise SuiteError(f"suite {self.name!r}: {not_given(score, owner)}")
            specs.append(owner)
            given |= infos
        return tuple(specs)

    def reward_scores(self) -> list[str]:
        """What the terms and guards of the reward name."""
        if self.reward_spec is None:
            return []
        return [t.score for t in self.reward_spec.terms] + [g.score for g in self.reward_spec.guard]


def not_given(score: str, owner: Spec, *, listed: bool = False) -> str:
    """What to say where a score is one of a metric's, but not under its options here."""
    advice = "give it those" if listed else f"add {owner.name!r} with them to `metrics`"
    return f"metric {owner.name!r} gives {score!r} only with other options; {advice}"


def too_few(strategy: str, n: int) -> str:
    """What to say where there is nothing to choose from."""
    return f"{strategy!r} chooses among the completions of a sample, and n={n} leaves no choice: n must be at least 2"


def utility_problem(info: ScoreInfo) -> str | None:
    """Why a score cannot say how well one completion agrees with another, if so."""
    if info.scope != "segment":
        return f"{info.name!r} is a {info.scope} score: a utility compares one completion with one other"
    if "references" not in info.needs:
        return f"{info.name!r} needs no references: a utility compares a completion with another as its reference"
    return None


def load_suite(
    path: str | Path,
    *,
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
    check: bool = True,
) -> Suite:
    """The suite in a file. `overrides` are `key=value`, such as `generate.n=2` or `tasks.0.limit=5`.

    With `check`, plugin names, options and scores are checked too, by the registry (default: all installed
    plugins). Raises SuiteError with every mistake.
    """
    from harness.yamlfile import read_text

    file = Path(path)
    return parse_suite(
        read_text(file),
        source=str(path),
        folder=file.parent.resolve(),
        overrides=overrides,
        registry=registry,
        check=check,
    )


def parse_suite(
    text: str,
    *,
    source: str = "suite.yaml",
    folder: Path | None = None,
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
    check: bool = True,
) -> Suite:
    """As `load_suite`, from text that errors call `source`."""
    from harness.suite_build import build

    return build(text, source, folder, overrides, _checking(registry, check))


def suite_from(
    data: Json,
    *,
    source: str,
    folder: Path | None = None,
    registry: Registry | None = None,
    check: bool = True,
) -> Suite:
    """As `parse_suite`, from data in the form of the file, such as `resolved` gives. There is no text."""
    from harness.suite_build import build_from

    return build_from(data, source, folder, _checking(registry, check))


def _checking(registry: Registry | None, check: bool) -> Registry | None:
    if not check:
        return None
    from harness.registry import Registry

    return registry or Registry.load()


def resolved(suite: Suite) -> dict[str, Any]:
    """The suite as data in the form of the file, defaults filled in. Parsed again it gives an equal suite."""
    from harness.suite_dump import as_data

    return as_data(suite)


def resolved_text(suite: Suite) -> str:
    """`resolved` as YAML text."""
    from harness.suite_dump import as_yaml

    return as_yaml(resolved(suite))


def suite_json_schema() -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of the file, by which editors complete and check it."""
    from harness.suite_schema import json_schema

    return json_schema()
