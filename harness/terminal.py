"""What the command line shows while it works: progress, notes and warnings, all on standard error."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from harness.display import escaped, visible

if TYPE_CHECKING:
    from harness.generate import Progress as Listener
    from harness.registry import Registry

_SHORT = 24


class _Console(Console):
    """rich ends the process with code 1 where a pipe is closed; here that is for the command line to say."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def output() -> Console:
    """Standard output. Where it is no terminal, tables keep a width that a log can show."""
    return _Console(soft_wrap=False, highlight=False)


def errors() -> Console:
    return _Console(stderr=True, highlight=False)


def print_json(value: object) -> None:
    """JSON on standard output. What would act on a terminal is escaped, which JSON allows inside strings."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    if not text.isascii() or "\x7f" in text:
        text = "".join(c if c == "\n" or escaped(c) == c else _json_escape(c) for c in text)
    output().file.write(text + "\n")


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def note(text: str, console: Console | None = None) -> None:
    (console or errors()).print(Text(visible(text, multiline=True)), soft_wrap=True)


def warn_of_broken(registry: Registry) -> None:
    for plugin in registry.broken:
        note(f"warning: {plugin.owner} is broken and was left out: {plugin.error}")


class _Handler(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage())


@contextmanager
def speaking(say: Callable[[str], None] = note) -> Iterator[None]:
    """Warnings and the log of the harness as plain lines."""
    log = logging.getLogger("harness")
    handler = _Handler(say)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    show = warnings.showwarning
    warnings.showwarning = _warner(say)
    try:
        yield
    finally:
        warnings.showwarning = show
        log.removeHandler(handler)


def _warner(say: Callable[[str], None]) -> Callable[..., None]:
    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        if not issubclass(category, DeprecationWarning | FutureWarning):
            say(f"warning: {message}")

    return show


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        tokens, elapsed = task.fields.get("tokens", 0), task.elapsed or 0
        return Text(f"{tokens / elapsed:,.0f} tokens/s" if elapsed and tokens else "", style="cyan")


class Generating:
    """The progress bar of generation: completions, tokens per second, time left. Lines where there is no terminal."""

    def __init__(self) -> None:
        self._console = errors()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None),
            TextColumn("{task.completed}/{task.total} completions", table_column=Column(no_wrap=True)),
            _Speed(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            console=self._console,
            disable=not self._console.is_terminal,
            expand=True,
        )

    def __enter__(self) -> Generating:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def note(self, text: str) -> None:
        """A line above the bar, which would be torn by one written past it."""
        note(text, self._console)

    def start(self, task: str, model: str, total: int, done: int) -> Listener:
        name = visible(f"{task} · {model}" if task else model)
        if done:
            self.note(f"{name}: {done} of {total} completions were there already")
        if not self._console.is_terminal:
            self.note(f"{name}: generating {total - done} completions") if total > done else None
        short = name if len(name) <= _SHORT else name[: _SHORT - 1] + "…"
        bar = self._progress.add_task(short, total=total, completed=done, tokens=0)
        tokens = 0

        def advance(completions: int, new_tokens: int) -> None:
            nonlocal tokens
            tokens += new_tokens
            self._progress.update(bar, advance=completions, tokens=tokens)

        return advance
