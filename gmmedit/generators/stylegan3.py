"""StyleGAN3 (Karras et al. 2021), configurations T and R, in plain PyTorch: no custom operator, any device.

Parameter names and arithmetic are those of NVIDIA's checkpoints. The signal starts as Fourier features, which
can be translated and rotated (`StyleGAN3.place`), and every nonlinearity runs between an up- and a downsampling
filter. Noise does not exist here.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.generators.base import Generator
from gmmedit.generators.mapping import FullyConnected, Mapping, MappingConfig, autocast_dtype, gaussian


@dataclass(frozen=True, kw_only=True)
class LayerConfig:
    """One synthesis layer. A filter's shape is (taps,), (taps, taps) for a radial one, None where there is none."""

    name: str
    n_in: int
    n_out: int
    kernel: int
    up: int
    down: int
    up_filter: tuple[int, ...] | None
    down_filter: tuple[int, ...] | None
    padding: tuple[int, int, int, int]  # x before, x after, y before, y after; negative: crop
    clamp: float | None
    to_rgb: bool

    def output_length(self, length: int, padding: int) -> int:
        """Pixels along an axis after the layer: convolution, doubling, low-pass filters, and what the padding adds."""
        taps = sum(shape[0] if shape else 1 for shape in (self.up_filter, self.down_filter))
        return ((length + self.kernel - 1) * self.up + padding - taps + 1) // self.down + 1


@dataclass(frozen=True, kw_only=True)
class StyleGAN3Config(MappingConfig):
    """Shapes and constants of a StyleGAN3, some of which its state dictionary does not tell."""

    resolution: int
    layers: tuple[LayerConfig, ...]
    input_channels: int
    input_size: tuple[int, int]  # (width, height)
    sampling_rate: float
    bandwidth: float
    output_scale: float
    image_channels: int = 3

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the images, from the input's size: StyleGAN-Human's are not square."""
        width, height = self.input_size
        for layer in self.layers:
            left, right, top, bottom = layer.padding
            width, height = layer.output_length(width, left + right), layer.output_length(height, top + bottom)
        return height, width


def upsample(x: Tensor, taps: Tensor | None, up: int, padding: tuple[int, int, int, int]) -> Tensor:
    """Insert up - 1 zeros after every sample, pad, and convolve with the taps along both axes, gain up^2."""
    left, right, top, bottom = padding
    if taps is None:
        return F.pad(x, padding)
    channels = x.shape[1]
    kernel = (taps * up).to(x.dtype).expand(channels, 1, 1, -1)
    x = F.conv_transpose2d(x, kernel, stride=(1, up), groups=channels)
    x = F.conv_transpose2d(x, kernel.mT, stride=(up, 1), groups=channels)
    before, after = len(taps) - 1, len(taps) - up  # of the whole convolution, beyond the padding asked for
    return F.pad(x, (left - before, right - after, top - before, bottom - after))


def downsample(x: Tensor, taps: Tensor | None, down: int) -> Tensor:
    """Convolve with the taps along both axes, or with a plane of taps, and keep every down-th sample."""
    if taps is None:
        return x[:, :, ::down, ::down]
    channels = x.shape[1]
    taps = taps.flip(*range(taps.ndim)).to(x.dtype)
    if taps.ndim == 2:
        return F.conv2d(x, taps.expand(channels, 1, -1, -1), stride=down, groups=channels)
    x = F.conv2d(x, taps.expand(channels, 1, 1, -1), stride=(1, down), groups=channels)
    return F.conv2d(x, taps[:, None].expand(channels, 1, -1, -1), stride=(down, 1), groups=channels)


class Fourier(nn.Module):
    """Fourier features of a plane that w and `StyleGAN3.place` rotate and translate."""

    transform: Tensor
    freqs: Tensor
    phases: Tensor

    def __init__(self, config: StyleGAN3Config):
        super().__init__()
        channels = config.input_channels
        self.width, self.height = config.input_size
        self.sampling_rate, self.bandwidth = config.sampling_rate, config.bandwidth
        self.weight = nn.Parameter(gaussian(channels, channels))
        self.affine = FullyConnected(config.w_dim, 4)
        self.register_buffer("transform", torch.eye(3, device="cpu"))  # from the image to the plane
        self.register_buffer("freqs", gaussian(channels, 2))
        self.register_buffer("phases", torch.rand(channels).sub_(0.5))

    def forward(self, w: Tensor) -> Tensor:
        """w (N, w_dim) to features (N, C, H, W)."""
        place = self.placement(w)  # (N, 3, 3)
        phases = self.phases + (self.freqs @ place[:, :2, 2:]).squeeze(2)
        freqs = self.freqs @ place[:, :2, :2]  # (N, C, 2)
        headroom = self.sampling_rate / 2 - self.bandwidth
        amplitudes = (1 - (freqs.norm(dim=2) - self.bandwidth) / headroom).clamp(0, 1)
        waves = torch.sin(2 * math.pi * (self.grid(w) @ freqs.mT[:, None] + phases[:, None, None]))  # (N, H, W, C)
        features = waves * amplitudes[:, None, None] @ (self.weight / math.sqrt(len(self.weight))).T
        return features.permute(0, 3, 1, 2)

    def placement(self, w: Tensor) -> Tensor:
        """Rotation and translation by w (N, w_dim), then by `transform`: homogeneous matrices (N, 3, 3)."""
        t = self.affine(w)
        cos, sin, x, y = (t / t[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        rotation = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1).reshape(-1, 3, 3)
        translation = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], dim=1).reshape(-1, 3, 3)
        return rotation @ translation @ self.transform

    def grid(self, like: Tensor) -> Tensor:
        """The centres of the samples (H, W, 2) as (x, y), with device and dtype of `like`."""
        sides = [
            ((torch.arange(n, device=like.device, dtype=like.dtype) + 0.5) / n - 0.5) * (n / self.sampling_rate)
            for n in (self.width, self.height)
        ]
        return torch.stack(torch.meshgrid(*sides, indexing="xy"), dim=2)


class Layer(nn.Module):
    """Modulated convolution, bias, and a leaky ReLU between an up- and a downsampling filter."""

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, config: LayerConfig, w_dim: int):
        super().__init__()
        self.config = config
        self.affine = FullyConnected(w_dim, config.n_in, bias=1.0)
        self.weight = nn.Parameter(gaussian(config.n_out, config.n_in, config.kernel, config.kernel))
        self.bias = nn.Parameter(torch.zeros(config.n_out))
        self.register_buffer("magnitude_ema", torch.ones([]))
        for name, shape in (("up_filter", config.up_filter), ("down_filter", config.down_filter)):
            self.register_buffer(name, None if shape is None else torch.zeros(shape))

    def forward(self, x: Tensor, w: Tensor, dtype: torch.dtype) -> Tensor:
        """x (N, n_in, H, W) and w (N, w_dim) to (N, n_out, H', W'); convolved in `dtype`, filtered in x's."""
        config = self.config
        x = upsample(self.convolve(x, w, dtype), self.up_filter, config.up, config.padding)
        if not config.to_rgb:
            x = F.leaky_relu(x, 0.2)
        if config.clamp is not None:
            x = F.hardtanh_(x, -config.clamp, config.clamp)
        return downsample(x, self.down_filter, config.down)

    def convolve(self, x: Tensor, w: Tensor, dtype: torch.dtype) -> Tensor:
        """The modulated convolution, by scaling input and output of an ordinary one instead of the weights.

        The leaky ReLU's gain sqrt 2 commutes with it and with the filters, so it is taken here, on fewer samples.
        """
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        style, gain = self.affine(w), self.magnitude_ema.rsqrt()
        if self.config.to_rgb:
            style = style * (gain / math.sqrt(weight[0].numel()))
            demodulation = torch.ones(1, 1, device=x.device)
        else:
            bias = bias * math.sqrt(2)
            weight = weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
            style = style * style.square().mean(dim=1, keepdim=True).rsqrt()
            power = weight.square().sum(dim=(2, 3))  # (O, I)
            demodulation = (style.square() @ power.T + 1e-8).rsqrt() * (gain * math.sqrt(2))  # (N, O)
        modulated = (x * style.to(x.dtype)[:, :, None, None]).to(dtype)
        convolved = F.conv2d(modulated, weight.to(dtype), padding=self.config.kernel - 1).to(x.dtype)
        return torch.addcmul(bias.to(x.dtype)[:, None, None], convolved, demodulation.to(x.dtype)[:, :, None, None])


class Synthesis(nn.Module):
    """W+ (N, L, w_dim) to images (N, C, H, W)."""

    def __init__(self, config: StyleGAN3Config):
        super().__init__()
        self.layer_names, self.output_scale = [layer.name for layer in config.layers], config.output_scale
        self.input = Fourier(config)
        for layer in config.layers:
            self.add_module(layer.name, Layer(layer, config.w_dim))

    def forward(self, ws: Tensor) -> Tensor:
        """W+ (N, L, w_dim) to images (N, C, H, W)."""
        ws = ws.to(self.input.weight.dtype)
        dtype = autocast_dtype(ws)
        first, *others = ws.unbind(dim=1)
        with torch.autocast(ws.device.type, enabled=False):  # half precision changes the waves
            x = self.input(first)
            if ws.device.type != "cpu":  # where filters in half precision take 15 times as long
                x = x.to(dtype)
            for name, w in zip(self.layer_names, others, strict=True):
                x = self.get_submodule(name)(x, w, dtype)
        return x.float() * self.output_scale


class StyleGAN3(Generator):
    """The generator: `map` z to w, `synthesize` w or W+ to images, `place` rotates and moves the images."""

    family = "StyleGAN3"
    w_shape: tuple[int, int]

    def __init__(self, config: StyleGAN3Config, fingerprint: str = ""):
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        self.mapping, self.synthesis = Mapping(config), Synthesis(config)
        self.z_dim, self.n_classes = config.z_dim, config.c_dim
        self.w_shape = (len(config.layers) + 1, config.w_dim)
        self.image_shape = (config.image_channels, *config.image_size)

    @property
    def w_avg(self) -> Tensor:
        """The moving average of w (w_dim,)."""
        return self.mapping.w_avg

    def styles(self) -> list[tuple[int, Tensor, bool]]:
        """See `Generator.styles`."""
        layers = [layer for layer in self.synthesis.children() if isinstance(layer, Layer)]
        return [(i, layer.affine.matrix.detach(), layer.config.to_rgb) for i, layer in enumerate(layers, 1)]

    def map(self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """z and c to truncated w: see `Generator.map`."""
        return self.truncate(self.mapping(z, c), psi, cutoff)

    def synthesize(self, w: Tensor) -> Tensor:
        """w or W+ to images: see `Generator.synthesize`."""
        if w.ndim == 2:
            w = w[:, None].expand(-1, self.w_shape[0], -1)
        return self.synthesis(w)

    @torch.no_grad()
    def place(self, translate: tuple[float, float] = (0.0, 0.0), degrees: float = 0.0) -> None:
        """Rotate all images anticlockwise, then translate them by (x, y) in image widths; replaces earlier calls."""
        angle = math.radians(degrees)
        cos, sin = math.cos(angle), math.sin(angle)
        forwards = torch.tensor([[cos, sin, translate[0]], [-sin, cos, translate[1]], [0, 0, 1]], dtype=torch.float64)
        self.synthesis.input.transform.copy_(forwards.inverse())
