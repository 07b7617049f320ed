"""What README shows is what happens."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import types
from pathlib import Path

import pytest

import harness
from harness.bundles import find_suite
from harness.registry import Entry, Plugin, Registry
from harness.suite import load_suite, parse_suite


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


def blocks(text: str, label: str) -> list[str]:
    return re.findall(rf"^```{re.escape(label)}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_the_python_example_prints_what_readme_says(readme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file.jsonl").write_text(blocks(readme, "jsonl file.jsonl")[0], encoding="utf-8")
    (tmp_path / "suite.yaml").write_text(blocks(readme, "yaml suite.yaml")[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(readme, "python")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert printed.getvalue() == blocks(readme, "output")[0]


def test_the_suite_example_is_valid(readme: str):
    suite = parse_suite(blocks(readme, "yaml")[0])
    assert suite.tasks[0].limit == 40


def test_the_suite_of_recorded_texts_is_valid(readme: str):
    suite = parse_suite(blocks(readme, "yaml recorded")[0])
    assert suite.tasks[0].recorded
    assert not suite.models


def test_the_plugin_example_works(readme: str, monkeypatch: pytest.MonkeyPatch):
    module = types.ModuleType("politeness")
    monkeypatch.setitem(sys.modules, "politeness", module)
    exec(blocks(readme, "python plugin")[0], module.__dict__)
    entries: list[Entry] = []
    plugin = Plugin("politeness", "politeness", "x", "1", "ok")
    module.register_rewards(lambda name, factory: entries.append(Entry("reward", name, factory, (name,), plugin)))
    registry = Registry([plugin], entries)
    generation = harness.Generation(
        harness.Sample("1"), "m", (harness.Completion("Please!"), harness.Completion("No."))
    )
    assert harness.score([generation], ["politeness"], registry=registry)["politeness"].segment == [1.0, 0.0]


def test_every_command_and_plugin_is_named(readme: str):
    from harness.cli import cli

    for name in cli.commands:
        assert f"harness {name}" in readme or f"{name} list" in readme, name
    registry = Registry.load()
    for kind in ("metric", "model"):
        for name in registry.names(kind):
            if registry.find(kind, name).plugin.distribution == "reward-harness":
                assert f"`{name}" in readme, name


def test_the_demo_table_has_the_rows_of_the_quickstart_suite(readme: str):
    """The numbers themselves are a real model's, and belong to its machine; the rest is what the command prints."""
    demo = re.search(r"<!-- demo -->(.*?)<!-- /demo -->", readme, re.DOTALL)
    assert demo is not None
    named = {words[0] for line in demo[1].splitlines() if not line.startswith(" ") and len(words := line.split()) >= 2}
    registry = Registry.load()
    suite = load_suite(find_suite("quickstart"), registry=registry)
    scores = [info.name for spec in suite.metric_specs(registry) for info in registry.infos(spec)]
    assert suite.reward_spec is not None
    for name in [*scores, "reward"]:
        assert name in named, name
    for term in suite.reward_spec.terms:
        assert f"  {term.name} ×{term.weight:g}" in demo[1]
    for said in (
        suite.models[0].label,
        "24 samples, 84 completions",
        "What best_of changes",
        "report.html",
        "run: runs/quickstart",
    ):
        assert said in demo[1]
