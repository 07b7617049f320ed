"""BERTScore: how well the tokens of a completion and of a reference match in the space of an encoder.

Zhang et al. 2020, "BERTScore: Evaluating Text Generation with BERT", ICLR (https://arxiv.org/abs/1904.09675), as the
package bert-score 0.3.13 computes it (https://github.com/Tiiiger/bert_score): each token of the completion is matched
with the token of the reference whose vector has the greatest cosine, and the other way round.

`bertscore_precision`: weighted mean over the completion's tokens; `bertscore_recall`: over the reference's;
`bertscore`: their harmonic mean F1. -1 to 1, higher is better, needs references. With a real encoder values are positive
and close together (0.85 to 0.95 for roberta-large); `rescale` spreads them, and then 1 is still the highest and
(-1 - b) / (1 - b) with the baseline b the lowest.
Corpus: mean of the segments. Several references: `multi: best` is the highest of each of the three over the
references, as in bert-score (so F1 need not be the harmonic mean of the other two); `multi: mean` their mean.
Signature: `bertscore|model:minilm@80ce967f8ae0|layer:6|idf:no|rescale:no|multi:best`; the twelve digits are a hash of the
model's files. `idf:task@HASH` or `idf:file@HASH` where words are weighted, `rescale:en` the languages of the baselines,
`|unknown:0.9` follows where `max_unknown` is not 0.5, and `|dtype:NAME` where it is not float32.
Tolerance: 1e-5 over batches in float32 (2e-2 in a half type), divided by 1 - b where rescaled: padding and the number of
rows change the order in which an encoder adds up.

Weights are 1 and of the tokenizer's [CLS] and [SEP] 0, or with `idf` a token's inverse document frequency: `true` counts
over the references of the task, each sample's once, a path over the lines of a UTF-8 text file. With `true` a value depends
on the other samples of the task and, online, of the request: use a file there.

Texts are stripped and cut at the model's maximum length (minilm: 510 tokens), as in bert-score; what follows is not
seen. A completion without any token gets 0, bert-score's definition: none of the reference is matched, and a silence
without a value would cost a model nothing. A blank reference is left out; where all are blank, the scores abstain.

Where more than `max_unknown` (0.5) of a completion's tokens are the tokenizer's unknown one, the scores abstain: unknown
tokens match each other, and so minilm, which knows a quarter of the Chinese characters, gives Chinese nonsense what good
text gets. Such a reference is left out, and where no other is there the scores abstain. Counted are a text's own tokens
within the maximum length. `max_unknown: 1` never abstains, as bert-score; nor does an encoder that reads bytes.

Where bert-score is wrong under transformers 5 this follows what it did under 4.57: RoBERTa's tokenizer gets a space before
the text, a blank text is no error, a model whose tokenizer states no maximum is cut at its number of positions (512 where
it has none), and its kind is read from its configuration, not from "t5" in a path. Three things differ on purpose.
bert-score's best match is at least 0 where a batch holds a longer text, whose padding counts as a token of cosine 0; here
only tokens count. bert-score takes any two ids for a blank text, also a word and the one special token of T5. And where P
and R have different signs, which takes vectors that point away from all others, F1 abstains: the formula can then give any
number.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError, NoValue, ScoreInfo, clean_text, hookimpl, require, scores_from
from harness_plugins import minilm
from harness_plugins.bertscore_tables import Triple, baseline_language, baselines, layer_table
from harness_plugins.encoders import MAX_UNKNOWN, EncoderHandle, Ids, Source, blocks, embedded, encoded

if TYPE_CHECKING:
    import torch

    from harness import Batch, Generation, Scores, Whole
    from harness_plugins.encoder_runtime import Encoder

_NAMES = ("bertscore", "bertscore_precision", "bertscore_recall")
_MULTI = ("best", "mean")
_TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2, "float16": 2e-2}
_ROUNDING = 1e-5  # how far float32 can take a cosine beyond 1

_ALL_BLANK = NoValue("abstain", "every reference is blank: there is nothing to compare with")
_NO_WEIGHT = NoValue(
    "abstain", "every token of the completion, or of all references, has the idf weight 0: it is in all references"
)
_SIGNS = NoValue("abstain", "precision and recall have different signs, and their harmonic mean says nothing")
_NOT_FINITE = NoValue("invalid", "the encoder gave a vector that is zero or not finite")

Value = float | NoValue


@dataclass(frozen=True, slots=True)
class _Idf:
    """Weights by inverse document frequency: log((n + 1) / (count + 1)), the count that of texts with the token."""

    texts: int
    counts: Mapping[int, int]

    def __call__(self, token: int) -> float:
        return math.log((self.texts + 1) / (self.counts.get(token, 0) + 1))


@dataclass(frozen=True, slots=True)
class _Options:
    layer: int
    idf: bool | Path
    rescale: bool
    language: str | None
    multi: str
    baselines: Mapping[str, Triple]


@dataclass(frozen=True, slots=True)
class _Job:
    """One completion and those references that can be used. `verdict`: its value where the encoder is not asked."""

    language: str | None
    completion: Ids
    references: tuple[Ids, ...]
    verdict: Value | None

    @property
    def rows(self) -> tuple[Ids, ...]:
        return (self.completion, *self.references)


class _BertScore:
    def __init__(self, handle: EncoderHandle, options: _Options) -> None:
        self._handle, self._options = handle, options
        self.infos = _infos(options, _TOLERANCE[handle.source.dtype])
        self._texts: list[str] | None = None
        self._digest: tuple[Whole, str] | None = None
        self._idf: tuple[Whole, tuple[str, str, str], _Idf] | None = None

    def __call__(self, batch: Batch) -> Mapping[str, Scores]:
        wanted = [(place, info) for place, info in enumerate(self.infos) if info.name in (batch.wanted or _NAMES)]
        if not wanted:
            return {}
        signature = self._signature(batch)
        rows = self._rows(batch) if batch.size else []
        return {
            info.name: scores_from(info, f"{info.name}|{signature}", [row[place] for row in rows])
            for place, info in wanted
        }

    def _signature(self, batch: Batch) -> str:
        options = self._options
        parts = [
            f"model:{self._handle.label(batch.shared)}",
            f"layer:{options.layer}",
            f"idf:{self._idf_label(batch.whole)}",
            f"rescale:{'+'.join(self._languages(batch.whole)) if options.rescale else 'no'}",
            f"multi:{options.multi}",
        ]
        return "|".join([*parts, *self._handle.marks])

    def _languages(self, whole: Whole) -> list[str]:
        """Those whose baselines are taken, and `none` where a sample has no language with a baseline."""
        if self._options.language:
            return [self._options.language]
        found = {baseline_language(language, self._options.baselines) or "none" for language in whole.languages}
        return sorted(found) or ["none"]

    def _idf_label(self, whole: Whole) -> str:
        if not self._options.idf:
            return "no"
        last = self._digest
        if last is None or last[0] is not whole:
            texts = sorted(hashlib.sha256(text.encode()).digest() for text in self._idf_texts(whole))
            self._digest = last = (whole, hashlib.sha256(b"".join(texts)).hexdigest()[:12])
        return f"{'task' if self._options.idf is True else 'file'}@{last[1]}"

    def _idf_texts(self, whole: Whole) -> list[str]:
        if isinstance(self._options.idf, bool):
            return [clean_text(text) for sample in whole.samples for text in sample.references]
        if self._texts is None:
            self._texts = _read_lines(self._options.idf)
        return self._texts

    def _weights(self, batch: Batch, encoder: Encoder) -> Callable[[int], float]:
        """What each token counts. Those of a task are kept until another task comes."""
        if not self._options.idf:
            return lambda token: 0.0 if token in encoder.weightless else 1.0
        last = self._idf
        if last is None or last[0] is not batch.whole or last[1] != encoder.key:
            texts = self._idf_texts(batch.whole)
            counts = Counter(token for ids in encoder.encode(texts, spaced=True) for token in set(ids))
            self._idf = last = (batch.whole, encoder.key, _Idf(len(texts), counts))
        return last[2]

    def _rows(self, batch: Batch) -> list[Sequence[Value]]:
        """The three values of each completion."""
        encoder = self._handle.load(batch.shared)
        weights = self._weights(batch, encoder)
        references = (text for g in batch.generations for text in g.sample.references)
        ids = encoded(batch, encoder, [*batch.texts, *references], spaced=True)
        jobs: list[_Job] = []
        for generation in batch.generations:
            jobs += self._jobs(encoder, generation, ids)
        matched = self._matched(batch, encoder, jobs, weights)
        return [self._rescaled(_values(job, matched, self._options.multi), job.language) for job in jobs]

    def _jobs(self, encoder: Encoder, generation: Generation, ids: Mapping[str, Ids]) -> list[_Job]:
        language, handle = generation.sample.language, self._handle
        full = [row for text in generation.sample.references if not encoder.blank(row := ids[text])]
        used = tuple(row for row in full if handle.knows(encoder, row))

        def verdict(own: Ids) -> Value | None:
            if not used:
                return handle.stranger("each reference", language) if full else _ALL_BLANK
            if encoder.blank(own):
                return 0.0
            return None if handle.knows(encoder, own) else handle.stranger("the completion", language)

        rows = [ids[completion.text or ""] for completion in generation.completions]
        return [_Job(language, own, used, verdict(own)) for own in rows]

    def _matched(
        self, batch: Batch, encoder: Encoder, jobs: Sequence[_Job], weights: Callable[[int], float]
    ) -> dict[tuple[Ids, Ids], tuple[Value, Value]]:
        """Precision and recall of each pair that occurs."""
        import torch

        found: dict[tuple[Ids, Ids], tuple[Value, Value]] = {}
        todo = [job for job in jobs if job.verdict is None]
        for block in blocks(todo, lambda job: job.rows):
            rows = sorted({row for job in block for row in job.rows})
            vectors = embedded(batch, encoder, rows, self._options.layer, self._handle.source.batch_tokens)
            tokens = {row: _Tokens.of(vectors[row], [weights(token) for token in row]) for row in rows}
            pairs = list(dict.fromkeys((job.completion, other) for job in block for other in job.references))
            means = [mean for one, other in pairs for mean in _match(tokens[one], tokens[other])]
            numbers = torch.stack(means).tolist()  # one transfer from the device for all of them
            for (one, other), precision, recall in zip(pairs, numbers[::2], numbers[1::2], strict=True):
                found[one, other] = tokens[one].checked(precision), tokens[other].checked(recall)
        return found

    def _rescaled(self, values: Sequence[Value], language: str | None) -> Sequence[Value]:
        options = self._options
        if not options.rescale:
            return values
        found = options.language or baseline_language(language, options.baselines)
        if found is None:
            what = f"language is {language!r}" if language else "language is not known"
            reason = f"rescale: the sample's {what}, and there are baselines for {_listed(options.baselines)} only"
            return (NoValue("abstain", reason),) * len(values)
        baseline = options.baselines[found]
        return [v if isinstance(v, NoValue) else (v - b) / (1.0 - b) for v, b in zip(values, baseline, strict=True)]


@dataclass(frozen=True, slots=True)
class _Tokens:
    """A text: its tokens' unit vectors, and their weights, which sum to 1 where any token has one."""

    vectors: torch.Tensor
    weights: torch.Tensor
    weighs: bool

    @classmethod
    def of(cls, vectors: torch.Tensor, weights: Sequence[float]) -> _Tokens:
        import torch

        total = math.fsum(weights)
        shares = torch.tensor([weight / (total or 1.0) for weight in weights], device=vectors.device)
        return cls(vectors / vectors.norm(dim=-1, keepdim=True), shares, total > 0)

    def checked(self, mean: float) -> Value:
        """A weighted mean over these tokens' cosines, rounding beyond 1 undone."""
        if not self.weighs:
            return _NO_WEIGHT
        if not math.isfinite(mean):
            return _NOT_FINITE
        return min(max(mean, -1.0), 1.0) if abs(mean) <= 1.0 + _ROUNDING else mean


def _match(completion: _Tokens, reference: _Tokens) -> tuple[torch.Tensor, torch.Tensor]:
    """Precision and recall."""
    cosines = completion.vectors @ reference.vectors.T
    return (cosines.amax(1) * completion.weights).sum(), (cosines.amax(0) * reference.weights).sum()


def _values(
    job: _Job, matched: Mapping[tuple[Ids, Ids], tuple[Value, Value]], multi: str
) -> tuple[Value, Value, Value]:
    """F1, precision and recall of one completion."""
    if job.verdict is not None:
        return (job.verdict,) * 3
    pairs = [matched[job.completion, reference] for reference in job.references]
    columns = [_harmonic(*pair) for pair in pairs], [p for p, _ in pairs], [r for _, r in pairs]
    f1, precision, recall = (_over_references(column, multi) for column in columns)
    return f1, precision, recall


def _harmonic(precision: Value, recall: Value) -> Value:
    if isinstance(precision, NoValue):
        return precision
    if isinstance(recall, NoValue):
        return recall
    if precision * recall < 0:
        return _SIGNS
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _over_references(values: Sequence[Value], multi: str) -> Value:
    """Of those that have a value; a number that is not finite is not passed over."""
    if _NOT_FINITE in values:
        return _NOT_FINITE
    numbers = [value for value in values if not isinstance(value, NoValue)]
    if not numbers:
        return values[0]
    return max(numbers) if multi == "best" else math.fsum(numbers) / len(numbers)


def _infos(options: _Options, tolerance: float) -> tuple[ScoreInfo, ...]:
    """The declared range is the true one: a cosine's, and where it is rescaled what the lowest becomes."""
    used = [options.baselines[options.language]] if options.language else list(options.baselines.values())
    infos = []
    for place, name in enumerate(_NAMES):
        own = [baseline[place] for baseline in used] if options.rescale else [0.0]
        low, spread = min((-1.0 - b) / (1.0 - b) for b in own), max(1.0 / (1.0 - b) for b in own)
        infos.append(ScoreInfo(name, low, 1.0, needs=frozenset({"references"}), tolerance=tolerance * max(spread, 1.0)))
    return tuple(infos)


def _read_lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"bertscore: idf: cannot read {str(path)!r} as UTF-8 text: {error}") from None
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise DataError(f"bertscore: idf: {str(path)!r} holds no text")
    return texts


def _check_layer(source: Source, layer: int | None) -> int:
    """The layer in force: the option, minilm's, or what bert-score's table says of the name."""
    if layer is None:
        found = minilm.LAYERS if source.model == "minilm" else layer_table().get(source.model)
        if found is None:
            raise ValueError(
                f"layer: bert-score's table has none for {source.model!r}; give the number of layers to use"
            )
        return found
    depth = minilm.LAYERS if source.model == "minilm" else source.layers
    if layer < 0 or (depth is not None and layer > depth):
        raise ValueError(f"layer: {layer!r} is not among 0 to {'the number of layers' if depth is None else depth}")
    return layer


def _check_rescale(model: str, layer: int, rescale: bool, language: str | None) -> dict[str, Triple]:
    if not rescale:
        if language is not None:
            raise ValueError("language: it chooses the baseline of `rescale`, which is off")
        return {}
    found = baselines(model, layer)
    if not found:
        raise ValueError(f"rescale: bert-score has no baseline for layer {layer} of {model!r}")
    if language is not None and language not in found:
        raise ValueError(f"language: no baseline of {model!r} for {language!r}; there is {_listed(found)}")
    return found


def _listed(there: Mapping[str, Triple]) -> str:
    return ", ".join(sorted(there))


def _check_idf(idf: bool | str) -> bool | Path:
    if isinstance(idf, bool):
        return idf
    path = Path(idf).expanduser()
    if not path.is_file():
        raise ValueError(f"idf: there is no file {idf!r}; give true, false, or a text file with a reference a line")
    return path.resolve()


def bertscore(
    *,
    model: str = "minilm",
    layer: int | None = None,
    idf: bool | str = False,
    rescale: bool = False,
    language: str | None = None,
    multi: str = "best",
    max_unknown: float = MAX_UNKNOWN,
    device: str = "auto",
    dtype: str = "float32",
    revision: str | None = None,
    batch_tokens: int = 0,
) -> _BertScore:
    """BERTScore with any encoder: `minilm`, a folder, or a name on the hub.

    `layer`: how many layers to use; by default bert-score's choice for the model's name, 6 for minilm; a folder needs
    it. `idf`: false, true (over the references of the task) or a text file of references. `rescale`: by
    bert-score's baseline for the model and `language` (default: each sample's own). `multi`: best or mean over
    references. `max_unknown`: abstain where a greater share of a text's tokens is unknown to the encoder. `device`: auto,
    cpu, cuda, cuda:N. `dtype`: float32, bfloat16, float16. `revision` of a hub model. `batch_tokens`: the most tokens,
    padding included, that the encoder takes at a time; 0: what suits the device.
    """
    if multi not in _MULTI:
        raise ValueError(f"multi: {multi!r} is unknown; there is {', '.join(_MULTI)}")
    require("bertscore", ("torch", "transformers", "bert_score"), "'reward-harness[bertscore]'")
    handle = EncoderHandle("bertscore", Source(model, revision, device, dtype, batch_tokens), max_unknown)
    used = _check_layer(handle.source, layer)
    found = _check_rescale(model, used, rescale, language)
    return _BertScore(handle, _Options(used, _check_idf(idf), rescale, language, multi, found))


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    register("bertscore", bertscore, scores=_NAMES)
