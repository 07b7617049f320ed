"""Runs with recorded tasks, tables and a choice that are killed and begun again. See test_resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import RunError
from harness.store import open_run

from . import test_resume
from .test_resume import SUITE, Driver, _finished, files

pytestmark = pytest.mark.slow
place, driver = test_resume.place, test_resume.driver  # the fixtures

MIXED = (
    "write.before:1", "write.half:1", "write.after:2", "write.short:4", "write.half:5", "write.after:6",
    "rename.after:scores.json:1", "mkdir.after:2",
    "rename.before:agreement.csv:1", "rename.after:selection.csv:1", "rename.after:utility.csv:1",
)  # fmt: skip


@pytest.fixture(scope="module")
def mixed(place: Path, driver: Driver) -> dict[str, bytes]:
    """The files of a run with recorded completions beside its own, and tables of people's ratings and of its choice."""
    recorded = "- {name: rated, source: rated.jsonl, recorded: true}\n  - {name: pubs"
    text = SUITE.replace("- {name: pubs", recorded).replace("seed: 3", "seed: 3, strategy: mbr, utility: rougeL")
    (place / "mixed.yaml").write_text(text.replace("[bleu, ", "[{human: {resamples: 20}}, "))
    said = ("Pub.", "A pub that is bad.", "=")
    records = [
        {"id": f"r{i}", "references": ["A pub."], "model": model, "completions": said}
        | {"ratings": [{"good": [i % 3]}, {"good": [len(model) * i % 4]}, {}]}
        for model in ("one", "three", "eleven")
        for i in range(70)
    ]
    (place / "rated.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    _finished(driver, ["run", place / "mixed.yaml"], place / "mixed")
    found = files(place / "mixed")
    assert {name for name in found if name.startswith("tables/")} == {
        f"tables/{name}.csv" for name in ("agreement", "raters", "selected", "selection", "utility")
    }
    return found


@pytest.mark.parametrize("point", MIXED)
def test_a_kill_in_a_run_with_recorded_tasks_and_tables(
    place: Path, tmp_path: Path, driver: Driver, mixed: dict[str, bytes], point: str
) -> None:
    arguments, out = ["run", place / "mixed.yaml"], tmp_path / "out"
    driver.killed_at(point, arguments, out)
    assert driver(arguments, out).returncode == 0
    assert files(out) == mixed


@pytest.mark.parametrize("point", ["rename.before:selection.csv:1", "rename.after:agreement.csv:1", "mkdir.after:1"])
def test_a_kill_while_another_choice_is_made(
    place: Path, tmp_path: Path, driver: Driver, mixed: dict[str, bytes], point: str
) -> None:
    """Tables of the old choice are not left among those of the new one."""
    other, out = place / "best.yaml", tmp_path / "out"
    other.write_text((place / "mixed.yaml").read_text().replace("mbr, utility: rougeL", "best_of"))
    assert driver(["run", other], out).returncode == 0
    assert "tables/utility.csv" not in files(out)
    driver.killed_at(point, ["run", place / "mixed.yaml"], out)
    with pytest.raises(RunError, match="not finished"):
        open_run(out)
    assert driver(["run", place / "mixed.yaml"], out).returncode == 0
    assert files(out) == mixed
