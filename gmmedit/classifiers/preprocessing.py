"""What a network wants its pictures to look like: size, crop, colours, range. All on tensors, on their device."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit.errors import InputError

Colors = Literal["rgb", "bgr", "grey"]
Interpolation = Literal["bilinear", "bicubic", "nearest"]

MOST_EDGE = 1024  # pixels that a picture may be resized to; the largest public classifiers see 518
MOST_PIXELS = 2 * MOST_EDGE**2
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's "L"


def resize(images: Tensor, size: tuple[int, int], interpolation: Interpolation = "bilinear") -> Tensor:
    """Images (N, C, H, W) of any size to (N, C, *size), with a low-pass where that shrinks ("nearest" has none)."""
    if tuple(images.shape[-2:]) == size:
        return images
    if interpolation == "nearest":
        return F.interpolate(images, size, mode="nearest-exact")
    return F.interpolate(images, size, mode=interpolation, antialias=True)


@dataclass(frozen=True)
class Preprocessing:
    """Images (N, 3 or 1, H, W) in [-1, 1] to what the network takes, (N, C, *size).

    They are resized, to `size` straight away or so that their shorter edge becomes `edge` before the centre is cut
    out; their pixels then go from 0 (black) and 1 (white) to `range`; `mean` is subtracted, `std` divided by.
    """

    size: tuple[int, int]
    edge: int | None = None
    interpolation: Interpolation = "bilinear"
    colors: Colors = "rgb"
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @property
    def channels(self) -> tuple[int, ...]:
        """How many the images may have."""
        return (1, 3) if self.colors == "grey" else (3,)

    def __call__(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):  # bfloat16 cannot resize
            images = self.colored(images.float())
            wanted = self.resized(images.shape[-2], images.shape[-1])
            if max(math.prod(wanted), math.prod(self.size)) > MOST_PIXELS:
                have = f"{images.shape[-2]} x {images.shape[-1]}"
                message = f"pictures of {have} pixels would become {wanted[0]} x {wanted[1]}"
                raise InputError(message, hint=f"`size` and `resize` of at most {MOST_EDGE}")
            pixels = resize(images, wanted, self.interpolation)
            pixels = ((cropped(pixels, self.size) + 1) / 2).clamp(0, 1)  # bicubic overshoots
            black, white = self.range
            mean, std = (torch.tensor(values).to(pixels)[:, None, None] for values in (self.mean, self.std))
            return (black + (white - black) * pixels - mean) / std

    def colored(self, images: Tensor) -> Tensor:
        if images.shape[1] not in self.channels:
            message = f"the network takes pictures of {self.channels[-1]} channels, these have {images.shape[1]}"
            raise InputError(message, hint="input: {colors: grey} describes a network of one channel")
        if self.colors == "grey" and images.shape[1] == 3:
            return torch.einsum("nchw,c->nhw", images, torch.tensor(LUMA).to(images))[:, None]
        return images.flip(1) if self.colors == "bgr" else images

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """The size before the crop, rounded down as Pillow-based processors do."""
        if self.edge is None:
            return self.size
        shorter = min(height, width)
        return self.edge * height // shorter, self.edge * width // shorter


def cropped(images: Tensor, size: tuple[int, int]) -> Tensor:
    """The centre (N, C, *size) of images, which are padded with black (-1) where they are smaller."""
    missing = [max(want - have, 0) for want, have in zip(size, images.shape[-2:], strict=True)]
    if any(missing):
        top, left = ((gap + 1) // 2 for gap in missing)
        images = F.pad(images, (left, missing[1] - left, top, missing[0] - top), value=-1)
    top, left = ((have - want) // 2 for have, want in zip(images.shape[-2:], size, strict=True))
    return images[..., top : top + size[0], left : left + size[1]]
