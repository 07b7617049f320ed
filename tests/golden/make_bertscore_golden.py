"""Makes bertscore_roberta.json: what bert-score says with a RoBERTa under transformers 4.57, where it is right.

Run once, and again only to add cases, in an environment of its own:

    python -m venv /tmp/golden && /tmp/golden/bin/pip install torch==2.13.0 "transformers==4.57.*" bert-score==0.3.13
    /tmp/golden/bin/python tests/golden/make_bertscore_golden.py

Under transformers 5 bert-score loses the space before a text, so that every first word is another token. Pairs are scored
one at a time, since in a batch bert-score takes padding for a token whose cosine with any other is 0.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import bert_score
import torch
import transformers
from tiny_roberta import RECORD, save
from tokenizers import ByteLevelBPETokenizer

TEXTS = [
    "The cat sat on the mat.",
    "A cat is sitting on the mat",
    "the dogs were running in the park, weren't they?",
    "Dogs run through parks.",
    "28-year-old chef found dead in San Francisco mall",
    "Naïve café déjà vu — “quoted”",
    "我喜欢读书 😀",
    "  spaces\tand\nlines  ",
]
LONG = " ".join(f"{word}{i}" for i in range(60) for word in ("cat", "dog", "park"))
SPECIAL = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
CONFIG = {
    "architectures": ["RobertaModel"], "model_type": "roberta", "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": 66, "type_vocab_size": 1,
    "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "layer_norm_eps": 1e-05, "hidden_act": "gelu",
}  # fmt: skip
POSITIONS = 64


def recipe() -> dict[str, Any]:
    """A byte-level vocabulary learnt from a few texts, and the shapes of a model of three layers."""
    learner = ByteLevelBPETokenizer()
    learner.train_from_iterator(
        TEXTS * 3, vocab_size=330, min_frequency=2, show_progress=False, special_tokens=[*SPECIAL]
    )
    with tempfile.TemporaryDirectory() as folder:
        learner.save_model(folder)
        vocab = json.loads((Path(folder) / "vocab.json").read_text(encoding="utf-8"))
        merges = (Path(folder) / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    vocab["<mask>"] = len(vocab)
    config = CONFIG | {"vocab_size": len(vocab)}
    model = transformers.RobertaModel(transformers.RobertaConfig(**config), add_pooling_layer=False)
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    return {"config": config, "vocab": vocab, "merges": merges, "shapes": shapes, "seed": 7}


def cases() -> list[dict[str, Any]]:
    pairs = [[TEXTS[i], [TEXTS[j]]] for i, j in ((0, 1), (1, 0), (2, 3), (3, 3), (4, 2), (5, 6), (6, 5), (7, 0))]
    several = [[TEXTS[0], [TEXTS[1], TEXTS[4]]], [TEXTS[2], [TEXTS[3], TEXTS[5], TEXTS[0]]]]
    blank = [["", [TEXTS[0]]], [" \n", [TEXTS[1]]], ["", [TEXTS[0], TEXTS[1]]]]
    cut = [[LONG, [TEXTS[0]]], [TEXTS[2], [LONG]], [LONG + " tail", [LONG + " other"]]]
    return [
        *({"name": f"layer {layer}", "layer": layer, "idf": False, "pairs": pairs} for layer in (0, 1, 2, 3)),
        {"name": "several references", "layer": 2, "idf": False, "pairs": several},
        {"name": "idf", "layer": 2, "idf": True, "pairs": pairs},
        {"name": "idf, several references", "layer": 3, "idf": True, "pairs": several},
        {"name": "blank completions", "layer": 2, "idf": False, "pairs": blank},
        {"name": "cut at the maximum", "layer": 2, "idf": False, "pairs": cut},
        {"name": "rescaled", "layer": 2, "idf": False, "pairs": pairs, "rescale": "roberta-base"},
        {"name": "blank, rescaled", "layer": 2, "idf": False, "pairs": blank, "rescale": "roberta-base"},
    ]


def values(folder: Path, case: dict[str, Any]) -> list[list[float]]:
    """Precision, recall and F1 of each pair."""
    baseline = None
    if "rescale" in case:
        baseline = str(Path(bert_score.__file__).parent / f"rescale_baseline/en/{case['rescale']}.tsv")
    found = bert_score.score(
        [candidate for candidate, _ in case["pairs"]],
        [references for _, references in case["pairs"]],
        model_type=str(folder),
        num_layers=case["layer"],
        idf=case["idf"],
        nthreads=0,
        batch_size=1,
        lang="en",
        rescale_with_baseline=baseline is not None,
        baseline_path=baseline,
        device="cpu",
    )
    return torch.stack(found, dim=-1).tolist()


def main() -> None:
    if not transformers.__version__.startswith("4.57."):
        sys.exit(f"this needs transformers 4.57, not {transformers.__version__}")
    made = recipe()
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        place = save(Path(folder) / "model", made, POSITIONS)
        listed = [case | {"values": values(place, case)} for case in cases()]
    versions = {"transformers": transformers.__version__, "torch": torch.__version__, "bert_score": "0.3.13"}
    RECORD.write_text(
        json.dumps({"versions": versions, "recipe": made, "cases": listed}, ensure_ascii=False, indent=1) + "\n",
        encoding="utf-8",
    )
    print(f"{RECORD.name}: {len(listed)} cases, {RECORD.stat().st_size} bytes")


if __name__ == "__main__":
    main()
