"""A real browser, headless, and what a page's tree may hold."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path

import pytest

CANARY = "data-violation"
"""The attribute that every payload that runs sets on the root element."""

ELEMENTS = frozenset(
    """
    html head meta title style script noscript body header nav main section article h1 h2 h3 h4 p ul ol li dl dt dd
    div span a b em bdi code pre mark table caption thead tbody tr th td details summary form label input select
    option button
    """.split()  # a list of sixty literals is no easier to read
)
ATTRIBUTES = frozenset(
    """
    aria-label aria-labelledby aria-live autocomplete charset class content dir disabled hidden href http-equiv id
    lang name role scope spellcheck start tabindex title type value
    """.split()
)


def chromium() -> str:
    """The browser's path; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on PATH (apt-get install chromium)")
    return found


def dom(page: Path, profile: Path, fragment: str = "", *, complaints_allowed: bool = False) -> str:
    """The page's tree after its scripts ran, as markup. What the browser's console complains of is an error."""
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    log = ["--enable-logging=stderr", f"--user-data-dir={profile}", "--virtual-time-budget=2000"]
    address = page.resolve().as_uri() + (f"#{fragment}" if fragment else "")
    command = [chromium(), *flags, *log, "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    complaints = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if "CONSOLE" in line]
    assert complaints_allowed or complaints == []
    return done.stdout.decode("utf-8", "surrogateescape")


class Tree(HTMLParser):
    """Elements, attributes and texts of markup, and the texts of elements by id."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.styles: list[str] = []
        self._open: list[tuple[str, dict[str, str]]] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = (tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag in ("script", "style"):
            self._open = [element]

    def handle_endtag(self, tag: str) -> None:
        self._open = []

    def handle_data(self, data: str) -> None:
        if not self._open:
            self.texts.append(data)
        elif self._open[0][0] == "script":
            self.scripts.append((self._open[0][1], data))
        else:
            self.styles.append(data)

    def handle_comment(self, data: str) -> None:
        self.elements.append(("!--", {}))  # the page has none: a comment hides what follows it

    def unknown_decl(self, data: str) -> None:
        self.elements.append(("![", {}))

    @property
    def shape(self) -> list[tuple[str, list[str]]]:
        """Every element with the names of its attributes, in order."""
        return [(tag, sorted(attributes)) for tag, attributes in self.elements]

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def having(self, tag: str, css_class: str = "") -> list[dict[str, str]]:
        found = [attributes for name, attributes in self.elements if name == tag]
        return [a for a in found if not css_class or css_class in a.get("class", "").split()]


def violations(tree: Tree) -> list[str]:
    """Everything in the tree that a run's text could have put there and the page itself never does."""
    return [*_elements(tree.elements), *_counts(tree), *_canaries(tree)]


def _elements(elements: Iterable[tuple[str, dict[str, str]]]) -> Iterable[str]:
    for tag, attributes in elements:
        if tag not in ELEMENTS:
            yield f"element <{tag}>"
        for name, value in attributes.items():
            if name not in ATTRIBUTES and name != CANARY:
                yield f"attribute {name} on <{tag}>"
            if name == "href" and not value.startswith("#"):
                yield f"link to {value}"
            if name != "title" and name != "value" and "javascript:" in value.lower():
                yield f"script address in {name} of <{tag}>"


def _counts(tree: Tree) -> Iterable[str]:
    for tag, most in (("script", 2), ("style", 1), ("title", 1), ("form", 1), ("meta", 5), ("input", 1)):
        found = len(tree.having(tag))
        if found > most:
            yield f"{found} <{tag}>"


def _canaries(tree: Tree) -> Iterable[str]:
    for tag, attributes in tree.elements:
        if CANARY in attributes:
            yield f"a payload ran: <{tag} {CANARY}>"
