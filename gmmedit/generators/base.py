"""The contract of a generator: a latent goes in, an image comes out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from gmmedit.spaces import Space

NoiseMode = Literal["const", "none", "random"]


class Generator(nn.Module, ABC):
    """A pretrained GAN generator G, seen as mapping and synthesis.

    Batches of tensors go in and out; `synthesize` is deterministic unless the noise is random without a seed.
    A generator without a mapping has `w_shape = None`, and its `synthesize` takes z.
    """

    family: str  # "StyleGAN2"
    z_dim: int
    w_shape: tuple[int, int] | None  # (L layers that take their own w, size of w)
    image_shape: tuple[int, int, int]  # (channels, height, width)
    n_classes: int  # 0: unconditional
    fingerprint: str  # SHA-256 over the weights
    differentiable: bool = True  # whether gradients of the images reach the latents
    noise_mode: NoiseMode = "const"  # ignored by families without noise
    noise_seed: int | None = None  # of the mode `random`: the same planes for every image; None: fresh ones

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def spaces(self) -> dict[str, Space]:
        """The latent spaces by name, in the order of mapping: z, and w where there is one."""
        spaces = {"z": Space("z", self.z_dim, normal=True)}
        if self.w_shape:
            layers, dim = self.w_shape
            spaces["w"] = Space("w", dim, layers)
        return spaces

    def draw(self, seeds: Sequence[int]) -> Tensor:
        """One latent z of the prior per seed (N, z_dim), float32 on the CPU: that of NVIDIA's `--seeds`.

        A generator whose prior is another one overrides this and `spaces`.
        """
        rows = np.empty((len(seeds), self.z_dim), np.float32)
        source = np.random.RandomState(0)  # a new one for every seed would take ten times as long
        for row, seed in zip(rows, seeds, strict=True):
            source.seed(seed)
            row[:] = source.randn(self.z_dim)
        return torch.from_numpy(rows)

    @property
    def w_avg(self) -> Tensor | None:
        """The mean w (w_dim,), where truncation leads to; None: the weights do not tell it."""
        return None

    def styles(self) -> list[tuple[int, Tensor, bool]]:
        """For each modulated convolution, in order: the layer of W+ that it reads, the matrix (channels, w_dim) that
        makes its style of that w, and whether it makes the image (ToRGB). Empty for families without styles.
        """
        return []

    @abstractmethod
    def map(self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """Latents z (N, z_dim) and one-hot classes c (N, n_classes) to truncated w (see `truncate`)."""

    @abstractmethod
    def synthesize(self, w: Tensor) -> Tensor:
        """W (N, w_dim) or W+ (N, L, w_dim) to images (N, C, H, W), about [-1, 1]."""

    def truncate(self, w: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
        """w (N, w_dim) or W+ (N, L, w_dim) drawn towards the mean w (Karras et al. 2019): psi 1 leaves it alone.

        With a cutoff only the first `cutoff` layers are, and the result is W+.
        """
        near = w if psi == 1 or self.w_avg is None else self.w_avg.lerp(w, psi)
        if cutoff is None or self.w_shape is None:
            return near
        layers = torch.arange(self.w_shape[0], device=w.device)[:, None]
        near, w = (it if it.ndim == 3 else it[:, None] for it in (near, w))
        return torch.where(layers < cutoff, near, w)
