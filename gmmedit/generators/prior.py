"""Latents by seed."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def draw_normal(seeds: Sequence[int], dim: int) -> Tensor:
    """One standard normal latent per seed (N, dim), float32 on the CPU: those of NVIDIA's `--seeds`.

    Row i is `numpy.random.RandomState(seeds[i]).randn(dim)`.
    """
    rows = np.empty((len(seeds), dim), np.float32)
    source = np.random.RandomState(0)  # a new one for every seed would take ten times as long
    for row, seed in zip(rows, seeds, strict=True):
        source.seed(seed)
        row[:] = source.randn(dim)
    return torch.from_numpy(rows)
