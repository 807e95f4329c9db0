"""Preprocessing of images for a network: size, crop, colours, range. On tensors, on their device."""

import json
import math
from dataclasses import dataclass, fields
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit.errors import InputError

Colors = Literal["rgb", "bgr", "grey"]
Interpolation = Literal["bilinear", "bicubic", "nearest"]

LARGEST_EDGE = 1024  # pixels that an image may be resized to; the largest public classifiers take 518
LARGEST_AREA = 2 * LARGEST_EDGE**2
WITH_ALPHA = (2, 4)  # channels: grey or RGB, and alpha
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's "L"


def resize(images: Tensor, size: tuple[int, int], interpolation: Interpolation = "bilinear") -> Tensor:
    """Images (N, C, H, W) to (N, C, *size), with a low-pass filter when shrinking (except "nearest")."""
    if tuple(images.shape[-2:]) == size:
        return images
    if interpolation == "nearest":
        return F.interpolate(images, size, mode="nearest-exact")
    return F.interpolate(images, size, mode=interpolation, antialias=True)


def describe_conversion(have: int, takes: tuple[int, ...]) -> str:
    """What `recolored` does to images of `have` channels, in words; "" if nothing.

    InputError: the network takes neither these, RGB nor grey images.
    """
    wanted = target_channels(have, takes)
    if wanted == have:
        return ""
    done = ["alpha is composited over white"] if have in WITH_ALPHA else []
    if have <= 2 and wanted == 3:
        done.append("grey is repeated as red, green and blue")
    if have > 2 and wanted == 1:
        done.append("colours become grey by their luma")
    return ", ".join(done)


def target_channels(have: int, takes: tuple[int, ...]) -> int:
    """The channels to which images of `have` are converted for a network that takes those. InputError: impossible."""
    if have in takes:
        return have
    wanted = next((number for number in ((1, 3) if have <= 2 else (3, 1)) if number in takes), None)
    if wanted is None or not 1 <= have <= 4:
        numbers = " or ".join(str(number) for number in takes)
        message = f"the network takes images of {numbers} channels, these have {have}"
        raise InputError(message, hint="use a classifier of RGB or grey images")
    return wanted


def convert_channels(images: Tensor, takes: tuple[int, ...]) -> Tensor:
    """Images (N, C, H, W) in [-1, 1], grey, grey and alpha, RGB or RGBA, to the channels that a network takes.

    Alpha is composited over white, grey is repeated, colours become luma; gradients pass. InputError: as
    `describe_conversion`.
    """
    wanted = target_channels(images.shape[1], takes)
    if wanted == images.shape[1]:
        return images
    if images.shape[1] in WITH_ALPHA:
        images, alpha = images[:, :-1], ((images[:, -1:] + 1) / 2).clamp(0, 1)
        images = 1 - alpha * (1 - images)  # 1 is white
    if images.shape[1] == wanted:
        return images
    if wanted == 3:
        return images.expand(-1, 3, -1, -1)
    return torch.einsum("nchw,c->nhw", images, torch.tensor(LUMA).to(images))[:, None]


@dataclass(frozen=True)
class Preprocessing:
    """Images (N, C, H, W) in [-1, 1] to what the network takes, (N, 3 or 1, *size).

    Channels are converted, and images resized: directly to `size`, or to `edge` and then cropped to the centre. Pixels
    from 0 (black) to 1 (white) are mapped to `range`; `mean` is subtracted, and the result divided by `std`.
    """

    size: tuple[int, int]
    edge: int | tuple[int, int] | None = None  # of the shorter edge, or (height, width)
    interpolation: Interpolation = "bilinear"
    colors: Colors = "rgb"
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    crops: bool = True  # False: the whole of an image is kept, `size` is that of a square one
    divisor: int = 1  # the sides before the crop are rounded up to multiples of it
    share: tuple[float, float] | None = None  # of the shorter edge, (height, width) of a centre that is cut out first

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels that the network takes; other images are converted."""
        return (1,) if self.colors == "grey" else (3,)

    def record(self) -> str:
        """The fields that differ from their defaults, as JSON: a field added later changes no older fingerprint."""
        unusual = {each.name: value for each in fields(self) if (value := getattr(self, each.name)) != each.default}
        return json.dumps(unusual, sort_keys=True)

    def __call__(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):  # bfloat16 cannot resize
            images = convert_channels(images.float(), self.channels)
            images = images.flip(1) if self.colors == "bgr" else images
            if self.share:
                shorter = min(images.shape[-2:])
                images = crop_centre(images, (int(self.share[0] * shorter), int(self.share[1] * shorter)))
            wanted = self.resized(images.shape[-2], images.shape[-1])
            if max(math.prod(wanted), math.prod(self.size)) > LARGEST_AREA:
                have = f"{images.shape[-2]} x {images.shape[-1]}"
                message = f"images of {have} pixels would become {wanted[0]} x {wanted[1]}"
                raise InputError(message, hint=f"choose `size` and `resize` of at most {LARGEST_EDGE}")
            pixels = resize(images, wanted, self.interpolation)
            pixels = crop_centre(pixels, self.size) if self.crops else pixels
            pixels = ((pixels + 1) / 2).clamp(0, 1)  # bicubic overshoots
            black, white = self.range
            mean, std = (torch.tensor(values).to(pixels)[:, None, None] for values in (self.mean, self.std))
            return (black + (white - black) * pixels - mean) / std

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """The size before the crop, rounded down as Pillow-based processors do."""
        edge = self.edge or self.size
        if isinstance(edge, int):
            shorter = min(height, width)
            edge = edge * height // shorter, edge * width // shorter
        return -(-edge[0] // self.divisor) * self.divisor, -(-edge[1] // self.divisor) * self.divisor


def crop_centre(images: Tensor, size: tuple[int, int]) -> Tensor:
    """The centre (N, C, *size) of images, padded with black (-1) where they are smaller."""
    missing = [max(want - have, 0) for want, have in zip(size, images.shape[-2:], strict=True)]
    if any(missing):
        top, left = ((gap + 1) // 2 for gap in missing)
        images = F.pad(images, (left, missing[1] - left, top, missing[0] - top), value=-1)
    top, left = ((have - want) // 2 for have, want in zip(images.shape[-2:], size, strict=True))
    return images[..., top : top + size[0], left : left + size[1]]


def conversion_notes(taken: tuple[int, ...], name: str, channels: int) -> list[str]:
    """Notes on how images of `channels` are converted for a network that takes others; [] if they are not.

    InputError: as `describe_conversion`.
    """
    done = describe_conversion(channels, taken)
    wanted = " or ".join(str(number) for number in taken)
    return [f"{name} takes images of {wanted} channels, the generator's have {channels}: {done}"] if done else []
