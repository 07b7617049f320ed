"""A loaded encoder: texts to token ids, token ids to the embeddings after any of its layers.

Imported at a model's first use, not with the plugins: this module needs torch and transformers.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, AutoTokenizer

from harness import HarnessError, UsageError, clean_text
from harness_plugins.encoders import Ids
from harness_plugins.hf_runtime import LoadOptions, device_of, quiet

_BATCH_TOKENS = {"cpu": 2048, "other": 32768}
_TEXTS = 64  # tokenised in one go: what is cut off stands in memory until they are done
_LENGTH = 512  # where neither the tokenizer nor the model has a maximum, as may be in T5 and XLNet
_NO_LENGTH = 1_000_000  # transformers writes 10**30 for "none"
_STRANGE = "𒀀 𓀀 𐘀 ᚠ ꙮ ⠿ 𝄞 🀄"  # of scripts that no vocabulary of words or pieces holds all of
_NONE = -1
_ENCODER_ALONE = ("t5", "mt5", "umt5", "longt5")  # AutoModel would read the decoder too, to throw it away
_SPACED_CLASSES = ("RobertaTokenizer", "GPT2Tokenizer")
_SPACED_TYPES = (
    "roberta", "roberta-prelayernorm", "data2vec-text", "ibert", "mega", "mra", "gpt2", "gpt_neo", "gptj", "opt",
)  # fmt: skip


class Encoder:
    """A model on its device with its tokenizer. Metrics in several threads may use it at once."""

    def __init__(self, key: tuple[str, str, str], model: Any, tokenizer: Any, *, spaced: bool) -> None:
        self.key, self.spaced = key, spaced
        self._model, self._tokenizer = model, tokenizer
        self._lock = threading.Lock()
        layers = _layers(model)
        self.depth = _counted(model) if layers is None else len(layers)
        self._views = {self.depth: model}
        self.limit = _limit(model, tokenizer)
        marks = (tokenizer.cls_token_id, tokenizer.sep_token_id)
        ends = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
        self.weightless = frozenset(i for i in marks if i is not None)
        self._marks = frozenset(i for i in (*marks, *ends) if i is not None)
        self._unknown = _unknown(tokenizer, self._marks)

    @property
    def device(self) -> torch.device:
        return torch.device(self._model.device)

    def blank(self, ids: Ids) -> bool:
        """Whether the text has no token of its own: it was empty, or nothing that the tokenizer can see."""
        return self._marks.issuperset(ids)

    def unknown(self, ids: Ids) -> float:
        """The share of the unknown token among a text's own; 0 of a blank text, and where bytes leave nothing unknown."""
        own = [token for token in ids if token not in self._marks]
        return own.count(self._unknown) / len(own) if own else 0.0

    def encode(self, texts: Sequence[str], *, spaced: bool, limit: int | None = None) -> list[Ids]:
        """Token ids of stripped texts, special tokens included, cut at the model's length or `limit` if that is less.

        `spaced`: a text begins with a space where the tokenizer is RoBERTa's or GPT-2's, so that its first word is
        the token it is in the middle of a sentence. bert-score does so, sentence-transformers does not.
        """
        length = min(self.limit, limit or self.limit)
        space = " " if spaced and self.spaced else ""
        bare = [clean_text(text).strip() for text in texts]
        found: list[Ids] = []
        with self._lock:  # truncation is a setting of the tokenizer, which another thread would change meanwhile
            for start in range(0, len(bare), _TEXTS):
                some = [space + text if text else "" for text in bare[start : start + _TEXTS]]
                rows = self._tokenizer(some, truncation=True, max_length=length)["input_ids"]
                found.extend(map(tuple, rows))
        return found

    def embed(self, rows: Sequence[Ids], layer: int, batch_tokens: int = 0) -> list[torch.Tensor]:
        """Of each row the embeddings after `layer` layers, (tokens, width), float32, on the encoder's device.

        Rows of like length go together, at most `batch_tokens` tokens with padding (or one row) at a time.
        """
        most = batch_tokens or _BATCH_TOKENS["cpu" if self.device.type == "cpu" else "other"]
        view = self._view(layer)
        found: dict[int, torch.Tensor] = {}
        with torch.inference_mode():
            for places in _batches([len(row) for row in rows], most):
                output = self._forward(view, [rows[place] for place in places])
                for place, embedding in zip(places, output, strict=True):
                    # A copy, because a view of a few rows would keep all of the batch in memory.
                    found[place] = embedding[: len(rows[place])].to(torch.float32, copy=True)
        return [found[place] for place in range(len(rows))]

    def _forward(self, view: Any, rows: Sequence[Ids]) -> torch.Tensor:
        width = max(map(len, rows))
        pad = self._tokenizer.pad_token_id or 0
        ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        output = view(input_ids=ids.to(self.device), attention_mask=mask.to(self.device))
        return cast("torch.Tensor", output[0])

    def _view(self, layer: int) -> Any:
        """The model as if it ended after `layer` layers; it shares all weights with the whole one."""
        if not 0 <= layer <= self.depth:
            raise HarnessError(f"the encoder {self.key[0]!r} has layers 0 to {self.depth}: there is no layer {layer}")
        with self._lock:
            if layer not in self._views:
                self._views[layer] = _cut(self._views[self.depth], layer)
            return self._views[layer]


def _batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Places of rows, longest first, so that what does not fit into memory shows at once."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > most:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


_STACKS = (("layer",), ("encoder", "block"), ("block",), ("encoder", "layer"), ("encoder", "layers"),
           ("transformer", "layer"), ("layers",), ("h",))  # fmt: skip


def _path(model: Any) -> tuple[str, ...] | None:
    """The names that lead to the list of layers, `None` where the layers are no list."""
    for path in _STACKS:
        found = model
        for name in path:
            found = getattr(found, name, None)
        if isinstance(found, torch.nn.ModuleList):
            return path
    return None


def _layers(model: Any) -> torch.nn.ModuleList | None:
    path = None if hasattr(model, "n_layers") else _path(model)
    if path is None:
        return None
    for name in path:
        model = getattr(model, name)
    return cast("torch.nn.ModuleList", model)


def _counted(model: Any) -> int:
    """The layers of a model that only counts them: XLM's loop, ALBERT's one layer used over and over."""
    if hasattr(model, "n_layers"):
        return int(model.n_layers)
    if hasattr(getattr(model, "encoder", None), "albert_layer_groups"):
        return int(model.encoder.config.num_hidden_layers)
    raise HarnessError(
        f"the layers of a {type(model).__name__} cannot be told apart: it cannot serve as an encoder here"
    )


def _cut(model: Any, layer: int) -> Any:
    view = _twin(model)
    if hasattr(model, "n_layers"):
        view.n_layers = layer
    elif (path := _path(model)) is not None:
        owner = view
        for name in path[:-1]:
            setattr(owner, name, _twin(getattr(owner, name)))
            owner = getattr(owner, name)
        setattr(owner, path[-1], torch.nn.ModuleList(list(getattr(owner, path[-1]))[:layer]))
    else:
        view.encoder = _twin(model.encoder)
        view.encoder.config = copy.copy(model.encoder.config)
        view.encoder.config.num_hidden_layers = layer
    return view


def _twin(module: Any) -> Any:
    """A module of the same parts, of which one may be exchanged without the other module noticing."""
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin


def _unknown(tokenizer: Any, marks: frozenset[int]) -> int:
    """The token for what the vocabulary lacks, `_NONE` where nothing becomes one.

    Tokenizers of bytes name one too (RoBERTa `<unk>`, GPT-2 its end mark) and never write it, so this one is tried out.
    """
    token = tokenizer.unk_token_id
    if token is None or token in marks:
        return _NONE
    return int(token) if token in tokenizer(_STRANGE)["input_ids"] else _NONE


def _limit(model: Any, tokenizer: Any) -> int:
    """The most tokens that the model takes, special ones included: the tokenizer's maximum, or the model's positions."""
    limits = [limit for limit in (tokenizer.model_max_length, _positions(model)) if limit and 0 < limit < _NO_LENGTH]
    return int(min(limits, default=_LENGTH))


def _positions(model: Any) -> int | None:
    """How many positions there are vectors for. RoBERTa's family counts from behind the padding's number."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    names = ("max_position_embeddings", "max_encoder_position_embeddings", "n_positions")
    return next((found for name in names if isinstance(found := getattr(model.config, name, None), int)), None)


def load(folder: Path, device: str, dtype: str) -> Encoder:
    """Loads tokenizer and weights onto the device. Raises `HarnessError` with the reason where that fails."""
    try:
        place = device_of(LoadOptions(device=device))
    except UsageError as error:
        raise UsageError(str(error).removeprefix("hf: ")) from None
    with quiet(), _explained(folder):
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        model = _model(folder, config, getattr(torch, dtype))
        model.to(place).eval()
        key = (str(folder), str(place), dtype)
        return Encoder(key, model, tokenizer, spaced=_spaced(folder, config.model_type))


def _model(folder: Path, config: Any, dtype: torch.dtype) -> Any:
    """The encoder, of a model with a decoder too. Its kind is what the configuration says, never what a name looks like."""
    family: Any = AutoModelForTextEncoding if config.model_type in _ENCODER_ALONE else AutoModel
    model, info = family.from_pretrained(
        str(folder),
        config=config,
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    missing = sorted(name for name in info.get("missing_keys") or () if "pooler" not in name)
    if missing:
        raise HarnessError(
            f"the encoder {str(folder)!r} lacks {len(missing)} of the weights of {type(model).__name__} (such as"
            f" {missing[0]}), which would stay random"
        )
    return model.encoder if hasattr(model, "encoder") and hasattr(model, "decoder") else model


def _spaced(folder: Path, model_type: str) -> bool:
    """Whether bert-score puts a space before a text: by the tokenizer's class where its folder names one.

    Transformers 5 gives RoBERTa's class to relatives too (BART, Longformer), so the loaded tokenizer cannot be asked.
    """
    try:
        named = json.loads((folder / "tokenizer_config.json").read_bytes()).get("tokenizer_class")
    except FileNotFoundError:
        named = None
    if named is None or named in ("PreTrainedTokenizerFast", "TokenizersBackend"):
        return model_type in _SPACED_TYPES
    return str(named).removesuffix("Fast") in _SPACED_CLASSES


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:  # what a damaged folder makes the libraries raise is nowhere listed
        reason = " ".join(str(error).split())[:400] or type(error).__name__
        raise HarnessError(
            f"cannot load the encoder {str(folder)!r}: {reason} (it needs config.json, a tokenizer and *.safetensors;"
            " other weights and remote code are not loaded)"
        ) from error
