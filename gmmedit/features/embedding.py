"""Feature networks from files: the outputs of a described network as features."""

import torch
from torch import Tensor

from gmmedit.classifiers.description import FeatureDescription
from gmmedit.classifiers.image_networks import TRIAL_IMAGES, OpenedNetwork, combine_fingerprint, prepare_network
from gmmedit.errors import InputError


class Embedding:
    """The outputs of a user-supplied network, of any shape, as one vector per image."""

    def __init__(self, network: OpenedNetwork, description: FeatureDescription, where: str, device: str) -> None:
        """InputError: the description does not match the network, or it is random; `where` names them in errors."""
        self.network = prepare_network(network, description, where)
        self.input_size = self.network.preprocessing.size
        self.channels = self.network.preprocessing.channels
        self.fingerprint = combine_fingerprint(network.fingerprint, description, network.preprocessing)
        trials = (self.network.run_trial(device, reverse).detach() for reverse in (False, True))
        first, second = (self.to_rows(outputs, TRIAL_IMAGES) for outputs in trials)
        if not torch.allclose(first, second, rtol=0.01, atol=0.01 * float(first.std())):
            message = f"{where} returns different features for the same image at another position, or in each call"
            raise InputError(message, hint="export it in evaluation mode; ViTMAE masks at random and cannot be used")

    def features(self, images: Tensor) -> Tensor:
        """See `Embedder.features`. InputError: the network fails, or its features are not finite."""
        return self.to_rows(self.network(images), len(images))

    def to_rows(self, outputs: Tensor, n: int) -> Tensor:
        """The outputs for n images as rows (n, F). InputError: not one row per image, or not finite."""
        where = self.network.where
        if outputs.ndim < 2 or len(outputs) != n:
            message = f"{where} returns outputs of shape {tuple(outputs.shape)} for {n} images"
            raise InputError(message, hint="it must return one row of features per image; " + FeatureDescription.hint)
        if not outputs.isfinite().all():
            raise InputError(f"{where} returns non-finite features", hint="compare `input` with the network's own")
        return outputs.flatten(1).float()
