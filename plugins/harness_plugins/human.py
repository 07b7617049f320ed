"""Human consistency: what people rated and preferred, and how well every other score agrees with them.

Scores, from what the records hold (`ratings`, `preferences`):
`human.DIM`, one for each dimension under `dimensions`: the mean rating over the raters who gave one; range as given
there, higher is better, needs ratings. Abstains where nobody rated the completion on that dimension.
`human.preferred`: the share of the comparisons of a completion with others of its group that raters decided for it, a
tie being half; 0 to 1, higher is better, needs preferences. Abstains where it was not compared.
Corpus: mean of the segments. Signatures: `human.DIM|mean:raters`, `human.preferred|ties:half`.

After a run, `analyse` says how each other score, each term of the reward and the reward agree with people.
Table `agreement`: task, dimension, score, level, coefficient, value, ci_low, ci_high, n. Dimensions are all that were
rated (the mean over raters), and `preference`. Levels: `pooled` over all completions of all models; `sample` within each
sample, over all its completions by all models, then the mean over samples; `system` over the means of models, without value
below three models. The choice of level changes the ranking of scores; Deutsch, Dror and Roth, "Re-Examining System-Level
Correlations" (2022), https://aclanthology.org/2022.naacl-main.442, and Mathur et al., "Tangled up in BLEU" (2020),
https://aclanthology.org/2020.acl-main.448, say how.
Coefficients: `pearson`, `spearman`, `kendall` (tau-b) as they are, so that a score of which lower is better comes out negative;
and of pairs, where each score counts in its own direction:
`pairwise_accuracy`: of the pairs that people tell apart, the share that the score orders alike. A tie of the score is a
miss, as in WMT19's DARR, whose Kendall-like tau is 2 * accuracy - 1: a score that often ties can be below 0.5 and not wrong.
`pairwise_accuracy_half`: the same, a tie of the score being half a hit; 0.5 is chance, 2 * it - 1 is Somers' D.
`pairwise_accuracy_eq`: of all pairs, the share ordered or tied alike: acc_eq of Deutsch, Foster and Freitag, "Ties Matter"
(2023), https://aclanthology.org/2023.emnlp-main.798, without its calibration: scores that never tie are at a disadvantage.
`ties_score`, `ties_human`: shares of all pairs tied.
For ratings, pairs are of any two completions (of one sample, or of all) or two models. For `preference` they are those
that people compared, decided by what more raters said than anything else, else a tie; there is no level `system`.
`n` counts samples at the level `sample`, models at `system`; at `pooled` pairs for the last five coefficients (those told
apart for the first two of these), completions for the others. What does not vary has no value, and a sample without one is
left out of the mean, which needs three; a score without any value has no rows. Within samples of two completions every
correlation is 1 or -1. Intervals: percentile bootstrap, 95 %, over samples (or clusters of them), never single completions
(Efron and Tibshirani 1993); resamples without a value are left out, and where more than half are, so is the interval.
Ratings on a dimension that is called `preference` stand as `preference (rated)`. Scores and rewards that are made of what
people said, by a term or a guard, are not held against it.

Table `raters`: `alpha_nominal`, `alpha_ordinal`, `alpha_interval`, Krippendorff's alpha
(https://repository.upenn.edu/asc_papers/43), for preferences nominal; `ceiling_...`: one rater against the mean of the others
(pooled over completions, then the mean over raters), for preferences against the majority of the others. n: completions,
or comparisons, with two raters or more; who compared two texts twice is one rater. A score is held against all raters,
whose mean is steadier than that of all but one: it can come out above the ceiling.
Table `over_reference`, where people compared completions with a human text: by model the share of comparisons won (a tie is
half), and the share of ties.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from harness import NoValue, ScoreInfo, hookimpl, scores_from

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness import AnalysisTable, Batch, Completion, Generation, Run, Scores

_PREFERRED = ScoreInfo("human.preferred", needs=frozenset({"preferences"}))
_DIMENSION = re.compile("[A-Za-z][A-Za-z0-9_-]*")
_TAKEN = ("preferred", "preference", "status", "reason")


class _Human:
    def __init__(self, dimensions: Mapping[str, Sequence[float]], resamples: int, seed: int) -> None:
        self._dimensions = {f"human.{name}": name for name in dimensions}
        rated = (
            ScoreInfo(f"human.{name}", float(low), float(high), needs=frozenset({"ratings"}))
            for name, (low, high) in dimensions.items()
        )
        self.infos = (*rated, _PREFERRED)
        self._resamples, self._seed = resamples, seed

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        return {
            info.name: scores_from(info, self._signature(info.name), self._values(info.name, batch))
            for info in self.infos
            if not batch.wanted or info.name in batch.wanted
        }

    def analyse(self, run: Run) -> Mapping[str, AnalysisTable]:
        from harness_plugins.agreement import agreement
        from harness_plugins.judged import judged_tasks
        from harness_plugins.raters import over_reference, raters

        tasks = tuple(judged_tasks(run))
        tables = {
            "agreement": agreement(tasks, run.infos, self._resamples, self._seed),
            "raters": raters(tasks, self._resamples, self._seed),
        }
        against = over_reference(tasks, self._resamples, self._seed)
        return tables | {"over_reference": against} if against.rows else tables

    def _signature(self, name: str) -> str:
        return f"{name}|ties:half" if name == _PREFERRED.name else f"{name}|mean:raters"

    def _values(self, name: str, batch: Batch) -> list[float | NoValue]:
        if name == _PREFERRED.name:
            return [value for generation in batch.generations for value in _preferred(generation)]
        dimension = self._dimensions[name]
        return [_rating(completion, dimension) for g in batch.generations for completion in g.completions]


def _rating(completion: Completion, dimension: str) -> float | NoValue:
    given = [rating for rating in completion.ratings.get(dimension, ()) if rating is not None]
    if not given:
        return NoValue("abstain", f"nobody rated the completion's {dimension}")
    return math.fsum(given) / len(given)


def _preferred(generation: Generation) -> list[float | NoValue]:
    """Of each completion, the comparisons with other completions that it won, a tie being half."""
    won = [0.0] * len(generation.completions)
    compared = [0] * len(generation.completions)
    for preference in generation.preferences:
        if preference.better == "reference" or preference.worse == "reference":
            continue
        won[preference.better] += 0.5 if preference.tie else 1.0
        won[preference.worse] += 0.5 if preference.tie else 0.0
        compared[preference.better] += 1
        compared[preference.worse] += 1
    nothing = NoValue("abstain", "nobody compared the completion with another")
    return [w / n if n else nothing for w, n in zip(won, compared, strict=True)]


def _check_dimension(name: str, bounds: Sequence[float]) -> None:
    if not _DIMENSION.fullmatch(name) or name in _TAKEN:
        raise ValueError(
            f"dimensions: {name!r} cannot name a score; a name starts with a letter and holds letters, digits, _ -, "
            f"and is none of {', '.join(_TAKEN)}"
        )
    if len(bounds) != 2 or not all(map(math.isfinite, bounds)) or not bounds[0] < bounds[1]:
        raise ValueError(f"dimensions: {name}: give the scale as [lowest, highest], such as [1, 5], not {list(bounds)}")


def human(*, dimensions: dict[str, list[float]] | None = None, resamples: int = 1000, seed: int = 0) -> _Human:
    """Mean ratings as scores, and how all other scores agree with people.

    `dimensions`: the scale of each rated dimension that is to be a score, as `{overall: [1, 5]}`; the analysis takes all.
    `resamples`, `seed`: of the bootstrap intervals.
    """
    for name, bounds in (dimensions or {}).items():
        _check_dimension(name, bounds)
    if resamples < 0:
        raise ValueError(f"resamples: {resamples!r} is not at least 0; 0 gives no intervals")
    if seed < 0:
        raise ValueError(f"seed: {seed!r} is not at least 0")
    return _Human(dimensions or {}, resamples, seed)


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    register("human", human, scores=("human.preferred", "human.*"))
