"""Which samples have a label, which of those are fitted, which are held out, and which seeds no fit has seen."""

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.errors import InputError

SEEDS = 1 << 32  # that numpy.random.RandomState takes


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


def first_unseen(first: int, n: int, samples: Artifact) -> int:
    """The first of n seeds in a row that samples.h5 does not have: `first`, else beyond its own, else 0.

    InputError: there are not so many seeds.
    """
    start, stop = samples.spec.seed, samples.spec.seed + samples.spec.n
    for seed in (first, stop, 0):
        if seed + n <= SEEDS and not overlap(seed, seed + n, start, stop):
            return seed
    raise InputError(f"{samples.path} leaves no {n} seeds in a row for samples that no fit has seen", hint="-n 1000")


def overlap(first: int, last: int, start: int, stop: int) -> bool:
    """Whether two ranges of seeds, their ends excluded, share one."""
    return first < stop and start < last


def check_unseen(scored: Artifact, samples: Artifact) -> None:
    """InputError: edits were evaluated on samples of samples.h5, which a fit may have seen."""
    first, ours = scored.spec.config.get("first_seed"), samples.spec
    if first is not None and overlap(first, first + scored.spec.n, ours.seed, ours.seed + ours.n):
        message = f"{scored.path} was made on seeds from {first} on, which {samples.path} has too"
        raise InputError(message, hint=f"make it again: {scored.kind.command} --force")
