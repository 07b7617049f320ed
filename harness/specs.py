"""Metrics as people write them outside a suite: in a list in Python, or behind `--metric`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.types import Json, Spec

if TYPE_CHECKING:
    from harness.registry import Registry


def metric_specs(metrics: Sequence[str | Mapping[str, Json]], registry: Registry) -> tuple[Spec, ...]:
    """`["bleu", {"rouge": {"use_stemmer": True}, "as": "stemmed"}]`, read and checked as a suite's `metrics:`."""
    from harness.suite import parse_suite

    text = json.dumps({"name": "metrics", "metrics": list(metrics)}, ensure_ascii=False)
    return parse_suite(text, source="metrics", registry=registry).metrics


def cli_metric(text: str) -> Spec:
    """`rouge:use_stemmer=true,multi=mean,as=stemmed`: values are read as YAML."""
    from harness.yamlfile import load

    name, _, listed = text.partition(":")
    options: dict[str, Json] = {}
    for part in filter(None, listed.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key or not value:
            raise UsageError(f"--metric {text!r}: options are written NAME:key=value,key=value; {part!r} is not")
        options[key.strip()] = load(value, f"--metric {text}").data
    alias = options.pop("as", None)
    return Spec("metric", name, "", options, None if alias is None else str(alias))
