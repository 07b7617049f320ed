"""What is said while work goes on: progress and notes on standard error, JSON that no terminal obeys."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from harness import terminal
from harness.terminal import Generating, note, print_json, speaking

TEXT = st.text(st.characters(), max_size=20)  # lone surrogates are not among them, so they stand in the examples


def printed(value: object) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        print_json(value)
    return out.getvalue()


@given(value=st.dictionaries(TEXT, st.one_of(TEXT, st.none(), st.booleans(), st.lists(TEXT, max_size=3)), max_size=4))
@example(value={"\x1b[31m": "\x9b31m\x7f\u202e\u2028\ufeff"})
@example(value={"emoji": "👩\u200d👩\u200d👧", "persian": "می\u200cخواهم", "tag": "\U000e0041"})
@settings(max_examples=100, deadline=None)
def test_json_reads_back_and_holds_nothing_that_acts(value: object):
    text = printed(value)
    assert json.loads(text) == value
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029\ufeff]", text)


def test_json_keeps_what_only_shows():
    assert printed({"a": "naïve 中文 👍"}) == '{\n  "a": "naïve 中文 👍"\n}\n'
    assert printed(["\udcff"]) == '[\n  "\\udcff"\n]\n'


def test_a_note_is_one_line_of_text_that_does_not_act(capsys: pytest.CaptureFixture[str]):
    note("[red]x[/red] \x1b[31m ::error::y " + "long " * 60)
    error = capsys.readouterr().err
    assert error == "[red]x[/red] \\x1b[31m \\x3a:error::y " + "long " * 60 + "\n"


def test_warnings_and_the_log_are_told_as_lines(capsys: pytest.CaptureFixture[str]):
    log = logging.getLogger("harness.plugin")
    with speaking(), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("ran out of luck", RuntimeWarning, stacklevel=1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        log.info("batch halved to %s", 4)
    log.info("after")
    warnings.simplefilter("ignore")
    assert capsys.readouterr().err == "warning: ran out of luck\nbatch halved to 4\n"


def test_without_a_terminal_progress_is_a_line(capsys: pytest.CaptureFixture[str]):
    with Generating() as progress:
        advance = progress.start("task", "hf:[/bold]", 8, 2)
        advance(6, 100)
        progress.start("task", "done", 4, 4)
    assert capsys.readouterr().err.splitlines() == [
        "task · hf:[/bold]: 2 of 8 completions were there already",
        "task · hf:[/bold]: generating 6 completions",
        "task · done: 4 of 4 completions were there already",
    ]


@pytest.mark.parametrize("width", [40, 80, 160])
def test_on_a_terminal_there_is_a_bar_that_fits(monkeypatch: pytest.MonkeyPatch, width: int):
    """Counts, speed and time left beside each other, notes above, and a name that looks like markup as it is."""
    shown = io.StringIO()
    screen = Console(file=shown, force_terminal=True, width=width, color_system=None, legacy_windows=False)
    monkeypatch.setattr(terminal, "errors", lambda: screen)
    with Generating() as progress:
        advance = progress.start("task", "hf:[/x] a name that is far too long", 1200, 0)
        advance(600, 12345)
        progress.note("the batch was halved")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())
    rows = [row.rstrip() for row in re.split(r"[\r\n]+", text)]
    assert "the batch was halved" in rows
    assert all(len(row) <= width for row in rows)
    assert "task · hf:[/x]" in text or width == 40
    assert "600/1200 completions" in " ".join(text.split()) or width == 40
    assert "tokens/s" in text or width == 40
