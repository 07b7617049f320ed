"""A loaded transformers model: prompts to token ids, rows of ids to completions.

Imported at the model's first use, not with the plugin: this module needs torch and transformers.
"""

from __future__ import annotations

import gc
import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from jinja2 import TemplateError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    StoppingCriteriaList,
)
from transformers.utils import logging as transformers_logging

from harness import Completion, HarnessError, UsageError, clean_text
from harness_plugins.hf_sampling import StopTexts, cut_at_stop, sampling_processors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from harness import Message, Settings


class BadPrompt(Exception):  # a reason for one completion, not an error of the run
    """Why this prompt cannot be answered by this model."""


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence to complete: which request it belongs to, its prompt's token ids, the seed of its
    noise.
    """

    request: int
    ids: tuple[int, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """`device` is auto or a torch device, `dtype` auto or a torch dtype's name, `chat` auto, always or
    never.
    """

    device: str = "auto"
    dtype: str = "auto"
    revision: str | None = None
    chat: str = "auto"


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps progress bars and advice of transformers and the hub off the console; errors still show."""
    log: Any = transformers_logging
    hub_log = logging.getLogger("huggingface_hub")
    hub_level = hub_log.level
    verbosity, bars, hub_bars = (
        log.get_verbosity(),
        log.is_progress_bar_enabled(),
        not are_progress_bars_disabled(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.set_verbosity_error()
        log.disable_progress_bar()
        disable_progress_bars()
        hub_log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.set_verbosity(verbosity)
            hub_log.setLevel(hub_level)
            if bars:
                log.enable_progress_bar()
            if hub_bars:
                enable_progress_bars()


def device_of(options: LoadOptions) -> torch.device:
    """The device asked for, or CUDA where there is one. Raises `UsageError` where it is not there."""
    if options.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(options.device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        reason = str(error).split("\n", 1)[0]
        raise UsageError(f"hf: device {options.device!r} cannot be used here: {reason}") from None
    return device


def dtype_of(options: LoadOptions, device: torch.device) -> torch.dtype:
    """The type asked for; `auto` is bfloat16 on CUDA devices that have it and float32 elsewhere."""
    if options.dtype != "auto":
        dtype: torch.dtype = getattr(torch, options.dtype)
        return dtype
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32


def load_config(source: str, options: LoadOptions) -> PreTrainedConfig:
    """The configuration of a folder or hub name. Raises `HarnessError` where it cannot be had."""
    with quiet(), _explained(source):
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            source, revision=options.revision, trust_remote_code=False
        )
        return config


@contextmanager
def _explained(source: str) -> Iterator[None]:
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:  # what a damaged folder makes the libraries raise is nowhere listed
        reason = " ".join(str(error).split())[:400] or type(error).__name__
        raise HarnessError(
            f"hf: cannot load the model {source!r}: {reason} (it needs a folder, or a name on a hub that can"
            " be reached, with config.json, a tokenizer and *.safetensors; other weights and remote code are"
            " not loaded)"
        ) from error


def load(source: str, options: LoadOptions) -> Runtime:
    """Loads tokenizer and weights onto the device. Raises `HarnessError` with the reason where that fails."""
    device = device_of(options)
    config = load_config(source, options)
    seq2seq = bool(getattr(config, "is_encoder_decoder", False))
    family = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    revision = getattr(config, "_commit_hash", None) or options.revision
    with quiet(), _explained(source):
        tokenizer = AutoTokenizer.from_pretrained(
            source,
            revision=revision,
            padding_side="right" if seq2seq else "left",
            trust_remote_code=False,
        )
        model, info = cast("Any", family).from_pretrained(
            source,
            config=config,
            revision=revision,
            dtype=dtype_of(options, device),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        _check_complete(source, model, info)
        model.to(device)
    return Runtime(model, tokenizer, options.chat)


def _check_complete(source: str, model: PreTrainedModel, info: dict[str, Any]) -> None:
    """A model with random weights would answer, and nothing would say that its answers mean nothing."""
    missing = sorted(info.get("missing_keys") or ())
    if missing:
        raise HarnessError(
            f"hf: {source!r} lacks {len(missing)} of the weights of {type(model).__name__} (such as"
            f" {missing[0]}), which would stay random: is it a language model that can generate, saved whole?"
        )
    kinds = getattr(model.config, "architectures", None) or ()
    if not model.config.is_encoder_decoder and any(kind.endswith("ForMaskedLM") for kind in kinds):
        raise HarnessError(f"hf: {source!r} is an encoder ({', '.join(kinds)}): it cannot generate")


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA has an exception of its own; the CPU's allocator raises a plain RuntimeError."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    known = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, RuntimeError) and any(words in str(error) for words in known)


def free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Runtime:
    """A model on its device with its tokenizer."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, chat: str = "auto") -> None:
        self.model, self.tokenizer = model, tokenizer
        self._seq2seq = bool(model.config.is_encoder_decoder)
        self._context: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self._template = tokenizer.chat_template is not None
        if chat == "always" and not self._template:
            raise UsageError("hf: chat is 'always', but this model's tokenizer has no chat template")
        self._chat = chat
        self._special = _special_ids(model, tokenizer)
        # What a repository suggests (temperature, penalties, lengths) must not reach through to a
        # measurement.
        model.generation_config = _config(**self._special)

    @property
    def device(self) -> torch.device:
        return torch.device(self.model.device)

    def without_end_tokens(self) -> None:
        """Lets every text run to `max_new_tokens`: for measuring speed alone."""
        self._special["eos_token_id"] = None
        self.model.generation_config = _config(**self._special)

    def encode(self, prompt: str | tuple[Message, ...] | None, max_new_tokens: int = 0) -> tuple[int, ...]:
        """The prompt's token ids. Raises `BadPrompt` where there is none, or where it leaves no room
        for the answer.
        """
        ids = self._tokens(prompt)
        asked = max_new_tokens if self._seq2seq else len(ids) + max_new_tokens
        if self._context is not None and max(asked, len(ids)) > self._context:
            raise BadPrompt(
                f"prompt of {len(ids)} tokens and max_new_tokens {max_new_tokens} exceed the model's context"
                f" of {self._context}"
            )
        return ids

    def _tokens(self, prompt: str | tuple[Message, ...] | None) -> tuple[int, ...]:
        if prompt is None:
            raise BadPrompt("the sample has no prompt")
        if isinstance(prompt, str) and (self._chat == "never" or not self._template):
            encoded = self.tokenizer(clean_text(prompt))["input_ids"]
        else:
            encoded = self.tokenizer(self._chat_text(prompt), add_special_tokens=False)["input_ids"]
        ids = tuple(encoded) or tuple(self._opening())
        if not ids:
            raise BadPrompt("the prompt is empty and the model has no token to begin with")
        return ids

    def _opening(self) -> list[int]:
        """What a model that continues nothing starts from: its first token, or the one that parts its
        texts.
        """
        opening = self._special["bos_token_id"]
        ends: list[int] = self._special["eos_token_id"] or []
        return ends[:1] if opening is None else [opening]

    def _chat_text(self, prompt: str | tuple[Message, ...]) -> str:
        if self._chat == "never" or not self._template:
            why = "chat is 'never'" if self._template else "this model has no chat template"
            raise BadPrompt(f"the prompt is a chat, but {why}")
        turns = [("user", prompt)] if isinstance(prompt, str) else [(m.role, m.content) for m in prompt]
        messages = [{"role": role, "content": clean_text(content)} for role, content in turns]
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        except TemplateError as error:
            raise BadPrompt(f"the model's chat template refuses this chat: {str(error)[:200]}") from None

    def complete(self, rows: Sequence[Row], settings: Settings) -> list[tuple[Completion, ...]]:
        """The completions of each row, drawn as one batch: all beams, best first, or one text."""
        beams = settings.num_beams
        inputs = self._padded([row.ids for row in rows])
        start = 1 if self._seq2seq else inputs["input_ids"].shape[1]
        config = _config(
            max_new_tokens=settings.max_new_tokens,
            do_sample=False,
            num_beams=beams,
            num_return_sequences=beams,
            repetition_penalty=float(settings.repetition_penalty),
            use_cache=True,
            **{**self._special, "eos_token_id": self._ends(settings)},
        )
        extras: dict[str, Any] = {}
        if beams == 1 and settings.temperature > 0:
            seeds = [row.seed for row in rows]
            extras["logits_processor"] = sampling_processors(settings, seeds, self.device)
        if settings.stop:
            criteria = StopTexts(self.tokenizer, settings.stop, start)
            extras["stopping_criteria"] = StoppingCriteriaList([criteria])
        with quiet():
            output = cast("Any", self.model).generate(**inputs, generation_config=config, **extras)
        texts = [self._completion(ids, settings) for ids in output[:, start:].tolist()]
        width = len(texts) // len(rows)
        return [tuple(texts[at : at + width]) for at in range(0, len(texts), width)]

    def _padded(self, prompts: Sequence[tuple[int, ...]]) -> dict[str, torch.Tensor]:
        """Token ids and mask, (rows, longest): causal models continue from the right edge, so padding
        goes left.
        """
        width = max(map(len, prompts))
        ids = torch.full((len(prompts), width), self._special["pad_token_id"], dtype=torch.long)
        mask = torch.zeros((len(prompts), width), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            place = slice(0, len(prompt)) if self._seq2seq else slice(width - len(prompt), width)
            ids[row, place] = torch.tensor(prompt)
            mask[row, place] = 1
        return {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}

    def _ends(self, settings: Settings) -> list[int] | None:
        """End tokens: the model's, and stop texts that are special tokens, which no decoded text
        would show.
        """
        special = dict(zip(self.tokenizer.all_special_tokens, self.tokenizer.all_special_ids, strict=True))
        ends = [*(self._special["eos_token_id"] or ()), *(special[s] for s in settings.stop if s in special)]
        return sorted(set(ends)) or None

    def _completion(self, new: list[int], settings: Settings) -> Completion:
        ends = self._ends(settings) or []
        at = next((i for i, token in enumerate(new) if token in ends), None)
        if at is None:
            while new and new[-1] == self._special["pad_token_id"]:
                new.pop()
        kept = new if at is None else new[:at]
        text, tokens, stopped = cut_at_stop(self.tokenizer, kept, settings.stop)
        ended = at is not None and not stopped
        finish = "stop" if ended or stopped else "length"
        return Completion(clean_text(text), finish_reason=finish, tokens=tokens + int(ended))


def _config(**values: Any) -> GenerationConfig:
    return GenerationConfig(**values)  # type: ignore[no-untyped-call]


def _special_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The ids that make up the model's format, as opposed to how its authors like to sample from it."""
    suggested = model.generation_config
    ends = {tokenizer.eos_token_id}
    own = getattr(suggested, "eos_token_id", None)
    ends |= set(own) if isinstance(own, list) else {own}
    eos = sorted(end for end in ends if end is not None)
    pads = (tokenizer.pad_token_id, getattr(suggested, "pad_token_id", None), *eos, 0)
    bos = (getattr(suggested, "bos_token_id", None), tokenizer.bos_token_id)
    return {
        "eos_token_id": eos or None,
        "pad_token_id": next(pad for pad in pads if pad is not None),
        "bos_token_id": next((token for token in bos if token is not None), None),
        "decoder_start_token_id": getattr(suggested, "decoder_start_token_id", None),
        "forced_bos_token_id": getattr(suggested, "forced_bos_token_id", None),
    }
