"""A third-party plugin and a program that uses its numbers, with every type written out: what type checkers accept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import assert_type

import harness
from harness import (
    Batch,
    Completion,
    CorpusRow,
    Generation,
    Json,
    Metric,
    Model,
    NoValue,
    Rendered,
    Report,
    Request,
    Reward,
    Run,
    Sample,
    ScoreInfo,
    Scores,
    Settings,
    Task,
    hookimpl,
    metric_from,
    prompt_text,
    scores_from,
)


class Vowels:
    """A metric is any object with `infos` that can be called with a batch."""

    infos = (ScoreInfo("vowels", needs=frozenset(("prompt",))),)

    def __init__(self, *, letters: str = "aeiou") -> None:
        self._letters = frozenset(letters)

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        return {"vowels": scores_from(self.infos[0], "vowels|v:1", [self._share(t) for t in batch.texts])}

    def _share(self, text: str) -> float | NoValue:
        found = [char in self._letters for char in text.lower() if char.isalpha()]
        return sum(found) / len(found) if found else NoValue("abstain", "no letters")


class Mirror:
    name = "mirror"

    @property
    def fingerprint(self) -> str:
        return "mirror:1"

    def generate(self, requests: Sequence[Request], settings: Settings) -> Iterator[tuple[int, tuple[Completion, ...]]]:
        for index, request in enumerate(requests):
            yield index, tuple(Completion(prompt_text(request.sample.prompt)[::-1]) for _ in request.seeds)


def brief(completions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float | None]:
    return [1 / len(text) if text and wanted else None for text, wanted in zip(completions, references, strict=True)]


def rows() -> Iterable[Mapping[str, Json]]:
    yield {"id": "1", "prompt": "hello", "references": ["olleh"]}


def names(run: Run) -> Rendered:
    return Rendered(files=(run.write("names.txt", "\n".join(row.score for row in run.corpus).encode()),))


def make_task(rest: str) -> Task:
    return rows


def make_model(rest: str) -> Model:
    return Mirror()


def make_report() -> Report:
    return names


def make_reward() -> Metric:
    return metric_from(brief, needs=["references"])


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    register("vowels", Vowels)


@hookimpl
def register_rewards(register: Callable[[str, Callable[..., Metric]], None]) -> None:
    register("brief", make_reward)


@hookimpl
def register_models(register: Callable[[str, Callable[..., Model]], None]) -> None:
    register("mirror", make_model)


@hookimpl
def register_tasks(register: Callable[[str, Callable[..., Task]], None]) -> None:
    register("hello", make_task)


@hookimpl
def register_reports(register: Callable[[str, Callable[..., Report]], None]) -> None:
    register("names", make_report)


def use(path: str) -> list[float | None]:
    """The lines of the README, with the type of each."""
    generations = harness.read_generations(path)
    assert_type(generations, list[Generation])
    scores = harness.score(generations, ["bleu", {"rouge": {"use_stemmer": True}}])
    assert_type(scores, dict[str, Scores])
    bleu = scores["bleu"]
    assert_type(bleu.segment, list[float | None])
    assert_type(bleu.corpus, float | None)
    assert_type(bleu.signature, str)
    reward = harness.load_suite("suite.yaml").reward()
    rewards: Sequence[Reward] = reward(generations)
    return [r.total for r in rewards]


def look(folder: str) -> dict[str, float | None]:
    run = harness.open_run(folder)
    assert_type(run, Run)
    corpus: Sequence[CorpusRow] = run.corpus
    for group in run.groups():
        assert_type(group.generation.sample, Sample)
    return {row.score: row.value for row in corpus}


metric: Metric = Vowels(letters="aeiouy")
model: Model = Mirror()
