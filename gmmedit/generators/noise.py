"""The noise that StyleGAN1 and StyleGAN2 add in every layer."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

NoiseMode = Literal["const", "none", "random"]


@dataclass(frozen=True)
class Noise:
    """Which noise a synthesis adds: the planes stored with the weights, none, or random ones."""

    mode: NoiseMode = "const"
    source: torch.Generator | None = None  # on the CPU; with one, all images get the same planes

    def plane(self, stored: Tensor, x: Tensor) -> Tensor:
        """(H, W) or (N or 1, 1, H, W), to be added to x (N, C, H, W)."""
        if self.mode == "const":
            return stored
        if self.source is None:
            return torch.randn(len(x), 1, *x.shape[2:], device=x.device)
        return torch.randn(1, 1, *x.shape[2:], generator=self.source).to(x.device)
