"""The contract of a generator: a latent goes in, an image comes out."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Generator(nn.Module, ABC):
    """A pretrained GAN generator G, seen as mapping and synthesis.

    Batches of tensors go in and out; `synthesize` is differentiable and deterministic.
    A generator without a mapping network has `w_shape = None`, and its `synthesize` takes z.
    """

    z_dim: int
    w_shape: tuple[int, int] | None  # (L layers that take their own w, size of w)
    image_shape: tuple[int, int, int]  # (channels, height, width)
    n_classes: int  # 0: unconditional
    fingerprint: str  # SHA-256 over the weights

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @abstractmethod
    def map(self, z: Tensor, c: Tensor | None = None, psi: float = 1.0) -> Tensor:
        """Latents z (N, z_dim) and one-hot classes c (N, n_classes) to w (N, w_dim).

        `psi` is the truncation: 1 leaves w alone, 0 gives the mean w (Karras et al. 2019).
        """

    @abstractmethod
    def synthesize(self, w: Tensor) -> Tensor:
        """W (N, w_dim) or W+ (N, L, w_dim) to images (N, C, H, W), about [-1, 1]."""
