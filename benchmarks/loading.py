"""Memory and time that loading takes of a pickle of NVIDIA's form: 1024 pixels, G, D and G_ema, random weights.

    python benchmarks/loading.py [--json FILE] [--rounds 5]

Memory is the peak above an interpreter that has imported torch, in processes of their own; the ceiling for the time
is hashing the generator's numbers, which loading does besides everything else, as it gives their fingerprint.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
sys.path += [str(ROOT), str(ROOT / "tests")]

from machine import described  # noqa: E402
from nvidia_pickles import Persistent, node, random_network, write  # noqa: E402

LOAD = """
import hashlib, json, sys, time, torch
def peak():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak()
start = time.perf_counter()
from gmmedit.generators import load
network = load(sys.argv[1])
taken, seconds = peak() - before, time.perf_counter() - start
tensors = [tensor.contiguous().flatten() for tensor in network.state_dict().values()]
start = time.perf_counter()
digest = hashlib.sha256()
for tensor in tensors:
    digest.update(tensor.numpy())
hashing = time.perf_counter() - start
print(json.dumps({"needed": sum(t.nbytes for t in tensors), "taken": taken, "seconds": seconds, "hashing": hashing}))
"""


def discriminator(channels: tuple[int, ...]) -> Persistent:
    """The convolutions of NVIDIA's residual discriminator; `channels` are those of 4, 8, ... pixels."""
    shapes = [(channels[0], channels[0] + 1, 3, 3), (512, channels[0] * 16), (channels[-1], 3, 1, 1)]
    for inner, outer in itertools.pairwise(channels):
        shapes += [(outer, outer, 3, 3), (inner, outer, 3, 3), (inner, outer, 1, 1)]
    weights = {str(i): torch.nn.Parameter(torch.randn(shape)) for i, shape in enumerate(shapes)}
    return Persistent("Discriminator", {"_parameters": weights, "_buffers": {}, "_modules": {}})


def snapshot(path: Path, resolution: int) -> Path:
    """Channels of configuration F."""
    channels = tuple(min(32768 // 2**i, 512) for i in range(2, resolution.bit_length()))
    shape = {"resolution": resolution, "channels": channels, "conv_clamp": 256.0}
    training, average = random_network(0, **shape), random_network(1, **shape)
    return write(path, average, G=node(training, training.config), D=discriminator(channels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolution", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = snapshot(Path(folder) / "snapshot.pkl", options.resolution)
        size = path.stat().st_size
        command = [sys.executable, "-c", LOAD, str(path)]
        rounds = [
            json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
            for _ in range(options.rounds)
        ]
    middle = {name: statistics.median(row[name] for row in rounds) for name in rounds[0]}
    facts = middle | {"machine": described(), "file": size, "rounds": rounds}
    print(facts["machine"])
    print(f"file {size / 1e6:.0f} MB, of which the generator {middle['needed'] / 1e6:.0f} MB")
    print(f"peak memory {middle['taken'] / middle['needed']:.2f} x the generator ({middle['taken'] / 1e6:.0f} MB)")
    times = [row["seconds"] for row in rounds]
    print(f"time {middle['seconds'] / middle['hashing']:.1f} x hashing the generator ({middle['seconds']:.2f} s, "
          f"{min(times):.2f} to {max(times):.2f}; hashing {middle['hashing']:.2f} s)")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
