"""The networks of a BiGAN with causal latents (CCIG, Huang et al. 2024), and their file.

A latent w has two blocks: `causes`, which structural equations make of noise and whose signs are the labels, and
`rest`, standard normal noise. Rows never depend on each other. One file holds all; generator, encoder and classifier
of it have one fingerprint.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.networks import weights
from gmmedit.networks.rest import RestGivenCauses
from gmmedit.networks.scales import Scale, parse_scale
from gmmedit.networks.structural import StructuralEquations, node_slices

KEY = "bigan"
CAUSE_SCALE = 0.5  # of the causes in the networks' input: logistic noise has a deviation of 1.8
FEATURES = 256  # of the encoder
MOST_ATTRIBUTES, MOST_VALUES, MOST_BLOCKS = 64, 64, 8


@dataclass(frozen=True)
class BiGANConfig:
    """The shape of a BiGAN, and the attributes that its first dims stand for."""

    attributes: tuple[tuple[str, tuple[str, ...]], ...]  # names and values
    resolution: int
    channels: tuple[int, ...]  # of the blocks of 4, 8, ... resolution pixels
    rest: int  # dims besides the causes
    image_channels: int = 3
    attention: bool = False  # self-attention at the block before the last
    scales: tuple[Scale | None, ...] = ()  # of each attribute; None: it is no number. Empty: none is
    given: bool = False  # the networks' rest depends on the causes, see `rest`; not while they are trained

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of values of each attribute."""
        return tuple(len(values) for _, values in self.attributes)

    @property
    def causes(self) -> int:
        """The number of dims that the attributes have."""
        return node_slices(self.counts, self.scales)[-1].stop

    @property
    def dim(self) -> int:
        """D, the size of a latent."""
        return self.causes + self.rest

    @property
    def blocks(self) -> dict[str, slice]:
        """The parts of a latent."""
        return {"causes": slice(0, self.causes), "rest": slice(self.causes, self.dim)}


class Attention(nn.Module):
    """Self-attention over the pixels of x (N, C, H, W), added to it (Zhang et al. 2019); the identity at first."""

    def __init__(self, width: int):
        super().__init__()
        self.inside = nn.Conv2d(width, 3 * (width // 2), 1)
        self.outside = nn.Conv2d(width // 2, width, 1)
        nn.init.zeros_(self.outside.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) to the same shape."""
        query, key, value = self.inside(x).flatten(2).transpose(1, 2).chunk(3, dim=-1)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return x + self.outside(mixed.transpose(1, 2).unflatten(2, x.shape[2:]))


class UpBlock(nn.Module):
    """A residual block that doubles the size, if `up`; the latent scales and shifts its normalised features."""

    def __init__(self, n_in: int, n_out: int, dim: int, up: bool):
        super().__init__()
        self.up = up
        self.first, self.second = nn.Conv2d(n_in, n_out, 3, padding=1), nn.Conv2d(n_out, n_out, 3, padding=1)
        self.skip = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()
        self.to_first, self.to_second = nn.Linear(dim, 2 * n_in), nn.Linear(dim, 2 * n_out)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        """x (N, n_in, H, W) and latents (N, D) to (N, n_out, H', W')."""
        y = F.silu(modulate(x, self.to_first(latent)))
        if self.up:
            x, y = (F.interpolate(each, scale_factor=2, mode="nearest") for each in (x, y))
        y = F.silu(modulate(self.first(y), self.to_second(latent)))
        return self.skip(x) + self.second(y)


def modulate(x: Tensor, scale_and_shift: Tensor) -> Tensor:
    """Features (N, C, H, W), normalised in every pixel, scaled and shifted by (N, 2 C)."""
    scale, shift = scale_and_shift[:, :, None, None].chunk(2, dim=1)
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt() * (1 + scale) + shift


class DownBlock(nn.Module):
    """A residual block that halves the size; without normalisation, so that rows do not depend on each other."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.first, self.second = nn.Conv2d(n_in, n_out, 3, padding=1), nn.Conv2d(n_out, n_out, 3, padding=1)
        self.skip = nn.Conv2d(n_in, n_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, n_in, H, W) to (N, n_out, H / 2, W / 2)."""
        y = self.second(F.silu(self.first(F.silu(x))))
        return F.avg_pool2d(y + self.skip(x), 2)


class Synthesis(nn.Module):
    """Latents (N, D), scaled, to images (N, C, H, W)."""

    def __init__(self, config: BiGANConfig):
        super().__init__()
        widths, dim = config.channels, config.dim
        self.start = nn.Linear(dim, widths[0] * 16)
        pairs = zip((widths[0], *widths), widths, strict=False)
        self.blocks = nn.ModuleList(UpBlock(n_in, n_out, dim, up=i > 0) for i, (n_in, n_out) in enumerate(pairs))
        self.attention = Attention(widths[-2]) if config.attention else None
        self.end = nn.Conv2d(widths[-1], config.image_channels, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        """Latents (N, D), scaled, to images (N, C, H, W) in [-1, 1]."""
        x = self.start(latent).unflatten(1, (-1, 4, 4))
        for i, block in enumerate(self.blocks):
            if self.attention is not None and i == len(self.blocks) - 1:
                x = self.attention(x)
            x = block(x, latent)
        return torch.tanh(self.end(F.silu(x)).float())  # in half precision it would be -1 exactly, without a gradient


class Trunk(nn.Module):
    """Images (N, C, H, W) to features (N, F); the encoder and the critic have one each."""

    def __init__(self, config: BiGANConfig, features: int):
        super().__init__()
        widths = config.channels[::-1]
        self.stem = nn.Conv2d(config.image_channels, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(DownBlock(n_in, n_out) for n_in, n_out in pairwise(widths))
        self.attention = Attention(widths[1]) if config.attention else None
        self.to_features = nn.Linear(widths[-1] * 16, features)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to features (N, F)."""
        x = self.stem(images)
        for i, block in enumerate(self.blocks):
            x = block(x)
            if self.attention is not None and i == 0:
                x = self.attention(x)
        return F.silu(self.to_features(F.silu(x).flatten(1)))


class Recognition(nn.Module):
    """The encoder: images to the mean and the log-variance (N, D) of their latents."""

    def __init__(self, config: BiGANConfig):
        super().__init__()
        self.trunk = Trunk(config, FEATURES)
        self.head = nn.Linear(FEATURES, 2 * config.dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) in [-1, 1] to means and log-variances (N, D)."""
        mean, log_variance = self.head(self.trunk(images)).chunk(2, dim=1)
        return mean, log_variance.clamp(-8, 2)


class BiGAN(nn.Module):
    """Structural equations, generator and encoder."""

    def __init__(self, config: BiGANConfig, fingerprint: str = ""):
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        self.equations = StructuralEquations(config.counts, scales=config.scales)
        self.synthesis, self.recognition = Synthesis(config), Recognition(config)
        self.given = RestGivenCauses(config.causes, config.rest) if config.given else None

    def map(self, z: Tensor) -> Tensor:
        """Standard normal noise z (N, D) to latents w (N, D)."""
        causes, rest = self.split(z)
        return torch.cat([self.equations.solve(self.equations.noise(causes)), rest], dim=1)

    def synthesize(self, w: Tensor) -> Tensor:
        """Latents w (N, D) to images (N, C, S, S) in [-1, 1]."""
        images: Tensor = self.synthesis(self.scale(w))
        return images.float()

    def encode(self, images: Tensor) -> Tensor:
        """Images (N, C, S, S) in [-1, 1] to latents w (N, D): the means."""
        mean: Tensor = self.recognition(images)[0]
        return self.close_rest(mean.float())

    def counterfactual(self, w: Tensor, changes: Mapping[int, Tensor]) -> Tensor:
        """Latents w (N, D) after attributes are set to values (N,), with what follows: see `StructuralEquations`."""
        causes, rest = self.split(w)
        return torch.cat([self.equations.counterfactual(causes, changes), rest], dim=1)

    def split(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """The blocks of latents (N, D): causes and rest."""
        causes, rest = w.split([self.config.causes, self.config.rest], dim=1)
        return causes, rest

    def close_rest(self, raw: Tensor) -> Tensor:
        """Latents (N, D) with the networks' rest as latents w (N, D)."""
        if self.given is None:
            return raw
        causes, rest = self.split(raw)
        return torch.cat([causes, self.given.close(rest, self.tell(causes))], dim=1)

    def open_rest(self, w: Tensor) -> Tensor:
        """The inverse of `close_rest`."""
        if self.given is None:
            return w
        causes, e = self.split(w)
        return torch.cat([causes, self.given.open(e, self.tell(causes))], dim=1)

    def tell(self, causes: Tensor) -> Tensor:
        """The messages (N, causes) of the causes in latents w."""
        return self.equations.messages(self.equations.close_gap(causes))

    def scale(self, w: Tensor) -> Tensor:
        """Latents w (N, D) as the networks take them, of about unit deviation."""
        causes, rest = self.split(self.open_rest(w))
        equations, scaled = self.equations, CAUSE_SCALE * causes
        if equations.places:
            scaled = equations.replace_numbers(scaled, equations.take_numbers(causes))
        return torch.cat([scaled, rest], dim=1)


def save_bigan(network: BiGAN, path: Path, training: Mapping[str, Any] | None = None) -> None:
    """Write all networks, rounded to half precision but for all equations, configuration, facts about the training."""
    tensors = {
        name: tensor if name.startswith(("equations.", "given.")) else tensor.half()
        for name, tensor in network.state_dict().items()
    }
    weights.write_weights(path, tensors, KEY, asdict(network.config), training)


def read_bigan(path: Path) -> BiGAN:
    """The networks in a file of `save_bigan`, on the CPU, frozen. InputError: damaged, or another kind of file."""
    return weights.read_network(path, KEY, lambda config, _, fingerprint: BiGAN(parse_config(config), fingerprint))


def parse_config(settings: Mapping[str, Any]) -> BiGANConfig:
    """The configuration from its JSON, where tuples have become lists. ValueError, TypeError, KeyError: a wrong one."""
    attributes = tuple((str(name), tuple(map(str, values))) for name, values in settings["attributes"])
    channels = tuple(settings["channels"])
    scales = tuple(None if each is None else parse_scale(each) for each in settings.get("scales", ()))
    config = BiGANConfig(**{**settings, "attributes": attributes, "channels": channels, "scales": scales})
    check_scales(config)
    if not (1 <= len(attributes) <= MOST_ATTRIBUTES and 2 <= len(channels) <= MOST_BLOCKS):
        raise ValueError(f"{len(attributes)} attributes, {len(channels)} blocks")
    if not all(2 <= count <= MOST_VALUES for count in config.counts):
        raise ValueError("an attribute has no or too many values")
    sizes = (*channels, config.resolution, config.rest, config.image_channels)
    if not all(type(size) is int and size > 0 for size in sizes) or config.resolution != 2 << len(channels):
        raise ValueError("its sizes do not belong together")
    weights.check_names([name for name, _ in attributes], *(values for _, values in attributes))
    return config


def check_scales(config: BiGANConfig) -> None:
    """ValueError: the scales are not those of the attributes."""
    wrong = config.scales and len(config.scales) != len(config.attributes)
    if wrong or any(scale and len(scale.middles) != n for scale, n in zip(config.scales, config.counts, strict=False)):
        raise ValueError("its numbers do not belong to its attributes")
