"""Relevance: how near a completion lies to its prompt, or to the references, in the space of a sentence encoder.

Reimers & Gurevych 2019, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", EMNLP
(https://aclanthology.org/D19-1410). A text's embedding is the mean of its tokens' vectors after the encoder's last layer,
padding left out and special tokens counted, as the library sentence-transformers has it
(https://github.com/huggingface/sentence-transformers).

Score `relevance`: the cosine of the two embeddings; -1 to 1, higher is better. `against: prompt` (default; of a chat
the last user turn alone) needs the prompt; `against: references` needs references, and takes the highest over them
(`multi: best`) or the mean.
Corpus: mean of the segments.
Signature: `relevance|model:minilm@80ce967f8ae0|against:prompt|pooling:mean|max:256`; the twelve digits are a hash of the
model's files, `|multi:best` follows for references, `|unknown:0.9` where `max_unknown` is not 0.5, and `|dtype:NAME` where
it is not float32.
Tolerance: 1e-5 over batches in float32, 2e-2 in a half type: padding and the number of rows change the order in
which an encoder adds up.

`pooling: auto` is what the model's own folder says (`1_Pooling/config.json`: mean or cls), else the mean. Texts are
stripped and cut at the model's own `max_seq_length` (minilm: 256 tokens), else at its number of positions: what follows is
not seen. A model of sentence-transformers with other parts (a dense layer, a prompt of its own) is refused.

A completion without any token says nothing about anything: 0, the cosine of unrelated texts. Where the prompt or all
references are blank, the score abstains; some blank references are left out.

Where more than `max_unknown` (0.5) of the tokens of the completion or of the prompt are the tokenizer's unknown one, the
score abstains: such texts look alike to the encoder, and so minilm, which knows a quarter of the Chinese characters, finds
Chinese nonsense relevant. Such a reference is left out, and where no other is there the score abstains. Counted are a
text's own tokens within the maximum length. `max_unknown: 1` never abstains, nor does an encoder that reads bytes.

It measures what a text is about, not whether it is right: a copy of the prompt gets 1, and a negation almost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness import HarnessError, NoValue, ScoreInfo, hookimpl, prompt_text, require, scores_from
from harness_plugins.encoders import MAX_UNKNOWN, EncoderHandle, Ids, Source, blocks, embedded, encoded

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from harness import Batch, Json, Sample, Scores
    from harness_plugins.encoder_runtime import Encoder

    F64 = NDArray[np.float64]

T = TypeVar("T", list[Any], dict[str, Any])
Value = float | NoValue

_NAME = "relevance"
_AGAINST = ("prompt", "references")
_MULTI = ("best", "mean")
_POOLING = ("auto", "mean", "cls")
_TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2, "float16": 2e-2}
_MODULES = ("Transformer", "Pooling", "Normalize")
_MODES = {"cls_token": "cls", "mean_tokens": "mean", "mean_sqrt_len": "mean", "mean_sqrt_len_tokens": "mean"}
"""sentence-transformers' names. A mean divided by the root of the length has the mean's direction, so its cosine."""

_NO_PROMPT = NoValue("abstain", "the prompt is blank: there is nothing to be relevant to")
_ALL_BLANK = NoValue("abstain", "every reference is blank: there is nothing to compare with")
_NOT_FINITE = NoValue("invalid", "the encoder gave a vector that is zero or not finite")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model makes one vector of a text. `limit` is the most tokens, `None` for what the model can take."""

    pooling: str
    limit: int | None
    lower: bool = False


def recipe_of(folder: Path, pooling: str = "auto") -> Recipe:
    """What the folder of a model says. Raises `HarnessError` where it asks for what is not done here."""
    modules = [m for m in _read(folder / "modules.json", list) if isinstance(m, dict)]
    kinds = [str(m.get("type", "")).rsplit(".", 1)[-1] for m in modules]
    if strange := [kind for kind in kinds if kind not in _MODULES]:
        raise _refused(folder, f"it has the module {strange[0]}, and only {', '.join(_MODULES)} are known")
    prompt = _read(folder / "config_sentence_transformers.json", dict).get("default_prompt_name")
    if prompt:
        raise _refused(folder, f"it puts a prompt ({prompt}) before every text")
    settings = _read(folder / "sentence_bert_config.json", dict)
    limit = settings.get("max_seq_length")
    return Recipe(
        _pooling_of(folder, modules) if pooling == "auto" else pooling,
        limit if isinstance(limit, int) and limit > 0 else None,
        settings.get("do_lower_case") is True,
    )


def _pooling_of(folder: Path, modules: Sequence[Mapping[str, Json]]) -> str:
    places = [str(m.get("path")) for m in modules if str(m.get("type", "")).endswith(".Pooling")]
    config = _read(folder / (places[0] if places else "1_Pooling") / "config.json", dict)
    named = config.get("pooling_mode")
    modes = [named] if named else [k.removeprefix("pooling_mode_") for k, on in config.items() if on is True]
    found = sorted({_MODES.get(str(mode), str(mode)) for mode in modes if mode != "include_prompt"}) or ["mean"]
    if len(found) > 1 or found[0] not in _POOLING:
        raise _refused(folder, f"its pooling is {' and '.join(found)} (option `pooling`: mean or cls)")
    return found[0]


def _read(path: Path, kind: type[T]) -> T:
    """The JSON of a file, or what is empty of that kind where there is no file."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return kind()
    except (OSError, ValueError) as error:
        raise HarnessError(f"relevance: cannot read {str(path)!r}: {error}") from None
    if not isinstance(found, kind):
        raise HarnessError(f"relevance: {str(path)!r} holds no {kind.__name__}")
    return found


def _refused(folder: Path, why: str) -> HarnessError:
    return HarnessError(f"relevance: the sentence encoder {str(folder)!r} cannot be used: {why}")


class _Relevance:
    def __init__(self, handle: EncoderHandle, against: str, multi: str, pooling: str) -> None:
        self._handle, self._against, self._multi, self._pooling = handle, against, multi, pooling
        self._info = ScoreInfo(
            _NAME,
            -1.0,
            1.0,
            needs=frozenset({"prompt"}) if against == "prompt" else frozenset({"references"}),
            tolerance=_TOLERANCE[handle.source.dtype],
        )
        self.infos = (self._info,)

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        if batch.wanted and _NAME not in batch.wanted:
            return {}
        folder = self._handle.folder(batch.shared)
        recipe = batch.shared.get(
            ("sentence recipe", str(folder), self._pooling), lambda: recipe_of(folder, self._pooling)
        )
        values = self._values(batch, recipe) if batch.size else []
        return {_NAME: scores_from(self._info, self._signature(batch, recipe), values)}

    def _signature(self, batch: Batch, recipe: Recipe) -> str:
        parts = [_NAME, f"model:{self._handle.label(batch.shared)}", f"against:{self._against}"]
        parts += [f"pooling:{recipe.pooling}", f"max:{recipe.limit or 'model'}"]
        parts += [f"multi:{self._multi}"] if self._against == "references" else []
        return "|".join([*parts, *self._handle.marks])

    def _values(self, batch: Batch, recipe: Recipe) -> list[Value]:
        encoder = self._handle.load(batch.shared)
        others = [self._others(generation.sample) for generation in batch.generations]

        def cased(text: str) -> str:
            return text.lower() if recipe.lower else text

        texts = [cased(text) for text in (*batch.texts, *(text for some in others for text in some))]
        ids = encoded(batch, encoder, texts, spaced=False, limit=recipe.limit)
        usable = {row for text in texts if self._usable(encoder, row := ids[text])}
        vectors = self._vectors(batch, encoder, usable, recipe.pooling)
        values: list[Value] = []
        for generation, some in zip(batch.generations, others, strict=True):
            compared = [ids[cased(text)] for text in some]
            for completion in generation.completions:
                row = ids[cased(completion.text or "")]
                verdict = self._verdict(encoder, row, compared, generation.sample.language)
                used = [row for row in compared if row in usable]
                values.append(self._cosine(row, used, vectors) if verdict is None else verdict)
        return values

    def _usable(self, encoder: Encoder, row: Ids) -> bool:
        return not encoder.blank(row) and self._handle.knows(encoder, row)

    def _verdict(self, encoder: Encoder, completion: Ids, others: Sequence[Ids], language: str | None) -> Value | None:
        """The value where the embeddings have no part in it."""
        prompt = self._against == "prompt"
        if not any(self._usable(encoder, row) for row in others):
            if not all(encoder.blank(row) for row in others):
                return self._handle.stranger("the prompt" if prompt else "each reference", language)
            return _NO_PROMPT if prompt else _ALL_BLANK
        if encoder.blank(completion):
            return 0.0
        return None if self._handle.knows(encoder, completion) else self._handle.stranger("the completion", language)

    def _others(self, sample: Sample) -> tuple[str, ...]:
        return (prompt_text(sample.prompt),) if self._against == "prompt" else sample.references

    def _vectors(self, batch: Batch, encoder: Encoder, rows: Iterable[Ids], pooling: str) -> Mapping[Ids, F64 | None]:
        """The unit vector of each row, `None` where it has no direction."""
        known: dict[Ids, F64 | None] = batch.memo.get(("sentence embeddings", encoder.key, pooling), dict)
        new = sorted((row for row in rows if row not in known), key=lambda row: (len(row), row))
        for block in blocks(new, lambda row: (row,)):
            tokens = embedded(batch, encoder, block, encoder.depth, self._handle.source.batch_tokens)
            known.update(zip(block, _pooled([tokens[row] for row in block], pooling), strict=True))
        return known

    def _cosine(self, completion: Ids, others: Sequence[Ids], vectors: Mapping[Ids, F64 | None]) -> Value:
        own, compared = vectors[completion], [vectors[row] for row in others]
        if own is None or any(vector is None for vector in compared):
            return _NOT_FINITE
        cosines = [min(max(float(own @ vector), -1.0), 1.0) for vector in compared if vector is not None]
        return max(cosines) if self._multi == "best" else math.fsum(cosines) / len(cosines)


def _pooled(texts: Sequence[torch.Tensor], pooling: str) -> list[F64 | None]:
    """One unit vector of each text's token vectors: the rows hold no padding, so their mean needs no mask."""
    import numpy as np
    import torch

    means = torch.stack([tokens.mean(0) if pooling == "mean" else tokens[0] for tokens in texts])
    found: list[F64 | None] = []
    for vector in means.double().cpu().numpy():
        norm = float(np.linalg.norm(vector))
        found.append(vector / norm if math.isfinite(norm) and norm > 0 else None)
    return found


def relevance(
    *,
    model: str = "minilm",
    against: str = "prompt",
    multi: str = "best",
    pooling: str = "auto",
    max_unknown: float = MAX_UNKNOWN,
    device: str = "auto",
    dtype: str = "float32",
    revision: str | None = None,
    batch_tokens: int = 0,
) -> _Relevance:
    """Cosine of sentence embeddings, by any encoder: `minilm`, a folder, or a name on the hub.

    `against`: prompt (of a chat the last user turn) or references; `multi`: best or mean over references. `pooling`:
    auto (what the model says), mean or cls. `max_unknown`: abstain where a greater share of a text's tokens is unknown
    to the encoder. `device`: auto, cpu, cuda, cuda:N. `dtype`: float32, bfloat16, float16. `revision` of a hub model.
    `batch_tokens`: the most tokens, padding included, that the encoder takes at a time; 0: what suits the device.
    """
    for option, value, there in (
        ("against", against, _AGAINST),
        ("multi", multi, _MULTI),
        ("pooling", pooling, _POOLING),
    ):
        if value not in there:
            raise ValueError(f"{option}: {value!r} is unknown; there is {', '.join(there)}")
    require("relevance", ("torch", "transformers"), "'reward-harness[hf]'")
    handle = EncoderHandle("relevance", Source(model, revision, device, dtype, batch_tokens), max_unknown)
    return _Relevance(handle, against, multi, pooling)


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    register("relevance", relevance, scores=(_NAME,))
