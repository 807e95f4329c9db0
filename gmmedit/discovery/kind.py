"""Whether images are of the kind that an encoder was trained on: their mean beside that of the generator's images."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.run.rendering import shrink

SIDE = 16  # pixels along the longer side of the images that are compared
UNLIKE = 0.5  # distance from which images are taken for another kind; of the data that a generator learned: 0.1 to 0.2


@dataclass(frozen=True)
class ImageKind:
    """Of images: their mean (C, h, w), at most SIDE pixels long, and the standard deviation of its pixels."""

    mean: Tensor
    deviation: float

    def distance(self, images: Tensor) -> float:
        """How far the mean of images (N, C, H, W) lies from this one, in standard deviations (root mean square).

        inf: they have other sizes.
        """
        other = shrink(images, SIDE).float().mean(0)
        if other.shape != self.mean.shape:
            return float("inf")
        return float((other - self.mean).square().mean().sqrt()) / max(self.deviation, 1e-6)


def describe_kind(images: Tensor) -> ImageKind:
    """The kind of images (N, C, H, W) in [-1, 1]."""
    small = shrink(images, SIDE).float()
    return ImageKind(small.mean(0), float(small.var(0, correction=0).mean().sqrt()))


def read_kind(arrays: dict[str, Tensor]) -> ImageKind | None:
    """The kind in the datasets `kind/...` of a directions.h5; None: an older file, without."""
    mean, deviation = arrays.get("mean", torch.empty(0)), arrays.get("deviation", torch.empty(0))
    return ImageKind(mean, float(deviation)) if mean.ndim == 3 and deviation.numel() == 1 else None
