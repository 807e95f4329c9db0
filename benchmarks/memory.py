"""Peak memory of `sample`, `label` and `evaluate` at two numbers of samples: python benchmarks/memory.py [FEW MANY]

The generator is a tiny network of 32-pixel images, so that the number of samples is all that differs. Each of the
three runs in a process of its own. Exit status 1: one needs more than GROWTH times as much for the many as for the few.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

GROWTH = 1.1
FEW, MANY = 2_000, 50_000
NETWORK = """
import torch
from torch import nn


class TinyGenerator(nn.Module):
    z_dim = 6

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3 * 32 * 32))

    def forward(self, z):
        return self.layers(z).tanh().reshape(-1, 3, 32, 32)


def label():
    generator = TinyGenerator()
    with torch.no_grad():
        images = generator(torch.randn(500, 6, generator=torch.Generator().manual_seed(1)))
    reads = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2)) / 8
    middle = torch.einsum("nchw,kchw->nk", images, reads).median(0).values
    return lambda x: torch.einsum("nchw,kchw->nk", x, reads) - middle
"""
YAML = """file: network.py:label
input: {size: 32, range: [-1, 1]}
activation: sigmoid
attributes: {one: {}, other: {}}
"""
MEASURED = ("sample", "label", "evaluate")


def peaks(folder: Path, n: int) -> dict[str, float]:
    """MB of each measured stage, at n samples drawn and n evaluated."""
    run = folder / str(n)
    more = {
        "sample": ["--gan", str(folder / "network.py") + ":TinyGenerator", "-n", n],
        "label": ["--classifier", folder / "network.yaml"],
        "evaluate": ["-n", n, "--editors", "mixture", "--classifier", folder / "evaluator.yaml"],
    }
    found = {}
    for stage in MEASURED:
        if stage == "evaluate":
            subprocess.run([sys.executable, "-c", FIT, str(run)], check=True)
        words = [stage, *map(str, more[stage]), "--run", str(run), "--batch", "64", "--quiet"]
        made = subprocess.run([sys.executable, "-c", MEASURE, *words], check=True, stdout=subprocess.PIPE, text=True)
        found[stage] = float(made.stdout.split()[-1])
    return found


FIT = """
import sys
from gmmedit.cli.app import app
for stage in ("fit-single", "fit-mixture"):
    app([stage, "--steps", "5", "--quiet", "--run", sys.argv[1]], standalone_mode=False)
"""


MEASURE = """
import resource
from gmmedit.cli.app import app
try:
    app()
except SystemExit as end:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    raise
"""


def main() -> None:
    few, many = map(int, sys.argv[1:]) if len(sys.argv) > 1 else (FEW, MANY)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["GMMEDIT_STATE"] = name
        (folder / "network.py").write_text(NETWORK)
        (folder / "network.yaml").write_text(YAML)
        (folder / "evaluator.yaml").write_text(YAML)
        small, large = peaks(folder, few), peaks(folder, many)
    print(f"{'stage':10} {few:>8} {many:>8}  growth")
    for stage in MEASURED:
        growth = large[stage] / small[stage]
        print(f"{stage:10} {small[stage]:5.0f} MB {large[stage]:5.0f} MB  {growth:.3f}")
    if any(large[stage] > GROWTH * small[stage] for stage in MEASURED):
        sys.exit(1)


if __name__ == "__main__":
    main()
