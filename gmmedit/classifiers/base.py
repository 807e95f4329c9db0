"""The contract of a classifier: an image goes in, labels come out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.calibration import Calibration


class Classifier(nn.Module, ABC):
    """A pretrained classifier f of A attributes with K = sum of C_a values in all.

    The K output columns are the attributes' values in the order of `attributes`. Every row depends on its own image
    only. Where `differentiable`, gradients of logits and probabilities reach the images.
    """

    attributes: list[Attribute]
    input_size: tuple[int, int]  # (height, width) that the network takes; other images are resized
    fingerprint: str  # SHA-256 over the weights, and over how they are used
    channels: tuple[int, ...] = (3,)  # of the images that the network takes; others are converted
    converts: bool = False  # whether `logits` converts images of other channels itself
    differentiable: bool = True
    sees_images: bool = True  # False: a table of labels, which only answers `rows`
    calibration: Calibration | None = None  # fitted to the first labels of a run; None: not calibrated

    @abstractmethod
    def logits(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to logits (N, K).

        A two-valued attribute with the log-odds l of its second value has the columns (-l/2, +l/2).
        """

    def rows(self, start: int, stop: int, first_seed: int) -> Tensor:
        """Logits (stop - start, K) of rows of a samples.h5 with the seeds `first_seed` + row; tables only."""
        raise NotImplementedError

    def join_files(self, files: Sequence[str]) -> None:
        """From now on `rows` are photographs with the names of these files, whatever the seed; tables only.

        InputError: it has no column of file names, or one of them is missing or repeated.
        """
        raise NotImplementedError

    def find_photographs(self, files: Sequence[str]) -> str | None:
        """The first name in a column of names that is one of these files, or of an image beside the table; tables only.

        None: there is none, or it is said that keys are rows or seeds.
        """
        return None

    def left_out(self, n: int, first_seed: int) -> tuple[int, list[str]]:
        """How many of the rows 0 to n - 1 of such a file get no label, and notes on the reasons; tables only."""
        return 0, []

    def observe(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (N, C, H, W) in [-1, 1] to logits (N, K), nuisances (N, M) in [-1, 1] and features (N, F).

        Nuisances are factors of the image that no attribute names, features the network's last layer; M and F are 0
        where the network has none.
        """
        logits = self.logits(images)
        return logits, logits.new_empty(len(logits), 0), logits.new_empty(len(logits), 0)

    def probabilities(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to labels (N, K) that sum to one over each attribute's values."""
        return self.from_logits(self.logits(images))

    def from_logits(self, logits: Tensor) -> Tensor:
        """Logits (N, K) to labels (N, K): a softmax over each attribute's columns; the sigmoid of l for two values."""
        columns = logits.split([len(a.values) for a in self.attributes], dim=1)
        return torch.cat([part.softmax(dim=1) for part in columns], dim=1)
