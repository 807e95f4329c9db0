"""PGGAN (Karras et al. 2018, "Progressive Growing of GANs") in plain PyTorch.

Parameter names are those of GenForce's and SeFa's checkpoints; formats/genforce.py renames InterFaceGAN's,
and mirrors the kernels of "fused" up-convolutions (see stylegan1.py).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.generators.base import Generator
from gmmedit.generators.mapping import gaussian, normalise


@dataclass(frozen=True)
class PGGANConfig:
    """The sizes of a PGGAN, which all follow from its state dictionary."""

    channels: tuple[int, ...]  # of the blocks 4, 8, ... resolution
    z_dim: int = 512
    image_channels: int = 3

    @property
    def resolution(self) -> int:
        """Pixels along a side of the images."""
        return 4 << (len(self.channels) - 1)


class Layer(nn.Module):
    """Normalisation of every pixel's features, doubling if `up`, convolution, leaky ReLU unless `linear`."""

    def __init__(self, n_in: int, n_out: int, kernel: int, padding: int, up: bool = False, linear: bool = False):
        super().__init__()
        self.weight = nn.Parameter(gaussian(n_out, n_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.scale = (1 if linear else math.sqrt(2)) / math.sqrt(n_in * kernel**2)
        self.padding, self.up, self.linear = padding, up, linear

    def forward(self, x: Tensor) -> Tensor:
        """x (N, n_in, H, W) to (N, n_out, H', W')."""
        x = normalise(x)
        if self.up:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)
        return x if self.linear else F.leaky_relu(x, 0.2)


class PGGAN(Generator):
    """The generator. It has no mapping and normalises z itself, so truncation would have no effect.

    `lod` (level of detail) of a training checkpoint: how many of the last doublings are not trained yet.
    """

    family = "PGGAN"

    def __init__(self, config: PGGANConfig, lod: int = 0):
        super().__init__()
        self.config, self.lod = config, lod
        n_in = config.z_dim
        for i, n_out in enumerate(config.channels):
            first = Layer(n_in, n_out, 3, padding=1, up=True) if i else Layer(n_in, n_out, 4, padding=3)
            self.add_module(f"layer{2 * i}", first)
            self.add_module(f"layer{2 * i + 1}", Layer(n_out, n_out, 3, padding=1))
            self.add_module(f"output{i}", Layer(n_out, config.image_channels, 1, padding=0, linear=True))
            n_in = n_out
        self.z_dim, self.w_shape, self.n_classes = config.z_dim, None, 0
        self.image_shape = (config.image_channels, config.resolution, config.resolution)

    def first_layer(self) -> Tensor | None:
        """See `Generator.first_layer`: a row for each channel and position."""
        weight = self.get_parameter("layer0.weight")
        return weight.detach().permute(0, 2, 3, 1).flatten(0, 2)

    def map(self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """z unchanged."""
        return z

    def synthesize(self, w: Tensor) -> Tensor:
        """Latents z (N, z_dim) to images (N, C, H, W), about [-1, 1]."""
        x, blocks = w[:, :, None, None], len(self.config.channels) - self.lod
        for i in range(2 * blocks):
            x = self.get_submodule(f"layer{i}")(x)
        image: Tensor = self.get_submodule(f"output{blocks - 1}")(x).float()
        return F.interpolate(image, scale_factor=2**self.lod, mode="nearest") if self.lod else image
