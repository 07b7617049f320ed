"""Completions scored per second by `bertscore` and by the package bert-score, with the packaged MiniLM, in one run.

    python benchmarks/bertscore_speed.py [--data FILE.json.gz] [--groups 16] [--runs 3] [--threads 1]

The texts are groups of 16 completions of one sample: the 16 systems of WMT17 English-German (`--data`, sacreBLEU's
test data), each completion as many consecutive segments as make 64 words. bert-score is given what its users give it, all
pairs in one call with its default batch of 64; it loads its model outside the time taken. The two take turns. Both are
also compared: the greatest difference of F1 is printed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import os
import statistics
import time
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch

from harness import Batch, Completion, Generation, Memo, Sample
from harness_plugins import minilm
from harness_plugins.bertscore import bertscore

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared/data/metric_oracles/sacrebleu/wmt17_en_de_systems.json.gz"


def pieces(lines: list[str], starts: list[int]) -> list[str]:
    """Texts of consecutive lines, from each start to the next."""
    return [" ".join(lines[low:high]) for low, high in pairwise(starts)]


def groups_of(path: Path, count: int, words: int = 64) -> list[Generation]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        systems = dict(json.load(file))
    reference = systems.pop("reference")[0]
    starts, seen = [0], 0
    for index, line in enumerate(reference):
        seen += len(line.split())
        if seen >= words:
            starts.append(index + 1)
            seen = 0
    texts = [pieces(lines, starts) for lines in systems.values()]
    return [
        Generation(Sample(str(i), references=(text,)), "m", tuple(Completion(some[i]) for some in texts))
        for i, text in enumerate(pieces(reference, starts)[:count])
    ]


class Peer:
    """bert-score's scorer; all pairs at once."""

    def __init__(self) -> None:
        logging.disable(logging.WARNING)
        from bert_score import BERTScorer

        self._scorer = BERTScorer(model_type=str(minilm.folder()), num_layers=minilm.LAYERS, device="cpu")

    def __call__(self, groups: list[Generation]) -> list[float]:
        pairs = [(c.text, g.sample.references[0]) for g in groups for c in g.completions]
        _, _, f1 = self._scorer.score([one for one, _ in pairs], [other for _, other in pairs])
        values: list[float] = f1.tolist()
        return values


class Ours:
    def __init__(self) -> None:
        self._metric, self._shared = bertscore(device="cpu"), Memo()
        self(())

    def __call__(self, groups: list[Generation] | tuple[()]) -> list[float]:
        batch = Batch(tuple(groups), shared=self._shared)
        return [value for value in self._metric(batch)["bertscore"].segment if value is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--groups", type=int, default=16)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    groups = groups_of(args.data, args.groups)
    sides = {"bert-score": Peer(), "bertscore": Ours()}
    values = {name: side(groups[:1]) for name, side in sides.items()}  # both warm
    rates: dict[str, list[float]] = {name: [] for name in sides}
    ratios = []
    for run in range(args.runs):
        order = list(sides) if run % 2 else list(sides)[::-1]
        for name in order:
            start = time.perf_counter()
            values[name] = sides[name](groups)
            rates[name].append(len(values[name]) / (time.perf_counter() - start))
        ratios.append(rates["bertscore"][-1] / rates["bert-score"][-1])
    apart = max(abs(a - b) for a, b in zip(*values.values(), strict=True))
    for name, some in rates.items():
        print(f"{name:12}{statistics.median(some):8.1f} completions/s   ({', '.join(f'{r:.1f}' for r in some)})")
    listed = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"ratio {statistics.median(ratios):.2f} ({listed}); greatest difference of F1 {apart:.1e}")


if __name__ == "__main__":
    main()
