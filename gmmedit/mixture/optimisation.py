"""The edit of the image at hand: the consistency terms, minimised over zs itself."""

from __future__ import annotations

import torch
from torch import Tensor

from gmmedit.mixture.adam import Adam
from gmmedit.mixture.neighbours import ARRIVE, Neighbours
from gmmedit.mixture.objectives import edit_divergences, log_labels, picture_change
from gmmedit.mixture.refining import Score

SURE = 0.999  # probability at which the target has arrived; deeper than in the fit, other classifiers must see it too
SEED = 0  # of the disturbances
PICTURE = 10.0  # weight of the mean absolute change of the pixels: what no label sees stays in place


def optimise(
    x: Tensor,
    wanted: Tensor,
    category: Tensor,
    score: Score,
    neighbours: Neighbours,
    steps: int,
    picture: float = PICTURE,
) -> Tensor:
    """Offsets (N, L, D) from x (N, L, D) to a zs of its category (N,), found with generator and classifier.

    The start lies between x and the members of the component that are most like it, with coordinates near those that
    are wanted (N, r): pictures there look like samples. Adam steps follow. All the while the target label is asked to
    arrive (at least 0.999), the held labels to stay where they were, and the change of the picture (times `picture`, as
    in the fit) to be small. The classifier sees each step's pictures disturbed: a label that hangs on single pixels
    does not survive that. Rows do not see each other.
    """
    with torch.no_grad():
        logits, unedited = score(x)
    before = log_labels(logits, neighbours.layout, "log")

    def price(there: Tensor, disturbance: torch.Generator | None = None) -> Tensor:
        times = len(there) // len(x)
        was, goal, picture_was = (it.expand(times, *it.shape).flatten(0, 1) for it in (before, category, unedited))
        seen, edited = score(there, disturbance)
        after = log_labels(seen, neighbours.layout, "log")
        missed, broken = edit_divergences(was, after, goal, neighbours.layout, neighbours.held, SURE)
        return ARRIVE * missed + broken + picture * picture_change(picture_was, edited)

    with torch.no_grad():
        offset = neighbours.nearest_on_the_way(x, wanted, logits, category, price) - x
    with torch.enable_grad():
        offset.requires_grad_(True)
        adam = Adam([offset])
        disturbance = torch.Generator().manual_seed(SEED)
        for step in range(steps):
            (offset.grad,) = torch.autograd.grad(price(x + offset, disturbance).sum(), offset)
            adam.step(neighbours.rate * (1 - step / steps))
    return offset.detach()
