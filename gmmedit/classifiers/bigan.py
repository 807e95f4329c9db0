"""The causes in the latents of a BiGAN's encoder as a classifier."""

from pathlib import Path

import torch
from torch import Tensor

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.base import Classifier
from gmmedit.classifiers.preprocessing import convert_channels, resize
from gmmedit.networks.bigan import BiGAN, read_bigan


class BiGANClassifier(Classifier):
    """Labels the attributes that the latents' first dims stand for."""

    converts = True

    def __init__(self, network: BiGAN):
        super().__init__()
        config = network.config
        self.network, self.fingerprint = network, network.fingerprint
        self.attributes = [Attribute(name, values) for name, values in config.attributes]
        self.input_size, self.channels = (config.resolution, config.resolution), (config.image_channels,)

    def logits(self, images: Tensor) -> Tensor:
        """See `Classifier.logits`; the columns of every attribute have mean 0."""
        images = resize(convert_channels(images, self.channels), self.input_size)
        causes, _ = self.network.split(self.network.encode(images))
        columns = []
        for node in self.network.equations.nodes:
            part = causes[:, node]
            pair = torch.cat([-part / 2, part / 2], dim=1) if part.shape[1] == 1 else part
            columns.append(pair - pair.mean(dim=1, keepdim=True))
        return torch.cat(columns, dim=1)


def read_classifier(path: Path) -> BiGANClassifier:
    """The classifier in a file of `save_bigan`. InputError: damaged, or another kind of file."""
    return BiGANClassifier(read_bigan(path))
