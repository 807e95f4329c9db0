"""A small convolutional classifier, and its safetensors file.

Residual, without normalisation layers: training and evaluation compute the same, and rows do not depend on each other.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.base import Classifier
from gmmedit.classifiers.preprocessing import convert_channels, resize
from gmmedit.errors import InputError
from gmmedit.networks import weights

KEY = "convnet"
WEIGHTS = Path(__file__).parents[1] / "datasets" / "avatars" / "weights"


@dataclass(frozen=True)
class ConvNetConfig:
    """Attributes and nuisances of a ConvNet, and its shape."""

    attributes: tuple[Attribute, ...]
    nuisances: tuple[str, ...] = ()  # real numbers in [-1, 1] that the network estimates besides the labels
    size: int = 64  # of the square image; a multiple of 2 ** len(widths)
    widths: tuple[int, ...] = (24, 32, 64, 64)  # channels at size / 2, size / 4, ...
    depth: int = 1  # residual blocks after each halving
    features: int = 64

    @property
    def n_columns(self) -> int:
        """K, the number of values of all attributes."""
        return sum(len(attribute.values) for attribute in self.attributes)


class ConvNet(Classifier):
    """Labels of attributes and estimates of nuisances, linear in one vector of features."""

    converts = True

    def __init__(self, config: ConvNetConfig, fingerprint: str = ""):
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        self.attributes = list(config.attributes)
        self.input_size = (config.size, config.size)
        widths, last = config.widths, config.size // 2 ** len(config.widths)
        self.stem = convolution(4 * 3, widths[0])
        self.stages = nn.ModuleList(
            nn.Sequential(convolution(n_in, n_out, stride=2), *(ResidualBlock(n_out) for _ in range(config.depth)))
            for n_in, n_out in pairwise(widths)
        )
        self.to_features = nn.Linear(widths[-1] * last * last, config.features)
        self.head = nn.Linear(config.features, config.n_columns + len(config.nuisances))

    def features(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to the features (N, F), float32, in which the outputs are linear."""
        # Folding 2x2 pixels into channels loses nothing and saves the most expensive layer.
        x = F.pixel_unshuffle(resize(convert_channels(images, self.channels), self.input_size), 2)
        x = self.stem(x.contiguous(memory_format=torch.channels_last))  # the faster layout
        for stage in self.stages:
            x = stage(F.silu(x))
        return F.silu(self.to_features(F.silu(x).flatten(1))).float()

    def observe(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Classifier.observe`."""
        features = self.features(images)
        return *self.read_features(features), features

    def logits(self, images: Tensor) -> Tensor:
        """See `Classifier.logits`; the columns of every attribute have mean 0."""
        return self.predict(images)[0]

    def nuisances(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] to estimates (N, n) in the order of `config.nuisances`."""
        return self.predict(images)[1]

    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """`logits` (N, K) and `nuisances` (N, n) in one pass."""
        return self.read_features(self.features(images))

    def read_features(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """`logits` (N, K) and `nuisances` (N, n) from features (N, F)."""
        logits, nuisances = self.head(features).tensor_split([self.config.n_columns], dim=1)
        columns = logits.split([len(a.values) for a in self.attributes], dim=1)
        return torch.cat([c - c.mean(dim=1, keepdim=True) for c in columns], dim=1), nuisances


class ResidualBlock(nn.Module):
    """x (N, C, H, W) plus two convolutions of it; the identity before training."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = convolution(width, width), convolution(width, width)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) to the same shape."""
        return x + self.second(F.silu(self.first(F.silu(x))))


def convolution(n_in: int, n_out: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the signal's size through the activation (He et al. 2015)."""
    layer = nn.Conv2d(n_in, n_out, 3, stride, padding=1)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


def save_network(network: ConvNet, path: Path) -> None:
    """Write weights and configuration; a file at `path` is replaced atomically."""
    weights.write_weights(path, network.state_dict(), KEY, asdict(network.config))


def read_network(path: Path) -> ConvNet:
    """The network in a file of `save_network`, on the CPU, frozen. InputError: damaged, or another kind of file."""
    config, tensors = weights.read_weights(path, KEY)
    try:
        network = ConvNet(parse_config(config), weights.fingerprint_tensors(tensors))
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: weights and configuration do not match: {reason}", hint=weights.HINT) from error
    return network.eval().requires_grad_(False)


def parse_config(settings: dict[str, Any]) -> ConvNetConfig:
    """The configuration from its JSON, where tuples have become lists."""
    tuples = {key: tuple(settings[key]) for key in ("nuisances", "widths")}
    attributes = tuple(Attribute(a["name"], tuple(a["values"])) for a in settings["attributes"])
    return ConvNetConfig(**settings | tuples | {"attributes": attributes})


def load_avatars() -> ConvNet:
    """The embedded labelling classifier."""
    return read_network(WEIGHTS / "classifier.safetensors")


def load_avatars_eval() -> ConvNet:
    """The embedded evaluation classifier."""
    return read_network(WEIGHTS / "evaluator.safetensors")
