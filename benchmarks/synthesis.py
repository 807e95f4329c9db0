"""Speed of painting, as the stages paint: images/s, and which fraction of the same run's GEMM peak that is.

    python benchmarks/synthesis.py [--network NAME ...] [--batch 1 8] [--threads 1 2] [--device cuda]
                                   [--precision fp32 bf16] [--rounds 7] [--json FILE]

Random weights, except for the embedded generator's. A network's rows take turns, and large matrix products of the
same types on the same threads with them: the fastest of these is the peak. Each row is printed as soon as its
network has been measured. Speeds are medians over the rounds, beside the slowest and the fastest. FLOPs are those
that PyTorch's operators do for one image (a multiplication and an addition count as two). Half precision is printed
with its error: the rms difference from the float32 images, in units of their standard deviation. The defaults take
a few minutes on two cores; larger networks have to be named.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent.parent))

from machine import DTYPES, copying, described, peak, timed
from networks import stylegan2, stylegan3_t

from gmmedit.config import SampleSettings
from gmmedit.generators import Generator, load
from gmmedit.run.rendering import Renderer
from gmmedit.runtime.execution import Execution, autocast, prepare

NETWORKS: dict[str, Callable[[], Generator]] = {
    "embedded 64": lambda: load("avatars"),
    "StyleGAN2 256": lambda: stylegan2(256, 16384),
    "StyleGAN2 1024": lambda: stylegan2(1024, 32768),
    "StyleGAN3-T 256": lambda: stylegan3_t(256),
}
USUAL = ["embedded 64", "StyleGAN2 256"]
HEAD = "network|batch|threads|precision|of the GEMM peak|images/s|slowest to fastest|GFLOP an image|rms error"
FEWEST, ENOUGH = 3, 10.0  # rounds that every row gets; seconds after which it gets no more


@dataclass
class Row:
    """A network at one batch size, thread count and precision, and what each round saw."""

    network: str
    batch: int
    threads: int
    precision: str
    flops: int  # an image
    error: float | None = None  # rms over the standard deviation of the float32 images
    peak: float = 0.0  # FLOP/s of the matrix products
    seconds: list[float] = field(default_factory=list)  # a batch

    @property
    def speeds(self) -> list[float]:
        """Images/s."""
        return [self.batch / seconds for seconds in self.seconds]

    @property
    def speed(self) -> float:
        return statistics.median(self.speeds)

    def cells(self) -> list[str]:
        return [
            self.network,
            str(self.batch),
            str(self.threads),
            self.precision,
            f"{self.flops * self.speed / self.peak:.0%}",
            f"{self.speed:.3g}",
            f"{min(self.speeds):.3g} to {max(self.speeds):.3g}",
            f"{self.flops / 1e9:.3g}",
            "" if self.error is None else f"{self.error:.2%}",
        ]


class SweepInputs:
    """The networks on one device, timed."""

    def __init__(self, names: list[str], device: str) -> None:
        self.device = device
        torch.manual_seed(0)
        self.networks = {name: NETWORKS[name]().to(device) for name in names}
        prepare(Execution(device))
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32  # one type for all products

    def images(self, row: Row) -> torch.Tensor:
        network = self.networks[row.network]
        assert network.w_shape is not None
        random = torch.Generator().manual_seed(0)
        w = torch.randn(row.batch, network.w_shape[1], generator=random).to(self.device)
        with autocast(row.precision, self.device):
            return Renderer(network, SampleSettings()).generate(w, "w").float()

    def flops(self, name: str) -> int:
        with FlopCounterMode(display=False) as counter:
            self.images(Row(name, 1, 1, "fp32", 0))
        return counter.get_total_flops()

    def error(self, row: Row) -> float:
        exact = self.images(Row(row.network, row.batch, row.threads, "fp32", row.flops))
        return float((self.images(row) - exact).square().mean().sqrt() / exact.std())

    def measure(self, rows: list[Row], rounds: int) -> None:
        """Fill in what the rows lack."""
        for row in rows:
            self.images(row)  # whatever is done once
            row.error = None if row.precision == "fp32" else self.error(row)
        for i in range(rounds):
            for precision in {row.precision for row in rows}:
                now = peak(precision, self.device)
                for row in rows:
                    row.peak = max(row.peak, now) if row.precision == precision else row.peak
            for row in rows:
                if i < FEWEST or sum(row.seconds) < ENOUGH:
                    self.images(replace(row, batch=1))  # weights are prepared for one precision at a time
                    row.seconds.append(timed(lambda row=row: self.images(row), self.device))


def show(cells: list[str]) -> None:
    """A row of a Markdown table."""
    print(f"| {' | '.join(cells)} |", flush=True)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", nargs="+", choices=NETWORKS, default=USUAL)
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", nargs="+", choices=list(DTYPES), default=list(DTYPES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    bench = SweepInputs(options.network, options.device)
    flops = {name: bench.flops(name) for name in options.network}
    print(described(options.device))
    every = options.threads if options.device == "cpu" else [1]
    rows: list[Row] = []
    copies: dict[int, float] = {}
    for threads in every:
        torch.set_num_threads(threads)
        copies[threads] = copying(options.device)
        print(f"threads {threads}: a copy reads and writes {copies[threads] / 1e9:.0f} GB/s")
    show(HEAD.split("|"))
    show(["---"] * 9)
    for threads in every:
        torch.set_num_threads(threads)
        for name in options.network:
            now = [
                Row(name, batch, threads, precision, flops[name])
                for batch in options.batch
                for precision in options.precision
            ]
            bench.measure(now, options.rounds)
            for row in now:
                show(row.cells())
            rows += now
    for threads in every:
        for precision in options.precision:
            most = max(row.peak for row in rows if (row.threads, row.precision) == (threads, precision))
            print(f"threads {threads}: {precision} matrix products {most / 1e9:.0f} GFLOP/s")
    if options.json:
        facts = {"machine": described(options.device), "copying": copies, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
