"""Replaying recorded completions: each sample finds its own, and what is missing says so."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from harness import Completion, DataError, Request, Sample, Settings
from harness_plugins import replay as plugin
from harness_plugins.replay import ReplayModel, replay


def write(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def ask(model: ReplayModel, samples: list[Sample], n: int = 1) -> list[tuple[Completion, ...]]:
    found = dict(model.generate([Request(s, tuple(range(n))) for s in samples], Settings(n=n)))
    return [found[i] for i in range(len(samples))]


def test_by_id_and_by_task_where_there_is_one(tmp_path: Path) -> None:
    file = write(
        tmp_path / "r.jsonl",
        {"id": "1", "completions": ["any task"]},
        {"id": "1", "task": "e2e", "completions": ["of e2e"]},
        {"id": "2", "task": "gsm", "completions": ["of gsm"]},
        {"id": 3, "completions": ["number"]},
    )
    samples = [
        Sample("1", task="e2e"),
        Sample("1", task="other"),
        Sample("2", task="e2e"),
        Sample("2", task="gsm"),
        Sample("3"),
    ]
    got = [c for (c,) in ask(replay(file), samples)]
    assert [c.text for c in got] == ["of e2e", "any task", None, "of gsm", "number"]
    assert got[2].status == "error"
    assert got[2].reason == "the file holds no record of the sample '2' of the task 'e2e'"


def test_fewer_and_more_completions_than_asked_for(tmp_path: Path) -> None:
    file = write(
        tmp_path / "r.jsonl", {"id": "few", "completions": ["a"]}, {"id": "many", "completions": ["a", "b", "c"]}
    )
    few, many = ask(replay(file), [Sample("few"), Sample("many")], n=2)
    assert [c.text for c in few] == ["a", None]
    assert (few[1].status, few[1].reason) == ("error", "only 1 of 2 completions are recorded")
    assert [c.text for c in many] == ["a", "b"]


def test_all_that_was_recorded_is_kept(tmp_path: Path) -> None:
    file = write(
        tmp_path / "r.jsonl",
        {
            "id": "1",
            "completions": [
                {"text": "x", "finish_reason": "length", "tokens": 7, "logprob": -1.5},
                {"text": None, "status": "timeout", "reason": "took too long"},
                None,
            ],
            "ratings": [{"fluency": [4, None]}, {}, {}],
        },
    )
    (group,) = ask(replay(file), [Sample("1")], n=3)
    assert group[0] == Completion("x", "ok", None, "length", 7, -1.5, {"fluency": (4.0, None)})
    assert (group[1].text, group[1].status, group[1].reason) == (None, "timeout", "took too long")
    assert (group[2].text, group[2].status) == (None, "error")


def test_several_models_need_a_choice(tmp_path: Path) -> None:
    file = write(
        tmp_path / "r.jsonl",
        {"id": "1", "model": "a", "completions": ["of a"]},
        {"id": "1", "model": "b", "completions": ["of b"]},
    )
    with pytest.raises(DataError, match=r"2 models \('a', 'b'\); pick one with the option `model`"):
        ask(replay(file), [Sample("1")])
    assert [c.text for (c,) in ask(replay(file, model="b"), [Sample("1")])] == ["of b"]
    with pytest.raises(DataError, match="no completions of the model 'c'; it holds 'a', 'b'"):
        ask(replay(file, model="c"), [Sample("1")])
    assert replay(file, model="a").fingerprint != replay(file, model="b").fingerprint


def test_identity_is_the_files_content(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", {"id": "1", "completions": ["x"]})
    second = write(tmp_path / "b.jsonl", {"id": "1", "completions": ["x"]})
    third = write(tmp_path / "c.jsonl", {"id": "1", "completions": ["y"]})
    assert replay(first).fingerprint == replay(second).fingerprint != replay(third).fingerprint
    assert hashlib.sha256(Path(first).read_bytes()).hexdigest() in replay(first).fingerprint
    assert replay(first).name == f"replay:{first}"


@pytest.mark.parametrize("content", ["", "{", '{"id": "1"}\n', '{"completions": [1]}\n', "\xff"])
def test_unreadable_files_are_one_message(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=r"bad\.jsonl"):
        ask(replay(str(path)), [Sample("1")])


def test_bad_names(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a file"):
        replay("")
    with pytest.raises(ValueError, match=r"no file .*nothing\.jsonl"):
        replay(str(tmp_path / "nothing.jsonl"))
    with pytest.raises(ValueError, match="no file"):
        replay(str(tmp_path))


def test_a_file_that_goes_away_is_one_message(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "r.jsonl", {"id": "1", "completions": ["x"]}))
    model = replay(str(path))
    path.unlink()
    with pytest.raises(DataError, match=r"cannot read .*r\.jsonl"):
        ask(model, [Sample("1")])


def test_registers_under_its_name() -> None:
    found: dict[str, Any] = {}
    plugin.register_models(lambda name, factory: found.update({name: factory}))
    assert found == {"replay": replay}
