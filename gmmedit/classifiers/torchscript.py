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
from torch import Tensor

from gmmedit.classifiers.described import Network, file_fingerprint, frozen
from gmmedit.errors import InputError

HINT = "save it with torch.jit.save, or better with torch.export.save"
FORBIDDEN = re.compile(r"\btorch\.(?:save|load|from_file|classes)\b|\bops\.(?!aten\b|prims?\b)\w+|\bprint\(")


def read(path: Path, device: str) -> Network:
    """The network, on the device. InputError: not such a file, damaged, or its code reaches for files."""
    content = path.read_bytes()
    try:
        check(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = frozen(torch.jit.load(io.BytesIO(content), map_location="cpu"), device)
    except InputError as error:
        raise InputError(f"{path} {error.message}", hint=error.hint) from None
    except Exception as error:  # whatever torch meets in a damaged or foreign file
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise InputError(f"{path} is no TorchScript: {lines[0]}", hint=HINT) from error

    def forward(images: Tensor) -> Tensor:
        # The optimiser rewrites a program after its first runs; equal pictures must get equal labels.
        with torch.jit.optimized_execution(False):
            return module(images)

    return Network(forward, file_fingerprint(path))


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
