"""The composite reward, against numbers worked by hand."""

from __future__ import annotations

import math
import pickle
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.rewards import Composite, Guard, Term, combine, composite_from
from harness.suite import GuardSpec, RewardSpec, TermSpec, parse_suite
from harness.types import Completion, Generation, Sample, ScoreInfo, Whole

ABSTAIN = ("abstain", "no references")
ERROR = ("error", "it broke")
TIMEOUT = ("timeout", "too slow")
INVALID = ("invalid", "nan")


def term(
    score: str, weight: float = 1.0, low: float = 0.0, high: float = 1.0, *, up: bool = True, required: bool = True
) -> Term:
    return Term(score, score, weight, low, high, up, required)


A, B, C = term("a", 0.5), term("b", 0.3), term("c", 0.2)
OPTIONAL_C = term("c", 0.2, required=False)
OPTIONAL_B = term("b", 0.3, required=False)

# rule, terms, values, total
TABLE = [
    # (0.5*0.8 + 0.3*0.6 + 0.2*0.1) / 1
    ("weighted_mean", (A, B, C), {"a": 0.8, "b": 0.6, "c": 0.1}, 0.6),
    # weights that do not sum to 1: (2*1 + 6*0.5) / 8
    ("weighted_mean", (term("a", 2), term("b", 6)), {"a": 1.0, "b": 0.5}, 0.625),
    # optional c gone: (0.5*0.8 + 0.3*0.6) / 0.8
    ("weighted_mean", (A, B, OPTIONAL_C), {"a": 0.8, "b": 0.6, "c": ABSTAIN}, 0.725),
    ("weighted_mean", (A, B, OPTIONAL_C), {"a": 0.8, "b": 0.6, "c": 0.1}, 0.6),
    # both optional gone: a alone
    ("weighted_mean", (A, OPTIONAL_B, OPTIONAL_C), {"a": 0.8, "b": ERROR, "c": ABSTAIN}, 0.8),
    ("weighted_mean", (A, B, C), {"a": 0.8, "b": 0.6, "c": ABSTAIN}, None),
    ("weighted_mean", (A, OPTIONAL_B, C), {"a": 0.8, "b": ABSTAIN, "c": ABSTAIN}, None),
    ("weighted_mean", (OPTIONAL_B, OPTIONAL_C), {"b": ABSTAIN, "c": ABSTAIN}, None),
    # only a weightless term has a value
    ("weighted_mean", (term("a", 0.0), OPTIONAL_B), {"a": 0.9, "b": ABSTAIN}, None),
    ("weighted_mean", (A, B), {"a": 0.0, "b": 0.0}, 0.0),
    # 2*0.5 + 3*0.2
    ("weighted_sum", (term("a", 2), term("b", 3)), {"a": 0.5, "b": 0.2}, 1.6),
    # b's weight goes to a: 2*0.5 * (5/2)
    ("weighted_sum", (term("a", 2), term("b", 3, required=False)), {"a": 0.5, "b": ABSTAIN}, 2.5),
    # 0.25**0.5 * 0.5**2
    ("product", (term("a", 0.5), term("b", 2)), {"a": 0.25, "b": 0.5}, 0.125),
    # b's exponent goes to a: 0.25 ** (0.5 * 2.5 / 0.5)
    ("product", (term("a", 0.5), term("b", 2, required=False)), {"a": 0.25, "b": TIMEOUT}, 0.03125),
    ("product", (term("a", 1), term("b", 1)), {"a": 0.0, "b": 1.0}, 0.0),
    # an exponent of 0: 0 ** 0 is 1
    ("product", (term("a", 0.0), term("b", 1)), {"a": 0.0, "b": 0.5}, 0.5),
    ("min", (term("a"), term("b")), {"a": 0.4, "b": 0.3}, 0.3),
    ("min", (term("a"), term("b", required=False)), {"a": 0.4, "b": ABSTAIN}, 0.4),
    ("min", (term("a"), term("b")), {"a": 0.4, "b": ABSTAIN}, None),
    # ranges: (60-0)/100 and 1 - (3-1)/4
    ("weighted_mean", (term("a", high=100.0), term("b", low=1.0, high=5.0, up=False)), {"a": 60.0, "b": 3.0}, 0.55),
    # values beyond the range count as its end: 1 and 0
    ("weighted_mean", (term("a", high=10.0), term("b", low=-1.0)), {"a": 12.0, "b": -3.0}, 0.5),
]


@pytest.mark.parametrize(("rule", "terms", "values", "total"), TABLE)
def test_totals_worked_by_hand(rule, terms, values, total):
    reward = Composite(rule, terms).reward(values)
    if total is None:
        assert reward.total is None
        assert reward.status != "ok"
        assert reward.reason
    else:
        assert reward.total == pytest.approx(total, abs=1e-15)
        assert reward.status == "ok"


@pytest.mark.parametrize(
    ("values", "status", "reason"),
    [
        ({"a": ABSTAIN, "b": 0.5}, "abstain", "a (abstain: no references)"),
        ({"a": ABSTAIN, "b": ERROR}, "error", "a (abstain: no references); b (error: it broke)"),
        ({"a": TIMEOUT, "b": INVALID}, "timeout", "a (timeout: too slow); b (invalid: nan)"),
        ({"a": INVALID, "b": ABSTAIN}, "invalid", "a (invalid: nan); b (abstain: no references)"),
    ],
)
def test_a_missing_total_has_the_gravest_status_and_all_reasons(values, status, reason):
    reward = Composite("weighted_mean", (term("a"), term("b"))).reward(values)
    assert (reward.total, reward.status, reward.reason) == (None, status, reason)


def test_terms_are_mapped_and_unweighted_and_none_where_missing():
    terms = (term("a", 0.7, high=100.0), term("b", 0.3, required=False))
    reward = Composite("weighted_mean", terms).reward({"a": 25.0, "b": ABSTAIN})
    assert reward.terms == {"a": 0.25, "b": None}
    assert reward.reason == "without b (abstain: no references)"


GUARDED = Composite(
    "weighted_mean",
    (term("a"), OPTIONAL_B),
    (Guard("n", 5.0, 20.0, True), Guard("m", None, 0.5, False)),
)


@pytest.mark.parametrize(
    ("values", "total", "reason"),
    [
        ({"a": 0.8, "b": 0.8, "n": 10.0, "m": 0.1}, 0.8, None),
        ({"a": 0.8, "b": 0.8, "n": 5.0, "m": 0.5}, 0.8, None),  # bounds are inside
        ({"a": 0.8, "b": 0.8, "n": 4.0, "m": 0.1}, 0.0, "guard: n 4 is below 5"),
        ({"a": 0.8, "b": 0.8, "n": 21.0, "m": 0.1}, 0.0, "guard: n 21 is above 20"),
        ({"a": 0.8, "b": 0.8, "n": 10.0, "m": 0.6}, 0.0, "guard: m 0.6 is above 0.5"),
        # a guard that fails decides, whatever the terms would have been
        ({"a": ERROR, "b": 0.8, "n": 4.0, "m": 0.1}, 0.0, "guard: n 4 is below 5"),
        ({"a": 0.8, "b": 0.8, "n": ERROR, "m": 0.6}, 0.0, "guard: m 0.6 is above 0.5"),
        # a required guard without a value leaves the total open; an optional one is passed over, and said
        ({"a": 0.8, "b": 0.8, "n": ERROR, "m": 0.1}, None, "n (error: it broke)"),
        ({"a": 0.8, "b": 0.8, "n": 10.0, "m": ERROR}, 0.8, "guard not checked: m (error: it broke)"),
    ],
)
def test_guards(values, total, reason):
    reward = GUARDED.reward(values)
    assert reward.total == (None if total is None else pytest.approx(total))
    assert reward.reason == reason
    assert (reward.status == "ok") == (total is not None)
    assert reward.guard == (reason.split()[1] if reason and reason.startswith("guard: ") else None)


@given(
    st.sampled_from(["weighted_mean", "weighted_sum", "product", "min"]),
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), min_size=1, max_size=6),
)
def test_a_total_is_finite_and_within_its_range(rule, parts):
    weight = math.fsum(w for w, _ in parts)
    total = combine(rule, parts, weight)
    if total is None:
        assert rule != "min"
        assert weight == 0
    else:
        high = weight if rule == "weighted_sum" else 1.0
        assert -1e-9 <= total <= high + 1e-9


INFOS = {
    "bleu": ScoreInfo("bleu", 0, 100),
    "loss": ScoreInfo("loss", 0, math.inf, higher_is_better=False),
    "distinct": ScoreInfo("distinct", scope="corpus", corpus="none"),
}


def test_ranges_and_directions_come_from_the_declaration():
    made = composite_from(RewardSpec((TermSpec("bleu", "bleu"), TermSpec("l", "loss", range=(0.0, 5.0)))), INFOS)
    assert made.terms[0].mapped(50.0) == 0.5
    assert made.terms[1].mapped(1.0) == 0.8
    assert [t.name for t in made.terms] == ["bleu", "l"]


@pytest.mark.parametrize(
    ("score", "message"),
    [("loss", "needs `range:"), ("distinct", "whole corpus"), ("blue", "no metric of the suite gives")],
)
def test_what_no_reward_can_use(score, message):
    with pytest.raises(harness.SuiteError, match=message):
        composite_from(RewardSpec((TermSpec(score, score),)), INFOS)


@pytest.mark.parametrize(("score", "message"), [("distinct", "whole corpus"), ("blue", "no metric of the suite gives")])
def test_what_no_guard_can_use(score, message):
    with pytest.raises(harness.SuiteError, match=message):
        composite_from(RewardSpec((TermSpec("bleu", "bleu"),), guard=(GuardSpec(score, 0.0),)), INFOS)


def test_a_guard_needs_no_range():
    made = composite_from(RewardSpec((TermSpec("bleu", "bleu"),), guard=(GuardSpec("loss", 0.0, 2.0),)), INFOS)
    assert made.reward({"bleu": 50.0, "loss": 3.0}).total == 0.0


SUITE = """
name: online
reward:
  terms:
    - {score: rougeL, weight: 0.5}
    - {score: diversity, weight: 0.5, required: false}
"""


def group(id: str, *texts: str | None, model: str = "m") -> Generation:
    sample = Sample(id, "say hello", ("hello there my friend",), task="t")
    return Generation(
        sample, model, tuple(Completion(t) if t is not None else Completion(None, "error", "x") for t in texts)
    )


def test_a_suite_with_a_name_and_a_reward_is_enough():
    reward = parse_suite(SUITE).reward()
    one, two, three = reward([group("1", "hello there my friend", "good bye"), group("2", "hello there my friend")])
    # rougeL 1; nothing shared with the other text of the group, whose tokens differ: diversity 1
    assert one.total == 1.0
    assert two.terms == {"rougeL": 0.0, "diversity": 1.0}
    assert two.total == 0.5
    # alone in its group: the optional term abstains and hands over its weight
    assert three.total == 1.0
    assert three.reason.startswith("without diversity (abstain: ")


def test_groups_are_found_by_identity_not_by_adjacency():
    reward = parse_suite(SUITE).reward()
    whole = reward([group("1", "hello there", "hello my friend"), group("2", "hello", "there")])
    pieces = reward(
        [group("2", "hello"), group("1", "hello there"), group("2", "there"), group("1", "hello my friend")]
    )
    assert [pieces[1], pieces[3], pieces[0], pieces[2]] == whole


def test_a_completion_without_text_has_no_total_and_leaves_the_others_alone():
    reward = parse_suite(SUITE).reward()
    good, bad, other = reward([group("1", "hello there", None, "my friend")])
    assert bad.total is None
    assert bad.status == "error"
    assert [good.total, other.total] == [r.total for r in reward([group("1", "hello there", "my friend")])]


def test_no_generations_no_rewards():
    assert parse_suite(SUITE).reward()([]) == []


def test_the_reward_is_picklable_and_gives_the_same_numbers():
    reward = parse_suite(SUITE).reward()
    generations = [group("1", "hello there", "my friend")]
    before = reward(generations)
    again = pickle.loads(pickle.dumps(reward))
    assert again(generations) == before
    assert b"rouge_score" not in pickle.dumps(reward)  # specs only


def test_the_reward_may_be_called_from_many_threads():
    reward = parse_suite(SUITE).reward()
    generations = [group(str(i), "hello there", "my friend", f"number {i}") for i in range(8)]
    expected = reward(generations)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(reward(generations))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 6


def test_the_report_and_the_reward_are_the_same_object():
    """The column `reward` of a scored run equals the callable, to the last bit."""
    from harness.assess import assess
    from harness.loaded import load_metrics
    from harness.registry import Registry

    registry = Registry.load()
    suite = parse_suite(SUITE)
    generations = [group(str(i), f"hello number {i}", "there my friend", "hello") for i in range(20)]
    scorers = load_metrics(suite.metric_specs(registry), registry)
    composite = composite_from(suite.reward_spec, {n: i for s in scorers for n, i in s.infos.items()})
    table = assess(("t", "m"), lambda: iter(generations), scorers, composite, Whole(), chunk=7)
    assert table.scores["reward"].segment == [r.total for r in suite.reward()(generations)]


def test_terms_that_were_left_out_are_named():
    made = Composite("weighted_mean", (A, OPTIONAL_B, OPTIONAL_C), (Guard("n", 1.0, None, False),))
    assert made.reward({"a": 1.0, "b": ERROR, "c": 0.5, "n": 2.0}).left_out == ("b",)
    unchecked = made.reward({"a": 1.0, "b": 0.5, "c": 0.5, "n": ERROR})
    assert unchecked.left_out == ()  # a guard has no weight to hand over
    assert unchecked.reason == "guard not checked: n (error: it broke)"


def test_online_scores_of_tasks_made_in_different_ways_stand_side_by_side():
    """A metric may sign per language; a trainer's batch holds several tasks."""

    def answer(batch):
        language = batch.generations[0].sample.task
        return {"x": harness.scores_from(ScoreInfo("x"), f"x|{language}", [0.5] * batch.size)}

    from harness.types import Spec

    from .metrics_for_tests import metric_of, registry_of

    registry = registry_of(x=lambda: metric_of(answer, ScoreInfo("x")))
    reward = harness.CompositeReward(RewardSpec((TermSpec("x", "x"),)), [Spec("metric", "x")], registry)
    english, chinese = group("1", "a"), group("1", "b")
    mixed = [english, harness.Generation(Sample("1", task="zh"), "m", chinese.completions)]
    assert [r.total for r in reward(mixed)] == [0.5, 0.5]


def test_a_reward_can_be_closed_and_used_again():
    closed = []

    class Holding:
        infos = (ScoreInfo("x"),)

        def __call__(self, batch):
            return {"x": harness.scores_from(self.infos[0], "x", [0.25] * batch.size)}

        def close(self):
            closed.append(self)

    from harness.types import Spec

    from .metrics_for_tests import registry_of

    reward = harness.CompositeReward(RewardSpec((TermSpec("x", "x"),)), [Spec("metric", "x")], registry_of(x=Holding))
    assert reward([group("1", "a")])[0].total == 0.25
    before = len(closed)
    reward.close()
    assert len(closed) == before + 1
    assert reward([group("1", "a")])[0].total == 0.25
