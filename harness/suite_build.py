"""From text to a `Suite`: section by section, then what depends on several keys, then the registry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import DataError, SuiteError
from harness.names import column_name_problem, name_problem
from harness.suite import (
    ChoiceSpec,
    Combine,
    Fields,
    GuardSpec,
    OnlineSpec,
    RewardSpec,
    Suite,
    TaskSpec,
    TermSpec,
    too_few,
)
from harness.suite_entries import Placed, column_map, entry, name_from
from harness.suite_nodes import Document, KeyPath, Node, Place, shown
from harness.suite_problems import Problems, TooManyProblemsError
from harness.suite_schema import (
    Gate,
    Generate,
    Guard,
    Online,
    Reward,
    Rule,
    SuiteFile,
    Task,
    Term,
)
from harness.types import Json, Kind, Settings, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from harness.registry import Registry

T = TypeVar("T")


@dataclass(slots=True)
class Draft:
    """A suite in the making: what could be read, to be checked further in spite of mistakes elsewhere."""

    name: str = ""
    tasks: list[Placed[TaskSpec]] = field(default_factory=list)
    models: list[Placed[Spec]] = field(default_factory=list)
    generate: Settings = field(default_factory=Settings)
    choice: ChoiceSpec | None = None
    metrics: list[Placed[Spec]] = field(default_factory=list)
    reports: list[Placed[Spec]] = field(default_factory=list)
    combine: Combine | None = None
    terms: list[Placed[TermSpec]] = field(default_factory=list)
    guard: list[Placed[GuardSpec]] = field(default_factory=list)
    gate: dict[str, Json] | None = None
    rules: list[Placed[Rule]] = field(default_factory=list)
    online: OnlineSpec | None = None
    faulty_tasks: list[Placed[TaskSpec]] = field(default_factory=list)
    """Tasks with a mistake; only the source counts, so that one in it is found too. Likewise:"""
    faulty_scores: list[Placed[str]] = field(default_factory=list)

    def suite(self, text: str, folder: Path | None) -> Suite:
        terms, guard = tuple(t.item for t in self.terms), tuple(g.item for g in self.guard)
        return Suite(
            name=self.name,
            tasks=tuple(t.item for t in self.tasks),
            models=tuple(m.item for m in self.models),
            generate=self.generate,
            metrics=tuple(m.item for m in self.metrics),
            reward_spec=RewardSpec(terms, self.combine, guard) if self.combine else None,
            gate=self.gate,
            reports=tuple(r.item for r in self.reports),
            online=self.online,
            choice=self.choice,
            text=text,
            folder=folder,
        )


def build(text: str, source: str, folder: Path | None, overrides: Iterable[str], registry: Registry | None) -> Suite:
    """The suite in `text`. Raises SuiteError with all mistakes. A registry checks plugins and scores."""
    from harness.suite_overrides import override
    from harness.yamlfile import scan

    document, found = scan(text, source)
    document = override(document, overrides, found)
    return _draft(Problems(document, found), folder, registry).suite(text, folder)


def build_from(data: Json, source: str, folder: Path | None, registry: Registry | None) -> Suite:
    """As `build`, from data that was never text of a suite: whatever JSON holds survives, and no line is named."""
    from harness.strictjson import check

    try:
        check(data, "")
    except DataError as error:
        raise SuiteError(f"{source}: {str(error).lstrip('.')}") from None
    document = Document(source, Node.of(data, Place(1, 1, source)))
    return _draft(Problems(document), folder, registry).suite("", folder)


def _draft(problems: Problems, folder: Path | None, registry: Registry | None) -> Draft:
    from harness.suite_check import check

    try:
        draft = _Builder(problems).draft(problems.document.data)
        if registry is not None:
            check(draft, registry, problems, folder)
    except TooManyProblemsError:
        raise problems.error(more=True) from None
    if problems:
        raise problems.error()
    return draft


class _Builder:
    """Fills a draft section by section."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._draft = Draft()

    def draft(self, data: Any) -> Draft:
        if not isinstance(data, dict):
            self._problems.add((), f"expected a mapping that starts with `name:`, got {shown(data)}")
            return self._draft
        self._problems.unknown_keys(data, list(SuiteFile.model_fields), ())
        self._name(data)
        sections: dict[str, Callable[[Any], None]] = {
            "tasks": lambda raw: self._problems.each(raw, ("tasks",), self._task),
            "models": self._entries("models", "model", self._draft.models),
            "generate": self._generate,
            "metrics": self._entries("metrics", "metric", self._draft.metrics),
            "reward": self._reward,
            "gate": self._gate,
            "reports": self._entries("reports", "report", self._draft.reports),
            "online": self._online,
        }
        for name, read in sections.items():
            if name in data:
                read(data[name])
        if set(data) <= set(SuiteFile.model_fields) - {"tasks", "metrics", "reward"}:
            self._problems.add((), "nothing to do: give `tasks` and `models`, `metrics`, or a `reward`")
        if self._draft.choice is not None and self._draft.choice.strategy == "best_of" and "reward" not in data:
            self._problems.add(("generate", "strategy"), "'best_of' chooses by the reward: add `reward:` with `terms:`")
        self._unique(self._draft.tasks, lambda task: task.name, "task", "`name:`")
        return self._draft

    def _name(self, data: dict[str, Any]) -> None:
        name = data.get("name")
        if "name" not in data:
            self._problems.add((), "missing key 'name'")
        elif not isinstance(name, str):
            self._problems.add(("name",), f"expected text, got {shown(name)}; put it in quotes")
        elif problem := name_problem(name):
            self._problems.add(("name",), problem)
        else:
            self._draft.name = name

    def _entries(self, section: str, kind: Kind, into: list[Placed[Spec]]) -> Callable[[Any], None]:
        def take(raw: Any, path: KeyPath) -> None:
            placed = entry(raw, path, kind, self._problems)
            if placed is not None:
                into.append(placed)

        def read(raw: Any) -> None:
            self._problems.each(raw, (section,), take)
            self._unique(into, lambda spec: spec.label, kind, "`as:`")

        return read

    def _unique(self, items: list[Placed[T]], name: Callable[[T], str], what: str, key: str) -> None:
        seen: dict[str, KeyPath] = {}
        for placed in items:
            own = name(placed.item)
            if own in seen:
                first = f"it is first at {self._problems.stands(seen[own])}"
                self._problems.add(
                    placed.path, f"two {what}s are called {shown(own)} ({first}); give one another {key}"
                )
            seen.setdefault(own, placed.path)

    def _task(self, raw: Any, path: KeyPath) -> None:
        task = self._problems.validated(Task, raw, path)
        columns = self._fields(raw, path)
        if task is None:
            if isinstance(raw, dict) and isinstance(raw.get("source"), str):
                self._draft.faulty_tasks.append(Placed(TaskSpec("", raw["source"]), path))
            return
        self._prompted(task, columns, path)
        name = task.name or name_from(task.source)
        spec = TaskSpec(
            name,
            task.source,
            columns,
            template=task.template,
            system=task.system,
            language=task.language,
            limit=task.limit,
            options=task.options,
            recorded=task.recorded,
        )
        self._draft.tasks.append(Placed(spec, path, (*path, "options")))

    def _prompted(self, task: Task, columns: Fields, path: KeyPath) -> None:
        from harness.tasks import parse_template

        if task.recorded:
            for key, given in (("fields", columns), ("template", task.template), ("system", task.system)):
                if given:
                    self._problems.add((*path, key), "a recorded task's rows say themselves what they are; remove it")
            return
        if task.template is not None:
            try:
                parse_template(task.template)
            except ValueError as error:
                self._problems.add((*path, "template"), str(error))
        elif columns and "prompt" not in columns:
            self._problems.add((*path, "fields"), "give `prompt: COLUMN` here, or the task a `template:`")

    def _fields(self, section: Any, path: KeyPath) -> Fields:
        if not isinstance(section, dict) or "fields" not in section:
            return {}
        return column_map(section["fields"], (*path, "fields"), self._problems)

    def _generate(self, raw: Any) -> None:
        section = self._problems.validated(Generate, raw, ("generate",))
        if section is None:
            if isinstance(raw, dict) and raw.get("strategy") == "mbr" and isinstance(raw.get("utility"), str):
                self._draft.choice = ChoiceSpec("mbr", raw["utility"])  # so that a mistake in it is found too
            return
        drawn = section.temperature > 0
        if section.n > 1 and section.num_beams == 1 and not drawn:
            identical = f"n={section.n} greedy completions would be identical: set temperature"
            self._problems.add(("generate", "n"), identical)
        if section.num_beams > 1 and drawn:
            both = "beam search draws nothing: set `temperature: 0` or `num_beams: 1`"
            self._problems.add(("generate", "num_beams"), both)
        elif 1 < section.num_beams < section.n:
            few = f"n={section.n} completions need at least as many beams, not num_beams={section.num_beams}"
            self._problems.add(("generate", "n"), few)
        values = section.model_dump(exclude={"strategy", "utility"})
        self._draft.generate = Settings(**{**values, "stop": tuple(values["stop"])})
        self._choice(section)

    def _choice(self, section: Generate) -> None:
        strategy, utility = section.strategy, section.utility
        if utility is not None and strategy != "mbr":
            chooses = "chooses by the reward" if strategy == "best_of" else "chooses nothing"
            self._problems.add(("generate", "utility"), f"{strategy!r} {chooses}: a utility goes with `strategy: mbr`")
        if strategy == "all":
            return
        if strategy == "mbr" and utility is None:
            lacking = "'mbr' needs `utility:`, the name of a score that compares with references, such as chrf"
            self._problems.add(("generate", "strategy"), lacking)
        if section.n < 2 and any(not task.item.recorded for task in self._draft.tasks):
            self._problems.add(("generate", "n"), too_few(strategy, section.n))
        self._draft.choice = ChoiceSpec(strategy, utility)

    def _reward(self, raw: Any) -> None:
        terms = self._items(raw, "reward", "terms", Term)
        guards = self._items(raw, "reward", "guard", Guard)
        shell = self._shell(Reward, raw, "reward", {"terms": terms, "guard": guards})
        combine = shell.combine if isinstance(shell, Reward) else None
        for placed in terms:
            self._term(placed, combine)
        for guard in guards:
            self._guard(guard)
        if shell is not None and isinstance(raw.get("terms"), list):
            self._weights([t.item for t in terms], raw, combine)
        self._unique(self._draft.terms, lambda term: term.name, "term", "`as:`")
        self._draft.combine = combine

    def _items(self, raw: Any, section: str, key: str, model: type[Any]) -> list[Placed[Any]]:
        """The items of a list that are well formed, each judged by itself."""
        items: list[Placed[Any]] = []

        def take(item: Any, path: KeyPath) -> None:
            if (good := self._problems.validated(model, item, path)) is not None:
                items.append(Placed(good, path))
            elif section == "reward" and isinstance(item, dict) and isinstance(item.get("score"), str):
                self._draft.faulty_scores.append(Placed(item["score"], path))

        if isinstance(raw, dict) and isinstance(raw.get(key), list):
            self._problems.each(raw[key], (section, key), take)
        return items

    def _shell(self, model: type[Any], raw: Any, section: str, lists: dict[str, list[Placed[Any]]]) -> Any | None:
        """The section without what was wrong in its lists, or `None`."""
        inner = {
            key: [p.item for p in items]
            for key, items in lists.items()
            if isinstance(raw, dict) and isinstance(raw.get(key), list)
        }
        return self._problems.validated(model, {**raw, **inner} if inner else raw, (section,))

    def _term(self, placed: Placed[Term], combine: Combine | None) -> None:
        term, path = placed.item, placed.path
        name = term.alias or term.score
        if not term.alias and (problem := column_name_problem(name)):
            self._problems.add((*path, "score"), f"{problem} with `as:`")
        if combine == "min" and "weight" in term.model_fields_set:
            self._problems.add((*path, "weight"), "`combine: min` takes no weights; remove it")
        low, high = term.range or (0.0, 1.0)
        if low >= high:
            self._problems.add((*path, "range"), f"low must be below high, got [{low!r}, {high!r}]")
        spec = TermSpec(
            name,
            term.score,
            term.weight,
            (low, high) if term.range else None,
            term.higher_is_better,
            term.required,
        )
        self._draft.terms.append(Placed(spec, path))

    def _weights(self, terms: list[Term], raw: dict[str, Any], combine: Combine | None) -> None:
        if not raw["terms"]:
            self._problems.add(("reward", "terms"), "expected at least one term")
        elif combine == "min" or len(terms) < len(raw["terms"]):
            return
        elif not 0 < sum(term.weight for term in terms) < float("inf"):
            self._problems.add(("reward", "terms"), "the weights must have a positive, finite sum")

    def _guard(self, placed: Placed[Guard]) -> None:
        guard = placed.item
        if guard.min is None and guard.max is None:
            self._problems.add(placed.path, "a guard needs `min`, `max` or both")
        elif guard.min is not None and guard.max is not None and guard.min > guard.max:
            self._problems.add(placed.path, f"nothing lies between min {guard.min!r} and max {guard.max!r}")
        spec = GuardSpec(guard.score, guard.min, guard.max, guard.required)
        self._draft.guard.append(Placed(spec, placed.path))

    def _gate(self, raw: Any) -> None:
        rules = self._items(raw, "gate", "rules", Rule)
        shell = self._shell(Gate, raw, "gate", {"rules": rules})
        for placed in rules:
            rule = placed.item
            if rule.min is None and rule.max is None and rule.max_drop is None and rule.noninferior is None:
                self._problems.add(placed.path, "a rule needs `min`, `max`, `max_drop` or `noninferior`")
        if shell is not None and not raw["rules"]:
            self._problems.add(("gate", "rules"), "expected at least one rule")
        self._draft.rules = rules
        self._draft.gate = raw if shell is not None else None

    def _online(self, raw: Any) -> None:
        section = self._problems.validated(Online, raw, ("online",))
        columns = self._fields(raw, ("online",))
        if section is not None:
            self._draft.online = OnlineSpec(columns, section.group_size)
