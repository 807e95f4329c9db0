"""The encoder of a BiGAN, trained together with its generator: one pass gives [causes | rest]."""

from pathlib import Path

from torch import Tensor

from gmmedit.encoders.base import Encoder
from gmmedit.networks.bigan import BiGAN, read_bigan


class BiGANEncoder(Encoder):
    """The means of the latents w."""

    space = "w"

    def __init__(self, network: BiGAN):
        super().__init__()
        self.network, self.fingerprint, self.generator = network, network.fingerprint, network.fingerprint
        config = network.config
        self.image_shape = (config.image_channels, config.resolution, config.resolution)
        self.latent_shape = (1, config.dim)

    def encode(self, images: Tensor) -> Tensor:
        """See `Encoder.encode`."""
        return self.network.encode(images)[:, None]


def read_encoder(path: Path) -> BiGANEncoder:
    """The encoder in a file of `save_bigan`. InputError: damaged, or another kind of file."""
    return BiGANEncoder(read_bigan(path))
