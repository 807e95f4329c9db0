"""Edits optimised image by image: the consistency terms, minimised over zs itself."""

from __future__ import annotations

import torch
from torch import Tensor

from gmmedit.mixture.adam import Adam
from gmmedit.mixture.neighbours import ARRIVAL_WEIGHT, Neighbours
from gmmedit.mixture.objectives import edit_divergences, image_change, log_labels
from gmmedit.mixture.refining import Score

CERTAIN = 0.999  # probability at which the target is reached; higher than in the fit, for other classifiers to agree
SEED = 0  # of the disturbances
IMAGE_WEIGHT = 10.0  # of the mean absolute change of the pixels, so that what no label describes stays


def optimise_offsets(
    x: Tensor,
    control: Tensor,
    category: Tensor,
    score: Score,
    neighbours: Neighbours,
    steps: int,
    image_weight: float = IMAGE_WEIGHT,
) -> Tensor:
    """Offsets (N, L, D) from x (N, L, D) to a zs of its category (N,), optimised through generator and classifier.

    Starts between x and its neighbours (``Neighbours.interpolate_to_nearest``), where images look like samples, and
    takes Adam steps. Both minimise: the target label's distance from CERTAIN, the change of held labels, and the change
    of the image. Each step's images are disturbed, so that no label can depend on single pixels. Rows are independent.

    Args:
        control: (N, r) coordinates y of the control vectors.
        score: x to logits and images.
        steps: of Adam; 0 for the start alone.
        image_weight: of the image's change, as in the fit.
    """
    with torch.no_grad():
        logits, unedited = score(x)
    before = log_labels(logits, neighbours.layout, "log")

    def cost(moved: Tensor, disturbance: torch.Generator | None = None) -> Tensor:
        times = len(moved) // len(x)
        old, goal, old_images = (part.expand(times, *part.shape).flatten(0, 1) for part in (before, category, unedited))
        new, new_images = score(moved, disturbance)
        after = log_labels(new, neighbours.layout, "log")
        missed, broken = edit_divergences(old, after, goal, neighbours.layout, neighbours.held, CERTAIN)
        return ARRIVAL_WEIGHT * missed + broken + image_weight * image_change(old_images, new_images)

    with torch.no_grad():
        offset = neighbours.interpolate_to_nearest(x, control, logits, category, cost) - x
    with torch.enable_grad():
        offset.requires_grad_(True)
        adam = Adam([offset])
        disturbance = torch.Generator().manual_seed(SEED)
        for step in range(steps):
            (offset.grad,) = torch.autograd.grad(cost(x + offset, disturbance).sum(), offset)
            adam.step(neighbours.rate * (1 - step / steps))
    return offset.detach()
