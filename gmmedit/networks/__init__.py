"""User-supplied networks: torch.export programs, TorchScript, ONNX, Python; safetensors; the safe pickle reader.

What may run is decided before anything is loaded. Generators and classifiers are built on these.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor, nn

from gmmedit.errors import InputError, is_debugging
from gmmedit.runtime.regular_files import check_regular

REASON = 200  # characters


@dataclass(frozen=True)
class Network:
    """A frozen network on its device, with shapes and types of its inputs and names of its outputs.

    An unknown or dynamic length is None; `shapes`, `dtypes` and `outputs` are empty where the file does not tell them.
    A network with several named outputs returns a dictionary.
    """

    module: nn.Module
    shapes: tuple[tuple[int | None, ...], ...] = ()
    dtypes: tuple[torch.dtype, ...] = ()
    outputs: tuple[str, ...] = ()


def run_in_fixed_batches(function: Callable[[Tensor], Tensor], rows: Tensor, number: int | None) -> Tensor:
    """function(rows) for a function that takes exactly `number` rows at a time; None: any number."""
    if number is None:
        return function(rows)
    return torch.cat([function(fill_batch(part, number))[: len(part)] for part in rows.split(number)])


def fill_batch(rows: Tensor, number: int) -> Tensor:
    """The rows, the last one repeated up to that number."""
    return torch.cat([rows, rows[-1:].expand(number - len(rows), *rows.shape[1:])])


def freeze(module: nn.Module, device: str) -> nn.Module:
    """The module on the device, in evaluation mode, without gradients for its parameters."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)  # one by one, as TorchScript wants it
    return module.to(device).eval()


def fingerprint_files(*paths: Path) -> str:
    """SHA-256 over the bytes of the files; names do not count."""
    digest = sha256()
    for path in paths:
        check_regular(path, hint="give a regular file")
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, at most REASON characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:REASON]


@contextmanager
def silence_libraries() -> Iterator[None]:
    """Hide what libraries log in this thread while they read a file, unless --debug is given.

    Other threads go on logging; `logging.disable` would silence the whole process.
    """
    thread = threading.get_ident()

    def is_of_another_thread(record: logging.LogRecord) -> bool:
        return record.thread != thread

    handlers = [] if is_debugging() else logging_handlers()
    for handler in handlers:
        handler.addFilter(is_of_another_thread)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(is_of_another_thread)


def logging_handlers() -> list[logging.Handler]:
    """The handlers of all loggers, and the one of last resort."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    found = [handler for logger in loggers if isinstance(logger, logging.Logger) for handler in logger.handlers]
    return [*found, logging.lastResort] if logging.lastResort else found


@contextmanager
def opening(path: Path, kind: str, hint: str) -> Iterator[None]:
    """Turn whatever a foreign or damaged file raises into an InputError of one line."""
    check_regular(path, hint)
    try:
        with silence_libraries():
            yield
    except InputError as error:
        raise InputError(f"{path} {error.message}", hint=error.hint) from None
    except Exception as error:  # no library says what its readers raise
        raise InputError(f"{path} cannot be read as {kind}: {first_line(error)}", hint=hint) from error
