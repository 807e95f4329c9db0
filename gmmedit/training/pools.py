"""Images that a generator learns from, and images that it makes, as bytes."""

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from gmmedit.datasets.avatars.factors import sample_causal
from gmmedit.datasets.avatars.renderer import render
from gmmedit.generators.stylegan2 import StyleGAN2

POOL_SEED = 1  # of the avatars


class Pool(Protocol):
    """Real images: an array uint8 (n, S, S, C), in memory or on disk, or what reads rows as one would."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: np.ndarray) -> np.ndarray: ...


def render_pool(n: int, seed: int, path: Path) -> None:
    """Write n causal avatars to `path` as uint8 (n, 64, 64, 3)."""
    with path.open("xb") as file:  # given a name, NumPy would add a suffix
        np.save(file, to_pixels(render(sample_causal(n, seed))))


@torch.no_grad()
def sample_images(generator: StyleGAN2, n: int, seed: int = 0) -> np.ndarray:
    """Images uint8 (n, R, R, C) of the latents of seeds `seed`, `seed` + 1, ..."""
    z = np.stack([np.random.RandomState(seed + i).randn(generator.z_dim) for i in range(n)])
    images = generator.synthesize(generator.map(torch.from_numpy(z).float().to(generator.device)))
    return to_pixels(images.cpu())


def to_pixels(images: Tensor) -> np.ndarray:
    """Images (n, C, H, W) about [-1, 1] to uint8 (n, H, W, C)."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
