"""Layers that small networks of several rooms are built from. Rows never depend on each other."""

import torch.nn.functional as F
from torch import Tensor, nn


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
