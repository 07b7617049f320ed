"""The echo model: its answers are known in advance."""

from __future__ import annotations

import time
from typing import Any

import pytest

from harness import Completion, Message, Request, Sample, Settings
from harness_plugins import echo as plugin
from harness_plugins.echo import EchoModel, echo


def answers(model: EchoModel, prompts: list[Any], seeds: tuple[int, ...] = (0,)) -> list[tuple[Completion, ...]]:
    asked = [Request(Sample(str(i), prompt), seeds) for i, prompt in enumerate(prompts)]
    found = dict(model.generate(asked, Settings(n=len(seeds))))
    return [found[i] for i in range(len(prompts))]


def test_gives_back_the_prompt() -> None:
    chat = (Message("system", "be kind"), Message("user", "hi there"), Message("assistant", "x"))
    assert answers(echo(""), ["a b c", chat, "", "lone \ud800"], (1, 2)) == [
        (Completion("a b c", finish_reason="stop", tokens=3),) * 2,
        (Completion("hi there", finish_reason="stop", tokens=2),) * 2,
        (Completion("", finish_reason="stop", tokens=0),) * 2,
        (Completion("lone \ufffd", finish_reason="stop", tokens=2),) * 2,
    ]


def test_answers_from_a_list_by_seed() -> None:
    model = echo("", texts=["zero", "one", "two"])
    (group,) = answers(model, [None], (0, 1, 2, 3, 2**62))
    assert [c.text for c in group] == ["zero", "one", "two", "zero", "one"]  # 2**62 mod 3 is 1


def test_fails_on_a_text() -> None:
    good, bad, none = answers(echo("", fail_on="boom"), ["fine", "a boom b", None], (1, 2))
    assert [c.status for c in good] == ["ok", "ok"]
    assert [(c.text, c.status) for c in bad] == [(None, "error")] * 2
    assert "'boom'" in (bad[0].reason or "")
    assert none[0].reason == "the sample has no prompt"


def test_waits_once_a_batch() -> None:
    model = echo("", delay=0.05)
    start = time.monotonic()
    answers(model, ["a", "b", "c"], (1, 2))
    assert 0.05 <= time.monotonic() - start < 0.14


def test_counts_words_of_prompts() -> None:
    asked = [Request(Sample("1", "a b c"), (0,)), Request(Sample("2", None), (0,))]
    assert echo("").prompt_tokens(asked) == [3, 0]


def test_identity() -> None:
    assert (echo("").name, echo("b").name) == ("echo", "echo:b")
    prints = {
        echo("").fingerprint,
        echo("", texts=["a"]).fingerprint,
        echo("", texts=["b"]).fingerprint,
        echo("", fail_on="b").fingerprint,
    }
    assert len(prints) == 4
    assert echo("", delay=0.5).fingerprint == echo("x").fingerprint, "neither changes a text"


@pytest.mark.parametrize(
    "options", [{"texts": []}, {"fail_on": ""}, {"delay": -1.0}, {"delay": float("nan")}, {"delay": float("inf")}]
)
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        echo("", **options)


def test_registers_under_its_name() -> None:
    found: dict[str, Any] = {}
    plugin.register_models(lambda name, factory: found.update({name: factory}))
    assert found == {"echo": echo}
