"""From specs to objects: options checked against the factory, scores under their names in a run."""

from __future__ import annotations

import pickle
import sys
from dataclasses import replace

import pytest

import harness
from harness.errors import PluginError, UsageError
from harness.registry import Registry, score_name
from harness.suite import parse_suite
from harness.types import ScoreInfo, Spec

from .distributions import Shelf, make_shelf, registering, spec  # noqa: F401  # the fixture

# Options: the factory's keyword arguments

OPTIONED = """
import harness

def tuned(*, size: int = 3, mode: str = "a", strict: bool):
    if size < 1:
        raise ValueError(f"size must be at least 1, not {size}")
    if mode == "crash":
        raise KeyError("mode")
    if mode == "exit":
        raise SystemExit(1)
    if mode == "refuse":
        raise harness.UsageError("not on a Sunday")
    return harness.metric_from(lambda completions: [float(size)] * len(completions), name="tuned", high=9)

@harness.hookimpl
def register_metrics(register):
    register("tuned", tuned)
"""

WRONG = {
    "unknown": ({"sise": 3, "strict": True}, "sise", "unknown option 'sise'; did you mean 'size'?"),
    "type": ({"size": "3", "strict": True}, "size", "option 'size' expects int, not '3'"),
    "flag": ({"strict": 1}, "strict", "option 'strict' expects bool, not 1"),
    "missing": ({"size": 3}, None, "option 'strict' is required"),
    "value": ({"size": 0, "strict": True}, None, "metric 'tuned': size must be at least 1, not 0"),
    "exception": (
        {"mode": "crash", "strict": True},
        None,
        "plugin 'tuned' of acme 1.2 could not make metric 'tuned': KeyError: 'mode'",
    ),
    "exit": (
        {"mode": "exit", "strict": True},
        None,
        "plugin 'tuned' of acme 1.2 could not make metric 'tuned': SystemExit: 1",
    ),
}


@pytest.mark.parametrize(("options", "option", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_option(shelf: Shelf, options: dict[str, object], option: str | None, message: str):
    registry = shelf.add("tuned", OPTIONED).load()
    assert registry.problems(spec("tuned", **options)) == [(option, message)]
    with pytest.raises(PluginError) as caught:
        registry.metric(spec("tuned", **options))
    assert message in str(caught.value)
    assert "metric 'tuned'" in str(caught.value)


def test_all_wrong_options_are_told_at_once(shelf: Shelf):
    registry = shelf.add("tuned", OPTIONED).load()
    assert [option for option, _ in registry.problems(spec("tuned", sise=1, mode=2))] == ["sise", "mode", None]


def test_what_the_plugin_itself_refuses_in_our_words_stays_as_it_is(shelf: Shelf):
    registry = shelf.add("tuned", OPTIONED).load()
    with pytest.raises(UsageError, match=r"^not on a Sunday$"):
        registry.metric(spec("tuned", mode="refuse", strict=True))
    assert registry.problems(spec("tuned", mode="refuse", strict=True)) == [(None, "not on a Sunday")]


def test_good_options_reach_the_factory(shelf: Shelf):
    registry = shelf.add("tuned", OPTIONED).load()
    assert registry.problems(spec("tuned", strict=False, size=7)) == []
    batch = harness.Batch((harness.Generation(harness.Sample("1"), "m", (harness.Completion("a"),)),))
    assert registry.metric(spec("tuned", strict=False, size=7))(batch)["tuned"].segment == [7.0]


def test_a_model_gets_what_follows_the_colon_and_its_options(shelf: Shelf):
    source = registering("register_models", "register('m', lambda rest, *, size=1: (rest, size))")
    registry = shelf.add("m", source).load()
    assert registry.model(Spec("model", "m", "path/to", {"size": 2})) == ("path/to", 2)
    assert registry.problems(Spec("model", "m", options={"rest": "x"})) == [
        ("rest", "unknown option 'rest'; there is size")
    ]


# Scores: their names and owners


def test_a_score_is_found_by_its_metric_without_loading_it(shelf: Shelf):
    registry = shelf.add(
        "r", registering("register_metrics", "register('rr', lambda: 1/0, scores=('r1', 'r2'))")
    ).load()
    assert registry.owner_of("r2") == Spec("metric", "rr")
    assert registry.owner_of("r3") is None
    assert registry.score_names() == ["r1", "r2"]
    with pytest.raises(PluginError, match="'r1' is a score of the metric 'rr': ask for 'rr'"):
        registry.metric(spec("r1"))


SCORED = """
import harness
from harness import ScoreInfo

class Two:
    infos = (ScoreInfo("main"), ScoreInfo("main_max", 0, 10, higher_is_better=False))
    def __call__(self, batch):
        return {i.name: harness.scores_from(i, i.name, [0.5] * batch.size) for i in self.infos}

@harness.hookimpl
def register_metrics(register):
    register("main", Two, scores=("main", "main_max"))
"""


def test_infos_under_their_names_in_a_run(shelf: Shelf):
    registry = shelf.add("main", SCORED).load()
    assert [i.name for i in registry.infos(spec("main"))] == ["main", "main_max"]
    aliased = replace(spec("main"), alias="mine")
    first, second = registry.infos(aliased)
    assert (first.name, second.name) == ("mine", "mine.main_max")
    assert (second.high, second.higher_is_better) == (10, False)
    assert [score_name(aliased, n) for n in ("main", "main_max")] == ["mine", "mine.main_max"]


UNEQUAL = {
    "others": ("infos = (ScoreInfo('b'),)", "gives ['b'] but registered ['a']"),
    "more": ("infos = (ScoreInfo('a'), ScoreInfo('b'))", "gives ['b'] but registered ['a']"),
    "none": ("infos = ()", "`infos` must be a tuple of ScoreInfo with at least one in it, not ()"),
    "names": ("infos = ('a',)", "`infos` must be a tuple of ScoreInfo"),
    "absent": ("pass", "has no `infos`: AttributeError"),
    "raises": ("infos = property(lambda self: 1 / 0)", "has no `infos`: ZeroDivisionError"),
}


@pytest.mark.parametrize(("body", "message"), UNEQUAL.values(), ids=UNEQUAL)
def test_a_metric_whose_word_and_deed_differ(shelf: Shelf, body: str, message: str):
    source = f"import harness\nfrom harness import ScoreInfo\nclass M:\n    {body}\n"
    source += "@harness.hookimpl\ndef register_metrics(register):\n    register('a', M)\n"
    registry = shelf.add("a", source).load()
    with pytest.raises(PluginError) as caught:
        registry.infos(spec("a"))
    assert message in str(caught.value)
    assert "plugin 'a' of acme 1.2" in str(caught.value)
    assert registry.problems(spec("a")) == [(None, str(caught.value))]


REWARD = """
import harness

def brevity(completions):
    return [1.0 / max(1, len(t)) for t in completions]

@harness.hookimpl
def register_rewards(register):
    register("brief", lambda: harness.metric_from(brevity))
"""


def test_a_reward_may_stand_among_the_metrics(shelf: Shelf):
    registry = shelf.add("brief", REWARD).load()
    assert registry.resolved(spec("brief")) == Spec("reward", "brief")
    assert registry.owner_of("brief") == Spec("reward", "brief")
    assert registry.problems(spec("brief")) == []
    assert registry.infos(spec("brief")) == (ScoreInfo("brief"),)  # by its registered name, not the function's
    assert [i.name for i in registry.infos(replace(spec("brief"), alias="b"))] == ["b"]
    scores = harness.score(
        [harness.Generation(harness.Sample("1"), "m", (harness.Completion("ab"),))], ["brief"], registry=registry
    )
    assert scores["brief"].segment == [0.5]


def test_a_reward_gives_one_score(shelf: Shelf):
    registry = shelf.add(
        "main", SCORED.replace("metrics(", "rewards(").replace(', scores=("main", "main_max")', "")
    ).load()
    with pytest.raises(PluginError, match=r"plugin 'main' of acme 1\.2: reward 'main' must give one score, not 2"):
        registry.infos(spec("main", "reward"))


def test_only_specs_are_pickled():
    wanted = Spec("metric", "rouge", "", {"use_stemmer": True}, "stemmed")
    assert pickle.loads(pickle.dumps(wanted)) == wanted


COUNTED = """
import harness

made = []

def counted():
    made.append(1)
    return harness.metric_from(lambda completions: [0.0] * len(completions), name="counted")

@harness.hookimpl
def register_metrics(register):
    register("counted", counted)
"""


def test_a_metric_is_made_once_for_all_that_is_asked_of_it(shelf: Shelf):
    registry = shelf.add("counted", COUNTED).load()
    made = sys.modules["acme_counted"].made
    assert registry.checked(spec("counted")) == ([], (ScoreInfo("counted"),))
    assert len(made) == 1
    metric, infos = registry.metric_with_infos(replace(spec("counted"), alias="c"))
    assert (metric.infos, [i.name for i in infos]) == ((ScoreInfo("counted"),), ["c"])
    assert len(made) == 2
    parse_suite("{name: s, metrics: [counted]}", registry=registry)
    assert len(made) == 3


def test_only_columns_of_exports_are_kept_from_scores(shelf: Shelf):
    """A model may be called `completion`: it becomes no column."""
    source = registering("register_models", "register('completion', lambda rest: None)")
    assert shelf.add("m", source).load().names("model") == ["completion"]


def test_the_plugins_of_the_project_all_load():
    registry = Registry.load(allow=[p.name for p in Registry.load().plugins if p.distribution == "reward-harness"])
    assert registry.broken == ()
    for entry in registry.entries():
        if entry.kind in ("metric", "reward"):
            assert {i.name for i in registry.infos(Spec(entry.kind, entry.name))} <= set(entry.scores), entry.name
