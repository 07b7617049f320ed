"""Exports: their columns, their cells, and numbers that no chunk and no order can change."""

from __future__ import annotations

import csv
import errno
import math
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import harness
from harness.assess import CorpusRow, Table, assess, infos_of
from harness.csvsafe import plain_cell
from harness.errors import IncompleteError
from harness.export import (
    CORPUS,
    SEGMENTS_CSV,
    SEGMENTS_PARQUET,
    STATISTICS,
    write_corpus,
    write_rows,
)
from harness.keys import sample_key
from harness.loaded import load_metrics
from harness.registry import Registry
from harness.rewards import composite_from
from harness.types import STATUSES, Completion, Generation, NoValue, Sample, ScoreInfo, Scores, Spec, Whole

from .tables_for_tests import METRICS, REWARD, bits, generations, table_of


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load(allow=METRICS)


def by_completion(scores: Scores, found: Sequence[Generation]) -> dict[tuple[str, int], Any]:
    names = [(g.sample.id, i) for g in found for i in range(len(g.completions))]
    statistics = scores.statistics if scores.statistics is not None else np.empty((len(names), 0))
    rows = zip(bits(scores.values), scores.status.tolist(), map(bits, statistics), strict=True)
    return {n: (*row, scores.reasons.get(i)) for i, (n, row) in enumerate(zip(names, rows, strict=True))}


ORDERS: dict[str, Callable[[list[Generation]], list[Generation]]] = {
    "as it is": list,
    "backwards": lambda found: found[::-1],
    "shuffled": lambda found: random.Random(2).sample(found, len(found)),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_chunks_and_order_change_no_bit_of_scores(registry: Registry, chunk: int, order: str) -> None:
    found = generations()
    whole = harness.score(found, METRICS, registry=registry)
    other = ORDERS[order](found)
    scores = harness.score(other, METRICS, registry=registry, chunk=chunk)
    assert scores.keys() == whole.keys()
    assert len(whole) > 15
    for name, one in whole.items():
        if one.info.scope != "corpus":
            assert by_completion(scores[name], other) == by_completion(one, found), name
        assert scores[name].corpus == one.corpus, name
        assert (scores[name].signature, scores[name].corpus_signature) == (one.signature, one.corpus_signature)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_chunks_and_order_change_no_bit_of_rewards_corpus_rows_and_intervals(
    registry: Registry, chunk: int, order: str
) -> None:
    found = generations()
    whole, _ = table_of(registry, found)
    other = ORDERS[order](found)
    table, _ = table_of(registry, other, chunk)
    for name, scores in table.scores.items():
        if scores.info.scope != "corpus":
            assert by_completion(scores, other) == by_completion(whole.scores[name], found), name
    assert list(map(repr, table.corpus)) == list(map(repr, whole.corpus))
    assert sum(row.ci_low is not None for row in whole.corpus) > 10


def test_the_signature_of_a_reward_follows_from_those_of_its_scores(registry: Registry) -> None:
    """Also where whole batches had no value, and so no signature."""
    found = generations()
    table, _ = table_of(registry, found, chunk=1)
    scores = table.scores
    assert scores["reward.quality"].signature.endswith(f"|{scores['rougeL'].signature.rpartition('|nrefs')[0]}")
    assert scores["reward"].signature.startswith("reward|weighted_mean|1.0*rougeL[0.0,1.0]|0.3*diversity[0.0,1.0]|")
    stemmed = load_metrics([Spec("metric", "rouge", options={"use_stemmer": True}), Spec("metric", "diversity"),
                            Spec("metric", "sentiment")], registry)  # fmt: skip
    composite = composite_from(REWARD, infos_of(stemmed, None))
    other = assess(("t", "m"), lambda: iter(found), stemmed, composite, Whole())
    assert other.scores["reward"].signature.rpartition(":")[0] == scores["reward"].signature.rpartition(":")[0]
    assert other.scores["reward"].signature != scores["reward"].signature


def test_a_finite_number_stands_only_beside_ok(registry: Registry) -> None:
    table, _ = table_of(registry, generations())
    seen = set()
    for scores in table.scores.values():
        if scores.info.scope != "corpus":
            assert (np.isfinite(scores.values) == (scores.status == 0)).all()
            seen |= {STATUSES[s] for s in scores.status.tolist()}
    assert seen >= {"ok", "abstain", "timeout"}


# What is written


def export(folder: Path, table: Table, infos: dict[str, ScoreInfo], found: Sequence[Generation]) -> None:
    assert write_rows(folder, infos, [table], iter(found)) == sum(c.text is None for g in found for c in g.completions)
    write_corpus(folder, table.corpus)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def simple_table(texts: Sequence[str | None], values: Sequence[float | NoValue | None]) -> tuple[Table, Any, Any]:
    """One sample, and one score `s` of anything."""
    info = ScoreInfo("s", -math.inf, math.inf)
    scores = harness.scores_from(info, "s", values)
    completions = tuple(Completion(t) if t is not None else Completion(None, "error", "gone") for t in texts)
    table = Table("t", "m", len(texts), {"s": scores}, (), {})
    return table, {"s": info}, [Generation(Sample("1", task="t"), "m", completions)]


def test_the_columns_of_segments(tmp_path: Path, registry: Registry) -> None:
    found = generations()
    export(tmp_path, *table_of(registry, found), found)
    header = (tmp_path / SEGMENTS_CSV).read_text().split("\n")[0].split(",")
    keys = ["task", "sample", "model", "completion_index", "completion", "completion.status"]
    assert header[:6] == keys
    scores = [c for c in header[6:] if not c.endswith(".status")]
    assert scores[:7] == ["bleu", "chrf", "rouge1", "rouge2", "rougeL", "rougeLsum", "diversity"]
    assert scores[-4:] == ["reward", "reward.quality", "reward.spread", "reward.mood"]
    assert not {"distinct1", "entropy"} & set(scores)  # which no completion has
    for name in scores:
        place = header.index(name)
        has_status = header[place + 1 : place + 2] == [f"{name}.status"]
        assert has_status == (not name.startswith("reward."))
    assert len(header) == len(set(header))
    parquet = pq.read_schema(tmp_path / SEGMENTS_PARQUET).names
    assert parquet == [*keys, "cluster", "sample_key"] + [
        f"{n}{part}" for n in scores for part in ("", ".status", ".reason")
    ]


def test_rows_can_be_joined_and_resampled_without_the_run(tmp_path: Path, registry: Registry) -> None:
    found = generations()
    export(tmp_path, *table_of(registry, found), found)
    expected = [
        {"task": "t", "sample": g.sample.id, "model": "m", "completion_index": index,
         "cluster": g.sample.cluster, "sample_key": sample_key(g.sample)}
        for g in found for index in range(len(g.completions))
    ]  # fmt: skip
    assert {None, "c1"} < {row["cluster"] for row in expected}
    for name in (SEGMENTS_PARQUET, STATISTICS):
        assert pq.read_table(tmp_path / name, columns=list(expected[0])).to_pylist() == expected


def test_csv_and_parquet_hold_the_same_rows(tmp_path: Path, registry: Registry) -> None:
    found = generations()
    table, infos = table_of(registry, found)
    export(tmp_path, table, infos, found)
    cells, rows = rows_of(tmp_path / SEGMENTS_CSV), pq.read_table(tmp_path / SEGMENTS_PARQUET).to_pylist()
    completions = [(g, i, c) for g in found for i, c in enumerate(g.completions)]
    assert len(cells) == len(rows) == len(completions)
    for cell, row, (g, index, completion) in zip(cells, rows, completions, strict=True):
        key = (row["task"], row["sample"], row["model"], row["completion_index"], row["completion"])
        assert key == ("t", g.sample.id, "m", index, completion.text)
        for name, text in cell.items():
            value = row[name]
            assert text == ("" if value is None else repr(value) if isinstance(value, (int, float)) else text)
            if isinstance(value, str):
                assert plain_cell(text) == value
    for name, scores in table.scores.items():
        if scores.info.scope != "corpus":
            assert [r[name] for r in rows] == scores.segment
            assert [r[f"{name}.status"] for r in rows] == [STATUSES[s] for s in scores.status]
            assert [r[f"{name}.reason"] for r in rows] == [scores.reasons.get(i) for i in range(table.size)]


VALUES = [-0.5, 0.0, -0.0, 1e-300, 1e16, 0.1 + 0.2, 100.0, 5e-324, None, NoValue("timeout", "=slow")]


def test_numbers_are_untouched_and_none_is_empty(tmp_path: Path) -> None:
    table, infos, found = simple_table(["x"] * len(VALUES), VALUES)
    export(tmp_path, table, infos, found)
    cells = [(r["s"], r["s.status"]) for r in rows_of(tmp_path / SEGMENTS_CSV)]
    assert cells == [
        ("-0.5", "ok"), ("0.0", "ok"), ("-0.0", "ok"), ("1e-300", "ok"), ("1e+16", "ok"), ("0.30000000000000004", "ok"),
        ("100.0", "ok"), ("5e-324", "ok"), ("", "abstain"), ("", "timeout"),
    ]  # fmt: skip
    rows = pq.read_table(tmp_path / SEGMENTS_PARQUET).to_pylist()
    assert [r["s"] for r in rows] == [v if isinstance(v, float) else None for v in VALUES]
    assert (rows[-1]["s.reason"], rows[0]["s.reason"]) == ("=slow", None)
    assert rows[8]["s.reason"] == "the metric gave no value"


FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\ufeff=1",
    "\u200b=1",
    "＝1",
    "a\r=1",
    "a\n=1",
]


def test_no_text_is_a_formula_and_parquet_holds_it_as_it_is(tmp_path: Path) -> None:
    table, infos, found = simple_table(FORMULAS, [1.0] * len(FORMULAS))
    found = [replace(found[0], model="=m()", sample=replace(found[0].sample, id="@id", task="+t"))]
    export(tmp_path, table, infos, found)
    rows = rows_of(tmp_path / SEGMENTS_CSV)
    assert [plain_cell(r["completion"]) for r in rows] == FORMULAS
    for row in rows:
        for name in ("task", "sample", "model", "completion"):
            visible = row[name].lstrip(" \ufeff\u200b")
            assert not visible.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝")), row[name]
    assert pq.read_table(tmp_path / SEGMENTS_PARQUET)["completion"].to_pylist() == FORMULAS


def naive_rows(data: bytes) -> int:
    """As a reader counts that ends a row at any line break outside quotes."""
    outside = "".join(data.decode().split('"')[::2])
    return outside.replace("\r\n", "\n").replace("\r", "\n").count("\n")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=4))
def test_any_text_comes_back_from_both(tmp_path: Path, texts: list[str | None]) -> None:
    table, infos, found = simple_table(texts, [0.5] * len(texts))
    export(tmp_path, table, infos, found)
    cells = [plain_cell(r["completion"]) for r in rows_of(tmp_path / SEGMENTS_CSV)]
    assert cells == [t or "" for t in texts]
    assert naive_rows((tmp_path / SEGMENTS_CSV).read_bytes()) == len(texts) + 1
    assert pq.read_table(tmp_path / SEGMENTS_PARQUET)["completion"].to_pylist() == texts


def test_the_corpus_file(tmp_path: Path) -> None:
    rows = [
        CorpusRow("t", "m", "bleu", 31.25, 30.0, 32.5, 12, "bleu|tok:13a"),
        CorpusRow("=t", "a,b", "polarity", -0.5, None, None, 1, 'a"b'),
        CorpusRow("t", "m", "rouge1", None, None, None, 0, ""),
    ]
    write_corpus(tmp_path, rows)
    assert (tmp_path / CORPUS).read_bytes() == (
        b"task,model,score,value,ci_low,ci_high,n,signature\n"
        b"t,m,bleu,31.25,30.0,32.5,12,bleu|tok:13a\n"
        b'\'=t,"a,b",polarity,-0.5,,,1,"a""b"\n'
        b"t,m,rouge1,,,,0,\n"
    )


def test_n_counts_what_entered_the_score(registry: Registry) -> None:
    found = generations()
    rows = {r.score: r for r in table_of(registry, found)[0].corpus}
    texts = [(g, c) for g in found for c in g.completions if c.text is not None]
    assert 0 < len(texts) < sum(len(g.completions) for g in found)
    assert rows["distinct1"].n == rows["length"].n == len(texts)
    assert rows["bleu"].n == sum(bool(g.sample.references) for g, _ in texts)


def test_one_sample_has_no_interval(registry: Registry) -> None:
    found = [replace(g, sample=replace(g.sample, cluster=None)) for g in generations()[5:6]]
    rows = table_of(registry, found)[0].corpus
    assert any(r.value is not None for r in rows)
    assert all((r.ci_low, r.ci_high) == (None, None) for r in rows)


def test_an_interval_holds_the_value_and_is_the_same_each_time(registry: Registry) -> None:
    found = [replace(g, sample=replace(g.sample, references=("the good pub",))) for g in generations()]
    rows = table_of(registry, found)[0].corpus
    assert rows == table_of(registry, found)[0].corpus
    for row in rows:
        if row.ci_low is not None and row.ci_high is not None and row.value is not None:
            assert row.ci_low <= row.value <= row.ci_high, row


def test_statistics_are_the_rows_that_corpus_scores_are_made_of(tmp_path: Path, registry: Registry) -> None:
    found = generations()
    table, infos = table_of(registry, found)
    export(tmp_path, table, infos, found)
    kept = pq.read_table(tmp_path / STATISTICS).to_pandas()
    assert {c.split(".")[0] for c in kept.columns} >= {"bleu", "chrf"}
    assert len(kept) == table.size
    (bleu,) = load_metrics([Spec("metric", "bleu")], registry)
    sums = kept[[c for c in kept.columns if c.startswith("bleu.")]].sum().to_numpy()[None, :]
    (value,) = bleu.metric.corpus_from("bleu", sums)  # type: ignore[attr-defined]
    assert value == next(r.value for r in table.corpus if r.score == "bleu")
    assert kept["bleu.0"].isna().tolist() == [s != 0 for s in table.scores["bleu"].status.tolist()]


def test_no_statistics_no_file(tmp_path: Path) -> None:
    table, infos, found = simple_table(["x"], [1.0])
    (tmp_path / STATISTICS).write_bytes(b"of an earlier scoring")
    write_rows(tmp_path, infos, [table], found)
    assert not (tmp_path / STATISTICS).exists()


def test_parquet_says_its_format(tmp_path: Path, registry: Registry) -> None:
    found = generations(4)
    export(tmp_path, *table_of(registry, found), found)
    for name, kind in ((SEGMENTS_PARQUET, b"segments"), (STATISTICS, b"statistics")):
        metadata = pq.read_schema(tmp_path / name).metadata
        assert (metadata[b"schema_version"], metadata[b"kind"]) == (b"1", kind)


def test_a_full_disk_leaves_both_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, infos, found = simple_table(["x"], [1.0])
    write_rows(tmp_path, infos, [table], found)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(IncompleteError, match="No space left"):
        write_rows(tmp_path, infos, [replace(table, task="other")], found)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_many_rows_come_out_whole(tmp_path: Path) -> None:
    """More than one row group of Parquet."""
    count = 9000
    table, infos, found = simple_table([f"t{i}" for i in range(count)], [float(i) for i in range(count)])
    write_rows(tmp_path, infos, [table], found)
    assert [float(r["s"]) for r in rows_of(tmp_path / SEGMENTS_CSV)] == list(range(count))
    assert pq.read_table(tmp_path / SEGMENTS_PARQUET)["s"].to_pylist() == list(range(count))
