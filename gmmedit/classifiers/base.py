"""The contract of a classifier: an image goes in, labels come out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gmmedit.classifiers.calibration import Calibration
from gmmedit.errors import InputError


@dataclass(frozen=True)
class Attribute:
    """What can be labelled, e.g. `Attribute("smile", ("no", "yes"))`: exactly one of its C_a values holds."""

    name: str
    values: tuple[str, ...]


def check_attributes(attributes: Sequence[Attribute], where: str) -> None:
    """InputError: an attribute has no two values to choose between, or two have the same name."""
    for attribute in attributes:
        if len(set(attribute.values)) < 2 or len(set(attribute.values)) < len(attribute.values):
            message = f"{where}: {attribute.name} has the values {', '.join(attribute.values) or 'none'}"
            raise InputError(message, hint="an attribute has at least two values, all different")
    if len({attribute.name for attribute in attributes}) < len(attributes):
        raise InputError(f"{where} has two attributes of one name", hint="give each attribute a name of its own")


class Classifier(nn.Module, ABC):
    """A pretrained classifier f of A attributes with K = sum of C_a values in all.

    The K columns of its answers are the attributes' values in the order of `attributes`. Every row
    depends on its own image only. Where `differentiable`, gradients of both methods reach the images.
    """

    attributes: list[Attribute]
    input_size: tuple[int, int]  # (height, width) that the network sees; other images are resized
    fingerprint: str  # SHA-256 over the weights, and over how they are used
    channels: tuple[int, ...] = (3,)  # of the images that it takes; others are converted before it sees them
    converts: bool = False  # whether it converts them itself
    differentiable: bool = True
    sees_images: bool = True  # False: a table of labels, which knows the `rows` of one run and nothing else
    calibration: Calibration | None = None  # what is to be found from the first labels of a run; None: nothing

    @abstractmethod
    def logits(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to logits (N, K).

        A two-valued attribute with the log-odds l of its second value has the columns (-l/2, +l/2).
        """

    def rows(self, start: int, stop: int, first_seed: int) -> Tensor:
        """Logits (stop - start, K) of rows of a samples.h5 with the seeds `first_seed` + row; of tables alone."""
        raise NotImplementedError

    def left_out(self, n: int, first_seed: int) -> tuple[int, list[str]]:
        """How many of the rows 0 to n - 1 of such a file get no label, and notes on why; of tables alone."""
        return 0, []

    def observe(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (N, C, H, W) in [-1, 1] to logits (N, K), nuisances (N, M) in [-1, 1] and features (N, F).

        Nuisances are factors of the image that no attribute names, features the network's own last layer; M and F are
        0 where the network has none.
        """
        logits = self.logits(images)
        nothing = logits.new_empty(len(logits), 0)
        return logits, nothing, nothing

    def probabilities(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to labels (N, K) that sum to one over each attribute's values."""
        return self.from_logits(self.logits(images))

    def from_logits(self, logits: Tensor) -> Tensor:
        """Logits (N, K) to labels (N, K): a softmax over each attribute's columns.

        Over (-l/2, +l/2) the softmax's second value is the sigmoid of l.
        """
        columns = logits.split([len(a.values) for a in self.attributes], dim=1)
        return torch.cat([part.softmax(dim=1) for part in columns], dim=1)
