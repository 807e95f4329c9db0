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
        scales = config.scales or (None,) * len(config.attributes)
        self.attributes = [
            Attribute(name, values, scale) for (name, values), scale in zip(config.attributes, scales, strict=True)
        ]
        self.input_size, self.channels = (config.resolution, config.resolution), (config.image_channels,)

    def logits(self, images: Tensor) -> Tensor:
        """See `Classifier.logits`; the columns of every attribute have mean 0.

        Of a number: log-probabilities of its classes under the encoder's mean and spread.
        """
        images = resize(convert_channels(images, self.channels), self.input_size)
        mean, log_variance = (self.network.split(part)[0].float() for part in self.network.recognition(images))
        equations, columns = self.network.equations, []
        classes = iter(equations.class_scores(mean, log_variance))
        for place, node in enumerate(equations.nodes):
            part = next(classes) if place in equations.places else mean[:, node]
            pair = torch.cat([-part / 2, part / 2], dim=1) if part.shape[1] == 1 else part
            columns.append(pair - pair.mean(dim=1, keepdim=True))
        return torch.cat(columns, dim=1)


def read_classifier(path: Path) -> BiGANClassifier:
    """The classifier in a file of `save_bigan`. InputError: damaged, or another kind of file."""
    return BiGANClassifier(read_bigan(path))
