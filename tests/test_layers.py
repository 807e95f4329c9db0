"""Who may import whom: read from the source, so that imports inside functions count too."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gmmedit"

# Rooms from the ground up; each may import those named, and itself.
GROUND = {"errors", "runtime"}
NETWORKS = {"networks", "hub", "generators", "classifiers", "features"}
RUN = GROUND | NETWORKS | {"encoders", "mixture", "causal", "spaces", "artifacts", "config", "run"}
ALLOWED = {
    "errors": set(),
    "mixture": set(),
    "causal": set(),
    "spaces": set(),
    "runtime": {"errors"},
    "config": GROUND,
    "artifacts": GROUND,
    "hub": GROUND,
    "networks": GROUND,
    "pictures": {"artifacts", "errors"},
    "generators": GROUND | {"networks", "hub", "spaces"},
    "classifiers": GROUND | {"networks"},
    "features": GROUND | {"networks", "classifiers"},
    "encoders": GROUND | {"networks", "generators", "classifiers", "spaces"},
    "editors": GROUND | {"mixture", "causal", "spaces"},
    "datasets": GROUND | {"classifiers"},
    "run": RUN - {"run"},
    "fitting": RUN,
    "editing": RUN | {"discovery", "fitting", "editors", "pictures"},
    "evaluation": RUN | {"discovery", "fitting", "editors", "pictures"},
    "training": GROUND
    | NETWORKS
    | {"causal", "config", "datasets", "encoders", "evaluation", "mixture", "pictures", "run", "spaces"},
    "discovery": RUN | {"datasets", "editors", "evaluation", "pictures", "training"},
    "report": RUN | {"discovery", "fitting", "editors", "editing", "evaluation", "pictures"},
    "verification": RUN | {"editing", "pictures"},
    "web": RUN | {"discovery", "editing", "editors", "pictures"},
    "stages": RUN
    | {"datasets", "discovery", "fitting", "editing", "editors", "evaluation", "pictures", "report", "verification"},
    "cli": RUN | {"discovery", "stages", "training", "datasets", "editing", "evaluation", "report", "web"},
    "__main__": {"cli"},
    "__init__": set(),
}
STAGES = {
    "sample",
    "label",
    "fit_single",
    "fit_mixture",
    "edit",
    "invert",
    "graph",
    "evaluate",
    "evaluate_inverted",
    "compare",
    "report",
    "verify",
    "export",
    "look",
    "discover",
    "disentanglement",
    "traverse",
    "generate",
}

STANDARD = sys.stdlib_module_names
TORCH_ONLY = {
    "mixture",
    "spaces",
    "evaluation/metrics/editing",
    "evaluation/metrics/realism",
    "evaluation/metrics/manifolds",
    "evaluation/figures",
}
HEAVY = {"torch", "numpy", "h5py", "PIL", "pydantic", "rich"}
# What `gmmedit --help` and a wrong option pass through. Names of files, or of rooms for all of their files.
LIGHT = (
    "cli", "errors", "hub", "__main__", "__init__", "runtime/signals", "runtime/storage", "runtime/torchrun",
    "runtime/log", "runtime/progress", "runtime/trust", "runtime/registry", "runtime/regular_files",
    "runtime/yaml_files", "runtime/commands",
)  # fmt: skip
NOT_AT_THE_TOP = dict.fromkeys(LIGHT, HEAVY) | {
    "config": HEAVY - {"pydantic"},
    "cli/tables": HEAVY - {"rich"},
    "cli/describe": HEAVY - {"h5py"},
    "pictures": {"torch"},
}
ONLY_CLI = {"typer", "rich"}  # and what prints for it
NOTHING: set[str] = set()
FORBIDDEN = {
    "cli": NOTHING,
    "runtime/progress": NOTHING,
    **dict.fromkeys(("artifacts", "hub"), ONLY_CLI | {"torch"}),
}
NOWHERE = {"click", "torchvision", "timm", "open_clip", "lpips", "cleanfid", "torch_fidelity"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def place(path: Path) -> str:
    """The path of a file in the package: "runtime/trust"."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def rule(rules: Mapping[str, set[str]], path: Path, otherwise: set[str]) -> set[str]:
    """The rule for a file, else that for its room."""
    return rules.get(place(path), rules.get(room(path), otherwise))


def imported(path: Path, nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Absolute names of what the nodes import: "torch.nn", "gmmedit.errors.InputError"."""
    package = ("gmmedit", *path.relative_to(PACKAGE).parts[:-1])
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            yield from (".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names)


def run_at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that an import executes: not the bodies of functions, nor `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not typing_only and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from run_at_import(node)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def violations(path: Path, tree: ast.AST) -> list[str]:
    here = room(path)
    forbidden = NOWHERE | rule(FORBIDDEN, path, ONLY_CLI)
    found = []
    for name in imported(path, ast.walk(tree)):
        top, _, rest = name.partition(".")
        inner = rest.split(".")
        if top == "gmmedit":
            if inner[0] not in ALLOWED[here] | {here, "__version__"}:
                found.append(f"{here} imports {name}")
            if here == "stages" and inner[0] == "stages" and STAGES.intersection(inner[1:2]):
                found.append(f"a stage imports {name}")
        elif top in forbidden or (TORCH_ONLY & {here, place(path)} and top not in STANDARD | {"torch"}):
            found.append(f"{here} imports {top}")
    at_import = {name.partition(".")[0] for name in imported(path, run_at_import(tree))}
    heavy = at_import & rule(NOT_AT_THE_TOP, path, set())
    return found + [f"{here} imports {top} at its top" for top in sorted(heavy)]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path: Path) -> None:
    assert room(path) in ALLOWED, "a new room needs a line in ALLOWED"
    assert violations(path, tree_of(path)) == []


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("mixture/gaussians.py", "from gmmedit.errors import InputError"),
        ("mixture/gaussians.py", "import numpy as np"),
        ("artifacts/store.py", "def f():\n    import torch.nn as nn"),
        ("artifacts/store.py", "from ..config import Settings"),
        ("generators/base.py", "from gmmedit import artifacts"),
        ("stages/edit.py", "from .label import run"),
        ("stages/edit.py", "import gmmedit.cli"),
        ("stages/edit.py", "from rich.progress import track"),
        ("cli/app.py", "import click"),
        ("runtime/torchrun.py", "import torch"),
        ("cli/output.py", "import numpy"),
        ("cli/app.py", "try:\n    import torch\nexcept ImportError:\n    pass"),
        ("config.py", "import numpy"),
        ("pictures/sheets.py", "from torch import Tensor"),
        ("classifiers/clip.py", "import torchvision.transforms"),
    ],
)
def test_the_rules_catch(place: str, line: str) -> None:
    assert violations(PACKAGE / place, ast.parse(line))


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("mixture/gaussians.py", "import math, torch\nfrom gmmedit.mixture.coordinates import Read"),
        ("artifacts/store.py", "from gmmedit import __version__\nfrom . import schema"),
        ("stages/edit.py", "from gmmedit.run.folder import RunFolder\nfrom gmmedit import artifacts, config"),
        ("cli/app.py", "import typer\ndef sample():\n    import torch\n    from gmmedit.stages import sample"),
        ("config.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
    ],
)
def test_the_rules_allow(place: str, line: str) -> None:
    assert violations(PACKAGE / place, ast.parse(line)) == []


@pytest.mark.parametrize(
    "module",
    ["cli.app", "cli.output", "config", "errors", "runtime.registry", "runtime.trust", "artifacts", "pictures", "hub"],
)
def test_light_modules_import_no_torch(module: str) -> None:
    command = [sys.executable, "-X", "importtime", "-c", f"import gmmedit.{module}"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in report.splitlines()}
    light = {module.replace(".", "/"), module.partition(".")[0]} & {*LIGHT}
    assert "gmmedit" in names
    assert not names & ({"torch", "numpy", "h5py", "pydantic", "rich"} if light else {"torch"})


# State


MUTATORS = {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}
CACHES = {"cache", "functools.cache", "lru_cache", "functools.lru_cache"}


def names_of(tree: ast.AST) -> set[str]:
    """Names that a module or function binds, those of its own functions not among them."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        else:
            found |= names_of(node)
    return found


def changed_states(tree: ast.AST, shared: set[str]) -> Iterator[str]:
    """What functions do to the objects of their module: assignments, deletions, calls that change a container."""
    for node in ast.iter_child_nodes(tree):
        inner = shared
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inner = shared - names_of(node)
            decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
            yield from (ast.unparse(it) for it in decorators if ast.unparse(it).partition("(")[0] in CACHES)
        match node:
            case ast.Global():
                yield ast.unparse(node)
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()) if name in shared:
                yield ast.unparse(node)
            case ast.Attribute(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()) if name in shared:
                yield ast.unparse(node)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr)) if name in shared:
                if attr in MUTATORS:
                    yield ast.unparse(node)
        yield from changed_states(node, inner)


def module_states_changed(tree: ast.AST) -> list[str]:
    functions = [it for it in ast.walk(tree) if isinstance(it, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
    module = names_of(tree)
    # A class is seen through its methods; what runs at import may still fill a table.
    return sorted({text for function in functions for text in changed_states(ast.Module([function], []), module)})


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_function_changes_its_module(path: Path) -> None:
    """What a command sets lives in its `Execution`: a server has several at once."""
    assert module_states_changed(tree_of(path)) == []


@pytest.mark.parametrize("source", [
    "state = {}\ndef f(): state['on'] = True",
    "state = {}\ndef f():\n    def g(): state.update(a=1)\n    return g",
    "asked: list[int] = []\ndef f(): asked.append(1)",
    "count = 0\ndef f():\n    global count\n    count += 1",
    "class Box: pass\ndef f(): Box.value = 1",
    "table = {}\nclass Box:\n    def f(self): del table['a']",
    "from functools import cache\n@cache\ndef f(): return 1",
    "import functools\n@functools.lru_cache(maxsize=None)\ndef f(): return 1",
])  # fmt: skip
def test_state_is_found(source: str) -> None:
    assert module_states_changed(ast.parse(source))


@pytest.mark.parametrize("source", [
    "table = {}\ntable['a'] = 1\ntable.update(b=2)",
    "def f():\n    table = {}\n    table['a'] = 1\n    return table",
    "table = {}\ndef f(table): table['a'] = 1",
    "table = {}\ndef f(): return table['a'], table.get('b')",
    "class Box:\n    def f(self): self.value = 1",
])  # fmt: skip
def test_what_is_no_state(source: str) -> None:
    assert module_states_changed(ast.parse(source)) == []
