"""TorchScript files. PyTorch has deprecated them; they are read, never written.

Loading one runs no Python, but its code is a program that PyTorch interprets: the few operators that reach files are
refused before it runs.
"""

import io
import re
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from gmmedit.errors import InputError
from gmmedit.networks import Network, frozen, opening

HINT = "save it with torch.jit.save, or better with torch.export.save"
FORBIDDEN = re.compile(r"\btorch\.(?:save|load|from_file|classes)\b|\bops\.(?!aten\b|prims?\b)\w+|\bprint\(")


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
        names = archive.namelist()
        if len(set(names)) < len(names):
            raise InputError("holds records of the same name", hint=HINT)
        for name in names:
            found = "/code/" in name and name.endswith(".py") and FORBIDDEN.search(archive.read(name).decode())
            if found:
                message = f"calls {found[0]!r}, which no network needs"
                raise InputError(message, hint="load only files of people you trust")
