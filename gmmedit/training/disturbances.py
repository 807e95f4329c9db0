"""Random disturbances of rendered images, so that a classifier also reads a GAN's, which are softer and noisier."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

COARSE = 4  # squares a side of smooth random fields


@dataclass(frozen=True)
class Augmentation:
    """Strengths of the disturbances; each image gets its own, uniform from none to these."""

    blur: float = 1.0  # standard deviation in pixels
    noise: float = 0.08  # standard deviation; pixels are in [-1, 1]
    gain: float = 0.08  # each colour times 1 +- gain
    bias: float = 0.05  # each colour plus +- bias
    coarsest: float = 0.6  # a quarter of the images are resized by a factor between this and 1, and back
    shift: float = 0.0  # up to this share of the side, in whole pixels, each way

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Disturbed copies of square images (N, 3, S, S) in [-1, 1]; values may exceed the range a little."""
        n, size = len(images), images.shape[-1]
        if round(self.shift * size):
            images = shift_pixels(images, round(self.shift * size), generator)
        sigma, noise = torch.rand(2, n, 1, 1, 1, generator=generator)
        gain, bias = 2 * torch.rand(2, n, 3, 1, 1, generator=generator) - 1
        images = blur(images, sigma * self.blur)
        images = images + noise * self.noise * torch.randn(images.shape, generator=generator)
        scale = 1 - (1 - self.coarsest) * torch.rand((), generator=generator).item()
        small = F.interpolate(images[: n // 4], round(size * scale), mode="bilinear", antialias=True)
        large = F.interpolate(small, size, mode="bilinear")
        images = torch.cat([large, images[n // 4 :]])
        return images * (1 + gain * self.gain) + bias * self.bias


@dataclass(frozen=True)
class StrongAugmentation(Augmentation):
    """Also what a GAN does wrong: parts of another image shine through, shapes bend, colours are blotched."""

    ghost: float = 0.25  # highest opacity of parts of another image
    bend: float = 0.8  # standard deviation of a smooth displacement in pixels
    blotches: float = 0.06  # standard deviation of smooth colour noise

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See `Augmentation`."""
        n = len(images)
        ghost, bend, blotches = torch.rand(3, n, 1, 1, 1, generator=generator)
        opacity = ghost * self.ghost * smooth_field(n, 1, images.shape[-1], generator).clamp(0, 1)
        images = images.lerp(images.roll(1, 0), opacity)
        images = displace(images, bend * self.bend * smooth_field(n, 2, images.shape[-1], generator))
        images = super().__call__(images, generator)
        return images + blotches * self.blotches * smooth_field(n, 3, images.shape[-1], generator)


def smooth_field(n: int, channels: int, size: int, generator: torch.Generator) -> Tensor:
    """Smooth random fields (n, channels, size, size), of mean 0 and, where they were drawn, standard deviation 1."""
    coarse = torch.randn(n, channels, COARSE, COARSE, generator=generator)
    return F.interpolate(coarse, size, mode="bilinear", align_corners=True)


def displace(images: Tensor, pixels: Tensor) -> Tensor:
    """Square images (N, C, S, S) with every pixel taken from another place: by pixels (N, 2, S, S), right and down."""
    size = images.shape[-1]
    places = torch.linspace(-1, 1, size)
    grid = torch.stack(torch.meshgrid(places, places, indexing="xy"), dim=-1)  # (S, S, 2)
    moved = grid + pixels.permute(0, 2, 3, 1) * (2 / (size - 1))
    return F.grid_sample(images, moved, padding_mode="border", align_corners=True)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of square images (N, C, S, S) by sigma (N, 1, 1, 1) pixels, renormalised at the border."""
    pixels = torch.arange(images.shape[-1], dtype=torch.float32)
    exponent = (pixels[:, None] - pixels) ** 2 / (2 * sigma**2 + 1e-6)
    weights = torch.exp(-exponent.clamp(max=30))  # far below float32's precision, and never denormal
    matrix = weights / weights.sum(dim=-1, keepdim=True)
    return matrix @ images @ matrix.mT


def shift_pixels(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Square images (N, C, S, S), each moved by up to `most` pixels each way; the border is repeated."""
    size = images.shape[-1]
    padded = F.pad(images, (most, most, most, most), mode="replicate")
    moves = torch.randint(2 * most + 1, (len(images), 2), generator=generator).tolist()
    return torch.stack([image[:, y : y + size, x : x + size] for image, (y, x) in zip(padded, moves, strict=True)])
