"""Avatars behind the contract of a data set."""

import torch
from torch import Tensor

from gmmedit.classifiers.attributes import Attribute
from gmmedit.datasets.avatars.factors import (
    ATTRIBUTES,
    DETAILS,
    NUISANCES,
    Factors,
    sample_causal,
    sample_independent,
)
from gmmedit.datasets.avatars.renderer import render
from gmmedit.datasets.avatars.shapes import SIZE
from gmmedit.datasets.base import Changes, DataSet, Rows
from gmmedit.datasets.checks import change_labels, digest
from gmmedit.datasets.resized import fit

ROWS = 50_000
SEED = 1  # that of the embedded generator's training images


class Avatars(DataSet):
    """Rendered faces. Their factors are the details, then the nuisances, each in [-1, 1]."""

    image_shape = (3, SIZE, SIZE)
    attributes = tuple(Attribute(name, values) for name, values in ATTRIBUTES.items())
    factors = (*DETAILS, *NUISANCES)

    def __init__(self, independent: bool = False, rows: int = ROWS, seed: int = SEED) -> None:
        self.name = "avatars-independent" if independent else "avatars"
        self.all = (sample_independent if independent else sample_causal)(rows, seed)
        self.fingerprint = digest(self.name, rows, seed)

    def __len__(self) -> int:
        return len(self.all)

    def labels(self, rows: Rows | None = None) -> Tensor:
        """See `DataSet.labels`."""
        return self.all.attributes if rows is None else self.all.attributes[torch.as_tensor(rows)]

    def images(self, rows: Rows) -> Tensor:
        """See `DataSet.images`."""
        return render(self.all[torch.as_tensor(rows)])

    def true_factors(self, rows: Rows) -> Tensor:
        """See `DataSet.true_factors`."""
        chosen = self.all[torch.as_tensor(rows)]
        return torch.cat([chosen.details, chosen.nuisances], dim=1)

    def counterfactual(self, rows: Rows, changes: Changes) -> Tensor:
        """See `DataSet.counterfactual`: also of `avatars`, whose attributes cause one another, nothing else changes."""
        labels, factors = change_labels(self, rows, changes)
        details, nuisances = factors.split([len(DETAILS), len(NUISANCES)], dim=1)
        return render(Factors(labels, details, nuisances))


def load_causal(size: int | None = None) -> DataSet:
    """Faces whose attributes cause one another, resized if `size` is another."""
    return fit(Avatars(), size)


def load_independent(size: int | None = None) -> DataSet:
    """Faces whose factors are independent, resized if `size` is another."""
    return fit(Avatars(independent=True), size)
