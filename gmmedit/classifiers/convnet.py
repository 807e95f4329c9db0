"""A small convolutional classifier.

Residual, without normalisation layers: training and evaluation compute the same, and rows do not depend on each other.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.classifiers.preprocessing import convert_channels, resize
from gmmedit.classifiers.trained import NetworkConfig, TrainedNetwork
from gmmedit.networks.layers import ResidualBlock, convolution


@dataclass(frozen=True)
class ConvNetConfig(NetworkConfig):
    """The shape of a ConvNet; `size` is a multiple of 2 ** len(widths)."""

    widths: tuple[int, ...] = (24, 32, 64, 64)  # channels at size / 2, size / 4, ...
    depth: int = 1  # residual blocks after each halving
    features: int = 64


class ConvNet(TrainedNetwork):
    """Halvings of the image, with residual blocks between them."""

    key = "convnet"
    config: ConvNetConfig

    def __init__(self, config: ConvNetConfig, fingerprint: str = ""):
        super().__init__(config, fingerprint)
        widths, last = config.widths, config.size // 2 ** len(config.widths)
        self.stem = convolution(4 * 3, widths[0])
        self.stages = nn.ModuleList(
            nn.Sequential(convolution(n_in, n_out, stride=2), *(ResidualBlock(n_out) for _ in range(config.depth)))
            for n_in, n_out in pairwise(widths)
        )
        self.to_features = nn.Linear(widths[-1] * last * last, config.features)
        self.head = self.make_head(config.features)

    def features(self, images: Tensor) -> Tensor:
        """See `TrainedNetwork.features`."""
        # Folding 2x2 pixels into channels loses nothing and saves the most expensive layer.
        x = F.pixel_unshuffle(resize(convert_channels(images, self.channels), self.input_size), 2)
        x = self.stem(x.contiguous(memory_format=torch.channels_last))  # the faster layout
        for stage in self.stages:
            x = stage(F.silu(x))
        return F.silu(self.to_features(F.silu(x).flatten(1))).float()
