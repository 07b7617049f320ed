"""Small runs for tests: a model that does as it is told, and a metric that cannot stand one sample."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import harness
from harness import cli
from harness.journal import Journal, Recorded
from harness.registry import Entry, Plugin, Registry
from harness.run import Outcome, prepare, run_suite
from harness.store import Run
from harness.suite import Suite, parse_suite
from harness.types import Completion, Request, Settings

Command = Callable[..., tuple[int, str, str]]
PLUGINS = ("bleu", "console", "csv", "diversity", "echo", "exact", "files", "length", "rouge")
OURS = Plugin("probe", "tests", "tests", "1.0", "ok")
SUITE = """
name: small
tasks:
  - {name: t, source: rows.jsonl, language: en}
models: [probe]
generate: {n: 2, temperature: 1.0, max_new_tokens: 8, batch_tokens: 60, seed: 1}
metrics: [bleu, length]
"""
WITH_REWARD = "reward:\n  terms:\n    - {score: bleu}\n    - {score: fussy, required: false}\n"


class Probe:
    """A model that says what it is told to, and keeps count of what it was asked."""

    name = "probe"

    def __init__(self, version: str = "1") -> None:
        self.fingerprint = f"probe:{version}"
        self.asked: list[str] = []
        self.fails_on: set[str] = set()
        self.raises_at: str | None = None
        self.closed = 0

    def generate(self, requests: Sequence[Request], settings: Settings) -> Iterator[tuple[int, tuple[Completion, ...]]]:
        for index, request in reversed(list(enumerate(requests))):  # any order will do
            if request.sample.id == self.raises_at:
                raise ConnectionError("gone")
            self.asked.append(request.sample.id)
            yield index, tuple(self._answer(request.sample.id, seed) for seed in request.seeds)

    def _answer(self, id: str, seed: int) -> Completion:
        if id in self.fails_on:
            return Completion(None, "timeout", "too slow")
        return Completion(f"the pub number {id} by the river {seed % 10}", tokens=7)

    def close(self) -> None:
        self.closed += 1


class Refusing(Probe):
    """A model that no run may ask."""

    def generate(self, requests: Sequence[Request], settings: Settings) -> Any:
        raise AssertionError(f"asked for {[r.sample.id for r in requests]}")


def fussy() -> Any:
    """A metric that raises on one sample."""

    def function(completions: list[str], ids: list[str]) -> list[float]:
        if "s3" in ids:
            raise ZeroDivisionError("cannot stand s3")
        return [len(c) % 10 / 10 for c in completions]

    return harness.metric_from(function, name="fussy")


def registry_with(model: object, plugin: Plugin = OURS) -> Registry:
    base = Registry.load(allow=PLUGINS)
    probe = Entry("model", "probe", lambda rest: model, (), plugin)
    return Registry(
        [*base.plugins, plugin], [*base.entries(), probe, Entry("reward", "fussy", fussy, ("fussy",), plugin)]
    )


def write_rows(folder: Path, count: int = 8) -> None:
    rows = [{"id": f"s{i}", "prompt": f"Pub {i}" + "?" * i, "references": [f"the pub {i}"]} for i in range(count)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line in this process: its exit code, what it printed, and what it said."""
    monkeypatch.setenv("HARNESS_PLUGINS", ",".join(PLUGINS))

    def call(*arguments: object) -> tuple[int, str, str]:
        code = cli.call([str(a) for a in arguments])
        return code, *capsys.readouterr()

    return call


def suite_of(place: Path, registry: Registry, text: str = SUITE) -> Suite:
    return parse_suite(text, folder=place, registry=registry)


def run_into(
    place: Path, model: object, text: str = SUITE, out: str = "out", plugin: Plugin = OURS, **options: Any
) -> Outcome:
    registry = registry_with(model, plugin)
    return run_suite(prepare(suite_of(place, registry, text), registry), place / out, **options)


def records_of(folder: Path) -> list[Recorded]:
    journal = Journal.open(folder)
    return list(journal.read(journal.index))


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in {"local.json", ".lock"}}


def column(run: Run, name: str) -> dict[tuple[str, int], Any]:
    rows = pq.read_table(run.folder / "segments.parquet").to_pylist()
    return {(r["sample"], r["completion_index"]): r[name] for r in rows}
