"""A distribution of somebody else's: built, installed and used as a user would, with harness's public names alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import harness
from harness import hookspecs
from harness.suite import parse_suite

from .distributions import Shelf, make_shelf  # noqa: F401  # the fixture

ACME = Path(__file__).resolve().parent / "third_party" / "acme_metrics"
SAMPLES = [
    {"id": "1", "prompt": "Say Hi", "references": ["hi"]},
    {"id": "2", "prompt": "one two three", "references": ["three"]},
    {"id": "3", "prompt": "1 2 3", "references": []},
]
SUITE = """
name: acme
tasks: [{name: t, source: samples.jsonl}]
models: [{parrot: {times: 2}}]
generate: {n: 2, temperature: 1.0}
metrics: [shout]
reward:
  combine: weighted_mean
  terms:
    - {score: brevity, weight: 3}
    - {score: shout, weight: 1, required: false}
"""
# shout is better the lower it is, so its term is 1 - share. brevity is 1 / (1 + words). Weights 3 and 1.
EXPECTED = {
    ("1", 0): ("Say Hi Say Hi", 4 / 10, 1 / 5, (3 / 5 + (1 - 4 / 10)) / 4),
    ("1", 1): ("SAY HI SAY HI", 1.0, 1 / 5, (3 / 5 + 0) / 4),
    ("2", 0): ("one two three one two three", 0.0, 1 / 7, (3 / 7 + 1) / 4),
    ("2", 1): ("ONE TWO THREE ONE TWO THREE", 1.0, 1 / 7, (3 / 7 + 0) / 4),
    ("3", 0): ("1 2 3 1 2 3", None, 1 / 7, 1 / 7),  # no letters: shout abstains, and brevity has all the weight
    ("3", 1): ("1 2 3 1 2 3", None, 1 / 7, 1 / 7),
}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which pip installed acme-metrics from its wheel."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheels, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    build = ["wheel", "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", str(wheels), str(ACME)]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    (wheel,) = wheels.glob("acme_metrics-2.5-*.whl")
    install = ["install", "--target", str(target), "--no-deps", "--no-index", str(wheel)]
    subprocess.run([*pip, *install], check=True, capture_output=True)
    return target


def run(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(site), "HARNESS_PLUGINS": "acme,console,files", "COLUMNS": "160"}
    command = [sys.executable, "-c", "from harness.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_the_list_of_plugins_shows_it_with_its_distribution(site: Path, tmp_path: Path):
    done = run(site, tmp_path, "plugins", "list", "--json")
    assert done.returncode == 0, done.stderr
    (acme,) = [p for p in json.loads(done.stdout) if p["name"] == "acme"]
    assert acme == {
        "name": "acme",
        "distribution": "acme-metrics",
        "version": "2.5",
        "state": "ok",
        "error": None,
        "brings": ["metric shout", "model parrot", "reward brevity"],
    }
    shown = run(site, tmp_path, "plugins", "list").stdout
    assert re.search(r"(?m)^acme +acme-metrics 2\.5 +ok +metric shout; model parrot; reward brevity *$", shown)


def test_what_it_brings_can_be_looked_up(site: Path, tmp_path: Path):
    done = run(site, tmp_path, "plugins", "info", "parrot")
    assert "plugin 'acme' of acme-metrics 2.5, module acme_metrics" in done.stdout
    assert re.search(r"(?m)^times +int +1 *$", done.stdout)


def test_a_suite_runs_on_all_three(site: Path, tmp_path: Path):
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(s) + "\n" for s in SAMPLES))
    (tmp_path / "suite.yaml").write_text(SUITE)
    done = run(site, tmp_path, "run", "suite.yaml", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "shout ↓" in done.stdout

    found = {}
    for group in harness.open_run(tmp_path / "out").groups():
        for index, cells in enumerate(group.cells):
            text = group.generation.completions[index].text
            values = [cells[n].value for n in ("shout", "brevity", "reward")]
            found[group.generation.sample.id, index] = (text, *values)
    assert found.keys() == EXPECTED.keys()
    for key, (text, shout, brevity, reward) in EXPECTED.items():
        assert found[key] == (text, shout, pytest.approx(brevity), pytest.approx(reward)), key

    record = json.loads((tmp_path / "out" / "run.json").read_text())
    (acme,) = [p for p in record["plugins"] if p["name"] == "acme"]
    assert (acme["distribution"], acme["version"], acme["state"]) == ("acme-metrics", "2.5", "ok")
    (model,) = record["models"]
    assert (model["plugin"], model["distribution"], model["version"]) == ("acme", "acme-metrics", "2.5")
    assert (model["fingerprint"], model["options"]) == ("parrot:1", {"times": 2})
    assert record["statuses"]["shout"]["abstain"] == 2
    assert record["renormalised"] == 2


def test_its_options_are_checked_before_any_work(site: Path, tmp_path: Path):
    (tmp_path / "samples.jsonl").write_text(json.dumps(SAMPLES[0]))
    for options, message in (
        ("{tmes: 2}", "unknown option 'tmes'; did you mean 'times'?"),
        ("{times: 0}", "at least 1"),
    ):
        (tmp_path / "suite.yaml").write_text(SUITE.replace("{times: 2}", options))
        done = run(site, tmp_path, "run", "suite.yaml", "--out", "out")
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
        assert not (tmp_path / "out").exists()


def test_it_is_absent_where_it_is_not_installed(tmp_path: Path):
    done = run(tmp_path, tmp_path, "plugins", "list")
    assert done.returncode == 2
    assert "HARNESS_PLUGINS: there is no plugin 'acme'" in done.stderr


# The example that teaches it


def documented() -> tuple[str, str]:
    """The module and the entry point of the docstring of `harness.hookspecs`."""
    blocks = re.findall(r"(?m)(?:^    .*\n|^\n(?=    ))+", hookspecs.__doc__ or "")
    code, declaration = (textwrap.dedent(b).strip() for b in blocks)
    return code, declaration


def test_the_example_of_the_hooks_is_a_whole_plugin(shelf: Shelf):
    code, declaration = documented()
    assert len(code.splitlines()) <= 10
    name, module = re.fullmatch(r'\[project\.entry-points\.harness\]\n(\w+) = "(\w+)"', declaration).groups()
    (shelf.folder / f"{module}.py").write_text(code)
    registry = shelf.point(name, module).load()
    assert registry.names("reward") == ["politeness"]
    texts = ("Please do", "do it")
    group = harness.Generation(harness.Sample("1"), "m", tuple(map(harness.Completion, texts)))
    scores = harness.score([group], ["politeness"], registry=registry)
    assert scores["politeness"].segment == [1.0, 0.0]


def test_the_example_rewards(shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    code, _ = documented()
    (shelf.folder / "my_module.py").write_text(code)
    shelf.point("politeness", "my_module")
    monkeypatch.setenv("HARNESS_PLUGINS", "politeness")
    reward = parse_suite("{name: s, reward: {terms: [{score: politeness}]}}").reward()
    group = harness.Generation(harness.Sample("1"), "m", (harness.Completion("no"), harness.Completion("yes, please")))
    assert [r.total for r in reward([group])] == [0.0, 1.0]


def test_it_uses_public_names_only():
    source = (ACME / "acme_metrics.py").read_text()
    assert set(re.findall(r"\bharness\.(\w+)", source)) <= set(harness.__all__)
    assert re.findall(r"(?m)^(?:import|from) (.+)$", source) == ["harness"]
