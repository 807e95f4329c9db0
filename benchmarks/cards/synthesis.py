"""Synthesis in every precision, layout and way of launching, against the same convolutions alone."""

import gc
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from networks import stylegan2, stylegan3_t
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from cards.measuring import Budget, Meter, computing_in, precisions
from gmmedit import generators
from gmmedit.generators import Generator
from gmmedit.generators.cached import Cached
from gmmedit.generators.resampling import prepare_kernel
from gmmedit.generators.stylegan2 import SynthesisLayer

Row = dict[str, Any]
COMPILING = 60.0  # seconds that compiling a network may take
CALLS = 10  # of a convolution in a round
MEASURING = 20.0  # seconds that a network takes in one precision


@dataclass(frozen=True)
class Case:
    """A network and the images that it generates at once."""

    name: str
    make: Callable[[], Generator]
    batch: int


CASES = [
    Case("StyleGAN2 64, embedded", lambda: generators.load("avatars"), 64),
    Case("StyleGAN2 256 (paper256)", lambda: stylegan2(256, 16384), 16),
    Case("StyleGAN2 1024 (configuration F)", lambda: stylegan2(1024, 32768), 8),
    Case("StyleGAN3-T 256", lambda: stylegan3_t(256), 8),
]
QUICK = [
    Case("StyleGAN2 32", lambda: stylegan2(32, 512, w_dim=32), 2),
    Case("StyleGAN3-T 32", lambda: stylegan3_t(32, 512, layers=4), 2),
]


class Convolutions(TorchDispatchMode):
    """Notes the convolutions computed inside: their tensors' shapes, types and layouts, and the other arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[list[Tensor | None], tuple[Any, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default:
            shapes = [None if part is None else torch.empty_like(part, device="meta") for part in args[:3]]
            self.calls.append((shapes, args[3:]))
        return func(*args, **(kwargs or {}))


def measure_synthesis(cases: list[Case], meter: Meter, budget: Budget, compiling: bool) -> dict[str, Any]:
    """Rows of every network, and the GEMM peaks in FLOP/s; compiled ones last, as long as there is time."""
    names = precisions(meter.device)
    peaks = {precision: meter.peak_flops(precision) for precision in names}
    rows: list[Row] = []
    for case in cases:
        for precision in names:
            if budget.left > MEASURING:
                rows += measure_case(case, precision, meter, peaks[precision])
    skipped = []
    for case in cases if compiling else []:
        same = [row for row in rows if (row["network"], row["precision"]) == (case.name, "bf16")]
        if not same or budget.left < COMPILING + MEASURING:
            skipped.append(case.name)
            continue
        rows.append(measure_compiled(case, "bf16", meter, peaks["bf16"], same[0]))
    return {"gemm_peak": peaks, "rows": rows, "not_compiled": skipped}


def open_case(case: Case, device: str) -> tuple[Generator, Tensor]:
    """The network on the device, and the same latents every time."""
    torch.manual_seed(0)
    network = case.make().to(device)
    assert network.w_shape is not None
    return network, torch.randn(case.batch, network.w_shape[1], generator=torch.Generator().manual_seed(1)).to(device)


@torch.no_grad()
def measure_case(case: Case, precision: str, meter: Meter, peak: float) -> list[Row]:
    """Rows of a network in one precision: as the commands generate, as a CUDA graph, and with NCHW tensors."""
    device = meter.device
    network, w = open_case(case, device)
    with computing_in("fp32", device):
        exact = network.synthesize(w).float()
    with computing_in(precision, device):
        with FlopCounterMode(display=False) as counter, Convolutions() as noted:
            images = network.synthesize(w).float()
        error = float((images - exact).square().mean().sqrt() / exact.std())
        flops = counter.get_total_flops() / case.batch
        alone = {kind: seconds_alone(noted, kind, meter) for kind in ("all", "dense", "dense, NCHW")}
        common = {"network": case.name, "batch": case.batch, "precision": precision, "rms_error": error,
                  "gflop_an_image": flops / 1e9, "peak": peak, "convolutions": alone}  # fmt: skip
        rows = [finish_row(common, "channels last", lambda: network.synthesize(w), meter)]
        if device != "cpu":
            rows.append(try_row(common, "CUDA graph", lambda: capture(network, w), meter))
        lay_out_contiguously(network)
        rows.append(finish_row(common, "NCHW", lambda: network.synthesize(w), meter))
    free(device)
    return rows


@torch.no_grad()
def measure_compiled(case: Case, precision: str, meter: Meter, peak: float, same: Row) -> Row:
    """The row of torch.compile; `same`: another row of the network in that precision, whose findings it shares."""
    network, w = open_case(case, meter.device)
    kept = ("network", "batch", "precision", "rms_error", "gflop_an_image", "convolutions")
    common = {name: same[name] for name in kept} | {"peak": peak}
    with computing_in(precision, meter.device):
        row = try_row(common, "torch.compile", lambda: torch.compile(network.synthesize, dynamic=False), meter, w)
    torch._dynamo.reset()
    free(meter.device)
    return row


def finish_row(common: Row, way: str, generate: Callable[[], object], meter: Meter) -> Row:
    """The row with seconds a batch, and how much of the peak and of the convolutions alone that is."""
    seconds, peak = meter.seconds(generate), common["peak"]
    found = {name: value for name, value in common.items() if name != "peak"}
    return found | {
        "way": way, "seconds": seconds, "images_per_second": common["batch"] / seconds,
        "of_the_peak": common["gflop_an_image"] * 1e9 * common["batch"] / seconds / peak,
        "of_its_convolutions": common["convolutions"]["dense"] / seconds,
        "peak_mb": meter.megabytes(generate),
    }  # fmt: skip


def try_row(common: Row, way: str, make: Callable[[], Callable[..., object]], meter: Meter, *args: Tensor) -> Row:
    """As `finish_row`, of what `make` returns; a row with the reason where it is not possible."""
    try:
        generate = make()
        return finish_row(common, way, lambda: generate(*args), meter)
    except Exception as error:  # compilers and drivers raise anything
        lines = str(error).splitlines() or [type(error).__name__]
        known = {name: common[name] for name in ("network", "batch", "precision")}
        return known | {"way": way, "error": lines[0][:300]}


def capture(network: Generator, w: Tensor) -> Callable[[], object]:
    """The replay of a graph of the synthesis of w."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            network.synthesize(w)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        network.synthesize(w)
    return graph.replay


def lay_out_contiguously(network: Generator) -> None:
    """Weights of the network as NCHW, also those that it prepares."""

    def prepare(weight: Tensor, up: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        kernel, power = prepare_kernel(weight, up, dtype)
        return kernel.contiguous(), power

    network.to(memory_format=torch.contiguous_format)
    for part in network.modules():
        if isinstance(part, SynthesisLayer):
            part.prepared = Cached(prepare)


def seconds_alone(noted: Convolutions, kind: str, meter: Meter) -> float:
    """Seconds of the noted convolutions, one after the other on random numbers; `dense`: without those of single
    channels, which are filters; `NCHW`: in that layout."""
    total, short = 0.0, replace(meter, least=meter.least / 10)
    for shapes, others in noted.calls:
        if kind != "all" and others[-1] > 1:
            continue
        tensors = [None if part is None else torch.empty_like(part, device=meter.device).normal_() for part in shapes]
        if kind.endswith("NCHW"):
            tensors = [None if part is None else part.contiguous() for part in tensors]
        total += short.seconds(partial(torch.ops.aten.convolution.default, *tensors, *others), CALLS)
    return total


def free(device: str) -> None:
    """Give back what nobody refers to."""
    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()
