"""A small network of patches, shifts and attention pooling: another architecture than the ConvNet.

Normalised within each position (LayerNorm): training and evaluation compute the same, and rows do not depend on each
other.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmmedit.classifiers.preprocessing import convert_channels, resize
from gmmedit.classifiers.trained import NetworkConfig, TrainedNetwork

PATCH = 4  # pixels a side


@dataclass(frozen=True)
class PatchNetConfig(NetworkConfig):
    """The shape of a PatchNet; `size` is a multiple of 8."""

    widths: tuple[int, int] = (72, 144)  # channels of the patches, and of squares of 2x2 patches
    depths: tuple[int, int] = (3, 4)  # blocks of each
    heads: int = 16  # places that the pooling attends to
    features: int = 256  # a multiple of heads


class PatchNet(TrainedNetwork):
    """Patches of 4x4 pixels, blocks on two grids, and a pooling that attends to places."""

    key, stored = "patchnet", torch.float16
    config: PatchNetConfig

    def __init__(self, config: PatchNetConfig, fingerprint: str = ""):
        super().__init__(config, fingerprint)
        fine, coarse = config.widths
        self.embed = nn.Linear(3 * PATCH * PATCH, fine)
        self.place = nn.Parameter(0.02 * torch.randn(config.size // PATCH, config.size // PATCH, fine))
        self.fine = nn.Sequential(*(Block(fine) for _ in range(config.depths[0])))
        self.merge = nn.Linear(4 * fine, coarse)
        self.coarse = nn.Sequential(*(Block(coarse) for _ in range(config.depths[1])))
        self.norm = nn.LayerNorm(coarse)
        self.attend = nn.Linear(coarse, config.heads)
        self.value = nn.Linear(coarse, config.features)
        self.head = self.make_head(config.features)

    def features(self, images: Tensor) -> Tensor:
        """See `TrainedNetwork.features`."""
        images = resize(convert_channels(images, self.channels), self.input_size)
        x = self.embed(F.pixel_unshuffle(images, PATCH).permute(0, 2, 3, 1)) + self.place
        x = F.pixel_unshuffle(self.fine(x).permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        x = self.norm(self.coarse(self.merge(x))).flatten(1, 2)  # (N, P, C)
        weights = self.attend(x).softmax(1)  # (N, P, heads), each head's over the places
        values = self.value(x).unflatten(2, (self.config.heads, -1))  # (N, P, heads, features / heads)
        return F.silu((weights[..., None] * values).sum(1).flatten(1)).float()


class Block(nn.Module):
    """x (N, H, W, C) plus a perceptron of it, after eight groups of its channels moved to the eight neighbours.

    A shift costs no arithmetic (Wu et al. 2018); the ninth group stays.
    """

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        nn.init.zeros_(self.narrow.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, H, W, C) to the same shape."""
        return x + self.narrow(F.silu(self.widen(shift(self.norm(x)))))


def shift(x: Tensor) -> Tensor:
    """x (N, H, W, C) with channel group 3 i + j of nine moved by (i - 1, j - 1); zeros come in at the border."""
    moved = []
    sizes = [len(part) for part in torch.arange(x.shape[3]).tensor_split(9)]
    for n, part in enumerate(x.split(sizes, dim=3)):
        down, right = n // 3 - 1, n % 3 - 1
        moved.append(F.pad(part, (0, 0, right, -right, down, -down)))
    return torch.cat(moved, dim=3)
