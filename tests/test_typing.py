"""Type checkers, strict, on somebody else's plugin and program: the public names carry their types."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent / "typing"
pytestmark = pytest.mark.slow


def mypy(name: str, cache: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(cache), str(HERE / name)]
    return subprocess.run(command, cwd=cache, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


def test_mypy_accepts_a_plugin_and_its_use(cache: Path):
    done = mypy("plugin.py", cache)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_finds_every_mistake(cache: Path):
    """Were the names of `harness` of type Any, this would find none."""
    done = mypy("mistakes.py", cache)
    found = {int(line) for line in re.findall(r"mistakes\.py:(\d+): error", done.stdout)}
    wrong = {n for n, line in enumerate((HERE / "mistakes.py").read_text().splitlines(), 1) if line.endswith("# wrong")}
    assert found == wrong, done.stdout


def test_pyright_accepts_them_too(tmp_path: Path):
    pyright = Path(sys.executable).with_name("pyright")
    if not pyright.exists():
        pytest.skip("pyright is not installed")
    try:
        started = subprocess.run([pyright, "--version"], capture_output=True, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired:
        pytest.skip("pyright could not start: it wants to download node")
    if not re.search(r"pyright \d", started.stdout):
        pytest.skip("pyright could not start: it wants to download node")
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "include": ["plugin.py"]}')
    (tmp_path / "plugin.py").write_text((HERE / "plugin.py").read_text())
    command = [pyright, "--pythonpath", sys.executable, "--project", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
