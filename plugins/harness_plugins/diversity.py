"""How different completions are: from the rest of their group, and over all of a task.

`diversity`: 1 - BLEU(completion | the rest of its group) / 100, by sacreBLEU's sentence BLEU (effective
order, smoothing exp), the other completions being its references: Self-BLEU (Zhu et al. 2018, "Texygen",
SIGIR, https://doi.org/10.1145/3209978.3210080) seen from one completion. 0 to 1, higher is more diverse,
scope group: each completion has a value of its own, so that it survives a group-normalised advantage. It
abstains in a group of 1. It is exactly 0 where the rest covers all n-grams of a completion, repetition
included, and no length is missing (a copy). A completion without any token gets 0: by the formula, silence
would be the most diverse of all texts.
Corpus: mean of the segments. Signature: `diversity|case:mixed|eff:yes|tok:13a|smooth:exp`.

`distinct1`, `distinct2`, `distinct3`: distinct n-grams / all n-grams over all completions of one task and
model (Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models", NAACL,
https://aclanthology.org/N16-1014). 0 to 1, higher is more diverse. It falls as texts get longer or more:
compare equal amounts only. Signature: `distinct2|case:mixed|tok:13a`.

`entropy`: Shannon entropy, in nats, of the n-grams of those same completions, n = `entropy_order` (default 4,
then known as Ent-4; Zhang et al. 2018, "Generating Informative and Diverse Conversational Responses via
Adversarial Information Maximization", NeurIPS, https://arxiv.org/abs/1809.05972). From 0, unbounded above,
higher is more diverse.
Signature: `entropy|case:mixed|tok:13a|n:4|unit:nats`.

`distinct` and `entropy` have corpus scope: no value per completion, none at all where there is no n-gram.
N-grams do not cross completions. Memory grows with the number of distinct n-grams.

`tok` names the tokenizers that the task's languages meet, as for bleu: `tokenize: auto` takes `zh` for Chinese samples,
`char` for those in another language written without spaces, `13a` for the rest.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from harness import NoValue, ScoreInfo, corpus_score, hookimpl, scores_from
from harness_plugins.sacrebleu_tokens import Lines, check_tokenizer, signature_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from harness import Batch, Scores

    NGrams = Mapping[tuple[str, ...], int]

_DIVERSITY = ScoreInfo("diversity", scope="group")
_DISTINCT = {f"distinct{n}": n for n in (1, 2, 3)}
_ENTROPY = "entropy"
_INFOS = (
    _DIVERSITY,
    *(ScoreInfo(name, scope="corpus", corpus="none") for name in _DISTINCT),
    ScoreInfo(_ENTROPY, 0.0, math.inf, scope="corpus", corpus="none"),
)
_CORPUS_INFOS = _INFOS[1:]


class _Rest:
    """The n-grams of a group's completions, and for any one of them the most that another holds of each."""

    def __init__(self, grams: Sequence[NGrams]) -> None:
        self._most: dict[tuple[str, ...], tuple[int, int]] = {}
        self._second: dict[tuple[str, ...], int] = {}
        for owner, counts in enumerate(grams):
            for gram, count in counts.items():
                most, holder = self._most.get(gram, (0, owner))
                if count > most:
                    self._most[gram] = (count, owner)
                    self._second[gram] = most
                elif holder != owner:
                    self._second[gram] = max(count, self._second[gram])

    def without(self, owner: int, gram: tuple[str, ...]) -> int:
        most, holder = self._most[gram]
        return self._second[gram] if holder == owner else most


def _self_diversity(lines: Sequence[str], order: int) -> list[float]:
    """1 - sentence BLEU / 100 of each line against the others. Clipped counts in one pass over the group's
    n-grams."""
    from sacrebleu.metrics.helpers import extract_all_word_ngrams

    counted = [extract_all_word_ngrams(line, 1, order) for line in lines]
    rest = _Rest([grams for grams, _ in counted])
    lengths = [length for _, length in counted]
    values = []
    for owner, (grams, length) in enumerate(counted):
        correct, total = [0] * order, [0] * order
        for gram, count in grams.items():
            total[len(gram) - 1] += count
            correct[len(gram) - 1] += min(count, rest.without(owner, gram))
        others = (other for index, other in enumerate(lengths) if index != owner)
        closest = min((abs(length - other), other) for other in others)[1]
        values.append(_one_minus_bleu(correct, total, length, closest))
    return values


def _one_minus_bleu(correct: list[int], total: list[int], length: int, closest: int) -> float:
    from sacrebleu.metrics.bleu import BLEU

    if length == 0 or (correct == total and length >= closest):  # the formula's exp(log(100)) is 100 only nearly
        return 0.0
    order = len(correct)
    score = BLEU.compute_bleu(
        correct, total, length, closest, smooth_method="exp", effective_order=True, max_ngram_order=order
    )
    return min(max(1.0 - score.score / 100.0, 0.0), 1.0)


class _Tally:
    """Counts of all n-grams of some orders, by numbers that stand for tokens."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._counts: dict[int, Counter[tuple[int, ...]]] = {}

    def add(self, tokens: Sequence[str], orders: Iterable[int]) -> None:
        ids = [self._ids.setdefault(token, len(self._ids)) for token in tokens]
        for n in orders:
            self._counts.setdefault(n, Counter()).update(zip(*(ids[i:] for i in range(n)), strict=False))

    def distinct(self, n: int) -> float | None:
        counts = self._counts.get(n)
        return len(counts) / counts.total() if counts else None

    def entropy(self, n: int) -> float | None:
        """By how often each count occurs, and summed exactly, so that the order of the texts cannot
        matter."""
        counts = self._counts.get(n)
        if not counts:
            return None
        total = counts.total()
        terms = (kinds * (count / total) * math.log(total / count) for count, kinds in Counter(counts.values()).items())
        return math.fsum(terms)


class _Diversity:
    infos = _INFOS

    def __init__(self, tokenize: str, lowercase: bool, max_ngram_order: int, entropy_order: int) -> None:
        self._lines = Lines("diversity", tokenize=tokenize, lowercase=lowercase)
        self._case = f"case:{'lc' if lowercase else 'mixed'}"
        self._tokenize = tokenize
        self._order = max_ngram_order
        self._orders = {**_DISTINCT, _ENTROPY: entropy_order}

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        """The one score that completions have; those of corpus scope come from `over`."""
        if batch.wanted and _DIVERSITY.name not in batch.wanted:
            return {}
        values: list[float | NoValue] = []
        for generation in batch.generations:
            line = self._lines.of(batch, generation.sample.language)
            lines = [line(completion.text or "") for completion in generation.completions]
            if len(lines) == 1:
                values.append(NoValue("abstain", "the group holds one completion: there is nothing to differ from"))
            else:
                values.extend(_self_diversity(lines, self._order))
        signature = self._signature(_DIVERSITY.name, batch.whole.languages)
        return {_DIVERSITY.name: scores_from(_DIVERSITY, signature, values)}

    def over(self, batches: Iterable[Batch]) -> Mapping[str, Scores]:
        """distinct-n and entropy over all completions of the batches, which are read once, one after the
        other."""
        tally = _Tally()
        names = {info.name for info in _CORPUS_INFOS}
        languages: frozenset[str | None] = frozenset()
        for batch in batches:
            names &= batch.wanted or names
            languages |= batch.whole.languages
            self._count(batch, {self._orders[name] for name in names}, tally)
        return {
            info.name: corpus_score(info, self._signature(info.name, languages), self._value(info.name, tally))
            for info in _CORPUS_INFOS
            if info.name in names
        }

    def _count(self, batch: Batch, orders: set[int], tally: _Tally) -> None:
        for generation in batch.generations:
            line = self._lines.of(batch, generation.sample.language)
            for completion in generation.completions:
                tally.add(line(completion.text or "").split(), orders)

    def _value(self, name: str, tally: _Tally) -> float | None:
        order = self._orders[name]
        return tally.entropy(order) if name == _ENTROPY else tally.distinct(order)

    def _signature(self, name: str, languages: frozenset[str | None]) -> str:
        tok = f"tok:{signature_name(self._tokenize, languages)}"
        if name == _ENTROPY:
            return f"{name}|{self._case}|{tok}|n:{self._orders[name]}|unit:nats"
        if name in _DISTINCT:
            return f"{name}|{self._case}|{tok}"
        signature = f"{name}|{self._case}|eff:yes|{tok}|smooth:exp"
        return signature if self._order == 4 else f"{signature}|n:{self._order}"


def diversity(
    *, tokenize: str = "auto", lowercase: bool = False, max_ngram_order: int = 4, entropy_order: int = 4
) -> _Diversity:
    """Self-BLEU diversity, distinct-n and n-gram entropy.

    `tokenize` and `lowercase` are as for bleu and hold for all scores. `max_ngram_order` is that of `diversity`,
    `entropy_order` the n of `entropy`.
    """
    check_tokenizer(tokenize)
    for option, value in (("max_ngram_order", max_ngram_order), ("entropy_order", entropy_order)):
        if value < 1:
            raise ValueError(f"{option}: {value!r} is not at least 1")
    return _Diversity(tokenize, lowercase, max_ngram_order, entropy_order)


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    register("diversity", diversity, scores=tuple(info.name for info in _INFOS))
