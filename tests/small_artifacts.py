"""Tiny artifacts that several test files write."""

from pathlib import Path

import numpy as np

from gmmedit import artifacts

SMILE = [("smile", ["no", "yes"])]
GENERATOR = {"name": "avatars", "fingerprint": "a" * 64}
SAMPLES = artifacts.RunSpec(kind="samples", n=10, seed=3, config={"psi": 0.7}, sizes={"z_dim": 4}, generator=GENERATOR)
SINGLE = artifacts.RunSpec(kind="single", n=10, config={"fit": {"steps": 5}})


def z_rows(start: int, stop: int) -> np.ndarray:
    return np.stack([np.random.RandomState(i).randn(4) for i in range(start, stop)])


def write_samples(path: Path, spec: artifacts.RunSpec = SAMPLES, **options: bool) -> Path:
    with artifacts.create_rows(path, spec, chunk=4, **options) as out:
        for start, stop in out.pending():
            out.write(start, stop, {"z": z_rows(start, stop)})
        out.finish()
    return path


def begin_samples(path: Path) -> Path:
    """A partial file with its first chunk done."""
    with artifacts.create_rows(path, SAMPLES, chunk=4) as out:
        out.write(0, 4, {"z": z_rows(0, 4)})
    return path.with_name(path.name + ".partial")
