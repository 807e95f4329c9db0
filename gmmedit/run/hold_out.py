"""The split of the samples: labelled rows, fitted rows, held-out rows, and seeds that no fit has used."""

import numpy as np
import torch
from torch import Tensor

from gmmedit.artifacts import Artifact
from gmmedit.errors import InputError

SEEDS = 1 << 32  # of numpy.random.RandomState


def count_fitted(n: int, held_out: float) -> int:
    """Number of fitted samples among n labelled ones: the first; the share `held_out` at the end is held out."""
    return n - max(1, round(held_out * n))


def labels_photographs(labels: Artifact) -> bool:
    """Whether the rows of labels.h5 are photographs of inversions.h5, not samples."""
    return "inversions" in labels.spec.parents


def name_of_rows(labels: Artifact) -> str:
    """What the rows of labels.h5 are called: "samples" or "photographs"."""
    return "photographs" if labels_photographs(labels) else "samples"


def labelled_rows(labels: Artifact) -> np.ndarray:
    """The rows of samples.h5 that have a label, (M,) int64, ascending; a table may not label all.

    InputError: labels are NaN that `label` has not recorded as missing.
    """
    known = np.isfinite(labels["labels"])
    whole = known.all(1)
    if (~whole).sum() != labels.attrs.get("unlabelled", 0) or (known.any(1) != whole).any():
        raise InputError(f"{labels.path}:/labels holds NaN", hint=labels.again)
    return whole.nonzero()[0]


def fitted_rows(labels: Artifact, held_out: float) -> np.ndarray:
    """The rows of samples.h5 that are fitted, (M,) int64: the first of those that have a label."""
    labelled = labelled_rows(labels)
    return labelled[: count_fitted(len(labelled), held_out)]


def as_compact_index(rows: np.ndarray) -> slice | np.ndarray:
    """Ascending rows, as a slice if they are consecutive: indexing with it copies nothing."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last + 1 - first == len(rows) else rows


def read_rows(artifact: Artifact, name: str, rows: np.ndarray) -> Tensor:
    """The given rows (M,), ascending, of a dataset: a tensor (M, ...)."""
    first, chosen = int(rows[0]), as_compact_index(rows - rows[0])
    return torch.from_numpy(artifact.rows(name, first, int(rows[-1]) + 1)[chosen])


def first_unseen(first: int, n: int, samples: Artifact) -> int:
    """The first of n consecutive seeds that are not in samples.h5: `first`, else the one after its last, else 0.

    InputError: no such n seeds exist.
    """
    start, stop = samples.spec.seed, samples.spec.seed + samples.spec.n
    for seed in (first, stop, 0):
        if seed + n <= SEEDS and not ranges_overlap(seed, seed + n, start, stop):
            return seed
    raise InputError(f"{samples.path} leaves no {n} consecutive unused seeds for unseen samples", hint="-n 1000")


def ranges_overlap(first: int, last: int, start: int, stop: int) -> bool:
    """Whether the ranges [first, last) and [start, stop) intersect."""
    return first < stop and start < last


def check_unseen(scored: Artifact, samples: Artifact) -> None:
    """InputError: the evaluation used seeds of samples.h5, which a fit may have seen."""
    first, ours = scored.spec.config.get("first_seed"), samples.spec
    if first is not None and ranges_overlap(first, first + scored.spec.n, ours.seed, ours.seed + ours.n):
        message = f"{scored.path} was evaluated on seeds from {first} on, some of which are in {samples.path}"
        raise InputError(message, hint=scored.kind.hint(samples.path.parent))
