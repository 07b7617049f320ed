"""What the commands that do work do: from words on the command line to the order of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.bundles import bundled_suites, find_suite
from harness.display import escaped, visible
from harness.errors import IncompleteError, RunError, UsageError
from harness.finish import Outcome, render, render_again
from harness.folders import copy_run, remove_run
from harness.loaded import load_metrics
from harness.names import column_name_problem
from harness.recording import record_run, unrecorded
from harness.records import iter_generations
from harness.registry import Registry
from harness.run import Hooks, continue_run, default_folder, prepare, run_suite, score_run
from harness.sources import RECORDED
from harness.specs import cli_metric
from harness.store import LOCAL, MANIFEST, Rendered, Run, is_run, open_run, read_json
from harness.strictjson import unreadable
from harness.suite import Suite, load_suite, resolved, resolved_text, suite_from, suite_json_schema, too_few
from harness.suite_entries import name_from
from harness.terminal import Generating, note, output, print_json, speaking, warn_of_broken
from harness.types import Generation, Json, Spec

CONSOLE = Spec("report", "console")


@dataclass(frozen=True, slots=True)
class Common:
    """What every command shares."""

    blocked: tuple[str, ...]

    def registry(self, *, tolerant: bool = False) -> Registry:
        registry = Registry.load(block=self.blocked, tolerant=tolerant)
        if not tolerant:
            warn_of_broken(registry)
        return registry


@dataclass(frozen=True, slots=True)
class SuiteOptions:
    """The options of `run` and `generate`."""

    out: Path | None
    overrides: tuple[str, ...]
    limit: int | None
    seed: int | None
    data: Path | None
    fresh: bool
    retry_failed: bool


def run_command(common: Common, name: str, options: SuiteOptions, as_json: bool, *, score: bool) -> None:
    registry = common.registry()
    with Generating() as progress, speaking(progress.note):
        hooks = Hooks(generating=progress.start, note=progress.note)
        if is_run(Path(name)):
            outcome = _continue(name, registry, options, hooks, score)
        else:
            outcome = _run(name, registry, options, hooks, score)
    _present(outcome, registry, as_json)


def _run(name: str, registry: Registry, options: SuiteOptions, hooks: Hooks, score: bool) -> Outcome:
    suite = _with_options(find_suite(name), registry, options)
    setup = prepare(suite, registry, data=options.data)
    folder = options.out or default_folder(suite.name, setup.identity)
    if options.fresh:
        remove_run(folder)
    with _resumable(folder):
        return run_suite(setup, folder, hooks=hooks, retry_failed=options.retry_failed, score=score)


@contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.add_note(f"`harness run {folder}` continues")
        raise


def _continue(name: str, registry: Registry, options: SuiteOptions, hooks: Hooks, score: bool) -> Outcome:
    folder = Path(name)
    settable = ("out", "overrides", "limit", "seed", "data", "fresh")
    given = [n for n in settable if (value := getattr(options, n)) is not False and value not in (None, ())]
    if given:
        word = "set" if given[0] == "overrides" else given[0]
        raise UsageError(
            f"{folder} is a run, which is continued as it was begun: --{word} goes with a suite{_hidden(name)}"
        )
    suite = stored_suite(folder, registry)
    with _resumable(folder):
        return continue_run(folder, suite, registry, hooks=hooks, retry_failed=options.retry_failed, score=score)


def _hidden(name: str) -> str:
    if name not in bundled_suites():
        return " file"
    return f". The folder hides the bundled suite {name!r}: rename the folder, or call from another place"


def _with_options(path: Path, registry: Registry, options: SuiteOptions) -> Suite:
    overrides = list(options.overrides)
    if options.seed is not None:
        overrides.append(f"generate.seed={options.seed}")
    suite = load_suite(path, overrides=overrides, registry=registry)
    if options.limit is not None:
        suite = replace(suite, tasks=tuple(replace(t, limit=options.limit) for t in suite.tasks))
    return suite


def stored_suite(folder: Path, registry: Registry | None) -> Suite:
    """The suite of a run, as it was when the run was written."""
    record = read_json(folder / MANIFEST, "run").get("suite")
    if not record:
        raise RunError(f"{folder / MANIFEST} holds no suite")
    place = read_json(folder / LOCAL, "local").get("suite_folder") if (folder / LOCAL).exists() else None
    suite = suite_from(
        record["resolved"],
        source=f"the suite in {folder / MANIFEST}",
        folder=Path(place) if place else None,
        registry=registry,
        check=registry is not None,
    )
    return replace(suite, text=str(record["text"]))


def score_command(
    common: Common, source: Path, metrics: Sequence[str], suite_name: str | None, out: Path | None, as_json: bool
) -> None:
    if metrics and suite_name:
        raise UsageError("give --metric or --suite, not both")
    if not source.exists():
        raise UsageError(f"{source}: there is no such file, and no such run")
    registry = common.registry()
    specs = tuple(cli_metric(m) for m in metrics)
    with speaking():
        if is_run(source):
            folder, suite = _stored(source, out, registry, specs, suite_name)
        else:
            folder, suite = _recorded(source, out, registry, specs, suite_name)
        outcome = score_run(folder, suite, registry)
    _present(outcome, registry, as_json)


def _check_metrics(specs: tuple[Spec, ...], registry: Registry) -> None:
    for spec in specs:
        problems = [message for _, message in registry.problems(spec)]
        if problems:
            raise UsageError(f"--metric {spec.name}: " + "; ".join(problems))
        if spec.alias is not None and (problem := column_name_problem(spec.alias)):
            raise UsageError(f"--metric {spec.name}: as: {problem}")
    for metric in load_metrics(specs, registry):  # two that give the same score are found before a folder is made
        metric.close()


def _stored(
    source: Path, out: Path | None, registry: Registry, specs: tuple[Spec, ...], suite_name: str | None
) -> tuple[Path, Suite]:
    """A run to score anew, in place or in a copy."""
    old = suite = stored_suite(source, None)
    if suite_name:
        new = load_suite(find_suite(suite_name), registry=registry)
        suite = _retold(
            replace(
                old,
                metrics=new.metrics,
                reward_spec=new.reward_spec,
                reports=new.reports,
                gate=new.gate,
                choice=new.choice,
            )
        )
        if new.choice and old.generate.n < 2 and not all(t.recorded for t in old.tasks):
            raise UsageError(f"{source}, scored by {suite_name}: {too_few(new.choice.strategy, old.generate.n)}")
    elif specs:
        _check_metrics(specs, registry)
        suite = _with_metrics(old, specs, registry)
    suite = _scorable(suite, registry, f"the suite in {source / MANIFEST}{' with --metric' if specs else ''}")
    if specs:
        _tell_of_reward(old, suite, registry)
    if out is None or out.resolve() == source.resolve():
        return source, suite
    copy_run(source, out)
    return out, suite


def _with_metrics(suite: Suite, specs: tuple[Spec, ...], registry: Registry) -> Suite:
    """The suite with these metrics too. One of the same name, or that gives the same scores, makes way."""
    labels = {spec.label for spec in specs}
    scores = {info.name for spec in specs for info in registry.infos(spec)}
    others = [spec for spec in suite.metrics if spec.label not in labels]
    kept = [spec for spec in others if scores.isdisjoint(info.name for info in registry.infos(spec))]
    return _retold(replace(suite, metrics=(*kept, *specs)))


def _retold(suite: Suite) -> Suite:
    """With the text that says what the suite is now, since no file does."""
    return replace(suite, text=resolved_text(suite))


def _scorable(suite: Suite, registry: Registry, source: str) -> Suite:
    """The suite, with all that scores checked. What generated is done with, and need not be there any more."""
    scoring = replace(suite, tasks=(), models=())
    checked = suite_from(resolved(scoring), source=source, folder=suite.folder, registry=registry)
    return replace(suite, metrics=checked.metrics)


def _tell_of_reward(old: Suite, new: Suite, registry: Registry) -> None:
    """A metric may be asked for by other options than those by which the reward took it until now."""
    before, after = _givers(old, registry), _givers(new, registry)
    changed = [repr(s) for s in dict.fromkeys(new.reward_scores()) if before[s] != after[s]]
    if changed:
        note(f"--metric gives {', '.join(changed)} other options, and so changes the reward")


def _givers(suite: Suite, registry: Registry) -> dict[str, Spec]:
    """What makes each score."""
    specs = map(registry.resolved, suite.metric_specs(registry))
    return {info.name: spec for spec in specs for info in registry.infos(spec)}


def _recorded(
    source: Path, out: Path | None, registry: Registry, specs: tuple[Spec, ...], suite_name: str | None
) -> tuple[Path, Suite]:
    """A run of records that were made elsewhere."""
    if source.is_dir():
        raise UsageError(f"{source} is a folder, but not of a run: give a file of records, or a run")
    if suite_name:
        suite = load_suite(find_suite(suite_name), registry=registry)
    elif specs:
        _check_metrics(specs, registry)
        suite = _retold(Suite(name_from(source.name), metrics=specs))
    else:
        known = ", ".join(registry.names("metric"))
        raise UsageError(f"say what to score by: --metric NAME (there is {known}), or --suite FILE")
    content = _digest(source)
    made_by: list[Json] = [[s.kind, s.name, dict(s.options), s.alias] for s in suite.metric_specs(registry)]
    folder = out or default_folder(source.stem, {"content": content, "metrics": made_by})  # other metrics, other folder
    bare = replace(suite, tasks=(), models=())  # what they would give is given

    def read() -> Iterator[Generation]:
        return (_named(g, source.stem) for g in iter_generations(source))

    record_run(folder, read, bare, registry, {"name": source.name, "content": content})
    return folder, bare


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError as error:
        raise unreadable(path, error) from None


def _named(generation: Generation, task: str) -> Generation:
    """Records need not say their task and model; tables do."""
    sample = generation.sample if generation.sample.task else replace(generation.sample, task=task)
    return replace(generation, sample=sample, model=generation.model or RECORDED)


def _present(outcome: Outcome, registry: Registry, as_json: bool) -> None:
    console = output()
    run = outcome.run
    scored = (run.folder / "scores.json").exists() and run.manifest["state"] != "started"
    if as_json:
        print_json(_summary(outcome, scored))
    elif scored:
        shown = [r for r in outcome.rendered if r.show is not None] or list(render(run, [CONSOLE], registry))
        _show(shown, outcome.rendered)
    if not as_json:
        console.print(visible(f"run: {run.folder}"), markup=False, soft_wrap=True)
    if outcome.missing:
        raise IncompleteError("; ".join(outcome.missing) + f". {_advice(run, scored)}")


def _advice(run: Run, scored: bool) -> str:
    """What to do about what is missing."""
    if any(unrecorded(run.journal)):
        return f"The command that began it, with --out {run.folder}, continues"
    if scored and run.manifest["state"] == "partial":
        return f"`harness run {run.folder}` continues"
    return f"`harness show {run.folder} SAMPLE` says why"


def _show(shown: Sequence[Rendered], rendered: Sequence[Rendered]) -> None:
    console = output()
    for part in shown:
        console.print(part.show)
    for part in rendered:
        for path in part.files:
            console.print(visible(f"wrote {path}"), markup=False, soft_wrap=True)


def _summary(outcome: Outcome, scored: bool) -> dict[str, Any]:
    run = outcome.run
    summary: dict[str, Any] = {
        "schema_version": 1,
        "run": str(run.folder),
        "state": run.manifest["state"],
        "missing": list(outcome.missing),
        "files": [str(p) for r in outcome.rendered for p in r.files],
    }
    if scored:
        summary |= {"counts": run.manifest["counts"], "statuses": run.manifest["statuses"]}
        summary["corpus"] = [asdict(row) for row in run.corpus]
    return summary


def report_command(common: Common, folder: Path, formats: Sequence[str]) -> None:
    registry = common.registry()
    run = open_run(folder)
    named = tuple(Spec("report", f) for f in formats)
    specs = named or stored_suite(folder, None).reports or (Spec("report", "html"),)
    for spec in specs:
        registry.find("report", spec.name)
    rendered = render_again(run, specs, registry)
    _show([r for r in rendered if r.show is not None], rendered)


def check_command(common: Common, file: str, overrides: Sequence[str], as_json: bool) -> None:
    suite = load_suite(find_suite(file), overrides=overrides, registry=common.registry())
    if as_json:
        print_json(resolved(suite))
    else:
        output().file.write(escaped(resolved_text(suite), multiline=True))


def schema_command() -> None:
    print_json(suite_json_schema())
