"""What was exported, read back: every column as it was computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from harness.assess import assess, infos_of
from harness.export import SEGMENTS_PARQUET, read_columns, write_rows
from harness.loaded import load_metrics
from harness.registry import Registry
from harness.types import Scores, Spec, Whole

from .tables_for_tests import METRICS, bits, generations, table_of


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load(allow=METRICS)


def same(one: Scores, other: Scores) -> bool:
    statistics = one.statistics is None and other.statistics is None
    if one.statistics is not None and other.statistics is not None:
        statistics = np.array_equal(one.statistics, other.statistics, equal_nan=True)
    return statistics and (one.info, bits(one.values), one.status.tolist(), dict(one.reasons)) == (
        other.info, bits(other.values), other.status.tolist(), dict(other.reasons)
    )  # fmt: skip


def test_columns_are_read_back_as_they_were(tmp_path: Path, registry: Registry) -> None:
    """Of each table its own; one where no completion has a reference, and so no statistics."""
    known = generations(9)
    unknown = [replace(g, model="n", sample=replace(g.sample, references=())) for g in generations(7)]
    tables = [table_of(registry, some)[0] for some in (known, unknown)]
    infos = table_of(registry, known)[1]
    write_rows(tmp_path, infos, tables, [*known, *unknown])
    for table in tables:
        columns = read_columns(tmp_path, infos, table.task, table.model)
        assert list(columns) == list(table.scores)
        assert [n for n in columns if not same(columns[n], table.scores[n])] == []
    assert read_columns(tmp_path, infos, "t", "m")["bleu"].statistics is not None
    assert read_columns(tmp_path, infos, "t", "n")["bleu"].statistics is None


def test_scores_of_the_corpus_that_statistics_carry_are_read_back_too(tmp_path: Path, registry: Registry) -> None:
    """The segments do not hold them, so the statistics say why no completion has a value."""
    metrics = load_metrics([Spec("metric", "exact", options={"labels": ["good", "bad"]})], registry)
    infos = infos_of(metrics, None)
    for folder, references in ((tmp_path / "some", ("good",)), (tmp_path / "none", ())):
        folder.mkdir()
        found = [replace(g, sample=replace(g.sample, references=references)) for g in generations(8)]
        table = assess(("t", "m"), lambda some=found: iter(some), metrics, None, Whole())  # type: ignore[misc]
        write_rows(folder, infos, [table], found)
        assert table.scores["f1"].reasons
        columns = read_columns(folder, infos, "t", "m")
        assert [n for n in columns if not same(columns[n], table.scores[n])] == []
        assert "f1" not in pq.read_schema(folder / SEGMENTS_PARQUET).names
