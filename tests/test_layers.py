"""Who may import whom: read from the source, so that imports inside functions count too."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gmmedit"

PARTS = {"generators", "classifiers", "spaces", "editors", "mixture", "evaluation", "artifacts", "pictures", "models"}
GROUND = {"errors", "registry", "files"}
ALLOWED = {
    "errors": set(),
    "registry": {"errors"},
    "files": {"errors"},
    "trust": {"errors"},
    "yaml_files": {"errors", "files"},
    "config": {"errors", "yaml_files"},
    "mixture": set(),
    "spaces": set(),
    "evaluation": set(),
    "disk": {"errors"},
    "launched": set(),
    "logbook": set(),
    "progress": {"errors", "logbook"},
    "models": {"errors", "disk"},
    "artifacts": {"errors", "disk", "files", "yaml_files"},
    "weights": {"errors", "disk", "files"},
    "networks": {"errors", "files", "trust"},
    "generators": GROUND | {"weights", "networks", "models", "yaml_files"},
    "classifiers": GROUND | {"weights", "networks", "yaml_files"},
    "editors": {"mixture", "spaces"} | GROUND,
    "pictures": {"artifacts", "errors"},
    "avatars": {"generators", "classifiers", "evaluation", "disk", "stopping"} | GROUND,
    "stages": PARTS | GROUND | {"config", "disk", "stopping", "trust", "launched"},
    "cli": PARTS | GROUND | {"config", "stages", "avatars", "terminal", "tables", "edge", "models_cli", "files_cli"},
    "models_cli": {"errors", "models", "terminal", "tables", "edge", "progress", "logbook"},
    "files_cli": {"stages", "terminal", "tables", "edge"},
    "edge": {"errors", "terminal", "stopping", "trust"},
    "terminal": {"errors", "stages", "stopping", "launched", "logbook", "progress"},
    "tables": {"stages", "terminal"},
    "stopping": {"errors"},
    "__main__": {"cli"},
    "__init__": set(),
}
STAGES = {"sample", "label", "fit_single", "fit_mixture", "edit", "evaluate", "compare", "report", "verify", "export"}

STANDARD = sys.stdlib_module_names
TORCH_ONLY = {"mixture", "spaces", "evaluation"}
HEAVY = {"torch", "numpy", "h5py", "PIL", "pydantic", "rich"}
LIGHT = (
    "cli", "models_cli", "files_cli", "edge", "terminal", "errors", "disk", "stopping", "models", "registry",
    "yaml_files", "files", "trust", "launched", "logbook", "progress", "__main__", "__init__",
)  # fmt: skip
NOT_AT_THE_TOP = dict.fromkeys(LIGHT, HEAVY) | {
    "config": HEAVY - {"pydantic"},
    "tables": HEAVY - {"rich"},
    "pictures": {"torch"},
}
ONLY_CLI = {"typer", "rich"}  # and what prints for it
NOTHING: set[str] = set()
FORBIDDEN = {
    **dict.fromkeys(("cli", "models_cli", "files_cli", "edge", "terminal", "tables", "progress"), NOTHING),
    **dict.fromkeys(("artifacts", "models"), ONLY_CLI | {"torch"}),
}
NOWHERE = {"click", "torchvision", "timm", "open_clip", "lpips", "cleanfid", "torch_fidelity"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


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


def violations(path: Path, source: str) -> list[str]:
    here = room(path)
    tree = ast.parse(source)
    forbidden = NOWHERE | FORBIDDEN.get(here, ONLY_CLI)
    found = []
    for name in imported(path, ast.walk(tree)):
        top, _, rest = name.partition(".")
        inner = rest.split(".")
        if top == "gmmedit":
            if inner[0] not in ALLOWED[here] | {here, "__version__"}:
                found.append(f"{here} imports {name}")
            if here == "stages" and inner[0] == "stages" and STAGES.intersection(inner[1:2]):
                found.append(f"a stage imports {name}")
        elif top in forbidden or (here in TORCH_ONLY and top not in STANDARD | {"torch"}):
            found.append(f"{here} imports {top}")
    at_import = {name.partition(".")[0] for name in imported(path, run_at_import(tree))}
    heavy = at_import & NOT_AT_THE_TOP.get(here, set())
    return found + [f"{here} imports {top} at its top" for top in sorted(heavy)]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path: Path) -> None:
    assert room(path) in ALLOWED, "a new room needs a line in ALLOWED"
    assert violations(path, path.read_text(encoding="utf-8")) == []


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
        ("cli.py", "import click"),
        ("terminal.py", "from gmmedit import artifacts"),
        ("terminal.py", "import numpy"),
        ("cli.py", "try:\n    import torch\nexcept ImportError:\n    pass"),
        ("config.py", "import numpy"),
        ("pictures/sheets.py", "from torch import Tensor"),
        ("classifiers/clip.py", "import torchvision.transforms"),
    ],
)
def test_the_rules_catch(place: str, line: str) -> None:
    assert violations(PACKAGE / place, line)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("mixture/gaussians.py", "import math, torch\nfrom gmmedit.mixture.coordinates import Read"),
        ("artifacts/store.py", "from gmmedit import __version__\nfrom . import schema"),
        ("stages/edit.py", "from gmmedit.stages.inputs import opened\nfrom gmmedit import artifacts, config"),
        ("cli.py", "import typer\ndef sample():\n    import torch\n    from gmmedit.stages import sample"),
        ("config.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
    ],
)
def test_the_rules_allow(place: str, line: str) -> None:
    assert violations(PACKAGE / place, line) == []


@pytest.mark.parametrize(
    "module", ["cli", "terminal", "config", "errors", "registry", "artifacts", "pictures", "models"]
)
def test_light_modules_import_no_torch(module: str) -> None:
    if not any((PACKAGE / name).exists() for name in (module, f"{module}.py")):
        pytest.skip(f"gmmedit.{module} is not written yet")
    command = [sys.executable, "-X", "importtime", "-c", f"import gmmedit.{module}"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in report.splitlines()}
    assert "gmmedit" in names
    assert not names & ({"torch", "numpy", "h5py", "pydantic", "rich"} if module in LIGHT else {"torch"})
