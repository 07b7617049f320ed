"""Exit codes of real processes: 0, 2, 3, 4, 130, 141, 143, and never 1, which is the gate's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .commands import PROGRAM, SAMPLES, SUITE, environment, harness, inside, lines, workplace
from .distributions import Shelf, make_shelf  # noqa: F401  # the fixture

RECORD = {"id": "a", "references": ["b"], "completions": ["c"]}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = workplace(tmp_path / "place")
    (folder / "r.jsonl").write_text(lines([RECORD]))
    return folder


def one_message(error: str) -> None:
    assert error.startswith(("error: ", "incomplete: ")), error
    assert "Traceback" not in error
    assert error.endswith("\n")


# Never 1

ODD: dict[str, tuple[list[str], int, str]] = {
    "nothing": ([], 2, "Usage: harness"),
    "help": (["-h"], 0, ""),
    "version": (["--version"], 0, ""),
    "command": (["evaluate"], 2, "No such command 'evaluate'"),
    "near command": (["rum"], 2, "'run'"),
    "option": (["run", "suite.yaml", "--sed", "1"], 2, "--seed"),
    "no argument": (["run"], 2, "Missing argument 'SUITE'"),
    "too many": (["run", "a", "b"], 2, "unexpected extra argument"),
    "value": (["run", "suite.yaml", "--limit", "none"], 2, "'none' is not a valid integer"),
    "range": (["run", "suite.yaml", "--limit", "0"], 2, "0 is not in the range"),
    "negative": (["run", "suite.yaml", "--seed", "-1"], 2, "-1 is not in the range"),
    "group": (["plugins"], 2, "Usage: harness plugins"),
    "group command": (["suite", "chek"], 2, "'check'"),
    "no suite": (["run", "nope.yaml"], 2, "nope.yaml is no suite file, and no bundled suite has this name"),
    "bundled name": (["run", "quikstart"], 2, "did you mean 'quickstart'?"),
    "folder": (["run", "."], 2, ". is a folder, but not of a run"),
    "out is a file": (["run", "suite.yaml", "--out", "r.jsonl"], 2, "is a file"),
    "out in a file": (["run", "suite.yaml", "--out", "r.jsonl/x"], 2, "cannot make the run folder"),
    "long name": (["run", "a" * 300], 2, "File name too long"),
    "no data": (["run", "suite.yaml", "--data", "nowhere"], 2, "nowhere"),
    "set": (["run", "suite.yaml", "--set", "seed"], 2, "KEY=VALUE"),
    "set key": (["run", "suite.yaml", "--set", "generate.sed=1"], 2, "did you mean 'seed'?"),
    "no records": (
        ["score", "nope.jsonl", "--metric", "bleu"],
        2,
        "nope.jsonl: there is no such file, and no such run",
    ),
    "folder of no run": (["score", ".", "--metric", "bleu"], 2, "is a folder, but not of a run"),
    "by nothing": (["score", "r.jsonl"], 2, "say what to score by: --metric NAME (there is bleu, length, rouge)"),
    "both": (["score", "r.jsonl", "--metric", "bleu", "--suite", "suite.yaml"], 2, "--metric or --suite, not both"),
    "metric": (["score", "r.jsonl", "--metric", "blue"], 2, "unknown metric 'blue'; did you mean 'bleu'?"),
    "score": (
        ["score", "r.jsonl", "--metric", "rougeL"],
        2,
        "'rougeL' is a score of the metric 'rouge': ask for 'rouge'",
    ),
    "metric option": (["score", "r.jsonl", "--metric", "rouge:use_stemer=true"], 2, "did you mean 'use_stemmer'?"),
    "metric form": (["score", "r.jsonl", "--metric", "rouge:stem"], 2, "NAME:key=value"),
    "metric value": (["score", "r.jsonl", "--metric", "rouge:use_stemmer=7"], 2, "expects bool, not 7"),
    "metric twice": (["score", "r.jsonl", "--metric", "bleu", "--metric", "bleu"], 2, "name one of them with `as`"),
    "alias": (["score", "r.jsonl", "--metric", "bleu:as=reward"], 2, "'reward' is reserved"),
    "report": (["report", "nope"], 2, "there is no run folder nope"),
    "show": (["show", ".", "a"], 2, "holds no finished run"),
    "info": (["plugins", "info", "ruge"], 2, "nothing is called 'ruge'; did you mean 'rouge'?"),
    "no plugin": (["--no-plugin", "bluu", "plugins", "list"], 2, "--no-plugin: there is no plugin 'bluu'"),
    "check": (["suite", "check", "nope.yaml"], 2, "nope.yaml is no suite file"),
    "surrogate": (["run", "\udcff"], 2, "\\udcff is no suite file"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), ODD.values(), ids=ODD)
def test_odd_calls(place: Path, arguments: list[str], code: int, message: str):
    before = sorted(place.iterdir())
    done = inside(place, *arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    if code:
        assert done.stdout == ""
    if code and not message.startswith("Usage"):
        one_message(done.stderr)
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize("name", ["nothing", "command", "out in a file", "metric"])
def test_odd_calls_as_processes(place: Path, name: str):
    arguments, code, message = ODD[name]
    done = harness(place, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr


def test_an_unknown_name_in_the_environment(place: Path):
    done = inside(place, "run", "suite.yaml", env={"HARNESS_PLUGINS": "bleu,ecco"})
    assert done.returncode == 2
    assert done.stderr == "error: HARNESS_PLUGINS: there is no plugin 'ecco'; did you mean 'echo'?\n"


# Incomplete, internal


def test_what_a_model_failed_at_makes_the_run_incomplete(place: Path):
    workplace(place, SUITE.replace("[echo]", "[{echo: {fail_on: mat}}]"))
    done = harness(place, "run", "suite.yaml", "--out", "o")
    assert done.returncode == 3
    assert "incomplete: 1 completions have no text" in done.stderr
    assert "`harness show o SAMPLE` says why" in done.stderr
    assert "Traceback" not in done.stderr
    shown = inside(place, "show", "o", "two")
    assert "on which this model is to fail" in shown.stdout
    assert inside(place, "generate", "suite.yaml", "--out", "o").returncode == 3


BUG = "import harness.commands as c\ndef bug(*a, **k): raise {}\nc.report_command = bug\n"
BUGS = {
    "exception": ("KeyError('\\x1b[31mred')", "internal error: KeyError"),
    "exit": ("SystemExit(1)", "internal error: SystemExit: 1"),
    "base": ("BaseException('odd')", "internal error: BaseException: odd"),
    "memory": ("MemoryError()", "internal error: MemoryError"),
    "click exit": ("__import__('click').exceptions.Exit(1)", "internal error: Exit"),
}


@pytest.mark.parametrize(("raised", "message"), BUGS.values(), ids=BUGS)
def test_a_bug_is_an_internal_error(place: Path, raised: str, message: str):
    program = (sys.executable, "-c", BUG.format(raised) + "from harness.cli import main; main()")
    done = harness(place, "report", "o", program=program)
    assert (done.returncode, done.stdout) == (4, "")
    assert message in done.stderr
    assert "This is a mistake in reward-harness; please report it." in done.stderr
    assert "Traceback (most recent call last)" in done.stderr
    assert "\x1b" not in done.stderr


# Signals, pipes, disks


def started(place: Path, *arguments: str, wait_for: str) -> subprocess.Popen[str]:
    """A process that has said `wait_for` on standard error."""
    process = subprocess.Popen(
        [*PROGRAM, *arguments], cwd=place, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    seen = ""
    while wait_for not in seen:
        line = process.stderr.readline() if process.stderr else ""
        assert line, f"it ended before it said {wait_for!r}: {seen}"
        seen += line
    return process


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_signals_end_a_run_that_can_be_continued(place: Path, number: signal.Signals, code: int, word: str):
    workplace(place, SUITE.replace("[echo]", "[{echo: {delay: 30}}]"))
    process = started(place, "run", "suite.yaml", "--out", "o", wait_for="generating 2 completions")
    begun = time.monotonic()
    process.send_signal(number)
    out, error = process.communicate(timeout=20)
    assert process.returncode == code
    assert time.monotonic() - begun < 15
    assert (out, error) == ("", f"{word}; `harness run o` continues\n")
    assert (place / "o" / "journal.jsonl").exists()
    assert not list((place / "o").glob("*.tmp"))


def test_a_signal_is_not_swallowed_by_a_plugin(shelf: Shelf, place: Path):
    """A metric's failure costs its groups; being told to stop while it works is no failure."""
    source = """
import os, signal, harness
def stop(completions):
    os.kill(os.getpid(), signal.SIGTERM)
    return [1.0 for _ in completions]
@harness.hookimpl
def register_metrics(register):
    register("stop", lambda: harness.metric_from(stop))
"""
    shelf.add("stop", source)
    env = {"HARNESS_PLUGINS": "stop,console", "PYTHONPATH": str(shelf.folder)}
    done = harness(place, "score", "r.jsonl", "--metric", "stop", "--out", "o", env=env)
    assert (done.returncode, done.stdout) == (143, "")
    assert done.stderr.startswith("terminated")


def test_a_reader_that_went_away(place: Path):
    process = subprocess.Popen(
        [*PROGRAM, "plugins", "list", "--json"],
        cwd=place,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(timeout=30) == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("command", [["--help"], ["models", "list"]], ids=" ".join)
def test_a_full_disk_under_standard_output(place: Path, command: list[str]):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, *command],
            cwd=place,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (3, "error: writing: No space left on device\n")


def test_no_standard_output_at_all(place: Path):
    closed = ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM]
    assert harness(place, "models", "list", program=closed).returncode == 0
    assert harness(place, "run", "nope", program=closed).returncode == 2


def test_a_folder_that_may_not_be_written_to(place: Path):
    inside(place, "run", "suite.yaml", "--out", "o")
    (place / "o" / ".lock").unlink()
    (place / "o").chmod(0o500)
    try:
        if os.access(place / "o", os.W_OK):
            pytest.skip("this user may write everywhere")
        done = inside(place, "score", "o")
    finally:
        (place / "o").chmod(0o700)
    assert done.returncode == 2
    one_message(done.stderr)
    assert "Permission denied" in done.stderr


def test_completions_for_a_shell(place: Path):
    env = {"_HARNESS_COMPLETE": "bash_complete", "COMP_WORDS": "harness plug", "COMP_CWORD": "1"}
    done = harness(place, env=env)
    assert (done.returncode, done.stdout) == (0, "plain,plugins\n")
    assert harness(place, env={**env, "_HARNESS_COMPLETE": "fish_nonsense"}).returncode == 2


def test_zero_samples_is_never_success(place: Path):
    (place / "samples.jsonl").write_text("")
    done = inside(place, "run", "suite.yaml", "--out", "o")
    assert done.returncode == 2
    one_message(done.stderr)
    assert not (place / "o").exists()
    assert len(SAMPLES) == 2
