"""The style encoder of an SAAE, and the content that explains an image best: [content | style] of one image."""

from pathlib import Path

from torch import Tensor

from gmmedit.encoders.base import Encoder
from gmmedit.networks.saae import SAAE, read_saae


class SAAEEncoder(Encoder):
    """The code of the image's style, and the content whose image in that style is nearest."""

    space = "z"

    def __init__(self, network: SAAE) -> None:
        super().__init__()
        self.network, self.fingerprint, self.generator = network, network.fingerprint, network.fingerprint
        self.image_shape = network.config.image_shape
        self.latent_shape = (1, network.config.latent)

    def encode(self, images: Tensor) -> Tensor:
        """See `Encoder.encode`."""
        return self.network.encode(images)[:, None]


def read_encoder(path: Path) -> SAAEEncoder:
    """The encoder in a file of `save_saae`. InputError: damaged, or another kind of file."""
    return SAAEEncoder(read_saae(path))
