"""Where data lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import DataError
from harness.datafiles import data_folder, resolve_path


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("data/tasks", "data/other", "suite/sub", "cwd"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path


def put(*paths: Path) -> None:
    for path in paths:
        path.write_text("x")


def test_the_order_of_places(places: Path) -> None:
    wanted = [places / "data/a.csv", places / "data/tasks/a.csv", places / "suite/a.csv", places / "cwd/a.csv"]
    put(*wanted)
    for path in wanted:
        assert resolve_path("a.csv", suite_folder=places / "suite", data_dir=places / "data") == path
        path.unlink()


def test_places_that_are_not_given_are_not_looked_at(places: Path) -> None:
    put(places / "cwd/a.csv")
    assert resolve_path("a.csv", suite_folder=None, data_dir=None) == places / "cwd/a.csv"


def test_absolute_home_and_nested_paths(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(places / "data/tasks/a.csv", places / "suite/sub/b.csv")
    monkeypatch.setenv("HOME", str(places))
    assert resolve_path(str(places / "data/tasks/a.csv"), suite_folder=None, data_dir=None).is_file()
    assert resolve_path("~/data/tasks/a.csv", suite_folder=None, data_dir=None) == places / "data/tasks/a.csv"
    assert resolve_path("sub/b.csv", suite_folder=places / "suite", data_dir=None) == places / "suite/sub/b.csv"
    assert resolve_path("tasks/a.csv", suite_folder=None, data_dir=places / "data") == places / "data/tasks/a.csv"


def test_a_relative_data_folder_gives_an_absolute_path(places: Path) -> None:
    put(places / "data/tasks/a.csv")
    found = resolve_path("a.csv", suite_folder=None, data_dir=Path("../data"))
    assert found.is_absolute()
    assert found.samefile(places / "data/tasks/a.csv")


def test_a_folder_in_the_way_is_passed_over(places: Path) -> None:
    (places / "data/a.csv").mkdir()
    put(places / "suite/a.csv")
    assert resolve_path("a.csv", suite_folder=places / "suite", data_dir=places / "data") == places / "suite/a.csv"


def test_a_missing_file_says_where_it_was_looked_for(places: Path) -> None:
    with pytest.raises(DataError) as error:
        resolve_path("a.csv", suite_folder=places / "suite", data_dir=places / "data")
    assert str(error.value) == (
        f"'a.csv': there is no such file in {places}/data, {places}/data/*, {places}/suite, {places}/cwd;"
        " say where data lies with --data DIR or the variable HARNESS_DATA"
    )


def test_two_files_in_the_data_folder_are_not_chosen_from(places: Path) -> None:
    put(places / "data/tasks/a.csv", places / "data/other/a.csv")
    with pytest.raises(DataError, match=r"lies in both .*data/other and .*data/tasks; name one"):
        resolve_path("a.csv", suite_folder=None, data_dir=places / "data")


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("", "needs a path: write file:PATH"),
        ("/nowhere/a.csv", "/nowhere/a.csv: there is no such file"),
        ("/", "this is a folder; name a file in it"),
        ("a\0b", "there is no such file"),
        ("n" * 300, "there is no such file"),
        ("~nobody-of-this-name/a.csv", "there is no such file in"),
    ],
)
def test_paths_that_lead_nowhere(places: Path, rest: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        resolve_path(rest, suite_folder=places / "suite", data_dir=places / "data")


def test_the_data_folder(places: Path) -> None:
    data, other = places / "data", places / "suite"
    assert data_folder(None, {}) is None
    assert data_folder(None, {"HARNESS_DATA": ""}) is None
    assert data_folder(None, {"HARNESS_DATA": str(data)}) == data
    assert data_folder(other, {"HARNESS_DATA": str(data)}) == other
    with pytest.raises(DataError, match="--data names no folder"):
        data_folder(places / "none", {})
    with pytest.raises(DataError, match="HARNESS_DATA names no folder"):
        data_folder(None, {"HARNESS_DATA": "/nowhere"})


def test_the_data_folder_is_read_from_the_environment(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(places / "data"))
    assert data_folder(None) == places / "data"
