"""`report.html`: the run as one self-contained page that opens from disk and reaches for nothing.

Everything but the samples is in the markup, so it reads without JavaScript. The samples are JSON in a data
block, shown by a small script a page at a time. No text of a run can become markup: the template escapes all
of it, the script sets text only, and a content security policy allows this very script and style sheet, by
their hashes, and nothing else. The same run gives the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from harness import Report, escaped, hookimpl  # the option check reads the factory's annotations, `Report` among them
from harness_reports.embed import Window, embedded, script_json
from harness_reports.page import page
from harness_reports.view import Tally, view

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2 import Environment

    from harness import Rendered, Run

NAME = "report.html"
TEMPLATE = "report.html.j2"


@hookimpl
def register_reports(register: Callable[..., None]) -> None:
    register("html", html_report)


def html_report(*, max_samples: int = 2000) -> Report:
    """`max_samples` bounds the groups (a sample with one model's completions) that the page holds."""
    if max_samples < 0:
        raise ValueError(f"max_samples must be 0 or more, not {max_samples}")
    return HtmlReport(max_samples)


@dataclass(frozen=True, slots=True)
class HtmlReport:
    max_samples: int = 2000

    def __call__(self, run: Run) -> Rendered:
        """Writes `report.html` into the run's folder."""
        from harness import Rendered

        return Rendered(files=(run.write(NAME, encoded(render(variables(run, self.max_samples)))),))


def variables(run: Run, max_samples: int) -> dict[str, Any]:
    """All that the template shows. One pass over the groups."""
    counts, window = Tally(), Window(max_samples)
    for group in run.groups():
        counts.add(group)
        window.add(group)
    return {
        **page(run, counts),
        "data": embedded(window.groups(), view(run).columns),
        "held": window.held,
        "total": window.total,
    }


def render(values: Mapping[str, Any]) -> str:
    """The page as text."""
    return environment().get_template(TEMPLATE).render(values)


def encoded(text: str) -> bytes:
    """UTF-8; a lone surrogate becomes its escape, which JSON reads back as what it was."""
    return text.encode("utf-8", "backslashreplace")


def _shown(value: object) -> object:
    from markupsafe import Markup

    return value if isinstance(value, Markup) or not isinstance(value, str) else escaped(value, multiline=True)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def environment() -> Environment:
    """The template engine: escaping is always on, an unknown name is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(
        loader=PackageLoader("harness_reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["script_json"] = script_json
    for kind, name in (("style", "report.css"), ("script", "report.js")):
        source, _, _ = made.loader.get_source(made, name)  # type: ignore[union-attr]  # the loader is given above
        made.globals[kind] = Markup(source)  # noqa: S704  # our own file, no part of any run
        made.globals[f"{kind}_hash"] = _hash(source)
    return made
