"""`echo`: gives back the prompt's text. For tests and for trying a suite without a model.

Options: `texts` (a list to answer from: the one at seed modulo its length), `fail_on` (prompts that hold this
text fail), `delay` (seconds to wait for each batch). `tokens` counts words. Nothing but prompt and seed
decides a text.
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING

from harness import Completion, Request, Settings, clean_text, hookimpl, prompt_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness import RegisterModel


@hookimpl
def register_models(register: RegisterModel) -> None:
    register("echo", echo)


def echo(
    rest: str = "", *, texts: list[str] | None = None, fail_on: str | None = None, delay: float = 0.0
) -> EchoModel:
    """A model that repeats its prompt, or answers from a list. `rest` only sets instances apart by name."""
    if texts is not None and not texts:
        raise ValueError("texts is empty: give at least one text, or leave it out")
    if fail_on == "":
        raise ValueError("fail_on is empty, which every prompt holds: give some text")
    if not 0 <= delay < float("inf"):
        raise ValueError(f"delay {delay} is no number of seconds from 0")
    return EchoModel(f"echo:{rest}" if rest else "echo", tuple(texts or ()), fail_on, delay)


class EchoModel:
    """See the module."""

    def __init__(self, name: str, texts: tuple[str, ...], fail_on: str | None, delay: float) -> None:
        self.name = name
        self._texts, self._fail_on, self._delay = texts, fail_on, delay

    @property
    def fingerprint(self) -> str:
        options = json.dumps([self._texts, self._fail_on]).encode()
        return f"echo:1:{hashlib.sha256(options).hexdigest()[:16]}"

    def prompt_tokens(self, requests: Sequence[Request]) -> list[int]:
        return [len(prompt_text(request.sample.prompt).split()) for request in requests]

    def generate(self, requests: Sequence[Request], settings: Settings) -> Iterator[tuple[int, tuple[Completion, ...]]]:
        time.sleep(self._delay)
        for index, request in enumerate(requests):
            yield index, tuple(self._answer(request, seed) for seed in request.seeds)

    def _answer(self, request: Request, seed: int) -> Completion:
        prompt = prompt_text(request.sample.prompt)
        if self._fail_on is not None and self._fail_on in prompt:
            return _failed(f"the prompt holds {self._fail_on!r}, on which this model is to fail")
        if not self._texts and request.sample.prompt is None:
            return _failed("the sample has no prompt")
        text = clean_text(self._texts[seed % len(self._texts)] if self._texts else prompt)
        return Completion(text, finish_reason="stop", tokens=len(text.split()))


def _failed(reason: str) -> Completion:
    return Completion(None, status="error", reason=clean_text(reason))
