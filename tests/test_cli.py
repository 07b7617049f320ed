"""The commands through real processes: what they print, what machines read, what they leave behind."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

import harness as library
from harness import cli

from .commands import PLUGINS, SAMPLES, SUITE, harness, inside, lines, workplace

RECORDS = (
    {"id": "a", "prompt": "hi", "references": ["hello there"], "completions": ["hello there", "bye"], "model": "m"},
    {"id": "b", "prompt": "ho", "references": ["ho ho"], "completions": ["ho ho", "ha"], "model": "m"},
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a suite and its finished run `out`. Not to be written to."""
    folder = workplace(tmp_path_factory.mktemp("place"))
    done = harness(folder, "run", "suite.yaml", "--out", "out")
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    return folder


def segments(folder: Path) -> list[dict[str, str]]:
    with (folder / "segments.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# run, generate, score


def test_run_prints_a_table_and_where_the_run_lies(place: Path):
    shown = (place / "stdout").read_text()
    for line in (r"^tiny  2 samples, 2 completions$", r"^t +level +echo", r"^bleu +corpus ", r"^reward +mean "):
        assert re.search(line, shown, re.MULTILINE), shown
    assert shown.endswith("wrote out/summary.csv\nrun: out\n")
    assert (place / "stderr").read_text() == "t · echo: generating 2 completions\n"


def test_its_numbers_are_those_worked_by_hand(place: Path):
    """`echo` says the prompt: "the cat sat" is a reference, "on the mat" shares two of three words with one."""
    one, two = segments(place / "out")
    assert (one["sample"], one["completion"], float(one["bleu"])) == ("one", "the cat sat", pytest.approx(100))
    assert (two["sample"], float(two["length"])) == ("two", 3)
    assert float(one["reward"]) == pytest.approx((1.0 + 0.5 * 0.3) / 1.5)
    assert float(two["reward"]) == pytest.approx((2 / 3 + 0.5 * 0.3) / 1.5)


def test_the_same_command_again_generates_nothing(place: Path, tmp_path: Path):
    workplace(tmp_path)
    first = harness(tmp_path, "run", "suite.yaml")
    assert re.search(r"(?m)^run: runs/tiny-[0-9a-f]{8}$", first.stdout)
    again = inside(tmp_path, "run", "suite.yaml")
    assert again.returncode == 0
    assert again.stdout == first.stdout
    assert again.stderr == "t · echo: 2 of 2 completions were there already\n"
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_run_takes_a_suite_in_parts(tmp_path: Path):
    workplace(tmp_path)
    done = inside(
        tmp_path,
        "run",
        "suite.yaml",
        "--out",
        "o",
        "--limit",
        "1",
        "--seed",
        "5",
        "--set",
        "metrics=[length]",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["counts"] == {"samples": 1, "generations": 1, "completions": 1, "without_text": 0}
    assert json.loads((tmp_path / "o" / "run.json").read_text())["settings"]["seed"] == 5


def test_data_may_lie_elsewhere(tmp_path: Path):
    workplace(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "samples.jsonl").rename(tmp_path / "data" / "samples.jsonl")
    assert inside(tmp_path, "run", "suite.yaml", "--out", "o").returncode == 2
    assert not (tmp_path / "o").exists()
    assert inside(tmp_path, "run", "suite.yaml", "--out", "o", "--data", "data").returncode == 0
    other = inside(tmp_path, "run", "suite.yaml", "--out", "p", env={"HARNESS_DATA": str(tmp_path / "data")})
    assert other.returncode == 0


def test_generate_then_score_is_run(place: Path, tmp_path: Path):
    workplace(tmp_path)
    generated = harness(tmp_path, "generate", "suite.yaml", "--out", "o")
    assert (generated.returncode, generated.stdout) == (0, "run: o\n")
    assert not (tmp_path / "o" / "segments.csv").exists()
    again = inside(tmp_path, "generate", "o")
    assert (again.returncode, again.stdout) == (0, "run: o\n")
    assert not (tmp_path / "o" / "segments.csv").exists()
    scored = harness(tmp_path, "score", "o")
    assert scored.returncode == 0, scored.stderr
    for name in ("segments.csv", "segments.parquet", "corpus.csv", "summary.csv"):
        assert (tmp_path / "o" / name).read_bytes() == (place / "out" / name).read_bytes(), name


def test_run_continues_a_folder(tmp_path: Path):
    workplace(tmp_path)
    inside(tmp_path, "generate", "suite.yaml", "--out", "o")
    (tmp_path / "samples.jsonl").unlink()  # the run holds its samples
    done = inside(tmp_path, "run", "o")
    assert done.returncode == 0, done.stderr
    assert "2 of 2 completions were there already" in done.stderr
    for option, value in (("limit", "1"), ("seed", "0"), ("set", "generate.n=1")):
        refused = inside(tmp_path, "run", "o", f"--{option}", value)
        assert refused.returncode == 2
        assert f"--{option} goes with a suite file" in refused.stderr


def test_a_run_that_hides_a_bundled_suite(tmp_path: Path):
    workplace(tmp_path)
    inside(tmp_path, "generate", "suite.yaml", "--out", "e2e")
    refused = inside(tmp_path, "run", "e2e", "--limit", "1")
    assert (refused.returncode, refused.stderr) == (
        2,
        "error: e2e is a run, which is continued as it was begun: --limit goes with a suite. The folder hides the "
        "bundled suite 'e2e': rename the folder, or call from another place\n",
    )
    assert inside(tmp_path, "run", "e2e").returncode == 0


def test_another_run_is_not_mixed_in(tmp_path: Path):
    workplace(tmp_path)
    inside(tmp_path, "run", "suite.yaml", "--out", "o")
    before = (tmp_path / "o" / "journal.jsonl").read_bytes()
    other = inside(tmp_path, "run", "suite.yaml", "--out", "o", "--seed", "9")
    assert other.returncode == 2
    assert "seed: was 0, is 9" in other.stderr
    assert "--fresh" in other.stderr
    assert (tmp_path / "o" / "journal.jsonl").read_bytes() == before
    fresh = inside(tmp_path, "run", "suite.yaml", "--out", "o", "--seed", "9", "--fresh")
    assert fresh.returncode == 0, fresh.stderr
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "mine" / "samples.jsonl").write_text("{}")  # names that a run has, too
    (tmp_path / "mine" / "run.json").write_text('{"kind": "training"}')
    kept = inside(tmp_path, "run", "suite.yaml", "--out", "mine", "--fresh")
    assert kept.returncode == 2
    assert {p.name for p in (tmp_path / "mine").iterdir()} == {"thesis.txt", "samples.jsonl", "run.json"}


def test_score_reads_records_by_metrics_in_every_form(tmp_path: Path):
    (tmp_path / "r.jsonl").write_text(lines(RECORDS))
    forms = ["length", "rouge:use_stemmer=true,multi=mean,as=stemmed", "bleu:tokenize=char"]
    done = harness(tmp_path, "score", "r.jsonl", "--out", "o", *(a for f in forms for a in ("--metric", f)))
    assert done.returncode == 0, done.stderr
    rows = segments(tmp_path / "o")
    assert [float(r["stemmed.rouge1"]) for r in rows] == [1.0, 0.0, 1.0, 0.0]
    assert [float(r["length"]) for r in rows] == [2, 1, 2, 1]
    signatures = {r.score: r.signature for r in library.open_run(tmp_path / "o").corpus}
    assert "tok:char" in signatures["bleu"]
    assert "stem:yes" in signatures["stemmed.rouge1"]


def test_score_takes_metrics_reward_and_reports_of_a_suite(tmp_path: Path):
    workplace(tmp_path)
    (tmp_path / "r.jsonl").write_text(lines(RECORDS))
    done = inside(tmp_path, "score", "r.jsonl", "--suite", "suite.yaml", "--out", "o")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o" / "summary.csv").exists()
    assert [float(r["reward"]) for r in segments(tmp_path / "o")] == pytest.approx(
        [(1 + 0.1) / 1.5, 0.05 / 1.5, (1 + 0.1) / 1.5, 0.05 / 1.5]
    )


def test_a_run_is_scored_anew_in_place_or_in_a_copy(place: Path, tmp_path: Path):
    workplace(tmp_path)
    inside(tmp_path, "run", "suite.yaml", "--out", "o")
    before = (tmp_path / "o" / "segments.csv").read_bytes()
    copied = harness(tmp_path, "score", "o", "--metric", "rouge", "--out", "p")
    assert copied.returncode == 0, copied.stderr
    assert (tmp_path / "o" / "segments.csv").read_bytes() == before
    assert {"bleu", "rouge2", "reward"} <= set(segments(tmp_path / "p")[0])
    assert (tmp_path / "p" / "journal.jsonl").read_bytes() == (tmp_path / "o" / "journal.jsonl").read_bytes()
    inside(tmp_path, "score", "o", "--metric", "rouge")
    assert (tmp_path / "o" / "segments.csv").read_bytes() == (tmp_path / "p" / "segments.csv").read_bytes()


def test_records_may_have_any_file_name(tmp_path: Path):
    (tmp_path / "my récords (2).jsonl").write_text(lines(RECORDS))
    done = inside(tmp_path, "score", "my récords (2).jsonl", "--metric", "length")
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    assert inside(tmp_path, "score", str(run)).returncode == 0
    assert inside(tmp_path, "report", str(run), "--format", "csv").returncode == 0


def test_recorded_completions_are_replayed(tmp_path: Path):
    workplace(tmp_path, SUITE.replace("[echo]", "['replay:said.jsonl']"))
    (tmp_path / "said.jsonl").write_text(lines([{"id": s["id"], "completions": ["the cat sat"]} for s in SAMPLES]))
    done = inside(tmp_path, "run", "suite.yaml", "--out", "o")
    assert done.returncode == 0, done.stderr
    assert [r["completion"] for r in segments(tmp_path / "o")] == ["the cat sat", "the cat sat"]


# report, show


def test_reports_are_rendered_again(tmp_path: Path):
    workplace(tmp_path)
    inside(tmp_path, "run", "suite.yaml", "--out", "o")
    (tmp_path / "o" / "summary.csv").unlink()
    done = harness(tmp_path, "report", "o")
    assert (done.returncode, done.stdout) == (0, "wrote o/summary.csv\n")
    shown = inside(tmp_path, "report", "o", "--format", "console", "--format", "csv")
    assert "tiny  2 samples" in shown.stdout
    assert shown.stdout.endswith("wrote o/summary.csv\n")


def test_show_tells_everything_of_a_sample(place: Path):
    done = harness(place, "show", "out", "tw")
    assert done.returncode == 0
    assert done.stdout.startswith(
        "t / two / echo\nprompt: on the mat\nreference: under the mat\ncompletion 0: on the mat\n"
    )
    assert re.search(r"reward 0\.5444  reward\.rougeL 0\.6667  reward\.length 0\.3", done.stdout)


def test_show_as_json_reads_back_as_the_record(place: Path):
    (record,) = json.loads(harness(place, "show", "out", "two", "--json").stdout)
    (cells,) = record.pop("scores")
    assert cells["length"] == {"value": 3.0, "status": "ok", "reason": None}
    (generation,) = library.read_generations([record])
    assert generation.sample.references == ("under the mat",)
    assert generation.completions[0].text == "on the mat"


SHOWN = [
    (["nope"], "out holds no sample 'nope'; there is one, two"),
    (["onee"], "did you mean 'one'?"),
    (["one", "--model", "gpt"], "--model: out holds no model 'gpt'; there is echo"),
    (["one", "--task", "u"], "--task: out holds no task 'u'; there is t"),
    ([""], "'' starts 2 ids: one, two; give more of it"),
]


@pytest.mark.parametrize(("asked", "message"), SHOWN)
def test_show_says_what_there_is(place: Path, asked: list[str], message: str):
    done = inside(place, "show", "out", *asked)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


# What machines read


def names(value: list[dict[str, Any]]) -> list[str]:
    return [entry["name"] for entry in value]


READABLE = {
    ("plugins", "list"): lambda value: set(PLUGINS.split(",")) <= set(names(value)),
    ("plugins", "info", "rouge"): lambda value: "use_stemmer" in names(value[0]["options"]),
    ("plugins", "info", "hf"): lambda value: value[0]["state"] == "blocked",
    ("plugins", "info", "rougeL"): lambda value: names(value) == ["rouge"],
    ("tasks", "list"): lambda value: names(value) == ["file"],
    ("models", "list"): lambda value: names(value) == ["echo", "replay"],
    ("suite", "list"): lambda value: {"e2e", "quickstart"} <= set(value),
    ("suite", "check", "suite.yaml"): lambda value: value["reward"]["terms"][0]["score"] == "rougeL",
    ("show", "out", "one"): lambda value: value[0]["id"] == "one",
    ("generate", "suite.yaml", "--out", "made"): lambda value: (value["state"], value["run"]) == ("started", "made"),
    ("score", "out"): lambda value: value["state"] == "complete",
}


def test_a_score_that_options_name_leads_to_its_metric(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("HARNESS_PLUGINS", "human")
    assert cli.call(["plugins", "info", "human.overall"]) == 0
    assert capsys.readouterr().out.startswith("metric human\n")


@pytest.mark.parametrize(("command", "holds"), READABLE.items(), ids=map(" ".join, READABLE))
def test_json_is_all_of_standard_output(place: Path, command: tuple[str, ...], holds: Any):
    done = (harness if command[0] in ("plugins", "score") else inside)(place, *command, "--json")
    assert done.returncode == 0, done.stderr
    assert holds(json.loads(done.stdout)), done.stdout


def test_the_schema_is_one(place: Path):
    schema = json.loads(inside(place, "suite", "schema").stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"name", "tasks", "reward"} <= set(schema["properties"])


def test_the_summary_of_a_run_for_machines(tmp_path: Path):
    workplace(tmp_path, SUITE.replace("[echo]", "[{echo: {fail_on: mat}}]"))
    done = harness(tmp_path, "run", "suite.yaml", "--out", "o", "--json")
    assert done.returncode == 3
    summary = json.loads(done.stdout)
    assert summary["schema_version"] == 1
    assert summary["run"] == "o"
    assert summary["missing"][0] == "1 completions have no text"
    assert summary["statuses"]["bleu"] == {"ok": 1, "abstain": 0, "error": 1, "timeout": 0, "invalid": 0}
    values = {row["score"]: row["value"] for row in summary["corpus"]}
    assert values["length"] == 3


def test_a_checked_suite_is_a_suite(place: Path, tmp_path: Path):
    workplace(tmp_path)
    done = inside(tmp_path, "suite", "check", "suite.yaml", "--set", "generate.seed=3")
    (tmp_path / "full.yaml").write_text(done.stdout)
    again = inside(tmp_path, "suite", "check", "full.yaml")
    assert again.stdout == done.stdout
    assert "seed: 3" in done.stdout
    assert "max_new_tokens: 256" in done.stdout
