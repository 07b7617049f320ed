"""What the host makes of a metric's answers: checking, isolation, groups, corpus scores."""

from __future__ import annotations

import copy
import math
import pickle
import random
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness import Batch, Completion, Generation, NoValue, Sample, ScoreInfo, score, scores_from
from harness.columns import Reasons
from harness.grouping import regroup, with_texts
from harness.types import STATUSES

from .metrics_for_tests import Words, generation, metric_of, registry_of, values_metric

THREE = [generation("1", "a b c", "a"), generation("2", "b b"), generation("3", "c d", "d", "e f g")]


def x_of(metric, generations=THREE):
    return harness.score(generations, ["x"], registry=registry_of(x=lambda: metric))["x"]


def test_values_are_flat_and_in_order():
    scores = harness.score(THREE, ["words"], registry=registry_of(words=Words))
    assert scores["words"].segment == [3.0, 1.0, 2.0, 2.0, 1.0, 3.0]
    assert scores["rivals"].segment == [1.0, 1.0, 0.0, 2.0, 2.0, 2.0]
    assert list(scores) == ["words", "overlap", "variety", "rivals"]  # as the metric declares them


def test_corpus_scores_by_their_rule():
    scores = harness.score(THREE, ["words"], registry=registry_of(words=Words))
    assert scores["words"].corpus == 12 / 6  # of summed statistics
    assert scores["rivals"].corpus == 8 / 6  # mean
    assert scores["variety"].corpus == 7 / 12  # over all texts
    assert scores["variety"].segment == []


def test_two_signatures_where_segments_and_corpus_differ():
    scores = harness.score(THREE, ["words"], registry=registry_of(words=Words))
    assert (scores["words"].signature, scores["words"].corpus_signature) == ("words", "words|ratio")
    assert scores["overlap"].signature == scores["overlap"].corpus_signature == "overlap|nrefs:1"


def test_the_number_of_references_is_part_of_a_signature_that_needs_them():
    mixed = [generation("1", "a", references=("r", "s")), generation("2", "a"), generation("3", "a", references=())]
    scores = harness.score(mixed, ["words"], registry=registry_of(words=Words))
    assert scores["overlap"].signature == "overlap|nrefs:var"
    assert scores["words"].signature == "words"


def test_a_score_abstains_where_the_sample_lacks_what_it_needs_and_the_others_do_not():
    metric = Words()
    mixed = [generation("1", "r"), generation("2", "r", references=()), generation("3", "r")]
    scores = harness.score(mixed, ["words"], registry=registry_of(words=lambda: metric))
    assert scores["overlap"].segment == [1.0, None, 1.0]
    assert scores["overlap"].status_of(1) == "abstain"
    assert scores["overlap"].reasons == {1: "the sample has no references"}
    assert scores["words"].segment == [1.0, 1.0, 1.0]
    for batch in metric.batches:
        if "overlap" in batch.wanted:
            assert [g.sample.id for g in batch.generations] == ["1", "3"]


def test_a_completion_without_text_is_never_seen_and_never_zero():
    metric = Words()
    scores = harness.score([generation("1", "a b", None, "c")], ["words"], registry=registry_of(words=lambda: metric))
    assert scores["words"].segment == [2.0, None, 1.0]
    assert scores["words"].status_of(1) == "timeout"
    assert scores["words"].reasons == {1: "no text: too slow"}
    assert scores["words"].corpus == 1.5
    assert scores["rivals"].segment == [1.0, None, 1.0]  # its group is smaller
    assert all(c.text is not None for b in metric.batches for g in b.generations for c in g.completions)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.5, -0.1])
def test_what_is_no_number_in_range_is_invalid_and_never_clamped(value):
    scores = x_of(values_metric(lambda b: [value if t == "a" else 0.5 for t in b.texts]))
    assert scores.segment[1] is None
    assert scores.status_of(1) == "invalid"
    assert ("range" in scores.reasons[1]) == math.isfinite(value)
    assert [v for i, v in enumerate(scores.segment) if i != 1] == [0.5] * 5
    assert scores.corpus == 0.5


def test_rounding_beyond_a_bound_is_no_fault():
    scores = x_of(values_metric(lambda b: [100.00000000000004] * b.size, high=100.0))
    assert scores.segment == [100.00000000000004] * 6


def test_tolerance_widens_the_range():
    assert x_of(values_metric(lambda b: [1.00001] * b.size)).segment == [None] * 6
    assert x_of(values_metric(lambda b: [1.00001] * b.size, tolerance=1e-4)).segment == [1.00001] * 6


def test_a_metric_may_say_why_it_gives_no_number():
    answers = {"a": NoValue("abstain", "too short"), "b b": NoValue("timeout", "slow judge"), "d": None}
    scores = x_of(values_metric(lambda b: [answers.get(t, 0.25) for t in b.texts]))
    assert [scores.status_of(i) for i in range(6)] == ["ok", "abstain", "timeout", "ok", "abstain", "ok"]
    assert scores.reasons == {1: "too short", 2: "slow judge", 4: "the metric gave no value"}
    assert scores.corpus == 0.25


def test_nothing_scored_has_no_corpus_value():
    scores = x_of(values_metric(lambda b: [None] * b.size))
    assert scores.corpus is None


class Deadline(BaseException):
    """As some libraries raise on a timeout of theirs."""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("bad"), "error"),
        (Deadline("late"), "error"),
        (SystemExit(1), "error"),
        (TimeoutError("late"), "timeout"),
    ],
)
def test_what_a_metric_raises_costs_only_the_group_it_raised_on(error, status):
    def answer(batch):
        if any("b b" in t for t in batch.texts):
            raise error
        return [0.5] * batch.size

    scores = x_of(values_metric(answer))
    assert scores.segment == [0.5, 0.5, None, 0.5, 0.5, 0.5]
    assert scores.status_of(2) == status
    assert type(error).__name__ in scores.reasons[2]


def test_an_interrupt_is_not_swallowed():
    def answer(batch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        x_of(values_metric(answer))


INFO = ScoreInfo("x")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda b: [0.5], "not a mapping"),
        (lambda b: None, "not a mapping"),
        (lambda b: {}, "no x"),
        (lambda b: {"x": [0.5] * b.size}, "not Scores"),
        (lambda b: {"x": scores_from(INFO, "x", [0.5] * (b.size + 1))}, "values for"),
        (lambda b: {"x": scores_from(INFO, "x", [])}, "values for"),
        (lambda b: {"x": scores_from(INFO, "x", [0.5] * b.size, statistics=np.zeros((b.size + 1, 2)))}, "statistics"),
    ],
)
def test_an_answer_of_the_wrong_form_is_an_error_with_its_reason(answer, message):
    scores = x_of(metric_of(answer, INFO))
    assert scores.segment == [None] * 6
    assert {scores.status_of(i) for i in range(6)} == {"error"}
    assert all(message in r for r in scores.reasons.values())


def test_two_signatures_of_one_column_are_refused():
    metric = metric_of(lambda b: {"x": scores_from(INFO, f"x|{b.generations[0].sample.id}", [0.5] * b.size)}, INFO)
    with pytest.raises(harness.PluginError, match="made in 3 ways"):
        harness.score(THREE, ["x"], registry=registry_of(x=lambda: metric), chunk=1)


def test_a_batch_holds_one_task_and_one_model():
    metric = Words()
    mixed = [generation("1", "a", model="m"), generation("1", "b", model="n"), generation("1", "c", task="u")]
    scores = harness.score(mixed, ["words"], registry=registry_of(words=lambda: metric))
    assert scores["words"].segment == [1.0, 1.0, 1.0]
    for batch in metric.batches:
        assert len({(g.sample.task, g.model) for g in batch.generations}) == 1


def test_generations_of_one_key_are_one_group_and_values_come_back_in_the_order_given():
    pieces = [generation("1", "a b c"), generation("2", "b b"), generation("1", "a"), generation("3", "c d", "d")]
    scores = harness.score(pieces, ["words"], registry=registry_of(words=Words))
    assert scores["words"].segment == [3.0, 2.0, 1.0, 2.0, 1.0]
    assert scores["rivals"].segment == [1.0, 0.0, 1.0, 1.0, 1.0]


def test_one_id_with_two_prompts_is_refused():
    with pytest.raises(harness.DataError, match="different references"):
        harness.score([generation("1", "a"), generation("1", "b", references=("other",))], ["bleu"])


def test_no_generations_give_empty_columns():
    scores = harness.score([], ["words"], registry=registry_of(words=Words))
    assert scores["words"].segment == []
    assert scores["words"].corpus is None


def test_as_names_two_instances_of_one_metric():
    metrics = ["words", {"words": {}, "as": "again"}]
    scores = harness.score(THREE, metrics, registry=registry_of(words=Words))
    assert scores["again"].segment == scores["words"].segment
    assert scores["again.overlap"].info.name == "again.overlap"
    with pytest.raises(harness.SuiteError, match="`as:`"):
        harness.score(THREE, ["words", "words"], registry=registry_of(words=Words))


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (["blue"], "unknown metric 'blue'; did you mean 'bleu'?"),
        ([{"rouge": {"use_stemer": True}}], "unknown option 'use_stemer'; did you mean 'use_stemmer'?"),
        ([{"rouge": {"use_stemmer": "yes"}}], "expects bool"),
        ([{"bleu": {}, "chrf": {}}], "expected one name"),
    ],
)
def test_a_mistake_in_the_list_of_metrics(metrics, message):
    with pytest.raises(harness.SuiteError, match=re.escape(message)):
        harness.score(THREE, metrics)


LEXICAL = ["bleu", "chrf", "rouge", "diversity", "sentiment", "length", "exact"]


def _some(count: int) -> list[harness.Generation]:
    random_words = random.Random(3)
    words = "the a cheap good bad pub restaurant serves food near river no children , . ! not very 城 Straße".split()

    def text() -> str:
        return " ".join(random_words.choices(words, k=random_words.randint(0, 14)))

    return [
        generation(str(i), *(text() for _ in range(1 + i % 4)), references=tuple(text() for _ in range(1 + i % 3)))
        for i in range(count)
    ]


def test_chunks_and_order_change_no_bit():
    generations = _some(70)
    whole = harness.score(generations, LEXICAL, chunk=1000)
    shuffled = list(enumerate(generations))
    random.Random(5).shuffle(shuffled)
    for chunk in (1, 7, 64):
        parts = harness.score(generations, LEXICAL, chunk=chunk)
        for name, scores in whole.items():
            assert parts[name].values.tobytes() == scores.values.tobytes(), (name, chunk)
            assert parts[name].reasons == scores.reasons
            assert parts[name].corpus == scores.corpus, (name, chunk)
    mixed = harness.score([g for _, g in shuffled], LEXICAL, chunk=7)
    starts = np.cumsum([0, *(len(g.completions) for g in generations)])
    order = [int(starts[i]) + k for i, g in shuffled for k in range(len(g.completions))]
    for name, scores in whole.items():
        assert mixed[name].corpus == scores.corpus, name
        if scores.values.size:
            assert mixed[name].values.tobytes() == scores.values[order].tobytes(), name


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, math.nan, math.inf, 2.0, None]), min_size=1, max_size=8))
def test_a_finite_float_exists_only_with_ok(values):
    metric = values_metric(lambda b: values[: b.size])
    scores = x_of(metric, [generation("1", *("t" * (i + 1) for i in range(len(values))))])
    for index, (value, code) in enumerate(zip(scores.values.tolist(), scores.status.tolist(), strict=True)):
        assert math.isfinite(value) == (STATUSES[code] == "ok")
        assert (index in scores.reasons) == (STATUSES[code] != "ok")


def test_metric_from_gives_a_function_what_it_names():
    seen = {}

    def judge(completions, references, metadata, **rest):
        seen.update(rest, references=references)
        return [0.5 if "a" in c else None for c in completions]

    metric = harness.metric_from(judge, name="x")
    scores = x_of(metric)
    assert scores.segment == [0.5, 0.5, None, None, None, None]
    assert set(seen) == {"prompts", "ids", "references"}
    assert seen["ids"] == ["1", "1", "2", "3", "3", "3"]
    assert scores.signature == "x|version:1"


def test_metric_from_a_plain_function_needs_no_keywords():
    def shout(completions):
        return [float(c.isupper()) for c in completions]

    assert harness.metric_from(shout).infos[0].name == "shout"
    assert x_of(harness.metric_from(shout, name="x")).segment == [0.0] * 6


def test_the_memo_is_shared_by_metrics_of_a_batch_and_made_once():
    calls = []

    def counting(batch):
        tokens = batch.memo.get(("tokens", "split"), lambda: calls.append(1) or [t.split() for t in batch.texts])
        return [float(len(t)) for t in tokens]

    def factory():
        return values_metric(counting, high=math.inf)

    registry = registry_of(x=factory)
    harness.score(THREE, ["x", {"x": {}, "as": "y"}], registry=registry)
    assert len(calls) == 1


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda batch: pickle.loads(pickle.dumps(batch))])
def test_a_batch_can_be_copied_and_sent_without_what_is_shared(copied):
    """As a metric does that works in other processes."""
    batch = harness.Batch(tuple(THREE), frozenset("x"))
    batch.memo.get("tokens", lambda: 1)
    other = copied(batch)
    assert other == batch
    assert [s.id for s in other.whole.samples] == [g.sample.id for g in THREE]
    assert other.memo.get("tokens", lambda: 2) == other.shared.get("model", lambda: 2) == 2


def test_a_batch_made_by_position_is_its_own_whole():
    batch = harness.Batch(tuple(THREE), frozenset("x"), harness.Memo())
    assert [s.id for s in batch.whole.samples] == [g.sample.id for g in THREE]


def test_the_public_name_is_the_function():
    from harness.scoring import score

    assert harness.score is score


def test_a_text_of_a_model_that_failed_is_not_scored():
    sample = harness.Sample("1", references=("a",))
    partial = harness.Completion("a", "timeout", "cut off")
    scores = harness.score([harness.Generation(sample, "m", (partial, harness.Completion("a")))], ["exact"])
    assert scores["exact"].segment == [None, 1.0]
    assert scores["exact"].status_of(0) == "timeout"
    assert scores["exact"].reasons[0] == "the model failed while writing it: cut off"


def test_a_surrogate_in_what_a_plugin_says_is_mended():
    def answer(batch):
        if "a" in batch.texts:
            raise ValueError("x \ud800 y")
        return [NoValue("abstain", "\udfff")] * batch.size

    scores = x_of(values_metric(answer), [generation("1", "a"), generation("2", "b")])
    assert scores.reasons == {0: "x: ValueError: x \ufffd y", 1: "\ufffd"}


def test_the_signature_is_there_where_nothing_could_be_scored():
    without = [generation("1", "a", references=())]
    for name, scores in harness.score(without, ["bleu", "chrf", "rouge", "exact", "diversity", "sentiment"]).items():
        whole = harness.score([generation("1", "a", "b")], ["bleu", "chrf", "rouge", "exact", "diversity", "sentiment"])
        assert scores.signature == whole[name].signature.replace("|nrefs:1", ""), name


@pytest.mark.parametrize(
    ("value", "reason"),
    [(math.nan, "no finite number"), (math.inf, "no finite number"), (7.0, "outside the declared range")],
)
def test_a_corpus_value_is_checked_too(value, reason):
    class Over(Words):
        def over(self, batches):
            return {"variety": harness.corpus_score(self.infos[2], "variety", value)}

    class Sums(Words):
        infos = (ScoreInfo("words", 0, 5, corpus="statistics"), *Words.infos[1:])

        def corpus_from(self, name, sums):
            return np.full(len(sums), value)

    for factory in (Over, Sums):
        with pytest.raises(harness.PluginError, match=reason):
            harness.score(THREE, ["words"], registry=registry_of(words=factory))


class NeedsReferences:
    """A score of the whole corpus, with what it was given."""

    infos = (ScoreInfo("x", scope="corpus", corpus="none", needs=frozenset(["references"])),)

    def __init__(self):
        self.batches = []

    def __call__(self, batch):
        return {}

    def over(self, batches):
        self.batches = list(batches)
        return {"x": harness.corpus_score(self.infos[0], "x", 0.5)} if self.batches else {}


def test_a_score_of_the_corpus_is_given_what_it_needs_table_by_table():
    metric = NeedsReferences()
    mixed = [
        generation("1", "a", None, task="t"),
        generation("2", "b", references=(), task="t"),
        generation("3", "c", task="u", model="n"),
    ]
    assert harness.score(mixed, ["x"], registry=registry_of(x=lambda: metric))["x"].corpus == 0.5
    found = [[(g.sample.id, len(g.completions)) for g in b.generations] for b in metric.batches]
    assert found == [[("1", 1)], [("3", 1)]]
    with pytest.raises(harness.PluginError, match=r"over\(\) gave no Scores for x"):
        harness.score([generation("2", "b", references=())], ["x"], registry=registry_of(x=lambda: metric))


@pytest.mark.parametrize("field", [{"metadata": {"k": 1}}, {"language": "fr"}, {"cluster": "c"}, {"prompt": "q"}])
def test_pieces_of_a_group_must_be_of_one_sample(field):
    one = generation("1", "a")
    other = replace(one, sample=replace(one.sample, **field))
    with pytest.raises(harness.DataError, match=f"different {next(iter(field))}"):
        harness.score([one, other], ["bleu"])


def test_preferences_follow_their_completions():
    prefers = (harness.Preference(0, 1), harness.Preference(2, "reference"))
    one = replace(generation("1", "a", "b", "c"), preferences=prefers)
    (merged,) = regroup([one, replace(generation("1", "d", "e", "f"), preferences=prefers)]).generations
    moved = (harness.Preference(3, 4), harness.Preference(5, "reference"))
    assert merged.preferences == prefers + moved
    gone = replace(generation("1", None, "b", "c"), preferences=(*prefers, harness.Preference(2, 1)))
    assert with_texts(gone).preferences == (harness.Preference(1, "reference"), harness.Preference(1, 0))


def test_reasons_of_many_rows_are_one_text_each():
    reasons = Reasons.joined([({0: "a", 2: "b"}, 3), ({}, 2), (Reasons.joined([({1: "a"}, 2)]), 2)])
    assert dict(reasons) == {0: "a", 2: "b", 6: "a"}
    assert len(reasons) == 3
    assert reasons.get(1) is None
    assert reasons.get(7) is None
    assert reasons.get(-1) is None
    assert reasons == {0: "a", 2: "b", 6: "a"}


def test_a_function_is_given_metadata_by_name_and_chats_as_mappings():
    seen = {}

    def judge(completions, prompts, answer):
        seen.update(prompts=prompts, answer=answer)
        return [float(a == c) for a, c in zip(answer, completions, strict=True)]

    chat = (harness.Message("user", "2+2?"),)
    samples = [harness.Sample("1", chat, metadata={"answer": "4"}), harness.Sample("2", "hm", metadata={"answer": "x"})]
    generations = [harness.Generation(s, "m", (harness.Completion("4"),)) for s in samples]
    assert x_of(harness.metric_from(judge, name="x"), generations).segment == [1.0, 0.0]
    assert seen == {"prompts": [[{"role": "user", "content": "2+2?"}], "hm"], "answer": ["4", "x"]}


def test_options_of_a_function_metric_are_in_its_signature():
    def polite(word: str = "please"):
        return harness.metric_from(lambda completions: [float(word in c) for c in completions], name="x")

    def signature(spec):
        return harness.score(THREE, [spec], registry=registry_of(x=polite))["x"].signature

    assert signature("x") == signature({"x": {"word": "please"}}) == "x|version:1"
    assert signature({"x": {"word": "thanks"}}) == 'x|version:1|options:{"word":"thanks"}'


def test_what_a_metric_holds_is_let_go_of_also_when_it_fails():
    closed = []

    class Holding(Words):
        def close(self):
            closed.append(self)

    class Failing(Holding):
        def corpus_from(self, name, sums):
            raise ZeroDivisionError

    harness.score(THREE, ["words"], registry=registry_of(words=Holding))
    assert len(closed) >= 1
    closed.clear()
    with pytest.raises(harness.PluginError):
        harness.score(THREE, ["words"], registry=registry_of(words=Failing))
    assert len(closed) >= 1


def test_a_batch_knows_what_it_is_a_part_of_and_metrics_share_what_lasts():
    seen: list[tuple[frozenset[str | None], tuple[str, ...]]] = []
    made: list[int] = []

    def values(batch: Batch) -> list[float | NoValue | None]:
        seen.append((batch.whole.languages, tuple(s.id for s in batch.whole.samples)))
        batch.shared.get("model", lambda: made.append(1))
        return [0.5] * batch.size

    groups = [
        Generation(Sample(i, language=language), "m", (Completion("x"),))
        for i, language in (("a", "en"), ("b", "zh"), ("c", None))
    ]
    registry = registry_of(x=lambda: values_metric(values))
    score(groups, ["x", {"x": {}, "as": "y"}], registry=registry, chunk=1)
    assert set(seen) == {(frozenset(["en", "zh", None]), ("a", "b", "c"))}
    assert len(seen) == 6
    assert made == [1]


def test_a_batch_made_by_hand_is_its_own_whole():
    batch = Batch((Generation(Sample("a", language="en"), "m", (Completion("x"),)),))
    assert batch.whole.languages == {"en"}
    assert [s.id for s in batch.whole.samples] == ["a"]


def test_the_mean_of_numbers_whose_sum_is_no_float():
    registry = registry_of(x=lambda: values_metric(lambda batch: [1.7e308] * batch.size, low=0, high=math.inf))
    assert score([generation("1", "a", "b")], ["x"], registry=registry)["x"].corpus == 1.7e308
