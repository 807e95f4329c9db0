"""What the networks of `gmmedit train classifier` share: features, and outputs linear in them."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.base import Classifier


@dataclass(frozen=True)
class NetworkConfig:
    """Attributes and nuisances of a network, and the size of its images; subclasses add its shape."""

    attributes: tuple[Attribute, ...]
    nuisances: tuple[str, ...] = ()  # real numbers in [-1, 1] that the network estimates besides the labels
    size: int = 64  # of the square image

    @property
    def n_columns(self) -> int:
        """K, the number of values of all attributes."""
        return sum(len(attribute.values) for attribute in self.attributes)


class TrainedNetwork(Classifier):
    """Labels of attributes and estimates of nuisances, linear in one vector of features.

    Subclasses make the layers, `head` among them, and compute the features. Rows must not depend on each other.
    """

    converts = True
    key: str  # of the configuration in the file
    stored: torch.dtype = torch.float32  # of the weights in the file; they are computed with in float32
    head: nn.Linear

    def __init__(self, config: NetworkConfig, fingerprint: str = ""):
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        self.attributes = list(config.attributes)
        self.input_size = (config.size, config.size)

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to the features (N, F), float32, in which the outputs are linear."""

    def make_head(self, n_features: int) -> nn.Linear:
        """The layer from features to the outputs."""
        return nn.Linear(n_features, self.config.n_columns + len(self.config.nuisances))

    def observe(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Classifier.observe`."""
        features = self.features(images)
        return *self.read_features(features), features

    def logits(self, images: Tensor) -> Tensor:
        """See `Classifier.logits`; the columns of every attribute have mean 0."""
        return self.predict(images)[0]

    def nuisances(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] to estimates (N, n) in the order of `config.nuisances`."""
        return self.predict(images)[1]

    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """`logits` (N, K) and `nuisances` (N, n) in one pass."""
        return self.read_features(self.features(images))

    def read_features(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """`logits` (N, K) and `nuisances` (N, n) from features (N, F)."""
        logits, nuisances = self.head(features).tensor_split([self.config.n_columns], dim=1)
        columns = logits.split([len(a.values) for a in self.attributes], dim=1)
        return torch.cat([c - c.mean(dim=1, keepdim=True) for c in columns], dim=1), nuisances
