"""SAAE as a generator: its decoder, whose latent has the blocks [content | style].

The content block holds the weights of the k content images: one of them is 1, and in between are blends of their maps.
SAAE has no prior. Latents are drawn from the contents, all as frequent, and the styles that were encoded in training;
new styles come from a mixture that is fitted to the style block (`gmmedit sample --prior`).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gmmedit.generators.base import Generator
from gmmedit.networks.saae import SAAE, read_saae
from gmmedit.spaces import Space


class SAAEGenerator(Generator):
    """The decoder with the maps of all contents."""

    family = "SAAE"
    w_shape = None
    n_classes = 0
    maps: Tensor  # (k, width, h, w)

    def __init__(self, network: SAAE) -> None:
        super().__init__()
        self.config, self.fingerprint = network.config, network.fingerprint
        self.decoder, self.codes = network.decoder, network.codes.numpy()
        with torch.no_grad():
            self.register_buffer("maps", network.content(network.templates), persistent=False)
        self.z_dim, self.image_shape = self.config.latent, self.config.image_shape

    @property
    def spaces(self) -> dict[str, Space]:
        """See `Generator.spaces`."""
        return {"z": Space("z", self.z_dim, blocks=self.config.blocks)}

    def draw(self, seeds: Sequence[int]) -> Tensor:
        """See `Generator.draw`. Of `numpy.random.RandomState(seed)` the first `randint` gives the content, the second
        the encoded style."""
        k = len(self.config.contents)
        rows, source = np.zeros((len(seeds), self.z_dim), np.float32), np.random.RandomState(0)
        for row, seed in zip(rows, seeds, strict=True):
            source.seed(seed)
            row[source.randint(k)] = 1
            row[k:] = self.codes[source.randint(len(self.codes))]
        return torch.from_numpy(rows)

    def name_labels(self, latents: Tensor) -> dict[str, list[str]]:
        """See `Generator.name_labels`: the content of the largest weight."""
        numbers = latents[:, self.config.blocks["content"]].argmax(1).tolist()
        return {self.config.content: [self.config.contents[number] for number in numbers]}

    def map(self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """z unchanged: there is no W."""
        return z

    def synthesize(self, w: Tensor) -> Tensor:
        """Latents (N, k + D), or (N, 1, k + D), to images (N, C, H, W) in [-1, 1]."""
        content, style = w.flatten(1).split([len(self.config.contents), self.config.style], dim=1)
        maps = (content.to(self.maps.dtype) @ self.maps.flatten(1)).unflatten(1, self.maps.shape[1:])
        images: Tensor = self.decoder(maps, style)
        return images


def read_generator(path: Path) -> SAAEGenerator:
    """The generator in a file of `save_saae`. InputError: damaged, or another kind of file."""
    return SAAEGenerator(read_saae(path))
