"""The attribute head of an IFcVAE-GAN's encoder as a classifier."""

from pathlib import Path

import torch
from torch import Tensor

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.base import Classifier
from gmmedit.classifiers.preprocessing import convert_channels, resize
from gmmedit.networks.ifcvae import IFcVAE, read_ifcvae


class IFcVAEClassifier(Classifier):
    """Labels the attributes that the model was trained to factor out."""

    converts = True

    def __init__(self, network: IFcVAE):
        super().__init__()
        self.encoder, self.fingerprint = network.encoder, network.fingerprint
        self.attributes = [Attribute(name, values) for name, values in network.config.attributes]
        channels, height, width = network.config.image_shape
        self.input_size, self.channels = (height, width), (channels,)

    def logits(self, images: Tensor) -> Tensor:
        """See `Classifier.logits`."""
        log_odds = self.encoder(resize(convert_channels(images, self.channels), self.input_size))[2]
        return torch.stack([-log_odds / 2, log_odds / 2], dim=2).flatten(1)


def read_classifier(path: Path) -> IFcVAEClassifier:
    """The classifier in a file of `save_ifcvae`. InputError: damaged, or another kind of file."""
    return IFcVAEClassifier(read_ifcvae(path))
