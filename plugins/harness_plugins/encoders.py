"""Encoders shared by the metrics that compare embeddings: which model, where it lies, what it is; loaded once.

A model is `minilm` (packaged), a folder, or a name on the Hugging Face hub, whose files are fetched as one snapshot.
Only safetensors are loaded and no code of the model's. Loaded encoders live in `Batch.shared`, token ids and embeddings
in `Batch.memo`, under keys that hold all that they depend on, so that metrics of one encoder share them.

This module needs no torch; `encoder_runtime` does and is imported when a model is first used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness import Batch, HarnessError, Memo, NoValue, PluginError
from harness_plugins import minilm
from harness_plugins.hf import folder_identity

if TYPE_CHECKING:
    import torch

    from harness_plugins.encoder_runtime import Encoder

T = TypeVar("T")

PACKAGED: Mapping[str, Callable[[], Path]] = {"minilm": minilm.folder}
DTYPES = ("float32", "bfloat16", "float16")
MAX_UNKNOWN = 0.5
BLOCK = 1 << 16
"""Tokens whose embeddings stand in memory at once: 100 MB at MiniLM's width of 384, 270 MB at 1024."""

Ids = tuple[int, ...]
"""A text's token ids, special tokens included. Equal ids have equal embeddings, so they are what is shared."""

_LAYERS = ("num_hidden_layers", "n_layers", "num_layers", "encoder_layers", "n_layer", "num_encoder_layers")
_DEVICE = re.compile(r"auto|cpu|[a-z]+(:\d+)?")
_PATH = re.compile(r"[/.~\\]|[A-Za-z]:[\\/]|.*/.*/")
_HUB_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.spm", "*_Pooling/*.json")


@dataclass(frozen=True, slots=True)
class Source:
    """Which encoder and how it is run. `batch_tokens` 0 is a number that suits the device."""

    model: str
    revision: str | None = None
    device: str = "auto"
    dtype: str = "float32"
    batch_tokens: int = 0

    @property
    def local(self) -> Path | None:
        """The folder that the user named, if it is one."""
        if self.model in PACKAGED:
            return None
        folder = Path(self.model).expanduser()
        return folder.resolve() if folder.is_dir() else None

    @property
    def layers(self) -> int | None:
        """How many a folder's configuration names, `None` where that is not known before the model is loaded."""
        if self.local is None:
            return None
        try:
            config = json.loads((self.local / "config.json").read_bytes())
            return next((int(config[key]) for key in _LAYERS if isinstance(config.get(key), int)), None)
        except (ValueError, AttributeError):
            return None  # loading it will say what is wrong


def check_source(source: Source) -> Source:
    """`source` itself. Raises `ValueError` for an option, `PluginError` where the packaged model is not installed."""
    if not _DEVICE.fullmatch(source.device):
        raise ValueError(f"device: {source.device!r} is none; give auto, cpu, cuda or cuda:N")
    if source.dtype not in DTYPES:
        raise ValueError(f"dtype: {source.dtype!r} is unknown; there is {', '.join(DTYPES)}")
    if source.batch_tokens < 0:
        raise ValueError(f"batch_tokens: {source.batch_tokens!r} is below 0 (0: what suits the device)")
    _check_model(source)
    return source


def _check_model(source: Source) -> None:
    if not source.model:
        raise ValueError("model: an empty name; give minilm, a folder, or a name on the hub")
    folder = source.local
    if source.revision is not None and (source.model in PACKAGED or folder is not None):
        raise ValueError("revision: it belongs to models from the hub")
    if source.model in PACKAGED:
        PACKAGED[source.model]()
    elif folder is not None:
        if not (folder / "config.json").is_file():
            raise ValueError(f"model: the folder {source.model!r} holds no model: it has no config.json")
    elif Path(source.model).expanduser().exists() or _PATH.match(source.model):
        raise ValueError(f"model: there is no folder {source.model!r}; give one with config.json and *.safetensors")


class EncoderHandle:
    """An encoder by its source: its folder, its identity and its weights, each made once for all metrics of a run.

    Each raises `HarnessError` where the model cannot be had; that too is found out once, not for every batch.

    A text of whose tokens more than the share `max_unknown` are the tokenizer's unknown one is no text to this encoder:
    all such texts look alike to it. Special tokens, and what the encoder does not see of a long text, are not counted.
    """

    def __init__(self, what: str, source: Source, max_unknown: float = MAX_UNKNOWN) -> None:
        self.what, self.source = what, check_source(source)
        if not 0 <= max_unknown <= 1:
            raise ValueError(f"max_unknown: {max_unknown!r} is not a share of the tokens, 0 to 1")
        self._max_unknown = float(max_unknown)

    def knows(self, encoder: Encoder, ids: Ids) -> bool:
        return encoder.unknown(ids) <= self._max_unknown

    def stranger(self, of: str, language: str | None) -> NoValue:
        """Why there is no value. One sentence for all texts of a kind, not each with its share, so that it can be counted."""
        name = "the encoder" if self.source.local else f"the encoder {self.source.model}"
        share = f"{100 * self._max_unknown:g} %"
        said = f" (the sample's: {language})" if language else ""
        return NoValue(
            "abstain",
            f"more than {share} of the tokens of {of} are unknown to {name}: give `model` an encoder for its"
            f" language{said}",
        )

    @property
    def marks(self) -> list[str]:
        """What a signature says at its end of the options that are not as they are by default."""
        most, dtype = self._max_unknown, self.source.dtype
        unknown = [] if most == MAX_UNKNOWN else [f"unknown:{most!r}"]
        return unknown if dtype == "float32" else [*unknown, f"dtype:{dtype}"]

    def folder(self, shared: Memo) -> Path:
        source = self.source
        if source.model in PACKAGED:
            return PACKAGED[source.model]()
        return source.local or _once(
            shared, ("encoder snapshot", source.model, source.revision), lambda: self._fetched()
        )

    def label(self, shared: Memo) -> str:
        """For signatures: the name (a folder's is no part of what a number means) and a hash of all the files."""
        folder = self.folder(shared)
        identity = _once(shared, ("encoder identity", str(folder)), lambda: folder_identity(folder))
        name = "folder" if self.source.local else self.source.model
        return f"{name}@{identity.removeprefix('sha256:')[:12]}"

    def load(self, shared: Memo) -> Encoder:
        folder, source = self.folder(shared), self.source

        def make() -> Encoder:
            return self._runtime()(folder, source.device, source.dtype)

        return _once(shared, ("encoder", str(folder), source.device, source.dtype), make)

    def _runtime(self) -> Callable[[Path, str, str], Encoder]:
        try:
            from harness_plugins import encoder_runtime
        except ImportError as error:  # installed, or the factory would have said so, but broken
            raise PluginError(
                f"{self.what}: torch or transformers cannot be imported: {error}: pip install 'reward-harness[hf]'"
            ) from error
        return encoder_runtime.load

    def _fetched(self) -> Path:
        from huggingface_hub import snapshot_download

        source = self.source
        try:
            return Path(snapshot_download(source.model, revision=source.revision, allow_patterns=list(_HUB_FILES)))
        except Exception as error:  # no network, no such model, no room: the hub's client has an exception for each
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise HarnessError(
                f"{self.what}: cannot fetch the model {source.model!r}: {reason} (give a name on a hub that can be"
                " reached, a folder with config.json and *.safetensors, or minilm)"
            ) from error


def _once(shared: Memo, key: object, make: Callable[[], T]) -> T:
    """The value under `key`, or the error that making it ended with, which is kept as well."""

    def attempt() -> T | HarnessError:
        try:
            return make()
        except HarnessError as error:
            return error

    found = shared.get(key, attempt)
    if isinstance(found, HarnessError):
        raise type(found)(str(found)) from found
    return found


def encoded(
    batch: Batch, encoder: Encoder, texts: Iterable[str], *, spaced: bool, limit: int | None = None
) -> Mapping[str, Ids]:
    """Token ids of the texts, cut at the model's length or `limit`. `spaced`: as `Encoder.encode`."""
    known: dict[str, Ids] = batch.memo.get(("token ids", encoder.key, spaced and encoder.spaced, limit), dict)
    new = [text for text in dict.fromkeys(texts) if text not in known]
    known.update(zip(new, encoder.encode(new, spaced=spaced, limit=limit), strict=True))
    return known


class _Kept:
    """Embeddings that other metrics of the batch may want: the first that fit."""

    def __init__(self) -> None:
        self.rows: dict[Ids, torch.Tensor] = {}
        self._room = BLOCK

    def add(self, ids: Ids, embedding: torch.Tensor) -> None:
        if len(ids) <= self._room:
            self._room -= len(ids)
            self.rows[ids] = embedding


def embedded(
    batch: Batch, encoder: Encoder, rows: Iterable[Ids], layer: int, batch_tokens: int
) -> Mapping[Ids, torch.Tensor]:
    """Each row's embeddings after `layer`, one vector per token, on the encoder's device, in float32."""
    kept: _Kept = batch.memo.get(("token embeddings", encoder.key, layer), _Kept)
    found = {ids: kept.rows.get(ids) for ids in rows}
    new = [ids for ids, embedding in found.items() if embedding is None]
    made = dict(zip(new, encoder.embed(new, layer, batch_tokens), strict=True))
    for ids, embedding in made.items():
        kept.add(ids, embedding)
    return {ids: made[ids] if embedding is None else embedding for ids, embedding in found.items()}


def blocks(items: Sequence[T], rows_of: Callable[[T], Iterable[Ids]], budget: int = BLOCK) -> Iterator[list[T]]:
    """Consecutive items whose distinct rows hold at most `budget` tokens together, or one item that holds more."""
    block: list[T] = []
    seen: set[Ids] = set()
    tokens = 0
    for item in items:
        new = {ids for ids in rows_of(item) if ids not in seen}
        size = sum(map(len, new))
        if block and tokens + size > budget:
            yield block
            block, seen, tokens = [], set(), 0
            new = set(rows_of(item))
            size = sum(map(len, new))
        block.append(item)
        seen |= new
        tokens += size
    if block:
        yield block
