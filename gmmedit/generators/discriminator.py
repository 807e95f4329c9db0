"""The discriminator that comes with NVIDIA's pickles, up to its 4x4 features (Karras et al. 2020, residual form).

What follows there compares the images of a batch, and so is left out: features of an image depend on nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE, GAIN = 0.2, math.sqrt(2)  # of the leaky ReLU


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Shapes and constants. widths: of the largest resolution's input, then of each block's output down to 4x4."""

    resolution: int
    image_channels: int
    widths: tuple[int, ...]
    clamp: float | None = None
    taps: int = 4  # length of the low-pass filter


class Conv(nn.Module):
    """A convolution with equalised learning rate, and a leaky ReLU if it has a bias; down: halves the size."""

    resample_filter: Tensor

    def __init__(
        self, n_in: int, n_out: int, size: int, config: DiscriminatorConfig, down: bool = False, bias: bool = True
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_out, n_in, size, size))
        self.bias = nn.Parameter(torch.empty(n_out)) if bias else None
        self.weight_gain, self.clamp, self.down = 1 / math.sqrt(n_in * size * size), config.clamp, down
        if down:
            self.register_buffer("resample_filter", torch.empty(config.taps, config.taps))

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """x (N, n_in, H, W) to (N, n_out, H, W) or (N, n_out, H / 2, W / 2), times the gain."""
        weight, padding = self.weight * self.weight_gain, self.weight.shape[-1] // 2
        if self.down:
            x = low_pass(x, self.resample_filter, padding, stride=2 if padding == 0 else 1)
            x = F.conv2d(x, weight, stride=1 if padding == 0 else 2)
        else:
            x = F.conv2d(x, weight, padding=padding)
        if self.bias is None:
            return x * gain
        x = F.leaky_relu(x + self.bias[:, None, None], SLOPE) * (GAIN * gain)
        return x if self.clamp is None else x.clamp(-self.clamp * gain, self.clamp * gain)


def low_pass(x: Tensor, plane: Tensor, padding: int, stride: int) -> Tensor:
    """x (N, C, H, W) smoothed by the plane (T, T), with the padding of a convolution of 2 padding + 1 that follows."""
    taps, channels = len(plane), x.shape[1]
    before, after = padding + (taps - 1) // 2, padding + (taps - 2) // 2
    x = F.pad(x, (before, after, before, after))
    return F.conv2d(x, plane.flip(0, 1).expand(channels, 1, taps, taps), stride=stride, groups=channels)


class DiscriminatorBlock(nn.Module):
    """Two convolutions beside a 1x1 convolution; the first block begins with the image."""

    def __init__(self, n_in: int, n_out: int, config: DiscriminatorConfig, first: bool):
        super().__init__()
        if first:
            self.fromrgb = Conv(config.image_channels, n_in, 1, config)
        self.first = first
        self.conv0 = Conv(n_in, n_in, 3, config)
        self.conv1 = Conv(n_in, n_out, 3, config, down=True)
        self.skip = Conv(n_in, n_out, 1, config, down=True, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, n_in, H, W), of the first block images (N, C, H, W), to (N, n_out, H / 2, W / 2)."""
        x = self.fromrgb(x) if self.first else x
        return self.skip(x, math.sqrt(0.5)) + self.conv1(self.conv0(x), math.sqrt(0.5))


class Discriminator(nn.Module):
    """A feature network, see `features.Embedder`: images to the 4x4 maps before the discriminator's last part."""

    def __init__(self, config: DiscriminatorConfig, fingerprint: str = ""):
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        self.input_size = (config.resolution, config.resolution)
        self.channels: tuple[int, ...] = (config.image_channels,)
        self.image_shape = (config.image_channels, config.resolution, config.resolution)
        for i, (n_in, n_out) in enumerate(zip(config.widths, config.widths[1:], strict=False)):
            self.add_module(f"b{config.resolution >> i}", DiscriminatorBlock(n_in, n_out, config, first=i == 0))

    def features(self, images: Tensor) -> Tensor:
        """Images (N, C, R, R) in [-1, 1] to features (N, F), F = 16 x the last width."""
        x = images.float()
        for block in self.children():
            x = block(x)
        return x.flatten(1)
