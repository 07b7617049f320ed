"""A run as reports see it, without a folder to read: what `harness.Run` has, filled by hand."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, cast

from harness import AnalysisTable, Cell, CorpusRow, Group
from harness.types import STATUSES, Completion, Generation, Json, Message, Sample, ScoreInfo, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from harness import Run

NAMES = [
    "The Copper Kettle",
    "Bean & Leaf",
    "Riverside Diner",
    "Café Número Seis",
    "Old Mill",
    "Saffron Yard",
]
FOODS = ["Italian", "Indian", "French", "English", "Japanese"]
AREAS = ["by the river", "in the city centre"]
PRICES = ["cheap", "moderately priced", "more than £30", "high-priced"]


@dataclass
class FakeRun:
    """What a report is given."""

    folder: Path
    manifest: Mapping[str, Json]
    infos: Mapping[str, ScoreInfo]
    corpus: tuple[CorpusRow, ...]
    stored: Sequence[Group] = ()
    passes: int = field(default=0, compare=False)
    analyses: Mapping[str, AnalysisTable] = field(default_factory=dict)

    def groups(self) -> Iterator[Group]:
        self.passes += 1
        return iter(self.stored)

    def write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def as_run(self) -> Run:
        return cast("Run", self)


def ok(value: float) -> Cell:
    return Cell(value, "ok", None)


def no(status: Status, reason: str | None) -> Cell:
    return Cell(None, status, reason)


def infos() -> dict[str, ScoreInfo]:
    return {
        "bleu": ScoreInfo("bleu", 0, 100, corpus="statistics"),
        "chrf": ScoreInfo("chrf", 0, 100, corpus="statistics"),
        "rouge1": ScoreInfo("rouge1"),
        "rougeL": ScoreInfo("rougeL"),
        "sentiment": ScoreInfo("sentiment"),
        "diversity": ScoreInfo("diversity", scope="group"),
        "length": ScoreInfo("length", 0, float("inf")),
        "self_bleu": ScoreInfo("self_bleu", 0, 100, higher_is_better=False, scope="corpus", corpus="none"),
        "reward": ScoreInfo("reward"),
        **{f"reward.{name}": ScoreInfo(f"reward.{name}") for name in TERMS},
    }


TERMS: dict[str, tuple[str, float, float, float, bool]] = {
    "overlap": ("rougeL", 0.5, 0.0, 1.0, True),
    "sentiment": ("sentiment", 0.3, 0.0, 1.0, False),
    "diversity": ("diversity", 0.2, 0.0, 1.0, True),
}


def _sample(index: int, rng: random.Random, chat: bool) -> Sample:
    name, food, area, price = (rng.choice(options) for options in (NAMES, FOODS, AREAS, PRICES))
    facts = f"name[{name}], food[{food}], area[{area}], priceRange[{price}]"
    question = f"Describe the restaurant in one sentence.\n{facts}"
    prompt: str | tuple[Message, ...] = question
    if chat:
        prompt = (
            Message("system", "You write short, friendly restaurant descriptions."),
            Message("user", question),
        )
    references = tuple(
        pattern.format(name=name, food=food, area=area, price=price)
        for pattern in (
            "{name} is a {price} place {area} that serves {food} food.",
            "{area}, {name} offers {price} {food} dishes.",
            "If you like {food} food, try {name}, a {price} restaurant {area}.",
        )[: 1 + index % 3]
    )
    return Sample(f"{index:03d}-{name.split()[0].lower()}", prompt, references, "restaurants", "en")


def _completion(sample: Sample, index: int, rng: random.Random) -> Completion:
    start = rng.choice(["Located", "You will find it", "A cosy spot", "This restaurant is found"])
    tail = rng.choice(
        [
            "and it serves delicious food at a fair price.",
            "where the whole family is welcome, and the staff are friendly. The menu changes with the "
            "seasons, so there is always something new to try, and the prices stay within reach.",
            "with rather slow service.",
        ]
    )
    return Completion(f"{sample.references[0].split(' is ')[0]}: {start} {tail}", "ok", None, "stop", 20 + index)


def _cells(index: int, completion: int, rng: random.Random) -> dict[str, Cell]:
    cells = {
        "bleu": ok(round(rng.uniform(2, 40), 4)),
        "chrf": ok(rng.uniform(15, 60)),
        "rouge1": ok(rng.uniform(0.2, 0.7)),
        "rougeL": ok(rng.uniform(0.1, 0.6)),
        "sentiment": ok(rng.uniform(0.4, 1.0)),
        "diversity": ok(rng.uniform(0.5, 1.0)),
        "length": ok(float(rng.randint(9, 60))),
    }
    if index % 5 == 3:
        cells["sentiment"] = no("abstain", "the language 'lt' is not among those VADER knows (en)")
    if (index, completion) == (6, 2):
        cells["chrf"] = no("timeout", "took longer than 30 s")
        cells["diversity"] = no("invalid", "returned nan, which is not a number in [0, 1]")
    terms = {f"reward.{name}": cells[score] for name, (score, *_) in TERMS.items()}
    missing = [name for name, term in TERMS.items() if term[4] and cells[term[0]].value is None]
    if missing:
        return {"reward": no("invalid", f"the required term {missing[0]!r} has no value"), **terms, **cells}
    having = {name: term for name, term in TERMS.items() if cells[term[0]].value is not None}
    weight = sum(term[1] for term in having.values())
    total = sum(term[1] * (cells[term[0]].value or 0.0) for term in having.values()) / weight
    left_out = None if len(having) == len(TERMS) else "left out: sentiment"
    return {"reward": Cell(total, "ok", left_out), **terms, **cells}


def groups(models: Sequence[str], samples: int, completions: int, chat: bool = False) -> list[Group]:
    made = []
    for model in models:
        for index in range(samples):
            sample = _sample(index, random.Random(index), chat)
            rng = random.Random(f"{model!a}{index}")
            texts = tuple(_completion(sample, i, rng) for i in range(completions))
            cells = tuple(_cells(index, i, rng) for i in range(completions))
            made.append(Group(Generation(sample, model, texts), cells))
    return made


def corpus_rows(stored: Sequence[Group]) -> tuple[CorpusRow, ...]:
    columns: dict[tuple[str, str, str], list[float]] = {}
    for group in stored:
        for cells in group.cells:
            for name, cell in cells.items():
                key = (group.generation.sample.task, group.generation.model, name)
                columns.setdefault(key, [])
                if cell.value is not None:
                    columns[key].append(cell.value)
    made = []
    for (task, model, name), values in columns.items():
        mean = fmean(values) if values else None
        half = 0.06 * (mean or 0.0)
        low, high = (None, None) if mean is None else (mean - half, mean + half)
        made.append(CorpusRow(task, model, name, mean, low, high, len(values), f"{name}|version:1"))
    return tuple(made)


def status_counts(stored: Sequence[Group]) -> dict[str, Json]:
    counts: dict[str, dict[str, int]] = {}
    for group in stored:
        for cells in group.cells:
            for name, cell in cells.items():
                counts.setdefault(name, dict.fromkeys(STATUSES, 0))[cell.status] += 1
    return {name: dict(statuses) for name, statuses in counts.items()}


def _plugin(name: str, distribution: str, version: str, error: str | None = None) -> dict[str, Json]:
    state = "broken" if error else "ok"
    return {"name": name, "distribution": distribution, "version": version, "state": state, "error": error}


def _model(name: str) -> dict[str, Json]:
    plugin = {"plugin": "hf", "distribution": "reward-harness", "version": "0.1.0"}
    return {"name": name, "fingerprint": "sha256:" + "7e" * 32, **plugin, "options": {"dtype": "float32"}}


def _task(name: str, samples: int) -> dict[str, Json]:
    return {"name": name, "samples": samples, "source": f"{name}.jsonl", "language": "en"}


def _term(name: str, score: str, weight: float, low: float, high: float, required: bool) -> dict[str, Json]:
    told: dict[str, Json] = {"higher_is_better": True, "required": required}
    return {"name": name, "score": score, "weight": weight, "range": [low, high], **told}


def _reward() -> dict[str, Json]:
    terms = [_term(name, *values) for name, values in TERMS.items()]
    return {"combine": "weighted_mean", "terms": terms, "guard": [{"score": "length", "min": 3, "max": None}]}


def manifest(stored: Sequence[Group], name: str = "restaurants-quick") -> dict[str, Json]:
    models = list(dict.fromkeys(group.generation.model for group in stored))
    tasks = list(dict.fromkeys(group.generation.sample.task for group in stored))
    samples = {(group.generation.sample.task, group.generation.sample.id) for group in stored}
    rewards = [cells["reward"] for group in stored for cells in group.cells if "reward" in cells]
    completions = [each for group in stored for each in group.generation.completions]
    suite = f"name: {name}\ntasks:\n  - name: restaurants\n    source: restaurants.jsonl\nmodels: {models}\n"
    resolved: dict[str, Json] = {"name": name, "metrics": ["bleu", "chrf", {"rouge": {"use_stemmer": True}}]}
    return {
        "schema_version": 1,
        "kind": "run",
        "name": name,
        "harness_version": "0.1.0",
        "state": "complete",
        "suite": {"text": suite, "resolved": resolved},
        "identity": {"samples": "5d3f" * 16, "settings": {"n": 4}, "scores": "c07e" * 16},
        "tasks": [_task(name, sum(task == name for task, _ in samples)) for name in tasks],
        "models": [_model(model) for model in models],
        "settings": {"n": 4, "temperature": 0.8, "top_p": 1.0, "max_new_tokens": 64, "stop": [], "seed": 7},
        "plugins": [
            _plugin("bleu", "reward-harness", "0.1.0"),
            _plugin("sentiment", "reward-harness", "0.1.0"),
            _plugin("toxicity", "acme-toxicity", "2.3.1", "ModuleNotFoundError: No module named 'detoxify'"),
        ],
        "libraries": {"python": "3.11.9", "sacrebleu": "2.6.0", "numpy": "2.4.6"},
        "reward": _reward(),
        "counts": {
            "samples": len(samples),
            "generations": len(stored),
            "completions": len(completions),
            "without_text": sum(each.text is None for each in completions),
        },
        "statuses": status_counts(stored),
        "renormalised": sum(cell.status == "ok" and cell.reason is not None for cell in rewards),
    }


def fake_run(
    folder: Path,
    models: Sequence[str] = ("hf:smollm2-135m",),
    samples: int = 16,
    completions: int = 4,
    chat: bool = False,
) -> FakeRun:
    """A run of restaurant descriptions: some scores abstain, one times out, one is invalid."""
    stored = groups(models, samples, completions, chat)
    extra = tuple(
        CorpusRow("restaurants", model, "self_bleu", 31.5, None, None, samples, "self_bleu|version:1")
        for model in models
    )
    return FakeRun(folder, manifest(stored), infos(), corpus_rows(stored) + extra, stored)
