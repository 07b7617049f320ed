"""The manifest of a run: what was run, on what, by whose code, and how it went. The same for equal runs."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import harness
from harness.assess import Table
from harness.keys import SCHEMA_VERSION, samples_key, settings_json
from harness.strictjson import dumps, loads
from harness.types import STATUSES, Json, Sample, ScoreInfo

if TYPE_CHECKING:
    from harness.registry import Registry
    from harness.rewards import Composite
    from harness.suite import Suite

_LIBRARIES = (
    "accelerate", "datasets", "gguf", "httpx", "jinja2", "numpy", "pandas", "pluggy", "pyarrow", "pydantic", "rouge-score",
    "sacrebleu", "tokenizers", "torch", "transformers", "vaderSentiment",
)  # fmt: skip


def libraries() -> dict[str, Json]:
    """Versions of Python and of the libraries that can move a number, those that are installed."""
    found: dict[str, Json] = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def plugin_records(registry: Registry) -> list[dict[str, Json]]:
    return [p.record() for p in registry.plugins]


def task_records(suite: Suite, samples: Mapping[str, Sequence[Sample]]) -> list[dict[str, Json]]:
    known = {t.name: t for t in suite.tasks}
    return [
        {
            "name": name,
            "samples": len(found),
            "source": known[name].source if name in known else None,
            "language": known[name].language if name in known else None,
            "key": samples_key(found),
        }
        for name, found in samples.items()
    ]


def composite_record(composite: Composite | None) -> dict[str, Json] | None:
    if composite is None:
        return None
    terms: list[Json] = [
        {
            "name": t.name,
            "score": t.score,
            "weight": t.weight,
            "range": [t.low, t.high],
            "higher_is_better": t.higher_is_better,
            "required": t.required,
        }
        for t in composite.terms
    ]
    guards: list[Json] = [
        {"score": g.score, "min": g.min, "max": g.max, "required": g.required} for g in composite.guards
    ]
    return {"combine": composite.rule, "terms": terms, "guard": guards}


def status_counts(infos: Mapping[str, ScoreInfo], tables: Iterable[Table]) -> dict[str, dict[str, int]]:
    """How many completions have each status, by score."""
    counts: dict[str, dict[str, int]] = {
        n: dict.fromkeys(map(str, STATUSES), 0) for n, i in infos.items() if i.scope != "corpus"
    }
    for table in tables:
        for name, found in counts.items():
            for status, n in table.statuses(name).items():
                found[status] += n
    return counts


def corpus_faults(tables: Iterable[Table]) -> list[dict[str, Json]]:
    """Corpus scores that their plugin failed to make."""
    return [
        {"task": t.task, "model": t.model, "score": name, "reason": reason}
        for t in tables
        for name, reason in t.faults.items()
    ]


def signatures(tables: Iterable[Table]) -> list[Json]:
    return [
        {"task": t.task, "model": t.model, "score": n, "segment": s.signature, "corpus": s.corpus_signature}
        for t in tables
        for n, s in t.scores.items()
    ]


def suite_record(suite: Suite) -> dict[str, Any]:
    from harness.suite import resolved

    return {"text": suite.text, "resolved": resolved(suite)}


def in_order(suite: Suite, models: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A run's models as the suite lists them; those of records, which no suite lists, as they came."""
    place = {s.label: i for i, s in enumerate(suite.models)}
    return sorted(models, key=lambda m: place.get(m["name"], len(place)))


def _model_records(suite: Suite, identity: Mapping[str, Json]) -> list[dict[str, Any]]:
    """What the completions are tied to, and the options it was last made with, some of which may change no text."""
    options = {s.label: dict(s.options) for s in suite.models}
    models: Any = identity["models"]
    return [{**m, "options": options[m["name"]]} if m["name"] in options else dict(m) for m in models]


def started(
    suite: Suite,
    registry: Registry,
    samples: Mapping[str, Sequence[Sample]],
    identity: Mapping[str, Json],
) -> dict[str, Any]:
    """The manifest before generation: enough to continue the run from its folder."""
    known: Any = loads(dumps(identity), "identity")  # in the order of a journal's header
    identity = {**known, "models": in_order(suite, known["models"])}
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "run",
        "name": suite.name,
        "harness_version": harness.__version__,
        "state": "started",
        "suite": suite_record(suite),
        "identity": identity,
        "tasks": task_records(suite, samples),
        "models": _model_records(suite, identity),
        "settings": settings_json(suite.generate) if suite.models else None,
        "plugins": plugin_records(registry),
        "libraries": libraries(),
    }
