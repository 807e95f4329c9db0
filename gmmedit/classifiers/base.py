"""The contract of a classifier: an image goes in, labels come out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Attribute:
    """What can be labelled, e.g. `Attribute("smile", ("no", "yes"))`: exactly one of its C_a values holds."""

    name: str
    values: tuple[str, ...]


class Classifier(nn.Module, ABC):
    """A pretrained classifier f of A attributes with K = sum of C_a values in all.

    The K columns of its answers are the attributes' values in the order of `attributes`. Every row
    depends on its own image only, and both methods are differentiable with respect to the images.
    """

    attributes: list[Attribute]
    input_size: tuple[int, int]  # (height, width) that the network sees; other images are resized
    fingerprint: str  # SHA-256 over the weights

    @abstractmethod
    def logits(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] to logits (N, K).

        A two-valued attribute with the log-odds l of its second value has the columns (-l/2, +l/2).
        """

    def probabilities(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] to labels (N, K) that sum to one over each attribute's values."""
        return self.from_logits(self.logits(images))

    def from_logits(self, logits: Tensor) -> Tensor:
        """Logits (N, K) to labels (N, K): a softmax over each attribute's columns.

        Over (-l/2, +l/2) the softmax's second value is the sigmoid of l.
        """
        columns = logits.split([len(a.values) for a in self.attributes], dim=1)
        return torch.cat([part.softmax(dim=1) for part in columns], dim=1)


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (N, C, H, W) of any size to (N, C, *size): bilinear, with a low-pass where that shrinks."""
    if tuple(images.shape[-2:]) == size:
        return images
    return F.interpolate(images, size, mode="bilinear", antialias=True)
