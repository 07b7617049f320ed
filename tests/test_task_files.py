"""Bundled sources of rows: files, the hub, the tasks that come with the harness."""

from __future__ import annotations

import csv
import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import DataError, PluginError, Task
from harness_tasks import bundled, files, hub


def rows_of(path: Path, content: str | bytes, **options: bool) -> list[Mapping[str, object]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(files.file_task(str(path), **options)())


def refusal(path: Path, content: str | bytes) -> str:
    with pytest.raises(DataError) as error:
        rows_of(path, content)
    assert str(error.value).startswith(str(path))
    return str(error.value)[len(str(path)) :]


def registered(plugin: object) -> dict[str, Callable[..., Task]]:
    found: dict[str, Callable[..., Task]] = {}
    plugin.register_tasks(register=lambda name, factory, **_: found.__setitem__(name, factory))  # type: ignore[attr-defined]
    return found


# JSONL


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".JSONL"])
def test_jsonl(tmp_path: Path, suffix: str) -> None:
    found = rows_of(tmp_path / f"a{suffix}", '\ufeff{"a": "NA", "b": [1, {"c": null}]}\r\n\n{"a": 1.5}')
    assert found == [{"a": "NA", "b": [1, {"c": None}]}, {"a": 1.5}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n[1]', ", line 2: expected an object of columns, not a list"),
        ('{"a": 1}\n{"a": 1, "a": 2}', ", line 2: the key 'a' stands twice"),
        ('{"a": NaN}', ", line 1: NaN is no JSON number"),
        ('{"a": "\\ud800"}', ", line 1.a: character 1 is a lone surrogate"),
        (b'{"a": "\xff"}', ", line 1: byte 8 (0xff) is not UTF-8; save the file as UTF-8"),
        ('{"a": ' + "9" * 5000 + "}", "has 5,000 digits"),
        ('{"a": ' + "[" * 70 + "]" * 70 + "}", "nested deeper than 64 levels"),
    ],
    ids=range(7),
)
def test_jsonl_that_cannot_be_read(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert message in refusal(tmp_path / "a.jsonl", content)


# CSV and TSV


def test_cells_of_a_table_are_text_and_stay_text(tmp_path: Path) -> None:
    content = '\ufeffa,b c,d\r\nNA,,012\r\n"x, ""y""","line\r\nbreak\n\nend",nan\r\n\r\n ä , 🙂 ,"" \n'.replace(
        '"" \n', '""\n'
    )
    assert rows_of(tmp_path / "a.csv", content) == [
        {"a": "NA", "b c": "", "d": "012"},
        {"a": 'x, "y"', "b c": "line\r\nbreak\n\nend", "d": "nan"},
        {"a": " ä ", "b c": " 🙂 ", "d": ""},
    ]


def test_tsv(tmp_path: Path) -> None:
    content = 'a\tb\n"x\ty"\t1,5\n'
    assert rows_of(tmp_path / "a.tsv", content) == [{"a": "x\ty", "b": "1,5"}]
    content = 'a\tb\n"x\tdon"t\n'
    assert rows_of(tmp_path / "a.tsv", content, quotes=False) == [{"a": '"x', "b": 'don"t'}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ": empty; the first line must name the columns"),
        ("\ufeff\n\n", ": empty; the first line must name the columns"),
        ("a,b,a\n", ", line 1: two columns are called 'a'; rename one"),
        ("a, ,b\n", ", line 1: column 2 has no name"),
        ("a,b\n1,2\n3\n", ", line 3: 1 cells, but the header names 2 columns"),
        ('a,b\n"1\n\n",2\n3,4,5\n', ", line 5: 3 cells, but the header names 2 columns"),
        ('a,b\n1,2\n"3,4\n5,6\n', ", line 3: a quote opened here is never closed"),
        ('a,b\n"1"x,2\n', ", line 2: this is not CSV"),
        (b"a,b\n1,2\n1,\xe9\n", ", line 3: byte 3 (0xe9) is not UTF-8; save the file as UTF-8"),
        ("a,b\n1,2".encode("utf-16"), ", line 1: byte 1 (0xff) is not UTF-8"),
        ("a,b\r1,2\r", ", line 1: this is not CSV"),
        ("a\n" + "x" * 200_000 + "\n", ", line 2: a cell is longer than 131,072 characters"),
    ],
    ids=range(12),
)
def test_tables_that_cannot_be_read(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert message in refusal(tmp_path / "a.csv", content)


def test_a_50_mb_line_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("wb") as file:
        file.write(b"a,b\n")
        file.truncate(50 * 2**20)
    with pytest.raises(DataError, match=r"a\.csv, line 2: longer than 8,388,608 bytes"):
        list(files.file_task(str(path))())


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=4), st.sampled_from([".csv", ".tsv"]))
@settings(max_examples=60, deadline=None)
def test_a_written_table_reads_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], suffix: str
) -> None:
    path = tmp_path_factory.mktemp("table") / f"a{suffix}"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="," if suffix == ".csv" else "\t").writerows([("a", "b"), *rows])
    assert [tuple(row.values()) for row in files.file_task(str(path))()] == rows


# Parquet


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"prompt": ["NA", None] * 1500, "refs": [["a", "b"], []] * 1500, "n": [1, 2] * 1500})
    pyarrow.parquet.write_table(table, path)
    found = list(files.file_task(str(path))())
    assert len(found) == 3000
    assert found[2998:] == [
        {"prompt": "NA", "refs": ["a", "b"], "n": 1},
        {"prompt": None, "refs": [], "n": 2},
    ]


def test_parquet_that_cannot_be_read(tmp_path: Path) -> None:
    assert ": this Parquet file cannot be read" in refusal(tmp_path / "a.parquet", b"PAR1 and no more")
    assert ": this Parquet file cannot be read" in refusal(tmp_path / "b.parquet", b"")
    path = tmp_path / "c.parquet"
    pyarrow.parquet.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    assert ": two columns are called 'a'; rename one" in refusal(path, path.read_bytes())
    damaged = tmp_path / "d.parquet"
    pyarrow.parquet.write_table(pa.table({"a": [f"{n}" for n in range(5000)]}), damaged)
    content = bytearray(damaged.read_bytes())
    content[4:2000] = b"\xff" * 1996
    assert ": this Parquet file cannot be read" in refusal(damaged, bytes(content))


# all files


@pytest.mark.parametrize("name", ["none.jsonl", "none.csv", "none.tsv", "none.parquet"])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name}: there is no such file"):
        list(files.file_task(str(tmp_path / name))())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.json", r"no reader for '\.json'; there is .*\(one JSON object per line, called \.jsonl\)"),
        ("a.jsonl.gz", r"no reader for '\.gz'; there is \.jsonl, \.ndjson, \.csv, \.tsv, \.parquet$"),
        ("a", "no reader for 'a file without suffix'"),
        ("", "no reader"),
    ],
)
def test_a_suffix_without_a_reader_is_refused_at_once(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        files.file_task(name)


def test_an_option_that_makes_no_sense_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"quotes: is for \.csv and \.tsv"):
        files.file_task("a.jsonl", quotes=False)


def test_a_source_may_be_read_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    task = files.file_task(str(path))
    assert list(task()) == list(task()) == [{"a": "1"}]


@pytest.mark.data
def test_real_files(shared_data: Path) -> None:
    e2e = list(files.file_task(str(shared_data / "tasks" / "e2e_devset.csv"))())
    assert len(e2e) == 4672
    assert set(e2e[0]) == {"mr", "ref"}
    gsm8k = list(files.file_task(str(shared_data / "tasks" / "gsm8k_test.jsonl"))())
    assert len(gsm8k) == 1319
    assert set(gsm8k[0]) == {"question", "answer"}


# the hub


def test_a_dataset_of_a_local_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "test.jsonl").write_text('{"q": "NA", "n": 1}\n{"q": "b", "n": 2}\n')
    assert list(hub.hub_task(str(tmp_path / "set"))()) == [{"q": "NA", "n": 1}, {"q": "b", "n": 2}]
    with pytest.raises(DataError, match=r"hub:.*set: cannot be loaded \(split 'dev'\)"):
        list(hub.hub_task(str(tmp_path / "set"), split="dev")())
    with pytest.raises(DataError, match=r"hub:.*none: cannot be loaded"):
        list(hub.hub_task(str(tmp_path / "none"))())


def test_what_the_hub_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stub:
        def load_dataset(self, *args: object, **options: object) -> list[dict[str, object]]:
            return [{"args": args, "options": options}]

    monkeypatch.setitem(sys.modules, "datasets", Stub())
    (row,) = hub.hub_task("org/name", split="validation", config="en", revision="abc")()
    assert row == {"args": ("org/name", "en"), "options": {"split": "validation", "revision": "abc"}}


def test_a_missing_library_comes_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(PluginError, match=r"pip install 'reward-harness\[hub\]'"):
        hub.hub_task("org/name")


def test_code_of_a_dataset_cannot_be_switched_on() -> None:
    assert set(inspect.signature(hub.hub_task).parameters) == {"rest", "split", "config", "revision"}
    with pytest.raises(ValueError, match="write hub:NAME"):
        hub.hub_task("")
    with pytest.raises(ValueError, match="split: must not be empty"):
        hub.hub_task("x", split="")


# registration


def test_what_is_registered() -> None:
    assert set(registered(files)) == {"file"}
    assert set(registered(hub)) == {"hub"}
    tasks = registered(bundled)
    assert "quickstart" in tasks
    assert len(list(tasks["quickstart"]("")())) == 12
    with pytest.raises(ValueError, match="takes nothing after its name, but got 'x'"):
        tasks["quickstart"]("x")


def test_importing_the_plugins_is_cheap() -> None:
    code = (
        "import sys, harness_tasks.files, harness_tasks.hub, harness_tasks.bundled as b;"
        "b.register_tasks(register=lambda *a: None);"
        "import json; print(json.dumps(sorted({'numpy', 'pyarrow', 'pandas', 'datasets', 'torch'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
