"""The command line as a user has it: a real process in a folder of its own, or (`inside`) this one, to save time."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from harness.cli import call

PLUGINS = "bleu,console,csv,echo,files,length,replay,rouge"  # few, so that a process starts fast
PROGRAM = (sys.executable, "-c", "from harness.cli import main; main()")
SAMPLES = (
    {"id": "one", "prompt": "the cat sat", "references": ["the cat sat", "a cat sat"]},
    {"id": "two", "prompt": "on the mat", "references": ["under the mat"]},
)
SUITE = """\
name: tiny
tasks: [{name: t, source: samples.jsonl}]
models: [echo]
metrics: [bleu, length]
reward:
  terms: [{score: rougeL}, {score: length, weight: 0.5, range: [0, 10]}]
reports: [csv]
"""


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HARNESS_", "PYTHON", "COLUMNS"))}
    return {**kept, "HARNESS_PLUGINS": PLUGINS, "COLUMNS": "100", **more}


def harness(
    folder: Path, *arguments: str, program: Sequence[str] = PROGRAM, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `harness ARGUMENTS` in `folder`, to its end."""
    return subprocess.run(
        [*program, *arguments],
        cwd=folder,
        env=environment(**(env or {})),
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )


def inside(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The same without a process: for what does not depend on one."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, environment(**(env or {})), clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = call(arguments)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def lines(records: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(r) + "\n" for r in records)


def workplace(folder: Path, suite: str = SUITE) -> Path:
    """A folder with `suite.yaml` and the samples it reads."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "suite.yaml").write_text(suite, encoding="utf-8")
    (folder / "samples.jsonl").write_text(lines(SAMPLES), encoding="utf-8")
    return folder
