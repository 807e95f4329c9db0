"""Control vectors from the members of a component: samples that have the value and are otherwise alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.mixture import Layout
from gmmedit.mixture.objectives import edit_divergences, log_labels

ARRIVE = 5.0  # weight of the label that is to arrive against those that are to stay
NEAR = 0.03  # weight of the squared distance, over all coordinates of unit variance
SURE = 0.99  # probability at which a member counts as one
NEAREST = 8  # members that are tried
ARCS = (0.4, 0.55, 0.7, 0.85, 1.0)  # how far towards each

Price = Callable[[Tensor], Tensor]  # x (N, L, D) to what is wrong with each as an edit, (N,)


@dataclass(frozen=True)
class Members:
    """Labelled samples of the prior, each a member of one component for every attribute.

    Attributes:
        x: (M, D) their coordinates.
        logits: (M, K) what the labeller says of them.
        places: (M, P) coordinates of unit variance in which near samples look alike: W where z is edited.
        place: coordinates x (N, D) to theirs, (N, P).
        layout: the attributes.
    """

    x: Tensor
    logits: Tensor
    places: Tensor
    place: Callable[[Tensor], Tensor]
    layout: Layout

    def nearest(self, x: Tensor, logits: Tensor, category: Tensor, count: int = NEAREST) -> Tensor:
        """(count, N, D): for each x (N, D) the members of its category (N,) whose other labels and places are nearest.

        logits: (N, K) of the pictures at x. Of fewer than `count` members all are given.
        """
        before, labels = (log_labels(it, self.layout, "log") for it in (logits, self.logits))
        chosen = []
        for row, place, goal in zip(before, self.place(x), category, strict=True):
            missed, broken = edit_divergences(
                row.expand_as(labels), labels, goal.expand(len(labels)), self.layout, SURE
            )
            far = (self.places - place).square().sum(1)
            price = ARRIVE * missed + broken + NEAR * far
            chosen.append(self.x[price.topk(min(count, len(price)), largest=False).indices])
        return torch.stack(chosen, 1)

    def nearest_on_the_way(self, x: Tensor, logits: Tensor, category: Tensor, price: Price) -> Tensor:
        """x (N, 1, D) moved towards its nearest members, to where the price is least."""
        best, least = x, torch.full((len(x),), torch.inf)
        for member in self.nearest(x[:, 0], logits, category):
            for share in ARCS:
                there = x + share * (member[:, None] - x)
                now = price(there)
                best = torch.where((now < least)[:, None, None], there, best)
                least = torch.minimum(now, least)
        return best
