"""No text of a run can become markup: shown by a real browser, with the policy that would hide a failure removed."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import CANARY, Tree, dom, violations
from fake_run import FakeRun
from jinja2 import Environment
from markupsafe import Markup
from payloads import PAYLOADS, hostile_run

from harness.display import escaped
from harness_reports.html import TEMPLATE, encoded, environment, html_report, render, variables

POLICY = "Content-Security-Policy"


def written(run: FakeRun) -> Path:
    (path,) = html_report()(run.as_run()).files
    return path


def without_policy(page: str) -> str:
    """The page with its policy disabled, so that whatever slipped through would run."""
    assert POLICY in page
    return page.replace(POLICY, "x-no-policy")


def unescaped(run: FakeRun) -> str:
    """The same page by the same template with escaping switched off: what the checks must catch."""
    own = environment()
    broken = Environment(loader=own.loader, autoescape=False, trim_blocks=True, lstrip_blocks=True)
    broken.globals.update(own.globals)
    return without_policy(broken.get_template(TEMPLATE).render(variables(run.as_run(), 100)))


WORDS = tuple(f"word{index}" for index in range(len(PAYLOADS)))


def in_browser(folder: Path, payloads: tuple[str, ...]) -> Tree:
    page = folder / "page.html"
    page.write_bytes(encoded(without_policy(render(variables(hostile_run(folder, payloads).as_run(), 100)))))
    return Tree(dom(page, folder / "profile", "page=1"))


@pytest.fixture(scope="module")
def hostile_tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return in_browser(tmp_path_factory.mktemp("hostile"), PAYLOADS)


def test_hostile_texts_add_nothing_to_the_tree(hostile_tree: Tree) -> None:
    assert violations(hostile_tree) == []


def test_hostile_texts_make_the_same_tree_as_harmless_ones(hostile_tree: Tree, tmp_path: Path) -> None:
    assert hostile_tree.shape == in_browser(tmp_path, WORDS).shape


def test_hostile_texts_are_all_there_as_text(hostile_tree: Tree) -> None:
    # Names, suite, settings ... stand in the page; prompts, references and completions come from the script.
    assert len(hostile_tree.having("article", "sample")) == 25
    for payload in PAYLOADS:
        assert hostile_tree.text.count(escaped(payload)) >= 10, payload


@pytest.mark.parametrize("payload", PAYLOADS)
def test_each_payload_alone_changes_nothing_in_the_markup(tmp_path: Path, payload: str) -> None:
    tree = Tree(written(hostile_run(tmp_path, [payload])).read_text("utf-8"))
    assert violations(tree) == []
    assert tree.shape == Tree(written(hostile_run(tmp_path, ["word"])).read_text("utf-8")).shape


def test_the_check_fails_for_a_page_that_does_not_escape(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    running = [payload for payload in PAYLOADS if payload.startswith(('">', "'>", "<svg/"))]
    page.write_bytes(encoded(unescaped(hostile_run(tmp_path, running))))
    found = violations(Tree(dom(page, tmp_path / "profile", complaints_allowed=True)))
    assert {f"a payload ran: <html {CANARY}>", "element <img>", "element <svg>"} <= set(found)
    assert {"attribute onerror on <img>", "attribute onload on <svg>"} <= set(found)


# `html.parser` may read a comment that does not end as text, as a browser never does: those two are left to it.
MARKUP = [p for p in PAYLOADS if "<" in p.replace("<%", "") and not p.startswith("<!--")]


@pytest.mark.parametrize("payload", MARKUP)
def test_the_check_fails_for_each_payload_that_is_not_escaped(tmp_path: Path, payload: str) -> None:
    harmless = Tree(written(hostile_run(tmp_path, ["word"])).read_text("utf-8"))
    assert Tree(unescaped(hostile_run(tmp_path, [payload]))).shape != harmless.shape


@pytest.mark.parametrize(
    "markup",
    [
        "<img src=x>",
        "<p onclick='x'>",
        "<a href='https://example.org'>x</a>",
        "<a href='javascript:x'>x</a>",
        "<p style='color:red'>",
        "<iframe></iframe>",
        "<script></script>" * 3,
        "<html data-violation=1>",
    ],
)
def test_the_check_finds(markup: str) -> None:
    assert violations(Tree(markup)) != []


def test_nothing_but_the_data_and_our_own_files_is_trusted() -> None:
    folder = Path(__file__).parents[2] / "reports" / "harness_reports"
    template = (folder / "templates" / TEMPLATE).read_text("utf-8")
    for forbidden in ("|safe", "| safe", "autoescape", "Markup"):
        assert forbidden not in template
    source = (folder / "html.py").read_text("utf-8")
    assert "autoescape=True," in source
    assert "select_autoescape" not in source
    assert environment().autoescape is True
    trusted = {name for name, value in environment().globals.items() if isinstance(value, Markup)}
    assert trusted == {"style", "script"}
    script = (folder / "templates" / "report.js").read_text("utf-8")
    for sink in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "new Function", 'setTimeout("'):
        assert sink not in script
