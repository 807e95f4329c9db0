"""Calibration of labels: scale and shift of the logits, found without true labels.

A classifier is calibrated in the large if its mean confidence equals its accuracy, and if it predicts every value as
often as the value occurs (DeGroot & Fienberg 1983). The scores of a zero-shot classifier have an arbitrary zero and an
arbitrary unit, so neither holds. The user states how often the labels should be right (`accuracy`) and, where known,
how often the values occur (`rates`), and each attribute's logits become `scale * logits + shift` such that both hold
on the given images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST, LARGEST = 1e-2, 1e2  # bounds of the scale
HALVINGS, STEPS = 40, 50


@dataclass(frozen=True)
class Goal:
    """What is known of one attribute: the share of right labels, the rate of each value; None: unknown."""

    values: int
    accuracy: float | None
    rates: tuple[float, ...] | None


class Calibration:
    """Scale and shift per category, (K,) each; the identity until `fit` or `load`."""

    def __init__(self, goals: Sequence[Goal]) -> None:
        self.goals = list(goals)
        categories = sum(goal.values for goal in goals)
        self.scale, self.shift = torch.ones(categories), torch.zeros(categories)

    def __call__(self, logits: Tensor) -> Tensor:
        """Logits (N, K) to calibrated logits (N, K)."""
        return logits * self.scale.to(logits) + self.shift.to(logits)

    @torch.no_grad()
    def fit(self, logits: Tensor) -> None:
        """Find scale and shift from uncalibrated logits (M, K) of unselected images."""
        parts = logits.double().split([goal.values for goal in self.goals], dim=1)
        found = [solve_attribute(part, goal) for part, goal in zip(parts, self.goals, strict=True)]
        self.scale = torch.cat([scale.expand(goal.values) for (scale, _), goal in zip(found, self.goals, strict=True)])
        self.shift = torch.cat([shift for _, shift in found])

    def state(self) -> dict[str, list[float]]:
        """Scale and shift, JSON-ready."""
        return {"scale": self.scale.tolist(), "shift": self.shift.tolist()}

    def load(self, state: dict[str, list[float]]) -> None:
        """Set scale and shift from `state()`."""
        self.scale, self.shift = (torch.tensor(state[key], dtype=torch.float64) for key in ("scale", "shift"))


def solve_attribute(logits: Tensor, goal: Goal) -> tuple[Tensor, Tensor]:
    """Scale () and shift (C,) of one attribute's logits (M, C); the scale by bisection of its logarithm."""
    low, high = torch.tensor([SMALLEST, LARGEST], dtype=torch.float64).log()
    if goal.accuracy is None:
        return torch.ones((), dtype=torch.float64), solve_shift(logits, goal.rates)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        scaled = middle.exp() * logits
        confidence = (scaled + solve_shift(scaled, goal.rates)).softmax(1).amax(1).mean()
        low, high = (middle, high) if confidence < goal.accuracy else (low, middle)
    scale = ((low + high) / 2).exp()
    return scale, solve_shift(scale * logits, goal.rates)


def solve_shift(logits: Tensor, rates: tuple[float, ...] | None) -> Tensor:
    """The shift (C,) that gives the labels of logits (M, C) the wanted means: a fixed point of log(rate / mean)."""
    shift = torch.zeros(logits.shape[1], dtype=torch.float64)
    if rates is None:
        return shift
    wanted = torch.tensor(rates, dtype=torch.float64)
    for _ in range(STEPS):
        shift = shift + (wanted / (logits + shift).softmax(1).mean(0).clamp_min(1e-12)).log()
    return shift - shift.mean()
