"""The StyleGAN2 discriminator. That of the embedded generator is not shipped."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv(nn.Module):
    """Convolution with equalised learning rate; leaky ReLU whose gain is folded into the weights."""

    def __init__(self, n_in: int, n_out: int, size: int, activate: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in, size, size))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.activate, self.padding = activate, size // 2
        self.gain = (math.sqrt(2) if activate else 1.0) / math.sqrt(n_in * size * size)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, n_in, H, W) to (N, n_out, H, W)."""
        x = F.conv2d(x, self.weight * self.gain, self.bias, padding=self.padding)
        return F.leaky_relu(x, 0.2) if self.activate else x


class ResidualBlock(nn.Module):
    """Two convolutions and an average pool beside a pooled 1x1 convolution: halves the size."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.conv0, self.conv1 = Conv(n_in, n_in, 3), Conv(n_in, n_out, 3)
        self.skip = Conv(n_in, n_out, 1, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, n_in, H, W) to (N, n_out, H / 2, W / 2)."""
        y = F.avg_pool2d(self.conv1(self.conv0(x)), 2)
        return (y + self.skip(F.avg_pool2d(x, 2))) * math.sqrt(0.5)


class Discriminator(nn.Module):
    """Images (N, C, R, R) in [-1, 1] to logits (N,) of being real (Karras et al. 2020, residual form).

    The first step folds 2x2 pixels into channels, which is lossless and saves the most expensive layer.
    Blocks are named by the size that they halve, so that a larger discriminator can reuse them.
    """

    def __init__(self, resolution: int, width: int = 128, channels: int = 3):
        super().__init__()
        sizes = [2**i for i in range(resolution.bit_length() - 2, 2, -1)]  # R / 2 ... 8
        widths = [width // 2 if size >= 32 else width for size in sizes] + [width]
        self.stem = Conv(4 * channels, widths[0], 3)
        self.blocks = nn.Sequential()
        for size, n_in, n_out in zip(sizes, widths, widths[1:], strict=False):
            self.blocks.add_module(f"b{size}", ResidualBlock(n_in, n_out))
        self.conv = Conv(width + 1, width, 3)
        self.fc = Conv(width * 16, width, 1)
        self.out = Conv(width, 1, 1, activate=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, R, R) in [-1, 1] to logits (N,); N is a multiple of the deviation's group."""
        x = self.blocks(self.stem(F.pixel_unshuffle(images, 2)))
        x = self.conv(torch.cat([x, minibatch_deviation(x)], dim=1))
        return self.out(self.fc(x.reshape(len(x), -1, 1, 1))).flatten()


def minibatch_deviation(x: Tensor, group: int = 4) -> Tensor:
    """Mean deviation over groups of samples as a further channel (N, 1, H, W) (Karras et al. 2018, section 3)."""
    groups = x.float().reshape(group, -1, *x.shape[1:])  # (group, N / group, C, H, W)
    deviation = (groups.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # (N / group,)
    return deviation.repeat(group).to(x.dtype)[:, None, None, None].expand(-1, 1, *x.shape[2:])
