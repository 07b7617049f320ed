"""Writes a suite out as the file that would make it, with every default filled in."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import yaml

from harness.yamlfile import resolve

if TYPE_CHECKING:
    from harness.suite import ChoiceSpec, Fields, GuardSpec, RewardSpec, Suite, TaskSpec, TermSpec
    from harness.types import Json, Spec


def as_data(suite: Suite) -> dict[str, Any]:
    """Plain data in the shape of the file."""
    data: dict[str, Any] = {"name": suite.name}
    data["tasks"] = [_task(task) for task in suite.tasks]
    data["models"] = [_entry(spec) for spec in suite.models]
    data["generate"] = {**asdict(suite.generate), "stop": list(suite.generate.stop), **_choice(suite.choice)}
    data["metrics"] = [_entry(spec) for spec in suite.metrics]
    if suite.reward_spec is not None:
        data["reward"] = _reward(suite.reward_spec)
    if suite.gate is not None:
        data["gate"] = _plain(suite.gate)
    data["reports"] = [_entry(spec) for spec in suite.reports]
    if suite.online is not None:
        size = suite.online.group_size
        data["online"] = {"fields": _fields(suite.online.fields)} | ({"group_size": size} if size else {})
    return data


def as_yaml(data: dict[str, Any]) -> str:
    """YAML that our reader turns into the same data."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**31)


def _task(task: TaskSpec) -> dict[str, Any]:
    optional = {
        "template": task.template,
        "system": task.system,
        "language": task.language,
        "limit": task.limit,
    }
    data: dict[str, Any] = {"name": task.name, "source": task.source, "fields": _fields(task.fields)}
    data |= {key: value for key, value in optional.items() if value is not None}
    return data | {"options": _plain(task.options)} | ({"recorded": True} if task.recorded else {})


def _choice(choice: ChoiceSpec | None) -> dict[str, Any]:
    if choice is None:
        return {"strategy": "all"}
    return {"strategy": choice.strategy} | ({"utility": choice.utility} if choice.utility is not None else {})


def _fields(fields: Fields) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}


def _entry(spec: Spec) -> str | dict[str, Any]:
    text = f"{spec.name}:{spec.rest}" if spec.rest else spec.name
    if not spec.options and spec.alias is None:
        return text
    return {text: _plain(spec.options)} | ({"as": spec.alias} if spec.alias else {})


def _reward(reward: RewardSpec) -> dict[str, Any]:
    data: dict[str, Any] = {"combine": reward.combine}
    data["terms"] = [_term(term, weighted=reward.combine != "min") for term in reward.terms]
    data["guard"] = [_guard(guard) for guard in reward.guard]
    return data


def _term(term: TermSpec, *, weighted: bool) -> dict[str, Any]:
    data: dict[str, Any] = {"score": term.score}
    if term.name != term.score:
        data["as"] = term.name
    if weighted:
        data["weight"] = term.weight
    if term.range is not None:
        data["range"] = list(term.range)
    if term.higher_is_better is not None:
        data["higher_is_better"] = term.higher_is_better
    return data | {"required": term.required}


def _guard(guard: GuardSpec) -> dict[str, Any]:
    bounds = {"min": guard.min, "max": guard.max}
    given = {key: value for key, value in bounds.items() if value is not None}
    return {"score": guard.score, **given, "required": guard.required}


def _plain(value: Json) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


class _Dumper(yaml.SafeDumper):
    """PyYAML writes for YAML 1.1; here text is quoted wherever our reader would see something else in it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    block = "\n" in text and all(c == "\n" or c.isprintable() for c in text)
    style = "|" if block else '"' if _is_special(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _is_special(text: str) -> bool:
    if "\x85" in text:  # a line's end to YAML, which only an escape keeps from becoming another
        return True
    try:
        return not isinstance(resolve(text), str)
    except ValueError:
        return True


_Dumper.add_representer(str, _text)
