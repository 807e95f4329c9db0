"""Time, memory and types on a card, or on the CPU in its place."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from machine import timed, wait

PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
FEWEST, MOST = 3, 40  # rounds of a measurement
PRODUCTS = {"cuda": 8192, "cpu": 1024}  # side of the matrices whose product is the peak


@dataclass(frozen=True)
class Budget:
    """The seconds that a run may take."""

    seconds: float
    began: float

    @property
    def left(self) -> float:
        """Seconds that are left, below 0 when they are used up."""
        return self.seconds - (time.monotonic() - self.began)


def precisions(device: str) -> list[str]:
    """The names of the types that the device computes in: all, of a CPU without TF32 and float16."""
    return [name for name in PRECISIONS if device != "cpu" or name in ("fp32", "bf16")]


@contextmanager
def computing_in(precision: str, device: str) -> Iterator[None]:
    """Networks compute in that precision within the block."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    half = PRECISIONS[precision] != torch.float32
    kind = device.partition(":")[0]
    try:
        with torch.autocast(kind, PRECISIONS[precision] if half else torch.bfloat16, enabled=half, cache_enabled=False):
            yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@dataclass(frozen=True)
class Meter:
    """Measures on a device; `least`: seconds of a measurement, in rounds whose median counts."""

    device: str
    least: float = 0.3

    def seconds(self, function: Callable[[], object], repeats: int = 1) -> float:
        """Seconds of a call, after one that is not counted; a round is so many calls without a wait in between."""

        def call() -> None:
            for _ in range(repeats):
                function()

        function()
        rounds: list[float] = []
        while len(rounds) < FEWEST or (sum(rounds) < self.least and len(rounds) < MOST):
            rounds.append(timed(call, self.device) / repeats)
        return statistics.median(rounds)

    def peak_flops(self, precision: str) -> float:
        """FLOP/s of a large matrix product: 2 n^3 over its seconds."""
        side = PRODUCTS[self.device.partition(":")[0]]
        a = torch.randn(side, side, device=self.device, dtype=PRECISIONS[precision])
        with computing_in(precision, self.device):
            return 2 * side**3 / self.seconds(lambda: a @ a)

    def megabytes(self, function: Callable[[], object]) -> float | None:
        """Peak of the card's memory above what is in use before, in MB; None on a CPU."""
        if self.device == "cpu":
            return None
        wait(self.device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        function()
        wait(self.device)
        return (torch.cuda.max_memory_allocated(self.device) - before) / 2**20
