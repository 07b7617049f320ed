"""The run folder: who may read it, what its files say they are, and what a handle on it gives back."""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import harness
from harness.errors import RunError
from harness.recording import record_run
from harness.records import read_generations
from harness.registry import Entry, Plugin, Registry
from harness.run import score_run
from harness.store import (
    Run,
    holds_samples,
    is_run,
    open_run,
    read_json,
    read_samples,
    score_record,
    write_json,
    write_samples,
)
from harness.suite import parse_suite
from harness.types import Generation, Message, Sample, ScoreInfo

SUITE = """
name: kept
metrics: [bleu, rouge, diversity, wild]
reward:
  terms:
    - {score: rougeL}
    - {score: diversity, weight: 0.5, required: false}
reports: [csv]
"""
OURS = Plugin("ours", "tests", "tests", "1.0", "ok")


class Wild:
    """A score without bounds, of which less is better."""

    infos = (ScoreInfo("wild", -math.inf, math.inf, False, needs=frozenset({"prompt"}), tolerance=1e-6),)

    def __call__(self, batch: harness.Batch) -> dict[str, harness.Scores]:
        return {"wild": harness.scores_from(self.infos[0], "wild", [-float(len(t)) for t in batch.texts])}


def records() -> list[dict[str, Any]]:
    """Two tasks and two models, given in no order; texts that readers like to take for something else."""
    texts = ["NA", "null", "None", "nan", "", "TRUE", "012", "=1", 'a,b\n"c"', "<b>ü漢"]
    found = [
        {
            "task": task,
            "id": f"{i}",
            "model": model,
            "prompt": f"prompt {i}" if i != 2 else None,
            "references": ["a text", f"text {i}"] if i != 1 else [],
            "completions": [texts[(i + j) % len(texts)] if (i, j) != (5, 2) else None for j in range(1 + i % 3)],
        }
        for i in range(6)
        for task in ("alpha", "beta")
        for model in ("x", "y")
    ]
    return found[::-1][5:] + found[::-1][:5]


@pytest.fixture(scope="module")
def registry() -> Registry:
    base = Registry.load(allow=["bleu", "csv", "diversity", "rouge"])
    return Registry([*base.plugins, OURS], [*base.entries(), Entry("metric", "wild", Wild, ("wild",), OURS)])


def make(folder: Path, registry: Registry) -> Run:
    suite = parse_suite(SUITE, registry=registry)
    record_run(folder, lambda: iter(read_generations(records())), suite, registry, {"name": "records"})
    return score_run(folder, suite, registry).run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Iterator[Run]:
    old = os.umask(0)
    yield make(tmp_path_factory.mktemp("store") / "run", registry)
    os.umask(old)


def test_only_its_owner_may_read_it_whatever_the_umask(run: Run) -> None:
    assert stat.S_IMODE(run.folder.stat().st_mode) == 0o700
    for path in run.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path.name


def test_every_file_says_its_format(run: Run) -> None:
    said = {}
    for path in run.folder.iterdir():
        if path.suffix == ".json":
            said[path.name] = json.loads(path.read_bytes())
        elif path.suffix == ".jsonl":
            said[path.name] = json.loads(path.read_bytes().split(b"\n")[0])
        elif path.suffix == ".parquet":
            said[path.name] = {k.decode(): v.decode() for k, v in pq.read_schema(path).metadata.items()}
    assert {name: (str(found["schema_version"]), found["kind"]) for name, found in said.items()} == {
        "run.json": ("1", "run"),
        "scores.json": ("1", "scores"),
        "local.json": ("1", "local"),
        "journal.jsonl": ("1", "journal"),
        "samples.jsonl": ("1", "samples"),
        "segments.parquet": ("1", "segments"),
        "statistics.parquet": ("1", "statistics"),
    }


def test_generations_come_back_by_task_model_and_sample(run: Run) -> None:
    expected = {g.key: g for g in read_generations(records())}
    found = list(run.generations())
    assert {g.key: g for g in found} == expected
    assert len(found) == len(expected) == 24
    tables = [(g.sample.task, g.model) for g in found]
    assert list(dict.fromkeys(tables)) == run.tables()
    assert [len(list(run.generations([table]))) for table in run.tables()] == [6, 6, 6, 6]
    order = {task: [s.id for s in samples] for task, samples in run.samples.items()}
    for task, model in run.tables():
        assert [g.sample.id for g in found if (g.sample.task, g.model) == (task, model)] == order[task]


def test_groups_join_each_completion_with_its_own_scores(run: Run, registry: Registry) -> None:
    """Against the scores of each generation on its own."""
    groups = list(run.groups())
    assert len(groups) == 24
    for group in groups:
        scores = harness.score([group.generation], ["bleu", "rouge", "diversity", "wild"], registry=registry)
        assert len(group.cells) == len(group.generation.completions)
        for index, cells in enumerate(group.cells):
            for name, column in scores.items():
                if column.info.scope == "corpus":
                    assert name not in cells
                    continue
                cell = cells[name]
                assert (cell.value, cell.status) == (column.segment[index], column.status_of(index))
                assert cell.reason == column.reasons.get(index)
            assert {"reward", "reward.rougeL", "reward.diversity"} <= set(cells)
    statuses = {c.status for g in groups for cells in g.cells for c in cells.values()}
    assert statuses == {"ok", "abstain", "error"}


def test_groups_that_the_table_does_not_fit_are_refused(tmp_path: Path, registry: Registry) -> None:
    run = make(tmp_path / "run", registry)
    path = run.folder / "segments.parquet"
    table = pq.read_table(path)
    for wrong in (table.slice(1), table.slice(0, 5), table.take(list(range(len(table)))[::-1])):
        pq.write_table(wrong, path)
        with pytest.raises(RunError, match="score the run anew"):
            list(Run(run.folder).groups())


def test_segments_as_a_table(run: Run) -> None:
    frame = run.segments()
    completions = [c for g in run.generations() for c in g.completions]
    assert len(frame) == len(completions)
    texts = frame["completion"].tolist()
    assert [None if t != t else t for t in texts] == [c.text for c in completions]  # "NA", "nan", "" are texts
    assert {"NA", "null", "None", "nan", "", "012"} <= set(texts)
    assert frame["completion_index"].dtype.kind == "i"
    assert frame["bleu"].dtype.kind == "f"
    assert (frame["bleu"].notna() == (frame["bleu.status"] == "ok")).all()
    assert set(frame["sample"]) == {"0", "1", "2", "3", "4", "5"}  # ids stay text


def test_corpus_rows_come_back(run: Run, registry: Registry) -> None:
    rows = {(r.task, r.model, r.score): r for r in run.corpus}
    assert len(rows) == len(run.corpus) == len(run.tables()) * len(run.infos)
    mine = [g for g in run.generations() if (g.sample.task, g.model) == ("beta", "x")]
    scores = harness.score(mine, ["bleu", "wild", "diversity"], registry=registry)
    for name, column in scores.items():
        row = rows["beta", "x", name]
        assert (row.value, row.signature) == (column.corpus if column.corpus is not None else row.value, row.signature)
        assert row.signature == column.corpus_signature
    assert rows["beta", "x", "bleu"].value == scores["bleu"].corpus
    assert (rows["beta", "x", "wild"].value or 0) < 0  # a number, whose sign no guard against formulas took
    assert rows["beta", "x", "entropy"].ci_low is None


def test_declarations_of_scores_come_back(run: Run, registry: Registry) -> None:
    infos = run.infos
    assert infos["wild"] == Wild.infos[0]
    assert list(infos)[-3:] == ["reward", "reward.rougeL", "reward.diversity"]
    for name in ("bleu", "rouge", "diversity"):
        for info in registry.infos(harness.types.Spec("metric", name)):
            assert infos[info.name] == info
    assert json.loads(json.dumps(score_record(Wild.infos[0])))["low"] is None


def test_how_scores_were_made_comes_back(run: Run, registry: Registry) -> None:
    signatures = run.signatures
    assert set(signatures) == {(task, model, score) for task, model in run.tables() for score in run.infos}
    mine = [g for g in run.generations() if (g.sample.task, g.model) == ("beta", "x")]
    for name, column in harness.score(mine, ["bleu", "wild", "diversity"], registry=registry).items():
        assert signatures["beta", "x", name] == (column.signature, column.corpus_signature)
    assert signatures["beta", "x", "bleu"][0] != signatures["beta", "x", "bleu"][1]


@pytest.mark.parametrize("table", [("alpha", "z"), ("gamma", "x"), ("", "")])
def test_scores_of_nothing_are_refused(run: Run, table: tuple[str, str]) -> None:
    with pytest.raises(RunError, match=r"holds no scores of the task .* by the model .*; "):
        run.scores(*table)


SAMPLES = [
    Sample("1", "a\u2028b\r\n", ("r", ""), "t", "en", "c", {"k": [1, {"x": None}], "NA": 1.5}),
    Sample("2", (Message("system", "s"), Message("user", "<u>")), (), "t"),
    Sample("1", None, ("𝄞",), "other"),
]


def test_samples_come_back(tmp_path: Path) -> None:
    write_samples(tmp_path, SAMPLES)
    assert read_samples(tmp_path) == {"t": tuple(SAMPLES[:2]), "other": (SAMPLES[2],)}


def test_whether_samples_are_those_of_the_folder(tmp_path: Path) -> None:
    assert not holds_samples(tmp_path, SAMPLES)
    write_samples(tmp_path, SAMPLES)
    assert holds_samples(tmp_path, SAMPLES)
    edited = replace(SAMPLES[0], metadata={**SAMPLES[0].metadata, "NA": 1.25})
    for other in (SAMPLES[::-1], SAMPLES[:-1], [*SAMPLES, edited], [edited, *SAMPLES[1:]], []):
        assert not holds_samples(tmp_path, other)


@pytest.mark.parametrize("data", [b"", b"[]\n", b'{"id":"1"}\n', b'{"schema_version":1,"kind":"samples"}\n[1]\n'])
def test_damaged_samples_are_an_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "samples.jsonl").write_bytes(data)
    with pytest.raises(RunError, match=r"samples\.jsonl"):
        read_samples(tmp_path)


def test_samples_of_another_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text('{"schema_version":2,"kind":"samples"}\n')
    with pytest.raises(RunError, match="format 2; this version reads 1"):
        read_samples(tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"schema_version":2,"kind":"run"}', "written in format 2; this version reads 1"),
        (b'{"kind":"run"}', "written in format None"),
        (b'{"schema_version":1,"kind":"scores"}', r"is not the run\.json of a run"),
        (b'[{"schema_version":1}]', r"is not the run\.json"),
        (b'{"schema_version":1,"kind":"ru', "cannot be read"),
        (b'{"schema_version":1,"kind":"run","x":NaN}', "cannot be read"),
        (b"\x80\x04\x95", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_a_manifest_that_is_none(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "run.json").write_bytes(data)
    with pytest.raises(RunError, match=message):
        open_run(tmp_path)


def test_what_is_no_run_is_said_to_be_none(tmp_path: Path, run: Run) -> None:
    with pytest.raises(RunError, match="there is no run folder"):
        open_run(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"holds no finished run: there is no run\.json"):
        open_run(tmp_path)
    with pytest.raises(RunError, match=r"holds no run: there is no samples\.jsonl"):
        _ = Run(tmp_path).samples
    assert (is_run(tmp_path), is_run(run.folder)) == (False, True)
    assert open_run(str(run.folder)).manifest["state"] == "complete"


def test_a_pickle_in_place_of_any_file_is_not_run(tmp_path: Path, registry: Registry) -> None:
    import pickle

    class Planted:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "executed"),)

    run = make(tmp_path / "run", registry)
    data = pickle.dumps(Planted())
    for path in sorted(run.folder.iterdir()):
        if path.suffix not in {".json", ".jsonl", ".parquet"}:
            continue
        kept = path.read_bytes()
        path.write_bytes(data)
        opened = Run(run.folder)
        for read in (lambda r: r.manifest, lambda r: r.infos, lambda r: list(r.groups()), lambda r: r.segments()):
            with contextlib.suppress(Exception):
                read(opened)
        path.write_bytes(kept)
    assert not (tmp_path / "executed").exists()
    pickle.loads(data)  # the canary does sing
    assert (tmp_path / "executed").exists()


# What reports may write

PLAIN = ["report.html", "summary.csv", "ünï 漢.html", "a..b", "con", "~", "$(x)", "%2e%2e%2f", "-rf", "a'b"]
LEADING_OUT = [
    "", ".", "..", " ", "../x", "../../etc/passwd", "/etc/passwd", "//x", "a/b", "a/../b", "./x", "x/", "x/.", "..\\x",
    "a\\b", "C:x", "C:\\x", "x:stream", ".hidden", ".lock", ".run.json.tmp", "a\x00b", "\x00", "a\nb", "\t", "a\x1b[0m",
    "\u202ex", "a\ud800b", "~/x/..", "x" * 5000, "\u2028",
]  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_a_report_writes_into_the_folder(run: Run, name: str) -> None:
    path = run.write(name, b"x")
    assert path.parent == run.folder
    assert path.read_bytes() == b"x"
    path.unlink()


@pytest.mark.parametrize("name", LEADING_OUT, ids=ascii)
def test_a_report_writes_nowhere_else(run: Run, name: str) -> None:
    around = sorted(p.name for p in run.folder.parent.iterdir()), sorted(p.name for p in run.folder.iterdir())
    with pytest.raises(RunError):
        run.write(name, b"x")
    assert around == (
        sorted(p.name for p in run.folder.parent.iterdir()),
        sorted(p.name for p in run.folder.iterdir()),
    )


@pytest.mark.parametrize(
    "name", ["journal.jsonl", "samples.jsonl", "run.json", "scores.json", "segments.csv", "local.json"]
)
def test_a_report_cannot_replace_what_the_run_is_made_of(run: Run, name: str) -> None:
    before = (run.folder / name).read_bytes()
    with pytest.raises(RunError, match="belongs to the run itself"):
        run.write(name, b"x")
    assert (run.folder / name).read_bytes() == before


def test_a_report_follows_no_link(run: Run, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (run.folder / "linked.html").symlink_to(victim)
    run.write("linked.html", b"report")
    assert victim.read_bytes() == b"mine"
    assert (run.folder / "linked.html").read_bytes() == b"report"
    (run.folder / "linked.html").unlink()


def test_json_files_are_whole_and_hold_only_json(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", {"schema_version": 1, "kind": "x", "text": "ü\u2028", "n": -0.5})
    assert read_json(path, "x")["text"] == "ü\u2028"
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"schema_version": 1, "kind": "x", "n": math.nan})
    assert read_json(path, "x")["n"] == -0.5
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_generation_in_a_group_is_the_whole_one(run: Run) -> None:
    group = next(run.groups())
    assert isinstance(group.generation, Generation)
    assert group.generation == replace(group.generation, sample=run.samples[group.generation.sample.task][0])
