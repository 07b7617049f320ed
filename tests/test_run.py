"""The order of a run: what is made once, what is made when it is missing, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.errors import PluginError, RunError, UsageError
from harness.journal import Journal
from harness.run import Hooks, Setup, default_folder, prepare, run_suite
from harness.store import open_run

from .runs_for_tests import (
    OURS,
    PLUGINS,
    SUITE,
    WITH_REWARD,
    Command,
    Probe,
    Refusing,
    column,
    command_line,
    files,
    records_of,
    registry_with,
    run_into,
    suite_of,
    write_rows,
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_rows(tmp_path)
    return tmp_path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return command_line(monkeypatch, capsys)


# Equal runs


def test_equal_runs_are_equal_bytes_but_for_this_machines_own_file(place: Path) -> None:
    first, second = (run_into(place, Probe(), out=out).run.folder for out in ("a", "deep/er/b"))
    assert files(first) == files(second)
    assert {p.name for p in first.iterdir()} - set(files(first)) == {"local.json", ".lock"}
    place_of = str(place).encode()
    assert [n for n, data in files(first).items() if place_of in data] == []


def test_the_manifest_tells_the_run(place: Path) -> None:
    probe = Probe()
    probe.fails_on = {"s5"}
    text = SUITE + WITH_REWARD
    outcome = run_into(place, probe, text)
    manifest = outcome.run.manifest
    assert (manifest["state"], manifest["name"], manifest["schema_version"]) == ("complete", "small", 1)
    assert manifest["counts"] == {"samples": 8, "generations": 8, "completions": 16, "without_text": 2}
    none = {"ok": 0, "abstain": 0, "error": 0, "timeout": 0, "invalid": 0}
    assert manifest["statuses"]["length"] == {**none, "ok": 14, "timeout": 2}
    assert manifest["statuses"]["fussy"] == {**none, "ok": 12, "error": 2, "timeout": 2}
    assert manifest["statuses"]["reward"] == {**none, "ok": 14, "timeout": 2}
    assert manifest["renormalised"] == 2
    assert manifest["suite"]["text"] == text
    assert manifest["suite"]["resolved"]["generate"]["seed"] == 1
    (model,) = manifest["models"]
    assert (model["fingerprint"], model["distribution"], model["version"]) == ("probe:1", "tests", "1.0")
    assert {p["name"] for p in manifest["plugins"] if p["state"] == "ok"} == {*PLUGINS, "probe"}
    assert {"python", "numpy", "sacrebleu"} <= set(manifest["libraries"])
    assert probe.closed == 1


# What is made once


def test_a_run_that_is_there_is_not_made_again(place: Path) -> None:
    first = files(run_into(place, Probe()).run.folder)
    assert files(run_into(place, Refusing()).run.folder) == first


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("[bleu, length]", "[rouge]"),
        lambda text: text.replace("bleu,", "{bleu: {lowercase: true}},"),
        lambda text: text + WITH_REWARD,
        lambda text: text + "reports: [csv]\n",
        lambda text: text + "gate:\n  rules:\n    - {score: bleu, min: 1.0}\n",
        lambda text: text.replace("small", "another-name"),
        lambda text: "# a comment\n" + text,
    ],
)
def test_editing_metrics_reward_gate_and_reports_only_scores_anew(place: Path, edit: Callable[[str], str]) -> None:
    before = files(run_into(place, Probe()).run.folder)
    text = edit(SUITE)
    after = files(run_into(place, Refusing(), text).run.folder)
    assert after["journal.jsonl"] == before["journal.jsonl"]
    assert after["samples.jsonl"] == before["samples.jsonl"]
    assert after["run.json"] != before["run.json"]
    del after["run.json"]
    other = files(run_into(place, Probe(), text, out="other").run.folder)
    assert {n: other[n] for n in after} == after  # the same as if it had been so from the start


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (("seed: 1", "seed: 2"), ["settings.seed: was 1, is 2"]),
        (("n: 2,", "n: 3,"), ["settings.n: was 2, is 3"]),
        (("temperature: 1.0", "temperature: 0.7"), ["settings.temperature: was 1.0, is 0.7"]),
        (("max_new_tokens: 8", "max_new_tokens: 9"), ["settings.max_new_tokens: was 8, is 9"]),
        (("name: t,", "name: u,"), ["samples.t: was", "samples.u: was None"]),
        (("language: en}", "language: en, limit: 7}"), ["samples.t: was"]),
        (("language: en}", "template: '{prompt}!'}"), ["samples.t: was"]),
        (("models: [probe]", "models: [probe, echo]"), ["models.echo: was None, is 'there'"]),
        (
            ("models: [probe]", "models: ['echo:probe']"),
            ["models.echo:probe: was None, is 'there'", "models.probe: was 'there', is None"],
        ),
    ],
)
def test_other_settings_samples_and_models_are_refused_by_what_differs(
    place: Path, edit: tuple[str, str], said: list[str]
) -> None:
    folder = run_into(place, Probe()).run.folder
    before = files(folder)
    with pytest.raises(RunError) as caught:
        run_into(place, Refusing(), SUITE.replace(*edit))
    for words in [*said, str(folder), "--out", "--fresh"]:
        assert words in str(caught.value)
    assert files(folder) == before


def test_another_version_of_the_model_or_of_its_adapter_is_refused(place: Path) -> None:
    run_into(place, Probe())
    with pytest.raises(RunError, match=r"models\.probe\.fingerprint: was 'probe:1', is 'probe:2'"):
        run_into(place, Probe("2"))
    with pytest.raises(RunError, match=r"models\.probe\.version: was '1\.0', is '1\.1'"):
        run_into(place, Probe(), plugin=replace(OURS, version="1.1"))


def test_options_that_change_no_completion_are_another_runs_no_more_than_a_comment(place: Path) -> None:
    text = SUITE.replace("[probe]", "[{echo: {delay: 0.0}}]")
    slower = text.replace("delay: 0.0", "delay: 0.001")
    run_into(place, Probe(), text)
    again = run_into(place, Probe(), slower).run
    assert again.manifest["models"][0]["options"] == {"delay": 0.001}
    assert files(run_into(place, Probe(), slower, out="other").run.folder) == files(again.folder)
    registry = registry_with(Probe())
    folders = [
        default_folder("x", prepare(suite_of(place, registry, some), registry).identity)
        for some in (text, slower, text.replace("n: 2", "n: 3"), text.replace("{delay: 0.0}", "{texts: [a]}"))
    ]
    assert folders[0] == folders[1]
    assert len(set(folders)) == 3


@pytest.mark.parametrize(
    "change", [{"genre": "inn"}, {"cluster": "c"}, {"language": "de"}], ids=["metadata", "cluster", "language"]
)
def test_what_is_edited_of_samples_beside_their_keys_is_scored_as_it_is_now(
    place: Path, change: dict[str, str]
) -> None:
    before = files(run_into(place, Probe()).run.folder)
    rows = [json.loads(line) for line in (place / "rows.jsonl").read_text().splitlines()]
    (place / "rows.jsonl").write_text("".join(json.dumps({**r, **change}) + "\n" for r in rows))
    after = files(run_into(place, Refusing()).run.folder)
    assert after == files(run_into(place, Probe(), out="other").run.folder)
    assert after["journal.jsonl"] == before["journal.jsonl"]
    assert after["samples.jsonl"] != before["samples.jsonl"]


def test_rows_in_another_order_are_the_same_run_in_that_order(place: Path) -> None:
    run_into(place, Probe())
    rows = (place / "rows.jsonl").read_text().splitlines(keepends=True)
    (place / "rows.jsonl").write_text("".join(rows[::-1]))
    after = files(run_into(place, Refusing()).run.folder)
    assert after == files(run_into(place, Probe(), out="other").run.folder)
    assert after["segments.csv"].split(b"\n")[1].startswith(b"t,s7,")


def test_models_in_another_order_are_the_same_run_in_that_order(place: Path) -> None:
    one, other = (SUITE.replace("models: [probe]", f"models: [{m}]") for m in ("probe, echo", "echo, probe"))
    run_into(place, Probe(), one)
    after = files(run_into(place, Refusing(), other).run.folder)
    fresh = files(run_into(place, Probe(), other, out="other").run.folder)
    for found in (after, fresh):
        found.pop("journal.jsonl")  # a journal is in the order in which it was written
    assert after == fresh
    assert after["segments.csv"].split(b"\n")[1].split(b",")[2] == b"echo"


def test_a_folder_of_something_else_is_left_alone(place: Path) -> None:
    (place / "out").mkdir()
    (place / "out" / "thesis.tex").write_text("precious")
    with pytest.raises(RunError, match=r"holds no run \(thesis\.tex lies there\)"):
        run_into(place, Probe())
    assert [p.name for p in (place / "out").iterdir()] == ["thesis.tex"]


def test_nothing_is_written_where_the_task_is_empty_or_the_suite_asks_for_nothing(place: Path) -> None:
    (place / "rows.jsonl").write_text("")
    with pytest.raises(harness.DataError):
        run_into(place, Probe())
    with pytest.raises(UsageError, match="names no models"):
        run_into(place, Probe(), "name: x\nmetrics: [bleu]\n")
    assert not (place / "out").exists()


# One model after the other


def several(place: Path, *models: Probe) -> Setup:
    """A setup of two tasks and these models, by whatever names."""
    registry = registry_with(models[0])
    suite = suite_of(place, registry, SUITE.replace("[bleu, length]", "[length]"))
    task = suite.tasks[0]
    setup = prepare(replace(suite, tasks=(task, replace(task, name="u"))), registry)
    record = setup.identity["models"][0]  # type: ignore[index]
    records = [{**record, "name": f"m{i}"} for i in range(len(models))]  # type: ignore[dict-item]
    return replace(
        setup, models={f"m{i}": m for i, m in enumerate(models)}, identity={**setup.identity, "models": records}
    )


def test_a_model_does_all_its_tasks_and_is_let_go_of_before_the_next(place: Path) -> None:
    first, second = Probe(), Probe()
    seen = []

    def started(task: str, model: str, total: int, done: int) -> None:
        seen.append((model, task, first.closed, second.closed))

    run = run_suite(several(place, first, second), place / "out", hooks=Hooks(generating=started)).run
    assert seen == [("m0", "t", 0, 0), ("m0", "u", 0, 0), ("m1", "t", 1, 0), ("m1", "u", 1, 0)]
    assert (first.closed, second.closed) == (1, 1)
    assert run.tables() == [("t", "m0"), ("t", "m1"), ("u", "m0"), ("u", "m1")]
    assert [g.key for g in run.generations()] == [
        (task, f"s{i}", model) for task in "tu" for model in ("m0", "m1") for i in range(8)
    ]


def test_every_model_is_let_go_of_once_whatever_breaks(place: Path) -> None:
    broken = Probe()
    broken.raises_at = "s3"
    models = [Probe(), broken, Probe()]
    with pytest.raises(PluginError, match="gone"):
        run_suite(several(place, *models), place / "out")
    other = Probe("2")
    with pytest.raises(RunError, match="holds completions of another run"):
        run_suite(several(place, other, Probe()), place / "out")
    assert [m.closed for m in (*models, other)] == [1, 1, 1, 1]


def test_a_model_that_cannot_say_which_it_is_keeps_none_open(place: Path) -> None:
    class Nameless(Probe):
        fingerprint = property(lambda self: 1 / 0)

        def __init__(self) -> None:
            self.closed = 0

    model = Nameless()
    with pytest.raises(PluginError, match="cannot say which model it is"):
        run_into(place, model)
    assert model.closed == 1
    assert not (place / "out").exists()


def test_a_run_reads_its_journal_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scans: list[Path] = []
    scan = Journal._scan

    def counted(self: Journal, *arguments: Any) -> None:
        scans.append(self.path)
        scan(self, *arguments)

    monkeypatch.setattr(Journal, "_scan", counted)
    outcome = run_into(place, Probe(), SUITE + "reports: [csv]\n")
    assert len(scans) == 1
    assert len(list(outcome.run.groups())) == 8
    assert len(scans) == 1


# What is missing is made


def test_a_model_that_breaks_down_costs_only_the_batch_it_broke_down_in(place: Path) -> None:
    whole = files(run_into(place, Probe(), out="whole").run.folder)
    probe = Probe()
    probe.raises_at = "s3"
    with pytest.raises(PluginError, match="ConnectionError: gone"):
        run_into(place, probe)
    there = {k[2] for k in Journal.open(place / "out").index}
    assert 0 < len(there) < 8
    assert probe.closed == 1
    with pytest.raises(RunError):
        open_run(place / "out")
    again = Probe()
    assert files(run_into(place, again).run.folder) == whole
    assert len(again.asked) == 8 - len(there)


def test_only_what_failed_is_tried_again(place: Path) -> None:
    probe = Probe()
    probe.fails_on = {"s2", "s6"}
    first = run_into(place, probe)
    assert any("4 completions have no text" in m for m in first.missing)
    kept = {r.key: r for r in records_of(place / "out") if not r.failed}
    before = (place / "out" / "journal.jsonl").read_bytes()
    assert run_into(place, Refusing()).missing  # not without being told to
    again = Probe()
    second = run_into(place, again, retry_failed=True)
    assert (sorted(again.asked), second.missing) == (["s2", "s6"], ())
    records = {r.key: r for r in records_of(place / "out")}
    assert len(records) == 8
    assert {k: records[k] for k in kept} == kept
    assert (place / "out" / "journal.jsonl").read_bytes().startswith(before)
    whole = run_into(place, Probe(), out="whole").run
    for name in ("segments.csv", "corpus.csv", "segments.parquet", "scores.json"):
        assert (second.run.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert run_into(place, Refusing(), retry_failed=True).missing == ()


def test_while_failures_are_tried_again_the_old_scores_are_not_taken_for_the_runs(place: Path) -> None:
    probe = Probe()
    probe.fails_on = {"s2"}
    run_into(place, probe)
    probe.raises_at = "s2"
    with pytest.raises(PluginError):
        run_into(place, probe, retry_failed=True)
    with pytest.raises(RunError, match="not finished"):
        open_run(place / "out")


def test_edited_metrics_are_the_runs_once_it_is_generated_again(place: Path, command: Command) -> None:
    """Also where there is nothing to generate: what `harness score RUN` goes by is what was said last."""
    (place / "suite.yaml").write_text(SUITE.replace("[probe]", "[echo]"))
    assert command("run", place / "suite.yaml", "--out", place / "out")[0] == 0
    before = files(place / "out")
    assert command("generate", place / "suite.yaml", "--out", place / "out")[0] == 0
    assert files(place / "out") == before
    (place / "suite.yaml").write_text(SUITE.replace("[probe]", "[echo]").replace("[bleu, length]", "[rouge]"))
    assert command("generate", place / "suite.yaml", "--out", place / "out")[0] == 0
    with pytest.raises(RunError, match="not finished"):
        open_run(place / "out")
    assert command("score", place / "out")[0] == 0
    assert list(open_run(place / "out").infos) == ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    assert command("run", place / "suite.yaml", "--out", place / "whole")[0] == 0
    assert files(place / "out") == files(place / "whole")


def test_a_run_without_scores_goes_on_from_its_folder_without_its_data(place: Path, command: Command) -> None:
    (place / "suite.yaml").write_text(SUITE.replace("[probe]", "[{echo: {texts: [a pub, the pub 3]}}]"))
    assert command("run", place / "suite.yaml", "--out", place / "whole")[0] == 0
    code, printed, _ = command("generate", place / "suite.yaml", "--out", place / "out")
    assert (code, printed) == (0, f"run: {place / 'out'}\n")
    (place / "rows.jsonl").unlink()
    (place / "suite.yaml").unlink()
    code, _, errors = command("run", place / "out")
    assert code == 0
    assert "16 of 16 completions were there already" in errors
    assert files(place / "out") == files(place / "whole")


def test_a_run_goes_on_as_it_was_begun(place: Path, command: Command) -> None:
    (place / "suite.yaml").write_text(SUITE.replace("probe", "echo"))
    assert command("run", place / "suite.yaml", "--out", place / "out")[0] == 0
    code, printed, errors = command("run", place / "out", "--seed", 3)
    assert (code, printed) == (2, "")
    assert "--seed goes with a suite file" in errors
    code, printed, errors = command("run", place / "suite.yaml", "--out", place / "out", "--seed", 3)
    assert (code, printed) == (2, "")
    assert "settings.seed: was 1, is 3" in errors
    before = files(place / "out")
    assert command("run", place / "suite.yaml", "--out", place / "out", "--seed", 3, "--fresh")[0] == 0
    assert files(place / "out") != before


def test_what_has_no_text_ends_incomplete(place: Path, command: Command) -> None:
    (place / "suite.yaml").write_text(SUITE.replace("[probe]", "[{echo: {fail_on: 'Pub 5'}}]"))
    code, printed, errors = command("run", place / "suite.yaml", "--out", place / "out", "--json")
    assert code == 3
    assert "incomplete: 2 completions have no text" in errors
    summary = json.loads(printed)
    assert summary["state"] == "complete"
    assert any("2 completions have no text" in m for m in summary["missing"])
    assert column(open_run(place / "out"), "length.status")["s5", 0] == "error"
