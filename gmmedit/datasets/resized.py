"""Images of any shape as square ones of a given size."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gmmedit.datasets.base import Batch, Changes, DataSet, Rows
from gmmedit.datasets.checks import digest

MOST_PADDING = 0.25  # of the size; smaller images are enlarged
HELD = 1 << 26  # bytes of images that are held before they are resized


class Resized(DataSet):
    """Another data set's images, see `resize_square`; all else is the same."""

    def __init__(self, data: DataSet, size: int) -> None:
        self.data, self.size = data, size
        self.name, self.attributes, self.factors = data.name, data.attributes, data.factors
        self.image_shape = (data.image_shape[0], size, size)
        self.fingerprint = digest(data.fingerprint, size)

    @property
    def notes(self) -> tuple[str, ...]:  # type: ignore[override]
        """See `DataSet`."""
        return self.data.notes

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, rows: Rows) -> Batch:
        """See `DataSet.batch`."""
        parts = [self.data.batch(part) for part in self.split(rows)]
        images = torch.cat([resize_square(images, self.size) for images, _, _ in parts])
        factors = [part for _, _, part in parts if part is not None]
        return images, torch.cat([labels for _, labels, _ in parts]), torch.cat(factors) if factors else None

    def split(self, rows: Rows) -> list[np.ndarray]:
        """The rows in parts whose images, float32, have at most HELD bytes: an image as large may be many of ours."""
        rows, most = np.asarray(rows), max(1, HELD // (4 * math.prod(self.data.image_shape)))
        return [rows[start : start + most] for start in range(0, max(1, len(rows)), most)]

    def labels(self, rows: Rows | None = None) -> Tensor:
        """See `DataSet.labels`."""
        return self.data.labels(rows)

    def images(self, rows: Rows) -> Tensor:
        """See `DataSet.images`."""
        return torch.cat([resize_square(self.data.images(part), self.size) for part in self.split(rows)])

    def true_factors(self, rows: Rows) -> Tensor | None:
        """See `DataSet.true_factors`."""
        return self.data.true_factors(rows)

    def counterfactual(self, rows: Rows, changes: Changes) -> Tensor:
        """See `DataSet.counterfactual`."""
        return resize_square(self.data.counterfactual(rows, changes), self.size)

    def held_out(self) -> np.ndarray:
        """See `DataSet.held_out`."""
        return self.data.held_out()


def fit(data: DataSet, size: int | None) -> DataSet:
    """The data set with square images of `size` pixels; None: as it is."""
    return data if size is None or data.image_shape[1:] == (size, size) else Resized(data, size)


def resize_square(images: Tensor, size: int) -> Tensor:
    """Images (N, C, H, W) in [-1, 1] to (N, C, size, size).

    A little smaller ones get a border of the colour of their corners (28-pixel digits become 32-pixel ones), others are
    cropped to the middle square and resized.
    """
    height, width = images.shape[2:]
    if (1 - MOST_PADDING) * size <= min(height, width) <= max(height, width) <= size:
        corners = images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].median(dim=2).values  # (N, C)
        padded = corners[:, :, None, None].expand(-1, -1, size, size).clone()
        top, left = (size - height) // 2, (size - width) // 2
        padded[:, :, top : top + height, left : left + width] = images
        return padded
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = images[:, :, top : top + side, left : left + side]
    if side == size:
        return square
    return F.interpolate(square, (size, size), mode="bilinear", antialias=True).clamp(-1, 1)
