"""The networks of IFcVAE-GAN: an encoder of images into attribute and identity, and a decoder of both.

After Creswell et al. 2017, "Adversarial information factorization". Without normalisation over the batch, so that rows
do not depend on each other. One file holds both networks; generator, encoder and classifier of it have one fingerprint.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.errors import InputError
from gmmedit.networks import weights
from gmmedit.networks.alignment import Alignment, check_alignment
from gmmedit.networks.layers import ResidualBlock, convolution

KEY = "ifcvae-gan"
MOST_ATTRIBUTES = 8  # their joint rates are stored
MOST_WIDTHS = 7
FINE = 8  # channels at full size, whose convolution leaves no grid of the doubling
SUM = 1e-3  # by which rates may differ from 1 in sum
LIMIT = 8.0  # of the logarithm of z's variance: it stays finite early in the training


@dataclass(frozen=True)
class IFcVAEConfig:
    """The shape of both networks; the image's side is 4 pixels times 2 ** len(widths)."""

    attributes: tuple[tuple[str, tuple[str, str]], ...]  # name and values; a unit of 0 is the first value, 1 the second
    identity: int  # dims of z
    image_shape: tuple[int, int, int]  # (channels, height, width)
    widths: tuple[int, ...] = (24, 48, 64)  # channels at half the size, a quarter, ... 4 pixels
    features: int = 192

    @property
    def units(self) -> int:
        """K, the number of attributes and of their units."""
        return len(self.attributes)

    @property
    def blocks(self) -> dict[str, slice]:
        """The parts of a latent."""
        return {"attribute": slice(0, self.units), "identity": slice(self.units, self.units + self.identity)}


class Trunk(nn.Module):
    """Images (N, C, S, S) to features (N, F)."""

    def __init__(self, config: IFcVAEConfig):
        super().__init__()
        widths = config.widths
        self.stem = nn.Sequential(convolution(4 * config.image_shape[0], widths[0]), ResidualBlock(widths[0]))
        self.stages = nn.ModuleList(
            nn.Sequential(convolution(n_in, n_out, stride=2), ResidualBlock(n_out)) for n_in, n_out in pairwise(widths)
        )
        self.to_features = nn.Linear(16 * widths[-1], config.features)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, S, S) in [-1, 1] to features (N, F)."""
        x = self.stem(F.pixel_unshuffle(images, 2).contiguous(memory_format=torch.channels_last))
        for stage in self.stages:
            x = stage(F.silu(x))
        return F.silu(self.to_features(F.silu(x).flatten(1)))


class IFcEncoder(nn.Module):
    """Images to the parts of a latent; the heads are linear in the trunk's features."""

    def __init__(self, config: IFcVAEConfig):
        super().__init__()
        self.config, self.trunk = config, Trunk(config)
        self.identity = nn.Linear(config.features, 2 * config.identity)
        self.attribute = nn.Linear(config.features, config.units)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (N, C, S, S) in [-1, 1] to the mean (N, nz) and log-variance (N, nz) of z, and the log-odds (N, K) of
        each attribute's second value."""
        features = self.trunk(images)
        mean, log_variance = self.identity(features).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-LIMIT, LIMIT), self.attribute(features).float()


class IFcDecoder(nn.Module):
    """Attributes and z, as the encoder gives them, to images."""

    def __init__(self, config: IFcVAEConfig):
        super().__init__()
        widths = config.widths[::-1]
        self.start = nn.Linear(config.units + config.identity, 16 * widths[0])
        self.first = ResidualBlock(widths[0])
        self.stages = nn.ModuleList(
            nn.Sequential(convolution(n_in, n_out), ResidualBlock(n_out)) for n_in, n_out in pairwise(widths)
        )
        self.to_pixels, self.to_image = convolution(widths[-1], 4 * FINE), convolution(FINE, config.image_shape[0])

    def forward(self, latents: Tensor) -> Tensor:
        """[attributes | z] (N, K + nz) to images (N, C, S, S) in [-1, 1]."""
        x = self.start(latents).unflatten(1, (-1, 4, 4)).contiguous(memory_format=torch.channels_last)
        x = self.first(x)
        for stage in self.stages:
            x = stage(F.interpolate(F.silu(x), scale_factor=2.0))
        pixels = F.silu(F.pixel_shuffle(self.to_pixels(F.silu(x)), 2))
        return self.to_image(pixels).float().tanh()


class IFcVAE(nn.Module):
    """Both networks, the coordinates of the identity, and the joint rates of the attributes' values in the data."""

    rates: Tensor

    def __init__(self, config: IFcVAEConfig, fingerprint: str = ""):
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        self.encoder, self.decoder = IFcEncoder(config), IFcDecoder(config)
        self.alignment = Alignment(config.units, config.identity)
        self.register_buffer("rates", torch.full((2**config.units,), 0.5**config.units))

    def encode(self, images: Tensor) -> Tensor:
        """Images (N, C, S, S) in [-1, 1] to latents (N, K + nz): the inferred attributes in [0, 1], and the
        identity of z's mean."""
        mean, _, log_odds = self.encoder(images)
        attributes = log_odds.sigmoid()
        return torch.cat([attributes, self.alignment(mean, attributes)], dim=1)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (N, K + nz) of `encode` to images (N, C, S, S) in [-1, 1]."""
        attributes, identity = latents.tensor_split([self.config.units], dim=1)
        return self.decoder(torch.cat([attributes, self.alignment.restore(identity, attributes)], dim=1))


def save_ifcvae(network: IFcVAE, path: Path, training: Mapping[str, Any] | None = None) -> None:
    """Write both networks, rounded to half precision, their configuration, and facts about the training."""
    rounded = dict(network.named_parameters())
    tensors = {name: tensor.half() if name in rounded else tensor for name, tensor in network.state_dict().items()}
    weights.write_weights(path, tensors, KEY, asdict(network.config), training)


def read_ifcvae(path: Path) -> IFcVAE:
    """The networks in a file of `save_ifcvae`, on the CPU, frozen. InputError: damaged, or another kind of file."""

    def restore(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = {name: tensor.float() for name, tensor in tensors.items()}
        if is_older(found):
            message = f"{path} was trained by an older version of gmmedit"
            raise InputError(message, hint="train it again: gmmedit train ifcvae-gan")
        check_alignment(found["alignment.factor"], found["alignment.scales"])
        if (found["rates"] < 0).any() or abs(float(found["rates"].sum()) - 1) > SUM:
            raise ValueError("rates are no probabilities")
        return found

    return weights.read_network(
        path, KEY, lambda config, _, fingerprint: IFcVAE(parse_config(config), fingerprint), restore
    )


def is_older(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the tensors of a file are without an alignment, or of one that went over the attributes only once."""
    if "alignment.shifts" not in tensors:
        return "decoder.start.weight" in tensors and "rates" in tensors
    units = len(tensors["rates"]).bit_length() - 1
    return len(tensors["alignment.shifts"]) == units > 1


def parse_config(settings: Mapping[str, Any]) -> IFcVAEConfig:
    """The configuration from its JSON, where tuples have become lists. ValueError, TypeError, KeyError: a wrong one."""
    attributes = tuple((str(name), (str(first), str(second))) for name, (first, second) in settings["attributes"])
    shape, widths = tuple(settings["image_shape"]), tuple(settings["widths"])
    config = IFcVAEConfig(**{**settings, "attributes": attributes, "image_shape": shape, "widths": widths})
    if not (1 <= len(attributes) <= MOST_ATTRIBUTES and 1 <= len(widths) <= MOST_WIDTHS and len(shape) == 3):
        raise ValueError(f"{len(attributes)} attributes, {len(widths)} widths")
    sizes = (*shape, *widths, config.identity, config.features)
    if not all(type(size) is int and size > 0 for size in sizes) or not shape[1] == shape[2] == 4 << len(widths):
        raise ValueError("its sizes do not belong together")
    weights.check_names([name for name, _ in attributes], *(values for _, values in attributes))
    return config
