"""TorchScript files. PyTorch has deprecated them; they are read, never written.

Loading one runs no Python, but its code is a program that PyTorch interprets: the few operators that reach files are
refused before it runs, and so are loops that may never end, which no Ctrl-C would stop.
"""

import ast
import io
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from gmmedit.errors import InputError
from gmmedit.networks import Network, check_archive, frozen, opening

HINT = "save it with torch.jit.save, or better with torch.export.save"
OPERATORS = {"aten", "prim", "prims"}  # namespaces of PyTorch itself
MOST_ROUNDS = 1 << 16
FORBIDDEN = {"save", "load", "from_file", "classes", "print", "Print"}


class Script(nn.Module):
    """A script, interpreted as it is: the optimiser would rewrite it after its first runs, and round differently."""

    def __init__(self, script: nn.Module) -> None:
        super().__init__()
        self.script = script

    def forward(self, *inputs: Tensor) -> Tensor:
        with torch.jit.optimized_execution(False):
            found: Tensor = self.script(*inputs)
            return found


def load(path: Path, device: str = "cpu") -> Network:
    """The network, on the device. InputError: not such a file, damaged, or its code reaches for files."""
    with opening(path, "TorchScript", HINT), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        content = path.read_bytes()
        check(content)
        return Network(Script(frozen(torch.jit.load(io.BytesIO(content), map_location="cpu"), device)))


def check(content: bytes) -> None:
    """InputError: the program holds operators that a network has no use for."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in check_archive(archive, len(content), HINT):
            if name.endswith(".py"):
                check_program(archive.read(name).decode())


def check_program(text: str) -> None:
    """InputError: it reaches for more than PyTorch's own operators on tensors, however that is spelled."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.While) or (isinstance(node, ast.For) and endless(node.iter)):
            raise InputError("has a loop that may never end", hint="write a my_network.py:load that builds it")
        found = dotted(node)
        parts = found.split(".")
        foreign = parts[0] == "ops" and parts[1:] and parts[1] not in OPERATORS
        if foreign or any(part in FORBIDDEN for part in parts):
            raise InputError(f"calls {found!r}, which no network needs", hint="load only files of people you trust")


def endless(rounds: ast.expr) -> bool:
    """Whether a loop over `range(NUMBER)` would take years. PyTorch writes those with `break` as `while`."""
    numbers = [node.value for node in ast.walk(rounds) if isinstance(node, ast.Constant)]
    return any(isinstance(number, int) and number > MOST_ROUNDS for number in numbers)


def dotted(node: ast.AST) -> str:
    """A name as the program means it: torch.save, or what getattr would find; "" for anything else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{dotted(value)}.{name}"
        case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str(name))]):
            return name
        case ast.Call(func=ast.Name(id="getattr")):
            return "getattr"
    return ""
