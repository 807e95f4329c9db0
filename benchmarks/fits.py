"""Time and memory of `fit-single` and `fit-mixture` beside scikit-learn's GaussianMixture and LinearSVC.

    OMP_NUM_THREADS=1 python benchmarks/fits.py [-n 50000] [--dim 512] [--categories 12] [--rounds 2] [--json FILE]
    OMP_NUM_THREADS=1 python benchmarks/fits.py --growth

All on the same files: latents of a tiny network with a mapping, as StyleGAN2's, and what a linear classifier says of
its images. Every fit is a process of its own that imports first, and then does the whole job, reading the files
included. Memory is what it needed at most above what it had after its imports. Least of the rounds, as whatever else
the machine does makes one longer. --growth: instead, what a longer or wider problem, more rows a step and more threads
change, one at a time, with the exponents of a straight line through the logarithms.
"""

import argparse
import json
import math
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

from machine import described

MB = 1 << 20
Ticks = list[tuple[float, float]]  # clock and processor time after each step
NETWORK = """
import torch
from gmmedit.generators import Generator


def draw(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) / shape[0] ** 0.5


class TinyGenerator(Generator):
    def __init__(self, dim):
        super().__init__()
        self.z_dim, self.w_shape, self.image_shape = dim, (1, dim), (3, 16, 16)
        self.mapping = torch.nn.Parameter(draw(dim, dim, seed=0))
        self.synthesis = torch.nn.Parameter(draw(dim, 3 * 16 * 16, seed=1))

    def map(self, z, c=None, psi=1.0, cutoff=None):
        return torch.nn.functional.leaky_relu(z @ self.mapping, 0.2)

    def synthesize(self, w):
        return (w.flatten(1) @ self.synthesis).tanh().reshape(-1, 3, 16, 16)


def load():
    return TinyGenerator({dim})


def label():
    generator, reads = load(), draw(3 * 16 * 16, {attributes}, seed=2)
    with torch.no_grad():
        w = generator.map(draw(500, {dim}, seed=3) * 500**0.5)
        middle = (generator.synthesize(w).flatten(1) @ reads).median(0).values
    return lambda x: 4 * (x.flatten(1) @ reads - middle)
"""
YAML = """file: network.py:label
input: {{size: 16, range: [-1, 1]}}
activation: sigmoid
attributes: {{{attributes}}}
"""


@dataclass
class Cost:
    """What a fit took: seconds of the clock, of the processors, bytes at most; processor seconds until the first step,
    and seconds of the clock for a step that nobody disturbed (the median)."""

    seconds: float
    busy: float
    peak: int
    start: float
    step: float


def make_run(folder: Path, n: int, dim: int, categories: int) -> Path:
    """A run folder with samples.h5 and labels.h5: n samples of so many dimensions, two categories an attribute."""
    names = [f"attribute{a}: {{}}" for a in range(categories // 2)]
    folder.mkdir()
    (folder / "network.py").write_text(NETWORK.replace("{dim}", str(dim)).replace("{attributes}", str(len(names))))
    (folder / "network.yaml").write_text(YAML.format(attributes=", ".join(names)))
    run = folder / "run"
    gmmedit("sample", "--gan", f"{folder / 'network.py'}:load", "-n", n, "--run", run)
    gmmedit("label", "--classifier", folder / "network.yaml", "--batch", 256, "--run", run)
    return run


def gmmedit(*words: object) -> None:
    command = [sys.executable, "-m", "gmmedit", *map(str, words), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def prepare_single(run: Path, ticks: Ticks, **settings: object) -> Callable[[], object]:
    from gmmedit.config import FitSingleSettings
    from gmmedit.stages import fit_single

    return lambda: fit_single.run(run, FitSingleSettings(**settings), timed(ticks))


def prepare_mixture(run: Path, ticks: Ticks, **settings: object) -> Callable[[], object]:
    from gmmedit.config import FitMixtureSettings
    from gmmedit.stages import fit_mixture

    return lambda: fit_mixture.run(run, FitMixtureSettings(consistency="off", **settings), timed(ticks))


def timed(ticks: Ticks) -> Any:
    """A run that notes when each step ended."""
    from gmmedit.runtime.execution import Execution

    return Execution(force=True, tick=lambda *_: ticks.append((time.perf_counter(), time.process_time())))


def prepare_gmm(run: Path, ticks: Ticks, start: str) -> Callable[[], object]:
    import h5py
    from sklearn.mixture import GaussianMixture

    warnings.simplefilter("ignore")  # it has not converged after ten iterations
    model = GaussianMixture(8, covariance_type="full", max_iter=10, tol=0, init_params=start, random_state=0)
    return lambda: model.fit(h5py.File(run / "samples.h5")["w"][()])


def prepare_svc(run: Path, ticks: Ticks) -> Callable[[], object]:
    """InterFaceGAN's fit: a hyperplane an attribute."""
    import h5py
    from sklearn.svm import LinearSVC

    warnings.simplefilter("ignore")

    def fit() -> None:
        latents, labels = h5py.File(run / "samples.h5")["w"][()], h5py.File(run / "labels.h5")["labels"][:, 1::2]
        for column in labels.T:
            LinearSVC(dual=False).fit(latents, column > 0.5)

    return fit


FITS: dict[str, Callable[..., Callable[[], object]]] = {
    "fit-single": prepare_single,
    "fit-mixture": prepare_mixture,
    "GaussianMixture": partial(prepare_gmm, start="kmeans"),
    "GaussianMixture, random start": partial(prepare_gmm, start="random_from_data"),
    "LinearSVC": prepare_svc,
}
OURS = ("fit-single", "fit-mixture")
USUAL = {"samples": 20_000, "dimensions": 256, "categories": 12, "rows a step": 512, "threads": 1}
SIZES = {
    "samples": (5_000, 20_000, 40_000),
    "dimensions": (128, 256, 512),
    "categories": (12, 48, 96),
    "rows a step": (128, 512, 2_048),
    "threads": (1, 2),
}
STEPS = 100


def measured(name: str, run: Path, settings: dict[str, object]) -> Cost:
    """The fit, done in this process."""
    ticks: Ticks = []
    job = FITS[name](run, ticks, **settings)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what it has now
    before, idle, began = memory("VmRSS"), time.process_time(), time.perf_counter()
    job()
    seconds, peak = time.perf_counter() - began, memory("VmHWM")
    steps = [after - before for (before, _), (after, _) in pairwise(ticks)]
    halves = steps[: len(steps) // 2], steps[len(steps) // 2 :]  # those of fit-single's two reads
    step = sum(median(half) for half in halves) / 2 if ticks else math.nan
    start = ticks[0][1] - idle if ticks else math.nan
    return Cost(seconds, time.process_time() - idle, peak - before, start, step)


def memory(what: str) -> int:
    """Bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) * 1024


def cost(name: str, run: Path, **settings: object) -> Cost:
    """What the fit takes in a process of its own."""
    made = {"fit-single": "single.h5", "fit-mixture": "mixture.h5"}.get(name)
    if made:
        (run / made).unlink(missing_ok=True)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measured, name, run, settings).result()


def compare(folder: Path, n: int, dim: int, categories: int, rounds: int) -> list[dict[str, object]]:
    """All fits of one run, taking turns."""
    run = make_run(folder / "all", n, dim, categories)
    costs: dict[str, list[Cost]] = {name: [] for name in FITS}
    for _ in range(rounds):
        for name, found in costs.items():
            found.append(cost(name, run))
            print(f"{name}: {found[-1].seconds:.1f} s", file=sys.stderr)
    best = {name: min(found, key=lambda cost: cost.seconds) for name, found in costs.items()}
    latents = 4 * n * dim
    print(
        f"{n} samples, {dim} dimensions, {categories} categories: latents of {latents / MB:.0f} MB; least of {rounds}"
    )
    baselines = [name for name in FITS if name not in OURS]
    row(
        "fit",
        "s",
        "processor s",
        "MB",
        "of the latents",
        "ms a step",
        *(f"times as fast as {one}" for one in baselines),
    )
    row(*["---"] * (6 + len(baselines)))
    for name, least in best.items():
        speeds = [faster(least, best[baseline]) if name in OURS else "" for baseline in baselines]
        step = f"{1000 * least.step:.2f}" if name in OURS else ""
        row(
            name,
            f"{least.seconds:.1f}",
            f"{least.busy:.1f}",
            f"{least.peak / MB:.0f}",
            f"{least.peak / latents:.2f}",
            step,
            *speeds,
        )
    return [{"fit": name, **asdict(one)} for name, found in costs.items() for one in found]


def faster(one: Cost, other: Cost) -> str:
    """How many times as fast as the other, and by the processors' time, which neighbours disturb less."""
    return f"{other.seconds / one.seconds:.1f} ({other.busy / one.busy:.1f})"


def grow(folder: Path, rounds: int) -> list[dict[str, object]]:
    """Our fits of other sizes, one changed at a time."""
    made: dict[tuple[int, int, int], Path] = {}
    rows: list[dict[str, object]] = []
    usual = ", ".join(f"{name} {value}" for name, value in USUAL.items())
    print(f"{STEPS} steps, of {usual} but for one; least of {rounds}")
    row("fit", "what", "value", "processor s until the first step", "ms a step", "MB")
    row(*["---"] * 6)
    for name in OURS:
        for what, values in SIZES.items():
            if (name, what) == ("fit-mixture", "rows a step"):
                continue
            costs = []
            for value in values:
                now = USUAL | {what: value}
                size = now["samples"], now["dimensions"], now["categories"]
                made[size] = made.get(size) or make_run(folder / "-".join(map(str, size)), *size)
                os.environ["OMP_NUM_THREADS"] = str(now["threads"])
                more = {"batch": now["rows a step"]} if name == "fit-single" else {}  # fit-mixture: always 512
                found = [cost(name, made[size], steps=STEPS, **more) for _ in range(rounds)]
                least = min(found, key=lambda cost: cost.seconds)
                costs.append(least)
                rows.append({"fit": name, **now, **asdict(least)})
                row(name, what, str(value), f"{least.start:.2f}", f"{1000 * least.step:.2f}", f"{least.peak / MB:.0f}")
            powers = [f"{power(values, [getattr(one, of) for one in costs]):.2f}" for of in ("start", "step", "peak")]
            row(name, what, "exponent", *powers)
    return rows


def power(sizes: Sequence[float], found: Sequence[float]) -> float:
    """p of found ~ sizes^p."""
    return linear_regression([math.log(one) for one in sizes], [math.log(one) for one in found]).slope


def row(*cells: str) -> None:
    """Markdown."""
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=50_000, help="samples")
    parser.add_argument("--dim", type=int, default=512, help="of a latent")
    parser.add_argument("--categories", type=int, default=12, help="two an attribute")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(described(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        os.environ["GMMEDIT_STATE"] = name
        if options.growth:
            rows = grow(Path(name), options.rounds)
        else:
            rows = compare(Path(name), options.n, options.dim, options.categories, options.rounds)
    if options.json:
        options.json.write_text(json.dumps({"machine": described(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
