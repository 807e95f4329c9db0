"""IFcVAE-GAN as a generator: its decoder, whose latent has the blocks [attribute | identity]."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit.generators.base import Generator
from gmmedit.networks.ifcvae import IFcVAE, read_ifcvae
from gmmedit.spaces import Space


class IFcVAEGenerator(Generator):
    """Its prior: attributes as frequent together as in the data, and a standard normal identity."""

    family = "IFcVAE-GAN"
    w_shape = None
    n_classes = 0

    def __init__(self, network: IFcVAE):
        super().__init__()
        self.config, self.fingerprint = network.config, network.fingerprint
        self.network, self.units = network, network.config.attributes
        self.cumulative = network.rates.double().cumsum(0)
        self.z_dim = self.config.units + self.config.identity
        self.image_shape = self.config.image_shape

    @property
    def spaces(self) -> dict[str, Space]:
        """See `Generator.spaces`; attributes have two values and are not normal."""
        return {"z": Space("z", self.z_dim, blocks=self.config.blocks)}

    def draw(self, seeds: Sequence[int]) -> Tensor:
        """See `Generator.draw`. Of `numpy.random.RandomState(seed)` first `randn` gives the identity, then
        `random_sample` the combination of attributes; bit k of its number is attribute k."""
        units, identity = self.config.units, self.config.identity
        rows, source = np.empty((len(seeds), self.z_dim), np.float32), np.random.RandomState(0)
        edges = (self.cumulative / self.cumulative[-1]).numpy()
        for row, seed in zip(rows, seeds, strict=True):
            source.seed(seed)
            row[units:] = source.randn(identity)
            number = min(int(np.searchsorted(edges, source.random_sample(), "right")), len(edges) - 1)
            row[:units] = [number >> unit & 1 for unit in range(units)]
        return torch.from_numpy(rows)

    def name_labels(self, latents: Tensor) -> dict[str, list[str]]:
        """See `Generator.name_labels`: the value nearer to each attribute's unit."""
        chosen = (latents[:, : len(self.units)] > 0.5).T.tolist()
        return {name: [values[yes] for yes in row] for (name, values), row in zip(self.units, chosen, strict=True)}

    def map(self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """z unchanged: there is no W."""
        return z

    def synthesize(self, w: Tensor) -> Tensor:
        """Latents (N, K + nz), or (N, 1, K + nz), to images (N, C, S, S) in [-1, 1]."""
        images: Tensor = self.network.decode(w.flatten(1))
        return images


def read_generator(path: Path) -> IFcVAEGenerator:
    """The generator in a file of `save_ifcvae`. InputError: damaged, or another kind of file."""
    return IFcVAEGenerator(read_ifcvae(path))
