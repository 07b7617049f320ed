"""The three identities: what was asked (sample), how it was answered (generation), what a number means (signature).

Digests are the first 128 bits of SHA-256 over canonical JSON, so they are equal on every machine and version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict

from harness.records import prompt_json
from harness.strictjson import dumps
from harness.types import Json, Sample, Settings

SCHEMA_VERSION = 1
"""The format of every file of a run folder."""


def digest(value: Json) -> str:
    return hashlib.sha256(dumps(value).encode()).hexdigest()[:32]


def sample_key(sample: Sample) -> str:
    """Task, id, prompt and references: what must agree for two scores to be paired."""
    return digest([sample.task, sample.id, prompt_json(sample.prompt), list(sample.references)])


def samples_key(samples: Iterable[Sample]) -> str:
    """Of all samples of a task, whatever their order."""
    return digest(sorted(sample_key(s) for s in samples))


def settings_json(settings: Settings) -> dict[str, Json]:
    record = asdict(settings)
    return {**record, "stop": list(settings.stop)}


def generation_key(fingerprint: str, settings: Settings, adapter: str) -> str:
    """Model, settings and adapter version: what, with the sample, decides a completion."""
    return digest([fingerprint, settings_json(settings), adapter])


def seeds_of(run_seed: int, sample: Sample, n: int) -> tuple[int, ...]:
    """One seed per completion, a function of run seed, task, sample id and index alone."""
    return tuple(int(digest([run_seed, sample.task, sample.id, i])[:16], 16) >> 1 for i in range(n))
