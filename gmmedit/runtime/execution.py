"""How a command computes: device, batch, processes, progress. No result depends on it."""

import ctypes
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from gmmedit.errors import InputError
from gmmedit.runtime.batching import TILE, Memory, in_batches
from gmmedit.runtime.distributed import Processes
from gmmedit.runtime.signals import StopRequest

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h

Tick = Callable[[int, int, str], None]  # done, total, a few words
ALONE = Processes()


def silent(done: int, total: int, text: str) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Execution:
    """How a stage computes; its result must not depend on it."""

    device: str = "cpu"
    batch: int = 16
    restart: bool = False  # discard unfinished work
    force: bool = False  # overwrite a finished artifact of other settings, discard unfinished work of others
    trusting: bool = False  # run Python files that only an artifact names
    tick: Tick = silent
    processes: Processes = ALONE
    memory: Memory = field(default_factory=Memory)
    stop: StopRequest = field(default_factory=StopRequest)
    kept: set[Path] = field(default_factory=set)  # files found up to date, which were not written

    @property
    def rows_per_call(self) -> int:
        """How many rows the networks compute at once: `batch`, on a CPU always one tile.

        oneDNN chooses a convolution's algorithm by the number of rows, and its algorithms round differently.
        """
        return TILE if self.device == "cpu" else self.batch

    def in_batches(self, function: Callable[[Tensor], tuple[Tensor, ...]], rows: Tensor) -> tuple[Tensor, ...]:
        """function(rows) in batches, see `gmmedit.runtime.batching.in_batches`."""
        return in_batches(function, rows, self.rows_per_call, self.memory)


def prepare(execution: Execution) -> None:
    """Set PyTorch's and the allocator's process-wide settings. InputError: the device cannot be used."""
    torch.set_flush_denormal(True)  # responsibilities underflow, and products of denormals are 160 times slower
    keep_freed_memory()
    try:
        torch.zeros(1, device=execution.device).cpu()
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0]
        reason = "no such kind of device" if reason.startswith("Expected one of") else reason
        cards = torch.cuda.device_count()
        hint = f"there {'is' if cards == 1 else 'are'} {', '.join(f'cuda:{i}' for i in range(cards))}" if cards else ""
        raise InputError(f"cannot use device {execution.device!r}: {reason}", hint=hint or "--device cpu") from error


def resolve_precision(precision: str, device: str) -> str:
    """The precision, "bf16" or "fp32"; `auto` is bf16 where the hardware multiplies it."""
    if precision != "auto":
        return precision
    fast = torch.cuda.is_bf16_supported() if device.startswith("cuda") else torch.cpu._is_amx_tile_supported()
    return "bf16" if fast else "fp32"


def autocast(precision: str, device: str) -> torch.autocast:
    """The context in which networks compute in that precision, "bf16" or "fp32"."""
    return torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=precision == "bf16")


def keep_freed_memory() -> None:
    """Keep glibc from returning freed activations to the system: page faults took a third of a synthesis."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)  # large blocks come from the heap too
        libc.mallopt(M_TRIM_THRESHOLD, -1)  # which never shrinks
