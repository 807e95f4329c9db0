"""BigGAN-deep (Brock et al. 2019, "Large Scale GAN Training for High Fidelity Natural Image Synthesis").

Parameter names are those of huggingface/pytorch-pretrained-BigGAN; the reader applies its spectral normalisation once.
There is no mapping network: w is what every block is conditioned on, z and the class's embedding, and one more number,
the position of the truncation in the table of batch statistics.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.errors import InputError
from gmmedit.generators.base import Generator

REDUCTION = 4  # a block's outer channels to its inner ones
LIMIT = 2.0  # absolute value of a latent's numbers
START = 16  # channels at 4x4, in units of the width


@dataclass(frozen=True)
class BigGANConfig:
    """The contents of config.json."""

    layers: tuple[tuple[bool, int, int], ...]  # of each block: whether it doubles, channels in and out, in widths
    attention: int  # the block before which self-attention stands
    width: int = 128
    z_dim: int = 128
    classes: int = 1000
    statistics: int = 51  # truncations, from 0 to 1, for which batch statistics are stored
    eps: float = 1e-4

    @property
    def resolution(self) -> int:
        """Pixels along a side of the images."""
        return 4 << sum(up for up, _, _ in self.layers)

    @property
    def condition(self) -> int:
        """Size of what blocks are conditioned on: z and the class's embedding."""
        return 2 * self.z_dim


class Statistics(nn.Module):
    """Batch normalisation by means and variances stored for a number of truncations."""

    running_means: Tensor
    running_vars: Tensor

    def __init__(self, channels: int, config: BigGANConfig):
        super().__init__()
        self.eps = config.eps
        self.register_buffer("running_means", torch.zeros(config.statistics, channels))
        self.register_buffer("running_vars", torch.ones(config.statistics, channels))

    def moments(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and 1 / deviation (N, C, 1, 1), interpolated at the places (N,) of the table."""
        low = place.floor().long().clamp(0, len(self.running_means) - 1)
        high = (low + 1).clamp(max=len(self.running_means) - 1)
        share = (place - low)[:, None]
        mean = self.running_means[low].lerp(self.running_means[high], share)
        variance = self.running_vars[low].lerp(self.running_vars[high], share)
        return mean[:, :, None, None], (variance + self.eps).rsqrt()[:, :, None, None]


class ConditionalNorm(Statistics):
    """Batch normalisation whose scale and shift are linear in the condition."""

    def __init__(self, channels: int, config: BigGANConfig):
        super().__init__(channels, config)
        self.scale = nn.Linear(config.condition, channels, bias=False)
        self.offset = nn.Linear(config.condition, channels, bias=False)

    def forward(self, x: Tensor, condition: Tensor, place: Tensor) -> Tensor:
        """x (N, C, H, W), normalised with the statistics at `place` (N,), modulated by `condition` (N, condition)."""
        mean, inverse = self.moments(place)
        scale = inverse * (1 + self.scale(condition))[:, :, None, None]
        return (x - mean.to(x.dtype)) * scale.to(x.dtype) + self.offset(condition)[:, :, None, None].to(x.dtype)


class Norm(Statistics):
    """Batch normalisation whose scale and shift are parameters."""

    def __init__(self, channels: int, config: BigGANConfig):
        super().__init__(channels, config)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, place: Tensor) -> Tensor:
        """x (N, C, H, W), normalised with the statistics at `place` (N,)."""
        mean, inverse = self.moments(place)
        scale = inverse * self.weight[:, None, None]
        return (x - mean.to(x.dtype)) * scale.to(x.dtype) + self.bias[:, None, None].to(x.dtype)


class Block(nn.Module):
    """A bottleneck of four convolutions; the residual branch drops channels and repeats pixels."""

    def __init__(self, up: bool, n_in: int, n_out: int, config: BigGANConfig):
        super().__init__()
        inner = n_in // REDUCTION
        self.up, self.n_out = up, n_out
        self.bn_0, self.conv_0 = ConditionalNorm(n_in, config), nn.Conv2d(n_in, inner, 1)
        self.bn_1, self.conv_1 = ConditionalNorm(inner, config), nn.Conv2d(inner, inner, 3, padding=1)
        self.bn_2, self.conv_2 = ConditionalNorm(inner, config), nn.Conv2d(inner, inner, 3, padding=1)
        self.bn_3, self.conv_3 = ConditionalNorm(inner, config), nn.Conv2d(inner, n_out, 1)

    def forward(self, x: Tensor, condition: Tensor, place: Tensor) -> Tensor:
        """x (N, n_in, H, W) to (N, n_out, H, W), or twice the sides if `up`."""
        residual = self.enlarge(x[:, : self.n_out])
        x = self.conv_0(F.relu(self.bn_0(x, condition, place)))
        x = self.conv_1(self.enlarge(F.relu(self.bn_1(x, condition, place))))
        x = self.conv_2(F.relu(self.bn_2(x, condition, place)))
        x = self.conv_3(F.relu(self.bn_3(x, condition, place)))
        return x + residual

    def enlarge(self, x: Tensor) -> Tensor:
        """x with every pixel repeated 2 x 2 times if `up`, else x."""
        return F.interpolate(x, scale_factor=2, mode="nearest") if self.up else x


class Attention(nn.Module):
    """Self-attention over pixels (Zhang et al. 2019), keys and values at half the resolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.snconv1x1_theta = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.snconv1x1_phi = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.snconv1x1_g = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.snconv1x1_o_conv = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) plus what its pixels attend to, scaled by `gamma`."""
        query = self.snconv1x1_theta(x).flatten(2)  # (N, C / 8, P)
        key = F.max_pool2d(self.snconv1x1_phi(x), 2).flatten(2)  # (N, C / 8, P / 4)
        value = F.max_pool2d(self.snconv1x1_g(x), 2).flatten(2)  # (N, C / 2, P / 4)
        share = (query.mT @ key).softmax(dim=-1)  # (N, P, P / 4)
        attended = (value @ share.mT).unflatten(2, x.shape[2:])
        return x + self.gamma.to(x.dtype) * self.snconv1x1_o_conv(attended)


class Synthesis(nn.Module):
    """W+ (N, 1 + blocks, condition + 1) to images."""

    def __init__(self, config: BigGANConfig):
        super().__init__()
        self.gen_z = nn.Linear(config.condition, 16 * START * config.width)
        blocks: list[nn.Module] = [Block(up, a * config.width, b * config.width, config) for up, a, b in config.layers]
        if config.attention < len(blocks):
            blocks.insert(config.attention, Attention(config.layers[config.attention][1] * config.width))
        self.layers = nn.ModuleList(blocks)
        self.bn = Norm(config.width, config)
        self.conv_to_rgb = nn.Conv2d(config.width, 3, 3, padding=1)

    def forward(self, ws: Tensor) -> Tensor:
        """W+ to images (N, 3, H, W) in [-1, 1]."""
        conditions, places = ws[..., :-1].unbind(1), ws[..., -1].unbind(1)
        x = self.gen_z(conditions[0]).reshape(len(ws), 4, 4, -1).permute(0, 3, 1, 2)
        block = 0
        for layer in self.layers:
            if isinstance(layer, Block):
                block += 1
                x = layer(x, conditions[block], places[block])
            else:
                x = layer(x)
        x = self.conv_to_rgb(F.relu(self.bn(x, places[-1])))
        return x.float().tanh()


class BigGAN(Generator):
    """The class-conditional generator: `map` builds w, `synthesize` takes w, or W+ with one w per block."""

    family = "BigGAN-deep"
    w_shape: tuple[int, int]

    def __init__(self, config: BigGANConfig):
        super().__init__()
        self.config = config
        self.embeddings = nn.Linear(config.classes, config.z_dim, bias=False)
        self.generator = Synthesis(config)
        self.z_dim, self.n_classes = config.z_dim, config.classes
        self.w_shape = (1 + len(config.layers), config.condition + 1)
        self.image_shape = (3, config.resolution, config.resolution)

    def map(self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """w (N, 2 z_dim + 1): psi z, the classes' embedding, and psi's position among the stored statistics.

        z is clamped to [-2, 2], outside of which the reference resamples. Without a mean w, `cutoff` has no effect.
        InputError: psi is not in [0, 1]. ValueError: no class is given.
        """
        if c is None:
            raise ValueError("this generator is conditional: every latent needs a class")
        place = self.place(psi)
        return torch.cat([psi * z.clamp(-LIMIT, LIMIT), self.embeddings(c), z.new_full((len(z), 1), place)], dim=1)

    def place(self, psi: float) -> float:
        """The position in the table of statistics at which the reference reads for a truncation psi.

        Between two entries it weights the lower one by the distance of psi from it, which the public weights expect.
        """
        if not 0 <= psi <= 1:
            raise InputError(f"BigGAN has no statistics for psi {psi:g}", hint="choose --psi between 0 and 1, e.g. 0.4")
        share, low = math.modf(psi / (1 / (self.config.statistics - 1)))
        return low + 1 - share if share else low

    def synthesize(self, w: Tensor) -> Tensor:
        """w or W+ to images (N, 3, H, W) in [-1, 1]."""
        if w.ndim == 2:
            w = w[:, None].expand(-1, self.w_shape[0], -1)
        image: Tensor = self.generator(w)
        return image
