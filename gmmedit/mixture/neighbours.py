"""Control vectors from the members of a component: samples that have the value and are otherwise alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.mixture import Layout
from gmmedit.mixture.objectives import edit_divergences, log_labels

ARRIVE = 5.0  # weight of the label that is to arrive against those that are to stay
NEAR = 0.03  # weight of the squared distance between places
WANTED = 0.1  # weight of the squared distance from the coordinates that were drawn
SURE = 0.99  # probability at which a member counts as one
NEAREST = 12  # neighbours that are tried
ARCS = (0.5, 0.75, 1.0)  # how far towards each

Price = Callable[[Tensor], Tensor]  # (T N, L, D), T places for each x, to what is wrong with each as an edit, (T N,)


@dataclass(frozen=True)
class Neighbours:
    """Labelled samples of the prior, each a member of one component for every attribute.

    Attributes:
        x: (M, D) their coordinates.
        y: (M, r) what the mixture reads in them.
        logits: (M, K) what the labeller says of them.
        places: (M, P) coordinates of unit variance in which near samples look alike: W where z is edited.
        place: coordinates x (N, D) to theirs, (N, P).
        layout: the attributes, held: (A, A) which of them must stay (`gmmedit.mixture.held`).
        rate: of the Adam that starts from them; where pictures bend more on the way, it must go slower.
    """

    x: Tensor
    y: Tensor
    logits: Tensor
    places: Tensor
    place: Callable[[Tensor], Tensor]
    layout: Layout
    held: Tensor
    rate: float

    def nearest(self, x: Tensor, wanted: Tensor, logits: Tensor, category: Tensor, count: int = NEAREST) -> Tensor:
        """(count, N, D): for each x (N, D) the members of its category (N,) that are otherwise most like it.

        Alike are: the labels of the attributes that must stay, the mixture's coordinates to those that are wanted
        (N, r), the places. logits: (N, K) of the images at x. Of fewer than `count` neighbours all are given.
        """
        before, labels = (log_labels(it, self.layout, "log") for it in (logits, self.logits))
        chosen = []
        for row, place, y, goal in zip(before, self.place(x), wanted, category, strict=True):
            goals = goal.expand(len(labels))
            missed, broken = edit_divergences(row.expand_as(labels), labels, goals, self.layout, self.held, SURE)
            far = NEAR * (self.places - place).square().sum(1) + WANTED * (self.y - y).square().sum(1)
            price = ARRIVE * missed + broken + far
            chosen.append(self.x[price.topk(min(count, len(price)), largest=False).indices])
        return torch.stack(chosen, 1)

    def nearest_on_the_way(self, x: Tensor, wanted: Tensor, logits: Tensor, category: Tensor, price: Price) -> Tensor:
        """x (N, L, D) moved towards its nearest neighbours, all layers alike, to where the price is least."""
        nearest = self.nearest(x.mean(1), wanted, logits, category)
        ways = torch.cat([x + share * (nearest[:, :, None] - x) for share in ARCS])  # (T, N, L, D)
        at_once = max(NEAREST // len(x), 1)  # a single image is slow, many fill the memory
        prices = torch.cat([price(some.flatten(0, 1)).view(-1, len(x)) for some in ways.split(at_once)])
        return ways[prices.nan_to_num(torch.inf).argmin(0), torch.arange(len(x))]
