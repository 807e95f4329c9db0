"""The generator of the PyPI package gan-face-generate (MIT): a DCGAN of 64-pixel faces, z of 100."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn


class DCGAN(nn.Module):
    """z (N, 100, 1, 1) to images (N, 3, 64, 64) in [-1, 1]."""

    z_dim, z_shape = 100, (100, 1, 1)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n_in, n_out, stride, padding in ((100, 512, 1, 0), (512, 256, 2, 1), (256, 128, 2, 1), (128, 64, 2, 1)):
            layers += [nn.ConvTranspose2d(n_in, n_out, 4, stride, padding, bias=False), nn.BatchNorm2d(n_out)]
            layers.append(nn.ReLU())
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.main(z)


def load() -> nn.Module:
    """The network with the weights beside this file."""
    network = DCGAN()
    network.load_state_dict(load_file(Path(__file__).with_name("gan.safetensors")))
    return network.eval().to(torch.float32)
