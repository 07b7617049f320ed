"""Tiny random models, built in a moment and saved as real ones are: a tokenizer, a configuration, safetensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WORDS = tuple(f"{a}{b}" for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "ai", "oo", "y"))
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>")
VOCABULARY = len(WORDS) + len(SPECIAL)
CHAT = (
    "{% for m in messages %}{{ '<bos> ' + m['role'][0] + 'a ' + m['content'] + ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<bos> ba ' }}{% endif %}"
)

Make = Callable[..., Path]


def save_tokenizer(folder: Path, chat_template: str | None = None) -> None:
    """Words parted by spaces; a token is a word, so a text tells its tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = dict(zip(("pad_token", "eos_token", "bos_token", "unk_token"), SPECIAL, strict=True))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    if chat_template:
        fast.chat_template = chat_template
    fast.save_pretrained(str(folder))


def save_causal(folder: Path, *, chat_template: str | None = None, seed: int = 0, **generation: Any) -> Path:
    """A Llama of two layers whose next token depends visibly on what came before. `generation`: its suggestions."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.5,
        pad_token_id=0, eos_token_id=1, bos_token_id=2,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    if generation:
        model.generation_config = GenerationConfig(eos_token_id=1, pad_token_id=0, bos_token_id=2, **generation)
    model.save_pretrained(str(folder))
    save_tokenizer(folder, chat_template)
    return folder


def save_seq2seq(folder: Path) -> Path:
    """A BART of one layer each side, with the habits BART brings: a forced end, a forced beginning, penalties."""
    import torch
    from transformers import BartConfig, BartForConditionalGeneration, GenerationConfig

    torch.manual_seed(1)
    config = BartConfig(
        vocab_size=VOCABULARY, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=48,
        init_std=0.5, pad_token_id=0, eos_token_id=1, bos_token_id=2, decoder_start_token_id=2,
        forced_eos_token_id=1, dropout=0.0,
    )  # fmt: skip
    model = BartForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        eos_token_id=1, pad_token_id=0, bos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=1,
        num_beams=4, no_repeat_ngram_size=3, min_length=5, early_stopping=True,
    )  # fmt: skip
    model.save_pretrained(str(folder))
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny causal model without a chat template. Its context is 64 tokens. Do not write to it."""
    pytest.importorskip("transformers")
    return save_causal(tmp_path_factory.mktemp("tiny") / "causal")


@pytest.fixture(scope="session")
def tiny_chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny causal model with a chat template, whose repository suggests how to sample from it."""
    pytest.importorskip("transformers")
    return save_causal(
        tmp_path_factory.mktemp("tiny") / "chat", chat_template=CHAT,
        do_sample=True, temperature=0.01, top_k=1, repetition_penalty=9.0,
    )  # fmt: skip


@pytest.fixture(scope="session")
def tiny_seq2seq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny sequence-to-sequence model."""
    pytest.importorskip("transformers")
    return save_seq2seq(tmp_path_factory.mktemp("tiny") / "seq2seq")


@pytest.fixture
def make_causal() -> Make:
    """`make_causal(folder, chat_template=..., seed=...)`, for tests that need a model of their own."""
    pytest.importorskip("transformers")
    return save_causal
