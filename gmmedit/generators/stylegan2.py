"""StyleGAN2 (Karras et al. 2020) in plain PyTorch: no custom operator, any device, double backward.

Parameter names and arithmetic are those of NVIDIA's PyTorch checkpoints (G_ema), so that a state
dictionary of theirs loads as it is. Modulation scales the input and the output of an ordinary
convolution instead of the weights, which gives the same numbers without grouped convolutions.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.errors import InputError
from gmmedit.generators.base import Generator
from gmmedit.generators.cached import Cached
from gmmedit.generators.mapping import FullyConnected, Mapping, MappingConfig, autocast_dtype, gaussian, linear
from gmmedit.generators.noise import Noise, NoiseMode
from gmmedit.generators.resampling import fir_filter, prepare_kernel, up_convolve, upsample
from gmmedit.networks import weights

Architecture = Literal["skip", "resnet", "orig"]
KEY = "stylegan2"


@dataclass(frozen=True, kw_only=True)
class StyleGAN2Config(MappingConfig):
    """Shapes and constants of a StyleGAN2, some of which its state dictionary does not tell."""

    resolution: int  # of the last block, as in its name
    channels: tuple[int, ...]  # of the blocks 4, 8, ... resolution
    const_size: tuple[int, int] = (4, 4)  # (height, width) that block 4 begins with; (4, 2): StyleGAN-Human
    image_channels: int = 3
    architecture: Architecture = "skip"
    resample_filter: tuple[float, ...] = (1, 3, 3, 1)
    conv_clamp: float | None = None
    use_noise: bool = True

    @property
    def resolutions(self) -> list[int]:
        """The resolutions of the blocks: 4, 8, ... resolution."""
        return [2**i for i in range(2, int(math.log2(self.resolution)) + 1)]

    def size_of(self, resolution: int) -> tuple[int, int]:
        """(height, width) of the images of that block."""
        height, width = self.const_size
        return height * resolution // 4, width * resolution // 4


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution (doubling the size if `up`), noise, bias, leaky ReLU, clamp."""

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(self, n_in: int, n_out: int, resolution: int, config: StyleGAN2Config, up: bool = False):
        super().__init__()
        self.up, self.conv_clamp = up, config.conv_clamp
        self.prepared = Cached(prepare_kernel)
        self.affine = FullyConnected(config.w_dim, n_in, bias=1.0)
        self.weight = nn.Parameter(gaussian(n_out, n_in, 3, 3))
        self.bias = nn.Parameter(torch.zeros(n_out))
        if up:
            self.register_buffer("resample_filter", fir_filter(config.resample_filter))
        self.noise_strength = None
        if config.use_noise:
            self.register_buffer("noise_const", gaussian(*config.size_of(resolution)))
            self.noise_strength = nn.Parameter(torch.zeros([]))

    def forward(self, x: Tensor, w: Tensor, noise: Noise, gain: float = 1.0) -> Tensor:
        """x (N, n_in, H, W) and w (N, w_dim) to (N, n_out, H', W'); `gain` scales the result."""
        gain = math.sqrt(2) * gain  # commutes with the leaky ReLU, so it is folded into the terms
        kernel, power = self.prepared(self.weight, self.up, x.dtype)
        style = self.affine(w)  # (N, I)
        demodulation = (linear(style.square(), power) + 1e-8).rsqrt() * gain  # (N, O)
        x = x * style.to(x.dtype)[:, :, None, None]
        x = up_convolve(x, kernel, self.resample_filter) if self.up else F.conv2d(x, kernel, padding=1)
        bias = (self.bias * gain).to(x.dtype)
        x = torch.addcmul(bias[:, None, None], x, demodulation.to(x.dtype)[:, :, None, None])
        if self.noise_strength is not None and noise.mode != "none":
            x += (noise.plane(self.noise_const, x) * (self.noise_strength * gain)).to(x.dtype)
        if self.conv_clamp is not None:  # before the leaky ReLU, whose gradient needs its result unchanged
            limit = self.conv_clamp * gain / math.sqrt(2)
            x = F.hardtanh_(x, -limit / 0.2, limit)  # as clamp_, with a cheaper gradient
        return F.leaky_relu_(x, 0.2)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to the image, without demodulation."""

    def __init__(self, n_in: int, config: StyleGAN2Config):
        super().__init__()
        self.conv_clamp = config.conv_clamp
        self.affine = FullyConnected(config.w_dim, n_in, bias=1.0)
        self.weight = nn.Parameter(gaussian(config.image_channels, n_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(config.image_channels))
        self.weight_gain = 1 / math.sqrt(n_in)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x (N, n_in, H, W) and w (N, w_dim) to an image (N, C, H, W)."""
        weight = self.weight.flatten(1) * (self.affine(w) * self.weight_gain)[:, None]  # (N, C, I)
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # (N, HW, I), without a copy of x
        colours = pixels @ weight.to(x.dtype).mT + self.bias.to(x.dtype)
        x = colours.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        return x if self.conv_clamp is None else F.hardtanh_(x, -self.conv_clamp, self.conv_clamp)


class Skip(nn.Module):
    """The residual branch of the `resnet` architecture: 1x1 convolution, doubled size, gain sqrt 1/2."""

    resample_filter: Tensor

    def __init__(self, n_in: int, n_out: int, config: StyleGAN2Config):
        super().__init__()
        self.weight = nn.Parameter(gaussian(n_out, n_in, 1, 1))
        self.weight_gain = 1 / math.sqrt(n_in)
        self.register_buffer("resample_filter", fir_filter(config.resample_filter))

    def forward(self, x: Tensor) -> Tensor:
        """x (N, n_in, H, W) to (N, n_out, 2H, 2W)."""
        weight = (self.weight * self.weight_gain * math.sqrt(0.5)).to(x.dtype)
        return upsample(F.conv2d(x, weight), self.resample_filter)


class Block(nn.Module):
    """One resolution: conv0 (doubling; none at 4x4), conv1, ToRGB where the architecture has one."""

    resample_filter: Tensor

    def __init__(self, n_in: int, n_out: int, resolution: int, config: StyleGAN2Config):
        super().__init__()
        first, last = resolution == 4, resolution == config.resolution
        self.register_buffer("resample_filter", fir_filter(config.resample_filter))  # doubles the image
        self.const = nn.Parameter(gaussian(n_out, *config.const_size)) if first else None
        self.conv0 = None if first else SynthesisLayer(n_in, n_out, resolution, config, up=True)
        self.conv1 = SynthesisLayer(n_out, n_out, resolution, config)
        self.torgb = ToRGB(n_out, config) if last or config.architecture == "skip" else None
        residual = config.architecture == "resnet" and not first
        self.skip = Skip(n_in, n_out, config) if residual else None

    def forward(
        self, x: Tensor, image: Tensor | None, ws: Iterator[Tensor], noise: Noise
    ) -> tuple[Tensor, Tensor | None]:
        """Features x and image of the block below to this block's; `ws` yields one w (N, w_dim) per layer."""
        if self.conv0 is None:
            x = self.conv1(x, next(ws), noise)
        elif self.skip is not None:
            residual = self.skip(x)
            x = self.conv1(self.conv0(x, next(ws), noise), next(ws), noise, gain=math.sqrt(0.5)) + residual
        else:
            x = self.conv1(self.conv0(x, next(ws), noise), next(ws), noise)
        if image is not None:
            image = upsample(image, self.resample_filter)
        if self.torgb is not None:
            colours = self.torgb(x, next(ws)).float()
            image = colours if image is None else image + colours
        return x, image


def first_layer(block: int) -> int:
    """The first layer of W+ that a block reads; the previous block's ToRGB shares it."""
    return max(2 * block - 1, 0)


class Synthesis(nn.Module):
    """W+ (N, L, w_dim) to images (N, C, H, W)."""

    def __init__(self, config: StyleGAN2Config):
        super().__init__()
        self.resolutions = config.resolutions
        n_in = 0
        for resolution, n_out in zip(self.resolutions, config.channels, strict=True):
            self.add_module(f"b{resolution}", Block(n_in, n_out, resolution, config))
            n_in = n_out

    def forward(self, ws: Tensor, mode: NoiseMode = "const", seed: int | None = None) -> Tensor:
        """W+ (N, L, w_dim) to images (N, C, H, W); `seed` of random noise."""
        noise = Noise(mode, None if seed is None else torch.Generator().manual_seed(seed))
        const = self.get_parameter("b4.const")
        ws = ws.to(const.dtype)
        x, image = const.to(autocast_dtype(ws)).expand(len(ws), -1, -1, -1), None
        with torch.autocast(ws.device.type, enabled=False):  # it would cast styles too, and weights again in every call
            for i, resolution in enumerate(self.resolutions):
                block_ws = iter(ws[:, first_layer(i) : 2 * i + 2].unbind(dim=1))
                x, image = self.get_submodule(f"b{resolution}")(x, image, block_ws, noise)
        assert image is not None
        return image


class StyleGAN2(Generator):
    """The generator: `map` z to w, `synthesize` w or W+ to images."""

    family = "StyleGAN2"
    w_shape: tuple[int, int]

    def __init__(self, config: StyleGAN2Config, fingerprint: str = ""):
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        self.mapping, self.synthesis = Mapping(config), Synthesis(config)
        self.z_dim, self.n_classes = config.z_dim, config.c_dim
        self.w_shape = (2 * len(config.resolutions), config.w_dim)
        self.image_shape = (config.image_channels, *config.size_of(config.resolution))

    @property
    def w_avg(self) -> Tensor:
        """The moving average of w (w_dim,)."""
        return self.mapping.w_avg

    def styles(self) -> list[tuple[int, Tensor, bool]]:
        """See `Generator.styles`."""
        found = []
        blocks = [block for block in self.synthesis.children() if isinstance(block, Block)]
        for i, block in enumerate(blocks):
            convolutions = [module for module in (block.conv0, block.conv1, block.torgb) if module is not None]
            for layer, module in enumerate(convolutions, first_layer(i)):
                found.append((layer, module.affine.matrix.detach(), module is block.torgb))
        return found

    def map(self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """z and c to truncated w: see `Generator.map`."""
        return self.truncate(self.mapping(z, c), psi, cutoff)

    def synthesize(self, w: Tensor) -> Tensor:
        """w or W+ to images: see `Generator.synthesize`."""
        if w.ndim == 2:
            w = w[:, None].expand(-1, self.w_shape[0], -1)
        return self.synthesis(w, self.noise_mode, self.noise_seed)


def save_generator(generator: StyleGAN2, path: Path, training: dict[str, Any] | None = None) -> None:
    """Write weights, configuration, and facts about the training as one safetensors file."""
    weights.write_weights(path, generator.state_dict(), KEY, asdict(generator.config), training)


def read_generator(path: Path) -> StyleGAN2:
    """Inverse of `save_generator`. InputError: damaged, or not a StyleGAN2 that gmmedit wrote."""
    config, tensors = weights.read_weights(path, KEY)
    try:
        lists = {name: tuple(value) for name, value in config.items() if isinstance(value, list)}
        generator = StyleGAN2(StyleGAN2Config(**config | lists), weights.fingerprint_tensors(tensors))
        generator.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: weights and configuration do not match: {reason}", hint=weights.HINT) from error
    return generator
