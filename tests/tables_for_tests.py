"""Generations of every kind, and the tables of scores that all bundled metrics make of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.assess import Table, assess, infos_of
from harness.loaded import load_metrics
from harness.registry import Registry
from harness.rewards import composite_from
from harness.suite import RewardSpec, TermSpec
from harness.types import Completion, Generation, Sample, ScoreInfo, Spec, Whole

METRICS: tuple[Any, ...] = ("bleu", "chrf", "rouge", "diversity", "sentiment", "length", "exact")
REWARD = RewardSpec(
    (TermSpec("quality", "rougeL"), TermSpec("spread", "diversity", 0.3), TermSpec("mood", "sentiment", required=False))
)


def generations(count: int = 25, *, task: str = "t", model: str = "m") -> list[Generation]:
    """Samples of every kind: no, one and many references, no prompt, empty texts, failures, groups of one, other scripts."""
    words = "the a pub river good bad happy sad place near Größe 好的 ! , 3.5 don't".split()
    dice = random.Random(11)

    def text() -> str:
        return " ".join(dice.choices(words, k=dice.randrange(0, 12)))

    found = []
    for i in range(count):
        completions = [Completion(text()) for _ in range(1 + i % 4)]
        if i % 6 == 5:
            completions[-1] = Completion(None, "timeout", "60 s")
        references = () if i == 0 or i % 7 == 3 else tuple(text() for _ in range(1 + i % 3))
        prompt = None if i % 9 == 8 else text()
        sample = Sample(f"s{i}", prompt, references, task, "en", cluster=f"c{i % 5}" if i % 2 else None)
        found.append(Generation(sample, model, tuple(completions)))
    return found


def table_of(registry: Registry, found: Sequence[Generation], chunk: int = 64) -> tuple[Table, dict[str, ScoreInfo]]:
    scorers = load_metrics([Spec("metric", m) for m in METRICS], registry)
    composite = composite_from(REWARD, infos_of(scorers, None))
    first = found[0]
    key = (first.sample.task, first.model)
    return assess(key, lambda: iter(found), scorers, composite, Whole(), seed=5, chunk=chunk), infos_of(
        scorers, composite
    )


def bits(values: Any) -> list[str]:
    return [float(v).hex() for v in np.asarray(values, np.float64).ravel()]
