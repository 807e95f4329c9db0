"""The contract of a data set: images with labels and, where the truth is known, factors and counterfactuals."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from gmmedit.classifiers.attributes import Attribute

Changes = Mapping[str, str | float]  # attribute -> value, factor -> number
Rows = Sequence[int] | np.ndarray
Batch = tuple[Tensor, Tensor, Tensor | None]


class DataSet(ABC):
    """N images, rows 0 to N - 1. What a row holds depends on the row alone, not on the batch it is asked for in."""

    name: str  # for texts
    image_shape: tuple[int, int, int]  # (channels, height, width)
    attributes: tuple[Attribute, ...]
    factors: tuple[str, ...] | None = None  # names of real numbers behind the images; None: unknown
    fingerprint: str  # SHA-256 over what the rows hold, or over what determines it
    notes: tuple[str, ...] = ()  # what was left out, one line each

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def labels(self, rows: Rows | None = None) -> Tensor:
        """Values int64 (n, A) of the rows, None: of all, as indices into each attribute's values; -1: not known.

        No image is read.
        """

    @abstractmethod
    def images(self, rows: Rows) -> Tensor:
        """Images (n, C, H, W), float32 in [-1, 1]. RunError: a file has become unreadable."""

    def true_factors(self, rows: Rows) -> Tensor | None:
        """Factors (n, F), float32, in the order of `factors`; None: they are unknown."""
        return None

    def batch(self, rows: Rows) -> Batch:
        """Images (n, C, H, W), labels (n, A), and factors (n, F) or None, of the rows."""
        rows = np.asarray(rows)
        return self.images(rows), self.labels(rows), self.true_factors(rows)

    def counterfactual(self, rows: Rows, changes: Changes) -> Tensor:
        """The images (n, C, H, W) as they would be if only `changes` were different.

        NotImplementedError: the truth is not known. InputError: an unknown name or value.
        """
        raise NotImplementedError(f"{self.name} has no counterfactuals")

    def held_out(self) -> np.ndarray:
        """Rows (m,), ascending, that no training may see: the published test split, else a tenth drawn by seed 0."""
        rows = np.random.default_rng(0).permutation(len(self))[: max(1, len(self) // 10)]
        return np.sort(rows)
