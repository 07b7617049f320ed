"""The command line. The only module that imports click; everything heavy is imported by the command that needs it."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

import harness
from harness.errors import HarnessError

if TYPE_CHECKING:
    from types import FrameType

    from harness.commands import Common

PASS, USAGE, INCOMPLETE, INTERNAL, INTERRUPTED, TERMINATED, PIPE = 0, 2, 3, 4, 130, 143, 141
FOLDER = click.Path(path_type=Path, file_okay=False)
PATH = click.Path(path_type=Path)
# What the system refuses is nobody's mistake in the code: a name or a right that the user gave, or something used up.
_REFUSED = frozenset((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG))
_COMPLETE = "_HARNESS_COMPLETE"
_USED_UP = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE))


class _Terminated(KeyboardInterrupt):
    """SIGTERM came. An interrupt, so that whatever takes care not to swallow Ctrl-C does not swallow this."""


def _no_plugin(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--no-plugin",
        "blocked",
        multiple=True,
        metavar="NAME",
        expose_value=False,
        callback=lambda ctx, _, names: ctx.find_root().obj.extend(names),
        help="Leave a plugin out (may be repeated).",
    )(function)


def _json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(function)


def _suite_options(function: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option("--out", type=FOLDER, help="The run folder  [default: runs/NAME-XXXXXXXX]."),
        click.option(
            "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. generate.n=2."
        ),
        click.option("--limit", type=click.IntRange(min=1), help="At most so many samples of each task."),
        click.option("--seed", type=click.IntRange(min=0), help="The seed of the run."),
        click.option("--data", type=PATH, help="Where the data of suites lies  [also: HARNESS_DATA]."),
        click.option("--fresh", is_flag=True, help="Start the run folder anew: what is in it is lost."),
        click.option("--retry-failed", is_flag=True, help="Generate anew what the model failed at."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def _common(ctx: click.Context) -> Common:
    from harness.commands import Common

    return Common(tuple(ctx.find_root().obj))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(harness.__version__, "--version", prog_name="harness")
@_no_plugin
def cli() -> None:
    """Evaluate language models, and reward them by the same numbers.

    A suite (YAML) names tasks, models, metrics and a composite reward. `harness run quickstart` shows one at work.
    """


@cli.command()
@click.argument("suite")
@_suite_options
@_json_option
@_no_plugin
@click.pass_context
def run(ctx: click.Context, /, suite: str, as_json: bool, **options: Any) -> None:
    """Run SUITE: generate, score, report.

    SUITE is a file, a bundled suite's name, or the folder of a run to continue.

    An interrupted run continues when the same command is given again. Editing metrics, reward or reports only scores
    anew; another model, sample or setting is another run.
    """
    from harness.commands import SuiteOptions, run_command

    run_command(_common(ctx), suite, SuiteOptions(**options), as_json, score=True)


@cli.command()
@click.argument("suite")
@_suite_options
@_json_option
@_no_plugin
@click.pass_context
def generate(ctx: click.Context, /, suite: str, as_json: bool, **options: Any) -> None:
    """Generate the completions of SUITE, and no more.

    `harness score RUN` goes on from there.
    """
    from harness.commands import SuiteOptions, run_command

    run_command(_common(ctx), suite, SuiteOptions(**options), as_json, score=False)


@cli.command()
@click.argument("source", metavar="FILE_OR_RUN", type=PATH)
@click.option("--metric", "metrics", multiple=True, metavar="NAME[:KEY=VALUE,...]", help="A metric (may be repeated).")
@click.option("--suite", metavar="SUITE", help="Take metrics, reward and reports from a suite.")
@click.option("--out", type=FOLDER, help="The run folder  [default: the run itself, or runs/FILE-XXXXXXXX].")
@_json_option
@_no_plugin
@click.pass_context
def score(
    ctx: click.Context, source: Path, metrics: tuple[str, ...], suite: str | None, out: Path | None, as_json: bool
) -> None:
    """Score records (JSONL), or score a run anew.

    A record holds id, prompt, references, completions and more; only completions must be there.

    The metrics of --metric come to those that a run has; --suite takes the place of metrics, reward and reports.
    """
    from harness.commands import score_command

    score_command(_common(ctx), source, metrics, suite, out, as_json)


@cli.command()
@click.argument("folder", metavar="RUN", type=FOLDER)
@click.option("--format", "formats", multiple=True, metavar="NAME", help="A report (may be repeated).")
@_no_plugin
@click.pass_context
def report(ctx: click.Context, folder: Path, formats: tuple[str, ...]) -> None:
    """Render a finished run again.

    Makes the reports of its suite, or those named by --format.
    """
    from harness.commands import report_command

    report_command(_common(ctx), folder, formats)


@cli.command()
@click.argument("folder", metavar="RUN", type=FOLDER)
@click.argument("sample")
@click.option("--task", help="Only of this task.")
@click.option("--model", help="Only by this model.")
@_json_option
def show(folder: Path, sample: str, task: str | None, model: str | None, as_json: bool) -> None:
    """Show a sample of a run with its completions and scores. SAMPLE is an id, or the start of one."""
    from harness.showing import show_command

    show_command(folder, sample, task, model, as_json)


@cli.group()
def plugins() -> None:
    """What is installed."""


@plugins.command("list")
@_json_option
@_no_plugin
@click.pass_context
def plugins_list(ctx: click.Context, as_json: bool) -> None:
    """Every plugin: where it comes from, what it brings, and whether it works."""
    from harness.showing import plugins_command

    plugins_command(_common(ctx).registry(tolerant=True), as_json)


@plugins.command("info")
@click.argument("name")
@_json_option
@_no_plugin
@click.pass_context
def plugins_info(ctx: click.Context, name: str, as_json: bool) -> None:
    """What NAME is (a plugin, metric, score, reward, model, task or report), its options and scores."""
    from harness.showing import info_command

    info_command(_common(ctx).registry(tolerant=True), name, as_json)


@cli.group()
def tasks() -> None:
    """Sources of samples."""


@tasks.command("list")
@_json_option
@_no_plugin
@click.pass_context
def tasks_list(ctx: click.Context, as_json: bool) -> None:
    """Every task source: NAME or NAME:REST in a suite's `source:`."""
    from harness.showing import kind_command

    kind_command(_common(ctx).registry(), "task", as_json)


@cli.group()
def models() -> None:
    """Model adapters."""


@models.command("list")
@_json_option
@_no_plugin
@click.pass_context
def models_list(ctx: click.Context, as_json: bool) -> None:
    """Every model adapter: NAME or NAME:REST in a suite's `models:`."""
    from harness.showing import kind_command

    kind_command(_common(ctx).registry(), "model", as_json)


@cli.group()
def suite() -> None:
    """Suite files."""


@suite.command("check")
@click.argument("file")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key.")
@_json_option
@_no_plugin
@click.pass_context
def suite_check(ctx: click.Context, file: str, overrides: Sequence[str], as_json: bool) -> None:
    """Check a suite, and print it with every default filled in. Nothing is run."""
    from harness.commands import check_command

    check_command(_common(ctx), file, overrides, as_json)


@suite.command("schema")
def suite_schema() -> None:
    """Print the JSON Schema of suite files, by which editors complete them."""
    from harness.commands import schema_command

    schema_command()


@suite.command("list")
@_json_option
def suite_list(as_json: bool) -> None:
    """The bundled suites."""
    from harness.showing import suites_command

    suites_command(as_json)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is being put in order now is not to be disturbed again
    raise _Terminated


def _say(text: str) -> None:
    from harness.display import visible

    click.echo(visible(text, multiline=True), err=True)


def call(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: nothing but a gate may ever return 1.

    Not by `cli.main`, which makes exit code 1 of a broken pipe.
    """
    try:
        given = sys.argv[1:] if arguments is None else arguments
        with cli.make_context("harness", list(given), obj=[]) as context:
            cli.invoke(context)
    except BaseException as error:  # plugins raise what they like
        return _ended_by(error)
    return PASS


def _ended_by(error: BaseException) -> int:
    """Say what ended the command, and give its exit code."""
    if isinstance(error, click.exceptions.Exit) and error.exit_code == PASS:  # --help, --version
        return PASS
    if isinstance(error, click.ClickException):
        return _misused(error)
    if isinstance(error, HarnessError):
        _say(f"{'incomplete' if error.exit_code == INCOMPLETE else 'error'}: {error}")
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        terminated = isinstance(error, _Terminated)
        _say("; ".join(["terminated" if terminated else "interrupted", *getattr(error, "__notes__", ())]))
        return TERMINATED if terminated else INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return PIPE
    if isinstance(error, OSError) and error.errno in _REFUSED | _USED_UP:
        _say(f"error: {_shortened(error.filename) or 'writing'}: {error.strerror}")
        return USAGE if error.errno in _REFUSED else INCOMPLETE
    _say("".join(traceback.format_exception(error)).rstrip())
    _say(f"internal error: {type(error).__name__}: {error}. This is a mistake in reward-harness; please report it.")
    return INTERNAL


def _misused(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return USAGE
    context = getattr(error, "ctx", None)
    hint = f"\n`{context.command_path} --help` says more" if context else ""
    _say(f"error: {error.format_message()}{hint}")
    return USAGE


def _shortened(name: object) -> str:
    text = os.fsdecode(name) if isinstance(name, str | bytes) else ""
    return text if len(text) <= 120 else f"{text[:120]}..."


def _complete(instruction: str) -> int:
    """What a shell's completion asks for."""
    from click.shell_completion import shell_complete

    return USAGE if shell_complete(cli, {"obj": []}, "harness", _COMPLETE, instruction) else PASS


def _flushed(code: int) -> int:
    """The exit code, once standard output has taken everything."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more as it ends
        return code or _ended_by(error)
    return code


def main() -> NoReturn:
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an encoding may lack what a text holds
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_flushed(_complete(os.environ[_COMPLETE]) if _COMPLETE in os.environ else call()))
