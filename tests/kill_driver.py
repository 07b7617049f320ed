"""Runs the command line in processes that die at a named point. Started by test_resume, spoken to in lines of JSON.

This process imports everything once and forks a child per command, so that a run costs a fraction of a second. Each
child is a process of its own, and its death by SIGKILL is a real one.

    {"arguments": [...], "folder": RUN, "output": FILE, "marker": FILE,
     "point": "write.half:3", "signal": 9, "kill_after": null, "repair": true}
    -> {"returncode": -9}

A point is `PLACE:NTH` or `PLACE:FILE:NTH`: the child writes the point to `marker` and kills itself when it passes there
for the nth time. With `kill_after` it is killed after so many seconds, wherever it is. `repair: false` switches the
journal's tail repair off.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PRELOAD = (
    "click", "numpy", "pandas", "pyarrow.parquet", "pydantic", "rich.progress", "rich.table", "yaml",
    "sacrebleu.metrics.bleu", "rouge_score.rouge_scorer", "vaderSentiment.vaderSentiment",
    "harness.assess", "harness.cli", "harness.commands", "harness.run", "harness.suite_build", "harness.suite_check",
    "harness_plugins.bleu", "harness_plugins.diversity", "harness_plugins.echo", "harness_plugins.rouge",
    "harness_plugins.sentiment", "harness_reports.console", "harness_reports.csv", "harness_tasks.files",
)  # fmt: skip


class Trap:
    """Counts how often the armed point is passed."""

    def __init__(self, point: str, marker: Path, number: int) -> None:
        self._name, _, nth = point.rpartition(":")
        self._left = int(nth)
        self._marker, self._signal = marker, number

    def here(self, name: str) -> bool:
        """Whether this is the time."""
        self._left -= name == self._name
        return self._left == 0 and name == self._name

    def spring(self) -> None:
        self._marker.write_text(self._name)
        os.kill(os.getpid(), self._signal)

    def passed(self, name: str) -> None:
        if self.here(name):
            self.spring()


def around(trap: Trap, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        trap.passed(f"{name}.before")
        value = function(*arguments, **options)
        trap.passed(f"{name}.after")
        return value

    return call


def arm(trap: Trap, folder: Path) -> None:
    """Put the trap at every place where a run touches the disk, and where it works."""
    from harness import assess, export, finish, journal, scoring

    write, sync, rename, mkdir = os.write, os.fdatasync, os.rename, os.mkdir

    def is_journal(descriptor: int) -> bool:
        path = folder / journal.NAME
        return path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())

    def trapped_write(descriptor: int, data: Any) -> int:
        if not is_journal(descriptor):
            return write(descriptor, data)
        trap.passed("write.before")
        for name, size in (("write.half", len(data) // 2), ("write.short", len(data) - 1)):
            if trap.here(name):
                write(descriptor, data[:size])
                trap.spring()
        written = write(descriptor, data)
        trap.passed("write.after")
        return written

    def trapped_sync(descriptor: int) -> None:
        sync(descriptor)
        if is_journal(descriptor):
            trap.passed("sync.after")

    def trapped_rename(source: Any, target: Any) -> None:
        trap.passed(f"rename.before:{Path(target).name}")
        rename(source, target)
        trap.passed(f"rename.after:{Path(target).name}")

    def trapped_mkdir(path: Any, *rest: Any) -> None:
        mkdir(path, *rest)
        trap.passed("mkdir.after")

    os.write, os.fdatasync, os.rename, os.mkdir = trapped_write, trapped_sync, trapped_rename, trapped_mkdir
    for module, name, place in (
        (journal.Journal, "repair", "repair"),
        (scoring, "_answer", "metric"),
        (assess, "bootstrap", "interval"),
        (export, "csv_line", "row"),
        (finish, "render", "report"),
    ):
        setattr(module, name, around(trap, place, getattr(module, name)))


def child(order: dict[str, Any]) -> int:
    from harness import cli, journal

    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if not order.get("repair", True):
        journal.Journal.repair = lambda self: None  # type: ignore[method-assign]
    if order.get("point"):
        arm(Trap(order["point"], Path(order["marker"]), order.get("signal", signal.SIGKILL)), Path(order["folder"]))
    sys.argv = ["harness", *order["arguments"]]
    try:
        cli.main()
    except SystemExit as exit_:
        return int(exit_.code or 0)


def serve() -> None:
    for name in PRELOAD:
        importlib.import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 4
            try:
                code = child(order)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        if order.get("kill_after") is not None:
            time.sleep(order["kill_after"])
            os.kill(pid, signal.SIGKILL)  # nobody has waited for it yet, so the number is still its own
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"returncode": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    serve()
