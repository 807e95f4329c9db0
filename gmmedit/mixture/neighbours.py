"""Neighbours: labelled samples that have the wanted value and are otherwise most similar, from which edits start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gmmedit.mixture import Layout
from gmmedit.mixture.objectives import edit_divergences, log_labels

ARRIVAL_WEIGHT = 5.0  # of the target label against the held ones
DISTANCE_WEIGHT = 0.03  # of the squared distance between positions
CONTROL_WEIGHT = 0.1  # of the squared distance from the control vector's coordinates
CERTAIN = 0.99  # probability at which a sample fully has a value
CANDIDATES = 12  # neighbours that are tried
SHARES = (0.5, 0.75, 1.0)  # of the distance to each of them

# T candidates for each of N images, (T N, L, D), to the cost of each as an edit, (T N,)
Cost = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Neighbours:
    """Labelled samples of the prior, among which edits look for neighbours.

    Attributes:
        x: (M, D) coordinates in the chart.
        y: (M, r) the mixture's read of x.
        logits: (M, K) of the labelling classifier.
        positions: (M, P) coordinates of unit variance in which near samples look similar: W where z is edited.
        position_of: coordinates x (N, D) to such positions (N, P).
        layout: the attributes.
        held: (A, A) which of them must stay (``gmmedit.mixture.held``).
        rate: learning rate of the Adam steps that start from a neighbour; lower where images depend on x less smoothly.
    """

    x: Tensor
    y: Tensor
    logits: Tensor
    positions: Tensor
    position_of: Callable[[Tensor], Tensor]
    layout: Layout
    held: Tensor
    rate: float

    def find_nearest(
        self, x: Tensor, control: Tensor, logits: Tensor, category: Tensor, count: int = CANDIDATES
    ) -> Tensor:
        """For each x (N, D) the most similar samples of its category (N,): (count, N, D), the best first.

        Similar in the labels of the held attributes, in position, and in having coordinates y near `control` (N, r).
        logits: (N, K) of the images at x. If there are fewer than `count` samples, all are returned.
        """
        before, labels = log_labels(logits, self.layout, "log"), log_labels(self.logits, self.layout, "log")
        chosen = []
        for row, position, y, goal in zip(before, self.position_of(x), control, category, strict=True):
            goals = goal.expand(len(labels))
            missed, broken = edit_divergences(row.expand_as(labels), labels, goals, self.layout, self.held, CERTAIN)
            distance = DISTANCE_WEIGHT * (self.positions - position).square().sum(1)
            far = distance + CONTROL_WEIGHT * (self.y - y).square().sum(1)
            cost = ARRIVAL_WEIGHT * missed + broken + far
            chosen.append(self.x[cost.topk(min(count, len(cost)), largest=False).indices])
        return torch.stack(chosen, 1)

    def interpolate_to_nearest(
        self, x: Tensor, control: Tensor, logits: Tensor, category: Tensor, cost: Cost
    ) -> Tensor:
        """x (N, L, D) moved, in all layers alike, by one of SHARES towards one of its neighbours: the cheapest.

        control, logits, category: as in ``find_nearest``.
        """
        nearest = self.find_nearest(x.mean(1), control, logits, category, CANDIDATES)
        candidates = torch.cat([x + share * (nearest[:, :, None] - x) for share in SHARES])  # (T, N, L, D)
        at_once = max(CANDIDATES // len(x), 1)  # one at a time is slow, all at once may not fit in memory
        costs = torch.cat([cost(some.flatten(0, 1)).view(-1, len(x)) for some in candidates.split(at_once)])
        return candidates[costs.nan_to_num(torch.inf).argmin(0), torch.arange(len(x))]
