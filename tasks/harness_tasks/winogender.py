"""`winogender:PATH`: the Winogender templates as sentences to continue, cut just before their pronoun.

Rudinger, Naradowsky, Leonard & Van Durme 2018, "Gender Bias in Coreference Resolution", NAACL
(https://aclanthology.org/N18-2002). PATH is the `templates.tsv` of their repository (columns occupation(0),
other-participant(1), answer, sentence). A model that continues `The technician told the customer that` shows by its
pronoun whom it takes for what. What follows the pronoun would say to whom it refers, so both are open here:
templates that are the same before the pronoun make one sample.

Metadata: occupation, participant, answer (`occupation`, `participant` or `both`: to whom the templates' pronouns refer),
pronoun (`nominative`, `accusative`, `possessive`, joined by + where the templates differ), and, where a table of the
occupations lies beside the templates (`stats`), `target_share_female`: the share of women in the occupation by the US Bureau
of Labor Statistics (its column bls_pct_female, divided by 100). `cluster` is the occupation.
"""

from __future__ import annotations

import csv
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import DataError, Json, RegisterTask, Task, clean_text, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_COLUMNS = ["occupation(0)", "other-participant(1)", "answer", "sentence"]
_PRONOUN = re.compile(r"\s*\$(NOM|ACC|POSS)_PRONOUN")
_KINDS = {"NOM": "nominative", "ACC": "accusative", "POSS": "possessive"}
_ANSWERS = {"0": "occupation", "1": "participant"}
_STATS = ("winogender_occupations-stats.tsv", "occupations-stats.tsv")
_SHARE = "bls_pct_female"


@hookimpl
def register_tasks(register: RegisterTask) -> None:
    register("winogender", winogender, takes_path=True)


def winogender(
    rest: str, *, participant: Literal["named", "someone", "both"] = "named", stats: str | None = None
) -> Task:
    """Winogender's sentences up to their pronoun.

    `participant`: the other person is named (the customer), is `someone`, or both in turn. `stats`: the table
    of occupations, by its path from the templates' folder; left out, it is looked for there.
    """
    if participant not in ("named", "someone", "both"):
        raise ValueError(f"participant: {participant!r} is unknown; there is named, someone, both")
    ways = (False, True) if participant == "both" else (participant == "someone",)
    return partial(_rows, rest, ways, stats)


def _rows(path: str, ways: tuple[bool, ...], stats: str | None) -> Iterator[Mapping[str, Json]]:
    shares = _shares(Path(path), stats)
    prompts: dict[str, dict[str, Json]] = {}
    for line, cells in _table(Path(path), _COLUMNS):
        if cells["answer"] not in _ANSWERS:
            raise DataError(
                f"{path}, line {line}: the answer is {cells['answer']!r}; 0 (occupation) or 1 (participant)"
            )
        for someone in ways:
            prompt, kind = _cut(path, line, cells, someone)
            _merge(prompts.setdefault(prompt, _row(cells, someone, shares)), _ANSWERS[cells["answer"]], kind)
    numbers: dict[str, int] = {}
    for prompt, metadata in prompts.items():
        occupation = str(metadata["occupation"])
        numbers[occupation] = numbers.get(occupation, 0) + 1
        yield {
            "id": f"{occupation}-{numbers[occupation]}",
            "prompt": prompt,
            "language": "en",
            "cluster": occupation,
            "metadata": metadata,
        }


def _cut(path: str, line: int, cells: Mapping[str, str], someone: bool) -> tuple[str, str]:
    """The sentence up to its pronoun, with both persons filled in, and the pronoun's kind."""
    sentence = cells["sentence"]
    pronoun = _PRONOUN.search(sentence)
    if pronoun is None or pronoun.start() == 0:
        raise DataError(f"{path}, line {line}: no $NOM_PRONOUN, $ACC_PRONOUN or $POSS_PRONOUN stands after a word")
    text = sentence[: pronoun.start()]
    if someone:
        text = re.sub(r"\b(?:the|an?) \$PARTICIPANT", "someone", text)
        text = re.sub(r"\b(?:The|An?) \$PARTICIPANT", "Someone", text)
    text = text.replace("$OCCUPATION", cells["occupation(0)"]).replace("$PARTICIPANT", cells["other-participant(1)"])
    return text, _KINDS[pronoun[1]]


def _row(cells: Mapping[str, str], someone: bool, shares: Mapping[str, float]) -> dict[str, Json]:
    occupation = cells["occupation(0)"]
    metadata: dict[str, Json] = {
        "occupation": occupation,
        "participant": "someone" if someone else cells["other-participant(1)"],
    }
    return metadata | ({"target_share_female": shares[occupation]} if occupation in shares else {})


def _merge(metadata: dict[str, Json], answer: str, kind: str) -> None:
    seen = metadata.setdefault("answer", answer)
    metadata["answer"] = answer if seen == answer else "both"
    kinds = {kind, *str(metadata.get("pronoun", kind)).split("+")}
    metadata["pronoun"] = "+".join(sorted(kinds))


def _shares(templates: Path, stats: str | None) -> dict[str, float]:
    """Expected shares of women by occupation; none where no table was named and none lies there."""
    names = _STATS if stats is None else (stats,)
    there = next((templates.parent / name for name in names if (templates.parent / name).is_file()), None)
    if there is None:
        if stats is None:
            return {}
        raise DataError(
            f"{templates.parent / stats}: there is no such file; stats is a path from the templates' folder"
        )
    found: dict[str, float] = {}
    for line, cells in _table(there, ["occupation", _SHARE]):
        try:
            found[cells["occupation"]] = round(float(cells[_SHARE]) / 100, 6)
        except ValueError:
            raise DataError(f"{there}, line {line}: {_SHARE} is {cells[_SHARE]!r}, and no number") from None
        if not 0 <= found[cells["occupation"]] <= 1:
            raise DataError(f"{there}, line {line}: {_SHARE} is {cells[_SHARE]!r}, and no percentage")
    return found


def _table(path: Path, columns: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table of text parted by tabs, with their lines."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    rows = csv.reader(clean_text(text).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    header = next(rows, [])
    missing = [column for column in columns if column not in header]
    if missing:
        raise DataError(f"{path}, line 1: the column {missing[0]!r} is missing; this is no table of Winogender")
    for line, cells in enumerate(rows, 2):
        if cells and len(cells) != len(header):
            raise DataError(f"{path}, line {line}: {len(cells)} cells, but the first line names {len(header)} columns")
        if cells:
            yield line, dict(zip(header, cells, strict=True))
