"""What imports what: one direction, no cycles, nothing heavy before it is needed, and nothing that executes data."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import harness
from harness import hookspecs
from harness.registry import GROUP, HOOKS, Registry

ROOT = Path(__file__).resolve().parent.parent
CORE = sorted((ROOT / "harness").rglob("*.py"))
BUNDLED = sorted(
    p
    for r in ("plugins/harness_plugins", "tasks/harness_tasks", "reports/harness_reports")
    for p in (ROOT / r).rglob("*.py")
)
ALL = [*CORE, *BUNDLED]
HEAVY = (
    "numpy",
    "torch",
    "transformers",
    "pandas",
    "pyarrow",
    "pydantic",
    "rich",
    "yaml",
    "sacrebleu",
    "datasets",
    "jinja2",
)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def imports(path: Path, *, when: str) -> Iterator[tuple[str, str]]:
    """(module, name) of each import. `when`: `load` (as the module is loaded), `run` (also in functions), `ever`."""
    waiting: list[ast.AST] = list(tree(path).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif when != "ever" and for_type_checkers(node):
            waiting.extend(node.orelse)  # type: ignore[attr-defined]
        elif when == "load" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        else:
            waiting.extend(ast.iter_child_nodes(node))


def modules(path: Path, *, when: str) -> set[str]:
    """The harness's modules that are imported, submodules named by `from harness import ...` among them."""
    found = set()
    for module, name in imports(path, when=when):
        if module == "harness" and (ROOT / "harness" / f"{name}.py").is_file():
            found.add(f"harness.{name}")
        elif module == "harness" or module.startswith("harness."):
            found.add(module)
    return found


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# Direction


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_knows_no_plugin(path: Path):
    named = {module.split(".")[0] for module, _ in imports(path, when="ever")}
    assert not {n for n in named if n.startswith("harness_")}


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_only_the_command_line_imports_click(path: Path):
    named = {module.split(".")[0] for module, _ in imports(path, when="ever")}
    assert "click" not in named or name_of(path) == "harness/cli.py"


def test_types_and_errors_import_nothing_of_the_harness():
    for name in ("types", "errors"):
        assert modules(ROOT / "harness" / f"{name}.py", when="ever") == set()


LOWER = ("types", "errors", "interfaces", "hookspecs", "registry")


@pytest.mark.parametrize("name", LOWER)
def test_the_foundation_is_built_upwards(name: str):
    """types, errors <- interfaces <- hookspecs <- registry: none imports one to its right."""
    path = ROOT / "harness" / f"{name}.py"
    above = {f"harness.{n}" for n in LOWER[LOWER.index(name) + 1 :]}
    top = {f"harness.{n}" for n in ("run", "commands", "showing", "terminal", "cli", "scoring", "rewards")}
    assert not modules(path, when="run") & (above | top)


@pytest.mark.parametrize(
    "path", [p for p in CORE if p.stem in ("types", "scoring", "rewards", "stats", "store")], ids=name_of
)
def test_what_scores_and_stores_knows_nothing_of_runs_or_commands(path: Path):
    assert not modules(path, when="run") & {f"harness.{n}" for n in ("run", "commands", "showing", "terminal", "cli")}


@pytest.mark.parametrize("path", [p for p in CORE if p.stem not in ("cli", "commands")], ids=name_of)
def test_only_commands_know_the_order_of_a_run(path: Path):
    assert "harness.cli" not in modules(path, when="run")
    assert "harness.run" not in modules(path, when="run") or path.stem == "run"


@pytest.mark.parametrize("path", BUNDLED, ids=name_of)
def test_bundled_plugins_use_public_names_only(path: Path):
    """`from harness import NAME`, as anyone's plugin may."""
    used = {(m, n) for m, n in imports(path, when="ever") if m == "harness" or m.startswith("harness.")}
    assert {(m, n) for m, n in used if m != "harness" or n not in harness.__all__} == set()


def graph() -> dict[str, set[str]]:
    return {dotted(p): modules(p, when="load") - {"harness"} for p in CORE}


def test_no_import_cycles_and_no_deep_chains():
    """Following imports that run as modules load, nothing comes back to where it began."""
    edges, depth = graph(), {}

    def visit(module: str, path: tuple[str, ...]) -> int:
        assert module not in path, " -> ".join((*path, module))
        if module not in depth:
            depth[module] = 1 + max((visit(m, (*path, module)) for m in edges.get(module, ())), default=0)
        return depth[module]

    for module in edges:
        visit(module, ())
    assert depth["harness.run"] > 3  # the graph was seen


# Nothing executes data


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


FORBIDDEN = {
    "eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads",
    "dill.load", "dill.loads", "shelve.open", "torch.load", "joblib.load", "yaml.load", "yaml.load_all", "yaml.full_load",
    "yaml.unsafe_load", "os.system", "os.popen", "pd.read_pickle", "pandas.read_pickle", "np.load", "numpy.load",
}  # fmt: skip


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_nothing_received_is_executed(path: Path):
    assert not {name for name, _ in calls(path)} & FORBIDDEN
    imported = {m.split(".")[0] for m, _ in imports(path, when="ever")}
    assert not imported & {"pickle", "marshal", "dill", "shelve", "joblib", "cloudpickle"}


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_no_remote_code_and_no_shell(path: Path):
    for name, call in calls(path):
        options = {k.arg: ast.unparse(k.value) for k in call.keywords}
        assert options.get("trust_remote_code", "False") == "False", (name, call.lineno)
        assert options.get("shell", "False") == "False", (name, call.lineno)
        if name.startswith("yaml."):
            loaders = {n.attr for n in ast.walk(call) if isinstance(n, ast.Attribute)}
            assert not loaders & {"UnsafeLoader", "FullLoader", "Loader"}, (name, call.lineno)


def test_the_scan_sees_what_it_is_to_see(tmp_path: Path):
    """The guards above, shown a file that breaks them."""
    bad = tmp_path / "bad.py"
    bad.write_text("import pickle\ndef f(x):\n    return eval(x), pickle.loads(x), m(trust_remote_code=True)\n")
    assert {n for n, _ in calls(bad)} & FORBIDDEN == {"eval", "pickle.loads"}
    assert list(imports(bad, when="load")) == [("pickle", "")]


# Nothing heavy before it is needed

PROBE = """
import json, sys
from harness.cli import call
code = call(sys.argv[1:])
print("\\n" + json.dumps([code, sorted(sys.modules)]))
"""


def loaded_by(*command: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", PROBE, *command], capture_output=True, text=True, check=True)
    code, names = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    return set(names)


@pytest.mark.parametrize("command", [["--help"], ["--version"], ["plugins", "--help"], ["run", "--help"]], ids=" ".join)
def test_help_imports_nothing_heavy_and_no_plugin(command: list[str]):
    loaded = loaded_by(*command)
    assert not loaded & {*HEAVY, "pluggy", "harness.registry"}
    assert not {n for n in loaded if n.startswith("harness_")}


@pytest.mark.parametrize("command", [["plugins", "list"], ["plugins", "info", "hf"], ["suite", "list"]], ids=" ".join)
def test_looking_at_plugins_imports_no_model_library(command: list[str]):
    loaded = loaded_by(*command, "--json")
    assert not loaded & {"torch", "transformers", "pandas", "pyarrow", "sacrebleu", "datasets", "httpx"}


def test_import_harness_is_cheap():
    code = "import sys, harness; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {*HEAVY, "click", "pluggy"}
    assert {n for n in loaded if n.startswith("harness")} == {"harness"}


# The public names


def test_every_public_name_resolves_and_is_where_it_says():
    assert len(harness.__all__) == len(set(harness.__all__))
    for name in harness.__all__:
        value = getattr(harness, name)
        assert value is not None
        if getattr(value, "__module__", "").startswith("harness"):
            assert value.__module__ == harness._MODULE_OF[name]
    assert set(harness.__all__) <= set(dir(harness))


def test_type_checkers_see_the_same_names():
    (block,) = (node for node in tree(ROOT / "harness" / "__init__.py").body if for_type_checkers(node))
    assert isinstance(block, ast.If)
    seen = {a.name: n.module for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert seen == harness._MODULE_OF
    assert set(seen) == set(harness.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'harness' has no attribute 'evaluate'"):
        _ = harness.evaluate


# The hooks


def test_every_hook_is_documented_and_known_to_the_registry():
    hooks = {n: f for n, f in vars(hookspecs).items() if hasattr(f, "harness_spec")}
    assert set(hooks) == set(HOOKS)
    for name, function in hooks.items():
        assert "register(name, factory" in (function.__doc__ or ""), name
        assert "`factory(" in (function.__doc__ or ""), name


def test_every_hook_is_used_by_a_plugin_we_ship_or_test():
    points = [p for p in entry_points(group=GROUP) if p.dist and p.dist.name == "reward-harness"]
    used = {e.kind for e in Registry.load(allow=[p.name for p in points]).entries()}
    acme = (ROOT / "tests" / "third_party" / "acme_metrics" / "acme_metrics.py").read_text(encoding="utf-8")
    assert "def register_rewards(" in acme
    assert used | {"reward"} == set(HOOKS.values())


def test_every_plugin_module_is_an_entry_point():
    declared = {p.value for p in entry_points(group=GROUP)}
    marked = {
        ".".join(p.relative_to(ROOT).with_suffix("").parts[1:])
        for p in BUNDLED
        if "@hookimpl" in p.read_text(encoding="utf-8")
    }
    assert marked
    assert marked <= declared
