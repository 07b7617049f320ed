"""Entry points -> named factories, each with its plugin. What pluggy leaves open is decided here.

- Entry points are loaded one at a time, in name order. A plugin that cannot be imported, or raises while it
  registers, is `broken`: it hurts only those who ask for what it would have brought.
- A name registered twice, and a misspelt hook, are errors for everyone: with either, results would depend on luck.
- Hook implementations are called one by one, so that one that raises cannot hide another's registrations.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

from harness.errors import HarnessError, PluginError, UsageError, nearest
from harness.hookloading import HookFault, implementations, import_plugin, make_manager
from harness.names import column_name_problem, name_problem
from harness.options import option_problems
from harness.types import Json, Kind, ScoreInfo, Spec

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from harness.interfaces import Metric, Model, Report, Task

GROUP = "harness"
FAMILY = ".*"
ALLOWED = "HARNESS_PLUGINS"
HOOKS: Mapping[str, Kind] = {
    "register_metrics": "metric",
    "register_rewards": "reward",
    "register_models": "model",
    "register_tasks": "task",
    "register_reports": "report",
}
_TAKES_REST: frozenset[Kind] = frozenset(("model", "task"))
_SCORING: frozenset[Kind] = frozenset(("metric", "reward"))


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point and what became of it."""

    name: str
    module: str
    distribution: str
    version: str
    state: Literal["ok", "broken", "blocked"]
    error: str | None = None

    @property
    def owner(self) -> str:
        return f"plugin {self.name!r} of {self.distribution} {self.version}"

    def record(self) -> dict[str, Json]:
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "state": self.state,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered name: what makes it, the scores it gives (metrics and rewards), and who brought it."""

    kind: Kind
    name: str
    factory: Callable[..., Any]
    scores: tuple[str, ...]
    plugin: Plugin
    takes_path: bool = False

    def gives(self, score: str) -> bool:
        """Whether a score is among those registered: by its name, or by a family such as `human.*`."""
        return any(_covers(name, score) for name in self.scores)


def _covers(registered: str, score: str) -> bool:
    return score == registered or (registered.endswith(FAMILY) and score.startswith(registered[: -len("*")]))


def score_name(spec: Spec, info_name: str) -> str:
    """The name of a metric's score in a run: its own, or under the metric's `as:` name."""
    if spec.kind == "reward":
        return spec.label
    if spec.alias is None:
        return info_name
    return spec.alias if info_name == spec.name else f"{spec.alias}.{info_name}"


class Registry:
    """All that plugins brought. An object, never a global: make one with `Registry.load()` and hand it on."""

    def __init__(self, plugins: Iterable[Plugin], entries: Iterable[Entry]) -> None:
        self.plugins = tuple(plugins)
        self._entries = {(e.kind, e.name): e for e in entries}

    @classmethod
    def load(
        cls,
        *,
        allow: Collection[str] | None = None,
        block: Collection[str] = (),
        points: Iterable[EntryPoint] | None = None,
        tolerant: bool = False,
    ) -> Registry:
        """Load every plugin, or those in `allow` (default: the list in HARNESS_PLUGINS, if set), without `block`.

        Raises PluginError for a misspelt hook or a name registered twice; `tolerant` (to list plugins) marks the
        plugin as broken instead.
        """
        found = _entry_points(points)
        allowed = _allowed(allow)
        names = {p.name for p in found}
        for what, listed in ((ALLOWED if allow is None else "allow", allowed or ()), ("--no-plugin", block)):
            for name in listed:
                if name not in names:
                    raise UsageError(f"{what}: there is no plugin {name!r}{nearest(name, names)}")
        loader = _Loader(tolerant)
        for point in found:
            blocked = point.name in block or (allowed is not None and point.name not in allowed)
            loader.add(point, blocked=blocked)
        return cls(loader.plugins, loader.entries)

    @property
    def broken(self) -> tuple[Plugin, ...]:
        return tuple(p for p in self.plugins if p.state == "broken")

    def entries(self, kind: Kind | None = None) -> list[Entry]:
        return [e for e in self._entries.values() if kind is None or e.kind == kind]

    def names(self, kind: Kind) -> list[str]:
        return sorted(e.name for e in self.entries(kind))

    def score_names(self) -> list[str]:
        """Every score and reward function that a term may name, but those of families such as `human.*`."""
        return sorted(name for e in self.entries() for name in e.scores if not name.endswith(FAMILY))

    def owner_of(self, score: str) -> Spec | None:
        """The metric or reward function, with default options, that gives this score."""
        for entry in self.entries():
            if entry.gives(score):
                return Spec(entry.kind, entry.name)
        return None

    def resolved(self, spec: Spec) -> Spec:
        """A reward function may stand among the metrics: the same spec, said by its own kind."""
        if spec.kind == "metric" and (spec.kind, spec.name) not in self._entries:
            reward = self._entries.get(("reward", spec.name))
            return replace(spec, kind="reward") if reward else spec
        return spec

    def find(self, kind: Kind, name: str) -> Entry:
        entry = self._entries.get((kind, name))
        if entry is None:
            raise PluginError(self._unknown(kind, name))
        return entry

    def _unknown(self, kind: Kind, name: str) -> str:
        owner = self.owner_of(name) if kind == "metric" else None
        if owner is not None and owner.kind == "metric":
            return f"{name!r} is a score of the metric {owner.name!r}: ask for {owner.name!r}"
        names = self.names("metric") + self.names("reward") if kind == "metric" else self.names(kind)
        message = f"unknown {kind} {name!r}{nearest(name, names)}"
        suspects = [p for p in self.broken if p.name == name] or list(self.broken)
        blocked = [p for p in self.plugins if p.state == "blocked" and p.name == name]
        for plugin in suspects:
            message += f"\n  {plugin.owner} is broken and may have brought it: {plugin.error}"
        for plugin in blocked:
            message += f"\n  {plugin.owner} is switched off"
        return message

    def problems(self, spec: Spec) -> list[tuple[str | None, str]]:
        """What would keep this spec from working: (option or None, message) each. Makes the object, loads nothing."""
        return self.checked(spec)[0]

    def checked(self, spec: Spec) -> tuple[list[tuple[str | None, str]], tuple[ScoreInfo, ...]]:
        """`problems`, and the `infos` of a metric or reward that has none. The object is made once."""
        spec = self.resolved(spec)
        try:
            entry = self.find(spec.kind, spec.name)
            skip = 1 if spec.kind in _TAKES_REST else 0
            if wrong := option_problems(entry.factory, spec.options, skip=skip):
                return wrong, ()
            if spec.kind in _SCORING:
                return [], self.infos(spec)
            self.make(spec)
        except HarnessError as error:
            return [(None, str(error))], ()
        return [], ()

    def make(self, spec: Spec) -> Any:
        """The object a spec names. Raises PluginError, also for a bad option."""
        entry = self.find(spec.kind, spec.name)
        skip = 1 if spec.kind in _TAKES_REST else 0
        wrong = option_problems(entry.factory, spec.options, skip=skip)
        if wrong:
            raise PluginError(f"{spec.kind} {spec.name!r}: " + "; ".join(message for _, message in wrong))
        positional = (spec.rest,) if spec.kind in _TAKES_REST else ()
        try:
            return entry.factory(*positional, **spec.options)
        except (HarnessError, KeyboardInterrupt):
            raise
        except ValueError as error:
            raise PluginError(f"{spec.kind} {spec.name!r}: {error}") from error
        except BaseException as error:
            raise PluginError(
                f"{entry.plugin.owner} could not make {spec.kind} {spec.name!r}: {type(error).__name__}: {error}"
            ) from error

    def fault(self, spec: Spec, what: str, error: BaseException) -> PluginError:
        """What to raise where a plugin's object raised `error`."""
        owner = self.find(spec.kind, spec.name).plugin.owner
        return PluginError(f"{owner}: {spec.kind} {spec.label!r} {what}: {type(error).__name__}: {error}")

    def metric(self, spec: Spec) -> Metric:
        return cast("Metric", self.make(spec))

    def model(self, spec: Spec) -> Model:
        return cast("Model", self.make(spec))

    def task(self, spec: Spec) -> Task:
        return cast("Task", self.make(spec))

    def report(self, spec: Spec) -> Report:
        return cast("Report", self.make(spec))

    def infos(self, spec: Spec) -> tuple[ScoreInfo, ...]:
        """The scores a metric or reward gives, under their names in a run."""
        return self.metric_with_infos(spec)[1]

    def metric_with_infos(self, spec: Spec) -> tuple[Metric, tuple[ScoreInfo, ...]]:
        """A metric, made once, and its `infos`. Raises PluginError where what it gives is not what was registered."""
        spec = self.resolved(spec)
        entry = self.find(spec.kind, spec.name)
        metric = self.metric(spec)
        infos = _declared(metric, entry)
        if spec.kind == "reward" and len(infos) != 1:
            raise PluginError(f"{entry.plugin.owner}: reward {spec.name!r} must give one score, not {len(infos)}")
        unknown = [i.name for i in infos if not entry.gives(i.name)]
        if spec.kind == "metric" and unknown:
            raise PluginError(
                f"{entry.plugin.owner}: metric {spec.name!r} gives {unknown} but registered {list(entry.scores)}"
            )
        return metric, tuple(replace(i, name=score_name(spec, i.name)) for i in infos)


def release(thing: object, name: str) -> None:
    """Let a plugin's object close what it holds. Where it fails at that nothing is lost, so it is only told."""
    try:
        close = getattr(thing, "close", None)
        if close is not None:
            close()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        logging.getLogger("harness").warning("%s did not close: %s: %s", name, type(error).__name__, error)


def _declared(metric: Metric, entry: Entry) -> tuple[ScoreInfo, ...]:
    fault = f"{entry.plugin.owner}: {entry.kind} {entry.name!r}"
    try:
        infos = tuple(metric.infos)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(f"{fault} has no `infos`: {type(error).__name__}: {error}") from error
    if not infos or not all(isinstance(i, ScoreInfo) for i in infos):
        raise PluginError(f"{fault}: `infos` must be a tuple of ScoreInfo with at least one in it, not {infos!r}")
    return infos


def _entry_points(points: Iterable[EntryPoint] | None) -> list[EntryPoint]:
    if points is None:
        from importlib.metadata import entry_points

        points = entry_points(group=GROUP)
    return sorted(points, key=lambda p: (p.name, p.value))


def _allowed(allow: Collection[str] | None) -> Collection[str] | None:
    if allow is not None:
        return allow
    listed = [n.strip() for n in os.environ.get(ALLOWED, "").split(",")]
    return [n for n in listed if n] or None


class _Loader:
    """Loads entry points one after the other into plugins and entries."""

    def __init__(self, tolerant: bool) -> None:
        self.plugins: list[Plugin] = []
        self.entries: list[Entry] = []
        self._tolerant = tolerant
        self._manager = make_manager()

    def add(self, point: EntryPoint, *, blocked: bool) -> None:
        distribution = point.dist.name if point.dist else "an unknown distribution"
        version = point.dist.version if point.dist else "?"
        plugin = Plugin(point.name, point.value, distribution, version, "blocked" if blocked else "ok")
        if blocked:
            self.plugins.append(plugin)
            return
        taken = len(self.entries)
        try:
            self._same_name(plugin)
            self._register(plugin, point)
        except HookFault as fault:
            if not self._tolerant:
                advice = fault.advice or f"mend it, or leave it out: --no-plugin {plugin.name}"
                raise PluginError(f"{plugin.owner}: {fault}; {advice}") from None
            plugin = self._give_up(plugin, str(fault), taken)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may raise anything, also what is no Exception
            plugin = self._give_up(plugin, f"{type(error).__name__}: {error}", taken)
        self.plugins.append(plugin)

    def _give_up(self, plugin: Plugin, error: str, taken: int) -> Plugin:
        del self.entries[taken:]
        return replace(plugin, state="broken", error=error)

    def _same_name(self, plugin: Plugin) -> None:
        for other in self.plugins:
            if other.name == plugin.name and other.state != "blocked":
                raise HookFault(f"its name is also that of {other.owner}", "uninstall one of them")

    def _register(self, plugin: Plugin, point: EntryPoint) -> None:
        module = import_plugin(point)
        for hook, function in implementations(self._manager, module, plugin.name):
            kind = HOOKS[hook]

            def register(
                name: str,
                factory: Callable[..., object],
                scores: Iterable[str] = (),
                *,
                takes_path: bool = False,
                kind: Kind = kind,
            ) -> None:
                self._take(Entry(kind, name, factory, _scores(kind, name, scores), plugin, takes_path))

            function(register)

    def _take(self, entry: Entry) -> None:
        if not callable(entry.factory):
            raise TypeError(f"{entry.kind} {entry.name!r} was registered with {entry.factory!r}, which is no factory")
        _check_name(entry, entry.name)
        for name in entry.scores:
            _check_name(entry, name.removesuffix(FAMILY) if isinstance(name, str) else name)
        for other in self.entries:
            shared = {n for n in entry.scores if other.gives(n)} | {n for n in other.scores if entry.gives(n)}
            if (other.kind, other.name) == (entry.kind, entry.name):
                raise HookFault(f"{entry.kind} {entry.name!r} is already registered by {other.plugin.owner}")
            if shared:
                names = ", ".join(map(repr, sorted(shared)))
                raise HookFault(
                    f"{entry.kind} {entry.name!r} gives the score {names}, "
                    f"already registered with {other.kind} {other.name!r} by {other.plugin.owner}"
                )
        self.entries.append(entry)


def _check_name(entry: Entry, name: object) -> None:
    problem = column_name_problem(name) if entry.kind in _SCORING else name_problem(name)
    if problem:
        raise ValueError(f"{entry.kind} {entry.name!r} cannot be registered: {problem}")


def _scores(kind: Kind, name: str, scores: Iterable[str]) -> tuple[str, ...]:
    if kind not in _SCORING:
        return ()
    if isinstance(scores, str):
        raise TypeError(f"metric {name!r} was registered with scores={scores!r}: give a tuple of names")
    return tuple(scores) or (name,)


__all__ = ["GROUP", "HOOKS", "Entry", "Plugin", "Registry", "release", "score_name"]
