"""From an entry point to the hook implementations of its module, with every misspelling found."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pluggy

from harness import hookspecs
from harness.errors import nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_PROJECT = "harness"
_LIKE_A_HOOK = 0.85


class HookFault(Exception):
    """A mistake that makes what is registered a matter of luck: shown to everyone, not only to those who ask.

    `advice` is what to do, where that is neither to mend the plugin nor to leave it out.
    """

    def __init__(self, message: str, advice: str | None = None) -> None:
        super().__init__(message)
        self.advice = advice


def make_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(_PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def import_plugin(point: EntryPoint) -> object:
    return point.load()


def implementations(
    manager: pluggy.PluginManager, module: object, name: str
) -> Iterator[tuple[str, Callable[[Any], object]]]:
    """(hook, function of `register`) for each implementation in the module."""
    known = _hook_names(manager)
    _check_unmarked(module, known)
    try:
        manager.register(module, name=name)
    except pluggy.PluginValidationError as error:
        raise HookFault(str(error).replace("\n", " ")) from None
    for caller in manager.get_hookcallers(module) or []:
        if not caller.has_spec():
            raise HookFault(f"there is no hook {caller.name!r}{nearest(caller.name, known)}")
        for found in caller.get_hookimpls():
            if found.plugin is module:
                if found.hookwrapper or found.wrapper:
                    raise HookFault(
                        f"{caller.name!r} is a hook wrapper, which is never called: make it a plain function"
                    )
                yield caller.name, _one_argument(found)


def _one_argument(found: pluggy.HookImpl) -> Callable[[Any], object]:
    def call(register: Any) -> object:
        return found.function(*(register for _ in found.argnames))

    return call


def _hook_names(manager: pluggy.PluginManager) -> list[str]:
    return [name for name in vars(hookspecs) if name.startswith("register_") and hasattr(manager.hook, name)]


def _check_unmarked(module: object, known: list[str]) -> None:
    for name, value in vars(module).items() if hasattr(module, "__dict__") else ():
        if not inspect.isfunction(value) or hasattr(value, f"{_PROJECT}_impl") or name.startswith("_"):
            continue
        own = value.__module__ == getattr(module, "__name__", None)
        if own and difflib.get_close_matches(name, known, n=1, cutoff=_LIKE_A_HOOK):
            hint = "" if name in known else nearest(name, known)
            raise HookFault(f"{name!r} is not marked as a hook (put @harness.hookimpl above it){hint}")
