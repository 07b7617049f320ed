"""A tiny RoBERTa that is the same under any version of any library: its vocabulary and shapes are recorded, its weights come
from numpy's legacy generator, whose stream is frozen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

RECORD = Path(__file__).with_name("bertscore_roberta.json")


def save(folder: Path, recipe: Mapping[str, Any], max_length: int | None) -> Path:
    """Writes the model as a hub's folder holds it, with slow and fast tokenizers' files; `max_length` None leaves it out."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = {"tokenizer_class": "RobertaTokenizer"} | (
        {} if max_length is None else {"model_max_length": max_length}
    )
    for name, content in (
        ("config.json", recipe["config"]),
        ("vocab.json", recipe["vocab"]),
        ("tokenizer_config.json", tokenizer),
    ):
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *recipe["merges"], ""]), encoding="utf-8")
    from safetensors.numpy import save_file

    save_file(weights(recipe["shapes"], recipe["seed"]), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def weights(shapes: Mapping[str, list[int]], seed: int) -> dict[str, np.ndarray]:
    """Noise: of a size that makes layers matter, around 1 for the scales of layer norms."""
    stream = np.random.RandomState(seed)
    made = {}
    for name in sorted(shapes):
        noise = stream.standard_normal(shapes[name])
        made[name] = (1 + 0.1 * noise if name.endswith("LayerNorm.weight") else 0.3 * noise).astype(np.float32)
    return made
