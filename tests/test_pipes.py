"""Output that nobody reads to its end: `harness plugins list | head -1`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "arguments",
    [["plugins", "list"], ["plugins", "list", "--json"], ["plugins", "info", "bleu"], ["suite", "schema"], ["--help"]],
    ids=" ".join,
)
def test_a_closed_pipe_is_quiet_and_141(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "from harness.cli import main; main()", *arguments]
    try:
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
