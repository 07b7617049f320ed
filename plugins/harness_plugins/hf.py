"""`hf:NAME_OR_PATH`: any causal or sequence-to-sequence model that transformers can load from safetensors.

`hf:smollm2-135m` is the packaged SmolLM2-135M-Instruct (`smollm2.py`). Options: `device` and `dtype` (auto:
CUDA with bfloat16 where there is one, else the CPU with float32), `revision` of a hub model, `chat` (auto
wraps a text prompt in a user turn where the model has a chat template).

Temperature 0 is greedy, `num_beams` above 1 beam search (its n best; seeds unused), anything else sampling,
where every row draws from a generator of its own, seeded with its seed: its text does not depend on what else
is in the batch. That holds to the bit of the scores, so it is exact as long as a model's scores of a row do
not depend on the batch by more than rounding; in bfloat16 rounding is coarse enough to turn a token now and
then.

`tokens` counts the new tokens with the one that ended the text (an end token, or the token that completed a
stop text). `finish_reason` is `stop` or `length`. `logprob` is not computed. A prompt that leaves no room for
`max_new_tokens` in the model's context is an error, never cut.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import Completion, PluginError, Request, Settings, UsageError, hookimpl, require
from harness_plugins import smollm2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import ModuleType

    from harness import RegisterModel
    from harness_plugins.hf_runtime import LoadOptions, Row, Runtime

PACKAGED = {"smollm2-135m": smollm2.folder}
VERSION = "1"
"""Change it when equal weights, settings and seeds give other texts than before."""

_DEVICE = re.compile(r"auto|cpu|[a-z]+(:\d+)?")
_PATH = re.compile(r"[/.~\\]|[A-Za-z]:[\\/]|.*/.*/")
_IDENTITY = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.spm")


@hookimpl
def register_models(register: RegisterModel) -> None:
    register("hf", hf)


def hf(
    rest: str,
    *,
    device: str = "auto",
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    revision: str | None = None,
    chat: Literal["auto", "always", "never"] = "auto",
) -> HfModel:
    """A transformers model by hub name or folder; `smollm2-135m` is packaged."""
    if not rest:
        raise ValueError("hf needs a model: hf:FOLDER, hf:HUB/NAME, or hf:smollm2-135m")
    if not _DEVICE.fullmatch(device):
        raise ValueError(f"device {device!r} is none: give auto, cpu, cuda or cuda:N")
    for name, value, valid in (
        ("dtype", dtype, ("auto", "float32", "bfloat16", "float16")),
        ("chat", chat, ("auto", "always", "never")),
    ):
        if value not in valid:
            raise ValueError(f"{name} {value!r} is none of {', '.join(valid)}")
    require("hf", ("torch", "transformers"), "'reward-harness[hf]'")
    if rest in PACKAGED:
        smollm2.packaged_gguf()
        require("hf:smollm2-135m", ("gguf", "accelerate"), "'reward-harness[hf]'")
    local = rest not in PACKAGED and _local(rest)
    if local and revision:
        raise ValueError("revision belongs to models from a hub, not to a folder")
    return HfModel(f"hf:{rest}", rest, device=device, dtype=dtype, revision=revision, chat=chat)


def _local(rest: str) -> bool:
    """Whether `rest` is a folder here. Raises `ValueError` where it can only be meant as one and is not
    there.
    """
    folder = Path(rest).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ValueError(f"the folder {rest!r} holds no model: it has no config.json")
        return True
    if folder.exists() or _PATH.match(rest):
        raise ValueError(f"there is no folder {rest!r}; give one that holds config.json and *.safetensors")
    return False


def runtime_module() -> ModuleType:
    """The part that needs torch. Raises `PluginError` with the install line where that is missing."""
    try:
        from harness_plugins import hf_runtime
    except ImportError as error:  # installed, or the factory would have said so, but broken
        raise PluginError(
            f"hf: torch or transformers cannot be imported: {error}: pip install 'reward-harness[hf]'"
        ) from error
    return hf_runtime


def folder_identity(folder: Path) -> str:
    """sha256 over a model folder's weights, configuration and tokenizer, by content and name.

    Left out of config.json is what the saving library writes about itself, and files that no text depends on.
    """
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _IDENTITY for path in folder.glob(pattern)}):
        if path.name in ("trainer_state.json", "all_results.json") or not path.is_file():
            continue
        digest.update(f"{path.name}\0{_file_identity(path)}\0".encode())
    return f"sha256:{digest.hexdigest()}"


def _file_identity(path: Path) -> str:
    if path.name in ("config.json", "generation_config.json"):
        content = json.loads(path.read_bytes())
        if isinstance(content, dict):
            kept = {k: v for k, v in content.items() if k not in ("transformers_version", "_name_or_path")}
            return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class HfModel:
    """A transformers model, loaded when its first completion (or its prompts' length) is asked for."""

    def __init__(self, name: str, source: str, *, device: str, dtype: str, revision: str | None, chat: str) -> None:
        self.name = name
        self._source = source
        self._device, self._dtype, self._revision, self._chat = device, dtype, revision, chat
        self._loaded: Runtime | None = None
        self._identity: str | None = None
        self._ceiling: int | None = None

    @property
    def fingerprint(self) -> str:
        """Weights, configuration and tokenizer by hash or hub commit, type, device, chat mode,
        adapter version.
        """
        if self._identity is None:
            module, options = runtime_module(), self._options()
            device = module.device_of(options)
            dtype = str(module.dtype_of(options, device)).removeprefix("torch.")
            self._identity = f"{self._weights()}|{dtype}|{device.type}|chat:{self._chat}|hf:{VERSION}"
        return self._identity

    def _options(self) -> LoadOptions:
        options: LoadOptions = runtime_module().LoadOptions(self._device, self._dtype, self._revision, self._chat)
        return options

    def _weights(self) -> str:
        where = self._where()
        if Path(where).is_dir():
            return folder_identity(Path(where))
        config = runtime_module().load_config(where, self._options())
        commit = getattr(config, "_commit_hash", None)
        text = commit or hashlib.sha256(config.to_json_string().encode()).hexdigest()
        return f"{self._source}@{text}"

    def _where(self) -> str:
        if self._source in PACKAGED:
            runtime_module()
            return str(PACKAGED[self._source]())
        folder = Path(self._source).expanduser()
        return str(folder.resolve()) if folder.is_dir() else self._source

    def runtime(self) -> Runtime:
        """The loaded model. Raises `HarnessError` where it cannot be loaded."""
        if self._loaded is None:
            self._loaded = runtime_module().load(self._where(), self._options())
        return self._loaded

    def close(self) -> None:
        """Lets go of the weights; the next use loads them again."""
        if self._loaded is not None:
            self._loaded = None
            runtime_module().free_memory()

    def prompt_tokens(self, requests: Sequence[Request]) -> list[int]:
        """Tokens of each prompt as the model sees it, chat template included; 0 where it cannot be asked."""
        module, runtime = runtime_module(), self.runtime()
        lengths = []
        for request in requests:
            try:
                lengths.append(len(runtime.encode(request.sample.prompt)))
            except module.BadPrompt:
                lengths.append(0)
        return lengths

    def generate(self, requests: Sequence[Request], settings: Settings) -> Iterator[tuple[int, tuple[Completion, ...]]]:
        """See `Model.generate`. Raises `UsageError` where `n` exceeds `num_beams` of a beam search."""
        module, runtime = runtime_module(), self.runtime()
        _check_beams(requests, settings)
        rows: list[Row] = []
        for index, request in enumerate(requests):
            try:
                ids = runtime.encode(request.sample.prompt, settings.max_new_tokens)
            except module.BadPrompt as error:
                yield index, (_failed(str(error)),) * len(request.seeds)
            else:
                seeds = request.seeds if _samples(settings) else request.seeds[:1]
                rows.extend(module.Row(index, ids, seed) for seed in seeds)
        done: dict[int, list[Completion]] = {}
        for row, completions in self._complete(rows, settings):
            done.setdefault(row.request, []).extend(completions)
        for index, texts in done.items():
            wanted = len(requests[index].seeds)
            yield index, tuple(texts[:wanted]) if len(texts) >= wanted else tuple(texts[:1]) * wanted

    def _complete(self, rows: Sequence[Row], settings: Settings) -> Iterator[tuple[Row, tuple[Completion, ...]]]:
        """Every row with its completions (all beams, or one text), in parts that fit into memory."""
        waiting: list[Sequence[Row]] = [rows] if rows else []
        while waiting:
            part = waiting.pop(0)
            if self._ceiling is not None and len(part) > 1 and _size(part, settings) > self._ceiling:
                waiting[:0] = _halves(part)
                continue
            answers = self._attempt(part, settings)
            if answers is not None:
                yield from zip(part, answers, strict=True)
            elif len(part) == 1:
                reason = f"out of memory with a single prompt of {len(part[0].ids)} tokens"
                yield part[0], (_failed(reason),)
            else:
                waiting[:0] = _halves(part)
                self._ceiling = _size(waiting[0], settings)
                message = f"{self.name}: out of memory with {len(part)} rows; going on with {len(waiting[0])}"
                warnings.warn(message, stacklevel=2)

    def _attempt(self, part: Sequence[Row], settings: Settings) -> list[tuple[Completion, ...]] | None:
        """The completions, or `None` where memory did not suffice."""
        module = runtime_module()
        try:
            answers: list[tuple[Completion, ...]] = self.runtime().complete(part, settings)
        except (RuntimeError, MemoryError) as error:
            if not module.is_out_of_memory(error):
                raise
        else:
            return answers
        # Only here is the traceback gone that held on to the tensors of the failed attempt.
        module.free_memory()
        return None


def _samples(settings: Settings) -> bool:
    return settings.num_beams == 1 and settings.temperature > 0


def _check_beams(requests: Iterable[Request], settings: Settings) -> None:
    most = max((len(request.seeds) for request in requests), default=0)
    if settings.num_beams > 1 and most > settings.num_beams:
        raise UsageError(f"hf: n is {most}, but a beam search with num_beams {settings.num_beams} has no more texts")


def _size(part: Sequence[Row], settings: Settings) -> int:
    """Tokens in memory at the end: rows times padded length, prompt and answer."""
    longest = max(len(row.ids) for row in part)
    return len(part) * settings.num_beams * (longest + settings.max_new_tokens)


def _halves(part: Sequence[Row]) -> list[Sequence[Row]]:
    middle = (len(part) + 1) // 2
    return [part[:middle], part[middle:]]


def _failed(reason: str) -> Completion:
    return Completion(None, status="error", reason=reason)
