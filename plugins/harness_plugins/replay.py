"""`replay:FILE.jsonl`: completions recorded earlier, in the records of `harness score`.

A sample finds its record by its id, and by its task where the record names one. Option `model` picks one of
several models in the file. A sample without a record, or with fewer completions than asked for, gets errors
with the reason; of more it gets the first. Ratings, token counts and the rest of a completion are kept as
recorded.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness import (
    Completion,
    DataError,
    Generation,
    Request,
    Sample,
    Settings,
    clean_text,
    hookimpl,
    read_generations,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness import RegisterModel

_Key = tuple[str, str]


@hookimpl
def register_models(register: RegisterModel) -> None:
    register("replay", replay)


def replay(rest: str, *, model: str | None = None) -> ReplayModel:
    """The completions of a file; it is read at the first use."""
    if not rest:
        raise ValueError("replay needs a file: replay:FILE.jsonl")
    path = Path(rest).expanduser()
    if not path.is_file():
        raise ValueError(f"there is no file {rest!r} to replay")
    return ReplayModel(f"replay:{rest}", path, model)


@dataclass(frozen=True, slots=True)
class _Recorded:
    digest: str
    completions: dict[_Key, tuple[Completion, ...]]


class ReplayModel:
    """See the module. Raises `DataError` where the file cannot be read or leaves open which model is
    meant.
    """

    def __init__(self, name: str, path: Path, model: str | None) -> None:
        self.name = name
        self._path, self._model = path, model
        self._recorded: _Recorded | None = None

    @property
    def fingerprint(self) -> str:
        """The file's sha256 and the model picked from it."""
        return f"replay:1:{self._read().digest}:{self._model or ''}"

    def generate(self, requests: Sequence[Request], settings: Settings) -> Iterator[tuple[int, tuple[Completion, ...]]]:
        recorded = self._read().completions
        for index, request in enumerate(requests):
            found = _lookup(recorded, request.sample)
            yield index, _fitted(found, len(request.seeds), request.sample)

    def _read(self) -> _Recorded:
        if self._recorded is None:
            try:
                with self._path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise DataError(f"replay: cannot read {self._path}: {error.strerror or error}") from error
            generations = read_generations(self._path)
            self._recorded = _Recorded(digest, self._by_sample(self._of_model(generations)))
        return self._recorded

    def _of_model(self, generations: Sequence[Generation]) -> list[Generation]:
        models = sorted({generation.model for generation in generations})
        if self._model is None and len(models) > 1:
            raise DataError(
                f"replay: {self._path} holds completions of {len(models)} models ({_listed(models)}); "
                "pick one with the option `model`"
            )
        if self._model is not None and self._model not in models:
            raise DataError(
                f"replay: {self._path} holds no completions of the model {self._model!r}; it holds {_listed(models)}"
            )
        return [g for g in generations if self._model in (None, g.model)]

    def _by_sample(self, generations: Sequence[Generation]) -> dict[_Key, tuple[Completion, ...]]:
        return {(g.sample.task, g.sample.id): g.completions for g in generations}


def _lookup(recorded: dict[_Key, tuple[Completion, ...]], sample: Sample) -> tuple[Completion, ...]:
    exact = recorded.get((sample.task, sample.id))
    return recorded.get(("", sample.id), ()) if exact is None else exact


def _fitted(found: tuple[Completion, ...], wanted: int, sample: Sample) -> tuple[Completion, ...]:
    if not found:
        reason = f"the file holds no record of the sample {sample.id!r} of the task {sample.task!r}"
    else:
        reason = f"only {len(found)} of {wanted} completions are recorded"
    failed = Completion(None, status="error", reason=clean_text(reason))
    kept = tuple(
        completion if completion.text is None else replace(completion, text=clean_text(completion.text))
        for completion in found[:wanted]
    )
    return kept + (failed,) * (wanted - len(kept))


def _listed(models: Sequence[str]) -> str:
    shown = ", ".join(repr(model) for model in models[:8])
    return f"{shown} and {len(models) - 8} more" if len(models) > 8 else shown
