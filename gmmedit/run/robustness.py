"""How much disturbance the labelling classifier bears, and how far two images lie apart: the units of later steps.

A constant such as "noise of 0.3" suits the classifier that it was found with and blinds another. So `label` measures,
on the first samples, up to which shift and noise the classifier still agrees with itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from gmmedit.mixture.objectives import split_bands
from gmmedit.run.disturbed import disturb
from gmmedit.run.rendering import shrink_to_compare
from gmmedit.runtime.batching import TILE
from gmmedit.runtime.execution import Execution

MEASURED_ON = 160  # number of first samples
AGREEMENT = 0.9  # least share of samples that keep their value, on average over the attributes
LARGEST_SHIFT = 1 / 32  # of the shorter side
PIXELS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)  # shifts
NOISES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)  # standard deviations, for pixels in [-1, 1]
DIGITS = 6  # of the contrast

Change = Callable[[Tensor, torch.Generator], Tensor]  # images to changed images


class Images(Protocol):
    """The images of the samples, and the labelling classifier."""

    def read(self, start: int, stop: int) -> Tensor:
        """Rows start to stop of samples.h5: latents or stored images, (M, ...)."""

    def show(self, rows: Tensor) -> Tensor:
        """Such rows as images (M, C, H, W) as shown."""

    def classify(self, images: Tensor) -> Tensor:
        """The logits (M, K) of images."""


@dataclass(frozen=True)
class Rung:
    """A change of images that is tried; those of one name form a ladder of growing sizes."""

    name: str
    size: float
    change: Change


def measure_robustness(
    images: Images, rungs: Sequence[Rung], sizes: Sequence[int], n: int, execution: Execution
) -> dict[str, Any]:
    """Plain data, measured in the main process on the first MEASURED_ON of n samples. sizes: values of each attribute.

    shift: the largest share of the shorter side, and noise: the largest standard deviation of pixels in [-1, 1], below
    the first at which fewer than AGREEMENT of the samples keep their values, on average over the attributes; 0: none.
    mirror: whether as many keep them when mirrored. contrast, bands: see `measure_contrast`.
    """
    samples = min(n, MEASURED_ON)

    def measure() -> dict[str, Any]:
        lost = torch.zeros(len(rungs), len(sizes), dtype=torch.int64)  # samples that change their value
        small = []
        for start in range(0, samples, TILE):
            execution.stop.check()
            stop = min(start + TILE, samples)
            tried = standing_rungs(rungs, lost, samples)
            compare = partial(compare_values, images, [rungs[i].change for i in tried], sizes, start)
            shrunk, *changed = execution.in_batches(compare, images.read(start, stop))
            small.append(shrunk)
            for i, differs in zip(tried, changed, strict=True):
                lost[i] += differs.sum(0)
            execution.tick(stop, samples, "robustness")
        standing = [rungs[i] for i in standing_rungs(rungs, lost, samples)]
        largest = {name: max((r.size for r in standing if r.name == name), default=0.0) for name in ("shift", "noise")}
        mirror = any(rung.name == "mirror" for rung in standing)
        return {**largest, "mirror": mirror, **measure_contrast(torch.cat(small))}

    return execution.processes.broadcast(measure)


def make_rungs(size: Sequence[int]) -> list[Rung]:
    """The changes that are tried on images of `size` (H, W) pixels."""
    side = min(size)
    shifts = [pixels / side for pixels in PIXELS if pixels <= side * LARGEST_SHIFT]
    return [
        *(Rung("shift", shift, partial(disturb, shift=shift, noise=0.0)) for shift in shifts),
        *(Rung("noise", noise, partial(disturb, shift=0.0, noise=noise)) for noise in NOISES),
        Rung("mirror", 1.0, lambda images, _: images.flip(-1)),
    ]


def standing_rungs(rungs: Sequence[Rung], lost: Tensor, samples: int) -> list[int]:
    """The numbers of the rungs below the first of their ladder that too many samples have `lost` (rungs, A)."""
    failed = (lost.double().mean(1) > (1 - AGREEMENT) * samples + 1e-9).tolist()
    least = {rung.name: rung.size for rung, fails in reversed(list(zip(rungs, failed, strict=True))) if fails}
    return [i for i, rung in enumerate(rungs) if rung.size < least.get(rung.name, float("inf"))]


def compare_values(
    images: Images, changes: Sequence[Change], sizes: Sequence[int], seed: int, rows: Tensor
) -> tuple[Tensor, ...]:
    """The rows' images (M, C, h, w) shrunk to compare, and for each change which values (M, A) it changes."""
    shown = images.show(rows)
    values = find_values(images.classify(shown), sizes)
    changed = (images.classify(change(shown, torch.Generator().manual_seed(seed))) for change in changes)
    return shrink_to_compare(shown), *(find_values(logits, sizes) != values for logits in changed)


def find_values(logits: Tensor, sizes: Sequence[int]) -> Tensor:
    """The most probable value of every attribute, (M, A), of logits (M, K)."""
    return torch.stack([part.argmax(1) for part in logits.split(list(sizes), dim=1)], dim=1)


def measure_contrast(images: Tensor) -> dict[str, Any]:
    """Mean absolute difference between each of the images (N, C, h, w) and the next one, in [0, 2]; 0 for one image.

    The unit of change of an image: how far two samples lie apart. `bands`: the same in each band (`split_bands`).
    """
    differences = images - images.roll(1, 0)
    contrast, *bands = (
        round(float(part.abs().double().mean()), DIGITS) for part in (differences, *split_bands(differences))
    )
    return {"contrast": contrast, "bands": bands}
