"""What a run leaves for others to read: segments, corpus values, statistics. Written whole or not at all.

Rows stand in one order, task, model, sample, completion, whatever the order of generation, and numbers are written by
`repr`: equal runs give equal bytes. Text cells of CSV are safe against formulas (see `csvsafe`); Parquet holds
texts as they are, and the reason beside each status.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.csvsafe import csv_line
from harness.files import replacing, write_atomically
from harness.types import STATUSES

if TYPE_CHECKING:
    from harness.assess import CorpusRow, Table
    from harness.types import Generation, ScoreInfo, Scores

SCHEMA_VERSION = 1
SEGMENTS_CSV, SEGMENTS_PARQUET = "segments.csv", "segments.parquet"
CORPUS, STATISTICS = "corpus.csv", "statistics.parquet"
CORPUS_COLUMNS = ("task", "model", "score", "value", "ci_low", "ci_high", "n", "signature")
KEY_COLUMNS = ("task", "sample", "model", "completion_index", "completion", "completion.status")
_ROWS = 8192  # of a Parquet row group; a constant, since it shows in the bytes

Column = list[Any]


def segment_names(infos: Mapping[str, ScoreInfo]) -> list[str]:
    """The scores that a completion has."""
    return [n for n, i in infos.items() if i.scope != "corpus"]


def has_status(name: str) -> bool:
    """A term's status is that of its score, which stands beside it."""
    return not name.startswith("reward.")


def csv_columns(infos: Mapping[str, ScoreInfo]) -> list[str]:
    columns = list(KEY_COLUMNS)
    for name in segment_names(infos):
        columns += [name, f"{name}.status"] if has_status(name) else [name]
    return columns


def write_segments(
    folder: Path, infos: Mapping[str, ScoreInfo], tables: Sequence[Table], generations: Iterable[Generation]
) -> None:
    """`segments.csv` and `segments.parquet`: one row per completion, written block by block."""
    import pyarrow.parquet as pq

    names = segment_names(infos)
    schema = _schema(names)
    with replacing(folder / SEGMENTS_CSV) as text, replacing(folder / SEGMENTS_PARQUET) as binary:
        text.write(csv_line(csv_columns(infos)).encode())
        with pq.ParquetWriter(binary, schema) as writer:
            for block in _blocks(names, tables, generations):
                shown = [block[c] for c in csv_columns(infos)]
                text.write("".join([csv_line(row) for row in zip(*shown, strict=True)]).encode())
                writer.write_table(_arrow(schema, block))


def _blocks(
    names: Sequence[str], tables: Sequence[Table], generations: Iterable[Generation]
) -> Iterator[dict[str, Column]]:
    """The columns of some thousand rows at a time, by name."""
    completions = _completions(generations)
    for table in tables:
        for start in range(0, table.size, _ROWS):
            keys = list(islice(completions, min(_ROWS, table.size - start)))
            block: dict[str, Column] = dict(zip(KEY_COLUMNS, map(list, zip(*keys, strict=True)), strict=True))
            for name in names:
                block |= _columns(name, table.scores[name], start, start + len(keys))
            yield block


def _completions(generations: Iterable[Generation]) -> Iterator[tuple[Any, ...]]:
    for g in generations:
        for index, c in enumerate(g.completions):
            yield g.sample.task, g.sample.id, g.model, index, c.text, c.status


def _columns(name: str, scores: Scores, start: int, stop: int) -> dict[str, Column]:
    """Value, status and reason of one score."""
    codes = scores.status[start:stop].tolist()
    values = scores.values[start:stop].tolist()
    return {
        name: [None if code else value for value, code in zip(values, codes, strict=True)],
        f"{name}.status": [STATUSES[code] for code in codes],
        f"{name}.reason": [scores.reasons.get(index) for index in range(start, stop)],
    }


def _schema(names: Sequence[str]) -> Any:
    import pyarrow as pa

    fields = [(c, pa.int32() if c == "completion_index" else pa.string()) for c in KEY_COLUMNS]
    for name in names:
        fields += [(name, pa.float64()), (f"{name}.status", pa.string()), (f"{name}.reason", pa.string())]
    return pa.schema(fields, metadata={"schema_version": str(SCHEMA_VERSION), "kind": "segments"})


def _arrow(schema: Any, block: Mapping[str, Column]) -> Any:
    import pyarrow as pa

    return pa.table([pa.array(block[f.name], f.type) for f in schema], schema=schema)


def write_corpus(folder: Path, rows: Iterable[CorpusRow]) -> None:
    """`corpus.csv`: one row per task, model and score."""
    lines = [csv_line([getattr(row, column) for column in CORPUS_COLUMNS]) for row in rows]
    write_atomically(folder / CORPUS, "".join([csv_line(CORPUS_COLUMNS), *lines]).encode())


def write_statistics(folder: Path, tables: Sequence[Table]) -> None:
    """`statistics.parquet`: the sufficient statistics, `NAME.0`, `NAME.1`, ..., rows as the segments; removed if none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    widths = {n: s.statistics.shape[1] for t in tables for n, s in t.scores.items() if s.statistics is not None}
    if not widths:
        (folder / STATISTICS).unlink(missing_ok=True)
        return
    fields = [(f"{n}.{k}", pa.float64()) for n, width in widths.items() for k in range(width)]
    schema = pa.schema(fields, metadata={"schema_version": str(SCHEMA_VERSION), "kind": "statistics"})
    with replacing(folder / STATISTICS) as file, pq.ParquetWriter(file, schema) as writer:
        for table in tables:
            columns = [_statistic(table, n, k) for n, width in widths.items() for k in range(width)]
            if table.size:
                writer.write_table(pa.table(columns, schema=schema), row_group_size=_ROWS)


def _statistic(table: Table, name: str, column: int) -> Any:
    import pyarrow as pa

    statistics = table.scores[name].statistics
    if statistics is None:
        return pa.nulls(table.size, pa.float64())
    return pa.array(statistics[:, column], pa.float64(), from_pandas=True)  # NaN, no statistics, becomes null
