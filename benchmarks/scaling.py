"""Images a second of `gmmedit label` by one process, by two, ...: the whole command, and without its start.

    OMP_NUM_THREADS=1 python benchmarks/scaling.py -n 4096 --processes 1 2 --rounds 3

The shortest of the rounds counts: whatever else the machine does makes a round longer. What the start takes is
measured by the same command once all is labelled, when there is nothing left to do but to look at the file. Processor
time tells what being several costs even where others take a part of the processors.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from machine import described

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


def command(processes: int, device: str, *words: object) -> list[str]:
    """The command line; one process is started without torchrun."""
    launched = (*TORCHRUN, processes, "-m", "gmmedit", "--") if processes > 1 else ("-m", "gmmedit")
    return [sys.executable, *map(str, (*launched, *words, "--device", device, "--quiet"))]


def taken(words: list[str]) -> tuple[float, float]:
    """Seconds of the clock, and of all processors together."""
    began, before = time.perf_counter(), os.times()
    subprocess.run(words, check=True, capture_output=True)
    after = os.times()
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, busy


def least(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return min(one[0], other[0]), min(one[1], other[1])


def step(rows: int) -> float:
    """The shortest step of fit-single, in seconds: 40 two-valued attributes in 512 dimensions, a linear read."""
    import torch

    from gmmedit.mixture import Layout
    from gmmedit.mixture.fitting import ReadFit

    torch.set_flush_denormal(True)
    source = torch.Generator().manual_seed(0)
    label = torch.rand(5000, 40, generator=source)
    labels = torch.stack([label, 1 - label], 2).flatten(1)
    x = torch.randn(5000, 512, generator=source)
    fit = ReadFit(x, labels, Layout((2,) * 40), read="linear", steps=40, batch=rows)
    began = [time.perf_counter()]
    began += [time.perf_counter() for _ in fit]
    return min(after - before for before, after in pairwise(began))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=4096, help="samples")
    parser.add_argument("--gan", default="avatars")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--step", action="store_true", help="instead: a step of fit-single by its number of rows")
    given = parser.parse_args()
    if given.step:
        print(", ".join(f"{rows} rows {1000 * step(rows):.1f} ms" for rows in (512, 256, 64)))
        return
    print(f"label, {given.n} samples of {given.gan}; {described(given.device)}")
    whole = dict.fromkeys(given.processes, (float("inf"), float("inf")))
    start, same = dict(whole), set()
    with tempfile.TemporaryDirectory() as name:
        run, labels = Path(name), Path(name, "labels.h5")
        taken(command(1, given.device, "sample", "--gan", given.gan, "-n", given.n, "--run", run))
        for _ in range(given.rounds):
            for count in given.processes:  # side by side, so that all meet the same neighbours
                labels.unlink(missing_ok=True)
                words = command(count, given.device, "label", "--run", run)
                whole[count] = least(whole[count], taken(words))
                start[count] = least(start[count], taken(words))
                same.add(labels.read_bytes())
    first = given.processes[0]
    for count in given.processes:
        work, busy = (whole[count][i] - start[count][i] for i in (0, 1))
        base = whole[first][0] - start[first][0]
        print(
            f"{count} processes: {whole[count][0]:.1f} s, start {start[count][0]:.1f} s, {given.n / work:.0f} images/s,"
            f" {base / work:.2f} times {first}; {1000 * busy / given.n:.2f} ms of a processor an image"
        )
    print("all files are the same, byte for byte" if len(same) == 1 else f"{len(same)} different files")


if __name__ == "__main__":
    main()
