"""The wheel, installed where the source is absent: everything it needs is in it, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("build")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(root)]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel; its dependencies are lent by this one, whose editable install is not seen."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")  # .pth files found there are not followed
    return folder


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HARNESS"))}
    return subprocess.run(
        [str(installed / "bin" / arguments[0]), *arguments[1:]],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_wheel_holds_the_four_packages_and_no_root(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0] for n in names if ".dist-info" not in n} == {
        "harness",
        "harness_plugins",
        "harness_tasks",
        "harness_reports",
    }
    for needed in (
        "harness/py.typed",
        "harness_tasks/suites/quickstart.yaml",
        "harness_tasks/suites/e2e.yaml",
        "harness_tasks/data/contrasts.jsonl",
        "harness_tasks/data/keywords_zh.jsonl",
        "harness_plugins/data/gender.tsv",
    ):
        assert needed in names
    assert any(n.startswith("harness_reports/templates/") for n in names)
    assert any(n.endswith("licenses/LICENSE") for n in names)


def test_an_install_runs_a_suite_with_the_source_absent(installed: Path, root: Path, tmp_path: Path):
    where = run(installed, tmp_path, "python", "-c", "import harness, harness_tasks; print(harness.__file__)")
    assert str(installed) in where.stdout, where.stderr
    assert str(root) not in where.stdout
    (tmp_path / "suite.yaml").write_text(
        "name: w\ntasks: [{name: q, source: quickstart, limit: 3}]\nmodels: [echo]\nmetrics: [bleu, diversity]\n"
        "generate: {n: 2, temperature: 1.0}\nreward: {terms: [{score: bleu}]}\nreports: [html, csv]\n"
    )
    done = run(installed, tmp_path, "harness", "run", "suite.yaml", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "reward" in done.stdout
    made = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"report.html", "summary.csv", "segments.csv", "segments.parquet", "corpus.csv", "run.json"} <= made


def test_an_install_lists_its_plugins_and_suites(installed: Path, tmp_path: Path):
    plugins = run(installed, tmp_path, "harness", "plugins", "list")
    assert plugins.returncode == 0
    assert "broken" not in plugins.stdout
    suites = run(installed, tmp_path, "harness", "suite", "list")
    assert "quickstart" in suites.stdout
    assert "e2e" in suites.stdout
