"""Installed distributions with plugins, made of text: what `importlib.metadata` reads, and nothing more."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Any

import pytest

from harness.registry import Registry
from harness.types import Spec


class Shelf:
    """A folder of distributions, as on `sys.path`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._points: dict[tuple[str, str], list[str]] = {}

    def add(self, name: str, source: str, *, distribution: str = "acme", version: str = "1.2") -> Shelf:
        """A plugin `name`, whose module holds `source`, in a distribution that may hold several."""
        module = f"{distribution}_{name}"
        self.point(name, module, distribution=distribution, version=version)
        (self.folder / f"{module}.py").write_text(source, encoding="utf-8")
        return self

    def point(self, name: str, module: str, *, distribution: str = "acme", version: str = "1.2") -> Shelf:
        lines = self._points.setdefault((distribution, version), [])
        lines.append(f"{name} = {module}")
        info = self.folder / f"{distribution}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text("[harness]\n" + "\n".join(lines) + "\n")
        return self

    def points(self) -> list[EntryPoint]:
        found = distributions(path=[str(self.folder)])
        return [p for d in found for p in d.entry_points if p.group == "harness"]

    def load(self, **how: Any) -> Registry:
        return Registry.load(points=self.points(), **how)


@pytest.fixture(name="shelf")
def make_shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """An empty shelf on `sys.path`, whose modules are forgotten after the test."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delenv("HARNESS_PLUGINS", raising=False)
    known = set(sys.modules)
    yield Shelf(folder)
    for name in set(sys.modules) - known:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def metric(name: str, scores: str = "()", body: str = "return [1.0 for _ in completions]") -> str:
    """The source of a plugin with one metric."""
    return f"""
import harness

def {name}(completions):
    {body}

@harness.hookimpl
def register_metrics(register):
    register({name!r}, lambda: harness.metric_from({name}), scores={scores})
"""


def registering(hook: str, call: str) -> str:
    """The source of a plugin whose hook does `call`."""
    return f"import harness\n@harness.hookimpl\ndef {hook}(register):\n    {call}\n"


def spec(name: str, kind: str = "metric", **options: object) -> Spec:
    return Spec(kind, name, options=options)  # type: ignore[arg-type]
