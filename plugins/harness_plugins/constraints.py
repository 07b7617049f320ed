"""Verifiable instructions: how many of those a sample carries a completion follows.

Zhou et al. 2023, "Instruction-Following Evaluation for Large Language Models" (https://arxiv.org/abs/2311.07911), called
IFEval. A sample's metadata holds `instruction_id_list`, a list of ids, and `kwargs`, a list of as many objects with the
arguments of each (null, or left out, where none takes any), so that IFEval's own `input_data.jsonl` is a task as it is:
`source: file:input_data.jsonl`, `fields: {id: key, prompt: prompt, metadata: [instruction_id_list, kwargs]}`.

`constraints`: the share of the instructions that the completion follows, strictly: as it stands.
Corpus: from summed counts: followed instructions / all instructions ("instruction-level accuracy").
`constraints_loose`: an instruction counts as followed if the completion follows it as it stands, without its first
line, its last line or both, or any of these without asterisks: what a friendly preface and Markdown spoil is forgiven.
Corpus: as above.
`constraints_all`, `constraints_all_loose`: 1 where all instructions are followed, else 0.
Corpus: mean ("prompt-level accuracy").
All: 0 to 1, higher is better. They abstain where the sample has no instruction, and are invalid, with the reason, where one
has an unknown id, lacks an argument or has one that cannot be. An empty completion follows nothing.
Signatures: `constraints|mode:strict|version:1`, `constraints_loose|mode:loose|version:1` and alike; where the task
has samples in languages without spaces, which are counted otherwise, these follow: `|spaceless:ja+zh`.

`analyse` gives the table `constraints`: by task, model and instruction the shares that were followed.

All 25 kinds of IFEval say what its reference code says, but for these differences. An argument that is missing, which the
reference draws at random, is invalid. Keywords, section and postscript markers are texts, not patterns. Sentences are
split as by Punkt, with our lists of abbreviations and sentence starters in place of the tables it learnt.
langdetect is asked with seed 0 (the reference: at random); `zh` is met by its `zh-cn` and `zh-tw`. JSON of more than 200
levels is not taken for JSON. Where the sample's `language` is written without spaces (Chinese, Japanese, Thai, Lao, Khmer,
Burmese, Tibetan): words are counted as everywhere here, a character each; sentences end with 。！？ and their like (Thai and
Lao: invalid); a forbidden word needs no boundaries beside such letters; the first word of a paragraph is how it begins;
quotation marks may be “”, 「」, 『』; in Chinese and Japanese the wide comma is a comma. Other languages: as English.

Ours, after the same manner: `harness:number_characters` {num_characters, relation} (white space left out, punctuation
counted), `harness:number_lines` {num_lines, relation} (with something in them), `harness:numbered_list` {num_items}
(exactly, from 1 without a gap), `harness:start_checker` {start_phrase}, `harness:json_keys` {keys} (an object with all
of them). Their relations: less than, at most, exactly, at least, more than. IFEval's kinds know less than and at least.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import AnalysisTable, Memo, NoValue, ScoreInfo, hookimpl, scores_from
from harness_plugins.constraint_kinds import KINDS, BadInstruction, instructions_of
from harness_plugins.words import SPACELESS, primary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from harness import Batch, Generation, Run, Sample, Scores, Whole
    from harness_plugins.constraint_kinds import Instruction

_INFOS = (
    ScoreInfo("constraints", corpus="statistics"),
    ScoreInfo("constraints_loose", corpus="statistics"),
    ScoreInfo("constraints_all"),
    ScoreInfo("constraints_all_loose"),
)
_COLUMNS = ("task", "model", "instruction", "strict", "loose", "n")


@dataclass(frozen=True, slots=True)
class _Followed:
    """Of one completion, by instruction: followed as it stands, and (None where not asked for) forgivingly."""

    strict: tuple[bool, ...]
    loose: tuple[bool, ...] | None


def _follows(text: str, instruction: Instruction) -> bool:
    return bool(text.strip()) and instruction.check(text)


def _variants(text: str) -> list[str]:
    """The text, and what is left of it without first line, last line, both, and without asterisks; each once."""
    lines = text.split("\n")
    shorter = ("\n".join(some).strip() for some in (lines[1:], lines[:-1], lines[1:-1]))
    whole = [text, *shorter]
    return list(dict.fromkeys([*whole, *(some.replace("*", "") for some in whole)]))


def _followed(text: str, instructions: Sequence[Instruction], *, loose: bool) -> _Followed:
    strict = tuple(_follows(text, one) for one in instructions)
    if not loose:
        return _Followed(strict, None)
    others = _variants(text)[1:]
    forgiven = (yes or any(_follows(o, i) for o in others) for yes, i in zip(strict, instructions, strict=True))
    return _Followed(strict, tuple(forgiven))


def _instructions(sample: Sample, shared: Memo) -> list[Instruction] | NoValue:
    try:
        found = instructions_of(sample, shared)
    except BadInstruction as error:
        return NoValue("invalid", f"sample {sample.id!r}: {error}")
    return found or NoValue("abstain", "the sample's metadata holds no instruction_id_list: there is nothing to follow")


def _judged(generation: Generation, shared: Memo, *, loose: bool) -> list[_Followed | NoValue]:
    """One per completion."""
    instructions = _instructions(generation.sample, shared)
    if isinstance(instructions, NoValue):
        return [instructions] * len(generation.completions)
    return [_followed(c.text or "", instructions, loose=loose) for c in generation.completions]


def _signature(name: str, whole: Whole) -> str:
    mode = "loose" if name.endswith("_loose") else "strict"
    spaceless = sorted({primary(language) or "" for language in whole.languages} & SPACELESS)
    return f"{name}|mode:{mode}|version:1" + (f"|spaceless:{'+'.join(spaceless)}" if spaceless else "")


def _scores(info: ScoreInfo, signature: str, judged: Sequence[_Followed | NoValue]) -> Scores:
    import numpy as np

    chosen = [_chosen(info.name, one) for one in judged]
    if info.corpus == "mean":
        return scores_from(info, signature, [c if isinstance(c, NoValue) else float(all(c)) for c in chosen])
    rows = [[np.nan] * 2 if isinstance(c, NoValue) else [sum(c), len(c)] for c in chosen]
    values = [c if isinstance(c, NoValue) else sum(c) / len(c) for c in chosen]
    return scores_from(info, signature, values, statistics=np.array(rows, np.float64).reshape(len(rows), 2))


def _chosen(name: str, one: _Followed | NoValue) -> tuple[bool, ...] | NoValue:
    if isinstance(one, NoValue):
        return one
    return one.loose or () if name.endswith("_loose") else one.strict


class _Constraints:
    infos = _INFOS

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        infos = [info for info in _INFOS if not batch.wanted or info.name in batch.wanted]
        loose = any(info.name.endswith("_loose") for info in infos)
        generations = batch.generations if infos else ()
        judged = [one for g in generations for one in _judged(g, batch.shared, loose=loose)]
        return {info.name: _scores(info, _signature(info.name, batch.whole), judged) for info in infos}

    def corpus_from(self, name: str, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Followed / all instructions of summed counts: (rows, 2) -> (rows,); NaN for a row of none."""
        import numpy as np

        followed, asked = sums[:, 0], sums[:, 1]
        share: NDArray[np.float64] = np.full(len(sums), np.nan)
        return np.divide(followed, asked, out=share, where=asked > 0)

    def analyse(self, run: Run) -> Mapping[str, AnalysisTable]:
        """The table `constraints`: by task, model and instruction the share followed, of `n` asked for."""
        return {"constraints": AnalysisTable(_COLUMNS, tuple(_rows(run.generations())))}


def _rows(generations: Iterable[Generation]) -> list[tuple[str | float | int, ...]]:
    shared = Memo()
    counts: dict[tuple[str, str], dict[str, list[int]]] = {}
    for generation in generations:
        table = counts.setdefault((generation.sample.task, generation.model), {})
        instructions = _instructions(generation.sample, shared)
        for completion in generation.completions:
            if completion.text is not None and not isinstance(instructions, NoValue):
                _count(table, instructions, _followed(completion.text, instructions, loose=True))
    return [
        (task, model, id, table[id][0] / table[id][2], table[id][1] / table[id][2], table[id][2])
        for (task, model), table in counts.items()
        for id in KINDS
        if id in table
    ]


def _count(table: dict[str, list[int]], instructions: Sequence[Instruction], found: _Followed) -> None:
    for instruction, strict, loose in zip(instructions, found.strict, found.loose or (), strict=True):
        row = table.setdefault(instruction.id, [0, 0, 0])
        row[0] += strict
        row[1] += loose
        row[2] += 1


def constraints() -> _Constraints:
    """Verifiable instructions as in IFEval: the share that a completion follows."""
    return _Constraints()


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    register("constraints", constraints, scores=tuple(info.name for info in _INFOS))
