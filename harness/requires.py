"""Extras: what a plugin needs beyond the core, found missing before any work instead of in the middle of it."""

from __future__ import annotations

import importlib.util
import sys

from harness.errors import PluginError


def require(what: str, modules: tuple[str, ...], install: str) -> None:
    """Raises PluginError with the install line where a module cannot be found. Imports nothing: call it in a factory."""
    missing = [name for name in modules if not _is_there(name)]
    if missing:
        raise PluginError(f"{what}: {', '.join(missing)} is missing: pip install {install}")


def _is_there(name: str) -> bool:
    if name in sys.modules:
        return sys.modules[name] is not None
    return importlib.util.find_spec(name) is not None
