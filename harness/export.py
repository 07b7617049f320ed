"""What a run leaves for others to read: segments, corpus values, statistics. Written whole or not at all.

Rows stand in one order, task, model, sample, completion, whatever the order of generation, and numbers are written by
`repr`: equal runs give equal bytes. Text cells of CSV are safe against formulas (see `csvsafe`); Parquet holds
texts as they are, the reason beside each status, and beside each row's names what joins dependent samples (`cluster`, null
where a sample stands alone) and what must agree for two scores to be paired (`sample_key`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count, islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.csvsafe import csv_line
from harness.files import replacing, write_atomically
from harness.keys import SCHEMA_VERSION, sample_key
from harness.types import STATUSES, ScoreInfo, Scores

if TYPE_CHECKING:
    from harness.assess import CorpusRow, Table
    from harness.types import Generation

SEGMENTS_CSV, SEGMENTS_PARQUET = "segments.csv", "segments.parquet"
CORPUS, STATISTICS = "corpus.csv", "statistics.parquet"
CORPUS_COLUMNS = ("task", "model", "score", "value", "ci_low", "ci_high", "n", "signature")
ROW_COLUMNS = ("task", "sample", "model", "completion_index")
KEY_COLUMNS = (*ROW_COLUMNS, "completion", "completion.status")
JOIN_COLUMNS = ("cluster", "sample_key")
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


def write_rows(
    folder: Path, infos: Mapping[str, ScoreInfo], tables: Sequence[Table], generations: Iterable[Generation]
) -> int:
    """`segments.csv`, `segments.parquet` and `statistics.parquet`, one row per completion, block by block.

    Statistics are the columns `NAME.0`, `NAME.1`, ...; the file is removed where no metric keeps any. Returns how many
    completions have no text: this is the one pass over them all.
    """
    names, widths = segment_names(infos), _widths(infos, tables)
    shown = csv_columns(infos)
    blank = 0
    with ExitStack() as files:
        text = files.enter_context(replacing(folder / SEGMENTS_CSV))
        text.write(csv_line(shown).encode())
        segments = files.enter_context(_parquet(folder / SEGMENTS_PARQUET, _segment_schema(names)))
        statistics = None
        if widths:
            statistics = files.enter_context(_parquet(folder / STATISTICS, _statistic_schema(infos, widths)))
        for table, start, block in _blocks(tables, generations):
            stop = start + len(block["task"])
            blank += sum(t is None for t in block["completion"])
            for name in names:
                block |= _columns(name, table.scores[name], start, stop)
            text.write("".join(map(csv_line, zip(*(block[c] for c in shown), strict=True))).encode())
            _write_block(segments, block)
            if statistics is not None:
                _write_block(statistics, block | _statistics(table, infos, widths, start, stop))
    if not widths:
        (folder / STATISTICS).unlink(missing_ok=True)
    return blank


def _blocks(
    tables: Sequence[Table], generations: Iterable[Generation]
) -> Iterator[tuple[Table, int, dict[str, Column]]]:
    """What names some thousand rows at a time, as columns, with their table and where in it they start."""
    completions = _completions(generations)
    for table in tables:
        for start in range(0, table.size, _ROWS):
            keys = list(islice(completions, min(_ROWS, table.size - start)))
            yield (
                table,
                start,
                dict(zip((*KEY_COLUMNS, *JOIN_COLUMNS), map(list, zip(*keys, strict=True)), strict=True)),
            )


def _completions(generations: Iterable[Generation]) -> Iterator[tuple[Any, ...]]:
    for g in generations:
        key = sample_key(g.sample)
        for index, c in enumerate(g.completions):
            yield g.sample.task, g.sample.id, g.model, index, c.text, c.status, g.sample.cluster, key


def _columns(name: str, scores: Scores, start: int, stop: int) -> dict[str, Column]:
    """Value, status and reason of one score."""
    codes = scores.status[start:stop].tolist()
    values = scores.values[start:stop].tolist()
    return {
        name: [None if code else value for value, code in zip(values, codes, strict=True)],
        f"{name}.status": [STATUSES[code] for code in codes],
        f"{name}.reason": [scores.reasons.get(index) for index in range(start, stop)],
    }


def _widths(infos: Mapping[str, ScoreInfo], tables: Sequence[Table]) -> dict[str, int]:
    """The number of statistics of each score that keeps any, or (0) would have."""
    widths = {n: 0 for n, i in infos.items() if i.scope == "corpus" and i.corpus == "statistics"}
    found = {n: s.statistics.shape[1] for t in tables for n, s in t.scores.items() if s.statistics is not None}
    return {n: (widths | found)[n] for n in infos if n in widths or n in found}


def _statistics(
    table: Table, infos: Mapping[str, ScoreInfo], widths: Mapping[str, int], start: int, stop: int
) -> dict[str, Any]:
    import pyarrow as pa

    found: dict[str, Any] = {}
    for name, width in widths.items():
        scores = table.scores[name]
        if infos[name].scope == "corpus":
            found |= _columns(name, scores, start, stop)
        for k in range(width):
            if scores.statistics is None:
                found[f"{name}.{k}"] = pa.nulls(stop - start, pa.float64())
            else:  # NaN, no statistics, becomes null
                found[f"{name}.{k}"] = pa.array(scores.statistics[start:stop, k], pa.float64(), from_pandas=True)
    return found


def _segment_schema(names: Sequence[str]) -> Any:
    return _schema("segments", (*KEY_COLUMNS, *JOIN_COLUMNS), [f for n in names for f in _score_fields(n)])


def _statistic_schema(infos: Mapping[str, ScoreInfo], widths: Mapping[str, int]) -> Any:
    import pyarrow as pa

    fields: list[tuple[str, Any]] = []
    for name, width in widths.items():
        if infos[name].scope == "corpus":  # which the segments do not hold
            fields += _score_fields(name)
        fields += [(f"{name}.{k}", pa.float64()) for k in range(width)]
    return _schema("statistics", (*ROW_COLUMNS, *JOIN_COLUMNS), fields)


def _score_fields(name: str) -> list[tuple[str, Any]]:
    import pyarrow as pa

    return [(name, pa.float64()), (f"{name}.status", pa.string()), (f"{name}.reason", pa.string())]


def _schema(kind: str, keys: Sequence[str], fields: Sequence[tuple[str, Any]]) -> Any:
    import pyarrow as pa

    named = [(c, pa.int32() if c == "completion_index" else pa.string()) for c in keys]
    return pa.schema([*named, *fields], metadata={"schema_version": str(SCHEMA_VERSION), "kind": kind})


@contextmanager
def _parquet(path: Path, schema: Any) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with replacing(path) as file, pq.ParquetWriter(file, schema) as writer:
        yield writer


def _write_block(writer: Any, block: Mapping[str, Any]) -> None:
    import pyarrow as pa

    arrays = [pa.array(block[f.name], f.type) for f in writer.schema]
    writer.write_table(pa.table(arrays, schema=writer.schema))


def write_corpus(folder: Path, rows: Iterable[CorpusRow]) -> None:
    """`corpus.csv`: one row per task, model and score."""
    lines = [csv_line([getattr(row, column) for column in CORPUS_COLUMNS]) for row in rows]
    write_atomically(folder / CORPUS, "".join([csv_line(CORPUS_COLUMNS), *lines]).encode())


def read_columns(folder: Path, infos: Mapping[str, ScoreInfo], task: str, model: str) -> dict[str, Scores]:
    """The columns of one task and one model as they were written, without signatures and corpus values.

    A score of corpus scope that no statistics carry has no rows.
    """
    segments = _table_of(folder / SEGMENTS_PARQUET, task, model)
    statistics = _table_of(folder / STATISTICS, task, model) if (folder / STATISTICS).exists() else None
    found: dict[str, Scores] = {}
    for name, info in infos.items():
        holder = segments if info.scope != "corpus" else statistics
        found[name] = _scores_of(holder, info, _matrix(statistics, name))
    return found


def _table_of(path: Path, task: str, model: str) -> Any:
    import pyarrow.parquet as pq

    columns = [c for c in pq.read_schema(path).names if c != "completion"]  # texts are what is large
    return pq.read_table(path, columns=columns, filters=[("task", "=", task), ("model", "=", model)])


def _scores_of(table: Any, info: ScoreInfo, statistics: Any) -> Scores:
    import numpy as np

    if table is None or info.name not in table.schema.names:
        return Scores(info, "", np.empty(0), np.empty(0, np.uint8))
    codes = {name: code for code, name in enumerate(STATUSES)}
    status = [codes[s] for s in table[f"{info.name}.status"].to_pylist()]
    reasons = {i: r for i, r in enumerate(table[f"{info.name}.reason"].to_pylist()) if r is not None}
    values = np.array(table[info.name].to_numpy(), np.float64)  # null becomes NaN
    return Scores(info, "", values, np.array(status, np.uint8), reasons, statistics)


def _matrix(table: Any, name: str) -> Any:
    """(rows, k), or None where there are no statistics: neither a column, nor a number in any."""
    import numpy as np

    names = set() if table is None else set(table.schema.names)
    columns = [table[c] for c in takewhile(names.__contains__, (f"{name}.{k}" for k in count()))]
    if all(c.null_count == len(c) for c in columns):
        return None
    return np.stack([np.array(c.to_numpy(), np.float64) for c in columns], axis=1)
