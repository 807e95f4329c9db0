"""What the losses ask of generator and classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

Show = Callable[[Tensor], Tensor]  # x (N, L, D) to images (N, C, H, W)


class Score(Protocol):
    """f(G(x)) and G(x), or a surrogate of them."""

    def __call__(self, x: Tensor, random: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """x (N, L, D) to logits (N, K) and images (N, C, H, W) in [-1, 1], (N, 0) where there are none.

        With ``random`` the logits are of images shifted and noised at random, all N in the same way.
        """
