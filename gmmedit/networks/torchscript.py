"""TorchScript files. PyTorch has deprecated them; they are read, never written.

Loading one runs no Python, but its code is a program that PyTorch interprets. Operators that access files are refused
before it runs, and so are loops that may never end, which Ctrl-C would not stop.
"""

import ast
import re
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from gmmedit.errors import InputError
from gmmedit.networks import Network, freeze, opening
from gmmedit.networks.archives import rewrite_archive

HINT = "save it with torch.jit.save, or better with torch.export.save"
RECORDS = re.compile(
    r"[^/]+/(code/[\w./]+\.py(\.debug_pkl)?|(data|constants|bytecode|traced_inputs)\.pkl"
    r"|(data|constants|traced_inputs)/\d+|extra/.+|version|byteorder|\.format_version|\.storage_alignment|\.data/\w+)"
)
OPERATORS = {"aten", "prim", "prims"}  # namespaces of PyTorch itself
MAX_ROUNDS = 1 << 16
FORBIDDEN = {"save", "load", "from_file", "classes", "print", "Print"}


class Script(nn.Module):
    """A script, run without the optimiser, which would rewrite it after its first runs and round differently."""

    def __init__(self, script: nn.Module) -> None:
        super().__init__()
        self.script = script

    def forward(self, *inputs: Tensor) -> Tensor:
        """The script's output for the inputs."""
        with torch.jit.optimized_execution(False):
            found: Tensor = self.script(*inputs)
            return found


def load_script(path: Path, device: str = "cpu") -> Network:
    """The network, on the device. InputError: the file is damaged, not TorchScript, or its code is not allowed."""
    with opening(path, "TorchScript", HINT), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        script = torch.jit.load(rewrite_archive(path, RECORDS, check_record, HINT), map_location="cpu")
        return Network(Script(freeze(script, device)))


def check_record(name: str, content: bytes) -> None:
    """InputError: the record is a program that is not allowed (see `check_program`)."""
    if name.endswith(".py"):
        check_program(content.decode())


def check_program(text: str) -> None:
    """InputError: the program uses more than PyTorch's own operators on tensors, or has loops without a bound."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.While) or (isinstance(node, ast.For) and is_endless(node.iter)):
            raise InputError(
                "has a loop that may never end", hint="build the network in a Python file: my_network.py:load"
            )
        found = dotted_name(node)
        parts = found.split(".")
        foreign = parts[0] == "ops" and parts[1:] and parts[1] not in OPERATORS
        if foreign or any(part in FORBIDDEN for part in parts):
            raise InputError(
                f"calls {found!r}, which networks do not need", hint="do not use files from untrusted sources"
            )


def is_endless(rounds: ast.expr) -> bool:
    """Whether a loop has more than MAX_ROUNDS rounds. PyTorch writes loops with `break` as `while`."""
    numbers = [node.value for node in ast.walk(rounds) if isinstance(node, ast.Constant)]
    return any(isinstance(number, int) and number > MAX_ROUNDS for number in numbers)


def dotted_name(node: ast.AST) -> str:
    """The dotted name that a node stands for, e.g. torch.save, also by getattr; "" for anything else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{dotted_name(value)}.{name}"
        case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str(name))]):
            return name
        case ast.Call(func=ast.Name(id="getattr")):
            return "getattr"
    return ""
