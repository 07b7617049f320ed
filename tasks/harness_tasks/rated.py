"""Sets of texts that people rated or compared, as records: `NAME:PATH`, for tasks with `recorded: true`.

    topicalchat:PATH   JSON of UniEval: dialogue responses of five systems, the mean of three raters on six dimensions.
                       Mehri and Eskenazi, "USR" (2020), https://aclanthology.org/2020.acl-main.64. The rows of the system
                       "Original Ground Truth" are the references; "New Human Generated" is a system like others.
    bagel:PATH         JSONL of BARTScore: descriptions of restaurants by two systems, one rating on each of three dimensions.
                       Novikova et al., "Why We Need New Evaluation Metrics for NLG" (2017),
                       https://aclanthology.org/D17-1238. The file does not name the systems: its halves are `first`, `second`.
    wmt-darr:PATH      JSONL of BARTScore: pairs of translations from Lithuanian, one rated better than the other. Ma et al.,
                       "Results of the WMT19 Metrics Shared Task" (2019), https://aclanthology.org/W19-5302.
    pandalm:PATH       JSON of PandaLM: pairs of answers to instructions, each judged by three people. Wang et al. (2024),
                       https://openreview.net/forum?id=5Nn2BLV7SB.
    tweets:PATH        TSV of VADER: tweets and the mean of twenty raters' valence, -4 to 4. Hutto and Gilbert (2014),
                       https://ojs.aaai.org/index.php/ICWSM/article/view/14550.

People compare texts of one sample, and a preference is between completions of one generation: in the two sets of pairs all texts
for one source are therefore the completions of one model, named after the set, and the metadata's `systems` says
whose each is. Such a set has no system level.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from harness import DataError, Json, RegisterTask, Task, hookimpl, json_lines, raw_lines, unreadable

Record: TypeAlias = "dict[str, Json]"
Row: TypeAlias = "tuple[str, Mapping[str, Any]]"
"""Where a row stands, and what it holds."""

_HUMAN_TEXT: Final = "Original Ground Truth"
_NO_KNOWLEDGE: Final = "_nofact"
_RATERS: Final = ("annotator1", "annotator2", "annotator3")


@hookimpl
def register_tasks(register: RegisterTask) -> None:
    for name, make in _SETS.items():
        register(name, _factory(make), takes_path=True)


def _factory(make: Callable[[str], Iterator[Record]]) -> Callable[[str], Task]:
    def rated_task(rest: str) -> Task:
        """Texts that people rated, as records of a file that is not part of the harness."""
        return partial(make, rest)

    rated_task.__doc__ = make.__doc__
    return rated_task


def topicalchat(path: str) -> Iterator[Record]:
    """Dialogue responses of TopicalChat, rated on six dimensions."""
    contexts: dict[tuple[str, str], list[Row]] = {}
    for where, row in _json_rows(path):
        contexts.setdefault((_text(row, "source", where), _text(row, "context", where)), []).append((where, row))
    for number, ((dialogue, knowledge), rows) in enumerate(contexts.items(), 1):
        human = [_text(row, "system_output", where) for where, row in rows if row.get("system_id") == _HUMAN_TEXT]
        for where, row in rows:
            model = _text(row, "system_id", where)
            if model != _HUMAN_TEXT:
                yield {
                    "id": str(number),
                    "prompt": _chat(dialogue, knowledge),
                    "references": [text.strip() for text in human],
                    "language": "en",
                    "model": model,
                    "completions": [_text(row, "system_output", where).strip()],
                    "ratings": [_scores(row, where)],
                }


def _chat(dialogue: str, knowledge: str) -> list[Json]:
    """Turns of two people, of whom the one who spoke last is the user; before them what they were given to read."""
    turns = [line.strip() for line in dialogue.splitlines() if line.strip()]
    said: list[Json] = [
        {"role": "user" if (len(turns) - index) % 2 else "assistant", "content": turn}
        for index, turn in enumerate(turns)
    ]
    return said if knowledge.strip() == _NO_KNOWLEDGE else [{"role": "system", "content": knowledge.strip()}, *said]


def bagel(path: str) -> Iterator[Record]:
    """Descriptions of restaurants from meaning representations, by two systems, rated on three dimensions."""
    rows = list(_jsonl_rows(path))
    ids: dict[str, str] = {}
    for number, (where, row) in enumerate(rows):
        source = _text(row, "source", where)
        yield {
            "id": ids.setdefault(source, str(len(ids) + 1)),
            "prompt": source,
            "references": list(dict.fromkeys(_texts(row, "references", where))),
            "language": "en",
            "model": "first" if number < len(rows) / 2 else "second",
            "completions": [_text(row, "prediction", where)],
            "ratings": [_scores(row, where)],
        }


def wmt_darr(path: str) -> Iterator[Record]:
    """Pairs of translations into English, one better than the other."""
    sources: dict[str, _Compared] = {}
    for where, row in _jsonl_rows(path):
        source = _text(row, "source", where)
        found = sources.setdefault(source, _Compared([_text(row, "reference", where)]))
        sides = [found.add(_text(row, f"{s}_system", where), _text(row, s, where)) for s in ("better", "worse")]
        found.preferences.append({"better": sides[0], "worse": sides[1]})
    for number, (source, found) in enumerate(sources.items(), 1):
        yield found.record(str(number), source, "wmt19", {"source_language": "lt"})


def pandalm(path: str) -> Iterator[Record]:
    """Pairs of answers to instructions, each judged by three people."""
    asked: dict[str, _Compared] = {}
    for where, row in _json_rows(path):
        instruction, given = _text(row, "instruction", where), _text(row, "input", where)
        found = asked.setdefault(f"{instruction}\n\n{given}".strip(), _Compared([]))
        systems = _text(row, "cmp_key", where).split("_")
        if len(systems) != 2:
            raise DataError(f"{where}: cmp_key: expected the names of two models with _ between them")
        sides = [
            found.add(system, _answer(row, name, where))
            for system, name in zip(systems, ("response1", "response2"), strict=True)
        ]
        found.preferences += (_vote(row, rater, sides, where) for rater in _RATERS)
    for number, (prompt, found) in enumerate(asked.items(), 1):
        yield found.record(str(number), prompt, "pandalm", {})


def _answer(row: Mapping[str, Any], name: str, where: str) -> str:
    """Answers that read True came out of a spreadsheet as the JSON value."""
    return str(row[name]) if isinstance(row.get(name), bool) else _text(row, name, where)


def _vote(row: Mapping[str, Any], rater: str, sides: Sequence[int], where: str) -> Json:
    """0 is a tie, 1 and 2 the better answer."""
    vote = row.get(rater)
    if vote not in (0, 1, 2) or isinstance(vote, bool):
        raise DataError(f"{where}: {rater}: expected 0, 1 or 2, not {str(vote)[:40]!r}")
    better, worse = reversed(sides) if vote == 2 else sides
    return {"better": better, "worse": worse, "rater": rater, "tie": vote == 0}


@dataclass(slots=True)
class _Compared:
    """The texts for one source, each once per system, and what people said of pairs of them."""

    references: list[str]
    texts: dict[tuple[str, str], int] = field(default_factory=dict)
    preferences: list[Json] = field(default_factory=list)

    def add(self, system: str, text: str) -> int:
        """The index of the completion. Two systems may say the same, and one may say two things."""
        return self.texts.setdefault((system, text), len(self.texts))

    def record(self, id: str, prompt: str, model: str, metadata: Mapping[str, Json]) -> Record:
        return {
            "id": id,
            "prompt": prompt,
            "references": list(self.references),
            "language": "en",
            "metadata": {**metadata, "systems": [system for system, _ in self.texts]},
            "model": model,
            "completions": [text for _, text in self.texts],
            "preferences": self.preferences,
        }


def tweets(path: str) -> Iterator[Record]:
    """Tweets and their valence."""
    for number, line in raw_lines(path):
        where = f"{path}, line {number}"
        cells = line.decode("utf-8", "replace").rstrip("\r\n").split("\t")
        if len(cells) != 3:
            raise DataError(f"{where}: {len(cells)} cells, not an id, a valence and a text")
        yield {
            "id": cells[0],
            "language": "en",
            "model": "tweets",
            "completions": [html.unescape(cells[2])],  # raters saw the sign, not its name
            "ratings": [{"valence": _number(cells[1], where)}],
        }


_SETS: Final[Mapping[str, Callable[[str], Iterator[Record]]]] = {
    "topicalchat": topicalchat,
    "bagel": bagel,
    "wmt-darr": wmt_darr,
    "pandalm": pandalm,
    "tweets": tweets,
}


def _json_rows(path: str) -> Iterator[Row]:
    try:
        found = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError as error:  # also what is not UTF-8
        raise DataError(f"{path}: this is no JSON: {error}") from None
    if not isinstance(found, list):
        raise DataError(f"{path}: expected a list of objects")
    yield from _rows((f"{path}, row {number}", row) for number, row in enumerate(found, 1))


def _jsonl_rows(path: str) -> Iterator[Row]:
    yield from _rows((f"{path}, line {number}", row) for number, row in json_lines(path))


def _rows(numbered: Iterable[tuple[str, object]]) -> Iterator[Row]:
    for where, row in numbered:
        if not isinstance(row, Mapping):
            raise DataError(f"{where}: expected an object")
        yield where, row


def _text(row: Mapping[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise DataError(f"{where}: {name}: expected text; is this another file?")
    return value


def _texts(row: Mapping[str, Any], name: str, where: str) -> list[str]:
    values = row.get(name)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise DataError(f"{where}: {name}: expected a list of texts; is this another file?")
    return values


def _scores(row: Mapping[str, Any], where: str) -> Record:
    scores = row.get("scores")
    if not isinstance(scores, Mapping) or not scores:
        raise DataError(f"{where}: scores: expected a rating by dimension; is this another file?")
    return {str(dimension): _number(rating, f"{where}: {dimension}") for dimension, rating in scores.items()}


def _number(value: object, where: str) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{where}: expected a number, not {str(value)[:40]!r}")
    return number
