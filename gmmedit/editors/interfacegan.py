"""InterFaceGAN (Shen et al. 2020): the normal of a linear SVM between the extremes of a label."""

import numpy as np
import torch
from torch import Tensor

from gmmedit.editors.base import Editor
from gmmedit.errors import InputError
from gmmedit.mixture import Layout

REACH = 2.5  # so that the strengths that evaluation sweeps go as far as pictures hold
EXTREMES = 0.02  # share of the samples on either side that the SVM sees
SAME = 0.01  # share of the largest singular value below which normals do not differ


class InterFaceGAN(Editor):
    """One direction per category; the conditional form is projected off all other attributes' normals.

    A unit of strength is REACH times the distance between the means of those with and without the value.
    """

    def __init__(self, directions: Tensor) -> None:
        self.directions = directions  # (K, D)

    def offset(self, x: Tensor, category: int, away: bool = False) -> Tensor:
        direction = -self.directions[category] if away else self.directions[category]
        return direction.expand(len(x), 1, -1)


def fit_interfacegan(x: Tensor, logits: Tensor, layout: Layout, seed: int, conditional: bool) -> InterFaceGAN:
    """From coordinates x (N, D) and logits (N, K). InputError: scikit-learn is not installed."""
    scores = torch.cat([logits[:, c] - others(logits[:, c]) for c in layout.columns], 1)
    normals = torch.stack([svm_normal(x, scores[:, k], seed) for k in range(scores.shape[1])])
    directions = normals.clone()
    if conditional:
        for attribute, columns in enumerate(layout.columns):
            rest = torch.cat([normals[c] for a, c in enumerate(layout.columns) if a != attribute])
            basis = span(rest) if len(rest) else rest
            directions[columns] -= normals[columns] @ basis.T @ basis
    for k, direction in enumerate(directions):
        unit = direction / direction.norm()
        has = scores[:, k] > 0
        reach = (x[has].mean(0) - x[~has].mean(0)) @ normals[k] / (unit @ normals[k])
        directions[k] = unit * reach * REACH
    return InterFaceGAN(directions)


def span(rows: Tensor) -> Tensor:
    """Orthonormal rows (R, D) that span rows (M, D). Both normals of a two-valued attribute are one direction."""
    _, values, basis = torch.linalg.svd(rows, full_matrices=False)
    return basis[values > SAME * values[0]]


def others(logits: Tensor) -> Tensor:
    """For each value (N, C), the log-sum-exp of the attribute's other values."""
    columns = [logits[:, [j for j in range(logits.shape[1]) if j != i]] for i in range(logits.shape[1])]
    return torch.stack([rest.logsumexp(1) for rest in columns], 1)


def svm_normal(x: Tensor, score: Tensor, seed: int) -> Tensor:
    """Unit normal (D,) of a linear SVM between the samples of the lowest and highest scores (N,)."""
    try:
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise InputError("InterFaceGAN needs scikit-learn", hint="pip install 'gmmedit[baselines]'") from error
    count = max(50, round(EXTREMES * len(x)))
    order = score.argsort()
    rows = torch.cat([order[:count], order[-count:]])
    side = np.repeat([0, 1], count)
    machine = LinearSVC(random_state=seed, max_iter=20_000).fit(x[rows].numpy(), side)
    return torch.nn.functional.normalize(torch.from_numpy(machine.coef_[0]).to(x), dim=0)
