"""Feature networks from files: the outputs of a described network as features."""

import torch
from torch import Tensor

from gmmedit.classifiers.description import FeatureDescription
from gmmedit.classifiers.image_networks import TRIAL_IMAGES, OpenedNetwork, combine_fingerprint, prepare_network
from gmmedit.errors import InputError


class Embedding:
    """The outputs of a network of somebody's own, whatever their shape, as one vector for each picture."""

    def __init__(self, network: OpenedNetwork, description: FeatureDescription, where: str, device: str) -> None:
        """InputError: the description does not fit the network, or it draws at random; `where` names the two."""
        self.network = prepare_network(network, description, where)
        self.input_size = self.network.preprocessing.size
        self.channels = self.network.preprocessing.channels
        self.fingerprint = combine_fingerprint(network.fingerprint, description, network.preprocessing)
        first, second = (
            self.checked(self.network.run_trial(device, it).detach(), TRIAL_IMAGES) for it in (False, True)
        )
        if not torch.allclose(first, second, rtol=0.01, atol=0.01 * float(first.std())):
            message = f"{where} gives other features each time, or in another place"
            raise InputError(message, hint="export it in evaluation mode; ViTMAE masks at random and is no choice")

    def features(self, images: Tensor) -> Tensor:
        """See `Embedder.features`. InputError: the network fails, or its features are not finite."""
        return self.checked(self.network(images), len(images))

    def checked(self, outputs: Tensor, n: int) -> Tensor:
        """The outputs for n pictures as (n, F)."""
        where = self.network.where
        if outputs.ndim < 2 or len(outputs) != n:
            message = f"{where} gives outputs of shape {tuple(outputs.shape)} for {n} pictures"
            raise InputError(
                message, hint="one row of features for each picture was expected; " + FeatureDescription.hint
            )
        if not outputs.isfinite().all():
            raise InputError(f"{where} gives features that are infinite or NaN", hint="compare `input` with its own")
        return outputs.flatten(1).float()
