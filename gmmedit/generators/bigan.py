"""BiGAN with causal latents as a generator, whose mapping solves the structural equations of its attributes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from gmmedit.generators.base import Generator
from gmmedit.networks.bigan import BiGAN, read_bigan
from gmmedit.spaces import Space


class BiGANGenerator(Generator):
    """z is standard normal noise, w has the blocks `causes` and `rest`: samples follow the graph."""

    family = "BiGAN"
    w_shape: tuple[int, int]
    n_classes = 0

    def __init__(self, network: BiGAN):
        super().__init__()
        self.network, self.config, self.fingerprint = network, network.config, network.fingerprint
        self.causes, self.scales, self.z_dim = self.config.attributes, self.config.scales, self.config.dim
        self.w_shape = (1, self.config.dim)
        self.image_shape = (self.config.image_channels, self.config.resolution, self.config.resolution)

    @property
    def spaces(self) -> dict[str, Space]:
        """See `Generator.spaces`."""
        dim = self.config.dim
        return {"z": Space("z", dim, normal=True), "w": Space("w", dim, blocks=self.config.blocks)}

    def name_labels(self, latents: Tensor) -> dict[str, list[str]]:
        """See `Generator.name_labels`: the values of the causes, before any intervention."""
        found: dict[str, list[str]] = {}
        read = self.read_causes(self.map(latents.to(self.device))).T.tolist()
        for place, ((name, values), row) in enumerate(zip(self.causes, read, strict=True)):
            scale = self.scales[place] if self.scales else None
            found[name] = [f"{scale.number(value):.6g}" if scale else values[int(value)] for value in row]
        return found

    def map(self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """Noise z (N, D) to w (N, D); there is no truncation, since there is no mean w."""
        return self.network.map(z)

    def counterfactual(self, w: Tensor, changes: Mapping[int, Tensor]) -> Tensor:
        """See `Generator.counterfactual`."""
        return self.network.counterfactual(w, changes)

    def read_causes(self, w: Tensor) -> Tensor:
        """See `Generator.read_causes`."""
        causes, _ = self.network.split(w)
        return self.network.equations.targets(causes)

    def follow(self, places: Sequence[int]) -> list[int]:
        """See `Generator.follow`."""
        return self.network.equations.follow(places)

    def synthesize(self, w: Tensor) -> Tensor:
        """See `Generator.synthesize`."""
        return self.network.synthesize(w.flatten(1))


def read_generator(path: Path) -> BiGANGenerator:
    """The generator in a file of `save_bigan`. InputError: damaged, or another kind of file."""
    return BiGANGenerator(read_bigan(path))
