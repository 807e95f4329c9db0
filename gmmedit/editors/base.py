"""The contract of an editor."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Editor(ABC):
    """Moves coordinates x of samples towards a category, further with greater strength."""

    @abstractmethod
    def offset(self, x: Tensor, category: int, away: bool = False) -> Tensor:
        """The change (N, D) of x (N, D) that is meant to arrive at one of the K categories, or to leave it."""

    def edit(self, x: Tensor, category: int, strength: Tensor) -> Tensor:
        """x + |strength| * offset for strengths (N,): 0 leaves x alone, 1 arrives, negative ones move away."""
        moved = x
        for away in (False, True):
            chosen = strength < 0 if away else strength > 0
            if chosen.any():
                change = strength[:, None].abs() * self.offset(x, category, away)
                moved = torch.where(chosen[:, None], x + change, moved)
        return moved
