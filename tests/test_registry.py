"""What pluggy does not do: one plugin at a time, broken ones set aside, every name with one owner, every hook spelt right."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from harness.errors import PluginError, UsageError
from harness.registry import HOOKS, Registry

from .distributions import Shelf, make_shelf, metric, registering, spec  # noqa: F401  # the fixture

GOOD = metric("good")


# One at a time, in name order


def test_entry_points_are_loaded_in_name_order_whatever_order_they_are_found_in(shelf: Shelf):
    log = "import sys\nlog = sys.modules.setdefault('order_of_loading', type(sys)('log'))\n"
    log += "log.__dict__.setdefault('seen', []).append({!r})\n"
    for name in ("m", "z", "a", "B"):
        shelf.add(name, log.format(name), distribution=f"d{name}")
    try:
        registry = shelf.load()
        backwards = Registry.load(points=reversed(shelf.points()))
        assert sys.modules["order_of_loading"].seen == ["B", "a", "m", "z"]
    finally:
        sys.modules.pop("order_of_loading", None)
    assert [p.name for p in registry.plugins] == ["B", "a", "m", "z"] == [p.name for p in backwards.plugins]


def test_a_plugin_is_known_by_name_module_distribution_and_version(shelf: Shelf):
    (plugin,) = shelf.add("good", GOOD, distribution="acme", version="3.1").load().plugins
    assert (plugin.name, plugin.module, plugin.distribution, plugin.version) == ("good", "acme_good", "acme", "3.1")
    assert plugin.record() == {
        "name": "good",
        "distribution": "acme",
        "version": "3.1",
        "state": "ok",
        "error": None,
    }


def test_an_entry_point_of_no_distribution_still_loads(shelf: Shelf):
    shelf.add("good", GOOD)
    registry = Registry.load(points=[EntryPoint("good", "acme_good", "harness")])
    assert registry.names("metric") == ["good"]
    assert registry.plugins[0].distribution == "an unknown distribution"


# A broken plugin hurts those who ask for what it brings, and no others

BREAKAGES = {
    "import": (
        "import a_module_that_is_not_there",
        "ModuleNotFoundError: No module named 'a_module_that_is_not_there'",
    ),
    "syntax": ("def f(:\n", "SyntaxError"),
    "exit": ("raise SystemExit(1)", "SystemExit: 1"),
    "base": ("class Odd(BaseException): pass\nraise Odd('at import')", "Odd: at import"),
    "generator": ("raise GeneratorExit", "GeneratorExit"),
    "memory": ("raise MemoryError", "MemoryError"),
    "recursion": ("def f(): f()\nf()", "RecursionError"),
    "hook": (
        "import harness\n@harness.hookimpl\ndef register_metrics(register):\n    raise RuntimeError('in the hook')\n",
        "RuntimeError: in the hook",
    ),
    "exit in hook": (
        "import harness, sys\n@harness.hookimpl\ndef register_models(register):\n    sys.exit(1)\n",
        "SystemExit: 1",
    ),
    "no factory": (
        "import harness\n@harness.hookimpl\ndef register_metrics(register):\n    register('broken', 7)\n",
        "TypeError: metric 'broken' was registered with 7, which is no factory",
    ),
    "letters": (metric("broken", scores="'rouge1'"), "scores='rouge1': give a tuple of names"),
    "reserved": (metric("reward"), "metric 'reward' cannot be registered: 'reward' is reserved"),
    "key": (metric("broken", scores="('broken', 'completion')"), "'completion' is reserved"),
    "status": (metric("broken", scores="('bleu.status',)"), "(so are all names that end in .status)"),
    "no name": (
        "import harness\n@harness.hookimpl\ndef register_tasks(register):\n    register('a b', list)\n",
        "a name starts with a letter",
    ),
    "no text": (
        "import harness\n@harness.hookimpl\ndef register_tasks(register):\n    register(None, list)\n",
        "a name starts with a letter",
    ),
}


@pytest.mark.parametrize(("source", "cause"), BREAKAGES.values(), ids=BREAKAGES)
def test_a_broken_plugin_is_set_aside_with_its_cause(shelf: Shelf, source: str, cause: str):
    registry = shelf.add("broken", source, distribution="shoddy", version="0.9").add("good", GOOD).load()
    (plugin,) = registry.broken
    assert (plugin.name, plugin.state) == ("broken", "broken")
    assert cause in str(plugin.error)
    assert registry.names("metric") == ["good"]
    assert registry.metric(spec("good")).infos[0].name == "good"


@pytest.mark.parametrize(("source", "cause"), BREAKAGES.values(), ids=BREAKAGES)
def test_asking_for_it_names_distribution_version_and_cause(shelf: Shelf, source: str, cause: str):
    registry = shelf.add("broken", source, distribution="shoddy", version="0.9").add("good", GOOD).load()
    for ask in (registry.metric, registry.infos, registry.make):
        with pytest.raises(PluginError) as caught:
            ask(spec("broken"))
        message = str(caught.value)
        assert "unknown metric 'broken'" in message
        assert "plugin 'broken' of shoddy 0.9 is broken" in message
        assert cause in message
    ((option, problem),) = registry.problems(spec("broken"))
    assert option is None
    assert "shoddy 0.9" in problem


def test_a_name_under_which_no_plugin_goes_may_have_come_from_any_broken_one(shelf: Shelf):
    registry = shelf.add("x", "raise OSError('disk')").add("y", "raise OSError('net')").load()
    with pytest.raises(PluginError, match=r"(?s)unknown model 'vllm'.*plugin 'x'.*disk.*plugin 'y'.*net"):
        registry.model(spec("vllm", "model"))


def test_an_interrupt_is_nobodys_fault(shelf: Shelf):
    shelf.add("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        shelf.load()


def test_a_module_that_registers_nothing_is_no_mistake(shelf: Shelf):
    registry = shelf.add("empty", "").load()
    assert [p.state for p in registry.plugins] == ["ok"]
    assert registry.entries() == []


# Implementations are called one by one

TWO_HOOKS = """
import harness

@harness.hookimpl
def register_metrics(register):
    register("half", lambda: None)
    raise ZeroDivisionError("the rest")

@harness.hookimpl
def register_models(register):
    register("half", lambda rest: None)
"""


@pytest.mark.parametrize("name", ["aaa", "zzz"])
def test_one_that_raises_hides_no_others_registrations(shelf: Shelf, name: str):
    registry = shelf.add(name, TWO_HOOKS).add("good", GOOD).add("more", metric("more")).load()
    assert registry.names("metric") == ["good", "more"]
    assert [p.name for p in registry.broken] == [name]


def test_what_it_had_registered_before_it_raised_is_dropped(shelf: Shelf):
    registry = shelf.add("half", TWO_HOOKS).load()
    assert registry.entries() == []
    assert registry.score_names() == []


def test_names_of_a_dropped_plugin_are_free_for_others(shelf: Shelf):
    registry = shelf.add("a", TWO_HOOKS).add("b", metric("half")).load()
    assert [e.plugin.name for e in registry.entries("metric")] == ["b"]


# A name has one owner


@pytest.mark.parametrize("hook", HOOKS)
def test_a_name_registered_twice_is_an_error_that_names_both_owners(shelf: Shelf, hook: str):
    source = registering(hook, "register('twin', lambda *a: None)")
    shelf.add("first", source, distribution="one", version="1").add("second", source, distribution="two", version="2")
    with pytest.raises(PluginError) as caught:
        shelf.load()
    assert str(caught.value) == (
        f"plugin 'second' of two 2: {HOOKS[hook]} 'twin' is already registered by plugin 'first' of one 1; "
        "mend it, or leave it out: --no-plugin second"
    )


def test_a_name_may_be_a_models_and_a_tasks(shelf: Shelf):
    source = registering("register_models", "register('x', list)") + registering(
        "register_tasks", "register('x', list)"
    )
    assert [e.kind for e in shelf.add("x", source).load().entries()] == ["model", "task"]


@pytest.mark.parametrize(
    ("source", "what"),
    [
        (metric("other", scores="('other', 'good')"), "metric 'other' gives the score 'good'"),
        (registering("register_rewards", "register('good', lambda: None)"), "reward 'good' gives the score 'good'"),
    ],
)
def test_a_score_has_one_owner_too(shelf: Shelf, source: str, what: str):
    shelf.add("good", GOOD, distribution="one").add("next", source, distribution="two")
    with pytest.raises(PluginError) as caught:
        shelf.load()
    message = str(caught.value)
    assert what in message
    assert "already registered with metric 'good' by plugin 'good' of one 1.2" in message
    assert "plugin 'next' of two 1.2" in message


def test_a_plugin_may_not_register_one_name_twice_either(shelf: Shelf):
    shelf.add("greedy", registering("register_metrics", "[register('g', lambda: None) for _ in range(2)]"))
    with pytest.raises(PluginError, match=r"metric 'g' is already registered by plugin 'greedy' of acme 1\.2"):
        shelf.load()


def test_entry_points_of_one_name_are_an_error_that_names_both(shelf: Shelf):
    shelf.add("good", GOOD, distribution="one").add("good", metric("better"), distribution="two")
    with pytest.raises(PluginError) as caught:
        shelf.load()
    assert str(caught.value) == (
        "plugin 'good' of two 1.2: its name is also that of plugin 'good' of one 1.2; uninstall one of them"
    )
    assert Registry.load(points=shelf.points(), block=["good"]).entries() == []


def test_two_entry_points_to_one_module(shelf: Shelf):
    registry = shelf.add("good", GOOD).point("again", "acme_good").load()
    assert [p.state for p in registry.plugins] == ["ok", "broken"]
    assert registry.names("metric") == ["good"]


def test_to_list_plugins_such_mistakes_are_shown_instead_of_raised(shelf: Shelf):
    registry = shelf.add("first", GOOD).add("second", GOOD).add("third", metric("third")).load(tolerant=True)
    assert [p.state for p in registry.plugins] == ["ok", "broken", "ok"]
    assert "is already registered by plugin 'first'" in str(registry.plugins[1].error)
    assert registry.names("metric") == ["good", "third"]


# Every hook is spelt right

MISSPELT = {
    "marked": (
        registering("register_metric", "register('x', list)"),
        "there is no hook 'register_metric'; did you mean 'register_metrics'?",
    ),
    "far off": (
        registering("add_things", "pass"),
        "there is no hook 'add_things'; there is register_metrics, register_models",
    ),
    "unmarked": (
        "def register_models(register):\n    register('x', list)\n",
        "'register_models' is not marked as a hook (put @harness.hookimpl above it)",
    ),
    "unmarked and misspelt": (
        "def register_reward(register):\n    register('x', list)\n",
        "'register_reward' is not marked as a hook (put @harness.hookimpl above it); did you mean 'register_rewards'?",
    ),
    "argument": (
        "import harness\n@harness.hookimpl\ndef register_metrics(registry):\n    pass\n",
        "{'registry'} are declared in the hookimpl",
    ),
    "wrapper": (
        "import harness\n@harness.hookimpl(wrapper=True)\ndef register_metrics(register):\n    return (yield)\n",
        "'register_metrics' is a hook wrapper, which is never called",
    ),
}


@pytest.mark.parametrize(("source", "message"), MISSPELT.values(), ids=MISSPELT)
def test_a_misspelt_hook_is_an_error_for_everyone(shelf: Shelf, source: str, message: str):
    shelf.add("good", GOOD).add("sloppy", source, distribution="shoddy", version="0.9")
    with pytest.raises(PluginError) as caught:
        shelf.load()
    assert message in str(caught.value)
    assert str(caught.value).startswith("plugin 'sloppy' of shoddy 0.9: ")
    assert "--no-plugin sloppy" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert shelf.load(block=["sloppy"]).names("metric") == ["good"]


@pytest.mark.parametrize(
    "source",
    [
        "def _register_metrics(register): pass\n",  # a helper
        "def registered(names): pass\n",
        "from harness.hookspecs import register_metrics\n",  # somebody else's
        "import harness\n@harness.hookimpl(specname='register_metrics')\ndef mine(register):\n    register('good', list)\n",
        "import harness\n@harness.hookimpl\ndef register_metrics():\n    pass\n",
    ],
)
def test_what_is_no_misspelling(shelf: Shelf, source: str):
    assert shelf.add("fine", source).load().broken == ()


# Which plugins are loaded


def test_a_blocked_plugin_is_never_imported(shelf: Shelf):
    registry = shelf.add("bad", "raise SystemExit(1)").add("good", GOOD).load(block=["bad"])
    assert {p.name: p.state for p in registry.plugins} == {"bad": "blocked", "good": "ok"}
    with pytest.raises(PluginError, match=r"unknown metric 'bad'.*\n.*plugin 'bad' of acme 1.2 is switched off"):
        registry.metric(spec("bad"))


def test_the_allow_list_of_the_environment(shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    shelf.add("bad", "raise SystemExit(1)").add("good", GOOD).add("more", metric("more"))
    monkeypatch.setenv("HARNESS_PLUGINS", " good , more,")
    assert shelf.load().names("metric") == ["good", "more"]
    assert shelf.load(block=["more"]).names("metric") == ["good"]
    assert shelf.load(allow=["more"]).names("metric") == ["more"]
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    assert [p.name for p in shelf.load().broken] == ["bad"]


def test_an_unknown_name_in_either_list_is_an_error(shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    shelf.add("good", GOOD).add("other", metric("other"))
    with pytest.raises(UsageError, match=r"^--no-plugin: there is no plugin 'goood'; did you mean 'good'\?$"):
        shelf.load(block=["goood"])
    monkeypatch.setenv("HARNESS_PLUGINS", "good,othr")
    with pytest.raises(UsageError, match=r"^HARNESS_PLUGINS: there is no plugin 'othr'; did you mean 'other'\?$"):
        shelf.load()


FAMILY = """
import harness
from types import SimpleNamespace

def make(*, names: list[str] = []):
    infos = tuple(harness.ScoreInfo(f"fam.{n}") for n in ("first", *names))
    return SimpleNamespace(infos=infos, __call__=None)

@harness.hookimpl
def register_metrics(register):
    register("fam", make, scores=("fam.first", "fam.*"))
"""


def test_options_may_name_scores_of_a_registered_family(shelf: Shelf):
    registry = shelf.add("family", FAMILY).load()
    assert [i.name for i in registry.infos(spec("fam", names=["x"]))] == ["fam.first", "fam.x"]
    owner = registry.owner_of("fam.anything")
    assert owner is not None
    assert owner.name == "fam"
    assert registry.owner_of("family") is None
    assert registry.owner_of("fam") is None


def test_a_family_is_no_score_that_may_be_meant(shelf: Shelf):
    assert shelf.add("family", FAMILY).load().score_names() == ["fam.first"]


def test_only_scores_come_in_families(shelf: Shelf):
    (plugin,) = shelf.add("family", FAMILY.replace('"fam", make', '"fam.*", make')).load().plugins
    assert plugin.state == "broken"
    assert "'fam.*' is no name" in str(plugin.error)


def test_what_lies_in_anothers_family_is_taken(shelf: Shelf):
    shelf.add("family", FAMILY).add("member", metric("other", scores='("fam.mine",)'))
    with pytest.raises(PluginError, match=r"'fam\.mine', already registered|'fam\.\*', already registered"):
        shelf.load()
