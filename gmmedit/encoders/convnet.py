"""A convolutional encoder, and its safetensors file.

It gives chart coordinates of one latent for all layers and a deviation for each, so that the latents of an image stay
close to each other, as in encoder4editing (Tov et al. 2021), and close to those of the prior, on average.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.classifiers.preprocessing import resize
from gmmedit.encoders.base import Encoder
from gmmedit.networks import weights
from gmmedit.networks.layers import ResidualBlock, convolution
from gmmedit.spaces import Chart

KEY = "encoder"
LONGEST = 128  # pixels of the longer side of the images that the network sees; larger ones are shrunk
MOST_WIDTHS = 8
FIELDS = ("slope", "mean", "axes", "scale")  # of the chart


@dataclass(frozen=True)
class EncoderConfig:
    """What an encoder belongs to, and its shape."""

    generator: str  # fingerprint
    space: str
    image_shape: tuple[int, int, int]  # (channels, height, width)
    layers: int  # L
    dim: int  # D, of a latent
    coordinates: int  # D', of the chart
    widths: tuple[int, ...] = (32, 64, 96, 128)  # channels at half the size, a quarter, ...
    features: int = 320

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) that the network takes: whole multiples of its coarsest pixel."""
        _, height, width = self.image_shape
        scale, unit = min(1, LONGEST / max(height, width)), 2 ** len(self.widths)
        return max(1, round(height * scale / unit)) * unit, max(1, round(width * scale / unit)) * unit


class ConvEncoder(Encoder):
    """Residual, without normalisation layers, so that rows do not depend on each other."""

    def __init__(self, config: EncoderConfig, chart: Chart, fingerprint: str = ""):
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        self.space, self.generator, self.image_shape = config.space, config.generator, config.image_shape
        self.latent_shape = (config.layers, config.dim)
        for name, value in chart.arrays().items():
            self.register_buffer(f"chart_{name}", value)
        widths, unit = config.widths, 2 ** len(config.widths)
        height, width = config.input_size
        self.stem = nn.Sequential(convolution(4 * config.image_shape[0], widths[0]), ResidualBlock(widths[0]))
        self.stages = nn.ModuleList(
            nn.Sequential(convolution(n_in, n_out, stride=2), ResidualBlock(n_out)) for n_in, n_out in pairwise(widths)
        )
        self.to_features = nn.Linear(widths[-1] * (height // unit) * (width // unit), config.features)
        self.common = nn.Linear(config.features, config.coordinates)
        self.own = nn.Linear(config.features, config.layers * config.coordinates)
        nn.init.zeros_(self.own.weight)

    @property
    def chart(self) -> Chart:
        """The coordinates in which the network answers."""
        return Chart(**{name: getattr(self, f"chart_{name}") for name in FIELDS})

    def coordinates(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) in [-1, 1] to chart coordinates: common to all layers (N, D'), and each layer's
        deviation (N, L, D')."""
        x = F.pixel_unshuffle(resize(images, self.config.input_size), 2)
        x = self.stem(x.contiguous(memory_format=torch.channels_last))  # the faster layout
        for stage in self.stages:
            x = stage(F.silu(x))
        features = F.silu(self.to_features(F.silu(x).flatten(1)))
        return self.common(features), self.own(features).unflatten(1, (self.config.layers, -1))

    def encode(self, images: Tensor) -> Tensor:
        """See `Encoder.encode`."""
        common, own = self.coordinates(images)
        return self.chart.from_x(common[:, None] + own)


def save_encoder(encoder: ConvEncoder, path: Path) -> None:
    """Write weights, rounded to half precision, the chart and the configuration; a file at `path` is replaced."""
    tensors = {
        name: tensor if name.startswith("chart_") else tensor.half() for name, tensor in encoder.state_dict().items()
    }
    weights.write_weights(path, tensors, KEY, asdict(encoder.config))


def read_encoder(path: Path) -> ConvEncoder:
    """The encoder in a file of `save_encoder`, on the CPU. InputError: missing, damaged, or another kind of file."""
    return weights.read_network(path, KEY, build_encoder)


def build_encoder(settings: dict[str, Any], tensors: dict[str, Tensor], fingerprint: str) -> ConvEncoder:
    """The encoder of a configuration as its file holds it. KeyError, TypeError, ValueError: a wrong one."""
    chart = Chart(**{name: tensors[f"chart_{name}"].float() for name in FIELDS})
    config = parse_config(settings)
    check_chart(chart, config)
    return ConvEncoder(config, chart, fingerprint)


def check_chart(chart: Chart, config: EncoderConfig) -> None:
    """ValueError: the chart is not that of latents of `dim` numbers in as many coordinates as the network answers."""
    there = {name: tuple(value.shape) for name, value in chart.arrays().items()}
    wanted = {"slope": (), "mean": (config.dim,), "axes": (config.dim, config.coordinates),
              "scale": (config.coordinates,)}  # fmt: skip
    for name, shape in wanted.items():
        if there[name] != shape:
            raise ValueError(f"the chart's {name} has the shape {there[name]}, not {shape}")


def parse_config(settings: dict[str, Any]) -> EncoderConfig:
    """The configuration from its JSON, where tuples have become lists. ValueError, TypeError, KeyError: a wrong one."""
    tuples = {key: tuple(settings[key]) for key in ("image_shape", "widths")}
    if not 1 <= len(tuples["widths"]) <= MOST_WIDTHS:
        raise ValueError(f"{len(tuples['widths'])} widths")
    config = EncoderConfig(**settings | tuples)
    sizes = (*config.image_shape, *config.widths, config.layers, config.dim, config.coordinates, config.features)
    if len(config.image_shape) != 3 or not all(type(size) is int and size > 0 for size in sizes):
        raise ValueError("its sizes are no positive whole numbers")
    if config.space not in ("z", "w") or not isinstance(config.generator, str):
        raise ValueError(f"space {config.space!r}, generator {config.generator!r}")
    return config
