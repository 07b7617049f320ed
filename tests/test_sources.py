"""From what a suite names to samples: every task's mistake in one message."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import DataError
from harness.registry import Registry
from harness.sources import read_data
from harness.suite import TaskSpec


def test_what_is_wrong_with_any_task_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    tasks = [TaskSpec("a", "gone.csv"), TaskSpec("b", "empty.jsonl"), TaskSpec("c", "quickstart")]
    with pytest.raises(DataError) as caught:
        read_data(tasks, Registry.load(allow=["files", "bundled"]), tmp_path, None)
    first, second = str(caught.value).split("\n")
    assert first.startswith("task 'a': source: 'gone.csv': there is no such file in")
    assert second.startswith("task 'b': its source gave no rows")
