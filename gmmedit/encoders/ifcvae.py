"""The encoder of an IFcVAE-GAN, trained together with its generator: one pass gives [attribute | identity]."""

from pathlib import Path

from torch import Tensor

from gmmedit.encoders.base import Encoder
from gmmedit.networks.ifcvae import IFcVAE, read_ifcvae


class IFcVAEEncoder(Encoder):
    """The inferred attributes, each in [0, 1], and the mean of z."""

    space = "z"

    def __init__(self, network: IFcVAE):
        super().__init__()
        self.network, self.fingerprint, self.generator = network, network.fingerprint, network.fingerprint
        self.image_shape = network.config.image_shape
        self.latent_shape = (1, network.config.units + network.config.identity)

    def encode(self, images: Tensor) -> Tensor:
        """See `Encoder.encode`."""
        return self.network.encode(images)[:, None]


def read_encoder(path: Path) -> IFcVAEEncoder:
    """The encoder in a file of `save_ifcvae`. InputError: damaged, or another kind of file."""
    return IFcVAEEncoder(read_ifcvae(path))
