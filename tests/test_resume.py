"""Runs that are killed and begun again: nothing lost, nothing twice, and in the end the bytes of a run that never died.

Every kill is shown to have landed: the process died of the signal, and at a named point it had said where it was.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.errors import RunError
from harness.journal import Journal
from harness.store import open_run

pytestmark = pytest.mark.slow

PLUGINS = "bleu,console,csv,diversity,echo,files,human,rouge,sentiment"
SUITE = """
name: kills
tasks:
  - {name: pubs, source: rows.jsonl, language: en}
models:
  - echo: {texts: ["The pub is good.", "A bad, sad place to be in.", "Happy pub, number one."], delay: 0.02}
generate: {n: 2, temperature: 1.0, max_new_tokens: 8, batch_tokens: 132, seed: 3}
metrics: [bleu, rouge, diversity, sentiment]
reward:
  terms:
    - {score: rougeL, weight: 0.5}
    - {score: diversity, weight: 0.3}
    - {score: sentiment, weight: 0.2, required: false}
reports: [csv]
"""
BATCHES = 6
LOCAL = {"local.json", ".lock"}  # timings, and the lock: all else is equal in equal runs

NAMED = (
    "mkdir.after:1",
    "rename.before:run.json:1", "rename.after:run.json:1",
    "rename.before:samples.jsonl:1", "rename.after:samples.jsonl:1",
    "rename.before:journal.jsonl:1", "rename.after:journal.jsonl:1",
    "repair.before:1",
    "write.before:1", "write.before:4",
    "write.half:1", "write.half:3", "write.half:6",
    "write.short:2", "write.short:6",
    "write.after:1", "write.after:5",
    "sync.after:1", "sync.after:6",
    "metric.before:1", "metric.after:3", "interval.before:1", "row.before:1", "row.after:17",
    "rename.before:segments.parquet:1", "rename.after:segments.parquet:1",
    "rename.before:segments.csv:1", "rename.after:segments.csv:1",
    "rename.before:statistics.parquet:1", "rename.after:statistics.parquet:1",
    "rename.before:corpus.csv:1", "rename.after:corpus.csv:1",
    "rename.before:scores.json:1", "rename.after:scores.json:1",
    "report.before:1", "rename.before:summary.csv:1", "rename.after:summary.csv:1",
    "rename.before:local.json:1",
)  # fmt: skip
TWICE = (
    ("write.half:3", "repair.before:1"),
    ("write.half:3", "repair.after:1"),
    ("write.short:2", "write.half:1"),
    ("write.half:1", "write.short:5"),
    ("write.after:4", "rename.after:segments.parquet:1"),
    ("rename.after:segments.parquet:1", "rename.before:segments.csv:1"),
)
SEEDS = range(12)
SCORED = ("rename.after:journal.jsonl:1", "write.half:1", "write.short:1", "write.before:2", "write.half:2")
RESCORED = ("rename.after:segments.csv:1", "rename.before:corpus.csv:1", "rename.after:scores.json:1")


def test_there_are_enough_kills() -> None:
    assert len(set(NAMED)) >= 15
    assert len(SEEDS) >= 10


@dataclass(frozen=True, slots=True)
class End:
    """How a process ended, and what it printed."""

    returncode: int
    output: str


class Driver:
    """See kill_driver."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        script = Path(__file__).with_name("kill_driver.py")
        environment = {**os.environ, "HARNESS_PLUGINS": PLUGINS, "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "200"}
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(30) == 0

    def __call__(self, arguments: Sequence[object], out: Path, **order: Any) -> End:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        output = self._folder / "output"
        output.unlink(missing_ok=True)
        order |= {"arguments": [*map(str, arguments), "--out", str(out)], "folder": str(out), "output": str(output)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return End(answer["returncode"], output.read_text() if output.exists() else "")

    def killed_at(self, point: str, arguments: Sequence[object], out: Path, **order: Any) -> None:
        marker = self._folder / "marker"
        marker.unlink(missing_ok=True)
        end = self(arguments, out, point=point, marker=str(marker), **order)
        assert end.returncode == -signal.SIGKILL, f"{point} was not passed: {end}"
        assert marker.read_text() == point.rpartition(":")[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    rows = [
        {"id": f"s{i}", "prompt": f"Describe place {i}, a good pub" + " very" * (i % 5), "references": [f"Pub {i}."]}
        for i in range(20)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (folder / "suite.yaml").write_text(SUITE)
    records = [{"id": f"r{i}", "references": ["A pub."], "completions": [f"Pub {i}.", "="]} for i in range(70)]
    (folder / "records.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return folder


@pytest.fixture(scope="module")
def driver(place: Path) -> Iterator[Driver]:
    driver = Driver(place)
    yield driver
    driver.close()


@pytest.fixture(scope="module")
def run(place: Path) -> list[object]:
    return ["run", place / "suite.yaml"]


@pytest.fixture(scope="module")
def whole(place: Path, driver: Driver, run: list[object]) -> dict[str, bytes]:
    """The files of a run that nobody disturbed."""
    return _finished(driver, run, place / "whole")


def _finished(driver: Driver, arguments: Sequence[object], out: Path) -> dict[str, bytes]:
    end = driver(arguments, out)
    assert end.returncode == 0, end.output
    return files(out)


def files(folder: Path) -> dict[str, bytes]:
    found = (p for p in folder.rglob("*") if p.is_file() and p.name not in LOCAL)
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


def committed(out: Path) -> bytes:
    """The journal up to its last whole batch: what a later run may never lose."""
    path = out / "journal.jsonl"
    data = path.read_bytes() if path.exists() else b""
    end = 0
    for start in (i for i in range(len(data)) if data.startswith(b'{"commit"', i)):
        newline = data.find(b"\n", start)
        end = newline + 1 if newline >= 0 else end
    return data[:end]


def keys(out: Path) -> list[tuple[str, str, str]]:
    records = [json.loads(line) for line in (out / "journal.jsonl").read_bytes().splitlines()]
    return [(r["task"], r["id"], r["model"]) for r in records if "completions" in r]


def recovers(driver: Driver, run: Sequence[object], out: Path, whole: dict[str, bytes], **order: Any) -> None:
    """The same command again ends the run as if nothing had been."""
    safe = committed(out)
    end = driver(run, out, **order)
    assert end.returncode == 0, end.output
    assert (out / "journal.jsonl").read_bytes().startswith(safe)
    assert sorted(keys(out)) == sorted(("pubs", f"s{i}", "echo") for i in range(20))
    found = files(out)
    assert found.keys() == whole.keys()  # so no temporary file is left either
    assert [name for name in whole if found[name] != whole[name]] == []


def test_the_run_is_what_these_tests_need(whole: dict[str, bytes]) -> None:
    assert whole["journal.jsonl"].count(b'{"commit"') == BATCHES
    assert set(whole) == {
        "run.json", "samples.jsonl", "journal.jsonl", "segments.csv", "segments.parquet", "statistics.parquet",
        "corpus.csv", "scores.json", "summary.csv",
    }  # fmt: skip


@pytest.mark.parametrize("point", NAMED)
def test_a_kill_at_a_named_point(
    tmp_path: Path, driver: Driver, run: list[object], whole: dict[str, bytes], point: str
) -> None:
    driver.killed_at(point, run, tmp_path / "out")
    recovers(driver, run, tmp_path / "out", whole)


@pytest.mark.parametrize(("first", "second"), TWICE)
def test_a_second_kill_while_it_recovers(
    tmp_path: Path, driver: Driver, run: list[object], whole: dict[str, bytes], first: str, second: str
) -> None:
    out = tmp_path / "out"
    driver.killed_at(first, run, out)
    safe = committed(out)
    driver.killed_at(second, run, out)
    assert committed(out).startswith(safe)
    recovers(driver, run, out, whole)


@pytest.mark.parametrize("seed", SEEDS)
def test_kills_at_random_times(
    tmp_path: Path, driver: Driver, run: list[object], whole: dict[str, bytes], seed: int
) -> None:
    """Once, or (odd seeds) again while it recovers; a kill that came too late is tried again, sooner."""
    delays, out, landed, longest = random.Random(seed), tmp_path / "out", 0, 0.6
    for _ in range(20):
        if landed == 1 + seed % 2:
            break
        safe = committed(out)
        end = driver(run, out, kill_after=delays.uniform(0.02, longest))
        landed += end.returncode == -signal.SIGKILL
        longest *= 1.0 if end.returncode == -signal.SIGKILL else 0.7
        assert committed(out).startswith(safe)
    assert landed == 1 + seed % 2
    recovers(driver, run, out, whole)


@pytest.mark.parametrize("point", ["write.half:3", "write.short:2", "write.short:6"])
def test_without_tail_repair_these_tests_fail(
    tmp_path: Path, driver: Driver, run: list[object], whole: dict[str, bytes], point: str
) -> None:
    driver.killed_at(point, run, tmp_path / "out", repair=False)
    with pytest.raises(AssertionError, match=r"journal\.jsonl: cannot be appended to"):
        recovers(driver, run, tmp_path / "out", whole, repair=False)


def test_a_torn_tail_is_told(tmp_path: Path, driver: Driver, run: list[object]) -> None:
    driver.killed_at("write.half:3", run, tmp_path / "out")
    torn = (tmp_path / "out" / "journal.jsonl").stat().st_size - len(committed(tmp_path / "out"))
    end = driver(run, tmp_path / "out")
    assert f"cut off {torn} bytes of an interrupted write" in end.output
    assert "of 40 completions were there already" in end.output


@pytest.mark.parametrize("point", SCORED)
def test_records_whose_scoring_was_killed_are_all_there_in_the_end(
    place: Path, tmp_path: Path, driver: Driver, point: str
) -> None:
    arguments = ["score", place / "records.jsonl", "--metric", "rouge"]
    whole = _finished(driver, arguments, tmp_path / "whole")
    driver.killed_at(point, arguments, tmp_path / "out")
    assert _finished(driver, arguments, tmp_path / "out") == whole
    assert len(keys(tmp_path / "out")) == 70


@pytest.mark.parametrize("point", RESCORED)
def test_a_run_whose_new_scoring_was_killed_is_not_taken_for_finished(
    tmp_path: Path, driver: Driver, run: list[object], point: str
) -> None:
    """Old and new files lie side by side then."""
    out = tmp_path / "out"
    assert driver(run, out).returncode == 0
    again = ["score", out, "--metric", "sentiment"]
    driver.killed_at(point, again, out)
    with pytest.raises(RunError, match="not finished"):
        open_run(out)
    found = _finished(driver, again, out)
    other = tmp_path / "other"
    assert driver(run, other).returncode == 0
    assert found == _finished(driver, ["score", other, "--metric", "sentiment"], other)
    assert open_run(out).manifest["state"] == "complete"


@pytest.mark.parametrize(
    "point",
    ["rename.after:run.json:1", "write.before:1", "write.half:1", "write.short:2", "write.after:1", "sync.after:2"],
)
def test_a_kill_while_failures_are_tried_again(place: Path, tmp_path: Path, driver: Driver, point: str) -> None:
    suite = place / "failing.yaml"
    suite.write_text(SUITE.replace("delay: 0.02", "delay: 0, fail_on: 'place 1'"))  # 1 and 10 to 19
    out = tmp_path / "out"
    assert driver(["run", suite], out).returncode == 3
    before = files(out)
    driver.killed_at(point, ["run", suite, "--retry-failed"], out)
    assert committed(out).startswith(before["journal.jsonl"])
    with pytest.raises(RunError, match="not finished"):
        open_run(out)
    for command in (["run", suite], ["run", suite, "--retry-failed"]):
        assert driver(command, out).returncode == 3
        assert len(Journal.open(out).index) == len(set(keys(out))) == 20
        found = files(out)
        assert found.pop("journal.jsonl").startswith(before["journal.jsonl"])
        assert found == {name: data for name, data in before.items() if name != "journal.jsonl"}


@pytest.mark.parametrize(
    "point", ["rename.after:run.json:1", "rename.before:samples.jsonl:1", "rename.after:samples.jsonl:1"]
)
def test_a_kill_while_edited_samples_are_taken_over(tmp_path: Path, driver: Driver, point: str) -> None:
    """The old scores are not taken for those of the new samples, and the same command ends it."""
    rows = [{"id": str(i), "prompt": "p", "references": ["a good pub"], "genre": "pub"} for i in range(3)]
    suite, data, out = tmp_path / "suite.yaml", tmp_path / "rows.jsonl", tmp_path / "out"
    suite.write_text(SUITE)
    data.write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert driver(["run", suite], out).returncode == 0
    data.write_text("".join(json.dumps({**r, "genre": "inn", "cluster": "c"}) + "\n" for r in rows))
    driver.killed_at(point, ["run", suite], out)
    with pytest.raises(RunError, match="not finished"):
        open_run(out)
    found = _finished(driver, ["run", suite], out)
    assert found == _finished(driver, ["run", suite], tmp_path / "whole")
    assert b"inn" in found["samples.jsonl"]


@pytest.mark.parametrize("point", ["metric.before:2", "write.before:2", "row.before:5", "report.before:1"])
@pytest.mark.parametrize(("number", "code", "word"), [(15, 143, "terminated"), (2, 130, "interrupted")])
def test_a_signal_at_a_named_point_ends_with_its_code(
    tmp_path: Path, driver: Driver, run: list[object], whole: dict[str, bytes],
    point: str, number: int, code: int, word: str,
) -> None:  # fmt: skip
    """No metric, model or report may take it for a failure of its own."""
    out, marker = tmp_path / "out", tmp_path / "marker"
    end = driver(run, out, point=point, marker=str(marker), signal=number)
    assert marker.exists()
    assert end.returncode == code, end.output
    assert word in end.output
    assert "continues" in end.output
    assert "Traceback" not in end.output
    assert not list(out.glob(".*.tmp"))
    recovers(driver, run, out, whole)


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_the_command_itself_while_its_model_works(
    place: Path, tmp_path: Path, driver: Driver, number: int, code: int, word: str
) -> None:
    """The installed command's own process: a second one is turned away, a signal ends it, and it goes on."""
    suite = place / f"slow{code}.yaml"
    suite.write_text(SUITE.replace("delay: 0.02", "delay: 0.5"))
    out = tmp_path / "out"
    command = [sys.executable, "-c", "from harness.cli import main; main()", "run", str(suite), "--out", str(out)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HARNESS_PLUGINS": PLUGINS},
    )
    deadline = time.monotonic() + 60
    while not committed(out):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    second = driver(["run", suite], out)
    process.send_signal(number)
    printed, errors = process.communicate(timeout=60)
    assert second.returncode == 2
    assert second.output.count("another process is writing this run") == 1
    assert second.output.count("\n") == 1
    assert process.returncode == code, errors
    assert (printed, errors.count(word)) == ("", 1)
    assert "continues" in errors
    assert "Traceback" not in errors
    safe = committed(out)
    assert driver(["run", suite], out).returncode == 0
    assert (out / "journal.jsonl").read_bytes().startswith(safe)
    assert len(set(keys(out))) == len(keys(out)) == 20
