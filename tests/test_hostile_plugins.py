"""Plugins that call sys.exit(1), wherever they are called: the exit code stays ours, and says whose fault it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .commands import harness, inside, workplace
from .distributions import Shelf, make_shelf  # noqa: F401  # the fixture

EVIL = """
import os, sys
import harness
from harness import ScoreInfo

WHERE = os.environ["WHERE"]

def strike(place):
    if place == WHERE:
        sys.exit(1)

class Evil:
    corpus = ScoreInfo("evil", corpus="statistics")
    def __init__(self):
        strike("factory")
    @property
    def infos(self):
        strike("infos")
        return (self.corpus,)
    def __call__(self, batch):
        strike("metric")
        import numpy as np
        return {"evil": harness.scores_from(self.corpus, "evil", [0.5] * batch.size, statistics=np.ones((batch.size, 1)))}
    def corpus_from(self, name, sums):
        strike("corpus")
        return sums[:, 0] / sums[:, 0]
    def close(self):
        strike("close")

class EvilModel:
    name = "evil"
    def __init__(self, rest):
        strike("model factory")
    @property
    def fingerprint(self):
        strike("fingerprint")
        return "evil:1"
    def prompt_tokens(self, requests):
        strike("tokens")
        return [1 for _ in requests]
    def generate(self, requests, settings):
        strike("generate")
        for index, request in enumerate(requests):
            yield index, tuple(harness.Completion("x") for _ in request.seeds)
            strike("midway")
    def close(self):
        strike("model close")

def rows():
    strike("rows")
    yield {"id": "1", "prompt": "p"}
    strike("later rows")

def task(rest):
    strike("task factory")
    return rows

def report():
    strike("report factory")
    def render(run):
        strike("report")
        return harness.Rendered()
    return render

strike("import")

@harness.hookimpl
def register_metrics(register):
    strike("hook")
    register("evil", Evil)

@harness.hookimpl
def register_models(register):
    register("evil", EvilModel)

@harness.hookimpl
def register_tasks(register):
    register("evil", task)

@harness.hookimpl
def register_reports(register):
    register("evil", report)
"""
EVIL_SUITE = "name: s\ntasks: [{name: t, source: evil}]\nmodels: [evil]\nmetrics: [evil]\nreports: [evil, console]\n"
STRIKES = {
    "import": (2, "plugin 'evil' of acme 1.2 is broken and may have brought it: SystemExit: 1"),
    "hook": (2, "plugin 'evil' of acme 1.2 is broken and may have brought it: SystemExit: 1"),
    "factory": (2, "plugin 'evil' of acme 1.2 could not make metric 'evil': SystemExit: 1"),
    "infos": (2, "plugin 'evil' of acme 1.2: metric 'evil' has no `infos`: SystemExit: 1"),
    "model factory": (2, "plugin 'evil' of acme 1.2 could not make model 'evil': SystemExit: 1"),
    "task factory": (2, "plugin 'evil' of acme 1.2 could not make task 'evil': SystemExit: 1"),
    "report factory": (2, "plugin 'evil' of acme 1.2 could not make report 'evil': SystemExit: 1"),
    "rows": (2, "task 't': its source failed: SystemExit: 1"),
    "later rows": (2, "task 't': its source failed: SystemExit: 1"),
    "fingerprint": (2, "plugin 'evil' of acme 1.2: model 'evil' cannot say which model it is: SystemExit: 1"),
    "tokens": (2, "SystemExit: 1"),
    "generate": (2, "model 'evil' failed: SystemExit: 1"),
    "midway": (2, "model 'evil' failed: SystemExit: 1"),
    "model close": (0, "evil did not close: SystemExit: 1"),
    "metric": (3, "evil: 1 error"),
    "corpus": (3, "evil"),
    "close": (0, "evil did not close: SystemExit: 1"),
    "report": (2, "plugin 'evil' of acme 1.2: report 'evil' failed: SystemExit: 1"),
    "nowhere": (0, ""),
}


@pytest.mark.parametrize(("where", "code", "message"), [(w, *m) for w, m in STRIKES.items()], ids=STRIKES)
def test_a_plugin_that_ends_the_process_does_not_choose_its_exit_code(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, code: int, message: str
):
    shelf.add("evil", EVIL)
    (tmp_path / "suite.yaml").write_text(EVIL_SUITE)
    monkeypatch.setenv("WHERE", where)
    done = inside(tmp_path, "run", "suite.yaml", "--out", "o", env={"HARNESS_PLUGINS": "evil,console,files"})
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "mistake in reward-harness" not in done.stderr
    before_work = list(STRIKES)[: list(STRIKES).index("fingerprint") + 1]
    assert (tmp_path / "o").exists() is (where not in before_work)


def test_that_holds_for_a_process_too_and_broken_plugins_leave_others_alone(shelf: Shelf, tmp_path: Path):
    place = workplace(tmp_path)
    shelf.add("evil", EVIL)
    (place / "evil.yaml").write_text(EVIL_SUITE)
    env = {"HARNESS_PLUGINS": "evil,console,files,echo,length", "PYTHONPATH": str(shelf.folder), "WHERE": "import"}
    asked = harness(place, "run", "evil.yaml", env=env)
    assert asked.returncode == 2
    assert "plugin 'evil' of acme 1.2 is broken" in asked.stderr
    other = harness(
        place,
        "run",
        "suite.yaml",
        "--out",
        "o",
        "--set",
        "metrics=[length]",
        "--set",
        "reward.terms=[{score: length, range: [0, 9]}]",
        "--set",
        "reports=[]",
        env=env,
    )
    assert other.returncode == 0, other.stderr
    assert "warning: plugin 'evil' of acme 1.2 is broken and was left out: SystemExit: 1" in other.stderr
    (evil,) = [p for p in json.loads((place / "o" / "run.json").read_text())["plugins"] if p["name"] == "evil"]
    assert evil["state"] == "broken"
    listed = harness(place, "plugins", "list", env=env)
    assert listed.returncode == 0
    assert re.search(r"(?m)^evil +acme 1\.2 +broken +SystemExit: 1", listed.stdout)
