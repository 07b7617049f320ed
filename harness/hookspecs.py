"""Every hook of the harness.

A plugin is a module named by an entry point in the group `harness`. It implements any of the hooks below with
`harness.hookimpl`; each hook is called once with `register`, which the plugin calls for each thing it brings.

What is registered is a *factory*, not an object: nothing heavy may happen at import, since `harness plugins list`
loads every plugin. The factory's keyword arguments are the plugin's options: they are what a suite may set, they
are checked against its signature (names and annotated types) before any work starts, and they are recorded with the
run. A factory raises `ValueError` where a value makes no sense.

A whole third-party plugin:

    import harness

    def politeness(completions):
        return [float("please" in text.lower()) for text in completions]

    @harness.hookimpl
    def register_rewards(register):
        register("politeness", lambda: harness.metric_from(politeness))

and in its pyproject.toml:

    [project.entry-points.harness]
    politeness = "my_module"

A name may be registered once: a second registration is an error that names both owners. A function whose name
starts like a hook's but is none is an error too, so that a misspelt hook cannot pass silently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import pluggy

if TYPE_CHECKING:
    from harness.interfaces import Metric, Model, Report, Task

hookspec = pluggy.HookspecMarker("harness")
hookimpl = pluggy.HookimplMarker("harness")


class RegisterMetric(Protocol):
    def __call__(self, name: str, factory: Callable[..., Metric], scores: Sequence[str] = ()) -> None: ...


class RegisterReward(Protocol):
    def __call__(self, name: str, factory: Callable[..., Metric]) -> None: ...


class RegisterModel(Protocol):
    def __call__(self, name: str, factory: Callable[..., Model]) -> None: ...


class RegisterTask(Protocol):
    def __call__(self, name: str, factory: Callable[..., Task], *, takes_path: bool = False) -> None: ...


class RegisterReport(Protocol):
    def __call__(self, name: str, factory: Callable[..., Report]) -> None: ...


@hookspec
def register_metrics(register: RegisterMetric) -> None:
    """Register metrics: `register(name, factory, scores=("rouge1", "rougeL"))`.

    `factory(**options)` returns a `Metric`. `scores` are the names of its scores (default: its own name), known
    without loading it, so that a suite that asks for `rougeL` finds `rouge`. They must be those of its `infos`, of
    which options may leave some out. Where options name the scores, `"human.*"` stands for all that start so.
    """


@hookspec
def register_rewards(register: RegisterReward) -> None:
    """Register reward functions: `register(name, factory)`, for use as a term of a composite reward.

    `factory(**options)` returns a `Metric` with one score of that name. For a plain function of completions, as
    TRL takes them, return `harness.metric_from(function)`.
    """


@hookspec
def register_models(register: RegisterModel) -> None:
    """Register model adapters: `register(name, factory)`, used in a suite as `NAME` or `NAME:REST`.

    `factory(rest, **options)` returns a `Model`; `rest` is the text after the colon, or empty. Importing a
    provider's library and loading weights belong in the model's first use.
    """


@hookspec
def register_tasks(register: RegisterTask) -> None:
    """Register sources of samples: `register(name, factory)`, used in a suite as `source: NAME` or `NAME:REST`.

    `factory(rest, **options)` returns a `Task`, a callable that gives rows. With `takes_path=True`, `rest` is the path
    of a data file: the host looks for it (in the data folder, beside the suite, in the working folder), says where it
    looked if it is not there, and hands on the absolute path.
    """


@hookspec
def register_reports(register: RegisterReport) -> None:
    """Register reports: `register(name, factory)`, used as `reports: [NAME]` and `harness report RUN --format NAME`.

    `factory(**options)` returns a `Report`, a callable that renders a finished run into its folder.
    """
