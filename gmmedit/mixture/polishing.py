"""The last bit of an edit, for the image at hand: the consistency terms, minimised over zs itself."""

from __future__ import annotations

import torch
from torch import Tensor

from gmmedit.mixture import Layout
from gmmedit.mixture.objectives import edit_divergences, log_labels, picture_change
from gmmedit.mixture.refining import Score

SURE = 0.999  # probability at which the target has arrived; deeper than in the fit, other classifiers must see it too
RATE = 0.1  # of Adam; x has unit variance
LEAST_CHANGE = 1e-2  # weight of the squared distance from x (mean of the layers): what no label sees stays in place
SEED = 0  # of the disturbances
PICTURE = 10.0  # weight of the mean absolute change of the pixels, for the same reason


def polish(
    x: Tensor,
    offset: Tensor,
    category: Tensor,
    score: Score,
    layout: Layout,
    steps: int,
    picture: float = PICTURE,
) -> Tensor:
    """Adam steps on each row's offset (N, L, D), or (N, 1, D) to start with, through generator and classifier.

    The target label is asked to arrive (at least 0.999), every other label to stay where it was at x (N, L, D), and the
    offset and the change of the picture (times `picture`, as in the fit) to be small. The classifier sees each step's
    pictures disturbed: a label that hangs on single pixels does not survive that. Rows do not see each other.

    Returns:
        (N, L, D), the offset of strength 1.
    """
    with torch.enable_grad():
        with torch.no_grad():
            logits, unedited = score(x)
        before = log_labels(logits, layout, "log")
        offset = offset.detach().expand_as(x).clone().requires_grad_(True)
        adam = torch.optim.Adam([offset], lr=RATE)
        disturbance = torch.Generator().manual_seed(SEED)
        for _ in range(steps):
            logits, edited = score(x + offset, disturbance)
            missed, divergence = edit_divergences(before, log_labels(logits, layout, "log"), category, layout, SURE)
            loss = missed + divergence + LEAST_CHANGE * offset.square().sum(2).mean(1)
            loss = loss + picture * picture_change(unedited, edited)
            (offset.grad,) = torch.autograd.grad(loss.sum(), offset)
            adam.step()
    return offset.detach()
