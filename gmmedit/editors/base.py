"""The contract of an editor."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Editor(ABC):
    """Moves coordinates x of samples towards a category, further with greater strength.

    x (N, L, D) has one row for each of the L layers of the generator that take a latent of their own (W+), L = 1
    where there is but one latent.
    """

    @abstractmethod
    def offset(self, x: Tensor, category: int, away: bool = False) -> Tensor:
        """The change of x (N, L, D) that is meant to arrive at one of the K categories, or to leave it.

        (N, L, D), or (N, 1, D) where it is the same for every layer.
        """

    def edit(self, x: Tensor, category: int, strength: Tensor) -> Tensor:
        """x + |strength| * offset for strengths (N,): 0 leaves x alone, 1 arrives, negative ones move away."""
        moved = x
        for away in (False, True):
            chosen = strength < 0 if away else strength > 0
            if chosen.any():
                change = strength[:, None, None].abs() * self.offset(x, category, away)
                moved = torch.where(chosen[:, None, None], x + change, moved)
        return moved
