"""Generation: the plan of batches, what a model may answer, and what is made once more."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import PluginError
from harness.generate import generate, plan
from harness.journal import NAME, Journal
from harness.keys import sample_key
from harness.types import Completion, Request, Sample, Settings

SAMPLES = tuple(Sample(f"s{i}", f"prompt {i}", task="t") for i in range(6))
TWO = Settings(n=2, max_new_tokens=8, batch_tokens=1)  # a batch per sample


class Told:
    """A model whose answer to a request, and whose lengths of prompts, are what it is told."""

    name = fingerprint = "told"

    def __init__(self, answer: Callable[[Request], Any], lengths: list[Any] | None = None) -> None:
        self._answer = answer
        self._lengths = lengths
        self.asked: list[list[str]] = []

    def prompt_tokens(self, requests: Sequence[Request]) -> Any:
        return [3] * len(requests) if self._lengths is None else self._lengths

    def generate(self, requests: Sequence[Request], settings: Settings) -> Iterator[Any]:
        self.asked.append([r.sample.id for r in requests])
        yield from ((index, self._answer(request)) for index, request in enumerate(requests))


def good(request: Request) -> Any:
    return tuple(Completion(f"{request.sample.id} {seed % 7}", tokens=2) for seed in request.seeds)


def answers(journal: Journal) -> dict[str, tuple[Completion, ...]]:
    return {r.generation.sample.id: r.generation.completions for r in journal.read(journal.index)}


# The plan


def test_batches_hold_like_lengths_within_the_bound() -> None:
    settings = Settings(n=2, max_new_tokens=10, batch_tokens=120)
    assert plan([5, 20, 5, 20, 5], settings) == [[1, 3], [0, 2, 4]]  # 2 rows of 30 fit twice, 2 of 15 four times
    assert plan([200], settings) == [[0]]
    assert plan([], settings) == []


def test_every_beam_is_a_row() -> None:
    one = Settings(num_beams=4, max_new_tokens=5, batch_tokens=80)
    assert plan([5] * 4, one) == [[0, 1], [2, 3]]
    assert plan([5] * 4, Settings(n=4, num_beams=4, max_new_tokens=5, batch_tokens=80)) == [[0, 1], [2, 3]]
    assert plan([5] * 4, Settings(n=2, num_beams=1, max_new_tokens=5, batch_tokens=80)) == [[0, 1, 2, 3]]


@given(st.permutations(range(9)))
def test_the_order_of_samples_changes_no_batch(order: list[int]) -> None:
    lengths, keys = [4, 4, 4, 9, 9, 2, 4, 4, 9], [f"{7 * i % 9}" for i in range(9)]
    settings = Settings(max_new_tokens=6, batch_tokens=20)
    whole = [[keys[i] for i in batch] for batch in plan(lengths, settings, keys)]
    other = [keys[i] for i in order]
    assert [[other[i] for i in batch] for batch in plan([lengths[i] for i in order], settings, other)] == whole


def test_a_model_is_asked_in_batches_that_the_order_of_samples_does_not_change(tmp_path: Path) -> None:
    asked = []
    for name, samples in (("a", SAMPLES), ("b", SAMPLES[::-1])):
        (tmp_path / name).mkdir()
        model = Told(good)
        generate(model, "m", samples, Settings(max_new_tokens=7, batch_tokens=20), Journal.create(tmp_path / name, {}))
        asked.append(model.asked)
    assert asked[0] == asked[1]
    assert [len(batch) for batch in asked[0]] == [2, 2, 2]
    assert (tmp_path / "a" / NAME).read_bytes() == (tmp_path / "b" / NAME).read_bytes()


# What a model may answer

WRONG: dict[str, tuple[Callable[[Request], Any], str]] = {
    "a count below 0": (lambda r: (Completion("a"), Completion("b", tokens=-1)), r"completions\[1\]\.tokens: .* -1"),
    "a count that is no int": (lambda r: (Completion("a", tokens=np.int64(3)),) * 2, r"tokens: expected a count"),  # type: ignore[arg-type]
    "a count beyond all": (lambda r: (Completion("a", tokens=10**120),) * 2, r"tokens: an integer of more than 100"),
    "no status": (lambda r: (Completion("a", "weird"),) * 2, r"status: the text 'weird' is no status"),  # type: ignore[arg-type]
    "NaN as a rating": (lambda r: (Completion("a", ratings={"x": (math.nan,)}),) * 2, r"ratings.*nan"),
    "ratings that are no tuple": (lambda r: (Completion("a", ratings={"x": [1.0]}),) * 2, "stored as it is: ratings"),  # type: ignore[dict-item]
    "ratings that are no mapping": (lambda r: (Completion("a", ratings=[1]),) * 2, r"completions\[0\]: AttributeError"),  # type: ignore[arg-type]
    "half a character": (lambda r: (Completion("a", finish_reason="\ud800"),) * 2, "finish_reason: .* lone surrogate"),
    "a reason that is none": (lambda r: (Completion("a", reason=b"x"),) * 2, r"reason: expected text"),  # type: ignore[arg-type]
    "a text that is none": (lambda r: (Completion(5), Completion("b")), r"completions\[0\]: \w+Error"),  # type: ignore[arg-type]
    "no completion": (lambda r: ("a", "b"), r"completions\[0\]: expected a Completion, not a str"),
    "nothing": (lambda r: None, "gave a NoneType completions where 2"),
    "too few": (lambda r: (Completion("a"),), "gave 1 completions where 2 were asked for"),
}


@pytest.mark.parametrize(("answer", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_stored_is_the_models_fault_and_costs_no_byte(
    tmp_path: Path, answer: Callable[[Request], Any], said: str
) -> None:
    journal = Journal.create(tmp_path, {})
    generate(Told(good), "m", SAMPLES[:1], TWO, journal)
    before = journal.path.read_bytes()
    model = Told(lambda r: answer(r) if r.sample.id == "s1" else good(r))
    with pytest.raises(PluginError, match=f"model 'told'.*{said}"):
        generate(model, "m", SAMPLES[:2], TWO, journal)
    assert journal.path.read_bytes() == before
    generate(Told(good), "m", SAMPLES[:2], TWO, Journal.open(tmp_path))
    assert set(answers(Journal.open(tmp_path))) == {"s0", "s1"}


@pytest.mark.parametrize("answer", ["x", (0,), None, ("0", ()), (7, ()), ([], ()), (-1, ())])
def test_an_answer_to_nothing_is_the_models_fault(tmp_path: Path, answer: Any) -> None:
    class Odd(Told):
        def generate(self, requests: Sequence[Request], settings: Settings) -> Iterator[Any]:
            yield answer

    with pytest.raises(PluginError, match="model 'told'"):
        generate(Odd(good), "m", SAMPLES[:1], TWO, Journal.create(tmp_path, {}))


@pytest.mark.parametrize("lengths", [[], [3], [3] * 9, [3, 3, 3, 3, 3, -20]])
def test_lengths_that_are_not_those_of_the_prompts_are_the_models_fault(tmp_path: Path, lengths: list[int]) -> None:
    with pytest.raises(PluginError, match="one length for each of 6 prompts"):
        generate(Told(good, lengths), "m", SAMPLES, TWO, Journal.create(tmp_path, {}))


def test_what_can_be_mended_is(tmp_path: Path) -> None:
    given = (Completion("a\ud800b", logprob=math.nan), Completion(None, reason="gone \ud800"))
    journal = Journal.create(tmp_path, {})
    generate(Told(lambda r: given), "m", SAMPLES[:1], TWO, journal)
    assert answers(journal)["s0"] == (Completion("a\ufffdb"), Completion(None, "error", "gone \ufffd"))


# What is made once more


def test_what_failed_is_made_once_more_and_no_text_is_lost_by_it(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, {})
    lost = Completion(None, "timeout", "too slow")
    generate(Told(lambda r: (good(r)[0], lost)), "m", SAMPLES[:2], TWO, journal)
    before = journal.path.read_bytes()
    failed = {r.key for r in journal.read(journal.index) if r.failed}
    assert failed == {("t", "m", sample_key(s)) for s in SAMPLES[:2]}
    again = Told(lambda r: (lost, lost) if r.sample.id == "s0" else good(r))
    generate(again, "m", SAMPLES[:2], TWO, journal, failed=failed)
    (tmp_path / "whole").mkdir()
    other = Journal.create(tmp_path / "whole", {})
    generate(Told(good), "m", SAMPLES[:2], TWO, other)
    texts = answers(other)
    assert answers(Journal.open(tmp_path)) == {"s0": (texts["s0"][0], lost), "s1": texts["s1"]}
    assert journal.path.read_bytes().startswith(before)
    idle = Told(good)
    generate(idle, "m", SAMPLES[:2], TWO, journal)
    assert idle.asked == []
