"""Networks of a user's own, from files that others wrote: torch.export programs, TorchScript, ONNX, Python.

What may run is decided before anything is loaded; generators and classifiers are built on what these return.
"""

import logging
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor, nn

from gmmedit.errors import InputError, debugging
from gmmedit.runtime.regular_files import check_regular

REASON = 200  # characters of somebody else's message
INFLATED = 64 << 20  # bytes that an archive may unpack to beyond its own; weights are stored as they are


@dataclass(frozen=True)
class Network:
    """A frozen network on its device, and what its file tells of its inputs and the names of its outputs.

    An unknown or dynamic length is None; `shapes`, `dtypes` and `outputs` are empty where the file tells nothing. A
    network of several named outputs gives them as a dictionary.
    """

    module: nn.Module
    shapes: tuple[tuple[int | None, ...], ...] = ()
    dtypes: tuple[torch.dtype, ...] = ()
    outputs: tuple[str, ...] = ()


def in_fixed_batches(function: Callable[[Tensor], Tensor], rows: Tensor, number: int | None) -> Tensor:
    """function(rows) for a function that takes `number` rows and no other number (None: any)."""
    if number is None:
        return function(rows)
    return torch.cat([function(filled_up(part, number))[: len(part)] for part in rows.split(number)])


def filled_up(rows: Tensor, number: int) -> Tensor:
    """That number of rows, the last one repeated."""
    return torch.cat([rows, rows[-1:].expand(number - len(rows), *rows.shape[1:])])


def frozen(module: nn.Module, device: str) -> nn.Module:
    """The module on the device, in evaluation mode, its parameters constants."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)  # one by one, as TorchScript wants it
    return module.to(device).eval()


def file_fingerprint(*paths: Path) -> str:
    """SHA-256 over the bytes of files, whatever their names."""
    digest = sha256()
    for path in paths:
        check_regular(path, hint="give a file")
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def reason(error: BaseException) -> str:
    """The first line of what somebody else's code raised."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:REASON]


def check_archive(archive: zipfile.ZipFile, size: int, hint: str) -> list[str]:
    """The names of the records. InputError: two have the same, or they unpack to much more than the file's size."""
    records = archive.infolist()
    names = [record.filename for record in records]
    if len(set(names)) < len(names):
        raise InputError("holds records of the same name", hint=hint)
    whole = sum(record.file_size for record in records)
    if whole > size + INFLATED:
        raise InputError(f"unpacks to {whole} bytes, which no network does", hint=hint)
    return names


@contextmanager
def silently() -> Iterator[None]:
    """What libraries log while they read a file, their tracebacks too, is shown with --debug only."""
    before = logging.root.manager.disable
    logging.disable(before if debugging["on"] else logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def opening(path: Path, kind: str, hint: str) -> Iterator[None]:
    """Whatever a foreign or damaged file raises, as an InputError of one line."""
    check_regular(path, hint)
    try:
        with silently():
            yield
    except InputError as error:
        raise InputError(f"{path} {error.message}", hint=error.hint) from None
    except Exception as error:  # no library says what its readers raise
        raise InputError(f"{path} is no {kind}: {reason(error)}", hint=hint) from error
