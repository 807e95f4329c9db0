"""Small networks for grey images: an MLP that generates digits, and two classifiers of unlike architecture."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn


class Generator(nn.Module):
    """An MLP: z (N, 32) to images (N, 1, 28, 28) in [-1, 1]."""

    z_dim = 32

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(32, 256), nn.LeakyReLU(0.2), nn.Linear(256, 512), nn.LeakyReLU(0.2),
            nn.Linear(512, 512), nn.LeakyReLU(0.2), nn.Linear(512, 784), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).reshape(-1, 1, 28, 28)


class Plain(nn.Module):
    """Convolutions and pools: images (N, 1, S, S) in [-1, 1] to logits (N, n)."""

    def __init__(self, n: int, side: int) -> None:
        super().__init__()
        widths = (1, 16, 32, 64)
        self.convs = nn.ModuleList(nn.Conv2d(widths[i], widths[i + 1], 3, padding=1) for i in range(3))
        self.hidden = nn.Linear(64 * (side // 8) ** 2, 128)
        self.out = nn.Linear(128, n)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = F.max_pool2d(F.relu(conv(x)), 2)
        x = F.dropout(x.flatten(1), 0.25, self.training)
        return self.out(F.dropout(F.relu(self.hidden(x)), 0.25, self.training))


class Residual(nn.Module):
    """Residual blocks with batch normalisation and a mean over pixels: images (N, 1, S, S) in [-1, 1] to logits."""

    def __init__(self, n: int, side: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 24, 5, 2, 2)
        self.blocks = nn.ModuleList([Block(24, 24), Block(24, 48), Block(48, 96)])
        self.out = nn.Linear(96 * 2, n)

    def features(self, x: Tensor) -> Tensor:
        """Means and maxima (N, 192) of the last block's channels."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.features(x))


class Block(nn.Module):
    """Two normalised convolutions beside a 1x1 convolution; halves the size if the width grows."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        stride = 1 if n_in == n_out else 2
        self.conv0, self.norm0 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out)
        self.conv1, self.norm1 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False), nn.BatchNorm2d(n_out)
        self.skip = nn.Conv2d(n_in, n_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.conv1(F.silu(self.norm0(self.conv0(x)))))
        return F.silu(y + self.skip(x))


class Features(nn.Module):
    """The features of a Residual as a network's output."""

    def __init__(self, network: Residual) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.features(x)


def load_weights(network: nn.Module, name: str) -> nn.Module:
    """The network with the weights of the file of that name beside this one."""
    network.load_state_dict(load_file(Path(__file__).with_name(name)))
    return network.eval().requires_grad_(False)
