"""The last bit of an edit, for the image at hand: the consistency terms, minimised over zs itself."""

from __future__ import annotations

import torch
from torch import Tensor

from gmmedit.mixture import Layout
from gmmedit.mixture.members import ARRIVE, Members
from gmmedit.mixture.objectives import edit_divergences, log_labels, picture_change
from gmmedit.mixture.refining import Score

SURE = 0.999  # probability at which the target has arrived; deeper than in the fit, other classifiers must see it too
RATE = 0.1  # of Adam; x has unit variance
MEMBER_RATE = 0.01  # of Adam beside a member: z bends on its way to the picture, larger steps lose the way
SEED = 0  # of the disturbances
PICTURE = 10.0  # weight of the mean absolute change of the pixels: what no label sees stays in place


def polish(
    x: Tensor,
    offset: Tensor,
    category: Tensor,
    score: Score,
    layout: Layout,
    steps: int,
    picture: float = PICTURE,
    members: Members | None = None,
) -> Tensor:
    """Adam steps on each row's offset (N, L, D), or (N, 1, D) to start with, through generator and classifier.

    The target label is asked to arrive (at least 0.999), every other label to stay where it was at x (N, L, D), and the
    change of the picture (times `picture`, as in the fit) to be small. The classifier sees each step's pictures
    disturbed: a label that hangs on single pixels does not survive that. Rows do not see each other.

    With `members` (L = 1) the steps start between x and the nearest of them instead of at x + offset: where one latent
    bends into the picture as z does, gradients alone stay behind the first bend.

    Returns:
        (N, L, D), the offset of strength 1.
    """
    with torch.no_grad():
        logits, unedited = score(x)
    before = log_labels(logits, layout, "log")

    def price(there: Tensor, disturbance: torch.Generator | None = None) -> Tensor:
        seen, edited = score(there, disturbance)
        missed, broken = edit_divergences(before, log_labels(seen, layout, "log"), category, layout, SURE)
        return ARRIVE * missed + broken + picture * picture_change(unedited, edited)

    if members is not None:
        with torch.no_grad():
            offset = members.nearest_on_the_way(x, logits, category, price) - x
    rates = [RATE] * steps if members is None else [MEMBER_RATE * (1 - step / steps) for step in range(steps)]
    with torch.enable_grad():
        offset = offset.detach().expand_as(x).clone().requires_grad_(True)
        adam = torch.optim.Adam([offset], lr=RATE)
        disturbance = torch.Generator().manual_seed(SEED)
        for rate in rates:
            adam.param_groups[0]["lr"] = rate
            (offset.grad,) = torch.autograd.grad(price(x + offset, disturbance).sum(), offset)
            adam.step()
    return offset.detach()
