"""What only the registry can say of a suite: whether plugins, their options and scores exist and fit."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from harness.errors import nearest
from harness.sources import model_spec, source_spec
from harness.suite import not_given, utility_problem
from harness.suite_nodes import shown
from harness.types import ScoreInfo, Spec

if TYPE_CHECKING:
    from pathlib import Path

    from harness.registry import Registry
    from harness.suite import TaskSpec, TermSpec
    from harness.suite_build import Draft
    from harness.suite_entries import Placed
    from harness.suite_nodes import KeyPath
    from harness.suite_problems import Problems


def check(draft: Draft, registry: Registry, problems: Problems, folder: Path | None) -> None:
    """Report everything in the draft that the plugins at hand cannot do. `folder` is what the suite's paths start from."""
    _Checker(draft, registry, problems, folder).run()


class _Checker:
    def __init__(self, draft: Draft, registry: Registry, problems: Problems, folder: Path | None) -> None:
        self._draft = draft
        self._registry = registry
        self._problems = problems
        self._folder = folder
        self._infos: dict[str, ScoreInfo] = {}

    def run(self) -> None:
        for placed in (*self._draft.tasks, *self._draft.faulty_tasks):
            self._task(placed)
        for model in self._draft.models:
            self._spec(replace(model, item=model_spec(model.item, self._folder)))
        for report in self._draft.reports:
            self._spec(report)
        self._metrics()
        for term in self._draft.terms:
            self._term(term)
        for guard in self._draft.guard:
            self._info(guard.item.score, guard.path)
        for score in self._draft.faulty_scores:
            self._info(score.item, score.path)
        if self._draft.choice is not None and self._draft.choice.utility:
            self._utility(self._draft.choice.utility)
        for rule in self._draft.rules:
            self._rule(rule.item.score, rule.path)

    def _spec(self, placed: Placed[Spec]) -> tuple[ScoreInfo, ...]:
        """The scores that the plugin's object gives, if any; what keeps it from being made is reported."""
        found, infos = self._registry.checked(placed.item)
        for option, message in found:
            path = placed.options if option is None else (*placed.options, option)
            self._problems.add(path, message, key=option is None and placed.options != placed.path)
        return infos

    def _metrics(self) -> None:
        metrics, rewards = set(self._registry.names("metric")), set(self._registry.names("reward"))
        givers: dict[str, str] = {}
        for index, placed in enumerate(self._draft.metrics):
            if placed.item.name in rewards - metrics:
                placed = replace(placed, item=replace(placed.item, kind="reward"))
                self._draft.metrics[index] = placed
            taken = set()
            for info in self._spec(placed):
                if info.name in givers:
                    taken.add(info.name)
                self._infos.setdefault(info.name, info)
                givers.setdefault(info.name, placed.item.label)
            # two of one label are told already
            if taken and givers[min(taken)] != placed.item.label:
                names = ", ".join(map(repr, sorted(taken)))
                other = givers[min(taken)]
                self._problems.add(placed.path, f"gives {names}, as {other!r} does; give one of them another `as:`")

    def _task(self, placed: Placed[TaskSpec]) -> None:
        source, path = placed.item.source, (*placed.path, "source")
        spec = source_spec(source, self._registry)
        if spec.rest == source and (problem := _path_problem(source, self._registry.names("task"))):
            self._problems.add(path, problem)
            return
        for option, message in self._registry.problems(replace(spec, options=placed.item.options)):
            self._problems.add(path if option is None else (*placed.options, option), message)

    def _term(self, placed: Placed[TermSpec]) -> None:
        term = placed.item
        info = self._info(term.score, placed.path)
        if info is None or term.range is not None:
            return
        if not (math.isfinite(info.low) and math.isfinite(info.high)):
            declared = f"{info.low:g} to {info.high:g}"
            self._problems.add(
                placed.path, f"score {term.score!r} is unbounded ({declared}): give `range: [low, high]`"
            )

    def _info(self, score: str, path: KeyPath) -> ScoreInfo | None:
        """What the score of a term or guard is; mistakes are reported."""
        where = (*path, "score")
        info = self._infos.get(score) or self._owned(score, where)
        if info is not None and info.scope == "corpus":
            message = f"{score!r} is a corpus score: no completion has one, so it cannot enter a reward"
            self._problems.add(where, message)
            return None
        return info

    def _owned(self, score: str, where: KeyPath) -> ScoreInfo | None:
        """The score of a metric that the suite does not list, which is loaded for it."""
        owner, infos = self._unlisted(score, where)
        if owner is None:
            return None
        if taken := sorted(infos.keys() & self._infos.keys()):
            shared = ", ".join(map(repr, taken))
            message = f"{score!r} brings the metric {owner.name!r}, whose {shared} another of the suite gives;"
            self._problems.add(where, f"{message} add {owner.name!r} to `metrics` with an `as:`")
        self._infos = {**infos, **self._infos}
        return infos[score]

    def _unlisted(self, score: str, where: KeyPath) -> tuple[Spec | None, dict[str, ScoreInfo]]:
        """The metric that gives a score of no metric of the suite, with all of its scores; mistakes are reported."""
        owner = self._registry.owner_of(score)
        if owner is None:
            names = {*self._infos, *self._registry.score_names()}
            self._problems.add(where, f"unknown score {shown(score)}{_near(score, names)}")
            return None, {}
        found, given = self._registry.checked(owner)
        for _, message in found:
            self._problems.add(where, message)
        infos = {info.name: info for info in given}
        if not found and score not in infos:
            listed = any(m.item.label == owner.name for m in self._draft.metrics)
            self._problems.add(where, not_given(score, owner, listed=listed) + self._sister(score, owner))
        return (owner, infos) if score in infos else (None, {})

    def _sister(self, score: str, owner: Spec) -> str:
        """A score of the same metric that the suite has, and that may have been meant."""
        entry = self._registry.find(owner.kind, owner.name)
        near = difflib.get_close_matches(score, [name for name in self._infos if entry.gives(name)], n=1)
        return f"; did you mean {near[0]!r}?" if near else ""

    def _utility(self, score: str) -> None:
        """The utility's metric is found as that of a term, but its scores stay out of the run."""
        where = ("generate", "utility")
        info = self._infos.get(score) or self._unlisted(score, where)[1].get(score)
        if info is not None and (problem := utility_problem(info)):
            self._problems.add(where, problem)

    def _rule(self, score: str, path: KeyPath) -> None:
        rewards = {"reward", *(f"reward.{term.item.name}" for term in self._draft.terms)}
        if score in self._infos or score in rewards:
            return
        if owner := self._registry.owner_of(score):
            what = "it" if owner.name == score else f"{owner.name!r}"
            message = f"no metric of this suite gives {score!r}: add {what} to `metrics`"
        else:
            names = {*self._infos, *rewards, *self._registry.score_names()}
            message = f"unknown score {shown(score)}{_near(score, names)}"
        self._problems.add((*path, "score"), message)


def _near(name: str, names: set[str]) -> str:
    return nearest(name, names) if len(name) <= 100 else ""


def _path_problem(source: str, names: list[str]) -> str | None:
    """Why a source that is no registered task is no path either, if so."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9_.-]+):", source)
    if "://" in source:
        return f"{shown(source)} is a URL, and none is fetched: download the file and give its path"
    close = scheme and difflib.get_close_matches(scheme[1], names, n=1)
    if close or not ("/" in source or "\\" in source or PurePosixPath(source).suffix):
        name = scheme[1] if scheme else source
        return f"unknown task {shown(name)}{_near(name, set(names))} (a file needs a suffix such as .csv)"
    return None
