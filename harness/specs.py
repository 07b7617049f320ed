"""Metrics as people write them outside a suite: in a list in Python, or behind `--metric`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.types import Json, Spec

if TYPE_CHECKING:
    from harness.registry import Registry


def metric_specs(metrics: Sequence[str | Mapping[str, Json]], registry: Registry) -> tuple[Spec, ...]:
    """`["bleu", {"rouge": {"use_stemmer": True}, "as": "stemmed"}]`, read and checked as a suite's `metrics:`."""
    from harness.suite import suite_from

    data: Json = {"name": "metrics", "metrics": list(metrics)}
    return suite_from(data, source="the metrics given", registry=registry).metrics


def cli_metric(text: str) -> Spec:
    """`rouge:use_stemmer=true,multi=mean,as=stemmed`, `exact:labels=[yes,no]`: values are read as YAML."""
    from harness.yamlfile import load

    name, _, listed = text.partition(":")
    options: dict[str, Json] = {}
    for part in _split(listed):
        key, equals, value = (s.strip() for s in part.partition("="))
        if not equals or not key or not value:
            raise UsageError(f"--metric {text!r}: options are written NAME:key=value,key=value; {part!r} is not")
        if key in options:
            raise UsageError(f"--metric {text!r}: the option {key!r} is given twice")
        options[key] = load(value, f"--metric {text}").data
    alias = options.pop("as", None)
    return Spec("metric", name, "", options, None if alias is None else str(alias))


def _split(listed: str) -> list[str]:
    """At commas, save those inside a value: one that is no YAML yet goes on behind the comma."""
    from harness.yamlfile import compose

    found: list[str] = []
    pieces = listed.split(",")
    while pieces:
        part = pieces.pop(0)
        value = part.partition("=")[2]
        while value.strip() and pieces and compose(value)[0] is None:
            more = pieces.pop(0)
            part, value = f"{part},{more}", f"{value},{more}"
        if part:
            found.append(part)
    return found
