"""The machine on which figures are measured, and its peak speeds."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SIDE = {"cpu": 2048, "cuda": 8192}  # of the matrices
PRODUCTS, COPIES = 4, 10


def described(device: str = "cpu") -> str:
    """One line: the processor, its cores, PyTorch."""
    if device != "cpu":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    kind = " with AMX" if torch.cpu._is_amx_tile_supported() else ""
    return f"{names[0] if names else platform.processor()}{kind}, {os.cpu_count()} cores, torch {torch.__version__}"


def wait(device: str) -> None:
    """Wait until the device has finished all work."""
    if device != "cpu":
        torch.cuda.synchronize()


def timed(function: Callable[[], object], device: str, clock: str = "wall") -> float:
    """Seconds of that clock; `processor`: of all threads of this process together."""
    wait(device)
    start = CLOCKS[clock]()
    function()
    wait(device)
    return CLOCKS[clock]() - start


def peak(precision: str, device: str, clock: str = "wall") -> float:
    """FLOP/s of a large matrix product."""
    side = SIDE[device.partition(":")[0]]
    a = torch.randn(side, side, device=device, dtype=DTYPES[precision])
    return 2 * side**3 / min(timed(lambda: a @ a, device, clock) for _ in range(PRODUCTS))


def copying(device: str, clock: str = "wall") -> float:
    """Bytes/s read and written by a copy."""
    source = torch.zeros(64 << 20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / min(timed(lambda: target.copy_(source), device, clock) for _ in range(COPIES))
