"""StyleGAN1 (Karras et al. 2019, "A Style-Based Generator Architecture for GANs") in plain PyTorch.

Parameter names are those of GenForce's and SeFa's checkpoints; formats/genforce.py renames InterFaceGAN's.
Up-convolutions double by nearest neighbour and convolve. Their "fused" form, a transposed convolution with the
kernel summed over 2x2 boxes, gives the same numbers with the kernel mirrored, which the reader does once.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.generators.base import Generator
from gmmedit.generators.mapping import gaussian, normalise
from gmmedit.generators.noise import Noise


@dataclass(frozen=True)
class StyleGAN1Config:
    """The sizes of a StyleGAN1, which all follow from its state dictionary."""

    channels: tuple[int, ...]  # of the blocks 4, 8, ... resolution
    z_dim: int = 512
    w_dim: int = 512
    label_size: int = 0
    image_channels: int = 3
    mapping_layers: int = 8
    mapping_width: int = 512

    @property
    def resolution(self) -> int:
        """Pixels along a side of the images."""
        return 4 << (len(self.channels) - 1)


class Dense(nn.Module):
    """Linear, its weight scaled by the learning-rate multiplier 0.01 and gain / sqrt(n_in), leaky ReLU."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.lr = 0.01
        self.scale = self.lr * math.sqrt(2 / n_in)
        self.weight = nn.Parameter(gaussian(n_out, n_in, lr=self.lr))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """x (N, n_in) to (N, n_out)."""
        return F.leaky_relu(F.linear(x, self.weight * self.scale, self.bias * self.lr), 0.2)


class Mapping(nn.Module):
    """z (N, z_dim), c (N, label_size) to w (N, w_dim); the label is embedded before both are normalised."""

    def __init__(self, config: StyleGAN1Config):
        super().__init__()
        self.layers = config.mapping_layers
        self.label_weight = nn.Parameter(gaussian(config.label_size, config.z_dim)) if config.label_size else None
        n_in = config.z_dim * (2 if config.label_size else 1)
        for i in range(self.layers):
            n_out = config.w_dim if i == self.layers - 1 else config.mapping_width
            self.add_module(f"dense{i}", Dense(n_in, n_out))
            n_in = n_out

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """z and c to w. ValueError: conditional, and no class is given."""
        if self.label_weight is not None:
            if c is None:
                raise ValueError("this generator is conditional: every latent needs a class")
            z = torch.cat([z, c @ self.label_weight], dim=1)
        x = normalise(z)
        for i in range(self.layers):
            x = self.get_submodule(f"dense{i}")(x)
        return x


class Truncation(nn.Module):
    """Keeps the moving average of w."""

    w_avg: Tensor

    def __init__(self, w_dim: int):
        super().__init__()
        self.register_buffer("w_avg", torch.zeros(w_dim))


class ApplyNoise(nn.Module):
    """Adds a plane of noise, with one strength per channel."""

    noise: Tensor

    def __init__(self, channels: int, resolution: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.register_buffer("noise", gaussian(1, 1, resolution, resolution))

    def forward(self, x: Tensor, noise: Noise) -> Tensor:
        """x (N, C, H, W) plus the noise of that mode."""
        if noise.mode == "none":
            return x
        return x + (noise.plane(self.noise, x) * self.weight[:, None, None]).to(x.dtype)


class Style(nn.Module):
    """Instance normalisation, then scale and shift by linear functions of w (AdaIN)."""

    def __init__(self, w_dim: int, channels: int):
        super().__init__()
        self.weight = nn.Parameter(gaussian(2 * channels, w_dim))
        self.bias = nn.Parameter(torch.zeros(2 * channels))
        self.scale = 1 / math.sqrt(w_dim)

    @property
    def matrix(self) -> Tensor:
        """The matrix (2 * channels, w_dim) that multiplies w, the gain included."""
        return self.weight * self.scale

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x (N, C, H, W), normalised per image and channel, with scale and shift from w (N, w_dim)."""
        scale, shift = F.linear(w, self.matrix, self.bias)[:, :, None, None].chunk(2, dim=1)
        x = x - x.mean(dim=(2, 3), keepdim=True)
        x = x / (x.square().mean(dim=(2, 3), keepdim=True) + 1e-8).sqrt()
        return x * (scale + 1).to(x.dtype) + shift.to(x.dtype)


class Blur(nn.Module):
    """A fixed low-pass filter, depthwise."""

    kernel: Tensor

    def __init__(self, channels: int):
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0], device="cpu")
        self.register_buffer("kernel", (torch.outer(line, line) / 16).expand(channels, 1, 3, 3).clone())

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W), blurred."""
        return F.conv2d(x, self.kernel.to(x.dtype), padding=1, groups=x.shape[1])


class Layer(nn.Module):
    """[Double and blur around] a 3x3 convolution, noise, bias, leaky ReLU, style; the first is a constant."""

    def __init__(self, n_in: int, n_out: int, resolution: int, w_dim: int, up: bool):
        super().__init__()
        self.const = nn.Parameter(torch.ones(1, n_out, 4, 4)) if n_in == 0 else None
        if self.const is None:
            self.weight = nn.Parameter(gaussian(n_out, n_in, 3, 3))
            self.scale = math.sqrt(2 / (9 * n_in))
        self.blur = Blur(n_out) if up else None
        self.apply_noise = ApplyNoise(n_out, resolution)
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.style = Style(w_dim, n_out)

    def forward(self, x: Tensor | None, w: Tensor, noise: Noise) -> Tensor:
        """x (N, n_in, H, W), None for the first layer, to (N, n_out, H', W')."""
        x = self.apply_noise(self.convolve(x, len(w)), noise)
        x = F.leaky_relu(x + self.bias.to(x.dtype)[:, None, None], 0.2)
        return self.style(x, w)

    def convolve(self, x: Tensor | None, rows: int) -> Tensor:
        """The convolution alone; for the first layer the constant, repeated for `rows` images."""
        if self.const is not None or x is None:
            assert self.const is not None
            return self.const.expand(rows, -1, -1, -1)
        if self.blur is None:
            return F.conv2d(x, self.weight * self.scale, padding=1)
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        return self.blur(F.conv2d(x, self.weight * self.scale, padding=1))


class Output(nn.Module):
    """1x1 convolution to the image."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.weight = nn.Parameter(gaussian(n_out, n_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.scale = 1 / math.sqrt(n_in)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, n_in, H, W) to an image (N, n_out, H, W)."""
        return F.conv2d(x, self.weight * self.scale, self.bias)


class Synthesis(nn.Module):
    """W+ (N, L, w_dim) to images; every resolution has two layers and an output of its own."""

    def __init__(self, config: StyleGAN1Config):
        super().__init__()
        self.blocks = len(config.channels)
        n_in = 0
        for i, n_out in enumerate(config.channels):
            self.add_module(f"layer{2 * i}", Layer(n_in, n_out, 4 << i, config.w_dim, up=i > 0))
            self.add_module(f"layer{2 * i + 1}", Layer(n_out, n_out, 4 << i, config.w_dim, up=False))
            self.add_module(f"output{i}", Output(n_out, config.image_channels))
            n_in = n_out

    def used(self, lod: int) -> int:
        """How many layers the image of a level of detail depends on."""
        return 2 * (self.blocks - lod)

    def forward(self, ws: Tensor, noise: Noise, lod: int) -> Tensor:
        """W+ (N, L, w_dim) to images (N, C, H, W)."""
        x = None
        for i in range(self.used(lod)):
            x = self.get_submodule(f"layer{i}")(x, ws[:, i], noise)
        image: Tensor = self.get_submodule(f"output{self.blocks - lod - 1}")(x).float()
        return F.interpolate(image, scale_factor=2**lod, mode="nearest") if lod else image


class StyleGAN1(Generator):
    """The generator. `lod` (level of detail) of a training checkpoint: how many doublings are not trained yet."""

    family = "StyleGAN1"
    w_shape: tuple[int, int]

    def __init__(self, config: StyleGAN1Config, lod: int = 0):
        super().__init__()
        self.config, self.lod = config, lod
        self.mapping, self.truncation = Mapping(config), Truncation(config.w_dim)
        self.synthesis = Synthesis(config)
        self.z_dim, self.n_classes = config.z_dim, config.label_size
        self.w_shape = (2 * len(config.channels), config.w_dim)
        self.image_shape = (config.image_channels, config.resolution, config.resolution)

    @property
    def w_avg(self) -> Tensor:
        """The moving average of w (w_dim,)."""
        return self.truncation.w_avg

    def styles(self) -> list[tuple[int, Tensor, bool]]:
        """See `Generator.styles`. The style of an AdaIN is the scales of all channels, then their shifts."""
        layers = [layer for layer in self.synthesis.children() if isinstance(layer, Layer)]
        used = layers[: self.synthesis.used(self.lod)]
        return [(i, layer.style.matrix.detach(), False) for i, layer in enumerate(used)]

    def map(self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """z and c to truncated w: see `Generator.map`; in z's precision even under autocast."""
        with torch.autocast(z.device.type, enabled=False):
            return self.truncate(self.mapping(z, c), psi, cutoff)

    def synthesize(self, w: Tensor) -> Tensor:
        """w or W+ to images: see `Generator.synthesize`."""
        if w.ndim == 2:
            w = w[:, None].expand(-1, self.w_shape[0], -1)
        source = None if self.noise_seed is None else torch.Generator().manual_seed(self.noise_seed)
        return self.synthesis(w, Noise(self.noise_mode, source), self.lod)
