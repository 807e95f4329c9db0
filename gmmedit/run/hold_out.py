"""Which samples have a label, which of those are fitted, and which are held out to check the fit."""

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.errors import InputError


def fitted_of(n: int, held_out: float) -> int:
    """How many of n labelled samples are fitted: the first ones; the others are held out."""
    return n - max(1, round(held_out * n))


def labelled_rows(labels: Artifact) -> np.ndarray:
    """The rows of samples.h5 that have a label, int64, in order. A table may lack those of others.

    InputError: there are labels of NaN that `label` has not recorded as missing.
    """
    known = np.isfinite(labels["labels"])
    whole = known.all(1)
    if (~whole).sum() != labels.attrs.get("unlabelled", 0) or (known.any(1) != whole).any():
        raise InputError(f"{labels.path}:/labels holds NaN", hint="gmmedit label --force")
    return whole.nonzero()[0]


def fitted_rows(labels: Artifact, held_out: float) -> np.ndarray:
    """The rows of samples.h5 that a fit sees, int64: of those that have a label, the first."""
    labelled = labelled_rows(labels)
    return labelled[: fitted_of(len(labelled), held_out)]


def compact(rows: np.ndarray) -> slice | np.ndarray:
    """Rows in order; as a slice, which copies nothing, where they follow one another."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last + 1 - first == len(rows) else rows


def read_rows(artifact: Artifact, name: str, rows: np.ndarray) -> Tensor:
    """These rows, in order, of a dataset."""
    first, chosen = int(rows[0]), compact(rows - rows[0])
    return torch.from_numpy(artifact.rows(name, first, int(rows[-1]) + 1)[chosen])
