"""The records of `harness score`: one JSON object per line, one line per sample and model.

    {"id": "7", "prompt": "...", "references": ["..."], "completions": ["...", null], "model": "m",
     "ratings": [{"fluency": 4.5, "coherence": [4, 5, null]}, {}],
     "preferences": [{"better": 0, "worse": "reference", "rater": "a", "tie": false}]}

Only `completions` must be there. A completion is a text, `null` where the model failed, or an object that
says more (`text, status, reason, finish_reason, tokens, logprob`). `id` is the number of the line where
none is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Final, Literal, TypeAlias, cast

from harness.errors import DataError, nearest
from harness.strictjson import AnyPath, check, clip, loads, read_lines, shown, step
from harness.text import check_text
from harness.types import STATUSES, Completion, Generation, Json, Message, Preference, Prompt, Sample, Status

Record: TypeAlias = "str | bytes | Mapping[str, Json]"

_SHOWN_PROBLEMS: Final = 10
_NO_TEXT: Final = "the record holds null: the model gave no text"
_KEYS: Final = (
    "id", "prompt", "references", "completions", "model", "metadata", "ratings", "preferences",
    "task", "language", "cluster",
)  # fmt: skip
_COMPLETION_KEYS: Final = ("text", "status", "reason", "finish_reason", "tokens", "logprob")
_MESSAGE_KEYS: Final = ("role", "content")
_PREFERENCE_KEYS: Final = ("better", "worse", "rater", "tie")


def read_generations(source: AnyPath | Iterable[Record]) -> list[Generation]:
    """The generations of a JSONL file, or of an iterable of lines or parsed records, all at once."""
    return list(iter_generations(source))


def iter_generations(source: AnyPath | Iterable[Record]) -> Iterator[Generation]:
    """The generations of a file of records, in order, without holding them all.

    Raises one `DataError` that names the first ten lines at fault and what is wrong with each; from the
    first of them on nothing more is given. Two records of one (task, id, model) and a source without
    records are errors too.
    """
    name = f"{source}" if isinstance(source, str | PathLike) else ""
    problems: list[str] = []
    lines: dict[tuple[str, str, str], int] = {}
    for number, raw in _numbered(source):
        try:
            generation = generation_of(_parsed(raw, f"line {number}"), f"line {number}", str(number))
            _check_new(generation.key, number, lines)
        except DataError as error:
            problems.append(str(error))
            if len(problems) == _SHOWN_PROBLEMS:
                break
            continue
        if not problems:
            yield generation
    if problems:
        raise DataError(_joined(name, problems))
    if not lines:
        raise DataError(f'{name or "the input"}: holds no records; give one {{"completions": [...]}} per line')


def generation_of(record: Mapping[str, Json], where: str, default_id: str = "") -> Generation:
    """The generation of one record. Raises `DataError`, starting with `where`, at the first thing wrong."""
    known(record, _KEYS, where)
    if "completions" not in record:
        raise DataError(f"{where}: completions: missing; give a list of texts")
    items = _list(record["completions"], f"{where}: completions", "texts")
    if not items:
        raise DataError(f"{where}: completions: empty; give at least one text, or null where the model failed")
    ratings = _all_ratings(record.get("ratings"), len(items), f"{where}: ratings")
    completions = tuple(
        _completion(item, ratings[index], f"{where}: completions[{index}]") for index, item in enumerate(items)
    )
    return Generation(
        sample=_sample(record, where, default_id),
        model=_text_or(record.get("model"), "", f"{where}: model"),
        completions=completions,
        preferences=_preferences(record.get("preferences"), len(items), f"{where}: preferences"),
    )


def record_of(generation: Generation) -> dict[str, Json]:
    """The record that reads back as this generation. What stands at its default is left out."""
    sample = generation.sample
    ratings = [{name: list(v) for name, v in c.ratings.items()} for c in generation.completions]
    entries: dict[str, Json] = {
        "task": sample.task or None,
        "id": sample.id,
        "model": generation.model or None,
        "language": sample.language,
        "cluster": sample.cluster,
        "prompt": prompt_json(sample.prompt),
        "references": list(sample.references),
        "metadata": dict(sample.metadata),
        "completions": [_completion_json(completion) for completion in generation.completions],
        "ratings": ratings if any(ratings) else None,
        "preferences": [_preference_json(preference) for preference in generation.preferences],
    }
    return {key: value for key, value in entries.items() if value not in (None, [], {})}


def prompt_of(value: Json | object, where: str) -> Prompt:
    """A prompt: text, or a chat as a list of `{"role", "content"}`, or `None`; else `DataError`."""
    if value is None:
        return None
    if isinstance(value, str):
        return check_text(value, where)
    if not isinstance(value, list | tuple) or not value:
        raise DataError(f'{where}: expected text or a list of {{"role", "content"}}, not {_emptiness(value)}')
    return tuple(_message(turn, f"{where}[{index}]") for index, turn in enumerate(value))


def prompt_json(prompt: Prompt) -> Json:
    """A prompt as JSON: `prompt_of` takes it back."""
    if prompt is None or isinstance(prompt, str):
        return prompt
    return [{"role": message.role, "content": message.content} for message in prompt]


def known(record: Mapping[str, object], keys: Sequence[str], where: str) -> None:
    """Raises `DataError` at a key that is not among `keys`."""
    for key in record:
        if key not in keys:
            raise DataError(f"{where}: unknown key {clip(str(key))!r}{nearest(str(key), keys)}")


def _numbered(source: AnyPath | Iterable[Record]) -> Iterator[tuple[int, Record]]:
    if isinstance(source, str | PathLike):
        yield from read_lines(source)
        return
    for number, record in enumerate(source, 1):
        if isinstance(record, Mapping) or record.strip():
            yield number, record


def _parsed(raw: Record, where: str) -> Mapping[str, Json]:
    value = loads(raw, where) if isinstance(raw, str | bytes) else raw
    if not isinstance(value, Mapping):
        raise DataError(f"{where}: expected a record, an object with `completions`, not {shown(value)}")
    return value


def _check_new(key: tuple[str, str, str], number: int, lines: dict[tuple[str, str, str], int]) -> None:
    first = lines.setdefault(key, number)
    if first != number:
        task, sample, model = key
        raise DataError(
            f"line {number}: task {clip(task)!r}, id {clip(sample)!r}, model {clip(model)!r} stands in"
            f" line {first} already; put all completions of one sample and model into one record"
        )


def _joined(name: str, problems: list[str]) -> str:
    if len(problems) == 1:
        return f"{name}, {problems[0]}" if name else problems[0]
    more = f", the first {_SHOWN_PROBLEMS} of them" if len(problems) == _SHOWN_PROBLEMS else ""
    return "\n  ".join([f"{name or 'the input'}: records that cannot be taken{more}:", *problems])


def _sample(record: Mapping[str, Json], where: str, default_id: str) -> Sample:
    references = _list(record.get("references"), f"{where}: references", "texts")
    return Sample(
        id=_id(record.get("id"), default_id, f"{where}: id"),
        prompt=prompt_of(record.get("prompt"), f"{where}: prompt"),
        references=tuple(_text(item, f"{where}: references[{i}]") for i, item in enumerate(references)),
        task=_text_or(record.get("task"), "", f"{where}: task"),
        language=_text_or_none(record.get("language"), f"{where}: language"),
        cluster=_text_or_none(_label(record.get("cluster")), f"{where}: cluster"),
        metadata=cast(
            "Mapping[str, Json]",
            check(_mapping(record.get("metadata"), f"{where}: metadata"), f"{where}: metadata", 1),
        ),
    )


def _completion(item: Json, ratings: Mapping[str, tuple[float | None, ...]], where: str) -> Completion:
    if item is None:
        return Completion(None, "error", _NO_TEXT, ratings=ratings)
    if isinstance(item, str):
        return Completion(check_text(item, where), ratings=ratings)
    if not isinstance(item, Mapping):
        raise DataError(f"{where}: expected text, null or an object with `text`, not {shown(item)}")
    known(item, _COMPLETION_KEYS, where)
    text = _text_or_none(item.get("text"), f"{where}.text")
    return Completion(
        text=text,
        status=_status(item.get("status"), text, f"{where}.status"),
        reason=_text_or_none(item.get("reason"), f"{where}.reason"),
        finish_reason=_text_or_none(item.get("finish_reason"), f"{where}.finish_reason"),
        tokens=_count(item.get("tokens"), f"{where}.tokens"),
        logprob=_number(item.get("logprob"), f"{where}.logprob"),
        ratings=ratings,
    )


def _status(value: Json, text: str | None, where: str) -> Status:
    if value is None:
        return "ok" if text is not None else "error"
    if value not in STATUSES:
        raise DataError(f"{where}: {shown(value)} is no status{nearest(str(value), STATUSES)}")
    if value == "ok" and text is None:
        raise DataError(f"{where}: 'ok', but there is no text; give `text`, or the status 'error' and a reason")
    return value


def _all_ratings(value: Json, count: int, where: str) -> list[dict[str, tuple[float | None, ...]]]:
    if value is None:
        return [{} for _ in range(count)]
    items = _list(value, where, "objects")
    if len(items) != count:
        raise DataError(f"{where}: {len(items)} for {count} completions; give one object for each ({{}} for none)")
    return [_ratings(item, f"{where}[{index}]") for index, item in enumerate(items)]


def _ratings(item: Json, where: str) -> dict[str, tuple[float | None, ...]]:
    found: dict[str, tuple[float | None, ...]] = {}
    for name, given in _mapping(item, where).items():
        path = f"{where}.{step(check_text(name, where))}"
        if isinstance(given, list | tuple):
            found[name] = tuple(_number(rating, f"{path}[{rater}]") for rater, rating in enumerate(given))
        else:
            found[name] = (_number(given, path),)
    return found


def _preferences(value: Json, count: int, where: str) -> tuple[Preference, ...]:
    return tuple(
        _preference(_mapping(item, f"{where}[{index}]"), count, f"{where}[{index}]")
        for index, item in enumerate(_list(value, where, "objects"))
    )


def _preference(item: Mapping[str, Json], count: int, where: str) -> Preference:
    known(item, _PREFERENCE_KEYS, where)
    better = _side(item.get("better"), count, f"{where}.better")
    worse = _side(item.get("worse"), count, f"{where}.worse")
    if better == worse:
        raise DataError(f"{where}: better and worse are both {better!r}; name two")
    tie = item.get("tie", False)
    if not isinstance(tie, bool):
        raise DataError(f"{where}.tie: expected true or false, not {shown(tie)}")
    return Preference(better, worse, _text_or_none(item.get("rater"), f"{where}.rater"), tie)


def _side(value: Json, count: int, where: str) -> int | Literal["reference"]:
    if value == "reference":
        return "reference"
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < count:
        return value
    raise DataError(f"{where}: expected a completion's index from 0 to {count - 1}, or 'reference', not {shown(value)}")


def _message(turn: object, where: str) -> Message:
    if not isinstance(turn, Mapping):
        raise DataError(f'{where}: expected an object {{"role", "content"}}, not {shown(turn)}')
    known(turn, _MESSAGE_KEYS, where)
    return Message(_text(turn.get("role"), f"{where}.role"), _text(turn.get("content"), f"{where}.content"))


def _completion_json(completion: Completion) -> Json:
    entries: dict[str, Json] = {
        "text": completion.text,
        "status": completion.status,
        "reason": completion.reason,
        "finish_reason": completion.finish_reason,
        "tokens": completion.tokens,
        "logprob": completion.logprob,
    }
    said = {key: value for key, value in entries.items() if value is not None}
    if said == {"text": completion.text, "status": "ok"}:
        return completion.text
    return said


def _preference_json(preference: Preference) -> Json:
    said: dict[str, Json] = {"better": preference.better, "worse": preference.worse}
    if preference.rater is not None:
        said["rater"] = preference.rater
    return said | {"tie": True} if preference.tie else said


def _label(value: Json) -> Json:
    """Data sets number what they name."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _id(value: Json, default: str, where: str) -> str:
    text = _text_or(_label(value), default, where)
    if not text:
        raise DataError(f"{where}: empty; give a name, or leave it out")
    return text


def _text(value: Json | object, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: expected text, not {shown(value)}")
    return check_text(value, where)


def _text_or(value: Json, default: str, where: str) -> str:
    return default if value is None else _text(value, where)


def _text_or_none(value: Json, where: str) -> str | None:
    return None if value is None else _text(value, where)


def _number(value: Json, where: str) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise DataError(f"{where}: expected a number or null, not {shown(value)}")
    check(value, where)
    return float(value)


def _count(value: Json, where: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        check(value, where)
        return value
    raise DataError(f"{where}: expected a count from 0, not {shown(value)}")


def _list(value: Json, where: str, of: str) -> Sequence[Json]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise DataError(f"{where}: expected a list of {of}, not {shown(value)}")
    return value


def _mapping(value: Json, where: str) -> Mapping[str, Json]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise DataError(f"{where}: expected an object, not {shown(value)}")
    return value


def _emptiness(value: object) -> str:
    return "an empty list" if value in ([], ()) else shown(value)
