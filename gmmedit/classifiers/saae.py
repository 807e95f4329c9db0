"""The critic and the style encoder of an SAAE as a classifier: the content of an image, and the group of its style."""

from pathlib import Path

import torch
from torch import Tensor

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.base import Classifier
from gmmedit.classifiers.preprocessing import convert_channels, resize
from gmmedit.errors import InputError
from gmmedit.networks.saae import SAAE, read_saae

STYLE = "style"


class SAAEClassifier(Classifier):
    """Content by the critic's outputs for real images; style by the nearest group of the styles that were trained on.

    A style's log-odds are those of Gaussians about the groups' centres, of the spread that styles have about them.
    """

    converts = True

    def __init__(self, network: SAAE) -> None:
        super().__init__()
        self.network, self.fingerprint, config = network, network.fingerprint, network.config
        groups = tuple(str(number + 1) for number in range(config.groups))
        self.attributes = [Attribute(config.content, config.contents), Attribute(STYLE, groups)]
        channels, height, width = config.image_shape
        self.input_size, self.channels = (height, width), (channels,)

    def logits(self, images: Tensor) -> Tensor:
        """See `Classifier.logits`; the columns of either attribute have mean 0."""
        network = self.network
        images = resize(convert_channels(images, self.channels), self.input_size)
        content = network.critic(images)[:, : len(network.config.contents)]
        distance = (network.style(images)[:, None] - network.centres).square().sum(2)
        parts = content, -distance / (2 * network.spread.square() * network.config.style**0.5)
        return torch.cat([part - part.mean(dim=1, keepdim=True) for part in parts], dim=1)


def read_classifier(path: Path) -> SAAEClassifier:
    """The classifier in a file of `save_saae`. InputError: damaged, another kind of file, or its critic is binary."""
    network = read_saae(path)
    if network.config.binary:
        message = f"{path} has a critic that only tells real from generated"
        raise InputError(message, hint="train with --critic multi, or label with another classifier")
    return SAAEClassifier(network)
