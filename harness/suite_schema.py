"""The shape of a suite file as pydantic models: types, ranges, descriptions. Also its JSON Schema.

The models are used one by one, never as a whole, so that a mistake in one section hides none in another. What
depends on several keys stands in `suite_build`, what depends on plugins in `suite_check`. The forms of plugin
entries and of `fields` are taken apart by hand, since a union would report every mistake twice.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticCustomError

from harness.names import (
    NAME_PATTERN,
    RESERVED,
    RESERVED_ENDS,
    RESERVED_STARTS,
    column_name_problem,
    name_problem,
)
from harness.suite import Combine
from harness.suite_nodes import shown

FIELDS: Final = {
    "id": "Column with the id of a row. Without it, rows with equal prompts become one sample.",
    "prompt": "Column with the prompt: text, or chat messages as a list of {role, content}.",
    "reference": "Column with one reference, or several such columns.",
    "references": "Column with a list of references, or several such columns.",
    "language": "Column with the language of a row.",
    "cluster": "Column that says which samples depend on one another.",
    "metadata": "Columns to keep as metadata under their own names.",
}
SEVERAL: Final = frozenset(("reference", "references", "metadata"))
"""Names that take a list of columns."""

_LANGUAGE_PATTERN: Final = "[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*"
_MANY: Final = 2**31 - 1
_SEED: Final = 2**63 - 1


def _named(name: str) -> str:
    return _refuse(name, name_problem(name))


def _alias(name: str) -> str:
    return _refuse(name, column_name_problem(name))


def _language(tag: str) -> str:
    good = re.fullmatch(_LANGUAGE_PATTERN, tag)
    return _refuse(tag, None if good else f"{shown(tag)} is no language tag such as en or pt-BR")


def _refuse(value: str, problem: str | None) -> str:
    if problem is not None:
        raise PydanticCustomError("suite", "{problem}", {"problem": problem})
    return value


def _one_as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _weight(value: float) -> float:
    if value < 0:
        hint = "a weight is at least 0; for a score whose low values are good set `higher_is_better: false`"
        raise PydanticCustomError("suite", "{problem}", {"problem": f"{hint}, got {value:g}"})
    return value


_PARTS: Final = [f"^{re.escape(s)}" for s in RESERVED_STARTS] + [f"{re.escape(e)}$" for e in RESERVED_ENDS]
_NOT_RESERVED: Final[dict[str, Any]] = {
    "not": {"anyOf": [{"enum": sorted(RESERVED)}, *({"pattern": p} for p in _PARTS)]}
}
_ALIAS_SCHEMA: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": f"^{NAME_PATTERN}$",
    "description": "What to call it here; needed where one plugin is used twice.",
    **_NOT_RESERVED,
}
_TEXT: Final[dict[str, Any]] = {"type": "string", "minLength": 1}
_STOP: Final[dict[str, Any]] = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_TEXTS: Final[dict[str, Any]] = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}


def _entry_schema(what: str) -> dict[str, Any]:
    options = {"type": ["object", "null"], "description": "The plugin's options."}
    mapping = {
        "type": "object",
        "description": "NAME: {options}, as: ALIAS",
        "properties": {"as": _ALIAS_SCHEMA},
        "additionalProperties": options,
        "minProperties": 1,
        "maxProperties": 2,
    }
    return {"description": what, "anyOf": [{**_TEXT, "description": "The plugin's name."}, mapping]}


def _fields_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            name: {**(_TEXTS if name in SEVERAL else _TEXT), "description": description}
            for name, description in FIELDS.items()
        },
        "additionalProperties": False,
    }


Name = Annotated[str, AfterValidator(_named), Field(json_schema_extra={"pattern": f"^{NAME_PATTERN}$"})]
Alias = Annotated[str, AfterValidator(_alias), WithJsonSchema(_ALIAS_SCHEMA)]
Language = Annotated[str, AfterValidator(_language), Field(json_schema_extra={"pattern": f"^{_LANGUAGE_PATTERN}$"})]
Texts = Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_one_as_list), WithJsonSchema(_STOP)]
Weight = Annotated[float, AfterValidator(_weight), Field(json_schema_extra={"minimum": 0})]
ColumnMap = Annotated[Any, WithJsonSchema(_fields_schema())]
MetricEntry = Annotated[Any, WithJsonSchema(_entry_schema("A metric."))]
ModelEntry = Annotated[Any, WithJsonSchema(_entry_schema("A model, such as hf:PATH or echo."))]
ReportEntry = Annotated[Any, WithJsonSchema(_entry_schema("A report."))]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class Task(_Section):
    """A source of samples."""

    name: Name | None = None
    """What the task is called; by default after its source."""
    source: str = Field(min_length=1)
    """A file (JSONL, CSV, TSV, Parquet; from here or from --data) or a task plugin: NAME, NAME:REST."""
    fields: ColumnMap = None
    """Which columns of the source carry what."""
    template: str | None = None
    """The prompt, with {column} where a column's text goes."""
    system: str | None = None
    """A system prompt for every sample."""
    language: Language | None = None
    """The language of the texts, such as en or pt-BR."""
    limit: int | None = Field(default=None, ge=1, le=_MANY)
    """At most this many samples."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the task plugin or of the file's format."""
    recorded: bool = False
    """Whether rows are records with completions, as `harness score FILE` reads them: no model is asked."""


class Generate(_Section):
    """How completions are drawn."""

    n: int = Field(default=1, ge=1, le=_MANY)
    """Completions per sample and model: the size of a group."""
    temperature: float = Field(default=0.0, ge=0)
    """0 is greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Draw from the smallest set of tokens with this much probability; 1 is off."""
    top_k: int = Field(default=0, ge=0, le=_MANY)
    """Draw from this many likeliest tokens; 0 is off."""
    num_beams: int = Field(default=1, ge=1, le=_MANY)
    """Above 1: beam search, whose n best beams are returned."""
    repetition_penalty: float = Field(default=1.0, gt=0)
    """1 is off."""
    max_new_tokens: int = Field(default=256, ge=1, le=_MANY)
    """Where a completion ends at the latest."""
    stop: Texts = Field(default_factory=list)
    """Texts that end a completion."""
    seed: int = Field(default=0, ge=0, le=_SEED)
    """The seed of the run."""
    batch_tokens: int = Field(default=8192, ge=1, le=_MANY)
    """Bound on a batch: its rows times their padded length."""
    strategy: Literal["all", "best_of", "mbr"] = "all"
    """Which completion of each sample to choose once all are scored. `all`: none. `best_of`: that of the highest
    reward. `mbr`: that of the best mean utility against the others. No text changes, and all are kept."""
    utility: str | None = Field(default=None, min_length=1)
    """For `mbr`: the name of a score that compares a completion with a reference, such as chrf."""


class Term(_Section):
    """One weighted score of the reward."""

    score: str = Field(min_length=1)
    """The name of a score or of a reward function; its metric is loaded with it."""
    alias: Alias | None = Field(default=None, alias="as")
    """What to call the term; by default as its score."""
    weight: Weight = 1.0
    """Its share (for `product`, its exponent)."""
    range: list[float] | None = Field(default=None, min_length=2, max_length=2)
    """[low, high] of the score, mapped to [0, 1]; by default what the metric declares."""
    higher_is_better: bool | None = None
    """false where low values are good; by default what the metric declares."""
    required: bool = True
    """Without a value: true makes the reward none, false leaves the term out."""


class Guard(_Section):
    """A condition in the score's own units; where it fails the reward is 0."""

    score: str = Field(min_length=1)
    """The name of a score or of a reward function."""
    min: float | None = None
    """The least value that passes."""
    max: float | None = None
    """The greatest value that passes."""
    required: bool = True
    """Without a value: true makes the reward none, false lets it pass."""


class Reward(_Section):
    """The composite reward."""

    combine: Combine = "weighted_mean"
    """How terms make one number; `product` takes weights as exponents, `min` takes none."""
    terms: list[Term] = Field(json_schema_extra={"minItems": 1})
    """What is rewarded."""
    guard: list[Guard] = Field(default_factory=list)
    """Conditions; where one fails the reward is 0."""


class Rule(_Section):
    """One condition of the gate."""

    score: str = Field(min_length=1)
    """The name of a score, `reward`, or `reward.TERM`."""
    level: Literal["segment", "corpus"] | None = None
    """segment: the mean over completions; corpus: the corpus score."""
    task: str | None = None
    """Only this task."""
    model: str | None = None
    """Only this model."""
    min: float | None = None
    """The least value that passes."""
    max: float | None = None
    """The greatest value that passes."""
    max_drop: float | None = Field(default=None, ge=0)
    """How much worse than the baseline is let pass."""
    noninferior: float | None = Field(default=None, ge=0)
    """The margin within which the score must be shown to be no worse than the baseline."""
    alpha: float | None = Field(default=None, gt=0, lt=1)
    """The error rate of the rule's test."""
    required: bool = True
    """Whether the gate is inconclusive where the rule cannot be judged."""


class Gate(_Section):
    """When a run passes."""

    rules: list[Rule] = Field(json_schema_extra={"minItems": 1})
    """All must hold."""
    baseline: str | None = None
    """The run to compare with."""
    alpha: float | None = Field(default=None, gt=0, lt=1)
    """The error rate of the rules' tests."""


class Online(_Section):
    """For training and serving."""

    fields: ColumnMap = None
    """Which columns carry what."""
    group_size: int | None = Field(default=None, ge=1, le=_MANY)
    """How many completions make a group."""


class SuiteFile(_Section):
    """A suite of the reward harness."""

    name: Name
    """What the suite is called."""
    tasks: list[Task] = Field(default_factory=list)
    """Where samples come from."""
    models: list[ModelEntry] = Field(default_factory=list)
    """What completes them."""
    generate: Generate = Field(default_factory=Generate)
    """How completions are drawn; every key has a default."""
    metrics: list[MetricEntry] = Field(default_factory=list)
    """What scores completions."""
    reward: Reward | None = None
    """How scores make one reward."""
    gate: Gate | None = None
    """When a run passes."""
    reports: list[ReportEntry] = Field(default_factory=list)
    """How a run is shown."""
    online: Online | None = None
    """For training and serving."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a suite file, every key described."""
    schema = SuiteFile.model_json_schema(by_alias=True)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema, "title": "reward-harness suite"}
