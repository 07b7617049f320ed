"""What the metric `bertscore` takes from the package bert-score: the best layer of each model, and its baselines.

Both are read from the package's files. Importing it would import matplotlib, pandas and transformers.
"""

from __future__ import annotations

import ast
import csv
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from harness import PluginError
from harness_plugins.words import primary

Triple = tuple[float, float, float]
"""F1, precision, recall: the order of the scores' names."""


def _package() -> Path:
    """bert-score's folder, found without importing the package, which would import matplotlib and pandas."""
    spec = importlib.util.find_spec("bert_score")
    if spec is None or spec.origin is None:
        raise PluginError("bertscore: bert_score is missing: pip install 'reward-harness[bertscore]'")
    return Path(spec.origin).parent


def layer_table() -> dict[str, int]:
    """bert-score's table of the best layer of each model, read from its source."""
    source = _package() / "utils.py"
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [getattr(t, "id", None) for t in node.targets] == ["model2layers"]:
            table: dict[str, int] = ast.literal_eval(node.value)
            return table
    raise PluginError(f"bertscore: {source} holds no model2layers; this was made for bert-score 0.3.13")


def baselines(model: str, layer: int) -> dict[str, Triple]:
    """bert-score's baselines of F1, precision and recall, by language; empty where it has none for the model's layer."""
    found: dict[str, Triple] = {}
    for folder in sorted((_package() / "rescale_baseline").iterdir()):
        path = folder / f"{model}.tsv"
        if not path.is_file():
            continue
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if int(row["LAYER"]) == layer:
                    found[folder.name] = (float(row["F"]), float(row["P"]), float(row["R"]))
    return found


def baseline_language(language: str | None, there: Mapping[str, Triple]) -> str | None:
    candidates = [] if not language else [language.lower(), primary(language)]
    return next((candidate for candidate in candidates if candidate in there), None)
