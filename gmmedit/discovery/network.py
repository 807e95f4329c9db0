"""The network that reads codes from images: DisCo's encoder, narrower, without normalisation layers."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from gmmedit.classifiers.preprocessing import resize

LONGEST, COARSEST = 64, 4  # pixels of the longer side that the network sees, and that its last map has
WIDTHS = (32, 64, 64, 64)  # channels at half the size, a quarter, ...
MOST_CODES, MOST_FEATURES = 4096, 4096


@dataclass(frozen=True)
class CodeConfig:
    """The shape of a network: of its images (channels, height, width), its codes J, and its hidden features."""

    image_shape: tuple[int, int, int]
    code: int
    features: int = 128

    @property
    def widths(self) -> tuple[int, ...]:
        """The channels of each halving."""
        halvings = max(1, (min(max(self.image_shape[1:]), LONGEST) // COARSEST).bit_length() - 1)
        return WIDTHS[:halvings]

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) that the network takes: whole multiples of its coarsest pixel."""
        _, height, width = self.image_shape
        scale, unit = min(1, LONGEST / max(height, width)), 2 ** len(self.widths)
        return max(1, round(height * scale / unit)) * unit, max(1, round(width * scale / unit)) * unit


class CodeNetwork(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to codes (N, J). Rows do not depend on each other."""

    def __init__(self, config: CodeConfig) -> None:
        super().__init__()
        self.config = config
        widths, (height, width) = config.widths, config.input_size
        unit = 2 ** len(widths)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(n_in, n_out, 4, stride=2, padding=1) for n_in, n_out in pairwise((config.image_shape[0], *widths))
        )
        self.hidden = nn.Linear(widths[-1] * (height // unit) * (width // unit), config.features)
        self.code = nn.Linear(config.features, config.code)
        for layer in (*self.convolutions, self.hidden):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="leaky_relu")
            nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        x = resize(images, self.config.input_size).contiguous(memory_format=torch.channels_last)
        for convolution in self.convolutions:
            x = nn.functional.leaky_relu(convolution(x), 0.01)
        return self.code(nn.functional.leaky_relu(self.hidden(x.flatten(1)), 0.01))


def make_network(config: CodeConfig, seed: int) -> CodeNetwork:
    """A network with the initial weights of that seed, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CodeNetwork(config)
